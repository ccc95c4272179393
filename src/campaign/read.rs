//! Reading JSON into types with all faults named at once.
//!
//! serde stops at the first fault; an operator who writes a definition wants the whole list, each with its place
//! (`items[0].tiers[1].size`). A [`Form`] reads one field: with the [`Reader`] and the value it answers `None` after it has noted a fault.
//! The same form says in the OpenAPI document what it takes, so the two cannot differ. An absent field and `null` are the same.

pub mod compound;
pub mod described;
pub mod forms;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use compound::{list, maybe, own, record, word};
use described::{Field, Named};
pub use forms::{Form, fen, flag, line, sku, span, text, time, whole};

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
    pub fn required<F: Form>(&mut self, object: &Map<String, Value>, name: &str, form: &F) -> Option<F::Read> {
        self.below(name, |reader| match object.get(name) {
            None | Some(Value::Null) => reader.fault("is required"),
            Some(value) => form.read(reader, value),
        })
    }

    /// A field with a default.
    pub fn or_default<F: Form>(&mut self, object: &Map<String, Value>, name: &str, default: F::Read, form: &F) -> Option<F::Read> {
        match object.get(name) {
            None | Some(Value::Null) => Some(default),
            Some(value) => self.below(name, |reader| form.read(reader, value)),
        }
    }
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

    /// Its own fields for the OpenAPI document.
    fn described() -> Option<Vec<Field>>;

    /// The schemas that its fields name.
    fn named(found: &mut Named);
}

/// A record with every field's default; all its fields must have one.
#[must_use]
pub fn defaults<T: Record>() -> Option<T> {
    T::fields(&mut Reader::default(), &Map::new())
}

/// An enum that is one word in JSON.
macro_rules! words {
    ($(#[doc = $about:literal])* $name:ident { $($(#[doc = $variant_about:literal])* $variant:ident $word:literal),* $(,)? }) => {
        $(#[doc = $about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[doc = $variant_about])* #[serde(rename = $word)] $variant,)* }

        // By hand: utoipa's derive does not see a rename that comes out of a macro.
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .description(Some(concat!($($about),*, $("\n* `", $word, "`:", $($variant_about),*),*).trim()))
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

/// A struct whose fields name their form, and their default if they have one: `size: i64 => whole(2, 200),` or
/// `reserve: Reserve = Reserve::Seat => word(),`. Rules between fields go into a function after the name: `Tier => tier_rules { … }`.
macro_rules! records {
    ($($(#[doc = $about:literal])* $name:ident $(=> $rules:ident)? {
        $($(#[doc = $field_about:literal])* $(#[serde($($serde:tt)*)])? $field:ident : $type:ty $(= $default:expr)? => $form:expr,)*
    })*) => { $(
        $(#[doc = $about])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub struct $name { $($(#[doc = $field_about])* $(#[serde($($serde)*)])? pub $field: $type,)* }

        impl $crate::campaign::read::Record for $name {
            const FIELDS: &'static [&'static str] = &[$(stringify!($field)),*];

            fn fields(
                reader: &mut $crate::campaign::read::Reader,
                object: &serde_json::Map<String, serde_json::Value>,
            ) -> Option<Self> {
                $(let $field: Option<$type> = $crate::campaign::read::records!(@field reader object $field $form $(, $default)?);)*
                let read = Self { $($field: $field?,)* };
                $($rules(&read, reader);)?
                Some(read)
            }

            fn described() -> Option<Vec<$crate::campaign::read::described::Field>> {
                Some(vec![$($crate::campaign::read::described::Field::of::<$type>(
                    stringify!($field),
                    concat!($($field_about),*),
                    &$form,
                    $crate::campaign::read::records!(@default $type $(, $default)?),
                )),*])
            }

            fn named(found: &mut $crate::campaign::read::described::Named) {
                $($crate::campaign::read::described::named_by::<$type>(&$form, found);)*
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                let fields = <Self as $crate::campaign::read::Record>::described().unwrap_or_default();
                $crate::campaign::read::described::sent(&fields).description(Some(concat!($($about),*).trim())).into()
            }
        }

        impl utoipa::ToSchema for $name {
            fn schemas(found: &mut $crate::campaign::read::described::Named) {
                <Self as $crate::campaign::read::Record>::named(found);
            }
        }
    )* };
    (@field $reader:ident $object:ident $field:ident $form:expr) => {
        $reader.required($object, stringify!($field), &$form)
    };
    (@field $reader:ident $object:ident $field:ident $form:expr, $default:expr) => {
        $reader.or_default($object, stringify!($field), $default, &$form)
    };
    (@default $type:ty) => {
        None
    };
    (@default $type:ty, $default:expr) => {{
        let default: $type = $default;
        serde_json::to_value(default).ok()
    }};
}
pub(crate) use records;
