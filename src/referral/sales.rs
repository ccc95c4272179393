//! Orders placed in campaigns here that earn, in SQL: made of the events of orders, in the transaction that takes these into SQL. What their
//! referral campaign must hear of is told by [`Teller`](super::teller::Teller).
//!
//! A sale is told once its order is paid, and again whenever more of its money is to go back, or its goods were handed over. What is to go back
//! is the part of the order's amount that is not kept: `amount − (paid − refunds decided)`, so it does not matter why (a refund, a room that
//! failed, a ladder's lower price), nor how often something was paid.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use serde::Deserialize;

use super::attribution::Attribution;
use crate::id::{CampaignId, OrderId, UserId};
use crate::order::row::OrderRow;
use crate::projector::{Batch, Projection, Statements, unreadable};
use crate::store::{BulkRows, StoreError, bulk_row};

/// Applies the events of orders that earn.
#[derive(Debug)]
pub struct SaleProjection;

#[derive(Debug, Deserialize)]
struct Held<'a> {
    order: &'a str,
    referral: Attribution,
}

bulk_row! {
    struct Sale {
        number: OrderId,
        campaign_id: CampaignId,
        version: i64,
        buyer_id: UserId,
        level1_id: UserId,
        level2_id: Option<UserId>,
        sku: String,
        amount_fen: i64,
        placed_at: i64,
        refunded_fen: i64,
        state: &'static str,
        attempts: i64,
        next_attempt_at: i64,
    }
}

bulk_row! {
    struct Moved { number: OrderId, told_at: i64 }
}

static SALES: LazyLock<BulkRows<Sale>> = LazyLock::new(|| BulkRows::insert("sales", "ON CONFLICT (number) DO NOTHING"));

static PAID: LazyLock<BulkRows<Moved>> = LazyLock::new(|| {
    BulkRows::over(
        "UPDATE sales SET paid_at = r.told_at, state = 'pending', attempts = 0, next_attempt_at = r.told_at FROM",
        "WHERE sales.number = r.number AND sales.paid_at IS NULL",
    )
});

static FULFILLED: LazyLock<BulkRows<Moved>> = LazyLock::new(|| {
    BulkRows::over(
        "UPDATE sales SET fulfilled_at = r.told_at, state = 'pending', attempts = 0, next_attempt_at = r.told_at FROM",
        "WHERE sales.number = r.number AND sales.paid_at IS NOT NULL AND sales.fulfilled_at IS NULL",
    )
});

/// What an order keeps of its money is in its row, which the same page has written before.
static BACK: LazyLock<BulkRows<Moved>> = LazyLock::new(|| {
    BulkRows::over(
        "UPDATE sales SET refunded_fen = back.fen, state = 'pending', attempts = 0, next_attempt_at = back.told_at \
         FROM (SELECT r.number, r.told_at, CASE WHEN orders.paid_fen <= orders.refund_due_fen THEN orders.amount_fen \
         ELSE orders.amount_fen - orders.paid_fen + orders.refund_due_fen END AS fen FROM",
        "JOIN orders ON orders.id = r.number) AS back \
         WHERE sales.number = back.number AND sales.paid_at IS NOT NULL AND sales.refunded_fen < back.fen",
    )
});

impl Projection for SaleProjection {
    fn tables(&self) -> &'static [&'static str] {
        &["orders"]
    }

    fn statements(&self, batch: &Batch<'_>, statements: &mut Statements) -> Result<(), StoreError> {
        statements.add(&SALES, &placed(batch)?)?;
        statements.add(&PAID, &told(batch, "order.paid")?)?;
        statements.add(&FULFILLED, &told(batch, "order.fulfilled")?)?;
        statements.add(&BACK, &told(batch, "order.refund_due")?)
    }
}

/// The orders that somebody earns by.
fn placed(batch: &Batch<'_>) -> Result<Vec<Sale>, StoreError> {
    let mut attributed = HashMap::new();
    for (at, event) in batch.events.iter().filter(|(_, event)| event.1 == "order.held" && event.has("referral")) {
        let held: Held<'_> = event.fields().map_err(|error| unreadable(&error))?;
        attributed.insert(held.order, (*at, held.referral));
    }
    if attributed.is_empty() {
        return Ok(Vec::new());
    }
    let mut sales = Vec::new();
    for read in batch.table::<OrderRow>("orders") {
        let (row, order) = read?;
        let Some((at, referral)) = attributed.get(row.field) else { continue };
        sales.push(Sale {
            number: OrderId::from_hot(batch.campaign, row.field).map_err(|error| unreadable(&error))?,
            campaign_id: referral.campaign_id,
            version: referral.version,
            buyer_id: UserId::from_hot(&order.user).map_err(|error| unreadable(&error))?,
            level1_id: referral.level1_user_id,
            level2_id: referral.level2_user_id,
            sku: order.sku,
            amount_fen: order.amount,
            placed_at: *at,
            refunded_fen: 0,
            state: "done",
            attempts: 0,
            next_attempt_at: *at,
        });
    }
    Ok(sales)
}

/// The orders of which this was told, and when first: one row an order, in the order of their ids.
fn told(batch: &Batch<'_>, name: &str) -> Result<Vec<Moved>, StoreError> {
    let mut told = BTreeMap::new();
    for (at, event) in batch.events.iter().filter(|(_, event)| event.1 == name) {
        if let Some(order) = event.text("order") {
            told.entry(OrderId::from_hot(batch.campaign, order).map_err(|error| unreadable(&error))?).or_insert(*at);
        }
    }
    Ok(told.into_iter().map(|(number, told_at)| Moved { number, told_at }).collect())
}
