//! The log's orders, in SQL. The work that their events ask for is in [`super::errands`], the money that they move in `money`.

use std::sync::LazyLock;

use super::row::{OrderRow, State};
use super::{errands, money};
use crate::id::{CampaignId, ChainId, NotAnId, OrderId, RoomId, UserId};
use crate::projector::{Batch, Projection, Statements, batch, unreadable};
use crate::store::{BulkRows, StoreError, bulk_row};

/// Applies rows of `orders` and the events of orders.
#[derive(Debug)]
pub struct OrderProjection {
    /// The payment provider that new work is for.
    pub provider: &'static str,
}

bulk_row! {
    struct Order {
        id: OrderId,
        campaign_id: CampaignId,
        room_id: Option<RoomId>,
        chain_id: Option<ChainId>,
        user_id: UserId,
        sku: String,
        state: &'static str,
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
        newcomer: i64,
    }
}

bulk_row! {
    struct Decided { order_id: OrderId }
}

static ORDERS: LazyLock<BulkRows<Order>> = LazyLock::new(|| {
    BulkRows::insert(
        "orders",
        "ON CONFLICT (id) DO UPDATE SET room_id = excluded.room_id, state = excluded.state, amount_fen = excluded.amount_fen, \
         paid_fen = excluded.paid_fen, refund_due_fen = excluded.refund_due_fen, refunded_fen = excluded.refunded_fen, \
         reason = excluded.reason, pay_by = excluded.pay_by, paid_at = excluded.paid_at, updated_at = excluded.updated_at, \
         seq = excluded.seq WHERE excluded.seq > orders.seq",
    )
});

/// Newcomers' seats that are paid or given up are claimed no longer.
static UNCLAIMED: LazyLock<BulkRows<Decided>> =
    LazyLock::new(|| BulkRows::over("DELETE FROM newcomer_claims WHERE order_id IN (SELECT r.order_id FROM", ")"));

impl Projection for OrderProjection {
    fn tables(&self) -> &'static [&'static str] {
        &["orders"]
    }

    fn statements(&self, batch: &Batch<'_>, statements: &mut Statements) -> Result<(), StoreError> {
        let orders = batch.table::<OrderRow>("orders").map(|read| {
            let (row, order) = read?;
            sql(batch.campaign, &row, order).map_err(|error| unreadable(&error))
        });
        let orders = orders.collect::<Result<Vec<_>, StoreError>>()?;
        let decided = orders.iter().filter(|order| order.newcomer == 1 && !["held", "closing"].contains(&order.state));
        let decided: Vec<_> = decided.map(|order| Decided { order_id: order.id }).collect();
        statements.add(&ORDERS, &orders)?;
        statements.add(&UNCLAIMED, &decided)?;
        errands::of(batch, self.provider, statements)?;
        money::of(batch, statements)
    }
}

fn sql(campaign: CampaignId, row: &batch::Row<'_>, order: OrderRow) -> Result<Order, NotAnId> {
    Ok(Order {
        id: OrderId::from_hot(campaign, row.field)?,
        campaign_id: campaign,
        room_id: if order.room.is_empty() { None } else { Some(RoomId::from_hot(campaign, &order.room)?) },
        chain_id: if order.chain.is_empty() { None } else { Some(ChainId::from_hot(campaign, &order.chain)?) },
        user_id: UserId::from_hot(&order.user)?,
        state: word(order.state),
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
        newcomer: order.newcomer,
        sku: order.sku,
    })
}

/// A state as it is packed.
const fn word(state: State) -> &'static str {
    match state {
        State::Held => "held",
        State::Closing => "closing",
        State::Paid => "paid",
        State::Confirmed => "confirmed",
        State::Fulfilled => "fulfilled",
        State::Released => "released",
        State::RefundDue => "refund_due",
        State::Refunded => "refunded",
    }
}
