//! A plain-Rust reference model of the referral program, written from the rules, and the property that the program does the same.
//!
//! As with the group-buy's (`tests/it/model`), only what cannot be derived is kept: bonds, who ever invited, and sales with what was granted for
//! them and what went back. Budgets and states are counted from these.

mod book;
mod generate;
mod invariants;
mod ledger;
mod mutants;
mod property;
mod rows;
