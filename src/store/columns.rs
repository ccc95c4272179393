//! What stands in the columns of rows that are written in bulk.

use std::fmt::{self, Display, Write};

use sqlx::postgres::PgTypeInfo;
use sqlx::{Postgres, Type};

use crate::clock::UnixMs;
use crate::id::{CampaignId, ChainId, DeviceId, OrderId, RoomId, UserId, WithdrawalId};
use crate::money::Fen;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TEXT.
    Text,
    /// BIGINT.
    BigInt,
    /// BOOLEAN.
    Boolean,
    /// BYTEA.
    Bytes,
}

impl Kind {
    /// The name of its array in Postgres.
    pub(super) const fn array(self) -> &'static str {
        match self {
            Self::Text => "TEXT[]",
            Self::BigInt => "BIGINT[]",
            Self::Boolean => "BOOLEAN[]",
            Self::Bytes => "BYTEA[]",
        }
    }

    /// The number of the type in Postgres (`pg_type.dat` in its sources), and its array for sqlx.
    pub(super) fn postgres(self) -> (u32, PgTypeInfo) {
        match self {
            Self::Text => (25, <Vec<String> as Type<Postgres>>::type_info()),
            Self::BigInt => (20, <Vec<i64> as Type<Postgres>>::type_info()),
            Self::Boolean => (16, <Vec<bool> as Type<Postgres>>::type_info()),
            Self::Bytes => (17, <Vec<Vec<u8>> as Type<Postgres>>::type_info()),
        }
    }
}

/// One value.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// NULL.
    Null,
    /// TEXT.
    Text(&'a str),
    /// BIGINT.
    Int(i64),
    /// BOOLEAN.
    Bool(bool),
    /// BYTEA.
    Bytes(&'a [u8]),
}

/// What values go into, row after row.
pub trait Sink {
    /// A row begins.
    fn begin(&mut self);
    /// The value of its next column.
    fn put(&mut self, value: Value<'_>);
}

/// A type whose values stand in a column.
pub trait Column {
    /// What the column holds.
    const KIND: Kind;

    /// Gives the value.
    fn give(&self, sink: &mut impl Sink);
}

macro_rules! column {
    ($($type:ty: $kind:ident, |$value:ident, $sink:ident| $give:expr;)*) => {
        $(impl Column for $type {
            const KIND: Kind = Kind::$kind;
            fn give(&self, $sink: &mut impl Sink) {
                let $value = self;
                $give;
            }
        })*
    };
}

column! {
    String: Text, |text, sink| sink.put(Value::Text(text));
    &'static str: Text, |text, sink| sink.put(Value::Text(text));
    i64: BigInt, |number, sink| sink.put(Value::Int(*number));
    bool: Boolean, |yes, sink| sink.put(Value::Bool(*yes));
    Vec<u8>: Bytes, |bytes, sink| sink.put(Value::Bytes(bytes));
    Fen: BigInt, |fen, sink| sink.put(Value::Int(fen.get()));
    UnixMs: BigInt, |at, sink| sink.put(Value::Int(at.get()));
    CampaignId: Text, |id, sink| spell(id, sink);
    UserId: Text, |id, sink| spell(id, sink);
    DeviceId: Text, |id, sink| spell(id, sink);
    RoomId: Text, |id, sink| spell(id, sink);
    OrderId: Text, |id, sink| spell(id, sink);
    ChainId: Text, |id, sink| spell(id, sink);
    WithdrawalId: Text, |id, sink| spell(id, sink);
}

impl<T: Column> Column for Option<T> {
    const KIND: Kind = T::KIND;

    fn give(&self, sink: &mut impl Sink) {
        match self {
            Some(value) => value.give(sink),
            None => sink.put(Value::Null),
        }
    }
}

/// An id as text, without an allocation.
fn spell(id: &impl Display, sink: &mut impl Sink) {
    let mut short = Short { bytes: [0; 32], length: 0 };
    match write!(short, "{id}") {
        Ok(()) => sink.put(Value::Text(short.bytes.get(..short.length).and_then(|text| str::from_utf8(text).ok()).unwrap_or_default())),
        Err(fmt::Error) => sink.put(Value::Text(&id.to_string())),
    }
}

struct Short {
    bytes: [u8; 32],
    length: usize,
}

impl Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}
