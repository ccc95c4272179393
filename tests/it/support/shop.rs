//! What shoppers and operators do, in one line each.

use std::sync::atomic::{AtomicU32, Ordering};

use liebian::clock::{Clock, UnixMs};
use serde_json::{Value, json};

use super::app::TestApp;
use super::client::{Answer, Request};

/// A person with a phone.
#[derive(Clone, Debug)]
pub struct Shopper {
    /// The session's token.
    pub session: String,
    /// The device's token.
    pub device: String,
    /// Who it is.
    pub user_id: String,
}

/// A seat and its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The room's id.
    pub room: String,
    /// The order's id.
    pub order: String,
}

/// A number nobody else in this test has.
pub fn unique() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A time so many seconds from now by the machine's clock (not the sandbox's).
pub fn from_now(seconds: i64) -> String {
    Clock::default().now().plus_seconds(seconds).rfc3339()
}

/// A time in an answer.
#[track_caller]
pub fn time_of(value: &Value) -> UnixMs {
    value.as_str().and_then(UnixMs::parse).unwrap_or_else(|| panic!("no time: {value}"))
}

/// A group-buy of one item `tea`: rooms of three at 49.50 yuan for ten days, roomy stock.
pub fn definition() -> Value {
    json!({
        "kind": "group_buy", "title": "Tea for three", "surface": "web", "starts_at": from_now(-60), "ends_at": from_now(864_000),
        "rules_text": "Three people, one price. The list price is what the shop asks without this campaign.",
        "items": [{"sku": "tea", "title": "Green tea", "list_price_fen": 9900, "stock": 100, "tiers": [{"size": 3, "price_fen": 4950}]}],
        "limits": {},
    })
}

/// The same with other figures: the tier's size, the stock, the limits.
pub fn with(size: i64, stock: i64, limits: &Value) -> Value {
    let mut definition = definition();
    definition["items"][0]["tiers"][0]["size"] = json!(size);
    definition["items"][0]["stock"] = json!(stock);
    definition["limits"] = limits.clone();
    definition
}

/// A merge patch (RFC 7396) on a definition.
pub fn patched(mut target: Value, patch: &Value) -> Value {
    let Value::Object(members) = patch else { return patch.clone() };
    if !target.is_object() {
        target = json!({});
    }
    for (name, value) in members {
        if value.is_null() {
            target.as_object_mut().expect("object").remove(name);
        } else {
            let before = target.get(name).cloned().unwrap_or(Value::Null);
            target[name] = patched(before, value);
        }
    }
    target
}

impl Answer {
    /// The seat of an answered open or join.
    #[track_caller]
    pub fn seat(&self) -> Seat {
        assert!(self.status == 201 || self.status == 200, "{} {}", self.status, self.text);
        Seat { room: self.at("/room/id"), order: self.at("/order/id") }
    }
}

impl TestApp {
    /// A new shopper with a new device.
    pub async fn shopper(&self, name: &str) -> Shopper {
        let device = self.device().await;
        self.shopper_on(&device, name).await
    }

    /// A new shopper on a device there is.
    pub async fn shopper_on(&self, device: &str, name: &str) -> Shopper {
        self.login(device, &format!("code-{}", unique()), name).await
    }

    /// The shopper of a login code.
    pub async fn login(&self, device: &str, code: &str, name: &str) -> Shopper {
        let body = json!({"provider": "sandbox", "code": code, "display_name": name});
        let answer = self.post("/v1/sessions").json(body).await.expect(201);
        Shopper { session: answer.at("/session_token"), device: device.to_owned(), user_id: answer.at("/user_id") }
    }

    /// A shopper of the shop's own login, for servers without sandbox.
    pub async fn shop_shopper(&self, name: &str) -> Shopper {
        let body = json!({"external_user_id": format!("ext-{}", unique()), "display_name": name});
        let answer = self.post("/operator/v1/sessions").admin().json(body).await.expect(201);
        Shopper { session: answer.at("/session_token"), device: self.device().await, user_id: answer.at("/user_id") }
    }

    /// A new device's token.
    pub async fn device(&self) -> String {
        let signals = json!({"signals": {"install_id": format!("phone-{}-{}", std::process::id(), unique())}});
        self.post("/v1/devices").json(signals).await.expect(201).at("/device_token")
    }

    /// Several new shoppers, each with a device.
    pub async fn shoppers(&self, count: usize) -> Vec<Shopper> {
        let mut shoppers = Vec::with_capacity(count);
        for number in 0..count {
            shoppers.push(self.shopper(&format!("Shopper {number}")).await);
        }
        shoppers
    }

    /// A draft; answers its id.
    pub async fn draft(&self, definition: &Value) -> String {
        self.post("/operator/v1/campaigns").admin().json(definition.clone()).await.expect(201).at("/id")
    }

    /// A published campaign: the default definition under a merge patch. Answers its id.
    pub async fn publish(&self, patch: &Value) -> String {
        self.publish_whole(&patched(definition(), patch)).await
    }

    /// A published campaign with this definition. Answers its id.
    pub async fn publish_whole(&self, definition: &Value) -> String {
        let id = self.draft(definition).await;
        self.post(&format!("/operator/v1/campaigns/{id}/publish")).admin().await.expect(200);
        id
    }

    /// The operator does `step` (`pause`, `resume`, `end`) on a campaign.
    pub async fn step(&self, campaign: &str, step: &str) -> Answer {
        self.post(&format!("/operator/v1/campaigns/{campaign}/{step}")).admin().await
    }

    /// The request that opens a room for one unit of `tea`.
    pub fn open(&self, shopper: &Shopper, campaign: &str) -> Request {
        self.open_for(shopper, campaign, "tea", 1)
    }

    /// The request that opens a room.
    pub fn open_for(&self, shopper: &Shopper, campaign: &str, sku: &str, quantity: i64) -> Request {
        self.post(&format!("/v1/campaigns/{campaign}/rooms")).by(shopper).json(json!({"sku": sku, "quantity": quantity}))
    }

    /// The request that joins a room with one unit.
    pub fn join(&self, shopper: &Shopper, room: &str) -> Request {
        self.post(&format!("/v1/rooms/{room}/members")).by(shopper).json(json!({"quantity": 1}))
    }

    /// The request for what is needed to pay.
    pub fn ask_payment(&self, shopper: &Shopper, order: &str) -> Request {
        self.post(&format!("/v1/orders/{order}/payment")).by(shopper)
    }

    /// The request to the sandbox's pay page.
    pub fn pay(&self, shopper: &Shopper, order: &str) -> Request {
        self.post(&format!("/v1/sandbox/orders/{order}/pay")).by(shopper)
    }

    /// The request that gives up an order.
    pub fn cancel(&self, shopper: &Shopper, order: &str) -> Request {
        self.post(&format!("/v1/orders/{order}/cancel")).by(shopper)
    }

    /// The shop reports a payment.
    pub async fn report_paid(&self, order: &str, reference: &str, amount_fen: i64) -> Answer {
        let body = json!({"reference": reference, "amount_fen": amount_fen, "paid_at": from_now(0)});
        self.post(&format!("/operator/v1/orders/{order}/paid")).admin().json(body).await
    }

    /// A new shopper in a new room.
    pub async fn opened(&self, campaign: &str) -> (Shopper, Seat) {
        let shopper = self.shopper("Leader").await;
        let seat = self.open(&shopper, campaign).await.expect(201).seat();
        (shopper, seat)
    }

    /// A new shopper in this room.
    pub async fn joined(&self, room: &str) -> (Shopper, Seat) {
        let shopper = self.shopper("Member").await;
        let seat = self.join(&shopper, room).await.expect(201).seat();
        (shopper, seat)
    }

    /// A new shopper who has paid in a new room.
    pub async fn opened_and_paid(&self, campaign: &str) -> (Shopper, Seat) {
        let (shopper, seat) = self.opened(campaign).await;
        self.pay(&shopper, &seat.order).await.expect(200);
        (shopper, seat)
    }

    /// A new shopper who has paid in this room.
    pub async fn joined_and_paid(&self, room: &str) -> (Shopper, Seat) {
        let (shopper, seat) = self.joined(room).await;
        self.pay(&shopper, &seat.order).await.expect(200);
        (shopper, seat)
    }

    /// A room for two that has formed: its leader's and its member's order.
    pub async fn formed(&self, campaign: &str) -> [(Shopper, Seat); 2] {
        let leader = self.opened_and_paid(campaign).await;
        let member = self.joined_and_paid(&leader.1.room).await;
        assert_eq!(self.room(&leader.1.room).await["state"], "formed");
        [leader, member]
    }

    /// The request by which an operator does `step` (`fulfil`, `refund`, `cancel`) to an order.
    pub fn operate(&self, order: &str, step: &str, body: &Value) -> Request {
        self.post(&format!("/operator/v1/orders/{order}/{step}")).admin().json(body.clone())
    }

    /// Lets the sandbox's next calls go wrong.
    pub async fn spoil(&self, faults: &Value) {
        self.post("/v1/sandbox/faults").admin().json(faults.clone()).await.expect(200);
    }

    /// A campaign's audit; all must be in order.
    pub async fn audited(&self, campaign: &str) {
        let report = self.post(&format!("/operator/v1/campaigns/{campaign}/audit")).admin().await.expect(200);
        assert_eq!(report.json["ok"], true, "{}", report.text);
    }

    /// The names of the checks of a campaign's audit that found something.
    pub async fn audit_finds(&self, campaign: &str) -> Vec<String> {
        let report = self.post(&format!("/operator/v1/campaigns/{campaign}/audit")).admin().await.expect(200).json;
        let failed = report["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false);
        failed.map(|check| check["name"].as_str().unwrap().to_owned()).collect()
    }

    /// A room as anybody sees it.
    pub async fn room(&self, room: &str) -> Value {
        self.get(&format!("/v1/rooms/{room}")).await.expect(200).json
    }

    /// A shopper's order.
    pub async fn order(&self, shopper: &Shopper, order: &str) -> Value {
        self.get(&format!("/v1/orders/{order}")).session(&shopper.session).await.expect(200).json
    }

    /// An order's state.
    pub async fn state_of(&self, shopper: &Shopper, order: &str) -> String {
        self.order(shopper, order).await["state"].as_str().expect("state").to_owned()
    }

    /// Units of `tea`: left, held, sold.
    pub async fn stock(&self, campaign: &str) -> (i64, i64, i64) {
        let stock = self.report(campaign).await["stock"][0].clone();
        let units = |name: &str| stock[name].as_i64().unwrap_or_else(|| panic!("no {name} in {stock}"));
        assert_eq!(units("put_in"), units("stock_left") + units("held") + units("sold") + units("returned"), "{stock}");
        (units("stock_left"), units("held"), units("sold"))
    }

    /// The operator's report.
    pub async fn report(&self, campaign: &str) -> Value {
        self.get(&format!("/operator/v1/campaigns/{campaign}/report")).admin().await.expect(200).json
    }

    /// Lets so many seconds pass, and what is due then happen.
    pub async fn advance(&self, seconds: i64) {
        self.post("/v1/sandbox/clock").admin().json(json!({"advance_seconds": seconds})).await.expect(200);
    }

    /// Lets a state arrive that a worker brings about by itself.
    pub async fn until_state(&self, shopper: &Shopper, order: &str, state: &str) -> Value {
        super::child::within(10, &format!("order {order} is {state}"), async || self.state_of(shopper, order).await == state).await;
        self.order(shopper, order).await
    }
}
