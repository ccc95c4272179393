//! Headers and parameters that many operations share.

use actix_web::http::Method;
use serde_json::json;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{Components, Ref, RefOr, Required, Response};

/// Adds them to the components.
pub fn add(components: &mut Components) {
    for (name, schema, always, about) in headers() {
        components.headers.insert(name.to_owned(), header(schema, always, about).into());
    }
    for (key, name, schema, about) in parameters() {
        let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Header).required(Required::False);
        components.parameters.insert(key.to_owned(), parameter.description(Some(about)).schema(Some(schema)).build().into());
    }
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// Name, schema, whether it is there wherever it is listed, and what it says.
fn headers() -> [(&'static str, ObjectBuilder, bool, &'static str); 6] {
    let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
    [
        ("X-Request-Id", text().pattern(Some("^[0-9A-Za-z]{16}$")), true, "Names this request in the server's log."),
        (
            "Liebian-Seq",
            text().pattern(Some("^cmp_[0-9A-Za-z]{8}:[0-9]+:[0-9]+$")),
            false,
            "Where in the campaign's one order of things this was decided: campaign, epoch, sequence. Absent where memory knew the answer.",
        ),
        ("Idempotent-Replay", text().enum_values(Some(["true"])), false, "This is the first answer to the same Idempotency-Key again."),
        ("ETag", text().pattern(Some("^(W/)?\"[!-~]+\"$")), true, "Changes with what is answered; for `If-None-Match`."),
        (
            "Location",
            text().format(Some(utoipa::openapi::SchemaFormat::Custom("uri-reference".to_owned()))),
            true,
            "Where what was made is found.",
        ),
        ("Retry-After", seconds, true, "Seconds to wait before asking again."),
    ]
}

fn header(schema: ObjectBuilder, always: bool, about: &str) -> Header {
    let required = Extensions::from_iter([("required", json!(true))]);
    HeaderBuilder::new().schema(Some(schema)).description(Some(about)).extensions(always.then_some(required)).build()
}

/// Key in the components, name, schema, and what it is for.
fn parameters() -> [(&'static str, &'static str, ObjectBuilder, &'static str); 3] {
    [
        (
            "IdempotencyKey",
            "Idempotency-Key",
            text().pattern(Some("^[!-~]{1,64}$")).examples(["5f0c1c9e-room"]),
            "The same key and body gets the first decided answer again, for 24 hours, also after a restart. Scope: caller, method, path, key.",
        ),
        (
            "ShareToken",
            "X-Share-Token",
            text(),
            "The share link the shopper came by. It attributes and never authorises: a wrong one refuses nothing.",
        ),
        ("IfNoneMatch", "If-None-Match", text(), "Entity tags one knows, or `*`: 304 if the answer would be the same."),
    ]
}

/// Adds the headers an operation takes.
pub fn add_parameters(path: &str, method: &Method, operation: &mut Operation) {
    let mut keys = Vec::new();
    if *method == Method::POST {
        keys.push("IdempotencyKey");
        if path.starts_with("/v1/") && !path.starts_with("/v1/payments/") {
            keys.push("ShareToken");
        }
    }
    if operation.responses.responses.contains_key("304") {
        keys.push("IfNoneMatch");
    }
    let refs = keys.into_iter().map(|key| RefOr::Ref(Ref::new(format!("#/components/parameters/{key}"))));
    operation.parameters.get_or_insert_default().extend(refs);
}

/// Ids say what they are.
pub fn describe_parameters(operation: &mut Operation, components: &Components) {
    for parameter in operation.parameters.iter_mut().flatten() {
        let RefOr::T(parameter) = parameter else { continue };
        if parameter.description.is_none()
            && let Some(Schema::Object(object)) = parameter.schema.as_ref().and_then(|schema| resolve(schema, components))
        {
            parameter.description.clone_from(&object.description);
        }
    }
}

/// The schema itself, looked up if it is a name.
pub fn resolve<'s>(schema: &'s RefOr<Schema>, components: &'s Components) -> Option<&'s Schema> {
    match schema {
        RefOr::T(schema) => Some(schema),
        RefOr::Ref(to) => match components.schemas.get(to.ref_location.rsplit('/').next()?)? {
            RefOr::T(schema) => Some(schema),
            RefOr::Ref(_) => None,
        },
    }
}

/// Adds the headers of the answers that the operation describes itself.
pub fn add_headers(method: &Method, operation: &mut Operation, decided: bool) {
    let tagged = operation.responses.responses.contains_key("304");
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        let (fine, of_rules) = (status.starts_with('2'), matches!(status.as_str(), "404" | "409" | "410"));
        name(response, "X-Request-Id", true);
        name(response, "ETag", tagged && matches!(status.as_str(), "200" | "304"));
        name(response, "Location", response.headers.contains_key("Location"));
        name(response, "Liebian-Seq", decided && (fine || of_rules));
        name(response, "Idempotent-Replay", *method == Method::POST && (fine || of_rules));
    }
}

/// Names a shared header.
pub fn name(response: &mut Response, header: &str, there: bool) {
    if there {
        let to = RefOr::Ref(Ref::new(format!("#/components/headers/{header}")));
        response.headers.insert(header.to_owned(), to);
    }
}
