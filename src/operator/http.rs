//! Keys and the log of changes over HTTP.

use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{HttpResponse, Responder, delete, get, post, web};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use utoipa_actix_web::service_config::ServiceConfig;

use super::audit::{self, Change, Entry, Filter, audit};
use super::events;
use super::keys::{self, Key, Revoked, Role};
use crate::app::App;
use crate::code::Code;
use crate::http::body::Json;
use crate::http::caller::{Admin, Operator, Viewer};
use crate::http::extract::{Query, word};
use crate::http::idempotency;
use crate::http::page::{List, Page, bound};
use crate::http::problem::Problem;

const NAME: usize = 64;

/// The routes.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(list_keys).service(make_key).service(revoke_key).service(audit_log).service(events::http::read);
}

/// A key to make.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = NewOperatorKey)]
#[serde(deny_unknown_fields)]
struct NewKey {
    /// What to call it; not blank, no control characters.
    #[schema(
        min_length = 1,
        max_length = 64,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$",
        example = "Warehouse"
    )]
    name: String,
    /// What it may do.
    #[serde(deserialize_with = "word")]
    role: Role,
}

/// A new key with its secret, which is shown this once.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = MadeOperatorKey)]
struct MadeKey {
    /// The key.
    #[serde(flatten)]
    key: Key,
    /// For the header `Authorization: Bearer …`.
    secret: String,
}

/// All keys, also those revoked.
#[utoipa::path(tag = "operator: keys", operation_id = "list_keys", params(Page), security(("operator" = ["admin"])),
    responses((status = 200, description = "A page", body = List<Key>)))]
#[get("/operator/v1/keys")]
async fn list_keys(app: Data<App>, _operator: Operator<Admin>, page: Page) -> Result<impl Responder, Problem> {
    let rows = keys::list(&app.store, page.before(), page.fetch()).await?;
    Ok(HttpResponse::Ok().json(page.list(rows, |key| (key.created_at.get(), key.id.clone()))))
}

/// Make a key.
#[utoipa::path(tag = "operator: keys", operation_id = "make_key", request_body = NewKey, security(("operator" = ["admin"])),
    responses((status = 201, description = "The key and, this once, its secret", body = MadeKey)))]
#[post("/operator/v1/keys", wrap = "from_fn(idempotency::once)")]
async fn make_key(app: Data<App>, operator: Operator<Admin>, Json(new): Json<NewKey>) -> Result<impl Responder, Problem> {
    let name = new.name.trim();
    if !(1..=NAME).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        return Err(Problem::invalid("name", format!("needs 1 to {NAME} visible characters")));
    }
    let (secret, now) = (keys::new_secret(), app.clock.now());
    let mut tx = app.store.begin().await?;
    let made = keys::keep(&mut tx, &secret, name, new.role, now).await?;
    let key = made.ok_or_else(|| Problem::defect(&"two random keys are the same"))?;
    let after = Some(json!({"name": name, "role": new.role}));
    audit(&mut tx, Change { actor: &operator.key.id, action: "key.create", target: &key.id, before: None, after }, now).await?;
    tx.commit().await?;
    Ok(HttpResponse::Created().json(MadeKey { key, secret }))
}

/// Revoke a key, at once and for good. The last admin key cannot be revoked.
#[utoipa::path(tag = "operator: keys", operation_id = "revoke_key", params(("id" = String, Path, description = "The id of a key.")),
    security(("operator" = ["admin"])), responses((status = 204, description = "It opens nothing from now on")))]
#[delete("/operator/v1/keys/{id}")]
async fn revoke_key(app: Data<App>, operator: Operator<Admin>, id: web::Path<String>) -> Result<impl Responder, Problem> {
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    match keys::revoke(&mut tx, &id, now).await? {
        Revoked::Unknown => return Err(Code::NotFound.into()),
        Revoked::LastAdmin => return Err(Problem::new(Code::Forbidden).detail("This is the last admin key")),
        Revoked::Before => {}
        Revoked::Now(key) => {
            let (before, after) = (Some(json!({"name": key.name, "role": key.role})), Some(json!({"revoked_at": now.rfc3339()})));
            audit(&mut tx, Change { actor: &operator.key.id, action: "key.revoke", target: &id, before, after }, now).await?;
        }
    }
    tx.commit().await?;
    Ok(HttpResponse::NoContent())
}

/// Which changes to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct AuditQuery {
    /// Only what was done so, such as `campaign.publish`.
    #[param(required = false, nullable = false, pattern = "^[0-9A-Za-z_.]{1,64}$")]
    #[serde(default, deserialize_with = "plain")]
    action: Option<String>,
    /// Only with this key.
    #[param(required = false, nullable = false, pattern = "^[0-9A-Za-z_.]{1,64}$")]
    #[serde(default, deserialize_with = "plain")]
    actor: Option<String>,
    /// Only to what has this id.
    #[param(required = false, nullable = false, pattern = "^[0-9A-Za-z_.]{1,64}$")]
    #[serde(default, deserialize_with = "plain")]
    target: Option<String>,
    /// Done at this time or later.
    #[param(required = false, nullable = false, format = DateTime)]
    from: Option<String>,
    /// Done before this time.
    #[param(required = false, nullable = false, format = DateTime)]
    to: Option<String>,
}

/// A word of an id or an action.
fn plain<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(from)?;
    let fits = (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte));
    if fits { Ok(Some(text)) } else { Err(D::Error::custom("must be 1 to 64 letters, digits, _ or .")) }
}

/// What operators changed, newest first, with what was there before and after.
#[utoipa::path(tag = "operator: keys", operation_id = "list_audit_log", params(AuditQuery, Page), security(("operator" = ["viewer"])),
    responses((status = 200, description = "A page", body = List<Entry>)))]
#[get("/operator/v1/audit_log")]
async fn audit_log(app: Data<App>, _operator: Operator<Viewer>, query: Query<AuditQuery>, page: Page) -> Result<impl Responder, Problem> {
    let AuditQuery { action, actor, target, from, to } = query.0;
    let filter = Filter {
        action: action.unwrap_or_default(),
        actor: actor.unwrap_or_default(),
        target: target.unwrap_or_default(),
        from: bound("from", from.as_deref(), 0)?,
        to: bound("to", to.as_deref(), i64::MAX)?,
    };
    app.projector.all_caught_up().await;
    let rows = audit::list(&app.store, &filter, page.before(), page.fetch()).await?;
    Ok(HttpResponse::Ok().json(page.list(rows, |entry| (entry.at.get(), entry.id.clone()))))
}
