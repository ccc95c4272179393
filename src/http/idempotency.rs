//! `Idempotency-Key`: the same key and body gets the first decided answer again, for 24 hours, also after a restart.
//!
//! Two homes. Ops of a campaign carry the key into the campaign's own program ([`super::body::KeyedJson`]); what is refused before the
//! program is asked is told to it afterwards ([`crate::campaign::keyed`]). Every other POST wears
//! [`once`], which keeps answers in SQL: `#[post("/v1/shares", wrap = "from_fn(idempotency::once)")]`.
//!
//! A row without an answer means that the first request is at work. It counts as abandoned after `LEASE`: a process that died.
//!
//! The answer is written after the work is done, by another transaction. A process that dies in between, or that does not learn whether its work
//! holds, leaves no answer, and the repeat goes to the handler. So whatever must not happen twice recognises its own repeat: money taken out keeps
//! the key in its own row ([`crate::withdrawal::asking`]).

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody, to_bytes};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::{Bytes, Data};
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::body::read;
use super::caller;
use super::limits::client_ip;
use super::problem::Problem;
use super::request_id::{REQUEST_ID, request_id};
use crate::app::App;
use crate::clock::{Clock, UnixMs};
use crate::code::Code;
use crate::crypto::sha256;
use crate::id::UserId;
use crate::store::{Store, StoreError, Tx, execute, fetch_optional};

/// How long an answer is kept.
pub const KEPT_SECONDS: i64 = 24 * 3600;
/// A first request that has not answered for so long is taken to be dead; longer than any request may take.
const LEASE: Duration = Duration::from_mins(1);
/// How long a repeat waits for the first.
const WAIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);
const LONGEST_KEY: usize = 64;
/// No route that wears [`once`] takes a longer body.
const LARGEST_BODY: usize = 1024 * 1024;
/// Headers of an answer that belong to the transport and are made anew.
const NOT_KEPT: [&str; 4] = ["content-length", "transfer-encoding", "connection", "date"];

pub use crate::hot::lane::IdempotencyKey;

impl IdempotencyKey {
    /// The key of a request; `None` if none was sent.
    ///
    /// # Errors
    /// 422 unless it is 1 to 64 visible characters.
    pub fn of(request: &HttpRequest, body: &[u8]) -> Result<Option<Self>, Problem> {
        let Some(key) = header(request.headers())? else { return Ok(None) };
        let caller = if caller::is_at_desk(request) { operator(request) } else { shopper(request) };
        Ok(Some(Self::new(&caller, request.method().as_str(), request.path(), &key, body)))
    }

    fn new(caller: &str, method: &str, path: &str, key: &str, body: &[u8]) -> Self {
        // None of the parts can hold a line break.
        let scope = short_hash([caller, method, path, key].join("\n").as_bytes());
        Self { scope, body_hash: short_hash(if body.is_empty() { b"{}" } else { body }) }
    }
}

/// 128 bits are more than enough against chance, and nobody gains by finding two keys of their own that clash.
fn short_hash(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(sha256(bytes).first_chunk::<16>().unwrap_or(&[0; 16]))
}

fn header(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let visible = |key: &&str| (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    match value.to_str().ok().filter(visible) {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(Problem::invalid("Idempotency-Key", "must be 1 to 64 visible characters")),
    }
}

/// A shopper by user id; a stranger by device, else by address: strangers who chose the same key do not meet.
fn shopper(request: &HttpRequest) -> String {
    if let Ok(session) = caller::session(request) {
        return session.user_id.to_string();
    }
    if let Ok(device) = caller::device(request) {
        return format!("device {}", device.device_id);
    }
    let app = request.app_data::<actix_web::web::Data<App>>();
    let address = app.and_then(|app| client_ip(&app.config.trusted_proxies, request.peer_addr(), request.headers()));
    format!("address {}", address.map(|ip| ip.to_string()).unwrap_or_default())
}

/// An operator by the key it holds.
fn operator(request: &HttpRequest) -> String {
    format!("key {}", short_hash(caller::bearer(request).unwrap_or_default().as_bytes()))
}

/// Middleware for a POST outside the campaigns' programs.
///
/// # Errors
/// Those of the handler.
pub async fn once(mut request: ServiceRequest, next: Next<impl MessageBody + 'static>) -> Result<ServiceResponse<BoxBody>, Error> {
    let Keyed { app, key, about } = match take(&mut request).await {
        Ok(Some(keyed)) => keyed,
        Ok(None) => return Ok(next.call(request).await?.map_into_boxed_body()),
        Err(problem) => return Ok(request.error_response(problem).map_into_boxed_body()),
    };
    match first_or_replay(&app, &key, &about).await {
        Err(problem) => Ok(request.error_response(problem).map_into_boxed_body()),
        Ok(Some(answer)) => Ok(request.into_response(answer.response())),
        Ok(None) => {
            // On a task of its own: a caller who hangs up must not leave the work half done and the row without its answer.
            let work = async move {
                let response = next.call(request).await.map(ServiceResponse::map_into_boxed_body);
                keep(&app, &key, response).await
            };
            let work = actix_web::rt::spawn(REQUEST_ID.scope(request_id(), work));
            work.await.unwrap_or_else(|died| Err(Problem::defect(&died).into()))
        }
    }
}

/// A request that has a key.
pub struct Keyed {
    /// The application.
    pub app: Data<App>,
    /// The key.
    pub key: IdempotencyKey,
    /// The user, order or other thing that the answer is about.
    pub about: String,
}

/// Of a shopper's answer the shopper; of an operator's what the address names.
fn about(request: &HttpRequest) -> String {
    if caller::is_at_desk(request) {
        return request.match_info().iter().last().map(|(_, id)| id.to_owned()).unwrap_or_default();
    }
    caller::session(request).map(|session| session.user_id.to_string()).unwrap_or_default()
}

/// A request's key, if it has one. Its body is read for that and given back.
///
/// # Errors
/// 422 for what is no key; whatever a body, an operator's key or a shopper's device is refused with.
pub async fn take(request: &mut ServiceRequest) -> Result<Option<Keyed>, Problem> {
    if header(request.headers())?.is_none() {
        return Ok(None);
    }
    let app = caller::app(request.request())?;
    if caller::is_at_desk(request.request()) {
        caller::operator(request.request())?;
    } else if caller::names_device(request.request()) && caller::session(request.request()).is_ok() {
        caller::device(request.request())?;
    }
    let payload = request.take_payload();
    let body = read(request.request(), payload, LARGEST_BODY).await?;
    let key = IdempotencyKey::of(request.request(), &body)?;
    request.set_payload(payload_of(body));
    let about = about(request.request());
    Ok(key.map(|key| Keyed { app, key, about }))
}

fn payload_of(body: Bytes) -> Payload {
    let one = futures_util::stream::once(std::future::ready(Ok::<_, actix_web::error::PayloadError>(body)));
    Payload::Stream { payload: Box::pin(one) }
}

/// The answer that SQL keeps for a key.
///
/// # Errors
/// `idempotency_key_reused` for another body; when SQL does not answer.
pub async fn kept(app: &App, key: &IdempotencyKey) -> Result<Option<HttpResponse>, Problem> {
    match look(app, key).await? {
        Some(row) if row.body_hash != key.body_hash => Err(Code::IdempotencyKeyReused.into()),
        Some(Row { answer: Some(answer), .. }) => Ok(Some(answer.response())),
        Some(Row { answer: None, .. }) | None => Ok(None),
    }
}

/// Keeps an answer that was made already in SQL; gives the one that was kept before, if there is one.
///
/// # Errors
/// `idempotency_key_reused` for another body; when SQL does not answer.
pub async fn settle(keyed: &Keyed, response: ServiceResponse<BoxBody>) -> Result<ServiceResponse<BoxBody>, Error> {
    let Keyed { app, key, about } = keyed;
    match first_or_replay(app, key, about).await? {
        None => keep(app, key, Ok(response)).await,
        Some(answer) => Ok(ServiceResponse::new(response.into_parts().0, answer.response())),
    }
}

/// Whether an answer is a decided one, which its key gives again.
#[must_use]
pub fn is_decided(status: StatusCode) -> bool {
    !status.is_server_error() && !matches!(status.as_u16(), 401 | 408 | 429)
}

/// `None`: this request is the first, its row is there. Else the answer to give again.
async fn first_or_replay(app: &App, key: &IdempotencyKey, about: &str) -> Result<Option<Answer>, Problem> {
    let started = tokio::time::Instant::now();
    loop {
        if claim(&app.store, (key, about), &app.clock).await? {
            return Ok(None);
        }
        match look(app, key).await? {
            Some(Row { body_hash, .. }) if body_hash != key.body_hash => return Err(Code::IdempotencyKeyReused.into()),
            Some(Row { answer: Some(answer), .. }) => return Ok(Some(answer)),
            Some(Row { answer: None, .. }) | None => {}
        }
        if started.elapsed() > WAIT {
            return Err(Problem::new(Code::OutcomeUnknown).detail("The first request with this key is still at work"));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Takes the row for this request: a new one, or one that ran out, or one whose first request died.
async fn claim(store: &Store, (key, about): (&IdempotencyKey, &str), clock: &Clock) -> Result<bool, StoreError> {
    // A tester who moves time does not kill the requests that are at work.
    let (now, machine) = (clock.now(), clock.unmoved());
    let lease_ms = i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX);
    let claimed = execute!(
        store,
        "INSERT INTO idempotency_keys (scope, body_hash, created_at, expires_at, about) VALUES ($1, $2, $3, $4, $7) \
         ON CONFLICT (scope) DO UPDATE SET body_hash = excluded.body_hash, status = NULL, content = NULL, \
         created_at = excluded.created_at, expires_at = excluded.expires_at \
         WHERE idempotency_keys.expires_at <= $5 OR (idempotency_keys.status IS NULL AND idempotency_keys.created_at <= $6 \
         AND idempotency_keys.body_hash = excluded.body_hash)",
        key.scope.as_str(),
        key.body_hash.as_str(),
        machine.get(),
        now.plus_seconds(KEPT_SECONDS).get(),
        now.get(),
        machine.get().saturating_sub(lease_ms),
        about,
    )?;
    Ok(claimed > 0)
}

struct Row {
    body_hash: String,
    answer: Option<Answer>,
}

async fn look(app: &App, key: &IdempotencyKey) -> Result<Option<Row>, StoreError> {
    let row = fetch_optional!(
        &app.store,
        (String, Option<i64>, Option<Vec<u8>>),
        "SELECT body_hash, status, content FROM idempotency_keys WHERE scope = $1",
        key.scope.as_str(),
    )?;
    Ok(row.map(|(body_hash, status, content)| {
        let plain = content.filter(|_| status.is_some()).and_then(|sealed| app.secrets.open(&sealed));
        Row { body_hash, answer: plain.and_then(|plain| rmp_serde::from_slice(&plain).ok()) }
    }))
}

/// An answer as it is kept, sealed: it may hold a token.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    #[serde(with = "serde_bytes")]
    body: Vec<u8>,
}

impl Answer {
    fn response(self) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponse::build(status);
        for (name, value) in self.headers {
            response.insert_header((name, value));
        }
        response.insert_header(("idempotent-replay", "true")).body(self.body)
    }
}

/// Decided answers are kept; those that say "not now" or "not you" leave no trace, so that the repeat is a first.
async fn keep(
    app: &App,
    key: &IdempotencyKey,
    response: Result<ServiceResponse<BoxBody>, Error>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let response = match response {
        Ok(response) => response,
        Err(error) => {
            forget(app, key).await;
            return Err(error);
        }
    };
    let status = response.status();
    if !is_decided(status) {
        forget(app, key).await;
        return Ok(response);
    }
    let (request, response) = response.into_parts();
    let (head, body) = response.into_parts();
    let body = to_bytes(body).await.map_err(|why| Problem::defect(&why))?;
    let kept = Answer { status: status.as_u16(), headers: lasting(head.headers()), body: body.to_vec() };
    if let Err(why) = write(app, key, &kept).await {
        // The work is done: say so. The repeat waits out the lease and then does what the handler does on a repeat.
        tracing::warn!(%why, "an answer could not be kept for its Idempotency-Key");
    }
    Ok(ServiceResponse::new(request, head.set_body(body).map_into_boxed_body()))
}

fn lasting(headers: &HeaderMap) -> BTreeMap<String, String> {
    let text = |(name, value): (&HeaderName, &HeaderValue)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()));
    headers.iter().filter(|(name, _)| !NOT_KEPT.contains(&name.as_str())).filter_map(text).collect()
}

async fn write(app: &App, key: &IdempotencyKey, answer: &Answer) -> Result<(), Problem> {
    let plain = rmp_serde::to_vec(answer).map_err(|why| Problem::defect(&why))?;
    let sealed = app.secrets.seal(&plain).ok_or_else(|| Problem::defect(&"an answer could not be sealed"))?;
    execute!(
        &app.store,
        "UPDATE idempotency_keys SET status = $1, content = $2 WHERE scope = $3",
        i64::from(answer.status),
        sealed,
        key.scope.as_str()
    )?;
    Ok(())
}

async fn forget(app: &App, key: &IdempotencyKey) {
    let gone = execute!(&app.store, "DELETE FROM idempotency_keys WHERE scope = $1 AND status IS NULL", key.scope.as_str());
    if let Err(why) = gone {
        tracing::warn!(%why, "an Idempotency-Key stays taken until its lease is over");
    }
}

/// Deletes the answers that a person's requests got, and operators' on that person, their orders and withdrawals. Those still at work stay.
///
/// # Errors
/// When the database does not do it.
pub async fn forget_person(tx: &mut Tx, user: UserId) -> Result<(), StoreError> {
    const FORGET: &str = "DELETE FROM idempotency_keys WHERE status IS NOT NULL AND about <> '' \
                          AND (about = $1 OR about IN (SELECT id FROM orders WHERE user_id = $1) \
                          OR about IN (SELECT id FROM withdrawals WHERE user_id = $1))";
    execute!(&mut *tx, FORGET, user).map(|_rows| ())
}

/// Deletes what has run out; called now and then.
///
/// # Errors
/// When the database does not do it.
pub async fn sweep(store: &Store, now: UnixMs) -> Result<u64, StoreError> {
    execute!(store, "DELETE FROM idempotency_keys WHERE expires_at <= $1", now.get())
}

#[cfg(test)]
mod tests {
    use super::IdempotencyKey;

    #[test]
    fn a_key_holds_for_its_caller_method_path_and_body() {
        let of = |caller, path, key, body| IdempotencyKey::new(caller, "POST", path, key, body);
        let first = of("usr_a", "/v1/shares", "k", b"");
        assert_eq!(first, of("usr_a", "/v1/shares", "k", b"{}"));
        assert_eq!(first.scope, of("usr_a", "/v1/shares", "k", b"[]").scope);
        assert_ne!(first.body_hash, of("usr_a", "/v1/shares", "k", b"[]").body_hash);
        assert_ne!(first.scope, of("usr_b", "/v1/shares", "k", b"{}").scope);
        assert_ne!(first.scope, of("usr_a", "/v1/devices", "k", b"{}").scope);
        assert_eq!(first.scope.len(), 22);
    }
}
