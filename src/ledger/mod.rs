//! The ledger: who has how much, and why. Double entry: money moves between two accounts by a [`Transfer`], never otherwise.
//!
//! Rules:
//! * A transfer has a reference that tells what it is for. It is unique, so nothing is booked twice: a repeat is an error.
//! * Balances change in the transaction that writes the transfers; an account that may not go below zero has a CHECK. So the sum of all balances is
//!   zero, and each is the sum of its account's transfers, at every commit ([`trial`]).
//! * Accounts are locked in one order (by id) before anything is read or moved, so transfers wait for each other and never deadlock. Of a user
//!   `available` is locked whatever else is: it stands for all of their accounts. **A transaction posts once**: two posts would lock out of order.
//! * A debt is paid from what is available at once, in the transaction that made either: of a user's `available` and `debt` one is zero. What is
//!   left of the debt stands against what becomes available later.
//! * What stands in a user's statement is numbered without gaps, in the order in which it was booked; a transfer keeps both balances after it.
//!
//! ```text
//! order money      taken ──paid──► received ──good is certain──► kept          (accounts of a campaign)
//!                    ▲ ▲               └─────────┬─refund decided───┘
//!                    │ └──refund executed── refunds_due ◄── a payment that buys nothing ── taken
//! rewards          rewards ──order paid──► frozen ──freeze over──► available ──► withdrawing ──► withdrawn
//!                     ▲ ▲──reversed────────┘           │    ▲         │  └──◄──returned┘
//!                     └──reversed later── debt ◄──settled───┘─────────┘        (accounts of a user, but the first)
//! ```

mod account;
pub mod claims;
mod post;
pub mod statement;
pub mod trial;
mod wallet;

pub use account::{Account, AccountKind};
pub use post::{Kind, Transfer, post, post_now};
pub use wallet::{Wallet, earned_in, lock, wallet};
