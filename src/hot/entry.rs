//! A log entry: what one batch decided, with every row it changed, chained to the entry before.

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_bytes::{ByteBuf, Bytes};
use serde_json::Value as Json;

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
    let own = |change: ChangeRef<'_>| Change(change.0.to_owned(), change.1.to_owned(), ByteBuf::from(change.2.to_vec()));
    Ok(borrowed(from)?.into_iter().map(own).collect())
}

/// The same, borrowed.
fn borrowed<'a, 'de: 'a, D: Deserializer<'de>>(from: D) -> Result<Vec<ChangeRef<'a>>, D::Error> {
    let tables = <Vec<(&'de str, Vec<&'de Bytes>, Vec<&'de str>)>>::deserialize(from)?;
    let mut changes = Vec::new();
    for (table, set, deleted) in tables {
        let mut set = set.into_iter();
        while let (Some(field), Some(value)) = (set.next(), set.next()) {
            changes.push(ChangeRef(table, str::from_utf8(field).map_err(D::Error::custom)?, value));
        }
        changes.extend(deleted.into_iter().map(|field| ChangeRef(table, field, Bytes::new(&[]))));
    }
    Ok(changes)
}

/// [`Body`], borrowed from the packed one.
#[derive(Debug, Deserialize)]
pub struct BodyRef<'a> {
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
    #[serde(borrow)]
    pub events: Vec<EventRef<'a>>,
    /// Every changed row.
    #[serde(borrow, deserialize_with = "borrowed")]
    pub changes: Vec<ChangeRef<'a>>,
}

impl<'a> BodyRef<'a> {
    /// Reads a packed body.
    ///
    /// # Errors
    /// When it does not read.
    pub fn read(packed: &'a [u8]) -> Result<Self, Damage> {
        Ok(rmp_serde::from_slice(packed)?)
    }
}

/// [`Change`], borrowed.
#[derive(Clone, Copy, Debug)]
pub struct ChangeRef<'a>(pub &'a str, pub &'a str, pub &'a Bytes);

/// [`Event`], borrowed.
#[derive(Clone, Debug, Deserialize)]
pub struct EventRef<'a>(pub i64, pub &'a str, #[serde(borrow, deserialize_with = "value")] pub rmpv::ValueRef<'a>);

/// A value is read with the life of what it is read from; this lets it live shorter.
fn value<'a, 'de: 'a, D: serde::Deserializer<'de>>(from: D) -> Result<rmpv::ValueRef<'a>, D::Error> {
    rmpv::ValueRef::<'de>::deserialize(from)
}

impl<'a> EventRef<'a> {
    /// The event's fields as the type a domain expects.
    ///
    /// # Errors
    /// When they have another shape.
    pub fn fields<T: Deserialize<'a>>(&'a self) -> Result<T, rmpv::ext::Error> {
        T::deserialize(&self.2)
    }

    /// A field that is text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        let rmpv::ValueRef::Map(fields) = &self.2 else { return None };
        let text = |value: &rmpv::ValueRef<'a>| if let rmpv::ValueRef::String(text) = value { text.into_str() } else { None };
        fields.iter().find(|(key, _)| text(key) == Some(name)).and_then(|(_, value)| text(value))
    }

    /// A field that is a whole number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<i64> {
        let rmpv::ValueRef::Map(fields) = &self.2 else { return None };
        let named = |key: &rmpv::ValueRef<'a>| matches!(key, rmpv::ValueRef::String(text) if text.into_str() == Some(name));
        let number = |value: &rmpv::ValueRef<'a>| if let rmpv::ValueRef::Integer(number) = value { number.as_i64() } else { None };
        fields.iter().find(|(key, _)| named(key)).and_then(|(_, value)| number(value))
    }

    /// Whether it has a field.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let rmpv::ValueRef::Map(fields) = &self.2 else { return false };
        fields.iter().any(|(key, _)| matches!(key, rmpv::ValueRef::String(text) if text.into_str() == Some(name)))
    }

    /// All fields as JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Map<String, Json> {
        match json(&self.2) {
            Json::Object(fields) => fields,
            // Lua packs an empty table as a list.
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => serde_json::Map::new(),
        }
    }
}

/// What Lua packs, as JSON; fractions, which no event has, are null.
fn json(value: &rmpv::ValueRef<'_>) -> Json {
    match value {
        rmpv::ValueRef::Boolean(yes) => Json::Bool(*yes),
        rmpv::ValueRef::Integer(number) => number.as_i64().map_or(Json::Null, Json::from),
        rmpv::ValueRef::String(text) => Json::String(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        rmpv::ValueRef::Binary(bytes) => Json::String(String::from_utf8_lossy(bytes).into_owned()),
        rmpv::ValueRef::Array(values) => Json::Array(values.iter().map(json).collect()),
        rmpv::ValueRef::Map(fields) => {
            let name = |key: &rmpv::ValueRef<'_>| if let Json::String(name) = json(key) { Some(name) } else { None };
            Json::Object(fields.iter().filter_map(|(key, value)| Some((name(key)?, json(value)))).collect())
        }
        rmpv::ValueRef::Nil | rmpv::ValueRef::F32(_) | rmpv::ValueRef::F64(_) | rmpv::ValueRef::Ext(..) => Json::Null,
    }
}

/// An entry whose body is not read yet: what is needed to keep it, and to see that it follows.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// SHA-1 (hex) over the hash before and the packed body.
    pub hash: String,
    /// The packed body as Lua made it.
    pub packed: Vec<u8>,
    /// Where it stands.
    pub head: Head,
}

/// The beginning of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Layout of the body; 1.
    pub format: i64,
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
}

impl Head {
    /// The first six values of the array that a body is; the rest, which is long, is not looked at.
    fn read(packed: &[u8]) -> Option<Self> {
        let (0x96..=0x9f, mut rest) = packed.split_first()? else { return None };
        let mut next = || rmpv::decode::read_value_ref(&mut rest).ok()?.to_owned().as_i64();
        let (format, epoch, version, first, last, at) = (next()?, next()?, next()?, next()?, next()?, next()?);
        Some(Self { format, epoch, version, first, last, at })
    }

    /// Sequences it takes: the ops it decided.
    #[must_use]
    pub const fn ops(&self) -> i64 {
        self.last - self.first + 1
    }
}

impl Sealed {
    /// Reads where the entry stands.
    ///
    /// # Errors
    /// When the body's beginning does not read.
    pub fn read(hash: String, packed: Vec<u8>) -> Result<Self, Damage> {
        let head = Head::read(&packed).ok_or(Damage::Headless)?;
        Ok(Self { hash, packed, head })
    }

    /// Checks that this entry follows the one that ended at `(seq, hash)`.
    ///
    /// # Errors
    /// When a sequence is missing or the hash does not follow.
    pub fn follows(&self, seq: i64, hash: &str) -> Result<(), Damage> {
        follows((seq, hash), self.head.first, &self.hash, &self.packed)
    }

    /// Reads the body.
    ///
    /// # Errors
    /// When it does not read.
    pub fn body(&self) -> Result<BodyRef<'_>, Damage> {
        BodyRef::read(&self.packed)
    }
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
    /// A body that does not even say where it stands.
    #[error("log entry does not begin as it should")]
    Headless,
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
        follows((seq, hash), self.body.first, &self.hash, &self.packed)
    }
}

fn follows((seq, before): (i64, &str), first: i64, hash: &str, packed: &[u8]) -> Result<(), Damage> {
    if first != seq + 1 {
        return Err(Damage::Gap { expected: seq + 1, found: first });
    }
    if hash != sha1_hex(&[before.as_bytes(), packed]) {
        return Err(Damage::Unchained(first));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Head, Sealed};

    #[test]
    fn the_head_reads_without_the_body_and_the_body_without_copies() {
        let fields = [("order", rmpv::Value::from("o1")), ("number", rmpv::Value::from(2))];
        let fields = rmpv::Value::Map(fields.map(|(name, value)| (name.into(), value)).to_vec());
        let binary = serde_bytes::Bytes::new(&[0xff, 0, 0x91]);
        let changes = [("orders", vec![serde_bytes::Bytes::new(b"o1"), binary], vec!["o2"])];
        let packed = rmp_serde::to_vec(&(1, 2, 3, 4, 5, 6, [(5, "order.refunded", fields)], changes)).unwrap();
        let entry = Sealed::read("hash".to_owned(), packed).unwrap();
        assert_eq!(entry.head, Head { format: 1, epoch: 2, version: 3, first: 4, last: 5, at: 6 });
        assert_eq!(entry.head.ops(), 2);
        let body = entry.body().unwrap();
        let (event, change) = (&body.events[0], &body.changes[0]);
        assert_eq!((event.0, event.1, event.text("order"), event.text("number")), (5, "order.refunded", Some("o1"), None));
        assert_eq!((change.0, change.1, change.2.as_ref()), ("orders", "o1", [0xff, 0, 0x91].as_slice()));
        let deleted = &body.changes[1];
        assert_eq!((deleted.0, deleted.1, deleted.2.is_empty(), body.changes.len()), ("orders", "o2", true, 2));
    }
}
