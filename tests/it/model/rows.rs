//! Rows and answers, read.

use liebian::campaign::ops::{StatusRow, StockRow};
use liebian::campaign::rules::Rules;
use liebian::group_buy::ops::Alternative;
use liebian::group_buy::row::RoomRow;
use liebian::hot::RawAnswer;
use liebian::order::row::OrderRow;
use rmpv::Value;
use serde::de::DeserializeOwned;

/// One field of hot state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    Rules(Rules),
    Row(Row),
    /// orders, opened, joined, unpaid
    User([i64; 4]),
    /// of a device
    Text(String),
    Key(String, Said),
    Score(i64),
}

/// A row as answers carry it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    Status(StatusRow),
    Stock(StockRow),
    Room(RoomRow),
    Order(OrderRow),
    Other(Alternative),
    /// An order's.
    Id(String),
}

/// What the program says to one op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said<R = Row> {
    pub yes: i64,
    pub word: String,
    pub seq: i64,
    pub replayed: bool,
    pub rows: Vec<R>,
}

/// A row as the answers of a kind of campaign carry it.
pub trait Payload: Clone + std::fmt::Debug + PartialEq {
    /// Reads the row at a place (from 0) of an answer.
    fn read(yes: i64, word: &str, place: usize, packed: &[u8]) -> Self;
}

pub fn read<T: DeserializeOwned>(packed: &[u8]) -> T {
    rmp_serde::from_slice(packed).unwrap_or_else(|error| panic!("a row that does not read: {error}"))
}

pub fn row<T: liebian::hot::Row>(packed: &[u8]) -> T {
    T::read(packed).unwrap_or_else(|error| panic!("{error}: {packed:?}"))
}

impl Cell {
    /// Reads a field.
    pub fn read(table: &str, field: &str, packed: &[u8]) -> Self {
        match (table, field) {
            ("def", "rules") => Self::Rules(read(packed)),
            ("def", _) => Self::Row(Row::Status(row(packed))),
            ("stock", _) => Self::Row(Row::Stock(row(packed))),
            ("rooms", _) => Self::Row(Row::Room(row(packed))),
            ("orders", _) => Self::Row(Row::Order(row(packed))),
            ("users", _) => Self::User(liebian::campaign::live::counters(packed).unwrap()),
            ("devices", _) => Self::Text(String::from_utf8(packed.to_vec()).unwrap()),
            ("keys", _) => {
                let (body, said) = remembered(packed);
                Self::Key(body, said)
            }
            ("timers" | "joinable", _) => Self::Score(score(packed)),
            _ => panic!("a table nobody knows: {table}"),
        }
    }
}

/// The score of a sorted set's field.
pub fn score(value: &[u8]) -> i64 {
    str::from_utf8(value).unwrap().parse().unwrap()
}

/// Body and answer that an Idempotency-Key remembers.
pub fn remembered<R: Payload>(packed: &[u8]) -> (String, Said<R>) {
    let (body, answer): (String, serde_bytes::ByteBuf) = read(packed);
    (body, Said::unpack(&answer))
}

impl<R: Payload> Said<R> {
    /// Reads an answer as the script gives it. The text of an error is not compared.
    pub fn read(raw: &RawAnswer) -> Self {
        let word = if raw.yes < 0 { String::new() } else { raw.word.clone() };
        let rows = raw.payload.iter().enumerate().map(|(place, packed)| R::read(raw.yes, &raw.word, place, packed)).collect();
        Self { yes: raw.yes, word, seq: raw.seq, replayed: raw.replayed.is_some(), rows }
    }

    /// Reads an answer as an Idempotency-Key remembers it: its six values one after the other.
    fn unpack(mut packed: &[u8]) -> Self {
        let mut value = || rmpv::decode::read_value(&mut packed).unwrap();
        let bytes = |value: Value| match value {
            Value::String(text) => text.into_bytes(),
            other => panic!("no string: {other}"),
        };
        let (yes, word, seq, epoch) = (value().as_i64().unwrap(), bytes(value()), value().as_i64().unwrap(), value().as_i64());
        assert_eq!(epoch, Some(super::EPOCH));
        let rows = [bytes(value()), bytes(value())];
        let payload = rows.into_iter().filter(|row| !row.is_empty()).collect();
        Self::read(&RawAnswer { yes, word: String::from_utf8(word).unwrap(), seq, replayed: None, payload })
    }
}

impl Payload for Row {
    fn read(yes: i64, word: &str, place: usize, packed: &[u8]) -> Self {
        match (yes, word, place) {
            (1, "published" | "status" | "switches", 0) => Row::Status(row(packed)),
            (1, "stock", 0) => Row::Stock(row(packed)),
            (1, "opened" | "joined" | "already_in_room", 0) => Row::Room(row(packed)),
            (1, "opened" | "joined" | "already_in_room", 1)
            | (
                1,
                "ordered" | "payment_asked" | "cancelled" | "closed" | "paid" | "refunded" | "fulfilled" | "refunding" | "called_off",
                0,
            ) => Row::Order(row(packed)),
            (1, "ordered", 1) => Row::Id(String::from_utf8(packed.to_vec()).unwrap()),
            (0, "room_closed" | "room_expired" | "room_full", 0) => Row::Other(read(packed)),
            _ => panic!("{word} carries no row {place}"),
        }
    }
}
