//! Clients that act as fast as they can and write down what they were answered.
//!
//! A 503, a 408, a broken connection and silence leave the outcome open: the very same request is repeated, on any server, until it is answered.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{Answer, Request, Shopper, TestApp, definition, patched, unique, within};

/// Clients at once.
const CLIENTS: usize = 8;
/// Silence is taken for an open outcome after this long.
const PATIENCE: Duration = Duration::from_secs(4);
/// Before a request is repeated.
const PAUSE: Duration = Duration::from_millis(30);
/// Units of the campaign that sells out.
pub const SCARCE: i64 = 40;

/// An answer that counts as a promise.
#[derive(Clone, Debug)]
pub struct Promise {
    /// What was asked: `open`, `join`, `cancel`, `pay`.
    pub op: &'static str,
    /// Campaign, epoch, sequence, for ops that name it.
    pub place: Option<(String, i64, i64)>,
    /// Whether the place is the op's own: an answer to a repeat names the one it saw.
    pub own: bool,
    /// The order.
    pub order: String,
    /// The room.
    pub room: String,
}

/// Campaigns and people; survives several rounds of load.
pub struct Fair {
    http: reqwest::Client,
    bases: Vec<String>,
    /// Campaigns; the first is [`SCARCE`].
    pub campaigns: Vec<String>,
    shoppers: Vec<Shopper>,
    rooms: Mutex<Vec<String>>,
    unpaid: Mutex<Vec<(usize, String)>>,
}

/// A running pool of clients.
pub struct Load {
    stop: Arc<AtomicBool>,
    record: Arc<Record>,
    clients: JoinSet<()>,
}

/// What the clients write down.
#[derive(Default)]
struct Record {
    promises: Mutex<Vec<Promise>>,
    defects: Mutex<Vec<String>>,
    /// When each campaign last decided anything, refusals too.
    decided: Mutex<BTreeMap<String, Instant>>,
}

impl Fair {
    /// Publishes campaigns (the first with few units) and logs shoppers in.
    pub async fn open(app: &TestApp) -> Arc<Self> {
        let limits = json!({"orders_per_user": 500, "rooms_opened_per_user": 500, "rooms_joined_per_user": 500, "unpaid_per_user": 500});
        let mut campaigns = Vec::new();
        for (size, stock) in [(3, SCARCE), (2, 100_000), (5, 100_000)] {
            let mut whole = patched(definition(), &json!({"limits": limits}));
            whole["items"][0]["stock"] = json!(stock);
            whole["items"][0]["tiers"][0]["size"] = json!(size);
            campaigns.push(app.publish_whole(&whole).await);
        }
        let shoppers = app.shoppers(24).await;
        let http = reqwest::Client::builder().no_proxy().build().expect("HTTP client");
        let bases = vec![app.base.clone()];
        Arc::new(Self { http, bases, campaigns, shoppers, rooms: Mutex::default(), unpaid: Mutex::default() })
    }

    /// The same fair with another server.
    pub fn at(&self, base: &str) -> Arc<Self> {
        let (http, campaigns, shoppers) = (self.http.clone(), self.campaigns.clone(), self.shoppers.clone());
        let bases = self.bases.iter().cloned().chain([base.to_owned()]).collect();
        Arc::new(Self { http, bases, campaigns, shoppers, rooms: Mutex::default(), unpaid: Mutex::default() })
    }

    /// Lets the clients loose. With `paying` they also pay, which waits for SQL.
    pub fn start(self: &Arc<Self>, paying: bool) -> Load {
        let (stop, record, mut clients) = (Arc::new(AtomicBool::new(false)), Arc::new(Record::default()), JoinSet::new());
        for _ in 0..CLIENTS {
            clients.spawn(Client { fair: Arc::clone(self), stop: Arc::clone(&stop), record: Arc::clone(&record), paying }.run());
        }
        Load { stop, record, clients }
    }

    /// Load for a moment, until every kind of thing was answered; all outcomes known.
    pub async fn warm_up(self: &Arc<Self>) -> Vec<Promise> {
        let load = self.start(true);
        load.until_promised(60).await;
        load.finish().await
    }
}

impl Load {
    /// Waits until so many more answers have come from every campaign together.
    pub async fn until_promised(&self, more: usize) {
        let before = self.promised();
        within(15, "the campaigns serve", async || self.promised() >= before + more).await;
    }

    /// Waits until every campaign has decided something after `since`; 15 s at most.
    pub async fn until_served_after(&self, since: Instant, campaigns: &[String]) {
        self.until_served_within(15, since, campaigns).await;
    }

    /// The same with more patience.
    pub async fn until_served_within(&self, seconds: u64, since: Instant, campaigns: &[String]) {
        within(seconds, "every campaign serves again", async || {
            let decided = self.record.decided.lock().expect("decided");
            campaigns.iter().all(|campaign| decided.get(campaign).is_some_and(|at| *at > since))
        })
        .await;
    }

    fn promised(&self) -> usize {
        self.record.promises.lock().expect("promises").len()
    }

    /// Ends the load once every op under way is answered.
    pub async fn finish(mut self) -> Vec<Promise> {
        self.stop.store(true, Ordering::Relaxed);
        let all = async { while self.clients.join_next().await.is_some() {} };
        assert!(tokio::time::timeout(Duration::from_secs(20), all).await.is_ok(), "an op is not answered within 20 s");
        self.told()
    }

    /// Drops the clients where they are: what was not answered stays unknown.
    pub async fn abandon(mut self) -> Vec<Promise> {
        self.clients.shutdown().await;
        self.told()
    }

    fn told(&self) -> Vec<Promise> {
        let defects = self.record.defects.lock().expect("defects");
        assert!(defects.is_empty(), "answers that must not be: {defects:?}");
        self.record.promises.lock().expect("promises").clone()
    }
}

struct Client {
    fair: Arc<Fair>,
    stop: Arc<AtomicBool>,
    record: Arc<Record>,
    paying: bool,
}

impl Client {
    async fn run(self) {
        while !self.stop.load(Ordering::Relaxed) {
            match rand::random_range(0..10) {
                0..3 => self.open().await,
                3..7 => self.join().await,
                7 => self.cancel().await,
                _ if self.paying => self.pay().await,
                _ => self.join().await,
            }
        }
    }

    /// The answer to a request, which is repeated until there is one.
    async fn insist(&self, path: &str, shopper: &Shopper, key: &str, body: serde_json::Value) -> Answer {
        loop {
            let base = &self.fair.bases[rand::random_range(0..self.fair.bases.len())];
            let request = Request::from(self.fair.http.post(format!("{base}{path}"))).by(shopper).json(body.clone());
            let request = if key.is_empty() { request } else { request.key(key) };
            if let Ok(Ok(answer)) = tokio::time::timeout(PATIENCE, request.try_send()).await
                && ![503, 408].contains(&answer.status)
            {
                if answer.status == 500 || answer.status == 422 {
                    self.record.defects.lock().expect("defects").push(format!("{path}: {}", answer.text));
                }
                if let Some((campaign, _, _)) = answer.seq() {
                    self.record.decided.lock().expect("decided").insert(campaign, Instant::now());
                }
                return answer;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn promise(&self, op: &'static str, answer: &Answer, own: bool, order: String, room: String) {
        let promise = Promise { op, place: answer.seq(), own, order, room };
        self.record.promises.lock().expect("promises").push(promise);
    }

    fn somebody(&self) -> usize {
        rand::random_range(0..self.fair.shoppers.len())
    }

    fn seated(&self, op: &'static str, who: usize, answer: &Answer) {
        if answer.status == 201 || answer.status == 200 {
            let seat = answer.seat();
            self.promise(op, answer, answer.status == 201, seat.order.clone(), seat.room.clone());
            self.fair.rooms.lock().expect("rooms").push(seat.room);
            if answer.status == 201 {
                self.fair.unpaid.lock().expect("unpaid").push((who, seat.order));
            }
        }
    }

    async fn open(&self) {
        let who = self.somebody();
        let campaign = &self.fair.campaigns[rand::random_range(0..self.fair.campaigns.len())];
        let key = format!("open-{}-{}", std::process::id(), unique());
        let body = json!({"sku": "tea", "quantity": 1});
        let answer = self.insist(&format!("/v1/campaigns/{campaign}/rooms"), &self.fair.shoppers[who], &key, body).await;
        self.seated("open", who, &answer);
    }

    async fn join(&self) {
        let who = self.somebody();
        let room = {
            let rooms = self.fair.rooms.lock().expect("rooms");
            let recent = rooms.len().min(40);
            if recent == 0 {
                return;
            }
            rooms[rooms.len() - 1 - rand::random_range(0..recent)].clone()
        };
        let answer = self.insist(&format!("/v1/rooms/{room}/members"), &self.fair.shoppers[who], "", json!({"quantity": 1})).await;
        self.seated("join", who, &answer);
    }

    fn take_unpaid(&self) -> Option<(usize, String)> {
        let mut unpaid = self.fair.unpaid.lock().expect("unpaid");
        let place = (!unpaid.is_empty()).then(|| rand::random_range(0..unpaid.len()))?;
        Some(unpaid.swap_remove(place))
    }

    async fn cancel(&self) {
        let Some((who, order)) = self.take_unpaid() else { return };
        let answer = self.insist(&format!("/v1/orders/{order}/cancel"), &self.fair.shoppers[who], "", json!({})).await;
        if answer.status == 200 {
            self.promise("cancel", &answer, false, order, String::new());
        }
    }

    async fn pay(&self) {
        let Some((who, order)) = self.take_unpaid() else { return };
        let answer = self.insist(&format!("/v1/sandbox/orders/{order}/pay"), &self.fair.shoppers[who], "", json!({})).await;
        if answer.status == 200 && answer.json["paid_fen"].as_i64().is_some_and(|fen| fen > 0) {
            self.promise("pay", &answer, false, order, String::new());
        }
    }
}
