//! Money earned, and taken out: rewards are booked as a referral programme's projection books them.

use liebian::clock::{Clock, UnixMs};
use liebian::id::{CampaignId, UserId};
use liebian::ledger::{Account, Kind, Transfer, post_now};
use liebian::money::Fen;
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

    async fn book(&self, shopper: &Shopper, programme: &str, fen: i64, (kind, way): (Kind, Way)) {
        let (user, campaign) = (shopper.user_id.parse().unwrap(), programme.parse().unwrap());
        let (from, to) = way(user, campaign);
        let number = unique();
        let transfer = Transfer {
            reference: format!("{}:{number}", kind.word()),
            from,
            to,
            amount: Fen::new(fen),
            kind,
            at: UnixMs::new(Clock::default().now().get()),
            campaign: Some(campaign),
            order_number: Some(format!("shop-{number}")),
            level: Some(1),
            withdrawal: None,
        };
        let mut tx = self.store().begin().await.expect("begin");
        post_now(&mut tx, &[transfer]).await.expect("booked");
        tx.commit().await.expect("commit");
    }

    /// A reward that is frozen.
    pub async fn rewarded(&self, shopper: &Shopper, programme: &str, fen: i64) {
        self.book(shopper, programme, fen, (Kind::RewardFrozen, |user, campaign| (Account::Rewards(campaign), Account::Frozen(user))))
            .await;
    }

    /// A reward that is available.
    pub async fn earned(&self, shopper: &Shopper, programme: &str, fen: i64) {
        self.rewarded(shopper, programme, fen).await;
        self.book(shopper, programme, fen, (Kind::RewardAvailable, |user, _| (Account::Frozen(user), Account::Available(user)))).await;
    }

    /// An available reward is taken back.
    pub async fn reversed(&self, shopper: &Shopper, programme: &str, fen: i64) {
        self.book(shopper, programme, fen, (Kind::RewardReversed, |user, campaign| (Account::Debt(user), Account::Rewards(campaign))))
            .await;
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
