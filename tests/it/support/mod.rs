//! What the tests stand on: private servers that end with the test, each in a folder of its own. Linux only.

mod child;
mod db;
mod folder;
mod postgres;
mod redis;

pub use db::Db;
pub(crate) use db::both_databases;
pub use postgres::Postgres;
pub use redis::{Redis, valkey_server};
