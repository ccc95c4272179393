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
    /// how many users, the first of them
    Device(i64, String),
    /// a user met on a device after the first
    Met,
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
}

/// What the program says to one op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub yes: i64,
    pub word: String,
    pub seq: i64,
    pub replayed: bool,
    pub rows: Vec<Row>,
}

fn read<T: DeserializeOwned>(packed: &[u8]) -> T {
    rmp_serde::from_slice(packed).unwrap_or_else(|error| panic!("a row that does not read: {error}"))
}

impl Cell {
    /// Reads a field of a hash.
    pub fn read(table: &str, field: &str, packed: &[u8]) -> Self {
        match (table, field) {
            ("def", "rules") => Self::Rules(read(packed)),
            ("def", _) => Self::Row(Row::Status(read(packed))),
            ("stock", _) => Self::Row(Row::Stock(read(packed))),
            ("rooms", _) => Self::Row(Row::Room(read(packed))),
            ("orders", _) => Self::Row(Row::Order(read(packed))),
            ("users", _) => Self::User(read(packed)),
            ("devices", field) if field.contains('/') => {
                assert_eq!(packed, b"1");
                Self::Met
            }
            ("devices", _) => {
                let (users, first) = read(packed);
                Self::Device(users, first)
            }
            ("keys", _) => {
                let (body, answer): (String, serde_bytes::ByteBuf) = read(packed);
                Self::Key(body, Said::unpack(&answer))
            }
            _ => panic!("a table nobody knows: {table}"),
        }
    }
}

impl Said {
    /// Reads an answer as the script gives it. The text of an error is not compared.
    pub fn read(raw: &RawAnswer) -> Self {
        let word = if raw.yes < 0 { String::new() } else { raw.word.clone() };
        let rows = raw.payload.iter().enumerate().map(|(place, packed)| row(raw.yes, &raw.word, place, packed)).collect();
        Self { yes: raw.yes, word, seq: raw.seq, replayed: raw.replayed.is_some(), rows }
    }

    /// Reads an answer as an Idempotency-Key remembers it.
    fn unpack(packed: &[u8]) -> Self {
        let parts: Vec<Value> = read(packed);
        let number = |place: usize| parts[place].as_i64().unwrap();
        let bytes = |value: &Value| match value {
            Value::String(text) => text.as_bytes().to_vec(),
            Value::Binary(bytes) => bytes.clone(), // a string of Lua that is no UTF-8
            other => panic!("no string: {other}"),
        };
        let word = String::from_utf8(bytes(&parts[1])).unwrap();
        let payload = parts[4..].iter().map(bytes).collect();
        Self::read(&RawAnswer { yes: number(0), word, seq: number(2), replayed: None, payload })
    }
}

fn row(yes: i64, word: &str, place: usize, packed: &[u8]) -> Row {
    match (yes, word, place) {
        (1, "published" | "status", 0) => Row::Status(read(packed)),
        (1, "stock", 0) => Row::Stock(read(packed)),
        (1, "opened" | "joined" | "already_in_room", 0) => Row::Room(read(packed)),
        (1, "opened" | "joined" | "already_in_room", 1) | (1, "payment_asked" | "cancelled" | "closed" | "paid" | "refunded", 0) => {
            Row::Order(read(packed))
        }
        (0, "room_closed" | "room_expired" | "room_full", 0) => Row::Other(read(packed)),
        _ => panic!("{word} carries no row {place}"),
    }
}
