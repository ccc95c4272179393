//! Values of many rows on their way into one statement, in the form that each database takes them.

use std::fmt::Write;

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgTypeInfo};
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, Encode, Postgres, Type};

use super::columns::{Kind, Sink, Value};

/// For `SQLite`: an array of rows, each an array of values.
#[derive(Debug, Default)]
pub struct Json(String);

impl Json {
    /// The text, as the one parameter.
    pub fn finish(mut self) -> Result<SqliteArguments, sqlx::Error> {
        self.0.push_str("]]");
        let mut arguments = SqliteArguments::default();
        arguments.add(self.0).map_err(sqlx::Error::Encode)?;
        Ok(arguments)
    }
}

impl Sink for Json {
    fn begin(&mut self) {
        self.0.push_str(if self.0.is_empty() { "[[" } else { "],[" });
    }

    fn put(&mut self, value: Value<'_>) {
        if !self.0.ends_with('[') {
            self.0.push(',');
        }
        match value {
            Value::Text(text) => quote(&mut self.0, text),
            // Writing to a string always succeeds.
            Value::Int(number) => drop(write!(self.0, "{number}")),
            Value::Bool(yes) => self.0.push_str(if yes { "true" } else { "false" }),
            Value::Null | Value::Bytes(_) => self.0.push_str("null"),
        }
    }
}

/// A JSON string (RFC 8259, section 7).
fn quote(json: &mut String, text: &str) {
    json.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c < ' ' || c == '"' || c == '\\') {
        let (plain, special) = rest.split_at(at);
        json.push_str(plain);
        let mut special = special.chars();
        match special.next() {
            Some(quoted @ ('"' | '\\')) => json.extend(['\\', quoted]),
            Some(control) => drop(write!(json, "\\u{:04x}", u32::from(control))),
            None => {}
        }
        rest = special.as_str();
    }
    json.push_str(rest);
    json.push('"');
}

/// For `SQLite`, where JSON does not do: one row's parameters.
#[derive(Debug, Default)]
pub struct Parameters(SqliteArguments, Option<BoxDynError>);

impl Parameters {
    /// The parameters.
    pub fn finish(self) -> Result<SqliteArguments, sqlx::Error> {
        self.1.map_or(Ok(self.0), |error| Err(sqlx::Error::Encode(error)))
    }
}

impl Sink for Parameters {
    fn begin(&mut self) {}

    fn put(&mut self, value: Value<'_>) {
        let added = match value {
            Value::Null => self.0.add(None::<i64>),
            Value::Text(text) => self.0.add(text),
            Value::Int(number) => self.0.add(number),
            Value::Bool(yes) => self.0.add(yes),
            Value::Bytes(bytes) => self.0.add(bytes),
        };
        self.1 = added.err().or(self.1.take());
    }
}

/// For Postgres: one array a column, in its binary form (`array_recv` in its sources).
#[derive(Debug)]
pub struct Arrays(Vec<Array>, usize);

#[derive(Debug)]
struct Array {
    kind: Kind,
    count: i32,
    nulls: bool,
    elements: Vec<u8>,
}

impl Arrays {
    /// For so many rows.
    pub fn new(columns: &[(&'static str, Kind)], rows: usize) -> Self {
        let array = |(_, kind): &(&str, Kind)| Array { kind: *kind, count: 0, nulls: false, elements: Vec::with_capacity(rows * 16) };
        Self(columns.iter().map(array).collect(), 0)
    }

    /// The parameters.
    pub fn finish(self) -> Result<PgArguments, sqlx::Error> {
        let mut arguments = PgArguments::default();
        self.0.into_iter().try_for_each(|array| arguments.add(array)).map_err(sqlx::Error::Encode)?;
        Ok(arguments)
    }
}

impl Sink for Arrays {
    fn begin(&mut self) {
        self.1 = 0;
    }

    fn put(&mut self, value: Value<'_>) {
        let Some(array) = self.0.get_mut(self.1) else { return };
        self.1 += 1;
        array.count += 1;
        match value {
            Value::Null => {
                array.nulls = true;
                array.elements.extend((-1_i32).to_be_bytes());
            }
            Value::Text(text) => array.push(text.as_bytes()),
            Value::Int(number) => array.push(&number.to_be_bytes()),
            Value::Bool(yes) => array.push(&[u8::from(yes)]),
            Value::Bytes(bytes) => array.push(bytes),
        }
    }
}

impl Array {
    fn push(&mut self, bytes: &[u8]) {
        // Beyond 2 GB the whole is malformed, and Postgres says so.
        self.elements.extend(i32::try_from(bytes.len()).unwrap_or(i32::MAX).to_be_bytes());
        self.elements.extend_from_slice(bytes);
    }
}

impl Type<Postgres> for Array {
    fn type_info() -> PgTypeInfo {
        Kind::Text.postgres().1
    }
}

impl Encode<'_, Postgres> for Array {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        // One dimension, whether there are NULLs, the elements' type, so many of them, the first of which is number 1.
        buffer.extend(1_i32.to_be_bytes());
        buffer.extend(i32::from(self.nulls).to_be_bytes());
        buffer.extend(self.kind.postgres().0.to_be_bytes());
        buffer.extend(self.count.to_be_bytes());
        buffer.extend(1_i32.to_be_bytes());
        buffer.extend_from_slice(&self.elements);
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(self.kind.postgres().1)
    }
}
