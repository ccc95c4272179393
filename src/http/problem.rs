//! Every refusal and failure as RFC 9457 `application/problem+json`.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue, HttpDate};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use serde_json::{Map, Value};

use super::request_id::{RequestId, X_REQUEST_ID, request_id};
use crate::clock::{Clock, UnixMs};
use crate::code::{Code, Retry};
use crate::store::StoreError;

const MEDIA_TYPE: &str = "application/problem+json";

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
    #[schema(value_type = String)]
    request_id: RequestId,
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
    status: u16,
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
            status: code.status(),
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

    /// Another status than the code's own, for a case HTTP has a word for and the table of codes has not (414, 431).
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.0.status = status.as_u16();
        self
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

    /// The whole answer as it goes over the wire, for where there is no request that could be answered. The connection ends with it.
    #[must_use]
    pub fn on_the_wire(&self) -> Vec<u8> {
        let body = self.body();
        let (status, length) = (self.status_code(), body.len());
        let retry_after = self.0.retry_after.map(|seconds| format!("retry-after: {seconds}\r\n")).unwrap_or_default();
        let (id, date) = (request_id(), date(Clock::default().now()));
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {length}\r\ncache-control: no-store\r\n{retry_after}\
             {X_REQUEST_ID}: {id}\r\nconnection: close\r\ndate: {date}\r\n\r\n"
        );
        [head.into_bytes(), body].concat()
    }

    fn body(&self) -> Vec<u8> {
        let Parts { code, status, detail, errors, more, .. } = &*self.0;
        metrics::counter!("liebian_problems_total", "code" => code.word()).increment(1);
        let body = ProblemBody {
            kind: format!("urn:liebian:problem:{}", code.word()),
            title: code.title(),
            status: *status,
            code: *code,
            detail: if detail.is_empty() { code.title() } else { detail },
            retry: code.retry(),
            request_id: request_id(),
            errors,
            more,
        };
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

/// As HTTP writes it.
fn date(at: UnixMs) -> HttpDate {
    let since_1970 = Duration::from_millis(u64::try_from(at.get()).unwrap_or_default());
    (UNIX_EPOCH + since_1970).into()
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.code.word())
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let Parts { headers, retry_after, close, .. } = &*self.0;
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((header::CONTENT_TYPE, MEDIA_TYPE)).insert_header((header::CACHE_CONTROL, "no-store"));
        for header in headers {
            response.insert_header(header.clone());
        }
        if let Some(seconds) = retry_after {
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        if *close {
            response.force_close();
        }
        response.body(self.body())
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

    use super::Problem;
    use crate::clock::UnixMs;
    use crate::code::Code;
    use crate::http::request_id::{REQUEST_ID, RequestId};

    async fn body(id: RequestId, problem: Problem) -> (actix_web::http::header::HeaderMap, Value) {
        let response = REQUEST_ID.sync_scope(id, || problem.error_response());
        let headers = response.headers().clone();
        (headers, serde_json::from_slice(&to_bytes(response.into_body()).await.unwrap()).unwrap())
    }

    #[actix_web::test]
    async fn a_problem_has_the_members_of_the_contract() {
        let id = RequestId::fresh();
        let (headers, body) = body(id, Problem::invalid("items[0].sku", "is empty").with("alternative", json!(null))).await;
        assert_eq!(headers.get("content-type").unwrap(), "application/problem+json");
        let expected = json!({
            "type": "urn:liebian:problem:invalid_request", "title": "Some fields are not valid", "status": 422,
            "code": "invalid_request", "detail": "Some fields are not valid", "retry": "never", "request_id": id,
            "errors": [{"field": "items[0].sku", "message": "is empty"}], "alternative": null,
        });
        assert_eq!(body, expected);
    }

    #[actix_web::test]
    async fn overload_says_when_to_come_back() {
        let (headers, body) = body(RequestId::fresh(), Problem::new(Code::Overloaded)).await;
        assert_eq!(headers.get("retry-after").unwrap(), "1");
        assert_eq!(body.get("retry").unwrap(), "later");
        assert_eq!(body.get("errors"), None);
    }

    #[test]
    fn without_a_request_the_whole_answer_is_made_by_hand() {
        let problem = Problem::new(Code::RateLimited).retry_after(7);
        let answer = String::from_utf8(problem.on_the_wire()).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let lines: Vec<&str> = head.lines().collect();
        assert_eq!(lines[0], "HTTP/1.1 429 Too Many Requests");
        for line in ["content-type: application/problem+json", "retry-after: 7", "connection: close"] {
            assert!(lines.contains(&line), "{head}");
        }
        assert!(lines.contains(&format!("content-length: {}", body.len()).as_str()), "{head}");
        assert_eq!(super::date(UnixMs::new(0)).to_string(), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(serde_json::from_str::<Value>(body).unwrap()["code"], "rate_limited");
    }

    #[actix_web::test]
    async fn a_case_may_have_a_status_of_its_own() {
        let problem = Problem::new(Code::MalformedRequest).status(actix_web::http::StatusCode::URI_TOO_LONG);
        assert_eq!(problem.status_code(), 414);
        assert_eq!(body(RequestId::fresh(), problem).await.1["status"], 414);
    }
}
