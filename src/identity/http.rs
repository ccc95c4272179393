//! Devices and sessions over HTTP.

use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{HttpResponse, Responder, delete, post};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa_actix_web::service_config::ServiceConfig;

use super::token::{Device, Session};
use super::users::{Login, sign_in};
use crate::app::App;
use crate::clock::UnixMs;
use crate::code::Code;
use crate::http::body::Json;
use crate::http::caller::{Editor, Operator};
use crate::http::extract::word;
use crate::http::idempotency;
use crate::http::problem::Problem;
use crate::id::UserId;
use crate::operator::audit::{Change, audit};

const SIGNALS: usize = 32;
const SIGNAL_NAME: usize = 32;
const SIGNAL_VALUE: usize = 256;
const EXTERNAL_ID: usize = 128;
const DISPLAY_NAME: usize = 64;

/// The routes.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(make_device).service(make_session).service(end_session).service(make_session_for_shop).service(super::erase::erase);
}

/// What a client knows of its device.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewDevice {
    /// 1 to 32 entries; names of at most 32 characters; values text of at most 256 characters, number or boolean.
    #[schema(schema_with = signals_schema)]
    signals: Map<String, Value>,
}

/// A device token.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct DeviceAnswer {
    /// For the header `X-Device-Token`.
    device_token: String,
    /// Until when it holds.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    expires_at: UnixMs,
}

/// A login.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSession {
    /// The login provider.
    #[serde(deserialize_with = "word")]
    provider: Provider,
    /// What the provider gave the client. With `sandbox` any text of 1 to 128 visible characters: it names the shopper.
    #[schema(
        min_length = 1,
        max_length = 128,
        pattern = "^[^\\s\\x00-\\x1f\\x7f-\\x9f]([^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f])?$",
        example = "ada"
    )]
    code: String,
    /// A name without control characters; others see its first character only.
    #[schema(max_length = 64, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$", example = "Ada")]
    display_name: Option<String>,
}

/// Who can log shoppers in.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum Provider {
    /// Anybody is who they say, where the sandbox is on.
    Sandbox,
}

/// A login made by the shop's own backend.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ShopSession {
    /// The shop's own id of the shopper, 1 to 128 visible characters.
    #[schema(
        min_length = 1,
        max_length = 128,
        pattern = "^[^\\s\\x00-\\x1f\\x7f-\\x9f]([^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f])?$",
        example = "customer-4711"
    )]
    external_user_id: String,
    /// A name without control characters; others see its first character only.
    #[schema(max_length = 64, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$", example = "Ada")]
    display_name: Option<String>,
}

/// A session.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct SessionAnswer {
    /// For the header `Authorization: Bearer …`.
    session_token: String,
    /// Whose it is.
    user_id: UserId,
    /// Until when it holds.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    expires_at: UnixMs,
    /// Has never had an order that was paid.
    newcomer: bool,
}

/// Issue a device token.
///
/// The same signals are the same device. The signals themselves are not kept.
#[utoipa::path(tag = "identity", operation_id = "make_device", request_body = NewDevice,
    responses((status = 201, description = "The token", body = DeviceAnswer)))]
#[post("/v1/devices", wrap = "from_fn(idempotency::once)")]
async fn make_device(app: Data<App>, Json(new): Json<NewDevice>) -> Result<impl Responder, Problem> {
    check_signals(&new.signals)?;
    let device = Device::of_signals(&app.secrets, &new.signals, app.clock.now());
    let device = device.ok_or_else(|| Problem::defect(&"signals could not be written as JSON"))?;
    Ok(HttpResponse::Created().json(DeviceAnswer { device_token: device.token(&app.secrets), expires_at: device.expires_at }))
}

/// Log in.
#[utoipa::path(tag = "identity", operation_id = "log_in", request_body = NewSession,
    responses((status = 201, description = "Logged in", body = SessionAnswer)))]
#[post("/v1/sessions", wrap = "from_fn(idempotency::once)")]
async fn make_session(app: Data<App>, Json(new): Json<NewSession>) -> Result<impl Responder, Problem> {
    let provider = match new.provider {
        Provider::Sandbox if app.config.sandbox => "sandbox",
        Provider::Sandbox => return Err(Problem::invalid("provider", "the sandbox is off")),
    };
    let external_id = visible("code", &new.code)?;
    begin(&app, provider, external_id, new.display_name).await
}

/// End this session now.
#[utoipa::path(tag = "identity", operation_id = "end_session", responses((status = 204, description = "Ended")))]
#[delete("/v1/sessions/current")]
async fn end_session(app: Data<App>, session: Session) -> Result<impl Responder, Problem> {
    app.revocations.end(&app.store, &session, app.clock.now()).await?;
    Ok(HttpResponse::NoContent())
}

/// Log a shopper in on behalf of the shop's own login.
#[utoipa::path(tag = "operator: sessions", operation_id = "log_in_shopper", request_body = ShopSession, security(("operator" = ["editor"])),
    responses((status = 201, description = "Logged in", body = SessionAnswer)))]
#[post("/operator/v1/sessions", wrap = "from_fn(idempotency::once)")]
async fn make_session_for_shop(
    app: Data<App>,
    operator: Operator<Editor>,
    Json(new): Json<ShopSession>,
) -> Result<impl Responder, Problem> {
    let external_id = visible("external_user_id", &new.external_user_id)?;
    // Refused before it is noted.
    new.display_name.as_deref().map(shown).transpose()?;
    let mut tx = app.store.begin().await?;
    // The shopper's own id at the shop is personal: the log of changes names the action only.
    let change = Change { actor: &operator.key.id, action: "session.create", target: "shop", before: None, after: None };
    audit(&mut tx, change, app.clock.now()).await?;
    tx.commit().await?;
    begin(&app, "shop", external_id, new.display_name).await
}

async fn begin(app: &App, provider: &str, external_id: &str, display_name: Option<String>) -> Result<HttpResponse, Problem> {
    let display_name = display_name.as_deref().map(shown).transpose()?;
    let login = Login { provider, external_id, display_name };
    let now = app.clock.now();
    let user = sign_in(&app.store, &login, now).await?;
    app.names.set(user.user_id, user.initial);
    let session = Session::begin(user.user_id, user.initial, now);
    Ok(HttpResponse::Created().json(SessionAnswer {
        session_token: session.token(&app.secrets),
        user_id: user.user_id,
        expires_at: session.expires_at,
        newcomer: user.newcomer,
    }))
}

fn check_signals(signals: &Map<String, Value>) -> Result<(), Problem> {
    if !(1..=SIGNALS).contains(&signals.len()) {
        return Err(Problem::invalid("signals", format!("needs 1 to {SIGNALS} entries")));
    }
    let mut problem = Problem::new(Code::InvalidRequest);
    let mut fine = true;
    for (name, value) in signals {
        let wrong = match value {
            _ if name.is_empty() || name.chars().count() > SIGNAL_NAME => Some("a name has 1 to 32 characters"),
            Value::String(text) if text.chars().count() > SIGNAL_VALUE => Some("text has at most 256 characters"),
            Value::String(_) | Value::Number(_) | Value::Bool(_) => None,
            Value::Null | Value::Array(_) | Value::Object(_) => Some("expected text, a number or a boolean"),
        };
        if let Some(message) = wrong {
            fine = false;
            problem = problem.field(format!("signals.{name}"), message);
        }
    }
    if fine { Ok(()) } else { Err(problem) }
}

/// Text of 1 to 128 characters without spaces around it and without control characters.
fn visible<'a>(field: &str, text: &'a str) -> Result<&'a str, Problem> {
    let fits = (1..=EXTERNAL_ID).contains(&text.chars().count()) && text.trim() == text && !text.chars().any(char::is_control);
    if fits { Ok(text) } else { Err(Problem::invalid(field, format!("needs 1 to {EXTERNAL_ID} visible characters"))) }
}

/// A name without the spaces around it; an empty one is none.
fn shown(name: &str) -> Result<&str, Problem> {
    if name.chars().count() > DISPLAY_NAME {
        return Err(Problem::invalid("display_name", format!("has at most {DISPLAY_NAME} characters")));
    }
    if name.chars().any(char::is_control) {
        return Err(Problem::invalid("display_name", "must not hold control characters"));
    }
    Ok(name.trim())
}

fn signals_schema() -> RefOr<Schema> {
    let name = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(SIGNAL_NAME));
    let kinds = SchemaType::from_iter([Type::String, Type::Number, Type::Boolean]);
    let value = ObjectBuilder::new().schema_type(kinds).max_length(Some(SIGNAL_VALUE));
    let about = "What is the same whenever the client runs here, and a stored random `install_id`, so that two phones of one model are two devices.";
    let signals = ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some(about))
        .property_names(Some(name))
        .additional_properties(Some(value));
    let signals = signals.min_properties(Some(1)).max_properties(Some(SIGNALS));
    signals.examples([json!({"platform": "ios", "model": "iPhone 17", "install_id": "5f0c1c9e"})]).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{check_signals, shown, visible};

    #[test]
    fn signals_are_flat_few_and_short() {
        let fits = |signals: serde_json::Value| check_signals(signals.as_object().unwrap()).is_ok();
        assert!(fits(json!({"a": "b", "n": 1.5, "t": true})));
        assert!(!fits(json!({})));
        assert!(!fits(json!({"a": {"b": 1}})));
        assert!(!fits(json!({"a": null})));
        assert!(!fits(json!({"a": "x".repeat(257)})));
        assert!(!fits(json!({"n".repeat(33): 1})));
        let many: serde_json::Map<_, _> = (0..33).map(|n| (n.to_string(), json!(n))).collect();
        assert!(check_signals(&many).is_err());
    }

    #[test]
    fn names_and_ids_have_no_control_characters() {
        assert_eq!(shown(" Ada ").unwrap(), "Ada");
        assert!(shown("A\u{7}da").is_err());
        assert!(shown(&"x".repeat(65)).is_err());
        assert!(visible("code", "张三").is_ok());
        for wrong in ["", " a", "a\nb", &"x".repeat(129)] {
            assert!(visible("code", wrong).is_err(), "{wrong:?}");
        }
    }
}
