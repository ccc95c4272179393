//! Who is calling: shoppers, their sessions and devices.
//!
//! * A **session token** says who somebody is for 30 days. It is MAC'd and stateless: checking one touches no SQL. A session ended early
//!   stands in `session_revocations`, of which every node reads the newest once a second into memory.
//! * A **device token** names the device by a keyed hash of its signals, for 30 days. The same signals give the same device; the signals
//!   themselves are not kept.
//! * A shopper is `(provider, external id)`. To others a shopper is a **masked name**: the first character and two stars.
//! * A person can be **erased** ([`erase`]): the shopper's id stays in the books and leads to nobody.
//! * A **newcomer** has never had an order that was paid (`users.first_paid_at` is null); what is for newcomers alone is claimed first ([`newcomers`]).

pub mod erase;
pub mod http;
pub mod names;
pub mod newcomers;
pub mod revocation;
pub mod token;
pub mod users;

pub use names::{Initial, Names};
pub use revocation::Revocations;
pub use token::{Device, Session, SessionId};
