//! Withdrawals: how earned money is taken out.
//!
//! ```text
//! asked ──up to the limit──────────────► approved ──paid out──────────────────────────────► done
//!   │                                     ▲ │ ▲ │ └─the user must confirm─► awaiting_user ──► done
//!   └──over it──► pending ──approve───────┘ │ │ │                             │
//!                    │                      │ │ └──the provider refuses───────┴──not confirmed──► returned
//!                    │     too many tries ──▼ └─retry─┐
//!                    │                    stuck ──────┴──done by a person──► done
//!                    └──reject───────────────┴──────────────────────────────► returned
//! ```
//!
//! Rules:
//! * Asking holds the money: `available` → `withdrawing`, in the transaction that writes the row, with the user's accounts locked. So no race takes out
//!   more than there is, and a debt blocks all. Several may be under way.
//! * The strictest rules hold of all campaigns the user earned in ([`terms`]): the largest minimum, the smallest maximum, the fewest a day (UTC+8;
//!   what the shop or the provider returned does not count, what its user turned down does), the smallest sum that needs no approval.
//! * Asking twice with one `Idempotency-Key` holds once, also when the first answer was never written: the row knows the key.
//! * A withdrawal has one number for all tries, so whatever became of earlier ones the provider pays out once. Only the provider's own "never" returns
//!   the money by itself; silence and errors are tried again after growing pauses, and after so many failing ones in a row a person is asked (`stuck`).
//! * Who pays out is decided when it is approved. What is at a provider that this server does not have (another configuration) is a person's to see to.
//! * Each step is one transaction: the row's state moves by compare-and-set, and the money with it. All of it is rows of SQL with a lease; any
//!   process may carry it on, and a repeat finds it done.

pub mod asking;
pub mod desk;
pub mod http;
pub mod payer;
pub mod provider;
pub mod records;
pub mod sandbox;
pub mod steps;
pub mod terms;
