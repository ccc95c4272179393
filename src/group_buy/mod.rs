//! Group-buy (拼团): shoppers open rooms, others join, and a room whose seats are all paid forms.
//!
//! ```text
//! open ── every seat paid ──► formed (orders confirmed)
//!   │──── deadline over, no seat undecided, enough have paid ──► formed at the price of the tier reached
//!   └──── deadline over, no seat undecided, too few; or nobody left ──► failed (paid members refunded)
//! ```
//!
//! Rules, each decided in `lua/group_buy`:
//! * a room has the seats of its largest tier, and every member pays the first tier's price. All paid, it forms at once; at its deadline it
//!   forms at the highest tier reached. What a member paid above that tier's price goes back to them;
//! * an opener may have a price of their own. It is fixed with their order: nobody's price changes when somebody else leads, and whoever paid
//!   less than the tier reached costs pays no more;
//! * with `accept_from` it also forms at its deadline with so many paid members; below the first tier at the first tier's price;
//! * tiers and `accept_from` are the room's own from its opening on;
//! * a seat and its units are reserved together, when a room is opened or joined, and held until the order's `pay_by`;
//! * with `reserve: "room"` a unit is kept for each free seat of the smallest tier (they count as held): a member's first unit is that one,
//!   and a seat that is given up keeps it again. What is kept when the room ends is free;
//! * a solo order is an order without a room: same stock, same limits but those on rooms, confirmed as soon as it is paid;
//! * where only newcomers join, the opener may be anyone; joiners are looked at when they join and when they pay
//!   ([`newcomers`](crate::identity::newcomers));
//! * held + paid seats never exceed the size; one seat per user and room;
//! * a room's deadline is never past the campaign's end; nobody joins after it; it is decided when its last held seat is;
//! * if the leader's seat is given up, the first paid member leads, else the first who holds a seat, else the room fails;
//! * every paid member of a failed room has exactly one refund; a terminal state never changes.

use std::sync::LazyLock;

use crate::hot::Program;
use crate::order::selling;

pub mod desk;
pub mod http;
pub mod live;
pub mod ops;
pub mod projection;
pub mod row;
pub mod solo;
pub mod view;

/// The tables of a group-buy campaign.
pub const TABLES: &[&str] = &["meta", "log", "def", "stock", "rooms", "orders", "users", "devices", "keys", "timers", "joinable"];

/// The program of a group-buy campaign.
pub static PROGRAM: LazyLock<Program> = LazyLock::new(|| {
    Program::new(
        TABLES,
        "users",
        selling!(
            "group_buy/members.lua",
            "group_buy/terms.lua",
            "group_buy/rooms.lua",
            "group_buy/undone.lua",
            "group_buy/open_room.lua",
            "group_buy/join_room.lua",
            "group_buy/order_solo.lua",
        ),
    )
});
