//! Liebian (裂变): a campaign engine for social selling in mini-programs.
//!
//! The map, from the outside in; dependencies point downwards only (`tests/layers.rs` reads the `use` lines and holds them):
//!
//! | layer | modules |
//! |---|---|
//! | process | [`app`] (composition root), [`config`], [`dev`] (its own Redis for one machine), [`admin`] (commands) |
//! | over all domains | [`audit`] |
//! | edge | [`http`] |
//! | domains | [`campaign`], [`group_buy`], [`bargain`], [`referral`], [`order`], [`share`], [`identity`], [`operator`], [`withdrawal`] |
//! | mechanisms, knowing no domain | [`hot`] (Redis), [`store`] (SQL), [`projector`] (log → SQL), [`feed`] (log → readers), [`ledger`] |
//! | leaves | [`id`], [`money`], [`clock`], [`code`], [`crypto`] |

pub mod admin;
pub mod app;
pub mod audit;
pub mod bargain;
pub mod campaign;
pub mod clock;
pub mod code;
pub mod config;
pub mod crypto;
pub mod dev;
pub mod feed;
pub mod group_buy;
pub mod hot;
pub mod http;
pub mod id;
pub mod identity;
pub mod ledger;
pub mod money;
pub mod operator;
pub mod order;
pub mod projector;
pub mod referral;
pub mod share;
pub mod store;
pub mod withdrawal;
