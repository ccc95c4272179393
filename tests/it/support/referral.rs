//! What shoppers do in referral programmes, in one line each.

use serde_json::{Value, json};

use super::app::TestApp;
use super::client::Request;
use super::shop::{Shopper, from_now, patched};

/// A referral programme of two levels (a tenth, and three hundredths), bound by anybody, frozen for an hour.
pub fn programme(patch: &Value) -> Value {
    let definition = json!({
        "kind": "referral", "title": "Bring friends", "surface": "web", "starts_at": from_now(-60), "ends_at": from_now(864_000),
        "rules_text": "Who invites a friend earns a tenth of what the friend buys, an hour after the goods have arrived.",
        "levels": [{"basis_points": 1000}, {"basis_points": 300}], "freeze_seconds": 3600, "budget_fen": 10_000_000,
    });
    patched(definition, patch)
}

impl TestApp {
    /// The request for a shopper's invite code.
    pub fn invite(&self, shopper: &Shopper, campaign: &str) -> Request {
        self.post(&format!("/v1/campaigns/{campaign}/invites")).by(shopper)
    }

    /// A shopper's invite code.
    pub async fn code_of(&self, shopper: &Shopper, campaign: &str) -> String {
        self.invite(shopper, campaign).await.at("/invite_code")
    }

    /// The request to be bound by a code.
    pub fn bind(&self, shopper: &Shopper, campaign: &str, code: &str) -> Request {
        self.post(&format!("/v1/campaigns/{campaign}/bonds")).by(shopper).json(json!({"invite_code": code}))
    }

    /// A new shopper who was invited.
    pub async fn invited(&self, campaign: &str, inviter: &Shopper, name: &str) -> Shopper {
        let shopper = self.shopper(name).await;
        let code = self.code_of(inviter, campaign).await;
        self.bind(&shopper, campaign, &code).await.expect(201);
        shopper
    }

    /// Ada, Bob, Carl and Dora, each invited by the one before.
    pub async fn line_of_four(&self, campaign: &str) -> [Shopper; 4] {
        let ada = self.shopper("Ada").await;
        let bob = self.invited(campaign, &ada, "Bob").await;
        let carl = self.invited(campaign, &bob, "Carl").await;
        let dora = self.invited(campaign, &carl, "Dora").await;
        [ada, bob, carl, dora]
    }

    /// The request by which an operator sets a bond; `inviter` null cuts it.
    pub fn set_bond(&self, campaign: &str, user: &str, inviter: &Value, reason: &str) -> Request {
        let body = json!({"user_id": user, "inviter_id": inviter, "reason": reason});
        self.post(&format!("/operator/v1/campaigns/{campaign}/bonds")).admin().json(body)
    }

    /// One's own list.
    pub async fn mine(&self, shopper: &Shopper, list: &str) -> Vec<Value> {
        let answer = self.get(&format!("/v1/me/{list}")).session(&shopper.session).await.expect(200);
        answer.json["items"].as_array().expect("items").clone()
    }
}
