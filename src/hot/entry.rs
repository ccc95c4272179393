//! A log entry: what one batch decided, with every row it changed, chained to the entry before.

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_bytes::ByteBuf;

use crate::crypto::sha1_hex;

/// One changed field: table, field, new packed value (empty = deleted).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change(pub String, pub String, pub ByteBuf);

/// One event: its op's sequence, its name, its fields.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Event(pub i64, pub String, pub rmpv::Value);

impl Event {
    /// The event's fields as the type a domain expects.
    ///
    /// # Errors
    /// When they have another shape.
    pub fn fields<T: serde::de::DeserializeOwned>(&self) -> Result<T, rmpv::ext::Error> {
        rmpv::ext::from_value(self.2.clone())
    }
}

/// What the entry's body says (`lua/lib/log.lua` packs it in this order).
#[derive(Clone, Debug, Deserialize)]
pub struct Body {
    /// Layout of this body; 1.
    pub format: u32,
    /// The epoch it was decided in.
    pub epoch: i64,
    /// The definition's version it was decided under.
    pub version: i64,
    /// Sequence of the first op.
    pub first: i64,
    /// Sequence of the last op.
    pub last: i64,
    /// The script's clock, Unix ms.
    pub at: i64,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// Every changed row: folding these over an empty state gives the hot state.
    #[serde(deserialize_with = "changes")]
    pub changes: Vec<Change>,
}

/// Changes as Lua lists them: table by table, set fields with their values one after the other, then deleted fields.
fn changes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Change>, D::Error> {
    let tables = <Vec<(String, Vec<ByteBuf>, Vec<String>)>>::deserialize(from)?;
    let mut changes = Vec::new();
    for (table, set, deleted) in tables {
        let mut set = set.into_iter();
        while let (Some(field), Some(value)) = (set.next(), set.next()) {
            changes.push(Change(table.clone(), String::from_utf8(field.into_vec()).map_err(D::Error::custom)?, value));
        }
        changes.extend(deleted.into_iter().map(|field| Change(table.clone(), field, ByteBuf::new())));
    }
    Ok(changes)
}

/// An entry as the log holds it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// SHA-1 (hex) over the hash before and the packed body.
    pub hash: String,
    /// The packed body as Lua made it.
    pub packed: Vec<u8>,
    /// The body read.
    pub body: Body,
}

/// A log that cannot be what this engine wrote.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// A body that does not read.
    #[error("log entry cannot be read: {0}")]
    Unreadable(#[from] rmp_serde::decode::Error),
    /// A hash that does not follow from the entry before.
    #[error("log entry at sequence {0} is not chained to the one before")]
    Unchained(i64),
    /// A missing sequence.
    #[error("log goes on at sequence {found} where {expected} was due")]
    Gap {
        /// The next sequence due.
        expected: i64,
        /// The sequence found.
        found: i64,
    },
}

impl Entry {
    /// Reads an entry.
    ///
    /// # Errors
    /// When the body does not read.
    pub fn read(hash: String, packed: Vec<u8>) -> Result<Self, Damage> {
        let body = rmp_serde::from_slice(&packed)?;
        Ok(Self { hash, packed, body })
    }

    /// Checks that this entry follows the one that ended at `(seq, hash)`.
    ///
    /// # Errors
    /// When a sequence is missing or the hash does not follow.
    pub fn follows(&self, seq: i64, hash: &str) -> Result<(), Damage> {
        if self.body.first != seq + 1 {
            return Err(Damage::Gap { expected: seq + 1, found: self.body.first });
        }
        if self.hash != sha1_hex(&[hash.as_bytes(), &self.packed]) {
            return Err(Damage::Unchained(self.body.first));
        }
        Ok(())
    }
}
