//! What the OpenAPI document says of records: the same fields as they are read, and as they are answered.

use serde_json::Value;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type};

use super::forms::Form;

/// Schemas by name.
pub type Named = Vec<(String, RefOr<Schema>)>;

/// One field of a record.
#[derive(Clone)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it is, in words.
    pub about: &'static str,
    /// What it takes.
    pub schema: RefOr<Schema>,
    /// What it is when it is absent or null; `None`: it must be there.
    pub default: Option<Value>,
}

impl Field {
    /// The field that this form reads.
    #[must_use]
    pub fn of<T>(name: &'static str, about: &'static str, form: &impl Form<Read = T>, default: Option<Value>) -> Self {
        Self { name, about, schema: form.schema(), default }
    }
}

/// Adds the schemas that the form of a `T` names.
pub fn named_by<T>(form: &impl Form<Read = T>, found: &mut Named) {
    form.named(found);
}

/// The object as it is sent: fields with a default may be absent or null, and there are no others.
#[must_use]
pub fn sent(fields: &[Field]) -> ObjectBuilder {
    let object = ObjectBuilder::new().schema_type(Type::Object).additional_properties(Some(AdditionalProperties::FreeForm(false)));
    fields.iter().fold(object, |object, field| match &field.default {
        None => object.property(field.name, described(field.schema.clone(), field.about, None)).required(field.name),
        Some(default) => {
            // That null means absent needs no saying twice.
            let default = Some(default.clone()).filter(|default| !default.is_null());
            object.property(field.name, described(nullable(field.schema.clone()), field.about, default))
        }
    })
}

/// The object as it is answered: every field is there, its default filled in.
#[must_use]
pub fn answered(fields: &[Field]) -> ObjectBuilder {
    let object = ObjectBuilder::new().schema_type(Type::Object);
    fields
        .iter()
        .fold(object, |object, field| object.property(field.name, described(field.schema.clone(), field.about, None)).required(field.name))
}

/// A change of the object: any of the fields, null for the default, and others.
#[must_use]
pub fn patched(fields: impl Iterator<Item = Field>) -> ObjectBuilder {
    fields.fold(ObjectBuilder::new().schema_type(Type::Object), |object, field| {
        let schema = if field.default.is_some() { nullable(field.schema) } else { field.schema };
        object.property(field.name, described(schema, field.about, None))
    })
}

/// The same or null.
#[must_use]
pub fn nullable(schema: RefOr<Schema>) -> RefOr<Schema> {
    let with_null = |kind: &SchemaType| match kind {
        SchemaType::Type(kind) => [kind.clone(), Type::Null].into_iter().collect(),
        SchemaType::Array(_) | SchemaType::AnyValue => kind.clone(),
    };
    match schema.clone() {
        RefOr::T(Schema::Object(mut object)) => {
            object.schema_type = with_null(&object.schema_type);
            RefOr::T(Schema::Object(object))
        }
        RefOr::T(Schema::Array(mut array)) => {
            array.schema_type = with_null(&array.schema_type);
            RefOr::T(Schema::Array(array))
        }
        RefOr::Ref(_) | RefOr::T(_) => OneOfBuilder::new().item(schema).item(ObjectBuilder::new().schema_type(Type::Null)).into(),
    }
}

/// The same with words for people, and the value it has when it is absent.
fn described(schema: RefOr<Schema>, about: &str, default: Option<Value>) -> RefOr<Schema> {
    let about = about.trim().to_owned();
    match schema {
        RefOr::Ref(mut to) => {
            (to.description, to.default) = (about, default);
            RefOr::Ref(to)
        }
        RefOr::T(Schema::Object(mut object)) => {
            (object.description, object.default) = (Some(about), default);
            RefOr::T(Schema::Object(object))
        }
        RefOr::T(Schema::Array(mut array)) => {
            (array.description, array.default) = (Some(about), default);
            RefOr::T(Schema::Array(array))
        }
        RefOr::T(Schema::OneOf(mut one)) => {
            (one.description, one.default) = (Some(about), default);
            RefOr::T(Schema::OneOf(one))
        }
        RefOr::T(other) => RefOr::T(other),
    }
}
