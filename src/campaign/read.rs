//! Reading JSON into types with all faults named at once.
//!
//! serde stops at the first fault; an operator who writes a definition wants the whole list, each with its place
//! (`items[0].tiers[1].size`). A reader is a function of ([`Reader`], value) that answers `None` after it has noted a fault.
//! An absent field and `null` are the same.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::clock::UnixMs;
use crate::money::{Fen, MAX_FEN};

/// The longest span a rule may name: one year.
pub const MAX_SPAN_SECONDS: i64 = 366 * 86_400;

/// Times from 2100 on are typing errors; they would also outgrow what Lua can print.
const MAX_TIME_MS: i64 = 4_102_444_800_000;

/// Enough faults to work on; a hostile body gets no longer answer.
const MAX_FAULTS: usize = 100;

/// One fault and its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({"field": "items[0].tiers[0].size", "message": "must be from 2 to 200"}))]
pub struct Fault {
    /// The place, such as `items[0].tiers[0].size`; empty for the body as a whole.
    pub field: String,
    /// What would be right there.
    pub message: String,
}

/// The place where reading is, and the faults found so far.
#[derive(Debug, Default)]
pub struct Reader {
    place: String,
    faults: Vec<Fault>,
}

impl Reader {
    /// Reads a whole body.
    ///
    /// # Errors
    /// All faults, at least one.
    pub fn read<T>(value: &Value, read: impl FnOnce(&mut Self, &Value) -> Option<T>) -> Result<T, Vec<Fault>> {
        let mut reader = Self::default();
        let read = read(&mut reader, value);
        match read {
            Some(read) if reader.faults.is_empty() => Ok(read),
            Some(_) | None if reader.faults.is_empty() => Err(vec![Fault { field: String::new(), message: "cannot be read".into() }]),
            Some(_) | None => Err(reader.faults),
        }
    }

    /// Notes a fault at the present place.
    pub fn fault<T>(&mut self, message: impl Into<String>) -> Option<T> {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault { field: self.place.clone(), message: message.into() });
        }
        None
    }

    /// Notes a fault at a place below the present one.
    pub fn fault_at(&mut self, below: &str, message: impl Into<String>) {
        self.below(below, |reader| reader.fault::<()>(message));
    }

    /// Whether nothing was wrong so far.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    fn below<T>(&mut self, name: &str, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let length = self.place.len();
        if length > 0 && !name.starts_with('[') {
            self.place.push('.');
        }
        self.place.push_str(name);
        let read = read(self);
        self.place.truncate(length);
        read
    }

    /// The value as an object.
    pub fn object<'v>(&mut self, value: &'v Value) -> Option<&'v Map<String, Value>> {
        value.as_object().or_else(|| self.fault("must be an object"))
    }

    /// Notes each field that is not among `known`.
    pub fn refuse_unknown(&mut self, object: &Map<String, Value>, known: &[&[&str]]) {
        for name in object.keys().filter(|name| !known.iter().any(|names| names.contains(&name.as_str()))) {
            let shown: String = name.chars().take(64).collect();
            self.fault_at(&shown, "is not a known field");
        }
    }

    /// A field that must be there.
    pub fn required<T>(&mut self, object: &Map<String, Value>, name: &str, read: impl FnOnce(&mut Self, &Value) -> Option<T>) -> Option<T> {
        self.below(name, |reader| match object.get(name) {
            None | Some(Value::Null) => reader.fault("is required"),
            Some(value) => read(reader, value),
        })
    }

    /// A field with a default.
    pub fn or_default<T>(
        &mut self,
        object: &Map<String, Value>,
        name: &str,
        default: T,
        read: impl FnOnce(&mut Self, &Value) -> Option<T>,
    ) -> Option<T> {
        match object.get(name) {
            None | Some(Value::Null) => Some(default),
            Some(value) => self.below(name, |reader| read(reader, value)),
        }
    }
}

/// A whole number from `min` to `max`.
pub fn whole(min: i64, max: i64) -> impl Fn(&mut Reader, &Value) -> Option<i64> {
    move |reader, value| match value.as_i64() {
        Some(number) if (min..=max).contains(&number) => Some(number),
        None if !value.is_number() => reader.fault("must be a whole number"),
        Some(_) | None => reader.fault(format!("must be a whole number from {min} to {max}")),
    }
}

/// An amount from 0 to 10^10 fen.
pub fn fen() -> impl Fn(&mut Reader, &Value) -> Option<Fen> {
    |reader, value| whole(0, MAX_FEN)(reader, value).map(Fen::new)
}

/// A span of at least one second.
pub fn span() -> impl Fn(&mut Reader, &Value) -> Option<i64> {
    whole(1, MAX_SPAN_SECONDS)
}

/// `true` or `false`.
pub fn flag() -> impl Fn(&mut Reader, &Value) -> Option<bool> {
    |reader, value| value.as_bool().or_else(|| reader.fault("must be true or false"))
}

/// One line of 1 to `max` characters, not all blank.
pub fn line(max: usize) -> impl Fn(&mut Reader, &Value) -> Option<String> {
    move |reader, value| {
        let text = text(max)(reader, value)?;
        if text.chars().any(char::is_control) { reader.fault("must not hold control characters") } else { Some(text) }
    }
}

/// Text of 1 to `max` characters, not all blank; lines may end.
pub fn text(max: usize) -> impl Fn(&mut Reader, &Value) -> Option<String> {
    move |reader, value| {
        let Some(text) = value.as_str() else { return reader.fault("must be text") };
        if text.trim().is_empty() {
            return reader.fault("must not be empty");
        }
        if text.chars().count() > max {
            return reader.fault(format!("must have at most {max} characters"));
        }
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            return reader.fault("must not hold control characters");
        }
        Some(text.to_owned())
    }
}

/// A stock-keeping unit: 1 to 64 of `0-9 A-Z a-z . _ : + -`, safe in URLs, CSV and keys.
pub fn sku() -> impl Fn(&mut Reader, &Value) -> Option<String> {
    |reader, value| match value.as_str() {
        Some(text) if is_sku(text) => Some(text.to_owned()),
        Some(_) => reader.fault("must be 1 to 64 letters, digits or . _ : + -"),
        None => reader.fault("must be text"),
    }
}

fn is_sku(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:+-".contains(&b))
}

/// An RFC 3339 time from 1970 to 2099.
pub fn time() -> impl Fn(&mut Reader, &Value) -> Option<UnixMs> {
    |reader, value| match value.as_str().map(UnixMs::parse) {
        Some(Some(at)) if (0..MAX_TIME_MS).contains(&at.get()) => Some(at),
        Some(_) | None => reader.fault("must be a time such as 2026-11-22T08:00:00Z"),
    }
}

/// A list of `min` to `max` entries.
pub fn list<T>(min: usize, max: usize, read: impl Fn(&mut Reader, &Value) -> Option<T>) -> impl Fn(&mut Reader, &Value) -> Option<Vec<T>> {
    move |reader, value| {
        let Some(entries) = value.as_array() else { return reader.fault("must be a list") };
        if entries.len() < min {
            return reader.fault(if min == 1 { "must not be empty".to_owned() } else { format!("must have at least {min} entries") });
        }
        if entries.len() > max {
            return reader.fault(format!("must have at most {max} entries"));
        }
        // Every entry is read before the list is given up: all faults are wanted.
        let read: Vec<Option<T>> =
            entries.iter().enumerate().map(|(i, entry)| reader.below(&format!("[{i}]"), |reader| read(reader, entry))).collect();
        read.into_iter().collect()
    }
}

/// One word of an enum whose words are `words`.
pub fn word<T: DeserializeOwned + Words>() -> impl Fn(&mut Reader, &Value) -> Option<T> {
    |reader, value| {
        let word = value.as_str().filter(|word| T::WORDS.contains(word));
        word.and_then(|_| T::deserialize(value).ok()).or_else(|| reader.fault(format!("must be one of: {}", T::WORDS.join(", "))))
    }
}

/// Lets a field be absent.
pub fn maybe<T>(read: impl Fn(&mut Reader, &Value) -> Option<T>) -> impl Fn(&mut Reader, &Value) -> Option<Option<T>> {
    move |reader, value| read(reader, value).map(Some)
}

/// An enum that is one word in JSON.
pub trait Words {
    /// Its words.
    const WORDS: &'static [&'static str];
}

/// A struct that is read field by field.
pub trait Record: Sized {
    /// The names it knows.
    const FIELDS: &'static [&'static str];

    /// Reads its own fields and leaves others alone; then looks at rules between fields.
    fn fields(reader: &mut Reader, object: &Map<String, Value>) -> Option<Self>;
}

/// A whole object of one record: unknown fields are faults.
pub fn record<T: Record>() -> impl Fn(&mut Reader, &Value) -> Option<T> {
    |reader, value| {
        let object = reader.object(value)?;
        reader.refuse_unknown(object, &[T::FIELDS]);
        T::fields(reader, object)
    }
}

/// A record with every field's default; all its fields must have one.
#[must_use]
pub fn defaults<T: Record>() -> Option<T> {
    T::fields(&mut Reader::default(), &Map::new())
}

/// An enum that is one word in JSON.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$variant_meta])* #[serde(rename = $word)] $variant,)* }

        // By hand: utoipa's derive does not see a rename that comes out of a macro.
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .enum_values(Some([$($word),*]))
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {}

        impl $crate::campaign::read::Words for $name {
            const WORDS: &'static [&'static str] = &[$($word),*];
        }

        impl $name {
            /// The word on the wire.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}
pub(crate) use words;

/// A struct whose fields name their reader, and their default if they have one: `size: i64 => whole(2, 200),` or
/// `reserve: Reserve = Reserve::Seat => word(),`. Rules between fields go into a function after the name: `Tier => tier_rules { … }`.
macro_rules! records {
    ($($(#[$meta:meta])* $name:ident $(=> $rules:ident)? {
        $($(#[$field_meta:meta])* $field:ident : $type:ty $(= $default:expr)? => $read:expr,)*
    })*) => { $(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        pub struct $name { $($(#[$field_meta])* pub $field: $type,)* }

        impl $crate::campaign::read::Record for $name {
            const FIELDS: &'static [&'static str] = &[$(stringify!($field)),*];

            fn fields(
                reader: &mut $crate::campaign::read::Reader,
                object: &serde_json::Map<String, serde_json::Value>,
            ) -> Option<Self> {
                $(let $field: Option<$type> = $crate::campaign::read::records!(@field reader object $field $read $(, $default)?);)*
                let read = Self { $($field: $field?,)* };
                $($rules(&read, reader);)?
                Some(read)
            }
        }
    )* };
    (@field $reader:ident $object:ident $field:ident $read:expr) => {
        $reader.required($object, stringify!($field), $read)
    };
    (@field $reader:ident $object:ident $field:ident $read:expr, $default:expr) => {
        $reader.or_default($object, stringify!($field), $default, $read)
    };
}
pub(crate) use records;
