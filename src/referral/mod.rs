//! Referral (分销): a shopper hands on a code; who is bound by it and buys earns its inviter a reward, and, where the operator has turned that
//! on, the inviter's inviter a second one.
//!
//! ```text
//! reward: frozen ── freeze_seconds after fulfilment ──► available
//!            └── order refunded: the same part of it goes back, before and after
//! ```
//!
//! Rules, each decided in `lua/referral`:
//! * a bond names one inviter. By the first touch it stays, by the last one it is replaced once its protection is over; nobody invites
//!   themselves, and no bond closes a circle or is made below more than 64 others (`lua/referral/bonds.lua` says how that is known without
//!   looking all of them up). Newcomers only, if so ruled. A bond may expire; from then on it counts as none. Operators tie and cut bonds by
//!   hand, with a reason;
//! * an order earns for its buyer's inviter (level 1) and for that one's inviter (level 2), never for a third: level 1 and level 2 are two
//!   fields of every type and row, and no list of levels is passed on that could be longer. Who earns, and by which rates, is written down
//!   when the order is placed;
//! * a reward is a share of the order's amount in basis points, rounded down, or a fixed sum ([`rates`]). Both levels together take at most
//!   the cap: level 1 first, level 2 what is left of it. What is rounded off or capped stays with the shop;
//! * a reward is granted whole or not at all, against the campaign's budget and the day's (UTC+8). What did not fit is written down, and never
//!   made up for. What goes back is free again in the whole budget, not in the day's;
//! * it is frozen until the order has been fulfilled for `freeze_seconds`. Refunds take back the same part of it, rounded down, a full refund
//!   all; of one that is available already this is a debt;
//! * a paused campaign, or one whose `join` switch is off, binds nobody; an ended one neither. What was attributed goes on.

use std::sync::LazyLock;

use crate::hot::Program;
use crate::hot::program::lua;

pub mod attribution;
pub mod audit;
pub mod desk;
pub mod figures;
pub mod http;
pub mod invites;
pub mod ops;
pub mod outside;
pub mod outside_desk;
pub mod projection;
pub mod rates;
pub mod records;
pub mod row;
pub mod sales;
pub mod teller;
pub mod view;
pub mod work;

/// The tables of a referral campaign.
pub const TABLES: &[&str] = &["meta", "log", "def", "stock", "bonds", "inviters", "sales", "spent", "keys", "timers"];

/// The program of a referral campaign.
pub static PROGRAM: LazyLock<Program> = LazyLock::new(|| {
    Program::new(
        TABLES,
        "bonds",
        lua!(
            "lib/stock.lua",
            "campaign/rules.lua",
            "campaign/budget.lua",
            "campaign/ops.lua",
            "referral/purse.lua",
            "referral/bonds.lua",
            "referral/bind.lua",
            "referral/sales.lua",
        ),
    )
});
