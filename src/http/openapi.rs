//! The OpenAPI document: what the handlers say, and what is true of all of them.

use actix_web::dev::ResourceDef;
use actix_web::http::Method;
use actix_web::http::header;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, ObjectBuilder, OpenApi, Ref, Required, ResponseBuilder, schema::Type};
use utoipa::{OpenApi as _, ToSchema};

use super::problem::{FieldError, Problem, ProblemBody};
use crate::code::{Code, Retry};

/// The title page of the document.
#[derive(utoipa::OpenApi)]
#[openapi(info(
    title = "Liebian",
    description = "Campaign engine for social selling. Money is whole fen, time RFC 3339 in UTC. Lists are newest first, with `limit` and \
                   `cursor`. Every error is an RFC 9457 problem with a stable `code`.",
))]
struct Document;

/// Adds to what the handlers said what is true of all of them: problems, callers, idempotency keys, pages.
#[must_use]
pub fn complete(mut api: OpenApi) -> OpenApi {
    let components = api.components.get_or_insert_default();
    let mut schemas = Vec::new();
    <ProblemBody as ToSchema>::schemas(&mut schemas);
    schemas.push(("Problem".to_owned(), <ProblemBody as utoipa::PartialSchema>::schema()));
    schemas.push(("FieldError".to_owned(), <FieldError as utoipa::PartialSchema>::schema()));
    schemas.push(("Code".to_owned(), <Code as utoipa::PartialSchema>::schema()));
    schemas.push(("Retry".to_owned(), <Retry as utoipa::PartialSchema>::schema()));
    components.schemas.extend(schemas);
    let bearer = || SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    components.add_security_scheme("session", bearer());
    components.add_security_scheme("operator", bearer());
    components.add_security_scheme("device", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-Device-Token"))));
    for (path, item) in &mut api.paths.paths {
        for (method, operation) in operations(item) {
            describe(path, &method, operation);
        }
    }
    api
}

/// The document before the handlers are known.
#[must_use]
pub fn blank() -> OpenApi {
    Document::openapi()
}

fn operations(item: &mut PathItem) -> Vec<(Method, &mut Operation)> {
    let all = [
        (Method::GET, item.get.as_mut()),
        (Method::POST, item.post.as_mut()),
        (Method::PATCH, item.patch.as_mut()),
        (Method::DELETE, item.delete.as_mut()),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation?))).collect()
}

fn describe(path: &str, method: &Method, operation: &mut Operation) {
    let callers = callers(path, method);
    let mut codes = vec![Code::Internal, Code::OutcomeUnknown];
    if !callers.is_empty() {
        codes.push(Code::Unauthenticated);
    }
    if path.starts_with("/operator/") {
        codes.push(Code::Forbidden);
    }
    if path.contains('{') {
        codes.push(Code::NotFound);
    }
    if path.starts_with("/v1/") || path.starts_with("/operator/") {
        codes.extend([Code::MalformedRequest, Code::RateLimited, Code::InvalidRequest]);
    }
    if operation.request_body.is_some() {
        codes.extend([Code::RequestTimeout, Code::PayloadTooLarge, Code::UnsupportedMediaType]);
    }
    for code in codes {
        add_problem(operation, &code.status().to_string(), code.title());
    }
    add_problem(operation, "default", "Any other refusal");
    if operation.security.is_none() && !callers.is_empty() {
        let all = callers.iter().fold(SecurityRequirement::default(), |all, name| all.add(*name, Vec::<String>::new()));
        operation.security = Some(vec![all]);
    }
    if *method == Method::POST {
        add_header(operation, "Idempotency-Key", "At most 64 visible characters; a repeat gets the first answer again, for 24 hours");
    }
}

/// Who may call, unless the handler says otherwise.
fn callers(path: &str, method: &Method) -> &'static [&'static str] {
    let free = ["/v1/devices", "/v1/sessions"].contains(&path);
    if path.starts_with("/operator/") {
        &["operator"]
    } else if path == "/v1/sessions/current" || *method == Method::GET && (path.starts_with("/v1/me/") || path.starts_with("/v1/orders/")) {
        &["session"]
    } else if path.starts_with("/v1/") && *method != Method::GET && !free {
        &["session", "device"]
    } else {
        &[]
    }
}

fn add_problem(operation: &mut Operation, status: &str, description: &str) {
    let problem = || ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let make = || ResponseBuilder::new().description(description).content("application/problem+json", problem()).build().into();
    operation.responses.responses.entry(status.to_owned()).or_insert_with(make);
}

fn add_header(operation: &mut Operation, name: &str, description: &str) {
    let parameter = ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)));
    operation.parameters.get_or_insert_default().push(parameter.build().into());
}

/// Which methods an address knows, for 405.
#[derive(Debug)]
pub struct Methods(Vec<(ResourceDef, Vec<Method>)>);

impl Methods {
    /// From the finished document.
    #[must_use]
    pub fn of(api: &mut OpenApi) -> Self {
        let known = |(path, item): (&String, &mut PathItem)| {
            let methods = operations(item).into_iter().map(|(method, _)| method).collect();
            (ResourceDef::new(path.as_str()), methods)
        };
        Self(api.paths.paths.iter_mut().map(known).collect())
    }

    /// The problem for a request that no route took: 405 with `Allow` where another method would have done, else 404.
    #[must_use]
    pub fn problem(&self, path: &str) -> Problem {
        let fitting = self.0.iter().filter(|(pattern, _)| pattern.is_match(path));
        let named = |method: &Method| if *method == Method::GET { "GET, HEAD" } else { method.as_str() }.to_owned();
        let methods: Vec<String> = fitting.flat_map(|(_, methods)| methods.iter().map(named)).collect();
        if methods.is_empty() {
            return Code::NotFound.into();
        }
        Problem::new(Code::MethodNotAllowed).header(header::ALLOW, &methods.join(", "))
    }
}
