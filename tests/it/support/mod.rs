//! What the tests stand on: private servers that end with the test, each in a folder of its own. Linux only.

mod app;
mod chains;
mod child;
mod client;
mod crowd;
mod db;
mod document;
mod earnings;
mod events;
mod folder;
mod postgres;
mod redis;
mod referral;
mod second;
mod shop;
mod wallet;
mod wire;

pub use app::{ADMIN_KEY, SECRET, Setup, TestApp, hot_key};
pub(crate) use app::{served, served_once};
pub use chains::bargain;
pub use child::{signal, spawn, tied, within};
pub use client::{Answer, Request};
pub use crowd::{all, crowd};
pub use db::Db;
pub(crate) use db::both_databases;
pub use document::{Document, Operation};
pub use earnings::one_level;
pub use events::Event;
pub use folder::Folder;
pub use postgres::Postgres;
pub use redis::{Redis, valkey_server};
pub use referral::programme;
pub use second::Second;
pub use shop::{Seat, Shopper, definition, from_now, patched, time_of, unique, with};
pub use wire::Wire;
