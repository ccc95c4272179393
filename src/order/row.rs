//! An order as hot state keeps it.

use serde::{Deserialize, Serialize};

use crate::hot::row::{Layout, NotARow, Row, message_pack, numbered};

/// Where an order stands; the diagram is in [`super`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Seat and units are held until `pay_by`.
    Held,
    /// The provider is asked whether the payment can still happen; seat and units stay held.
    Closing,
    /// Paid; what it buys is not certain yet.
    Paid,
    /// Paid and certain.
    Confirmed,
    /// Delivered.
    Fulfilled,
    /// Given up unpaid.
    Released,
    /// Money is on its way back.
    RefundDue,
    /// Money is back.
    Refunded,
}

impl State {
    /// As `lua/lib/schema.lua` numbers them, from 1.
    pub const NUMBERED: [Self; 8] =
        [Self::Held, Self::Closing, Self::Paid, Self::Confirmed, Self::Fulfilled, Self::Released, Self::RefundDue, Self::Refunded];
}

/// A refund of an order: fen, and 1 once the provider executed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundRow(pub i64, pub i64);

/// A row of table `orders`; ids in their hot form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRow {
    /// Where it stands.
    pub state: State,
    /// What it buys.
    pub sku: String,
    /// Units.
    pub quantity: i64,
    /// Whose it is.
    pub user: String,
    /// Its room; empty for none.
    pub room: String,
    /// Its chain; empty for none.
    pub chain: String,
    /// 1 if it opened its room.
    pub opener: i64,
    /// 1 if its buyer must be a newcomer when it is paid.
    pub newcomer: i64,
    /// Price of one unit in fen.
    pub unit: i64,
    /// What is to be paid, in fen.
    pub amount: i64,
    /// What was paid, all payments together, in fen.
    pub paid: i64,
    /// What went back, in fen.
    pub refunded: i64,
    /// Unix ms.
    pub created_at: i64,
    /// Unix ms until which the hold stands.
    pub pay_by: i64,
    /// Unix ms of the payment, as the provider says; 0 for none.
    pub paid_at: i64,
    /// 1 once a payment was asked for.
    pub asked: i64,
    /// Why it is where it is, a word; empty for none.
    pub reason: String,
    /// The definition's version it was placed under.
    pub version: i64,
    /// The payment that pays it; empty for none.
    pub settled: String,
    /// Every payment seen for it.
    pub transactions: Vec<String>,
    /// Its refunds; a refund's number is its place, from 1.
    pub refunds: Vec<RefundRow>,
}

/// What is told of an order once money or a reason is to be told, in this order.
type Money = (String, i64, i64, i64, String, Vec<String>, Vec<RefundRow>);

/// The mark of an order that belongs to a chain, as `lua/lib/schema.lua` sets it.
const OF_CHAIN: i64 = 8;

impl Row for OrderRow {
    fn read(packed: &[u8]) -> Result<Self, NotARow> {
        let mut row = Layout::of(packed);
        let state = numbered(&State::NUMBERED, row.number(1)?)?;
        let marks = row.number(1)?;
        let (quantity, unit) = (row.number(2)?, row.number(5)?);
        let (created_at, hold, version) = (row.number(6)?, row.number(5)?, row.number(3)?);
        let (sku, user, target) = (row.text()?, row.text()?, row.text()?);
        let (room, chain) = if marks & OF_CHAIN == 0 { (target, String::new()) } else { (String::new(), target) };
        let money: Money = if row.end().is_ok() { Money::default() } else { message_pack(row.rest())? };
        let (reason, paid_at, paid, refunded, settled, transactions, refunds) = money;
        Ok(Self {
            state,
            sku,
            quantity,
            user,
            room,
            chain,
            opener: marks & 1,
            newcomer: (marks >> 2) & 1,
            unit,
            amount: unit.saturating_mul(quantity),
            paid,
            refunded,
            created_at,
            pay_by: created_at.saturating_add(hold),
            paid_at,
            asked: (marks >> 1) & 1,
            reason,
            version,
            settled,
            transactions,
            refunds,
        })
    }
}
