//! The OpenAPI document: what the handlers say, and what is true of all of them.
//!
//! A handler says what is its own: parameters, bodies, the statuses below 400, who may call if that is unusual, and with which words it
//! may refuse: `extensions(("x-refusals" = json!([Code::SoldOut])))`. `("x-decided" = json!(true))` says that its answers have a place in
//! a campaign's log. [`complete`] turns these notes into responses and adds what follows from the rest: problems that every caller,
//! body, list or key can meet, headers, `Idempotency-Key`.

mod callers;
mod examples;
mod parts;
mod refusals;

use actix_web::dev::ResourceDef;
use actix_web::http::Method;
use actix_web::http::header;
use utoipa::OpenApi as _;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{ArrayItems, Schema};
use utoipa::openapi::{Components, OpenApi, Ref, RefOr, Required};

use super::body::MERGE_PATCH;
use super::docs;
use super::problem::Problem;
use crate::code::Code;

/// Its title page and chapters.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Liebian",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
        description = "Campaign engine for social selling. JSON in snake_case; money is whole fen (`_fen`), time RFC 3339 in UTC (`_at`), spans \
                       are seconds. Lists are newest first, with `limit` and `cursor`; an absent body is `{}`. Every refusal is an RFC 9457 \
                       problem with a stable `code` and a hint whether to `retry`. What already holds answers 200 with the same body. Query \
                       parameters that are not listed are not looked at; unknown fields of a body are refused.",
    ),
    tags(
        (name = "identity", description = "Devices and sessions."),
        (name = "campaigns", description = "What runs and will run."),
        (name = "rooms", description = "Group-buy rooms."),
        (name = "chains", description = "Bargain chains."),
        (name = "referral", description = "Invite codes, bonds and what they earned."),
        (name = "orders", description = "Your orders and their payment."),
        (name = "wallet", description = "What you have earned, and taking it out."),
        (name = "shares", description = "Links to campaigns and rooms, and the page behind them."),
        (name = "sandbox", description = "Paying and waiting without money and time, where the sandbox is on; else 404."),
        (name = "payments", description = "Where payment providers report."),
        (name = "operator: campaigns", description = "Definitions: write, check, change."),
        (name = "operator: running", description = "Publish, pause, stock, figures, audit, lists."),
        (name = "operator: orders", description = "Payments and refunds."),
        (name = "operator: withdrawals", description = "Earned money on its way out."),
        (name = "operator: sessions", description = "The shop's own login."),
        (name = "operator: keys", description = "Keys, roles, and the log of changes."),
        (name = "health", description = "For machines that watch."),
    )
)]
struct Document;

/// The document before the handlers are known.
#[must_use]
pub fn blank() -> OpenApi {
    Document::openapi()
}

/// Adds to what the handlers said what is true of all of them.
#[must_use]
pub fn complete(mut api: OpenApi) -> OpenApi {
    let mut components = api.components.take().unwrap_or_default();
    callers::add_schemes(&mut components);
    parts::add(&mut components);
    refusals::add_schemas(&mut components);
    for (path, item) in &mut api.paths.paths {
        for (method, operation) in operations(item) {
            describe(path, &method, operation, &mut components);
        }
    }
    name_listed(&mut components);
    for item in api.paths.paths.values_mut() {
        for (_, operation) in operations(item) {
            examples::add(operation, &components);
        }
    }
    api.components = Some(components);
    api
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

fn describe(path: &str, method: &Method, operation: &mut Operation, components: &mut Components) {
    let notes = operation.extensions.take().unwrap_or_default();
    let own: Vec<Code> = notes.get("x-refusals").and_then(|words| serde_json::from_value(words.clone()).ok()).unwrap_or_default();
    let decided = notes.contains_key("x-decided");
    let callers = callers::of(path, method, operation);
    may_be_absent(operation, components);
    may_be_a_merge_patch(method, operation);
    parts::add_parameters(path, method, operation);
    parts::describe_parameters(operation, components);
    refusals::add(path, operation, &callers, &own, components);
    parts::add_headers(method, operation, decided);
}

/// An absent body is `{}`, so where nothing must be in it, it may be absent.
fn may_be_absent(operation: &mut Operation, components: &Components) {
    let Some(RefOr::T(body)) = &mut operation.request_body else { return };
    let schemas = body.content.values().filter_map(|content| if let RefOr::T(content) = content { content.schema.as_ref() } else { None });
    let needs_something = schemas.into_iter().any(|schema| match parts::resolve(schema, components) {
        Some(Schema::Object(object)) => !object.required.is_empty(),
        Some(_) | None => true,
    });
    body.required = Some(if needs_something { Required::True } else { Required::False });
}

/// A PATCH may also name the media type of merge patches.
fn may_be_a_merge_patch(method: &Method, operation: &mut Operation) {
    if *method == Method::PATCH
        && let Some(RefOr::T(body)) = &mut operation.request_body
        && let Some(json) = body.content.get("application/json").cloned()
    {
        body.content.insert(MERGE_PATCH.to_owned(), json);
    }
}

/// Lists name what they list; utoipa writes the items of generic types out.
fn name_listed(components: &mut Components) {
    let known: Vec<String> = components.schemas.keys().cloned().collect();
    for (name, schema) in &mut components.schemas {
        let Some(item) = name.strip_prefix("List_").filter(|item| known.iter().any(|known| known == item)) else { continue };
        if let RefOr::T(Schema::Object(list)) = schema
            && let Some(RefOr::T(Schema::Array(items))) = list.properties.get_mut("items")
        {
            items.items = ArrayItems::RefOrSchema(Box::new(Ref::from_schema_name(item).into()));
        }
    }
}

/// Which methods an address knows, for 405.
#[derive(Debug)]
pub struct Methods(Vec<(ResourceDef, Vec<Method>)>);

impl Methods {
    /// From the finished document, and those that show it.
    #[must_use]
    pub fn of(api: &mut OpenApi) -> Self {
        let known = |(path, item): (&String, &mut PathItem)| {
            let methods = operations(item).into_iter().map(|(method, _)| method).collect();
            (ResourceDef::new(path.as_str()), methods)
        };
        let undocumented = docs::ADDRESSES.map(|path| (ResourceDef::new(path), vec![Method::GET]));
        Self(api.paths.paths.iter_mut().map(known).chain(undocumented).collect())
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
