//! Hot state: a campaign is a deterministic state machine that lives in Redis.
//!
//! Every change is an *op*: a pure function of state and arguments, decided in a Lua program ([`program`]) that loads what it needs,
//! folds a batch of ops one after the other, and commits log entry and rows at once. A [`lane`] per campaign gathers the ops that
//! arrive while the batch before is under way and sends them as one script call. Redis fsyncs before it answers, so an answered op
//! is on disk; many ops share one fsync. The fence (`lua/lib/fence.lua`) refuses to decide on state that Redis may have rolled
//! back; [`crate::projector`] then recovers it.
//!
//! Nothing outside this module names the `redis` crate, and nothing inside knows what a room or an order is.

pub mod engine;
pub mod entry;
pub mod lane;
mod memory;
pub mod program;
mod reads;
pub mod redis;
pub mod row;
pub mod shelf;

pub use engine::Engine;
pub use lane::{Answer, Class, Decided, Op, Place, RawAnswer, Trouble};
pub use memory::{Asks, Remembered};
pub use program::Program;
pub use reads::{Found, Read};
pub use row::Row;
