//! Every refusal and failure as RFC 9457 `application/problem+json`.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::code::{Code, Retry};
use crate::store::StoreError;

tokio::task_local! {
    /// The id of the request at work, for problem bodies.
    pub static REQUEST_ID: String;
}

/// One field that is not valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// Where: `items[0].sku`; empty for the body as a whole.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

/// The body of every answer from 400 on. Some codes add members of their own, such as `alternative` or `warnings`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody<'a> {
    /// `urn:liebian:problem:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// One short sentence, the same for each code.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// The stable word to act on.
    code: Code,
    /// More about this very case, for people.
    detail: &'a str,
    /// Whether asking again can help.
    retry: Retry,
    /// Names this request in the server's log.
    request_id: String,
    /// With 422: what is wrong where.
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    #[schema(required = false)]
    errors: &'a [FieldError],
    #[serde(flatten)]
    #[schema(ignore)]
    more: &'a Map<String, Value>,
}

/// A refusal on its way out: `return Err(Problem::new(Code::SoldOut))`, or `Err(Code::SoldOut)?`.
#[derive(Clone, Debug)]
pub struct Problem(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    code: Code,
    detail: String,
    errors: Vec<FieldError>,
    more: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    retry_after: Option<u32>,
    close: bool,
}

impl Problem {
    /// A problem with nothing but its code.
    #[must_use]
    pub fn new(code: Code) -> Self {
        let retry_after = matches!(code.status(), 429 | 503).then_some(1);
        Self(Box::new(Parts {
            code,
            detail: String::new(),
            errors: Vec::new(),
            more: Map::new(),
            headers: Vec::new(),
            retry_after,
            close: false,
        }))
    }

    /// 422 with one field.
    #[must_use]
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest).field(field, message)
    }

    /// A broken promise of our own (500). Logged here with its cause; the caller learns the request id only.
    #[must_use]
    pub fn defect(cause: &dyn fmt::Display) -> Self {
        tracing::error!(request_id = %request_id(), %cause, "defect");
        Self::new(Code::Internal)
    }

    /// Its code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Says more about this case.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = detail.into();
        self
    }

    /// Adds a field that is not valid.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>, message: impl Into<String>) -> Self {
        self.0.errors.push(FieldError { field: field.into(), message: message.into() });
        self
    }

    /// Adds a member, such as `alternative`; what cannot be written as JSON becomes null.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        self.0.more.insert(name.to_owned(), serde_json::to_value(value).unwrap_or(Value::Null));
        self
    }

    /// Adds a header, such as `Liebian-Seq`; a value that no header can carry is left out.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.0.headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        self
    }

    /// Seconds after which to ask again (429 and 503 say 1 unless told otherwise).
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// Closes the connection with the answer: for callers that are too slow to be worth keeping.
    #[must_use]
    pub fn close(mut self) -> Self {
        self.0.close = true;
        self
    }
}

/// The id of the request at work; empty outside one.
#[must_use]
pub fn request_id() -> String {
    REQUEST_ID.try_with(Clone::clone).unwrap_or_default()
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.code.word())
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let Parts { code, detail, errors, more, headers, retry_after, close } = &*self.0;
        metrics::counter!("liebian_problems_total", "code" => code.word()).increment(1);
        let mut response = HttpResponse::build(self.status_code());
        response.content_type("application/problem+json").insert_header((header::CACHE_CONTROL, "no-store"));
        for header in headers {
            response.insert_header(header.clone());
        }
        if let Some(seconds) = retry_after {
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        if *close {
            response.force_close();
        }
        let body = ProblemBody {
            kind: format!("urn:liebian:problem:{}", code.word()),
            title: code.title(),
            status: code.status(),
            code: *code,
            detail: if detail.is_empty() { code.title() } else { detail },
            retry: code.retry(),
            request_id: request_id(),
            errors,
            more,
        };
        response.body(serde_json::to_vec(&body).unwrap_or_default())
    }
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

impl From<garde::Report> for Problem {
    fn from(report: garde::Report) -> Self {
        let fields = report.iter();
        fields.fold(Self::new(Code::InvalidRequest), |problem, (path, error)| problem.field(path.to_string(), error.message()))
    }
}

impl From<StoreError> for Problem {
    /// Busy: nothing was changed. No answer: it is not known whether the statement took effect. All else is a defect.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy(_) => Self::new(Code::Overloaded),
            StoreError::Unavailable(cause) => {
                tracing::warn!(request_id = %request_id(), %cause, "the database does not answer");
                Self::new(Code::OutcomeUnknown)
            }
            StoreError::Rejected { .. } | StoreError::Defect(_) | StoreError::CommitAfterFailure | StoreError::Address(_) => {
                Self::defect(&error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{ResponseError, body::to_bytes};
    use serde_json::{Value, json};

    use super::{Problem, REQUEST_ID};
    use crate::code::Code;

    async fn body(problem: Problem) -> (actix_web::http::header::HeaderMap, Value) {
        let response = REQUEST_ID.scope("req1".to_owned(), async move { problem.error_response() }).await;
        let headers = response.headers().clone();
        (headers, serde_json::from_slice(&to_bytes(response.into_body()).await.unwrap()).unwrap())
    }

    #[actix_web::test]
    async fn a_problem_has_the_members_of_the_contract() {
        let (headers, body) = body(Problem::invalid("items[0].sku", "is empty").with("alternative", json!(null))).await;
        assert_eq!(headers.get("content-type").unwrap(), "application/problem+json");
        let expected = json!({
            "type": "urn:liebian:problem:invalid_request", "title": "Some fields are not valid", "status": 422,
            "code": "invalid_request", "detail": "Some fields are not valid", "retry": "never", "request_id": "req1",
            "errors": [{"field": "items[0].sku", "message": "is empty"}], "alternative": null,
        });
        assert_eq!(body, expected);
    }

    #[actix_web::test]
    async fn overload_says_when_to_come_back() {
        let (headers, body) = body(Problem::new(Code::Overloaded)).await;
        assert_eq!(headers.get("retry-after").unwrap(), "1");
        assert_eq!(body.get("retry").unwrap(), "later");
        assert_eq!(body.get("errors"), None);
    }
}
