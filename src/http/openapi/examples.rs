//! Whole examples of bodies and answers, put together from those of their fields, so that they cannot lag behind.

use serde_json::{Map, Value, json};
use utoipa::openapi::content::Content;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{ArrayItems, KnownFormat, Object, Schema, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{Components, RefOr};

use super::parts::resolve;

/// Schemas in schemas; ours are not so deep.
const DEEPEST: usize = 12;

/// Gives the request's body and the good answers in JSON an example each, where the handler has not.
pub fn add(operation: &mut Operation, components: &Components) {
    if let Some(RefOr::T(body)) = &mut operation.request_body {
        body.content.values_mut().for_each(|content| exemplify(content, components));
    }
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        if status.starts_with('2') {
            let json = response.content.iter_mut().filter(|(kind, _)| *kind == "application/json");
            json.for_each(|(_, content)| exemplify(content, components));
        }
    }
}

fn exemplify(content: &mut RefOr<Content>, components: &Components) {
    let RefOr::T(content) = content else { return };
    if content.example.is_none() && content.examples.is_empty() {
        content.example = content.schema.as_ref().and_then(|schema| of(schema, components, 0));
    }
}

/// An example of a schema; `None` where one cannot be made.
fn of(schema: &RefOr<Schema>, components: &Components, depth: usize) -> Option<Value> {
    if depth > DEEPEST {
        return None;
    }
    let below = |schema: &RefOr<Schema>| of(schema, components, depth + 1);
    match resolve(schema, components)? {
        Schema::Object(object) => of_object(object, &below),
        Schema::Array(array) => match (&array.example, array.examples.first(), &array.items) {
            (Some(example), ..) | (None, Some(example), _) => Some(example.clone()),
            (None, None, ArrayItems::RefOrSchema(items)) => Some(Value::Array(below(items).into_iter().collect())),
            (None, None, ArrayItems::False) => Some(json!([])),
        },
        Schema::OneOf(one) => one.example.clone().or_else(|| one.examples.first().cloned()).or_else(|| one.items.first().and_then(below)),
        Schema::AnyOf(any) => any.example.clone().or_else(|| any.items.first().and_then(below)),
        Schema::AllOf(all) => all.example.clone().or_else(|| {
            let parts: Option<Vec<Value>> = all.items.iter().map(below).collect();
            let parts = parts?.into_iter().filter_map(|part| if let Value::Object(part) = part { Some(part) } else { None });
            Some(Value::Object(parts.flatten().collect()))
        }),
        _ => None,
    }
}

fn of_object(object: &Object, below: &impl Fn(&RefOr<Schema>) -> Option<Value>) -> Option<Value> {
    let told = [object.example.as_ref(), object.examples.first(), object.enum_values.as_ref().and_then(|words| words.first())];
    if let Some(value) = told.into_iter().flatten().next() {
        return Some(value.clone());
    }
    let kinds = match &object.schema_type {
        SchemaType::Type(kind) => std::slice::from_ref(kind),
        SchemaType::Array(kinds) => kinds.as_slice(),
        SchemaType::AnyValue => &[],
    };
    // What may be null and shows nothing else is null.
    if kinds.contains(&Type::Null) {
        return Some(Value::Null);
    }
    Some(match kinds.first()? {
        Type::Object => {
            let fields = object.properties.iter().filter_map(|(name, schema)| Some((name.clone(), below(schema)?)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Type::String if object.format == Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)) => json!("2026-11-22T08:00:00Z"),
        Type::String => json!("x"),
        Type::Integer | Type::Number => {
            json!(object.minimum.as_ref().and_then(|least| serde_json::to_value(least).ok()?.as_i64()).unwrap_or(1))
        }
        Type::Boolean => json!(true),
        Type::Array => json!([]),
        Type::Null => Value::Null,
    })
}
