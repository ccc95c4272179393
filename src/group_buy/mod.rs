//! Group-buy (拼团): shoppers open rooms, others join, and a room whose seats are all paid forms.
//!
//! ```text
//! open ── every seat paid ──► formed (orders confirmed)
//!   └──── deadline over and no seat undecided, or nobody left ──► failed (paid members refunded)
//! ```
//!
//! Rules, each decided in `lua/group_buy`:
//! * a seat and its units are reserved together, when a room is opened or joined, and held until the order's `pay_by`;
//! * held + paid seats never exceed the size; one seat per user and room;
//! * a room's deadline is never past the campaign's end; nobody joins after it; it is decided when its last held seat is;
//! * if the leader's seat is given up, the first paid member leads, else the first who holds a seat, else the room fails;
//! * every paid member of a failed room has exactly one refund; a terminal state never changes.

use std::sync::LazyLock;

use crate::hot::Program;
use crate::hot::program::lua;

pub mod desk;
pub mod http;
pub mod live;
pub mod ops;
pub mod projection;
pub mod row;
pub mod view;

/// The tables of a group-buy campaign.
pub const TABLES: &[&str] = &["meta", "log", "def", "stock", "rooms", "orders", "users", "devices", "keys", "timers", "joinable"];

/// The program of a group-buy campaign.
pub static PROGRAM: LazyLock<Program> = LazyLock::new(|| {
    Program::new(
        TABLES,
        lua!(
            "lib/stock.lua",
            "lib/limits.lua",
            "campaign/rules.lua",
            "campaign/budget.lua",
            "campaign/ops.lua",
            "order/orders.lua",
            "order/ops.lua",
            "group_buy/members.lua",
            "group_buy/rooms.lua",
            "group_buy/open_room.lua",
            "group_buy/join_room.lua",
        ),
    )
});
