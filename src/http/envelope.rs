//! What every request gets: an id, limits, a place in the figures, CORS, an end in time, and a problem instead of a panic.
//!
//! It stands around every request, so it is written out by hand: no allocation of its own, no boxed future, no timer.

use std::error::Error as StdError;
use std::future::{Future, Ready, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::error::InternalError;
use actix_web::http::header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::web::Bytes;
use actix_web::{Error, HttpResponse, ResponseError};

use super::caller;
use super::connection::AtWork;
use super::cors::{Cors, Grant};
use super::identify::{self, Identifying};
use super::limits::Limits;
use super::problem::Problem;
use super::request_id::{REQUEST_ID, RequestId, X_REQUEST_ID};
use super::traffic::{Meter, Traffic, known};
use crate::app::App;
use crate::code::Code;

/// Addresses longer than this are none of ours.
const LONGEST_ADDRESS: usize = 8 * 1024;
const NOSNIFF: (HeaderName, HeaderValue) = (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
const NOT_KEPT: HeaderValue = HeaderValue::from_static("no-store");

/// The outermost middleware.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// Who may call from a browser.
    pub cors: Cors,
    /// Who calls too often.
    pub limits: Arc<Limits>,
    /// Who has called.
    pub traffic: Arc<Traffic>,
}

impl Envelope {
    /// The application's.
    #[must_use]
    pub fn of(app: &App) -> Self {
        Self { cors: Cors::new(&app.config.cors_origins), limits: Arc::clone(&app.limits), traffic: Arc::clone(&app.traffic) }
    }
}

/// The middleware on its worker.
#[derive(Debug)]
pub struct Enveloped<S> {
    inner: S,
    cors: Cors,
    limits: Arc<Limits>,
    meter: Rc<Meter>,
}

impl<S> Transform<S, ServiceRequest> for Envelope
where
    S: Service<ServiceRequest, Response = ServiceResponse, Error = Error, Future = identify::Answer> + 'static,
{
    type Response = ServiceResponse<Body>;
    type Error = Error;
    type Transform = Enveloped<Identifying<S>>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        let meter = Rc::new(Meter::new(Arc::clone(&self.traffic)));
        ready(Ok(Enveloped { inner: Identifying::new(inner), cors: self.cors.clone(), limits: Arc::clone(&self.limits), meter }))
    }
}

impl<S> Service<ServiceRequest> for Enveloped<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse, Error = Error>,
    S::Future: Unpin,
{
    type Response = ServiceResponse<Body>;
    type Error = Error;
    type Future = Answering<S::Future>;

    forward_ready!(inner);

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let has_body = !matches!(request.parts_mut().1, Payload::None);
        let head = request.head();
        let cover = Cover {
            id: RequestId::fresh(),
            started: Instant::now(),
            method: known(&head.method),
            grant: self.cors.grant(&head.headers),
            at_work: AtWork::begin(request.request(), has_body),
            meter: Rc::clone(&self.meter),
            bodiless: head.method == Method::HEAD,
        };
        if cover.bodiless {
            // What GET answers, HEAD answers; the connection knows that no body is to follow.
            request.head_mut().method = Method::GET;
        }
        let step = REQUEST_ID.sync_scope(cover.id, || match self.before(&request, &cover.grant) {
            Some(answer) => Step::Done(Some(request.into_response(answer))),
            None => caught(|| self.inner.call(request)).map_or(Step::Lost, Step::Work),
        });
        Answering { step, cover: Some(cover) }
    }
}

impl<S> Enveloped<S> {
    /// The answer that needs no route.
    fn before(&self, request: &ServiceRequest, grant: &Grant) -> Option<HttpResponse> {
        if let Err(problem) = self.limits.check(request.request()) {
            return Some(problem.error_response());
        }
        let head = request.head();
        if head.uri.path().len().saturating_add(head.uri.query().map_or(0, str::len)) > LONGEST_ADDRESS {
            let detail = format!("An address has at most {LONGEST_ADDRESS} bytes");
            let problem = Problem::new(Code::MalformedRequest).status(StatusCode::URI_TOO_LONG).detail(detail);
            return Some(problem.error_response());
        }
        grant.preflight(&head.method, &head.headers)
    }
}

/// A request on its way through the server.
#[derive(Debug)]
pub struct Answering<F> {
    step: Step<F>,
    cover: Option<Cover>,
}

#[derive(Debug)]
enum Step<F> {
    Work(F),
    Done(Option<ServiceResponse>),
    Lost,
}

/// What is known of a request from outside.
#[derive(Debug)]
struct Cover {
    id: RequestId,
    started: Instant,
    method: &'static str,
    grant: Grant,
    at_work: Option<AtWork>,
    meter: Rc<Meter>,
    bodiless: bool,
}

impl<F> Future for Answering<F>
where
    F: Future<Output = Result<ServiceResponse, Error>> + Unpin,
{
    type Output = Result<ServiceResponse<Body>, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { step, cover } = &mut *self;
        let Some(open) = cover else { return Poll::Pending };
        let outcome = REQUEST_ID.sync_scope(open.id, || match step {
            Step::Work(work) => open.proceed(work, context),
            Step::Done(answer) => Poll::Ready(answer.take().ok_or_else(|| Problem::new(Code::Internal).into())),
            Step::Lost => Poll::Ready(Err(broken())),
        });
        let Poll::Ready(outcome) = outcome else { return Poll::Pending };
        match cover.take() {
            Some(cover) => Poll::Ready(cover.close(outcome)),
            None => Poll::Pending,
        }
    }
}

impl Cover {
    fn proceed<F>(&self, work: &mut F, context: &mut Context<'_>) -> Poll<F::Output>
    where
        F: Future<Output = Result<ServiceResponse, Error>> + Unpin,
    {
        if let Some(code) = self.at_work.as_ref().and_then(AtWork::late) {
            return Poll::Ready(Err(Problem::new(code).detail("The time for it is over").close().into()));
        }
        caught(|| Pin::new(work).poll(context)).unwrap_or_else(|| Poll::Ready(Err(broken())))
    }

    /// An error means that the request itself was lost on the way (deadline, panic); it is answered here, while its id is known.
    fn close(self, outcome: Result<ServiceResponse, Error>) -> Result<ServiceResponse<Body>, Error> {
        let took = self.started.elapsed();
        match outcome {
            Ok(mut answer) => {
                self.meter.count(answer.request().match_pattern(), self.method, answer.status().as_u16(), took);
                let private = is_private(caller::path(answer.request()));
                let head = answer.response_mut().head_mut();
                if self.at_work.as_ref().is_some_and(AtWork::is_last) {
                    head.set_connection_type(ConnectionType::Close);
                }
                mark(self.id, self.grant, &mut head.headers);
                if private && !head.headers.contains_key(CACHE_CONTROL) {
                    head.headers.insert(CACHE_CONTROL, NOT_KEPT);
                }
                if let Some(at_work) = &self.at_work {
                    at_work.answered();
                }
                Ok(answer.map_body(|_, body| Body::new(body, self.bodiless, self.at_work)))
            }
            Err(error) => {
                let mut answer = REQUEST_ID.sync_scope(self.id, || error.error_response());
                self.meter.count(None, self.method, answer.status().as_u16(), took);
                mark(self.id, self.grant, answer.headers_mut());
                Err(InternalError::from_response("answered", answer).into())
            }
        }
    }
}

/// Whether what is answered there is one person's, a token or the shop's own: nobody on the way may keep it.
fn is_private(path: &str) -> bool {
    ["/v1/me/", "/v1/orders/", "/v1/sessions", "/v1/devices", "/operator/"].iter().any(|start| path.starts_with(start))
}

fn mark(id: RequestId, grant: Grant, headers: &mut HeaderMap) {
    headers.insert(X_REQUEST_ID, id.header());
    headers.insert(NOSNIFF.0, NOSNIFF.1);
    grant.mark(headers);
}

/// `None` after a panic, which its hook has told of with its cause ([`super::telemetry`]). What panicked is not touched again: its answer closes
/// the connection.
fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

fn broken() -> Error {
    Problem::new(Code::Internal).close().into()
}

/// The body of an answer. The request counts as at work until it is written out.
#[derive(Debug)]
pub struct Body {
    inner: BoxBody,
    _at_work: Option<AtWork>,
}

impl Body {
    fn new(inner: BoxBody, bodiless: bool, at_work: Option<AtWork>) -> Self {
        // Of a stream nobody is to see there is no need to wait for the end.
        let endless = bodiless && inner.size() == BodySize::Stream;
        let inner = if endless { BoxBody::new(actix_web::body::None::new()) } else { inner };
        Self { inner, _at_work: at_work }
    }
}

impl MessageBody for Body {
    type Error = Box<dyn StdError>;

    fn size(&self) -> BodySize {
        self.inner.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.inner).poll_next(context)
    }
}
