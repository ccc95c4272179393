//! Forms made of others: lists, what may be absent, words of an enum, records.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ArrayBuilder, Schema};
use utoipa::openapi::{Ref, RefOr};

use super::described::{Named, nullable};
use super::forms::Form;
use super::{Reader, Record, Words};

/// Several of one form.
#[derive(Debug)]
pub struct List<F>(usize, usize, F);

/// A list of `min` to `max` entries.
pub const fn list<F: Form>(min: usize, max: usize, entry: F) -> List<F> {
    List(min, max, entry)
}

impl<F: Form> Form for List<F> {
    type Read = Vec<F::Read>;

    fn read(&self, reader: &mut Reader, value: &Value) -> Option<Self::Read> {
        let Self(min, max, entry) = self;
        let Some(entries) = value.as_array() else { return reader.fault("must be a list") };
        if entries.len() < *min {
            return reader.fault(if *min == 1 { "must not be empty".to_owned() } else { format!("must have at least {min} entries") });
        }
        if entries.len() > *max {
            return reader.fault(format!("must have at most {max} entries"));
        }
        // Every entry is read before the list is given up: all faults are wanted.
        let read: Vec<Option<F::Read>> =
            entries.iter().enumerate().map(|(i, value)| reader.below(&format!("[{i}]"), |reader| entry.read(reader, value))).collect();
        read.into_iter().collect()
    }

    fn schema(&self) -> RefOr<Schema> {
        ArrayBuilder::new().items(self.2.schema()).min_items(Some(self.0)).max_items(Some(self.1)).into()
    }

    fn named(&self, found: &mut Named) {
        self.2.named(found);
    }
}

/// One word of an enum.
#[derive(Debug)]
pub struct Word<T>(PhantomData<T>);

/// One word of the enum `T`.
#[must_use]
pub const fn word<T: Words>() -> Word<T> {
    Word(PhantomData)
}

impl<T: DeserializeOwned + Words + ToSchema> Form for Word<T> {
    type Read = T;

    fn read(&self, reader: &mut Reader, value: &Value) -> Option<T> {
        let word = value.as_str().filter(|word| T::WORDS.contains(word));
        word.and_then(|_| T::deserialize(value).ok()).or_else(|| reader.fault(format!("must be one of: {}", T::WORDS.join(", "))))
    }

    fn schema(&self) -> RefOr<Schema> {
        Ref::from_schema_name(T::name()).into()
    }

    fn named(&self, found: &mut Named) {
        found.push((T::name().into(), T::schema()));
    }
}

/// What may be absent.
#[derive(Debug)]
pub struct Maybe<F>(F);

/// Lets a field be absent.
pub const fn maybe<F: Form>(form: F) -> Maybe<F> {
    Maybe(form)
}

impl<F: Form> Form for Maybe<F> {
    type Read = Option<F::Read>;

    fn read(&self, reader: &mut Reader, value: &Value) -> Option<Self::Read> {
        self.0.read(reader, value).map(Some)
    }

    fn schema(&self) -> RefOr<Schema> {
        nullable(self.0.schema())
    }

    fn named(&self, found: &mut Named) {
        self.0.named(found);
    }
}

/// A whole object.
#[derive(Debug)]
pub struct Whatever<T>(PhantomData<T>);

/// A whole object of one record: unknown fields are faults.
#[must_use]
pub const fn record<T: Record>() -> Whatever<T> {
    Whatever(PhantomData)
}

impl<T: Record + ToSchema> Form for Whatever<T> {
    type Read = T;

    fn read(&self, reader: &mut Reader, value: &Value) -> Option<T> {
        let object = reader.object(value)?;
        reader.refuse_unknown(object, &[T::FIELDS]);
        T::fields(reader, object)
    }

    fn schema(&self) -> RefOr<Schema> {
        Ref::from_schema_name(T::name()).into()
    }

    fn named(&self, found: &mut Named) {
        found.push((T::name().into(), T::schema()));
        T::schemas(found);
    }
}

/// A form of one's own.
#[derive(Debug)]
pub struct Own<R>(R, fn() -> RefOr<Schema>);

/// Read by this function, and described by the other.
pub const fn own<V, R: Fn(&mut Reader, &Value) -> Option<V>>(read: R, schema: fn() -> RefOr<Schema>) -> Own<R> {
    Own(read, schema)
}

impl<V, R: Fn(&mut Reader, &Value) -> Option<V>> Form for Own<R> {
    type Read = V;

    fn read(&self, reader: &mut Reader, value: &Value) -> Option<V> {
        (self.0)(reader, value)
    }

    fn schema(&self) -> RefOr<Schema> {
        (self.1)()
    }
}
