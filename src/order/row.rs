//! An order as hot state keeps it.

use serde::{Deserialize, Serialize};

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

/// A refund of an order: fen, and 1 once the provider executed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundRow(pub i64, pub i64);

/// A row of table `orders`. Fields in the order of `lua/lib/schema.lua`; ids in their hot form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRow {
    /// Where it stands.
    pub state: State,
    /// What it buys.
    pub sku: String,
    /// Units.
    pub quantity: i64,
    /// Whose it is.
    pub user: String,
    /// The device it was placed on.
    pub device: String,
    /// Its room; empty for none.
    pub room: String,
    /// 1 if it opened its room.
    pub opener: i64,
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

impl OrderRow {
    /// The field names, for the test that compares them with Lua.
    pub const FIELDS: &'static [&'static str] = &[
        "state",
        "sku",
        "quantity",
        "user",
        "device",
        "room",
        "opener",
        "unit",
        "amount",
        "paid",
        "refunded",
        "created_at",
        "pay_by",
        "paid_at",
        "asked",
        "reason",
        "version",
        "settled",
        "transactions",
        "refunds",
    ];
}
