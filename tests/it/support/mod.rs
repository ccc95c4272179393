//! What the tests stand on: private servers that end with the test, each in a folder of its own. Linux only.

mod app;
mod child;
mod client;
mod db;
mod document;
mod folder;
mod postgres;
mod redis;
mod shop;

pub(crate) use app::served;
pub use app::{ADMIN_KEY, SECRET, Setup, TestApp, hot_key};
pub use child::{signal, spawn, tied, within};
pub use client::{Answer, Request};
pub use db::Db;
pub(crate) use db::both_databases;
pub use document::{Document, Operation};
pub use folder::Folder;
pub use postgres::Postgres;
pub use redis::{Redis, valkey_server};
pub use shop::{Seat, Shopper, definition, from_now, patched, time_of, unique, with};
