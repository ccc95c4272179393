//! Who is calling, as extractors: shopper's session, device, share link, operator.

use std::future::{Ready, ready};
use std::marker::PhantomData;

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage, HttpRequest};

use super::problem::Problem;
use crate::app::App;
use crate::code::Code;
use crate::identity::{Device, Session};
use crate::operator::{Key, Role, keys};
use crate::share::token;

/// WeChat's `scene` holds no more, and no share token of ours is longer.
const LONGEST_SHARE_TOKEN: usize = 32;

/// Where POSTs of shoppers' addresses need no device: it is not there yet, or testers and providers call.
const DEVICELESS: [&str; 5] = ["/v1/devices", "/v1/sessions", "/v1/payments/", "/v1/sandbox/clock", "/v1/sandbox/faults"];

const DEVICE_TOKEN: &str = "x-device-token";

/// The session, where there is a valid one. Any other `Authorization` counts as none: what needs no session is for everybody.
#[derive(Clone, Copy, Debug)]
pub struct MaybeSession(pub Option<Session>);

/// The token of `X-Share-Token`, if it looks like one. It attributes and never authorises, so a wrong one refuses nothing.
#[derive(Clone, Debug)]
pub struct ShareToken(pub Option<String>);

impl ShareToken {
    /// The token, if it is one of ours. Whether there is such a link is not asked.
    #[must_use]
    pub fn ours(&self, app: &App) -> Option<token::ShareToken> {
        self.0.as_deref().and_then(|text| token::ShareToken::read(&app.secrets, text))
    }
}

/// An operator with at least the role `R`.
#[derive(Debug)]
pub struct Operator<R> {
    /// The key that calls.
    pub key: Key,
    role: PhantomData<R>,
}

/// What became of looking up the key of an operator's request.
pub(super) struct Known(pub(super) Result<Key, Problem>);

/// A role as a type, for [`Operator`].
pub trait AtLeast {
    /// The least role that is let in.
    const ROLE: Role;
}

macro_rules! roles {
    ($($name:ident)*) => {$(
        /// At least this role.
        #[derive(Debug)]
        pub struct $name;
        impl AtLeast for $name {
            const ROLE: Role = Role::$name;
        }
    )*};
}

roles! { Viewer Editor Finance Admin }

/// The path as the routes see it: `%73` is an `s` to them, and must be one to every rule about paths.
#[must_use]
pub fn path(request: &HttpRequest) -> &str {
    request.match_info().as_str()
}

/// Whether it is an operator's address that is asked for.
#[must_use]
pub fn is_at_desk(request: &HttpRequest) -> bool {
    path(request).starts_with("/operator/")
}

/// Whether it is a POST of shoppers that must say which device it comes from.
#[must_use]
pub fn names_device(request: &HttpRequest) -> bool {
    path(request).starts_with("/v1/") && !DEVICELESS.iter().any(|start| path(request).starts_with(start))
}

/// The application; there is one in every server we build.
///
/// # Errors
/// 500 where there is none.
pub fn app(request: &HttpRequest) -> Result<Data<App>, Problem> {
    request.app_data::<Data<App>>().cloned().ok_or_else(|| Problem::defect(&"the application is missing"))
}

/// The token after `Bearer`.
#[must_use]
pub fn bearer(request: &HttpRequest) -> Option<&str> {
    let (scheme, token) = request.headers().get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The shopper's tokens, checked once: whoever asks later in the same request finds the result among its extensions.
#[derive(Clone, Copy, Debug)]
pub struct Checked {
    /// The session, if a valid one was sent.
    pub session: Option<Session>,
    /// The device, if a valid one was sent.
    pub device: Option<Device>,
}

impl Checked {
    /// Checks what the request sends and leaves the result with it; `None` if it sends no token.
    #[must_use]
    pub fn of(request: &HttpRequest) -> Option<Self> {
        let headers = request.headers();
        if !headers.contains_key(AUTHORIZATION) && !headers.contains_key(DEVICE_TOKEN) {
            return None;
        }
        let checked = Self { session: session(request).ok(), device: device(request).ok() };
        request.extensions_mut().insert(checked);
        Some(checked)
    }
}

/// The shopper's session.
///
/// # Errors
/// 401 `unauthenticated` when there is none, or it is not ours, over or ended.
pub fn session(request: &HttpRequest) -> Result<Session, Problem> {
    if let Some(checked) = request.extensions().get::<Checked>() {
        return checked.session.ok_or_else(|| Code::Unauthenticated.into());
    }
    let app = app(request)?;
    let session = bearer(request).and_then(|token| Session::read(&app.secrets, token, app.clock.now()));
    session.filter(|session| !app.revocations.contains(session)).ok_or_else(|| Code::Unauthenticated.into())
}

/// The shopper's device.
///
/// # Errors
/// 401 `device_required` without a token, `device_invalid` when it is not ours or over.
pub fn device(request: &HttpRequest) -> Result<Device, Problem> {
    let header = request.headers().get(DEVICE_TOKEN).ok_or(Code::DeviceRequired)?;
    if let Some(checked) = request.extensions().get::<Checked>() {
        return checked.device.ok_or_else(|| Code::DeviceInvalid.into());
    }
    let app = app(request)?;
    let device = header.to_str().ok().and_then(|token| Device::read(&app.secrets, token, app.clock.now()));
    device.ok_or_else(|| Code::DeviceInvalid.into())
}

/// The operator's key.
///
/// # Errors
/// 401 `unauthenticated` when no key, or none of ours, was sent; trouble of the database.
pub async fn operator_key(app: &App, secret: Option<&str>) -> Result<Key, Problem> {
    let secret = secret.ok_or(Code::Unauthenticated)?;
    keys::find(&app.store, secret, app.clock.now()).await?.ok_or_else(|| Code::Unauthenticated.into())
}

/// Lets in whoever may play with the sandbox: shoppers and operators alike are testers there, strangers are not.
///
/// # Errors
/// Those of [`operator_key`].
pub async fn tester(app: &App, request: &HttpRequest) -> Result<(), Problem> {
    if session(request).is_err() {
        operator_key(app, bearer(request)).await?;
    }
    Ok(())
}

/// The operator's key that [`super::identify`] found.
///
/// # Errors
/// Those of [`operator_key`].
pub fn operator(request: &HttpRequest) -> Result<Key, Problem> {
    let known = request.extensions().get::<Known>().map(|Known(found)| found.clone());
    known.unwrap_or_else(|| Err(Problem::defect(&"nobody looked up the operator's key")))
}

impl FromRequest for Session {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(session(request))
    }
}

impl FromRequest for MaybeSession {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self(session(request).ok())))
    }
}

impl FromRequest for Device {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(device(request))
    }
}

impl FromRequest for ShareToken {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let text = request.headers().get("x-share-token").and_then(|value| value.to_str().ok());
        let plain = |text: &&str| {
            (1..=LONGEST_SHARE_TOKEN).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        };
        ready(Ok(Self(text.filter(plain).map(str::to_owned))))
    }
}

impl<R: AtLeast> FromRequest for Operator<R> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(operator(request).and_then(|key| {
            if key.role < R::ROLE {
                return Err(Problem::new(Code::Forbidden).detail(format!("Needs the role {}", R::ROLE.word())));
            }
            Ok(Self { key, role: PhantomData })
        }))
    }
}
