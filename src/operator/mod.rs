//! Who runs campaigns: API keys with a role, and the log of what each did.
//!
//! * A key is `lbk_` and 40 letters and digits; SQL keeps its SHA-256 only, and it is shown once.
//! * Roles: viewer < editor < finance < admin; each may do what those before it may. Editors change campaigns, finance moves money,
//!   admins manage keys.
//! * Every change an operator makes is a row of `audit_log`, written in the same transaction where there is one.

pub mod audit;
pub mod http;
pub mod keys;

pub use audit::{Entry, audit};
pub use keys::{Key, Role};
