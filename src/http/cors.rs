//! CORS: web pages of the configured origins may call the API; no cookies are involved.

use actix_web::HttpResponse;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderValue};

const METHODS: &str = "GET, POST, PATCH, DELETE";
const HEADERS: &str = "authorization, content-type, idempotency-key, if-none-match, last-event-id, x-device-token, x-share-token";
const EXPOSED: &str = "etag, idempotent-replay, liebian-seq, location, retry-after, x-request-id";
/// Seconds a browser may remember a preflight.
const REMEMBERED: &str = "600";

/// The request's origin, if it is one of `allowed`.
#[must_use]
pub fn allowed_origin(allowed: &[String], headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let text = origin.to_str().ok()?;
    allowed.iter().any(|one| one == text).then(|| origin.clone())
}

/// The answer to a preflight of an allowed origin; `None` if the request is none.
#[must_use]
pub fn preflight(method: &Method, headers: &HeaderMap) -> Option<HttpResponse> {
    let asks = *method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    asks.then(|| {
        HttpResponse::NoContent()
            .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, METHODS))
            .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS))
            .insert_header((header::ACCESS_CONTROL_MAX_AGE, REMEMBERED))
            .finish()
    })
}

/// Marks an answer to an allowed origin.
pub fn mark(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}
