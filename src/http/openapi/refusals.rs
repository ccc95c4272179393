//! Problems in the document: which codes an operation can carry, a response for each status.

use serde_json::json;
use utoipa::openapi::path::Operation;
use utoipa::openapi::path::ParameterIn;
use utoipa::openapi::schema::{AllOfBuilder, ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::openapi::{Components, ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{PartialSchema, ToSchema};

use super::callers::Callers;
use super::parts;
use crate::campaign::check::Finding;
use crate::code::{Code, Retry};
use crate::group_buy::view::AlternativeRoom;
use crate::http::problem::{FieldError, ProblemBody};

/// The media type of RFC 9457.
const PROBLEM_JSON: &str = "application/problem+json";

/// The schemas of problems.
pub fn add_schemas(components: &mut Components) {
    let schemas = [
        ("Problem", problem()),
        ("FieldError", field_error()),
        ("Code", code()),
        ("Retry", Retry::schema()),
        ("AlternativeRoom", AlternativeRoom::schema()),
        ("Finding", Finding::schema()),
    ];
    let mut named = Vec::new();
    AlternativeRoom::schemas(&mut named);
    components.schemas.extend(named);
    components.schemas.extend(schemas.map(|(name, schema)| (name.to_owned(), schema)));
}

/// The problem with the members that single codes add.
fn problem() -> RefOr<Schema> {
    let room = OneOfBuilder::new().item(Ref::from_schema_name("AlternativeRoom")).item(ObjectBuilder::new().schema_type(Type::Null));
    let room = room.description(Some("With `room_full`, `room_closed` and `room_expired`: another room to join, if there is one."));
    let warnings = ArrayBuilder::new().items(Ref::from_schema_name("Finding"));
    let warnings = warnings.description(Some("With `publish_blocked`: what does not block but should be known."));
    let field = ObjectBuilder::new().schema_type(Type::String).description(Some("With `field_not_editable`: which field."));
    with_properties(ProblemBody::schema(), [("alternative", room.into()), ("warnings", warnings.into()), ("field", field.into())])
}

fn field_error() -> RefOr<Schema> {
    let text = |about: &str| RefOr::from(ObjectBuilder::new().schema_type(Type::String).description(Some(about)));
    let more = [
        ("code", text("With `publish_blocked`: a stable word for the finding.")),
        ("rule", text("With `publish_blocked`: the rule it comes from.")),
    ];
    with_properties(FieldError::schema(), more)
}

fn with_properties<const N: usize>(schema: RefOr<Schema>, more: [(&str, RefOr<Schema>); N]) -> RefOr<Schema> {
    let RefOr::T(Schema::Object(mut object)) = schema else { return schema };
    object.properties.extend(more.map(|(name, schema)| (name.to_owned(), schema)));
    object.into()
}

fn code() -> RefOr<Schema> {
    let row = |code: &Code| format!("* `{}` ({}): {}", code.word(), code.status(), code.title());
    let about = format!("The stable word to act on, with its status.\n{}", Code::ALL.iter().map(row).collect::<Vec<_>>().join("\n"));
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(about))
        .enum_values(Some(Code::ALL.iter().map(|code| code.word())))
        .into()
}

/// Adds a response for each status from 400 on: `own` are the codes that the operation names itself.
pub fn add(path: &str, operation: &mut Operation, callers: &Callers, own: &[Code], components: &mut Components) {
    let common = common(path, operation, callers);
    let all: Vec<Code> = Code::ALL.iter().copied().filter(|code| common.contains(code) || own.contains(code)).collect();
    let mut statuses: Vec<u16> = all.iter().map(|code| code.status()).collect();
    statuses.dedup();
    for status in statuses {
        let codes: Vec<Code> = all.iter().copied().filter(|code| code.status() == status).collect();
        let response = if codes.iter().any(|code| own.contains(code)) {
            response(status, &codes).into()
        } else {
            let name = codes.iter().map(|code| camel(*code)).collect::<Vec<_>>().join("Or");
            components.responses.entry(name.clone()).or_insert_with(|| response(status, &codes).into());
            RefOr::Ref(Ref::from_response_name(name))
        };
        keep(operation, status, response, &codes);
    }
}

/// What the operation said of this status itself stays beside the problem.
fn keep(operation: &mut Operation, status: u16, problem: RefOr<Response>, codes: &[Code]) {
    let responses = &mut operation.responses.responses;
    match responses.get_mut(&status.to_string()) {
        Some(RefOr::T(own)) if !own.content.is_empty() => own.content.extend(response(status, codes).content),
        Some(_) | None => drop(responses.insert(status.to_string(), problem)),
    }
}

/// What follows from the address, the parameters, the body and who may call.
fn common(path: &str, operation: &Operation, callers: &Callers) -> Vec<Code> {
    let mut codes = vec![Code::Internal, Code::OutcomeUnknown];
    if !path.starts_with("/health/") && path != "/metrics" {
        codes.extend([Code::RateLimited, Code::Overloaded, Code::Recovering]);
    }
    if callers.bearer {
        codes.push(Code::Unauthenticated);
    }
    if callers.device {
        codes.extend([Code::DeviceRequired, Code::DeviceInvalid]);
    }
    if callers.role {
        codes.push(Code::Forbidden);
    }
    if path.contains("{id}") {
        codes.push(Code::NotFound);
    }
    for parameter in operation.parameters.iter().flatten() {
        match parameter {
            RefOr::T(parameter) if parameter.name == "cursor" => codes.extend([Code::MalformedRequest, Code::InvalidRequest]),
            RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query => codes.push(Code::InvalidRequest),
            RefOr::Ref(to) if to.ref_location.ends_with("IdempotencyKey") => {
                codes.extend([Code::InvalidRequest, Code::IdempotencyKeyReused]);
            }
            RefOr::T(_) | RefOr::Ref(_) => {}
        }
    }
    if operation.request_body.is_some() {
        codes.extend([
            Code::MalformedRequest,
            Code::RequestTimeout,
            Code::PayloadTooLarge,
            Code::UnsupportedMediaType,
            Code::InvalidRequest,
        ]);
    }
    codes
}

fn response(status: u16, codes: &[Code]) -> Response {
    let row = |code: &Code| format!("* `{}`: {}", code.word(), code.title());
    let about = codes.iter().map(row).collect::<Vec<_>>().join("\n");
    let words = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(codes.iter().map(|code| code.word())));
    let number = ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([json!(status)]));
    let these = ObjectBuilder::new().schema_type(Type::Object).property("code", words).property("status", number);
    let schema = AllOfBuilder::new().item(Ref::from_schema_name("Problem")).item(these);
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let mut response = ResponseBuilder::new().description(about).content(PROBLEM_JSON, content).build();
    parts::name(&mut response, "X-Request-Id", true);
    parts::name(&mut response, "Retry-After", matches!(status, 429 | 503));
    response
}

/// `not_found` → `NotFound`.
fn camel(code: Code) -> String {
    let capital = |part: &str| part.chars().enumerate().map(|(i, c)| if i == 0 { c.to_ascii_uppercase() } else { c }).collect::<String>();
    code.word().split('_').map(capital).collect()
}
