//! Requests and answers.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::app::{ADMIN_KEY, TestApp};
use super::shop::Shopper;

/// A request to be awaited: `app.post("/v1/…").by(&shopper).json(json!({…})).key("k").await`.
#[must_use = "a request is sent when awaited"]
pub struct Request(reqwest::RequestBuilder);

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body as text.
    pub text: String,
    /// The body as JSON; null when it is none.
    pub json: Value,
    /// The headers.
    pub headers: HeaderMap,
}

impl From<reqwest::RequestBuilder> for Request {
    fn from(builder: reqwest::RequestBuilder) -> Self {
        Self(builder)
    }
}

impl TestApp {
    /// Any request.
    pub fn request(&self, method: Method, path: &str) -> Request {
        Request(self.http.request(method, format!("{}{path}", self.base)))
    }

    /// A GET.
    pub fn get(&self, path: &str) -> Request {
        self.request(Method::GET, path)
    }

    /// A POST, without a body unless one is given.
    pub fn post(&self, path: &str) -> Request {
        self.request(Method::POST, path)
    }

    /// A PATCH.
    pub fn patch(&self, path: &str) -> Request {
        self.request(Method::PATCH, path)
    }

    /// A DELETE.
    pub fn delete(&self, path: &str) -> Request {
        self.request(Method::DELETE, path)
    }
}

impl Request {
    /// A header.
    pub fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    /// With the shopper's session and device.
    pub fn by(self, shopper: &Shopper) -> Self {
        self.session(&shopper.session).header("X-Device-Token", &shopper.device)
    }

    /// With a bearer token only.
    pub fn session(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// With the admin key.
    pub fn admin(self) -> Self {
        self.session(ADMIN_KEY)
    }

    /// With an Idempotency-Key.
    pub fn key(self, key: &str) -> Self {
        self.header("Idempotency-Key", key)
    }

    /// With a JSON body.
    #[expect(clippy::needless_pass_by_value, reason = "called with json!(…)")]
    pub fn json(self, body: Value) -> Self {
        Self(self.0.header("Content-Type", "application/json").body(body.to_string()))
    }

    /// With any body, said to be JSON.
    pub fn raw(self, body: impl Into<reqwest::Body>) -> Self {
        Self(self.0.header("Content-Type", "application/json").body(body))
    }

    /// With any body of any type.
    pub fn body(self, content_type: &str, body: impl Into<reqwest::Body>) -> Self {
        Self(self.0.header("Content-Type", content_type).body(body))
    }

    /// Sends it; an error when no answer comes.
    pub async fn try_send(self) -> Result<Answer, reqwest::Error> {
        let answer = self.0.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await?;
        Ok(Answer { status, json: serde_json::from_str(&text).unwrap_or(Value::Null), text, headers })
    }
}

impl IntoFuture for Request {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async { self.try_send().await.expect("an answer") })
    }
}

impl Answer {
    /// The answer, which must have this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// The answer, which must be a problem of this status and code, in the shape of the contract.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.code()), (status, code), "{}", self.text);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        for member in ["type", "title", "detail", "request_id"] {
            assert!(self.json[member].is_string(), "no {member} in {}", self.text);
        }
        assert_eq!(self.json["status"], status);
        assert!(["never", "later", "same_request"].contains(&self.json["retry"].as_str().unwrap_or_default()), "{}", self.text);
        self
    }

    /// The problem's code, else nothing.
    pub fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }

    /// A header, if it is there.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("header in ASCII"))
    }

    /// Whether an Idempotency-Key gave an earlier answer again.
    pub fn replayed(&self) -> bool {
        self.header("idempotent-replay") == Some("true")
    }

    /// `Liebian-Seq`: campaign, epoch, sequence.
    pub fn seq(&self) -> Option<(String, i64, i64)> {
        let mut parts = self.header("liebian-seq")?.split(':');
        let mut next = || parts.next().expect("three parts");
        Some((next().to_owned(), next().parse().expect("epoch"), next().parse().expect("sequence")))
    }

    /// The fields that a 422 names.
    pub fn fields(&self) -> Vec<&str> {
        self.json["errors"].as_array().into_iter().flatten().filter_map(|error| error["field"].as_str()).collect()
    }

    /// Text at a place such as `/order/id`.
    #[track_caller]
    pub fn at(&self, pointer: &str) -> String {
        let value = self.json.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {}", self.text));
        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
    }
}
