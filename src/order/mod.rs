//! Orders: what a shopper owes and is owed, whatever it buys.
//!
//! ```text
//! held ──payment_asked──► held ──pay──► paid ──good is certain──► confirmed ──► fulfilled
//!   │                       │             └─good fails──► refund_due ──► refunded
//!   │                       └─hold over / cancel──► closing ──provider closed──► released
//!   └─hold over / cancel (never asked)──► released ──late payment──► seated again if allowed, else refund_due
//! ```
//!
//! Operators fulfil what is confirmed, send money back and call orders off ([`acts`]):
//! * a part of the money may go back once the good is certain; the order stays what it is, and `refunded_fen` rises as refunds are executed;
//! * all of it (or calling a paid order off) undoes the order: `refund_due`, then `refunded`. Its seat in an open room is free and the room goes on;
//!   a formed room stays formed. Units come back to stock, but those already handed over come back to the shop;
//! * an unpaid order that is called off is released, through the provider if its payment was asked for; a payment that still comes goes back;
//! * never more goes back than was paid.
//!
//! Seats are decided in Redis, money in SQL: a payment request is known to SQL before the provider is called, a notification is
//! written to SQL's inbox before it is acted on, and a refund is a row of SQL that a worker carries out under one number until it is done.
//! While an order is `closing` its seat and units stay reserved, for "not paid yet" does not mean "cannot be paid any more".

pub mod acts;
pub mod books;
pub mod budget;
pub mod cashier;
pub mod desk;
pub mod errands;
pub mod faults;
pub mod http;
mod money;
pub mod ops;
pub mod projection;
pub mod provider;
pub mod reconcile;
pub mod records;
pub mod refunds;
pub mod row;
pub mod sandbox;
pub mod view;
pub mod work;

/// The text of a program that sells: what every such program has, all that may happen to an order included, then these files of its own. One
/// list, so that no program lacks an op that operators send to any order.
macro_rules! selling {
    ($($file:literal),+ $(,)?) => {
        $crate::hot::program::lua!(
            "lib/stock.lua",
            "lib/limits.lua",
            "campaign/rules.lua",
            "campaign/budget.lua",
            "campaign/ops.lua",
            "order/orders.lua",
            "order/ops.lua",
            "order/fulfil.lua",
            "order/refund.lua",
            $($file),+
        )
    };
}
pub(crate) use selling;
