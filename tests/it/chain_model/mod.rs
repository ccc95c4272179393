//! A plain-Rust reference model of the bargain program, written from the rules, and the property that the program does the same.
//!
//! As with the group-buy's (`tests/it/model`), only what cannot be derived is kept: chains with their cuts, orders, and the money that came.
//! Prices, states, stock, shoppers' counters and what is running are counted from these.

#![expect(clippy::wildcard_enum_match_arm, reason = "the model names the states that it means; a forgotten one fails the property")]

mod book;
mod property;
