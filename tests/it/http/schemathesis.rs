//! Schemathesis makes up requests from the served OpenAPI document, valid and invalid ones, and compares each answer with what the document
//! says: status, media type, headers, body, 405 for other methods, 401 without a caller. `make test` installs it and names its folder in
//! `SCHEMATHESIS`.

use std::ffi::OsString;
use std::fmt::Write;
use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{ADMIN_KEY, Db, Folder, Setup, Shopper, TestApp, bargain, programme, spawn, tied, with};

/// Test cases that are made up for each route and phase, beside the boundaries of each field.
const EXAMPLES: &str = "6";

/// Which ids there are: `(routes, parameter, ids)`. One dictionary for each row, so that routes that use things up do not starve others.
type Ids = Vec<(&'static str, &'static str, Vec<String>)>;

/// A document's run against a server.
struct Run {
    folder: Folder,
    base: String,
}

impl Run {
    /// Writes the configuration: who calls, which ids there are, what cannot be said in a schema.
    fn prepare(app: &TestApp, ada: &Shopper, ids: &Ids) -> Self {
        let hooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemathesis/hooks.py");
        let mut config = format!(
            "base-url = {:?}\nhooks = {hooks:?}\nseed = 7\ncolor = false\ncontinue-on-failure = true\nrequest-timeout = 20\n\
             max-stream-events = 1\n[output.truncation]\nmax-payload-size = 2000\n\
             [auth.openapi]\nsession = {{ bearer = {:?} }}\noperator = {{ bearer = {ADMIN_KEY:?} }}\ndevice = {{ api_key = {:?} }}\n\
             [parameters]\n\"body.sku\" = {{ dictionary = \"skus\", probability = 0.8 }}\n\
             \"body.campaign_id\" = {{ dictionary = \"ids_0\", probability = 0.8 }}\n[dictionaries]\nskus = {{ values = [\"tea\"] }}\n",
            app.base, ada.session, ada.device
        );
        for (number, (.., ids)) in ids.iter().enumerate() {
            writeln!(config, "ids_{number} = {{ values = {} }}", json!(ids)).unwrap();
        }
        // What is valid by its schema may be refused for what it names or for the state of things. A schema cannot tell a cursor of ours,
        // nor a field by another, such as an end after its start; nor a number that may be all but zero.
        config += &accepted(None, &[]);
        config += &accepted(Some("^(list_|(read_events|get_tree)$)"), &[400]);
        config += &accepted(
            Some(
                "^(create_campaign|change_campaign|publish_campaign|add_stock|report_paid|report_outside_order|make_share|pay_in_sandbox)$",
            ),
            &[422],
        );
        // A thousand boundaries of definitions: what reads them also describes them.
        config += "[[operations]]\ninclude-operation-id = \"create_campaign\"\n[operations.phases.coverage]\nenabled = false\n";
        for (number, (routes, parameter, _)) in ids.iter().enumerate() {
            let routes = json!(routes.split(' ').collect::<Vec<_>>());
            writeln!(
                config,
                "[[operations]]\ninclude-operation-id = {routes}\n\
                 parameters = {{ {parameter:?} = {{ dictionary = \"ids_{number}\", probability = 0.8 }} }}"
            )
            .unwrap();
        }
        let folder = Folder::new();
        fs::write(folder.path().join("schemathesis.toml"), config).unwrap();
        Self { folder, base: app.base.clone() }
    }

    /// Runs it over the document at `place`; answers whether all was fine, and what it said.
    async fn over(&self, place: &str, arguments: &[&str]) -> (bool, String) {
        let said = self.folder.path().join("said");
        let file = File::create(&said).unwrap();
        let mut command = tied("KILL", &[], "python3");
        command.args(["-m", "schemathesis.cli", "run", place, "--checks", "all", "--exclude-checks", "object_level_authorization"]);
        command.args(["--generation-deterministic", "--workers", "1", "--max-examples", EXAMPLES]).args(arguments);
        command.env("PYTHONPATH", installed()).env("PYTHONDONTWRITEBYTECODE", "1").current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let mut child = spawn(command);
        let ended = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
        (ended.success(), fs::read_to_string(said).unwrap())
    }

    /// Runs it over the served document; nothing may be found.
    async fn finds_nothing(&self, arguments: &[&str]) {
        let (fine, said) = self.over(&format!("{}/openapi.json", self.base), arguments).await;
        assert!(fine, "{said}");
    }
}

/// The folder it is installed in.
fn installed() -> OsString {
    std::env::var_os("SCHEMATHESIS").expect("SCHEMATHESIS must name the folder that schemathesis is in; `make test` does it")
}

/// The statuses with which what is valid by its schema may be answered, for all routes or for some.
fn accepted(routes: Option<&str>, more: &[u16]) -> String {
    let statuses: Vec<Value> = [json!("2xx"), json!("3xx")].into_iter().chain([401, 403, 404, 409, 410].map(Value::from)).collect();
    let statuses = json!([statuses, more.iter().map(|status| json!(status)).collect()].concat());
    match routes {
        None => format!("[checks.positive_data_acceptance]\nexpected-statuses = {statuses}\n"),
        Some(routes) => format!(
            "[[operations]]\ninclude-operation-id-regex = {routes:?}\n[operations.checks.positive_data_acceptance]\nexpected-statuses = {statuses}\n"
        ),
    }
}

/// A shop with something of everything: answers its shopper and the ids there are.
async fn shop(app: &TestApp) -> (Shopper, Ids) {
    let many = 1_000_000;
    // It first tries what a client can send at all, and the parser says so.
    app.expect_error("request parse error");
    let limits = json!({"quantity_per_order": 9, "orders_per_user": many, "rooms_opened_per_user": many, "rooms_joined_per_user": many,
        "unpaid_per_user": many, "users_per_device": many});
    let mut definition = with(3, 100_000, &limits);
    definition["items"][0]["solo_price_fen"] = json!(8000);
    let (ada, bob) = (app.shopper("Ada").await, app.shopper("Bob").await);
    let mut brief = definition.clone();
    (brief["room_ttl_seconds"], brief["payment_ttl_seconds"]) = (json!(60), json!(60));
    let failing = app.publish_whole(&brief).await;
    let seat = app.open(&ada, &failing).await.expect(201).seat();
    app.pay(&ada, &seat.order).await.expect(200);
    app.advance(61).await;
    app.until_state(&ada, &seat.order, "refunded").await;
    let refunds = app.get("/operator/v1/refunds").admin().await.expect(200).at("/items/0/refund_no");

    let payment = app.get("/operator/v1/payments").admin().await.expect(200).at("/items/0/transaction_id");
    let shop = app.publish_whole(&definition).await;
    let pairs = app.publish_whole(&with(2, 9, &json!({}))).await;
    let mut certain = Vec::new();
    for _ in 0..3 {
        certain.extend(app.formed(&pairs).await.map(|(_, seat)| seat.order));
    }
    let carl = app.shopper("Carl").await;
    let (mut rooms, mut orders) = (Vec::new(), Vec::new());
    for _ in 0..25 {
        let seat = app.open(&ada, &shop).await.expect(201).seat();
        rooms.push(seat.room);
        orders.push(seat.order);
    }
    let strange = app.open(&bob, &shop).await.expect(201).seat();
    rooms.insert(0, strange.room);
    for order in &orders[..5] {
        app.pay(&ada, order).await.expect(200);
    }
    let bargains = app
        .publish_whole(&bargain(&json!({"limits": {"chains_per_user": many, "helps_per_day": many, "helps_per_campaign": many,
            "users_per_device": many}, "cuts": {"helpers": 200}})))
        .await;
    let mut chains = vec![app.start_chain(&ada, &bargains).await.expect(201).at("/chain/id")];
    chains.push(app.start_chain(&bob, &bargains).await.expect(201).at("/chain/id"));
    let earning = app.programme(&json!({"max_fen": 10_000_000_000_i64, "auto_approve_max_fen": 10})).await;
    app.earned(&ada, &earning, 1_000_000).await;
    let mut withdrawals = Vec::new();
    for fen in [10, 11, 12, 13, 14] {
        withdrawals.push(app.withdraw(&ada, fen).await.expect(201).at("/withdrawal/id"));
    }
    let mut orders = orders.chunks(5).map(<[String]>::to_vec);
    let mut next = || orders.next().expect("five times five orders");
    let read = [next(), vec![strange.order]].concat();
    let invites = app.publish_whole(&programme(&json!({}))).await;
    let ids = vec![
        ("get_campaign", "path.id", vec![shop.clone(), bargains.clone(), invites]),
        (
            "list_joinable_rooms open_room order_solo get_report audit_campaign list_rooms list_orders list_shares add_stock \
             set_switches list_versions get_version",
            "path.id",
            vec![shop.clone()],
        ),
        (
            "get_definition change_campaign check_campaign clone_campaign pause_campaign resume_campaign",
            "path.id",
            campaigns(app, &definition, 3, 1).await,
        ),
        ("get_version", "path.version", vec!["1".to_owned()]),
        ("end_campaign", "path.id", campaigns(app, &definition, 2, 0).await),
        ("publish_campaign", "path.id", campaigns(app, &definition, 0, 3).await),
        ("get_room join_room", "path.id", rooms[..8].to_vec()),
        ("start_chain list_chains", "path.id", vec![bargains]),
        ("get_chain cut_chain order_chain get_proof", "path.id", chains),
        ("get_order", "path.id", read),
        ("request_payment", "path.id", next()),
        ("pay_in_sandbox", "path.id", next()),
        ("cancel_order", "path.id", next()),
        ("report_paid", "path.id", next()),
        ("get_share show_share", "path.token", vec![share(app, &ada, &shop).await, share(app, &bob, &shop).await]),
        ("revoke_share", "path.token", vec![share(app, &ada, &shop).await, share(app, &ada, &shop).await, share(app, &bob, &shop).await]),
        ("revoke_key", "path.id", vec![key(app).await, key(app).await]),
        ("report_refunded retry_refund", "path.refund_no", vec![refunds]),
        ("retry_payment", "path.transaction_id", vec![payment]),
        ("get_order_record change_order fulfil_order", "path.id", certain[..2].to_vec()),
        ("refund_order", "path.id", certain[2..4].to_vec()),
        ("call_off_order", "path.id", certain[4..].to_vec()),
        ("get_withdrawal retry_withdrawal report_withdrawal_paid confirm_payout_in_sandbox", "path.id", withdrawals[..2].to_vec()),
        ("approve_withdrawal", "path.id", withdrawals[1..3].to_vec()),
        ("reject_withdrawal", "path.id", withdrawals[3..].to_vec()),
        ("erase_user", "path.id", vec![carl.user_id]),
        ("take_notification", "path.provider", vec!["sandbox".to_owned()]),
    ];
    (ada, ids)
}

async fn campaigns(app: &TestApp, definition: &Value, published: usize, drafts: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..published {
        ids.push(app.publish_whole(definition).await);
    }
    for _ in 0..drafts {
        ids.push(app.draft(definition).await);
    }
    ids
}

async fn share(app: &TestApp, by: &Shopper, campaign: &str) -> String {
    app.post("/v1/shares").by(by).json(json!({"campaign_id": campaign})).await.expect(201).at("/token")
}

async fn key(app: &TestApp) -> String {
    app.post("/operator/v1/keys").admin().json(json!({"name": "used up", "role": "viewer"})).await.expect(201).at("/id")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shoppers_get_what_the_document_says() {
    let app = TestApp::start(Db::sqlite().await, Setup::default()).await;
    let (ada, ids) = shop(&app).await;
    let run = Run::prepare(&app, &ada, &ids);
    run.finds_nothing(&[
        "--exclude-tag-regex",
        "^operator",
        "--exclude-operation-id",
        "advance_clock",
        "--exclude-operation-id",
        "spoil_sandbox",
        "--exclude-operation-id",
        "end_session",
    ])
    .await;
    // Each of these spoils what comes after it, the last two even the session of the run itself.
    run.finds_nothing(&["--include-operation-id", "spoil_sandbox"]).await;
    run.finds_nothing(&["--include-operation-id", "advance_clock"]).await;
    let run = Run::prepare(&app, &app.shopper("Ada").await, &ids);
    run.finds_nothing(&["--include-operation-id", "end_session"]).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_get_what_the_document_says() {
    let app = TestApp::start(Db::postgres().await, Setup::default()).await;
    let (ada, ids) = shop(&app).await;
    Run::prepare(&app, &ada, &ids).finds_nothing(&["--include-tag-regex", "^operator"]).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_lies_is_found_out() {
    let app = TestApp::start(Db::sqlite().await, Setup::default()).await;
    let (ada, ids) = shop(&app).await;
    let run = Run::prepare(&app, &ada, &ids);
    let mut document = app.get("/openapi.json").await.expect(200).json;
    let place = run.folder.path().join("openapi.json");
    let order = &mut document["paths"]["/v1/orders/{id}"]["get"];
    order["responses"].as_object_mut().unwrap().remove("404").unwrap();
    document["components"]["schemas"]["CampaignView"]["properties"]["title"] = json!({"type": "integer"});
    document["paths"]["/v1/campaigns"]["get"]["security"] = json!([{"session": []}]);
    fs::write(&place, document.to_string()).unwrap();
    let arguments =
        ["--url", &app.base, "--phases", "coverage", "--include-operation-id", "get_order", "--include-operation-id", "list_campaigns"];
    let (fine, said) = run.over(&place.display().to_string(), &arguments).await;
    assert!(!fine, "{said}");
    for found in ["Undocumented status code", "Response violates schema", "API accepts requests without authentication"] {
        assert!(said.contains(found), "not found: {found}\n{said}");
    }
    app.finish().await;
}
