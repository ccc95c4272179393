//! The forms a single value may have: how it is read, and how the OpenAPI document describes it. Lists, words and records of them are in
//! [`super::compound`].

use serde_json::Value;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{KnownFormat, RefOr, SchemaFormat};

use super::Reader;
use super::described::Named;
use crate::clock::UnixMs;
use crate::money::{Fen, MAX_FEN};

/// The longest span a rule may name: one year.
pub const MAX_SPAN_SECONDS: i64 = 366 * 86_400;

/// Times from 2100 on are typing errors; they would also outgrow what Lua can print.
const MAX_TIME_MS: i64 = 4_102_444_800_000;

/// A stock-keeping unit: safe in URLs, CSV and keys.
pub const SKU_PATTERN: &str = "^[0-9A-Za-z._:+-]{1,64}$";

/// Not blank, no control characters.
const LINE: &str = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$";
/// The same, but lines may end.
const LINES: &str = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$";

/// How one field is read, and described.
pub trait Form {
    /// What comes of it.
    type Read;

    /// Reads it, or notes a fault and answers `None`.
    fn read(&self, reader: &mut Reader, value: &Value) -> Option<Self::Read>;

    /// What it takes.
    fn schema(&self) -> RefOr<Schema>;

    /// The schemas that [`Form::schema`] names.
    fn named(&self, _found: &mut Named) {}
}

/// A whole number from the first to the second.
#[derive(Debug)]
pub struct Whole(i64, i64);

/// A whole number from `min` to `max`.
#[must_use]
pub const fn whole(min: i64, max: i64) -> Whole {
    Whole(min, max)
}

/// A span of at least one second.
#[must_use]
pub const fn span() -> Whole {
    whole(1, MAX_SPAN_SECONDS)
}

impl Form for Whole {
    type Read = i64;

    fn read(&self, reader: &mut Reader, value: &Value) -> Option<i64> {
        let Self(min, max) = *self;
        match value.as_i64() {
            Some(number) if (min..=max).contains(&number) => Some(number),
            None if !value.is_number() => reader.fault("must be a whole number"),
            Some(_) | None => reader.fault(format!("must be a whole number from {min} to {max}")),
        }
    }

    fn schema(&self) -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::Int64);
        ObjectBuilder::new().schema_type(Type::Integer).format(Some(format)).minimum(Some(self.0)).maximum(Some(self.1)).into()
    }
}

/// An amount of money.
#[derive(Debug)]
pub struct Amount;

/// An amount from 0 to 10^10 fen.
#[must_use]
pub const fn fen() -> Amount {
    Amount
}

impl Form for Amount {
    type Read = Fen;

    fn read(&self, reader: &mut Reader, value: &Value) -> Option<Fen> {
        whole(0, MAX_FEN).read(reader, value).map(Fen::new)
    }

    fn schema(&self) -> RefOr<Schema> {
        whole(0, MAX_FEN).schema()
    }
}

/// Yes or no.
#[derive(Debug)]
pub struct Flag;

/// `true` or `false`.
#[must_use]
pub const fn flag() -> Flag {
    Flag
}

impl Form for Flag {
    type Read = bool;

    fn read(&self, reader: &mut Reader, value: &Value) -> Option<bool> {
        value.as_bool().or_else(|| reader.fault("must be true or false"))
    }

    fn schema(&self) -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::Boolean).into()
    }
}

/// Words of people.
#[derive(Debug)]
pub struct Text {
    longest: usize,
    lines: bool,
}

/// One line of 1 to `longest` characters, not all blank.
#[must_use]
pub const fn line(longest: usize) -> Text {
    Text { longest, lines: false }
}

/// Text of 1 to `longest` characters, not all blank; lines may end.
#[must_use]
pub const fn text(longest: usize) -> Text {
    Text { longest, lines: true }
}

impl Form for Text {
    type Read = String;

    fn read(&self, reader: &mut Reader, value: &Value) -> Option<String> {
        let Some(text) = value.as_str() else { return reader.fault("must be text") };
        if text.trim().is_empty() {
            return reader.fault("must not be empty");
        }
        if text.chars().count() > self.longest {
            return reader.fault(format!("must have at most {} characters", self.longest));
        }
        if text.chars().any(|c| c.is_control() && !(self.lines && matches!(c, '\n' | '\r' | '\t'))) {
            return reader.fault("must not hold control characters");
        }
        Some(text.to_owned())
    }

    fn schema(&self) -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(self.longest))
            .pattern(Some(if self.lines { LINES } else { LINE }))
            .into()
    }
}

/// A stock-keeping unit.
#[derive(Debug)]
pub struct Sku;

/// 1 to 64 of `0-9 A-Z a-z . _ : + -`.
#[must_use]
pub const fn sku() -> Sku {
    Sku
}

/// Whether this could be a stock-keeping unit.
#[must_use]
pub fn is_sku(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:+-".contains(&b))
}

impl Form for Sku {
    type Read = String;

    fn read(&self, reader: &mut Reader, value: &Value) -> Option<String> {
        match value.as_str() {
            Some(text) if is_sku(text) => Some(text.to_owned()),
            Some(_) => reader.fault("must be 1 to 64 letters, digits or . _ : + -"),
            None => reader.fault("must be text"),
        }
    }

    fn schema(&self) -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::String).pattern(Some(SKU_PATTERN)).examples(["cherry-1kg"]).into()
    }
}

/// A moment.
#[derive(Debug)]
pub struct Moment;

/// An RFC 3339 time from 1970 to 2099.
#[must_use]
pub const fn time() -> Moment {
    Moment
}

impl Form for Moment {
    type Read = UnixMs;

    fn read(&self, reader: &mut Reader, value: &Value) -> Option<UnixMs> {
        match value.as_str().map(UnixMs::parse) {
            Some(Some(at)) if (0..MAX_TIME_MS).contains(&at.get()) => Some(at),
            Some(Some(_)) => reader.fault("must be a time from 1970 to 2099"),
            Some(None) | None => reader.fault("must be a time such as 2026-11-22T08:00:00Z"),
        }
    }

    fn schema(&self) -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        ObjectBuilder::new().schema_type(Type::String).format(Some(format)).examples(["2026-11-22T00:00:00Z"]).into()
    }
}
