//! The log's orders, in SQL, and the work that their events ask for: payment requests, closings, refunds.

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::row::{OrderRow, State};
use crate::hot::entry::Event;
use crate::id::{NotAnId, OrderId, RoomId, UserId};
use crate::projector::{Batch, Projection, unreadable};
use crate::store::{StoreError, Tx, execute, json_rows};

/// Applies rows of `orders` and the events of orders.
#[derive(Debug)]
pub struct OrderProjection {
    /// The payment provider that new work is for.
    pub provider: &'static str,
}

#[derive(Serialize)]
struct Order {
    id: OrderId,
    campaign_id: String,
    room_id: Option<RoomId>,
    user_id: UserId,
    sku: String,
    state: State,
    quantity: i64,
    unit_fen: i64,
    amount_fen: i64,
    paid_fen: i64,
    refund_due_fen: i64,
    refunded_fen: i64,
    reason: Option<String>,
    pay_by: i64,
    created_at: i64,
    paid_at: Option<i64>,
    updated_at: i64,
    seq: i64,
    version: i64,
}

json_rows! {
    ORDERS: "orders" (id TEXT, campaign_id TEXT, room_id TEXT, user_id TEXT, sku TEXT, state TEXT, quantity BIGINT, unit_fen BIGINT,
                      amount_fen BIGINT, paid_fen BIGINT, refund_due_fen BIGINT, refunded_fen BIGINT, reason TEXT, pay_by BIGINT,
                      created_at BIGINT, paid_at BIGINT, updated_at BIGINT, seq BIGINT, version BIGINT)
        on conflict "(id) DO UPDATE SET room_id = excluded.room_id, state = excluded.state, amount_fen = excluded.amount_fen, \
                     paid_fen = excluded.paid_fen, refund_due_fen = excluded.refund_due_fen, refunded_fen = excluded.refunded_fen, \
                     reason = excluded.reason, pay_by = excluded.pay_by, paid_at = excluded.paid_at, updated_at = excluded.updated_at, \
                     seq = excluded.seq WHERE excluded.seq > orders.seq"
}

/// The fields that events of orders have.
#[derive(Debug, Deserialize)]
struct Told {
    order: String,
    #[serde(default)]
    number: i64,
    #[serde(default)]
    amount: i64,
    #[serde(default)]
    transaction: String,
    #[serde(default)]
    reason: String,
}

impl Projection for OrderProjection {
    fn apply<'a>(&'a self, tx: &'a mut Tx, batch: &'a Batch<'_>) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let orders = orders(batch).map_err(|error| unreadable(&error))?;
            ORDERS.write(tx, &orders?).await?;
            for (at, event) in &batch.events {
                self.event(tx, batch, *at, event).await?;
            }
            Ok(())
        })
    }
}

fn orders(batch: &Batch<'_>) -> Result<Result<Vec<Order>, StoreError>, NotAnId> {
    let rows = match batch.table::<OrderRow>("orders") {
        Ok(rows) => rows,
        Err(error) => return Ok(Err(error)),
    };
    let orders = rows.into_iter().map(|(row, order)| {
        Ok(Order {
            id: OrderId::from_hot(batch.campaign, row.field)?,
            campaign_id: batch.campaign.to_string(),
            room_id: if order.room.is_empty() { None } else { Some(RoomId::from_hot(batch.campaign, &order.room)?) },
            user_id: UserId::from_hot(&order.user)?,
            state: order.state,
            quantity: order.quantity,
            unit_fen: order.unit,
            amount_fen: order.amount,
            paid_fen: order.paid,
            refund_due_fen: order.refunds.iter().map(|refund| refund.0).sum(),
            refunded_fen: order.refunded,
            reason: (!order.reason.is_empty()).then_some(order.reason),
            pay_by: order.pay_by,
            created_at: order.created_at,
            paid_at: (order.paid_at > 0).then_some(order.paid_at),
            updated_at: row.at,
            seq: row.seq,
            version: order.version,
            sku: order.sku,
        })
    });
    Ok(Ok(orders.collect::<Result<_, NotAnId>>()?))
}

/// A refund's number at the provider: the order's id and the refund's place. Every retry uses it.
#[must_use]
pub fn refund_no(order: OrderId, number: i64) -> String {
    format!("{order}r{number}")
}

impl OrderProjection {
    async fn event(&self, tx: &mut Tx, batch: &Batch<'_>, at: i64, event: &Event) -> Result<(), StoreError> {
        if !event.1.starts_with("order.") {
            return Ok(());
        }
        let told: Told = event.fields().map_err(|error| unreadable(&error))?;
        let order = OrderId::from_hot(batch.campaign, &told.order).map_err(|error| unreadable(&error))?;
        match event.1.as_str() {
            "order.payment_asked" => self.asked(tx, order, at).await,
            "order.closing" => self.closing(tx, order, at).await,
            "order.paid" => paid(tx, order, &told, at).await,
            "order.payment_returned" => processed(tx, &told, Some(&told.reason)).await,
            "order.released" => closed(tx, order, at).await,
            "order.refund_due" => self.refund_due(tx, order, &told, at).await,
            "order.refunded" => refunded(tx, order, &told, at).await,
            _ => Ok(()),
        }
    }

    async fn asked(&self, tx: &mut Tx, order: OrderId, at: i64) -> Result<(), StoreError> {
        const ASKED: &str = "INSERT INTO payment_requests (order_id, campaign_id, provider, amount_fen, created_at, looks, look_at) \
                             SELECT id, campaign_id, $1, amount_fen, $2, 0, $3 FROM orders WHERE id = $4 ON CONFLICT (order_id) DO NOTHING";
        let look_at = at.saturating_add(super::cashier::first_look());
        execute!(tx, ASKED, self.provider, at, look_at, order).map(|_rows| ())
    }

    async fn closing(&self, tx: &mut Tx, order: OrderId, at: i64) -> Result<(), StoreError> {
        const CLOSING: &str = "INSERT INTO closings (order_id, campaign_id, provider, state, attempts, next_attempt_at, created_at) \
                               VALUES ($1, $2, $3, 'pending', 0, $4, $4) \
                               ON CONFLICT (order_id) DO UPDATE SET state = 'pending', attempts = 0, next_attempt_at = $4, done_at = NULL";
        execute!(tx, CLOSING, order, order.campaign(), self.provider, at).map(|_rows| ())
    }

    async fn refund_due(&self, tx: &mut Tx, order: OrderId, told: &Told, at: i64) -> Result<(), StoreError> {
        const DUE: &str = "INSERT INTO refunds (refund_no, order_id, campaign_id, provider, transaction_id, amount_fen, reason, state, attempts, \
                           next_attempt_at, created_at) VALUES ($1, $2, $3, COALESCE((SELECT provider FROM payments WHERE transaction_id = $4), $5), \
                           $4, $6, $7, 'pending', 0, $8, $8) ON CONFLICT (refund_no) DO NOTHING";
        let number = refund_no(order, told.number);
        // Whoever took the payment sends it back.
        execute!(tx, DUE, number, order, order.campaign(), &told.transaction, self.provider, told.amount, &told.reason, at).map(|_rows| ())
    }
}

async fn paid(tx: &mut Tx, order: OrderId, told: &Told, at: i64) -> Result<(), StoreError> {
    const BOUGHT: &str =
        "UPDATE users SET first_paid_at = $1 WHERE first_paid_at IS NULL AND id = (SELECT user_id FROM orders WHERE id = $2)";
    // Whoever else was asked to take this payment must not take it any more, or its money must come to light.
    const ELSEWHERE: &str = "INSERT INTO closings (order_id, campaign_id, provider, state, attempts, next_attempt_at, created_at) \
                             SELECT order_id, campaign_id, provider, 'pending', 0, $1, $1 FROM payment_requests WHERE order_id = $2 \
                             AND provider <> COALESCE((SELECT provider FROM payments WHERE transaction_id = $3), provider) \
                             ON CONFLICT (order_id) DO UPDATE SET state = 'pending', attempts = 0, next_attempt_at = $1, done_at = NULL";
    execute!(&mut *tx, BOUGHT, at, order)?;
    closed(tx, order, at).await?;
    execute!(&mut *tx, ELSEWHERE, at, order, &told.transaction)?;
    processed(tx, told, None).await
}

/// The inbox's payment was acted on.
async fn processed(tx: &mut Tx, told: &Told, note: Option<&str>) -> Result<(), StoreError> {
    const DONE: &str = "UPDATE payments SET state = 'done', note = $1 WHERE transaction_id = $2";
    execute!(tx, DONE, note, &told.transaction).map(|_rows| ())
}

/// Nobody needs to close the payment any more.
async fn closed(tx: &mut Tx, order: OrderId, at: i64) -> Result<(), StoreError> {
    const CLOSED: &str = "UPDATE closings SET state = 'done', done_at = $1 WHERE order_id = $2 AND state <> 'done'";
    const DECIDED: &str = "UPDATE payment_requests SET look_at = NULL WHERE order_id = $1";
    execute!(&mut *tx, CLOSED, at, order)?;
    execute!(tx, DECIDED, order).map(|_rows| ())
}

async fn refunded(tx: &mut Tx, order: OrderId, told: &Told, at: i64) -> Result<(), StoreError> {
    const DONE: &str = "UPDATE refunds SET state = 'done', done_at = $1, last_error = NULL WHERE refund_no = $2";
    execute!(tx, DONE, at, refund_no(order, told.number)).map(|_rows| ())
}
