//! JSON bodies: read whole, bounded in size and time, then parsed into a type or refused with the field at fault.

use actix_web::dev::Payload;
use actix_web::http::{Method, header};
use actix_web::web::{Bytes, BytesMut};
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

use super::connection::Reading;
use super::idempotency::IdempotencyKey;
use super::problem::Problem;
use crate::code::Code;

/// Bodies are no longer than this unless a route says so: the largest op has a handful of short fields.
pub const DEFAULT_LIMIT: usize = 16 * 1024;

/// The media type of RFC 7396.
pub const MERGE_PATCH: &str = "application/merge-patch+json";

/// A JSON body of at most `LIMIT` bytes. An absent body is `{}`. The type should say `#[serde(deny_unknown_fields)]`.
#[derive(Debug)]
pub struct Json<T, const LIMIT: usize = DEFAULT_LIMIT>(pub T);

/// A JSON body together with the request's `Idempotency-Key`, for ops whose repeat the campaign's own program recognises.
#[derive(Debug)]
pub struct KeyedJson<T> {
    /// The body.
    pub body: T,
    /// The key, if one was sent.
    pub key: Option<IdempotencyKey>,
}

/// A body without fields.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = EmptyBody)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

impl<T: DeserializeOwned + 'static, const LIMIT: usize> FromRequest for Json<T, LIMIT> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (json, body) = (is_json(request), read(request, payload.take(), LIMIT));
        Box::pin(async move { parse(&body.await?, json).map(Self) })
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for KeyedJson<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, body) = (request.clone(), read(request, payload.take(), DEFAULT_LIMIT));
        Box::pin(async move {
            let bytes = body.await?;
            let body = parse(&bytes, is_json(&request))?;
            Ok(Self { body, key: IdempotencyKey::of(&request, &bytes)? })
        })
    }
}

/// Reads a body to its end. Its time is the connection's to watch.
///
/// # Errors
/// 413 past `limit` bytes, or when more are announced; 400 when it breaks off.
pub fn read(request: &HttpRequest, payload: Payload, limit: usize) -> impl Future<Output = Result<Bytes, Problem>> + use<> {
    let reading = Reading::begin(request);
    let announced = announced(request);
    async move {
        let body = if announced > limit { Err(too_large(limit)) } else { collect(payload, limit).await };
        if let (Some(reading), Ok(_)) = (reading, &body) {
            reading.whole();
        }
        body
    }
}

/// What `Content-Length` says; 0 if it says nothing.
fn announced(request: &HttpRequest) -> usize {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    length.unwrap_or_default()
}

async fn collect(mut payload: Payload, limit: usize) -> Result<Bytes, Problem> {
    let (mut first, mut rest) = (Bytes::new(), BytesMut::new());
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|broken| Problem::new(Code::MalformedRequest).detail(broken.to_string()))?;
        if first.len().saturating_add(rest.len()).saturating_add(chunk.len()) > limit {
            return Err(too_large(limit));
        }
        // Most bodies come in one piece, which needs no copy.
        if first.is_empty() {
            first = chunk;
        } else {
            rest.extend_from_slice(&chunk);
        }
    }
    if rest.is_empty() {
        return Ok(first);
    }
    Ok([first.as_ref(), rest.as_ref()].concat().into())
}

fn too_large(limit: usize) -> Problem {
    Problem::new(Code::PayloadTooLarge).detail(format!("At most {limit} bytes are read")).close()
}

/// Every PATCH is a merge patch, which RFC 7396 gives a media type of its own.
fn is_json(request: &HttpRequest) -> bool {
    let kind = request.content_type();
    let is_patch = *request.method() == Method::PATCH && kind.eq_ignore_ascii_case(MERGE_PATCH);
    (is_patch || kind.eq_ignore_ascii_case("application/json"))
        && request.headers().get(header::CONTENT_ENCODING).is_none_or(|encoding| encoding == "identity")
}

fn parse<T: DeserializeOwned>(bytes: &[u8], declared_json: bool) -> Result<T, Problem> {
    if bytes.is_empty() {
        return parse_text("{}");
    }
    if !declared_json {
        return Err(Code::UnsupportedMediaType.into());
    }
    let text = str::from_utf8(bytes).map_err(|why| malformed(&why))?;
    if text.contains("\\u0000") {
        refuse_nul(text)?;
    }
    parse_text(text)
}

fn parse_text<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_str(text);
    // serde would read a struct from an array as well.
    let is_object = text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{');
    let result = if is_object { serde_path_to_error::deserialize(&mut reader) } else { not_an_object(text)? };
    match result {
        Ok(value) => reader.end().map(|()| value).map_err(|why| malformed(&why)),
        // Of an enum that is no text serde_json says "expected value" as if it were no JSON.
        Err(why) if why.inner().classify() == Category::Data || why.inner().to_string().starts_with("expected value") => {
            // A mistyped field may stand before a place where the text stops being JSON at all.
            serde_json::from_str::<IgnoredAny>(text).map_err(|why| malformed(&why))?;
            Err(invalid_field(&why.path().to_string(), &why.inner().to_string()))
        }
        Err(why) => Err(malformed(why.inner())),
    }
}

fn not_an_object<T>(text: &str) -> Result<T, Problem> {
    serde_json::from_str::<IgnoredAny>(text).map_err(|why| malformed(&why))?;
    Err(Problem::invalid("", "expected an object"))
}

fn malformed(why: &dyn std::fmt::Display) -> Problem {
    Problem::new(Code::MalformedRequest).detail(why.to_string())
}

/// serde names the struct around a missing or unknown field, and the field itself in its message.
fn invalid_field(path: &str, message: &str) -> Problem {
    let message = message.split(" at line ").next().unwrap_or(message);
    let parent = path.trim_matches('.').trim_end_matches('?').trim_end_matches('.');
    let named = ["missing field `", "unknown field `"].iter().find_map(|start| message.strip_prefix(start)?.split('`').next());
    let field = match named {
        Some(name) if parent.is_empty() || parent == name => name.to_owned(),
        Some(name) if parent.ends_with(&format!(".{name}")) => parent.to_owned(),
        Some(name) => format!("{parent}.{name}"),
        None => parent.to_owned(),
    };
    Problem::invalid(field, message)
}

/// Postgres cannot keep U+0000 in text, so nobody may send it.
fn refuse_nul(text: &str) -> Result<(), Problem> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|why| malformed(&why))?;
    match nul_at(&value, String::new()) {
        Some(field) => Err(Problem::invalid(field, "contains the character U+0000")),
        None => Ok(()),
    }
}

fn nul_at(value: &serde_json::Value, path: String) -> Option<String> {
    use serde_json::Value;
    match value {
        Value::String(text) => text.contains('\0').then_some(path),
        Value::Array(items) => items.iter().enumerate().find_map(|(index, item)| nul_at(item, format!("{path}[{index}]"))),
        Value::Object(members) => members.iter().find_map(|(name, member)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            if name.contains('\0') { Some(path) } else { nul_at(member, path) }
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{ResponseError, body::to_bytes};
    use serde::Deserialize;
    use serde_json::Value;

    use super::{Problem, parse};

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the reading matters")]
    struct Item {
        sku: String,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the reading matters")]
    struct Order {
        items: Vec<Item>,
        quantity: i64,
        note: Option<String>,
        kind: Option<Kind>,
    }

    #[derive(Debug, Deserialize)]
    enum Kind {
        A,
    }

    async fn refused(text: &[u8]) -> (u16, String) {
        let problem: Problem = parse::<Order>(text, true).unwrap_err();
        let body: Value = serde_json::from_slice(&to_bytes(problem.error_response().into_body()).await.unwrap()).unwrap();
        let field = body.pointer("/errors/0/field").and_then(Value::as_str).unwrap_or("-").to_owned();
        (problem.code().status(), field)
    }

    #[actix_web::test]
    async fn a_wrong_field_is_named_by_its_path() {
        for (text, field) in [
            (r#"{"items": [{"sku": 7}], "quantity": 1}"#, "items[0].sku"),
            (r#"{"items": [{}], "quantity": 1}"#, "items[0].sku"),
            (r#"{"items": [{"sku": "a", "x": 1}], "quantity": 1}"#, "items[0].x"),
            (r#"{"items": [], "quantity": 1.5}"#, "quantity"),
            (r#"{"items": []}"#, "quantity"),
            (r#"{"items": [], "quantity": 1, "x": 1}"#, "x"),
            (r#"{"items": [], "quantity": 1, "note": "a\u0000"}"#, "note"),
            (r#"{"items": [], "quantity": 1, "kind": 7}"#, "kind"),
            (r#"{"items": [], "quantity": 1, "kind": ["A"]}"#, "kind"),
            ("[1]", ""),
            ("", "items"),
        ] {
            assert_eq!(refused(text.as_bytes()).await, (422, field.to_owned()), "{text}");
        }
    }

    #[actix_web::test]
    async fn what_is_no_json_is_malformed() {
        for text in [
            b"{".as_slice(),
            b"{\"items\": 7, ",
            b"\xef\xbb\xbf{}",
            b"{\"note\": \"\xff\"}",
            b"{\"items\": [], \"quantity\": 1} x",
            b"hello",
            b" ",
        ] {
            assert_eq!(refused(text).await.0, 400, "{}", String::from_utf8_lossy(text));
        }
        assert_eq!(parse::<Order>(b"{}", false).unwrap_err().code().status(), 415);
        assert!(parse::<Order>(br#"{"items": [{"sku": "a\\u0000"}], "quantity": 1}"#, true).is_ok());
    }
}
