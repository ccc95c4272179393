//! Two identities never see each other's things, and each role does only what it may. Both walk over the OpenAPI document, so that a new
//! route cannot be forgotten.

use serde_json::{Value, json};

use crate::support::{Answer, Document, Operation, Shopper, TestApp, bargain, served};

/// What `{…}` stands for: things that are whose they are. Whoever else asks for one learns nothing, not even that it is there.
const PRIVATE: [&str; 2] = ["orders", "withdrawals"];
/// Things that anybody may look at or take part in. What only its maker may do with them is `forbidden` to others.
const PUBLIC: [&str; 7] = ["campaigns", "rooms", "chains", "shares", "s", "payments", "assets"];
/// Roles, each may do what those before it may.
const ROLES: [&str; 4] = ["viewer", "editor", "finance", "admin"];
/// Ada's name; others see its first letter.
const NAME: &str = "Adelaide Byron";

/// Everything of Ada's that nobody else may see.
struct Ada {
    who: Shopper,
    campaign: String,
    room: String,
    chain: String,
    order: String,
    withdrawal: String,
    share: String,
    secrets: Vec<String>,
}

impl Ada {
    async fn with_something_of_everything(app: &TestApp) -> Self {
        let limits = json!({"limits": {"orders_per_user": 50, "rooms_opened_per_user": 50, "rooms_joined_per_user": 50, "unpaid_per_user": 50,
            "users_per_device": 50}});
        let campaign = app.publish(&limits).await;
        let device = app.device().await;
        let who = app.login(&device, "the first", NAME).await;
        let seat = app.open(&who, &campaign).key("the-same-key").await.expect(201).seat();
        let paid = app.open(&who, &campaign).await.expect(201).seat();
        app.pay(&who, &paid.order).await.expect(200);
        let bargains = app.publish_whole(&bargain(&json!({}))).await;
        let chain = app.start_chain(&who, &bargains).await.expect(201).at("/chain/id");
        let share = json!({"campaign_id": campaign, "target_id": seat.room});
        let share = app.post("/v1/shares").by(&who).json(share).await.expect(201).at("/token");
        let programme = app.programme(&json!({})).await;
        app.earned(&who, &programme, 5000).await;
        let withdrawal = app.withdraw(&who, 700).await.expect(201).at("/withdrawal/id");
        let secrets = [&who.session, &who.device, &who.user_id, &seat.order, &paid.order].map(String::clone);
        let secrets = secrets.into_iter().chain(["Adelaide".to_owned(), "Byron".to_owned()]).collect();
        Self { who, campaign, room: seat.room, chain, order: seat.order, withdrawal, share, secrets }
    }

    fn id(&self, kind: &str) -> String {
        match kind {
            "campaigns" => self.campaign.clone(),
            "rooms" => self.room.clone(),
            "chains" => self.chain.clone(),
            "orders" => self.order.clone(),
            "withdrawals" => self.withdrawal.clone(),
            "shares" | "s" => self.share.clone(),
            "payments" => "sandbox".to_owned(),
            "assets" => "none".to_owned(),
            _ => panic!("say in PRIVATE or PUBLIC whose /{kind}/{{…}} are, and here which of them Ada has"),
        }
    }

    /// The request for an operation on Ada's things.
    fn request(&self, app: &TestApp, document: &Document, operation: &Operation) -> crate::support::Request {
        let changes = json!({"campaign_id": self.campaign, "sku": "tea", "advance_seconds": 0});
        document.request(app, operation, &operation.at(|kind| self.id(kind)), &changes)
    }

    /// An answer to somebody else: nothing of hers is in it, but what the asker named.
    fn is_unseen(&self, operation: &Operation, asked: &str, answer: &Answer) {
        let seen = format!("{} {:?}", answer.text, answer.headers);
        for secret in &self.secrets {
            assert!(!seen.contains(secret.as_str()) || asked.contains(secret.as_str()), "{} shows {secret}: {seen}", operation.id);
        }
    }

    /// All is as it was.
    async fn is_unharmed(&self, app: &TestApp, before: &Value) {
        assert_eq!(app.order(&self.who, &self.order).await, *before);
        app.get(&format!("/v1/shares/{}", self.share)).await.expect(200);
        let mine = app.get("/v1/me/orders").session(&self.who.session).await.expect(200);
        assert_eq!(mine.json["items"].as_array().map(Vec::len), Some(2));
    }
}

/// Without what belongs to one request only.
fn said(mut answer: Answer) -> (u16, Value) {
    if let Some(members) = answer.json.as_object_mut() {
        members.remove("request_id");
    }
    (answer.status, answer.json)
}

/// What `{…}` in an operation's address stands for.
fn kinds(operation: &Operation) -> Vec<String> {
    let kinds = std::cell::RefCell::new(Vec::new());
    operation.at(|kind| {
        kinds.borrow_mut().push(kind.to_owned());
        String::new()
    });
    kinds.into_inner()
}

/// The routes of shoppers, but those that end or change the session they are called with.
fn of_shoppers(document: &Document) -> Vec<Operation> {
    let mut operations = document.operations();
    operations.retain(|operation| {
        !operation.path.starts_with("/operator/") && !operation.path.ends_with("/live") && operation.id != "end_session"
    });
    operations
}

fn role_of(operation: &Operation) -> usize {
    let roles = operation.callers[0]["operator"].as_array().unwrap_or_else(|| panic!("{} is for no operator", operation.id));
    let [role] = roles.as_slice() else { panic!("{} must say one role", operation.id) };
    ROLES.iter().position(|known| role == known).unwrap_or_else(|| panic!("{}: no role {role}", operation.id))
}

served! {
    async fn what_is_one_shoppers_is_nothing_to_another(app: &mut TestApp) {
        let document = Document::of(app).await;
        let ada = Ada::with_something_of_everything(app).await;
        let before = app.order(&ada.who, &ada.order).await;
        let (bob, carl) = (app.shopper("Bob").await, app.shopper("Carl").await);
        let mut private = 0;
        for operation in of_shoppers(&document) {
            for kind in kinds(&operation) {
                assert!(PRIVATE.contains(&&*kind) || PUBLIC.contains(&&*kind), "say whose /{kind}/{{…}} are");
            }
            let answer = ada.request(app, &document, &operation).by(&bob).await;
            ada.is_unseen(&operation, &operation.at(|kind| ada.id(kind)), &answer);
            if operation.path.starts_with("/v1/me/") {
                let answer = app.get(&operation.path).by(&carl).await;
                let nothing = json!({"available_fen": 0, "frozen_fen": 0, "withdrawing_fen": 0, "withdrawn_fen": 0});
                let nothing = if operation.path.ends_with("/balance") { nothing } else { json!({"items": [], "next_cursor": null}) };
                assert_eq!((answer.status, &answer.json), (200, &nothing), "{}", operation.id);
                private += 1;
            }
            if kinds(&operation).iter().any(|kind| PRIVATE.contains(&&**kind)) {
                let nobodys = operation.at(|_| format!("{}0000", ada.order.split_at(ada.order.len() - 4).0));
                let nothing = document.request(app, &operation, &nobodys, &json!({})).by(&bob).await;
                assert_eq!(said(answer.refused(404, "not_found")), said(nothing.refused(404, "not_found")), "{}", operation.id);
                private += 1;
            } else if operation.method == "DELETE" {
                answer.refused(403, "forbidden");
                private += 1;
            }
        }
        assert!(private >= 6, "orders, one's lists and links are private");
        ada.is_unharmed(app, &before).await;
    }

    async fn nobody_sees_what_is_somebodys(app: &mut TestApp) {
        let document = Document::of(app).await;
        let ada = Ada::with_something_of_everything(app).await;
        let before = app.order(&ada.who, &ada.order).await;
        for operation in document.operations().iter().filter(|operation| !operation.path.ends_with("/live")) {
            let address = operation.at(|kind| if operation.path.starts_with("/operator/") { ada.order.clone() } else { ada.id(kind) });
            let request = || document.request(app, operation, &address, &json!({"campaign_id": ada.campaign, "advance_seconds": 0}));
            for answer in [request().await, request().session("nonsense").header("X-Device-Token", &ada.who.device).await] {
                ada.is_unseen(operation, &address, &answer);
                assert_eq!(answer.status == 401, !operation.is_open(), "{}: {}", operation.id, answer.text);
            }
            if operation.needs("device") {
                // A session alone, and another's device token beside no session.
                request().session(&ada.who.session).await.refused(401, "device_required");
            }
        }
        ada.is_unharmed(app, &before).await;
    }

    async fn the_same_key_of_two_callers_never_meets(app: &mut TestApp) {
        let document = Document::of(app).await;
        let ada = Ada::with_something_of_everything(app).await;
        let bob = app.shopper("Bob").await;
        let again = app.open(&ada.who, &ada.campaign).key("the-same-key").await.expect(201);
        assert!(again.replayed() && again.seat().order == ada.order, "one's own key does");
        for operation in of_shoppers(&document).iter().filter(|operation| operation.method == "POST" && operation.needs("session")) {
            let key = format!("key-{}", operation.id);
            ada.request(app, &document, operation).by(&ada.who).key(&key).await;
            let other = ada.request(app, &document, operation).by(&bob).key(&key).await;
            assert!(!other.replayed() && other.code() != "idempotency_key_reused", "{}: {}", operation.id, other.text);
            ada.is_unseen(operation, &operation.at(|kind| ada.id(kind)), &other);
        }
        let keys = [key(app, "admin").await, key(app, "admin").await];
        for operation in document.operations().iter().filter(|operation| operation.method == "POST" && operation.path.starts_with("/operator/")) {
            let address = operation.at(|kind| if kind == "campaigns" { ada.campaign.clone() } else { "none".to_owned() });
            let post = |secret: &str| document.request(app, operation, &address, &json!({"sku": "tea"})).session(secret).key("the-same-key");
            let first = post(&keys[0]).await;
            let other = post(&keys[1]).await;
            assert!(!other.replayed() && other.code() != "idempotency_key_reused", "{}: {}", operation.id, other.text);
            if operation.path.ends_with("/keys") {
                assert_ne!(first.at("/secret"), other.at("/secret"));
            }
        }
    }

    async fn each_route_of_operators_lets_in_its_role_and_those_after_it(app: &mut TestApp) {
        let document = Document::of(app).await;
        let ada = app.shopper("Ada").await;
        let mut keys = Vec::new();
        for role in ROLES {
            keys.push(key(app, role).await);
        }
        let operations: Vec<Operation> = document.operations().into_iter().filter(|one| one.path.starts_with("/operator/")).collect();
        assert!(operations.len() > 20);
        for operation in &operations {
            let least = role_of(operation);
            // Well formed, so that only who calls is wrong; of nothing that exists, so that nothing happens.
            let address = operation.at(|kind| match kind {
                "campaigns" => "cmp_00000000".to_owned(),
                "orders" => "ord_00000000aaaaaaaaaaaaaa".to_owned(),
                _ => "none".to_owned(),
            });
            let call = |secret: &str| {
                let request = app.request(operation.method.parse().unwrap(), &address).session(secret).header("X-Device-Token", &ada.device);
                if operation.method == "GET" { request } else { request.json(json!({})) }
            };
            for (rank, secret) in keys.iter().enumerate() {
                let answer = call(secret).await;
                if rank < least {
                    answer.refused(403, "forbidden");
                } else {
                    assert!(![401, 403].contains(&answer.status) && answer.status < 500, "{} {}: {}", ROLES[rank], operation.id, answer.text);
                }
            }
            for stranger in [&ada.session, &ada.device, &keys[3].to_uppercase(), ""] {
                call(stranger).await.refused(401, "unauthenticated");
            }
            // Who may not call learns nothing about ids and fields, and nothing of the body is read.
            let nonsense = operation.at(|_| "nonsense".to_owned());
            app.request(operation.method.parse().unwrap(), &nonsense).session(&ada.session).raw("{").await.refused(401, "unauthenticated");
            if least > 0 {
                app.request(operation.method.parse().unwrap(), &nonsense).session(&keys[0]).raw("{").await.refused(403, "forbidden");
            }
        }
    }

    async fn a_key_is_no_session(app: &mut TestApp) {
        let document = Document::of(app).await;
        let ada = Ada::with_something_of_everything(app).await;
        for operation in of_shoppers(&document).iter().filter(|one| one.needs("session") && !one.needs("operator")) {
            let answer = ada.request(app, &document, operation).admin().header("X-Device-Token", &ada.who.device).await;
            answer.refused(401, "unauthenticated");
        }
    }
}

/// The secret of a new key.
async fn key(app: &TestApp, role: &str) -> String {
    app.post("/operator/v1/keys").admin().json(json!({"name": role, "role": role})).await.expect(201).at("/secret")
}
