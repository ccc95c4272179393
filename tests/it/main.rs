//! All integration tests, in one binary: against real servers that each test starts for itself.

#![cfg(test)]

mod browser;
mod chain_model;
mod faults;
mod http;
mod lanes;
mod layers;
mod ledger;
mod model;
mod payer;
mod program;
mod referral_model;
mod rewards;
mod schema;
mod servers;
mod store;
mod support;
