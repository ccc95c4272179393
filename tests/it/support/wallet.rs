//! Money earned, and taken out: rewards are booked as a referral programme's projection books them.

use liebian::clock::{Clock, UnixMs};
use liebian::id::{CampaignId, UserId};
use liebian::ledger::{Account, Kind, Transfer, post_now};
use liebian::money::Fen;
use liebian::store::{execute, fetch_one};
use serde_json::{Value, json};

use super::app::TestApp;
use super::client::Request;
use super::shop::{Shopper, from_now, patched, unique};

/// From which account to which.
type Way = fn(UserId, CampaignId) -> (Account, Account);

impl TestApp {
    /// A referral programme with these rules for withdrawals.
    pub async fn programme(&self, withdrawal: &Value) -> String {
        let rules = json!({"min_fen": 1, "max_fen": 1_000_000, "per_day": 1000, "auto_approve_max_fen": 1_000_000});
        self.draft(&json!({
            "kind": "referral", "title": "Tell a friend", "surface": "web", "starts_at": from_now(-60), "ends_at": from_now(864_000),
            "rules_text": "Whoever brings a friend earns of what the friend buys.", "levels": [{"basis_points": 1000}],
            "withdrawal": patched(rules, withdrawal),
        }))
        .await
    }

    async fn book(&self, shopper: &Shopper, programme: &str, (order, fen): (&str, i64), (kind, way): (Kind, Way)) {
        let (user, campaign) = (shopper.user_id.parse().unwrap(), programme.parse().unwrap());
        let (from, to) = way(user, campaign);
        let transfer = Transfer {
            reference: format!("{}:{}", kind.word(), unique()),
            from,
            to,
            amount: Fen::new(fen),
            kind,
            at: UnixMs::new(Clock::default().now().get()),
            campaign: Some(campaign),
            order_number: Some(order.to_owned()),
            level: Some(1),
            withdrawal: None,
        };
        let mut tx = self.store().begin().await.expect("begin");
        post_now(&mut tx, &[transfer]).await.expect("booked");
        tx.commit().await.expect("commit");
    }

    async fn reward_of(&self, shopper: &Shopper, programme: &str, (order, fen): (&str, i64)) {
        const REWARD: &str = "INSERT INTO rewards (campaign_id, order_number, level, id, user_id, buyer_id, state, amount_fen, reversed_fen, \
                              created_at, updated_at, seq, version) VALUES ($1, $2, 1, $3, $4, $4, 'frozen', $5, 0, 1, 1, 1, 1)";
        execute!(self.store(), REWARD, programme, order, format!("reward_{order}"), &shopper.user_id, fen).expect("a reward");
        let frozen: Way = |user, campaign| (Account::Rewards(campaign), Account::Frozen(user));
        self.book(shopper, programme, (order, fen), (Kind::RewardFrozen, frozen)).await;
    }

    /// A reward that is frozen.
    pub async fn rewarded(&self, shopper: &Shopper, programme: &str, fen: i64) {
        self.reward_of(shopper, programme, (&format!("shop-{}", unique()), fen)).await;
    }

    /// A reward that is available.
    pub async fn earned(&self, shopper: &Shopper, programme: &str, fen: i64) {
        let order = format!("shop-{}", unique());
        self.reward_of(shopper, programme, (&order, fen)).await;
        execute!(self.store(), "UPDATE rewards SET state = 'available' WHERE order_number = $1", &order).expect("ripe");
        self.book(shopper, programme, (&order, fen), (Kind::RewardAvailable, |user, _| (Account::Frozen(user), Account::Available(user))))
            .await;
    }

    /// So much of the shopper's first available reward is taken back.
    pub async fn reversed(&self, shopper: &Shopper, programme: &str, fen: i64) {
        const FIRST: &str = "SELECT MIN(order_number) FROM rewards WHERE user_id = $1 AND state = 'available'";
        const BACK: &str = "UPDATE rewards SET reversed_fen = reversed_fen + $1 WHERE order_number = $2";
        let (order,) = fetch_one!(self.store(), (String,), FIRST, &shopper.user_id).expect("a reward");
        execute!(self.store(), BACK, fen, &order).expect("taken back");
        let back: Way = |user, campaign| (Account::Debt(user), Account::Rewards(campaign));
        self.book(shopper, programme, (&order, fen), (Kind::RewardReversed, back)).await;
    }

    /// What is available, frozen, on its way out, taken out.
    pub async fn balance(&self, shopper: &Shopper) -> [i64; 4] {
        let balance = self.get("/v1/me/balance").session(&shopper.session).await.expect(200).json;
        ["available_fen", "frozen_fen", "withdrawing_fen", "withdrawn_fen"].map(|name| balance[name].as_i64().expect(name))
    }

    /// The request that takes money out.
    pub fn withdraw(&self, shopper: &Shopper, fen: i64) -> Request {
        self.post("/v1/me/withdrawals").by(shopper).json(json!({"amount_fen": fen}))
    }

    /// A withdrawal as operators see it.
    pub async fn withdrawal(&self, id: &str) -> Value {
        self.get(&format!("/operator/v1/withdrawals/{id}")).admin().await.expect(200).json
    }

    /// Lets a withdrawal come to a state, time passing.
    pub async fn until_withdrawal(&self, id: &str, state: &str) -> Value {
        super::child::within(20, &format!("withdrawal {id} is {state}"), async || {
            if self.withdrawal(id).await["state"] == state {
                return true;
            }
            self.advance(60).await;
            false
        })
        .await;
        self.withdrawal(id).await
    }
}
