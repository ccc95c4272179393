//! Bargain (砍价): a shopper starts a chain at the list price, friends each take a step off it, and at any price on the way, or at the floor,
//! the shopper buys.
//!
//! ```text
//! open ── last step taken ──► floor_reached ──┬── its order is paid ──► bought
//!   ├── its order is paid (on the way) ───────┘
//!   └── deadline over, no order undecided ──► expired   (from floor_reached: `buy_by` over)
//! ```
//!
//! Rules, each decided in `lua/bargain`:
//! * the schedule of steps is fixed when the chain starts and never moves ([`schedule`]): so many helpers are a promise, every step is a whole
//!   number of fen, at least one, and all of them are start price − floor price. A commitment to it is shown from the start on; the seed of a
//!   random one stays in a table of its own (`schedules`) that nothing shows before the chain is no longer open;
//! * whoever helps takes the next step, a newcomer the next `newcomer_cuts` at once; the owner's own `self_cuts` are taken at the start;
//! * one help per helper and chain, never one's own; so many a day (days are UTC+8) and in the campaign; so many users on a device;
//! * one chain per shopper and SKU stands at a time; so many may be started in the campaign, and none is given back;
//! * a chain may be cut until its deadline, which is never past the campaign's end, also after an operator has ended the campaign; while it
//!   is paused nobody cuts, and deadlines and buying go on;
//! * once the floor is reached `buy_ttl_seconds` remain to buy, whatever the first deadline was;
//! * an order takes the price of its moment and keeps it. Helpers go on cutting until it is paid. If it dies the chain goes on while its
//!   deadline stands; a deadline that passes while an order is undecided waits for it;
//! * a unit is kept from the start on (`reserve_stock: "at_start"`, it counts as held), or taken with the order;
//! * a payment that comes late buys if the chain still stands, no other order has taken the place and there is a unit, else it goes back;
//! * bought and expired never change.

use std::sync::LazyLock;

use crate::hot::Program;
use crate::order::selling;

pub mod audit;
pub mod desk;
pub mod http;
pub mod live;
pub mod ops;
pub mod projection;
pub mod records;
pub mod row;
pub mod schedule;
pub mod verify;
pub mod view;

/// The tables of a bargain campaign.
pub const TABLES: &[&str] =
    &["meta", "log", "def", "stock", "chains", "schedules", "running", "orders", "users", "people", "devices", "keys", "timers"];

/// The program of a bargain campaign.
pub static PROGRAM: LazyLock<Program> = LazyLock::new(|| {
    Program::new(
        TABLES,
        "people",
        selling!(
            "bargain/schedules.lua",
            "bargain/cuts.lua",
            "bargain/chains.lua",
            "bargain/start_chain.lua",
            "bargain/cut_chain.lua",
            "bargain/order_chain.lua",
        ),
    )
});
