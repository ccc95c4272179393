//! Campaigns: what an operator writes down, how it is checked, and what a shopper may see of it.
//!
//! ```text
//! draft ──publish──► scheduled ──starts_at──► live ⇄ paused ──ends_at or end──► ended
//! ```
//!
//! * A [`Definition`](model::Definition) is read from JSON once, at the edge, with every fault named at once; inside it is trusted.
//! * A draft may change in everything but its kind. A published definition changes only in what harms nobody ([`patch`]).
//! * [`check`] says what blocks publishing (errors) and what an operator should know (warnings), each with the rule it comes from.
//! * What a campaign costs the operator (`cost_price_fen`, `loss_budget_fen`, `metadata`) is never shown to shoppers ([`view`]).

pub mod check;
pub mod demo;
pub mod desk;
pub mod forecast;
pub mod http;
pub mod keyed;
pub mod live;
pub mod model;
pub mod ops;
pub mod patch;
pub mod projection;
pub mod read;
pub mod records;
pub mod report;
pub mod rules;
pub mod storefront;
pub mod versions;
pub mod view;
pub mod wording;
