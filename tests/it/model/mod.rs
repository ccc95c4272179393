//! A plain-Rust reference model of the group-buy program, written from the rules, and the property that the program does the same.
//!
//! The model keeps only what cannot be derived: rooms, orders and the money that came for them. Stock, shoppers' counters, devices, timers
//! and the campaign's counters are counted from these whenever somebody asks, where the program keeps each of them up to date by itself.

#![expect(clippy::wildcard_enum_match_arm, reason = "the model names the states that it means; a forgotten one fails the property")]

mod book;
mod decisions;
mod frame;
mod generate;
mod hot;
mod invariants;
mod ops;
mod projected;
mod property;
mod reference;
mod rows;
mod rules;
mod run;

pub use book::Book;
pub use frame::{Answer, Cells, Frame, Kind, Reference};
pub use hot::{Campaign, EPOCH, Hot, engine};
pub use ops::{Op, Sent};
pub use projected::Projected;
pub use rows::{Cell, Payload, Row, Said, read, remembered, row, score};
pub use rules::{START, definition};
pub use run::{Case, Run, catches, check};
