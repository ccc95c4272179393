//! Who may call: the security schemes, and what an operation says of them.

use actix_web::http::Method;
use serde_json::Value;
use utoipa::openapi::Components;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};

/// What an operation asks of its callers.
#[derive(Debug, Default)]
pub struct Callers {
    /// A session or an operator's key.
    pub bearer: bool,
    /// A device token.
    pub device: bool,
    /// A role that not every key has.
    pub role: bool,
}

/// The three schemes.
pub fn add_schemes(components: &mut Components) {
    let bearer = |about: &str| SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(about)).build());
    let device = "The token of `POST /v1/devices`; every call of a shopper that changes something names the device it comes from.";
    let roles = "An operator's key. The role beside it is the least that is let in: viewer reads, editor changes campaigns, finance moves \
                 money, admin manages keys; each may do what those before it may.";
    components.add_security_scheme("session", bearer("A shopper's session: the token of `POST /v1/sessions`."));
    components.add_security_scheme("operator", bearer(roles));
    let value = ApiKeyValue::with_description("X-Device-Token", device);
    components.add_security_scheme("device", SecurityScheme::ApiKey(ApiKey::Header(value)));
}

/// What the operation asks; where it says nothing, what its address implies is written down. Operators' routes must name a role.
pub fn of(path: &str, method: &Method, operation: &mut Operation) -> Callers {
    let implied = implied(path, method);
    if operation.security.is_none() && !implied.is_empty() {
        let all = implied.iter().fold(SecurityRequirement::default(), |all, name| all.add(*name, Vec::<String>::new()));
        operation.security = Some(vec![all]);
    }
    let said = serde_json::to_value(&operation.security).unwrap_or_default();
    let ways: Vec<&serde_json::Map<String, Value>> = said.as_array().into_iter().flatten().filter_map(Value::as_object).collect();
    if ways.iter().any(|way| way.is_empty()) {
        return Callers::default();
    }
    let asks = |name: &str| ways.iter().any(|way| way.contains_key(name));
    let roles = ways.iter().filter_map(|way| way.get("operator")).filter_map(Value::as_array).flatten();
    Callers { bearer: asks("session") || asks("operator"), device: asks("device"), role: roles.into_iter().any(|role| role != "viewer") }
}

fn implied(path: &str, method: &Method) -> &'static [&'static str] {
    let free = ["/v1/devices", "/v1/sessions"].contains(&path);
    if path == "/v1/sessions/current" || *method == Method::GET && (path.starts_with("/v1/me/") || path.starts_with("/v1/orders/")) {
        &["session"]
    } else if path.starts_with("/v1/") && *method != Method::GET && !free {
        &["session", "device"]
    } else {
        &[]
    }
}
