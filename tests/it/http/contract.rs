//! What the OpenAPI document says of every operation, and rules that hold for all of them.

use std::collections::BTreeSet;
use std::path::Path;

use liebian::code::Code;
use serde_json::{Value, json};

use crate::support::{Document, Operation, TestApp, bargain, programme, served};

/// The codes of a problem response; nothing if it is none.
fn codes(response: &Value) -> Vec<Code> {
    let schema = &response["content"]["application/problem+json"]["schema"];
    assert_eq!(schema["allOf"][0]["$ref"], "#/components/schemas/Problem", "{response}");
    let words = schema["allOf"][1]["properties"]["code"]["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
    words.map(|word| Code::from_word(word).unwrap_or_else(|| panic!("{word} is no code"))).collect()
}

fn headers(response: &Value) -> BTreeSet<&str> {
    response["headers"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

/// One answer: described, with its request's id, and a problem of this status from 400 on.
fn check_response(operation: &Operation, status: &str, response: &Value) {
    let place = format!("{status} of {}", operation.id);
    let number: u16 = status.parse().unwrap_or_else(|_| panic!("{place}: one status, one answer"));
    assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{place} has no description");
    assert!(headers(response).contains("X-Request-Id"), "{place}");
    if number < 400 {
        assert_eq!(response["content"].is_object(), !matches!(number, 204 | 304), "{place}");
        return;
    }
    let codes = codes(response);
    assert!(!codes.is_empty() && codes.iter().all(|code| code.status() == number), "{place}: {codes:?}");
    let may_come_again = matches!(number, 429 | 503) && response["content"]["application/json"].is_null();
    assert_eq!(headers(response).contains("Retry-After"), may_come_again, "{place}");
}

/// Everything a client needs to know of an operation before it calls.
fn check_operation(document: &Document, operation: &Operation) {
    let said = &operation.said;
    let tags: Vec<&Value> = document.0["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    assert!(said["tags"].as_array().is_some_and(|own| own.len() == 1 && tags.contains(&&own[0])), "{}: {}", operation.id, said["tags"]);
    assert!(said["summary"].as_str().is_some_and(|text| text.ends_with('.')), "{}", operation.id);
    let parameters: Vec<&Value> = said["parameters"].as_array().into_iter().flatten().map(|one| document.resolved(one)).collect();
    for parameter in &parameters {
        assert!(parameter["description"].is_string() && parameter["schema"].is_object(), "{}: {parameter}", operation.id);
    }
    let takes = |name: &str| parameters.iter().any(|parameter| parameter["name"] == name);
    assert_eq!(takes("Idempotency-Key"), operation.method == "POST", "{}", operation.id);
    for name in operation.path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()) {
        assert!(takes(name), "{}: {{{name}}}", operation.id);
    }
    for (status, response) in said["responses"].as_object().unwrap() {
        check_response(operation, status, document.resolved(response));
    }
    for way in &operation.callers {
        assert!(way.keys().all(|scheme| document.0["components"]["securitySchemes"][scheme].is_object()), "{}: {way:?}", operation.id);
    }
    let answers = |status: &str| said["responses"][status].is_object();
    assert_eq!(answers("401"), operation.needs("session") || operation.needs("operator"), "{}", operation.id);
    assert_eq!(takes("If-None-Match"), answers("304"), "{}", operation.id);
}

served! {
    async fn every_operation_says_what_it_takes_and_answers(app: &mut TestApp) {
        let document = Document::of(app).await;
        let mut ids = BTreeSet::new();
        for operation in document.operations() {
            assert!(ids.insert(operation.id.clone()), "two operations are called {}", operation.id);
            check_operation(&document, &operation);
        }
    }

    async fn the_limits_of_a_campaign_fit_one_schema_alone(app: &mut TestApp) {
        app.publish(&json!({})).await;
        app.publish_whole(&bargain(&json!({}))).await;
        app.publish_whole(&programme(&json!({}))).await;
        let document = Document::of(app).await;
        let kinds = document.0["components"]["schemas"]["CampaignLimits"]["oneOf"].as_array().unwrap();
        let fits = |limits: &Value, schema: &Value| {
            let schema = document.resolved(schema);
            let required = schema["required"].as_array().into_iter().flatten();
            let open = schema["additionalProperties"] != json!(false);
            required.clone().all(|name| limits[name.as_str().unwrap()].is_i64())
                && limits.as_object().unwrap().keys().all(|name| open || !schema["properties"][name].is_null())
        };
        let listed = app.get("/v1/campaigns").await.expect(200).json;
        let mut seen = BTreeSet::new();
        for campaign in listed["items"].as_array().unwrap() {
            let fitting: Vec<usize> = (0..kinds.len()).filter(|kind| fits(&campaign["limits"], &kinds[*kind])).collect();
            assert_eq!(fitting.len(), 1, "{}", campaign["limits"]);
            seen.extend(fitting);
        }
        assert_eq!(seen.len(), 3, "each of another kind");
    }

    async fn bodies_have_no_fields_that_are_not_listed(app: &mut TestApp) {
        let document = Document::of(app).await;
        // A merge patch may hold what the kind of its campaign has; a provider's body is its own.
        let open = ["change_campaign", "take_notification"];
        for operation in document.operations() {
            let Some(schema) = document.body(&operation) else { continue };
            let one_of = schema["oneOf"].as_array().cloned().unwrap_or_else(|| vec![schema.clone()]);
            for schema in one_of.iter().map(|schema| document.resolved(schema)) {
                let closed = schema["additionalProperties"] == json!(false);
                assert_eq!(closed, !open.contains(&operation.id.as_str()), "{}", operation.id);
                for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                    let places = [property, document.resolved(property), &property["oneOf"][0]];
                    assert!(places.iter().any(|place| place["description"].is_string()), "{} {name}", operation.id);
                }
            }
        }
    }

    async fn a_word_of_a_list_is_sent_as_a_word(app: &mut TestApp) {
        let document = Document::of(app).await;
        let ada = app.shopper("Ada").await;
        let mut tried = 0;
        for operation in document.operations() {
            let Some(schema) = document.body(&operation) else { continue };
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                // What may be null is one of two.
                let known = [property, &property["oneOf"][0], &property["oneOf"][1]].map(|place| &document.resolved(place)["enum"][0]);
                let Some(word) = known.iter().find_map(|word| word.as_str()) else { continue };
                let address = operation.at(|kind| match kind {
                    "orders" => "ord_00000000aaaaaaaaaaaaaa".to_owned(),
                    _ => "cmp_00000000".to_owned(),
                });
                let request = app.request(operation.method.parse().unwrap(), &address);
                let request = if operation.needs("operator") { request.admin() } else { request.by(&ada) };
                let answer = request.json(json!({name: {word: null}})).await.refused(422, "invalid_request");
                assert_eq!(answer.fields(), [name], "{}", operation.id);
                tried += 1;
            }
        }
        assert!(tried >= 3, "notify, provider and role");
    }

    async fn filters_that_are_empty_or_nonsense_are_refused_by_name(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let document = Document::of(app).await;
        let mut tried = BTreeSet::new();
        for operation in document.operations().iter().filter(|operation| operation.method == "GET" && operation.needs("operator")) {
            let address = operation.at(|_| campaign.clone());
            for parameter in operation.said["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap_or_default();
                if parameter["in"] != "query" || ["cursor", "after"].contains(&name) {
                    continue;
                }
                for value in ["", "%20", "no%00thing!"] {
                    let answer = app.get(&format!("{address}?{name}={value}")).admin().await.refused(422, "invalid_request");
                    assert_eq!(answer.fields(), [name], "{} {name}={value}", operation.id);
                }
                tried.insert(name.to_owned());
            }
        }
        let filters = ["from", "limit", "room_id", "sku", "state", "to", "user_id"];
        assert!(filters.iter().all(|name| tried.contains(*name)), "{tried:?}");
        let known = format!("/operator/v1/campaigns/{campaign}/orders?state=paid&user_id=usr_0123456789abcd&sku=tea&from=2026-01-01T00:00:00Z");
        assert_eq!(app.get(&known).admin().await.expect(200).json["items"], json!([]));
    }

    async fn parameters_nobody_knows_are_not_looked_at(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (ada, seat) = app.opened(&campaign).await;
        let document = Document::of(app).await;
        for operation in document.operations().iter().filter(|operation| operation.method == "GET" && !operation.path.ends_with("/live")) {
            let address = operation.at(|kind| match kind {
                "rooms" => seat.room.clone(),
                "orders" => seat.order.clone(),
                _ => campaign.clone(),
            });
            let get = |query: &str| {
                let request = app.get(&format!("{address}{query}"));
                if operation.needs("operator") { request.admin() } else { request.session(&ada.session) }
            };
            let (plain, asked) = (get("").await, get("?colour=red&colour=%00&limits=x").await);
            assert_eq!((plain.status, plain.code()), (asked.status, asked.code()), "{}", operation.id);
        }
    }

    async fn names_hold_no_control_characters(app: &mut TestApp) {
        let device = app.device().await;
        for name in ["A\u{7}da", "Ada\nLovelace", "\u{9f}"] {
            let sandbox = json!({"provider": "sandbox", "code": "c", "display_name": name});
            assert_eq!(app.post("/v1/sessions").json(sandbox).await.refused(422, "invalid_request").fields(), ["display_name"]);
            let shop = json!({"external_user_id": "c", "display_name": name});
            assert_eq!(app.post("/operator/v1/sessions").admin().json(shop).await.refused(422, "invalid_request").fields(), ["display_name"]);
        }
        let ada = app.login(&device, "ada", "  Ada ").await;
        let campaign = app.publish(&json!({})).await;
        let seat = app.open(&ada, &campaign).await.expect(201).seat();
        assert_eq!(app.room(&seat.room).await["leader"], "A**");
        let share = json!({"campaign_id": campaign, "channel": "a\nb"});
        assert_eq!(app.post("/v1/shares").by(&ada).json(share).await.refused(422, "invalid_request").fields(), ["channel"]);
    }
}

/// The words after `@refuse` above each op of the Lua programs.
fn refusals_of_ops() -> Vec<(String, Vec<Code>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("lua");
    let folders = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let files = folders.flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    let mut found = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        for part in text.split("--- @refuse ").skip(1) {
            let words = part.split("--- @").next().unwrap().split(|c: char| !c.is_ascii_lowercase() && c != '_');
            let op = part.split("function ops.").nth(1).unwrap().split('(').next().unwrap();
            found.push((op.to_owned(), words.filter_map(Code::from_word).collect()));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_op_may_refuse_with_stands_in_the_document_of_its_route() {
    /// Op and route. Those without one come from providers and workers.
    const ROUTES: [(&str, &[&str]); 22] = [
        ("publish", &["publish_campaign", "change_campaign"]),
        ("set_status", &["pause_campaign", "resume_campaign", "end_campaign"]),
        ("set_switches", &["set_switches"]),
        ("add_stock", &["add_stock"]),
        ("open_room", &["open_room"]),
        ("join_room", &["join_room"]),
        ("order_solo", &["order_solo"]),
        ("start_chain", &["start_chain"]),
        ("cut_chain", &["cut_chain"]),
        ("order_chain", &["order_chain"]),
        ("bind", &["make_bond"]),
        ("set_bond", &["set_bond"]),
        ("report_sale", &[]),
        ("decline", &[]),
        ("payment_asked", &["request_payment", "pay_in_sandbox"]),
        ("cancel", &["cancel_order"]),
        ("closed", &[]),
        ("pay", &["report_paid"]),
        ("refunded", &[]),
        ("fulfil", &["fulfil_order"]),
        ("refund", &["refund_order"]),
        ("call_off", &["call_off_order"]),
    ];
    let app = TestApp::start(crate::support::Db::sqlite().await, crate::support::Setup::default()).await;
    let document = Document::of(&app).await;
    let operations = document.operations();
    let ops = refusals_of_ops();
    assert_eq!(ops.len(), ROUTES.len(), "every op that refuses says so: {ops:?}");
    for (op, refusals) in ops {
        let (_, routes) = ROUTES.iter().find(|(name, _)| *name == op).unwrap_or_else(|| panic!("which route sends {op}?"));
        for route in *routes {
            let operation = operations.iter().find(|operation| operation.id == *route).unwrap();
            for code in &refusals {
                let response = document.resolved(&operation.said["responses"][code.status().to_string()]);
                assert!(response.is_object() && codes(response).contains(code), "{route} does not say {}", code.word());
            }
        }
    }
    app.finish().await;
}
