//! The served OpenAPI document, to walk over.

use serde_json::{Map, Value, json};

use super::app::TestApp;
use super::client::Request;

/// The document.
pub struct Document(pub Value);

/// One operation.
#[derive(Clone, Debug)]
pub struct Operation {
    /// `GET`, …
    pub method: String,
    /// Its address with `{…}`.
    pub path: String,
    /// Its operationId.
    pub id: String,
    /// The ways to call it, each the schemes it needs with their roles; none: anybody may.
    pub callers: Vec<Map<String, Value>>,
    /// All of it.
    pub said: Value,
}

impl Operation {
    /// Whether somebody without a session or key may call.
    pub fn is_open(&self) -> bool {
        self.callers.is_empty() || self.callers.iter().any(Map::is_empty)
    }

    /// Whether one way to call needs this scheme.
    pub fn needs(&self, scheme: &str) -> bool {
        !self.is_open() && self.callers.iter().any(|way| way.contains_key(scheme))
    }

    /// Its address with the name of what stands before each `{…}` made an id: `/v1/orders/{id}` asks for `orders`.
    pub fn at(&self, id_of: impl Fn(&str) -> String) -> String {
        let mut before = "";
        let mut parts = Vec::new();
        for part in self.path.split('/') {
            parts.push(if part.starts_with('{') { id_of(before) } else { part.to_owned() });
            before = part;
        }
        parts.join("/")
    }
}

impl Document {
    /// As it is served.
    pub async fn of(app: &TestApp) -> Self {
        Self(app.get("/openapi.json").await.expect(200).json)
    }

    /// Every operation.
    pub fn operations(&self) -> Vec<Operation> {
        let mut all = Vec::new();
        for (path, item) in self.0["paths"].as_object().expect("paths") {
            for (method, said) in item.as_object().expect("path item") {
                let ways = said["security"].as_array().cloned().unwrap_or_default();
                all.push(Operation {
                    method: method.to_uppercase(),
                    path: path.clone(),
                    id: said["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path} has no operationId")).to_owned(),
                    callers: ways.into_iter().map(|way| way.as_object().expect("security").clone()).collect(),
                    said: said.clone(),
                });
            }
        }
        assert!(all.len() > 40, "the document was not read");
        all
    }

    /// What a value says or, if it is a reference, what that refers to.
    pub fn resolved<'v>(&'v self, value: &'v Value) -> &'v Value {
        match value["$ref"].as_str() {
            Some(place) => self.0.pointer(place.trim_start_matches('#')).unwrap_or_else(|| panic!("{place} is nowhere")),
            None => value,
        }
    }

    /// The schema of an operation's body, if it has one.
    pub fn body<'v>(&'v self, operation: &'v Operation) -> Option<&'v Value> {
        let content = operation.said["requestBody"]["content"].as_object()?;
        Some(self.resolved(&content.values().next()?["schema"]))
    }

    /// A value of a schema: its example, else the least that fits.
    pub fn sample(&self, schema: &Value) -> Value {
        let schema = self.resolved(schema);
        let shown = [&schema["example"], &schema["examples"][0], &schema["enum"][0]].into_iter().find(|value| !value.is_null());
        if let Some(value) = shown {
            return value.clone();
        }
        if let Some(first) = ["oneOf", "anyOf"].iter().find_map(|name| schema[*name].get(0)) {
            return self.sample(first);
        }
        match schema["type"].as_str() {
            Some("integer") => schema["minimum"].as_i64().map_or(json!(1), |least| json!(least.max(1))),
            Some("boolean") => json!(false),
            Some("array") => json!([self.sample(&schema["items"])]),
            Some("string") if schema["format"] == "date-time" => json!("2026-11-22T00:00:00Z"),
            Some("string") => json!("x"),
            _ => {
                let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
                Value::Object(required.map(|name| (name.to_owned(), self.sample(&schema["properties"][name]))).collect())
            }
        }
    }

    /// The request for an operation at this address, with a body of the document's examples under these changes.
    pub fn request(&self, app: &TestApp, operation: &Operation, address: &str, changes: &Value) -> Request {
        let request = app.request(operation.method.parse().expect("method"), address);
        let Some(schema) = self.body(operation) else { return request };
        let mut body = self.sample(schema);
        for (name, value) in changes.as_object().expect("changes") {
            if body.get(name).is_some() {
                body[name] = value.clone();
            }
        }
        request.json(body)
    }
}
