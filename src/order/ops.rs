//! Ops on orders (`lua/order`), typed. They free things or follow money, so they are never refused for load.

use serde::Serialize;

use super::row::OrderRow;
use crate::code::Code;
use crate::hot::lane::IdempotencyKey;
use crate::hot::{Answer, Class, Engine, Found, Place, Read, Row, Trouble};
use crate::id::{OrderId, UserId};

#[derive(Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Op<'a> {
    PaymentAsked { order: &'a str, user: &'a str },
    Cancel { order: &'a str, user: &'a str },
    Closed { order: &'a str },
    Pay { order: &'a str, transaction: &'a str, amount: i64, paid_at: i64, barred: Option<&'static str> },
    Refunded { order: &'a str, number: i64 },
    Fulfil { order: &'a str },
    Refund { order: &'a str, amount: i64, reason: &'a str },
    CallOff { order: &'a str, reason: &'a str },
}

/// A decided op on an order: the order after it, or the code of the refusal.
#[derive(Clone, Debug)]
pub struct Decided {
    /// The order as it is now, or why not.
    pub decision: Result<OrderRow, Code>,
    /// Where it was decided.
    pub place: Place,
    /// Whether an `Idempotency-Key` gave the first answer again.
    pub replayed: bool,
}

impl Decided {
    fn read(answer: Answer) -> Result<Self, Trouble> {
        let decision = match answer.decision {
            Ok(_word) => Ok(first_row(&answer.payload)?),
            Err(code) => Err(code),
        };
        Ok(Self { decision, place: answer.place, replayed: answer.replayed })
    }
}

/// The order row that an answer carries first.
fn first_row(payload: &[Vec<u8>]) -> Result<OrderRow, Trouble> {
    let packed = payload.first().ok_or_else(|| Trouble::Defect("an answer without its order".into()))?;
    OrderRow::read(packed).map_err(|error| Trouble::Defect(error.to_string()))
}

async fn send(engine: &Engine, order: OrderId, op: &Op<'_>, key: Option<&IdempotencyKey>) -> Result<Decided, Trouble> {
    Decided::read(engine.submit(order.campaign(), Class::Drain, op, key).await?)
}

/// The shopper asks for the payment. Refusals: `not_found`, `order_expired`, `order_not_payable`.
///
/// # Errors
/// See [`Trouble`].
pub async fn payment_asked(engine: &Engine, order: OrderId, user: UserId, key: Option<&IdempotencyKey>) -> Result<Decided, Trouble> {
    send(engine, order, &Op::PaymentAsked { order: order.hot(), user: user.hot() }, key).await
}

/// The shopper gives up an unpaid order. Refusals: `not_found`, `order_not_cancellable`.
///
/// # Errors
/// See [`Trouble`].
pub async fn cancel(engine: &Engine, order: OrderId, user: UserId, key: Option<&IdempotencyKey>) -> Result<Decided, Trouble> {
    send(engine, order, &Op::Cancel { order: order.hot(), user: user.hot() }, key).await
}

/// The provider says that the payment can no longer happen. Refusal: `not_found`.
///
/// # Errors
/// See [`Trouble`].
pub async fn closed(engine: &Engine, order: OrderId) -> Result<Decided, Trouble> {
    send(engine, order, &Op::Closed { order: order.hot() }, None).await
}

/// What a provider says of money that came in.
#[derive(Clone, Copy, Debug)]
pub struct Money<'a> {
    /// The provider's number of the payment.
    pub transaction: &'a str,
    /// Fen.
    pub amount: i64,
    /// Unix ms.
    pub paid_at: i64,
}

/// Money came in. `barred`: why its buyer may not have the order any more; then it goes back. Refusal: `not_found`.
///
/// # Errors
/// See [`Trouble`].
pub async fn pay(engine: &Engine, order: OrderId, money: Money<'_>, barred: Option<Code>) -> Result<Decided, Trouble> {
    let Money { transaction, amount, paid_at } = money;
    send(engine, order, &Op::Pay { order: order.hot(), transaction, amount, paid_at, barred: barred.map(Code::word) }, None).await
}

/// The provider executed the order's refund `number`. Refusal: `not_found`.
///
/// # Errors
/// See [`Trouble`].
pub async fn refunded(engine: &Engine, order: OrderId, number: i64) -> Result<Decided, Trouble> {
    send(engine, order, &Op::Refunded { order: order.hot(), number }, None).await
}

/// The shop handed the goods over. Refusals: `not_found`, `order_not_fulfillable`.
///
/// # Errors
/// See [`Trouble`].
pub async fn fulfil(engine: &Engine, order: OrderId, key: Option<&IdempotencyKey>) -> Result<Decided, Trouble> {
    send(engine, order, &Op::Fulfil { order: order.hot() }, key).await
}

/// `amount` fen go back, 0: all that is left. Refusals: `not_found`, `not_refundable`.
///
/// # Errors
/// See [`Trouble`].
pub async fn refund(engine: &Engine, order: OrderId, amount: i64, reason: &str, key: Option<&IdempotencyKey>) -> Result<Decided, Trouble> {
    send(engine, order, &Op::Refund { order: order.hot(), amount, reason }, key).await
}

/// An operator calls the order off. Refusals: `not_found`, `order_not_cancellable`.
///
/// # Errors
/// See [`Trouble`].
pub async fn call_off(engine: &Engine, order: OrderId, reason: &str) -> Result<Decided, Trouble> {
    send(engine, order, &Op::CallOff { order: order.hot(), reason }, None).await
}

/// The order as hot state has it now; `None`: it has none of that id.
///
/// # Errors
/// See [`Trouble`].
pub async fn look(engine: &Engine, order: OrderId) -> Result<Option<OrderRow>, Trouble> {
    let snapshot = engine.read(order.campaign(), &[Read::Row("orders", order.hot())]).await?;
    match snapshot.found.into_iter().next() {
        Some(Found::Row(Some(packed))) => OrderRow::read(&packed).map(Some).map_err(|error| Trouble::Defect(error.to_string())),
        Some(Found::Row(None) | Found::Rows(_)) | None => Ok(None),
    }
}
