//! What every request gets: an id, a deadline, a place in the metrics, CORS, and a problem instead of a panic.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::Method;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse};
use futures_util::FutureExt;
use tokio::time::Instant;
use tracing::Instrument;

use super::problem::{Problem, REQUEST_ID};
use super::{caller, cors};
use crate::code::Code;
use crate::crypto::random_base62;

/// No answer takes longer: the longest wait a caller may ask for is 25 seconds. Streams go on after their head is sent.
const DEADLINE: Duration = Duration::from_secs(35);
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The outermost middleware.
///
/// # Errors
/// An error that carries a finished problem response, where the request was lost on the way (deadline, panic).
pub async fn envelope(request: ServiceRequest, next: Next<impl MessageBody + 'static>) -> Result<ServiceResponse<BoxBody>, Error> {
    let id = random_base62(16);
    let span = tracing::info_span!("request", id = %id, method = %request.method());
    let header = HeaderValue::from_str(&id).ok();
    let started = Instant::now();
    let method = request.method().clone();
    let allowed = caller::app(request.request()).ok();
    let origin = allowed.and_then(|app| cors::allowed_origin(&app.config.cors_origins, request.headers()));
    let work = async {
        match origin.as_ref().and_then(|_| cors::preflight(request.method(), request.headers())) {
            Some(answer) => Ok(request.into_response(answer)),
            // An error is answered while the request's id is known.
            None => guarded(request, next).await.map_err(|error| answered(&error)),
        }
    };
    let mut result = REQUEST_ID.scope(id, work).instrument(span).await;
    if let Ok(response) = &mut result {
        if let Some(header) = header {
            response.headers_mut().insert(X_REQUEST_ID, header);
        }
        if let Some(origin) = origin {
            cors::mark(response.headers_mut(), origin);
        }
    }
    measure(&method, &result, started);
    result
}

/// Note that no clone of the request may live across `call`: the router takes it for its own.
async fn guarded(request: ServiceRequest, next: Next<impl MessageBody + 'static>) -> Result<ServiceResponse<BoxBody>, Error> {
    let work = AssertUnwindSafe(next.call(request)).catch_unwind();
    match tokio::time::timeout(DEADLINE, work).await {
        Ok(Ok(result)) => result.map(ServiceResponse::map_into_boxed_body),
        Ok(Err(_panic)) => Err(Problem::defect(&"a handler panicked").close().into()),
        Err(_late) => Err(Problem::new(Code::OutcomeUnknown).detail("No answer in time").close().into()),
    }
}

fn answered(error: &Error) -> Error {
    let response: HttpResponse = error.error_response();
    InternalError::from_response("answered", response).into()
}

fn measure(method: &Method, result: &Result<ServiceResponse<BoxBody>, Error>, started: Instant) {
    let (route, status) = match result {
        Ok(response) => (response.request().match_pattern(), response.status()),
        Err(error) => (None, error.as_response_error().status_code()),
    };
    let labels = [
        ("route", route.unwrap_or_else(|| "none".to_owned())),
        ("method", known(method).to_owned()),
        ("status", status.as_str().to_owned()),
    ];
    metrics::counter!("liebian_http_requests_total", &labels).increment(1);
    metrics::histogram!("liebian_http_request_seconds", &labels).record(started.elapsed().as_secs_f64());
}

/// A caller must not be able to make new time series at will.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "HEAD" => "HEAD",
        _ => "other",
    }
}
