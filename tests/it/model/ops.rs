//! Ops as they are sent.

use liebian::campaign::ops::Step;
use liebian::campaign::rules::Rules;
use serde::Serialize;

/// Every op of the program, and one that it does not know, which raises an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Op {
    Publish { definition: Rules, stock: Vec<(String, i64)> },
    SetStatus { step: Step },
    SetSwitches { open: Option<bool>, join: Option<bool> },
    AddStock { sku: String, units: i64 },
    OpenRoom { room: String, order: String, user: String, device: String, sku: String, quantity: i64 },
    JoinRoom { room: String, order: String, user: String, device: String, quantity: i64, newcomer: bool },
    OrderSolo { order: String, user: String, device: String, sku: String, quantity: i64 },
    PaymentAsked { order: String, user: String },
    Cancel { order: String, user: String },
    Closed { order: String },
    Pay { order: String, transaction: String, amount: i64, paid_at: i64, barred: Option<&'static str> },
    Refunded { order: String, number: i64 },
    Fulfil { order: String },
    Refund { order: String, amount: i64, reason: &'static str },
    CallOff { order: String, reason: &'static str },
    Decline { word: &'static str },
    Tick,
    Nonsense,
}

/// An op with its Idempotency-Key, if it has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sent<O = Op> {
    #[serde(flatten)]
    pub op: O,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

impl<O: Serialize> Sent<O> {
    pub fn packed(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(self).unwrap()
    }

    pub fn keyed(op: O, key: &str, body: &str) -> Self {
        Self { op, key: Some(key.to_owned()), body: Some(body.to_owned()) }
    }
}

impl<O> From<O> for Sent<O> {
    fn from(op: O) -> Self {
        Self { op, key: None, body: None }
    }
}
