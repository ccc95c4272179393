//! CORS: web pages of the configured origins may call the API; no cookies are involved.

use actix_web::HttpResponse;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderValue};

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PATCH, DELETE");
const HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, idempotency-key, if-none-match, last-event-id, x-device-token, x-share-token");
const EXPOSED: HeaderValue = HeaderValue::from_static("etag, idempotent-replay, liebian-seq, location, retry-after, x-request-id");
/// Seconds a browser may remember a preflight.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");

/// The origins that may call; none is the rule.
#[derive(Clone, Debug, Default)]
pub struct Cors(Vec<HeaderValue>);

/// What a request's answer is to say.
#[derive(Debug, Default)]
pub enum Grant {
    /// No origin is configured: nothing.
    #[default]
    Off,
    /// This one is none of the configured.
    Refused,
    /// It may read the answer.
    Granted(HeaderValue),
}

impl Cors {
    /// Origins as the settings have read them: `scheme://host[:port]`, lower case. They are compared whole, byte for byte.
    #[must_use]
    pub fn new(origins: &[String]) -> Self {
        Self(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect())
    }

    /// What the answer to a request with these headers is to say.
    #[must_use]
    pub fn grant(&self, headers: &HeaderMap) -> Grant {
        if self.0.is_empty() {
            return Grant::Off;
        }
        match headers.get(header::ORIGIN) {
            Some(origin) if self.0.contains(origin) => Grant::Granted(origin.clone()),
            Some(_) | None => Grant::Refused,
        }
    }
}

impl Grant {
    /// The answer to a preflight; `None` if the request is none, or comes from elsewhere.
    #[must_use]
    pub fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<HttpResponse> {
        let asks = *method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        (asks && matches!(self, Self::Granted(_))).then(|| {
            HttpResponse::NoContent()
                .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, METHODS))
                .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS))
                .insert_header((header::ACCESS_CONTROL_MAX_AGE, REMEMBERED))
                .finish()
        })
    }

    /// Marks the answer, whatever it is. `Vary` stands there for every caller, or a cache would give one origin's answer to another.
    pub fn mark(self, headers: &mut HeaderMap) {
        match self {
            Self::Off => return,
            Self::Refused => {}
            Self::Granted(origin) => {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
            }
        }
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
}
