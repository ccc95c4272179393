//! What operators do to one order: look at it, write on it, fulfil it, send money back, call it off.
//!
//! Editors fulfil and write; money is finance's: refunds, and calling off, which sends back what was paid. Each act stands in the audit log with
//! the order before and after. Repeats: what is fulfilled, undone or called off answers the same; a partial refund is a new one each time unless
//! it carries an `Idempotency-Key`, which the campaign's own program remembers together with the refund.

use std::borrow::Cow;

use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{HttpResponse, get, patch, post};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::http::closed;
use super::ops::{self, Decided};
use super::records::{self, OrderRecord};
use super::row::State;
use super::work::note;
use crate::app::App;
use crate::campaign::live;
use crate::code::Code;
use crate::http::answer;
use crate::http::body::{Json, KeyedJson, Nothing};
use crate::http::caller::{Editor, Finance, Operator, Viewer};
use crate::http::extract::Id;
use crate::http::idempotency;
use crate::http::problem::Problem;
use crate::id::{OrderId, UserId};
use crate::money::{Fen, MAX_FEN};
use crate::operator::reason;

/// The longest metadata of an order, as JSON.
const MOST_METADATA: usize = 16 * 1024;
/// A body may be a little longer than what it holds.
const METADATA_BODY: usize = 64 * 1024;
/// Two who write on one order at once: so often the later reads again.
const TURNS: usize = 8;

/// Money to send back.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = NewRefund)]
#[serde(deny_unknown_fields)]
pub struct Refund {
    /// How much; absent: all that is left, which undoes the order.
    #[schema(value_type = i64, minimum = 1, maximum = 10_000_000_000_i64, nullable = false, required = false, example = 500)]
    amount_fen: Option<Fen>,
    /// Why, in words that the buyer may read; not blank, no control characters. It stays in the books: no personal data.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$",
        example = "A box arrived broken"
    )]
    reason: String,
}

/// An order to call off.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = CallOff)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    /// Why, in words that the buyer may read; not blank, no control characters. It stays in the books: no personal data. Absent: the order says
    /// `called_off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(
        required = false,
        min_length = 1,
        max_length = 200,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$",
        example = "Out of stock in the warehouse"
    )]
    reason: Option<String>,
}

/// What operators write on an order.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = OrderChange)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// A merge patch (RFC 7396) on the order's metadata, an object of the shop's own; at most 16 KiB in all. Only operators see it.
    #[schema(value_type = Object, example = json!({"parcel": "SF1234567890"}))]
    metadata: Map<String, Value>,
}

/// What the engine itself says of unpaid orders and unknown payments; an operator who says the same would be taken for it, so it is told apart.
const OWN_WORDS: [&str; 4] = ["cancelled", "hold_expired", "close_unanswered", "unknown_order"];

/// What stands for the reason of an operator who gave none.
const CALLED_OFF: &str = "called_off";

/// A reason that is an operator's own.
fn words(text: &str) -> Result<Cow<'_, str>, Problem> {
    let words = reason(text)?;
    Ok(if OWN_WORDS.contains(&words) { Cow::Owned(format!("operator: {words}")) } else { Cow::Borrowed(words) })
}

/// The order as it was before an act; 404 for one that nobody knows.
async fn before(app: &App, id: OrderId) -> Result<OrderRecord, Problem> {
    if !live::ensure(app, id.campaign()).await? {
        return Err(Code::NotFound.into());
    }
    found(app, id).await
}

async fn found(app: &App, id: OrderId) -> Result<OrderRecord, Problem> {
    app.projector.caught_up(id.campaign()).await;
    records::find(&app.store, id).await?.ok_or_else(|| Code::NotFound.into())
}

/// Waits until SQL has what was decided, writes it down and answers.
async fn told(
    app: &App,
    (actor, action): (&str, &str),
    before: OrderRecord,
    asked: &impl Serialize,
    done: Decided,
) -> Result<HttpResponse, Problem> {
    let id = before.order.id;
    let decided = answer::Decided { campaign: id.campaign(), place: done.place, replayed: done.replayed };
    done.decision.map_err(|code| decided.refuse(code.into()))?;
    app.projector.settled(id.campaign(), done.place).await?;
    let after = found(app, id).await?;
    // Who repeats a call whose answer was lost may be the first to write it down.
    if (&after.order, after.refund_due_fen) != (&before.order, before.refund_due_fen) || done.replayed {
        let told = json!({"order": after, "asked": asked});
        note(app, (actor, action), &id.to_string(), (json!({"order": before}), told)).await?;
    }
    app.cashier.wake.notify_one();
    Ok(decided.json(StatusCode::OK, &after))
}

/// One order, as operators see it.
#[utoipa::path(tag = "operator: orders", operation_id = "get_order_record", params(("id" = OrderId, Path)),
    security(("operator" = ["viewer"])), responses((status = 200, description = "The order", body = OrderRecord)))]
#[get("/operator/v1/orders/{id}")]
pub async fn read(app: Data<App>, _operator: Operator<Viewer>, id: Id<OrderId>) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(found(&app, id.0).await?))
}

/// The goods are handed over. What is fulfilled already answers the same.
#[utoipa::path(tag = "operator: orders", operation_id = "fulfil_order", params(("id" = OrderId, Path)), request_body = Nothing,
    security(("operator" = ["editor"])), responses((status = 200, description = "The order", body = OrderRecord)),
    extensions(("x-decided" = json!(true)), ("x-refusals" = json!([Code::NotFound, Code::OrderNotFulfillable]))))]
#[post("/operator/v1/orders/{id}/fulfil", wrap = "from_fn(idempotency::once)")]
pub async fn fulfil(
    app: Data<App>,
    operator: Operator<Editor>,
    id: Id<OrderId>,
    body: KeyedJson<Nothing>,
) -> Result<HttpResponse, Problem> {
    let before = before(&app, id.0).await?;
    let done = ops::fulfil(&app.engine, id.0, body.key.as_ref()).await?;
    told(&app, (&operator.key.id, "order.fulfil"), before, &json!({}), done).await
}

/// Send money back: a part of it once the good is certain, or all that is left, which undoes the order.
///
/// Each partial refund without an Idempotency-Key is a new one. The order answered is `refund_due` until the provider has executed the last of it;
/// `refunded_fen` counts what was executed.
#[utoipa::path(tag = "operator: orders", operation_id = "refund_order", params(("id" = OrderId, Path)), request_body = Refund,
    security(("operator" = ["finance"])), responses((status = 200, description = "The order", body = OrderRecord)),
    extensions(("x-decided" = json!(true)), ("x-refusals" = json!([Code::NotFound, Code::NotRefundable]))))]
#[post("/operator/v1/orders/{id}/refund", wrap = "from_fn(idempotency::once)")]
pub async fn refund(
    app: Data<App>,
    operator: Operator<Finance>,
    id: Id<OrderId>,
    body: KeyedJson<Refund>,
) -> Result<HttpResponse, Problem> {
    let reason = words(&body.body.reason)?;
    let amount = body.body.amount_fen.map_or(0, Fen::get);
    if body.body.amount_fen.is_some() && !(1..=MAX_FEN).contains(&amount) {
        return Err(Problem::invalid("amount_fen", format!("must be 1 to {MAX_FEN}")));
    }
    let before = before(&app, id.0).await?;
    let done = ops::refund(&app.engine, id.0, amount, &reason, body.key.as_ref()).await?;
    told(&app, (&operator.key.id, "order.refund"), before, &body.body, done).await
}

/// Call an order off: unpaid, it is released; paid, it is undone and all money goes back. What is released or undone already answers the same.
#[utoipa::path(tag = "operator: orders", operation_id = "call_off_order", params(("id" = OrderId, Path)), request_body = Cancel,
    security(("operator" = ["finance"])), responses((status = 200, description = "The order", body = OrderRecord)),
    extensions(("x-decided" = json!(true)), ("x-refusals" = json!([Code::NotFound, Code::OrderNotCancellable]))))]
#[post("/operator/v1/orders/{id}/cancel", wrap = "from_fn(idempotency::once)")]
pub async fn cancel(app: Data<App>, operator: Operator<Finance>, id: Id<OrderId>, body: Json<Cancel>) -> Result<HttpResponse, Problem> {
    let reason = body.0.reason.as_deref().map_or(Ok(Cow::Borrowed(CALLED_OFF)), words)?;
    let before = before(&app, id.0).await?;
    let done = ops::call_off(&app.engine, id.0, &reason).await?;
    if let Ok(order) = &done.decision
        && order.state == State::Closing
        && let Ok(user) = UserId::from_hot(&order.user)
    {
        closed(&app, id.0, user, order.clone()).await?;
    }
    told(&app, (&operator.key.id, "order.cancel"), before, &body.0, done).await
}

/// Write on an order: metadata of the shop's own, for operators only.
#[utoipa::path(tag = "operator: orders", operation_id = "change_order", params(("id" = OrderId, Path)), request_body = Edit,
    security(("operator" = ["editor"])), responses((status = 200, description = "The order", body = OrderRecord)))]
#[patch("/operator/v1/orders/{id}")]
pub async fn edit(
    app: Data<App>,
    operator: Operator<Editor>,
    id: Id<OrderId>,
    body: Json<Edit, METADATA_BODY>,
) -> Result<HttpResponse, Problem> {
    for _turn in 0..TURNS {
        let before = found(&app, id.0).await?;
        let mut metadata = Value::Object(before.metadata.clone());
        crate::campaign::patch::merge(&mut metadata, &Value::Object(body.0.metadata.clone()));
        let text = metadata.to_string();
        if text.len() > MOST_METADATA {
            return Err(Problem::invalid("metadata", format!("is more than {MOST_METADATA} bytes of JSON in all")));
        }
        if metadata == Value::Object(before.metadata.clone()) {
            return Ok(HttpResponse::Ok().json(before));
        }
        if records::write_on(&app.store, &before, &text).await? {
            let who = (operator.key.id.as_str(), "order.edit");
            note(&app, who, &id.0.to_string(), (json!({"metadata": before.metadata}), json!({"metadata": metadata}))).await?;
            return Ok(HttpResponse::Ok().json(found(&app, id.0).await?));
        }
    }
    Err(Problem::new(Code::Overloaded).detail("Others write on this order"))
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn a_reason_has_visible_words() {
        assert_eq!(words(" broken ").unwrap(), "broken");
        assert_eq!(words("cancelled").unwrap(), "operator: cancelled");
        for wrong in ["", "  ", "a\nb", &"x".repeat(201)] {
            assert!(words(wrong).is_err(), "{wrong:?}");
        }
    }
}
