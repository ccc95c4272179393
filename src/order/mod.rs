//! Orders: what a shopper owes and is owed, whatever it buys.
//!
//! ```text
//! held ──payment_asked──► held ──pay──► paid ──good is certain──► confirmed ──► fulfilled
//!   │                       │             └─good fails──► refund_due ──► refunded
//!   │                       └─hold over / cancel──► closing ──provider closed──► released
//!   └─hold over / cancel (never asked)──► released ──late payment──► seated again if allowed, else refund_due
//! ```
//!
//! Seats are decided in Redis, money in SQL: a payment request is known to SQL before the provider is called, a notification is
//! written to SQL's inbox before it is acted on, and a refund is a row of SQL that a worker carries out under one number until it is done.
//! While an order is `closing` its seat and units stay reserved, for "not paid yet" does not mean "cannot be paid any more".

pub mod cashier;
pub mod desk;
pub mod errands;
pub mod http;
pub mod ops;
pub mod projection;
pub mod provider;
pub mod records;
pub mod row;
pub mod sandbox;
pub mod view;
