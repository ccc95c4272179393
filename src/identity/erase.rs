//! Forgetting a person while the books stay whole.
//!
//! What is erased: name, the login's own id of the person (who logs in again is somebody new), all sessions, what operators wrote on the
//! person's orders and why they rejected withdrawals, words about person, orders and withdrawals in the audit log, and the answers kept for
//! Idempotency-Keys that were about them. What stays: orders, payments, withdrawals, links and the log, under the engine's own random id, which
//! leads to nobody any more; and the keyed hashes of devices, which limits hang on. Reasons of refunds stay in the books: they are no place for
//! personal data, and their fields say so.

use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{HttpResponse, post};
use serde::Serialize;
use serde_json::{Map, Value};

use super::names::Initial;
use super::revocation;
use crate::app::App;
use crate::clock::UnixMs;
use crate::code::Code;
use crate::http::body::{Json, Nothing};
use crate::http::caller::{Admin, Operator};
use crate::http::extract::Id;
use crate::http::idempotency;
use crate::http::problem::Problem;
use crate::id::UserId;
use crate::operator::audit::{Change, audit};
use crate::store::{StoreError, Tx, execute, fetch_all, fetch_optional};

/// Rows of the audit log at once.
const AT_ONCE: i64 = 500;
/// Members of an audit row that may hold words about a person.
const PERSONAL: [&str; 7] = ["reason", "reference", "metadata", "display_name", "external_user_id", "confirmation", "last_error"];
/// What stands in their place.
const ERASED: &str = "(erased)";

/// A person who was forgotten.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ErasedUser)]
pub struct ErasedView {
    /// The id, which stands for nobody any more.
    user_id: UserId,
    /// When.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    erased_at: UnixMs,
}

/// Erase a shopper's personal data and end their sessions. Orders and ledger stay, under an id that stands for nobody any more. A repeat changes
/// nothing.
#[utoipa::path(tag = "operator: sessions", operation_id = "erase_user", params(("id" = UserId, Path)), request_body = Nothing,
    security(("operator" = ["admin"])), responses((status = 200, description = "Erased, now or before", body = ErasedView)),
    extensions(("x-refusals" = json!([Code::NotFound]))))]
#[post("/operator/v1/users/{id}/erase", wrap = "from_fn(idempotency::once)")]
pub async fn erase(app: Data<App>, operator: Operator<Admin>, id: Id<UserId>, body: Json<Nothing>) -> Result<HttpResponse, Problem> {
    const FORGET: &str = "UPDATE users SET display_name = '', external_id = $1, erased_at = $2 WHERE id = $3 AND erased_at IS NULL";
    const WHEN: &str = "SELECT erased_at FROM users WHERE id = $1";
    let Nothing {} = body.0;
    // Orders that were answered are in SQL, and so is what was written on them.
    app.projector.all_caught_up().await;
    let (user, now) = (id.0, app.clock.now());
    let mut tx = app.store.begin().await?;
    // No login can name this: it holds a control character.
    if execute!(&mut tx, FORGET, format!("\u{1}{user}"), now, user)? == 1 {
        execute!(&mut tx, "UPDATE orders SET metadata = NULL WHERE user_id = $1", user)?;
        execute!(&mut tx, "UPDATE bond_history SET reason = $1 WHERE user_id = $2 AND reason IS NOT NULL", ERASED, user)?;
        execute!(&mut tx, "UPDATE withdrawals SET reason = $1 WHERE user_id = $2 AND reason IS NOT NULL", ERASED, user)?;
        forget_words(&mut tx, user).await?;
        idempotency::forget_person(&mut tx, user).await?;
        revocation::end_all_of(&mut tx, user, now).await?;
        let target = user.to_string();
        audit(&mut tx, Change { actor: &operator.key.id, action: "user.erase", target: &target, before: None, after: None }, now).await?;
    }
    let erased_at = fetch_optional!(&mut tx, (Option<UnixMs>,), WHEN, user)?.and_then(|(at,)| at);
    tx.commit().await?;
    let erased_at = erased_at.ok_or(Code::NotFound)?;
    app.revocations.forget(user);
    app.names.set(user, Initial(None));
    Ok(HttpResponse::Ok().json(ErasedView { user_id: user, erased_at }))
}

/// Takes the words out of what the audit log holds about a person, their orders and withdrawals; figures stay.
async fn forget_words(tx: &mut Tx, user: UserId) -> Result<(), StoreError> {
    const ABOUT: &str = "SELECT id, before, after FROM audit_log WHERE (target = $1 OR target IN (SELECT id FROM orders WHERE user_id = $1) \
                         OR target IN (SELECT id FROM withdrawals WHERE user_id = $1)) AND id > $2 ORDER BY id LIMIT $3";
    const REPLACE: &str = "UPDATE audit_log SET before = $1, after = $2 WHERE id = $3";
    let mut after_id = String::new();
    loop {
        let rows = fetch_all!(&mut *tx, (String, Option<String>, Option<String>), ABOUT, user, after_id.as_str(), AT_ONCE)?;
        for (id, before, after) in &rows {
            execute!(&mut *tx, REPLACE, before.as_deref().map(without_words), after.as_deref().map(without_words), id)?;
        }
        match rows.last() {
            Some((last, ..)) => after_id.clone_from(last),
            None => return Ok(()),
        }
    }
}

/// A row of the audit log without words about a person. What does not read as JSON goes whole.
fn without_words(text: &str) -> String {
    let mut value: Value = serde_json::from_str(text).unwrap_or_default();
    strip(&mut value);
    value.to_string()
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if !PERSONAL.contains(&name.as_str()) {
                    strip(member);
                } else if member.is_object() {
                    *member = Value::Object(Map::new());
                } else if !member.is_null() {
                    *member = ERASED.into();
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::without_words;

    #[test]
    fn words_go_and_figures_stay() {
        let payout = json!({"amount_fen": 500, "confirmation": {"account": "138"}, "last_error": "no account of Ada"});
        assert_eq!(
            without_words(&payout.to_string()),
            json!({"amount_fen": 500, "confirmation": {}, "last_error": "(erased)"}).to_string()
        );
        let row = json!({"order": {"paid_fen": 4950, "reason": "Mr Zhang called", "metadata": {"phone": "138"}, "share_token": null},
            "asked": {"amount_fen": 100, "reason": "x"}, "list": [{"display_name": "Ada"}], "reason": null});
        let bare = json!({"order": {"paid_fen": 4950, "reason": "(erased)", "metadata": {}, "share_token": null},
            "asked": {"amount_fen": 100, "reason": "(erased)"}, "list": [{"display_name": "(erased)"}], "reason": null});
        assert_eq!(without_words(&row.to_string()), bare.to_string());
        assert_eq!(without_words("no JSON: Ada"), "null");
    }
}
