//! Who runs campaigns: API keys with a role, and the log of what each did.
//!
//! * A key is `lbk_` and 40 letters and digits; SQL keeps its SHA-256 only, and it is shown once.
//! * Roles: viewer < editor < finance < admin; each may do what those before it may. Editors change campaigns, finance moves money,
//!   admins manage keys.
//! * Every change an operator makes is a row of `audit_log`: written in the transaction that makes it, or, where a campaign's program decided
//!   it, in the one that takes its event into SQL ([`projection`]). So a change without its note does not exist.

pub mod audit;
pub mod events;
pub mod http;
pub mod keys;
pub mod projection;
mod reason;

pub use audit::{Entry, audit};
pub use keys::{Key, Role};
pub use reason::reason;
