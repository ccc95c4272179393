//! What inviters and invited people do, in one line each.

use serde_json::{Value, json};

use super::app::TestApp;
use super::client::Answer;
use super::shop::{Shopper, from_now, patched};

/// A referral programme of one level, ten per cent, with a freeze of an hour.
pub fn programme(patch: &Value) -> Value {
    let definition = json!({
        "kind": "referral", "title": "Tell a friend", "surface": "web", "starts_at": from_now(-60), "ends_at": from_now(864_000),
        "rules_text": "Who brings a friend earns a tenth of what the friend pays, an hour after the goods have arrived.",
        "items": [], "levels": [{"basis_points": 1000}], "freeze_seconds": 3600, "bond": {"newcomers_only": false},
    });
    patched(definition, patch)
}

/// The same with a second level of three per cent.
pub fn two_levels(patch: &Value) -> Value {
    let levels = json!({"levels": [{"basis_points": 1000}, {"basis_points": 300}], "acknowledge_level_two": true});
    patched(programme(&levels), patch)
}

impl TestApp {
    /// Somebody's invite code.
    pub async fn code_of(&self, campaign: &str, inviter: &Shopper) -> String {
        let answer = self.post(&format!("/v1/campaigns/{campaign}/invites")).by(inviter).await;
        assert!([200, 201].contains(&answer.status), "{}", answer.text);
        answer.at("/invite_code")
    }

    /// A shopper is bound to an inviter.
    pub async fn bound(&self, campaign: &str, inviter: &Shopper, invited: &Shopper) -> Answer {
        let code = self.code_of(campaign, inviter).await;
        self.post(&format!("/v1/campaigns/{campaign}/bonds")).by(invited).json(json!({"invite_code": code})).await.expect(201)
    }

    /// New shoppers, each invited by the one before.
    pub async fn line_of(&self, campaign: &str, count: usize) -> Vec<Shopper> {
        let line = self.shoppers(count).await;
        for pair in line.windows(2) {
            self.bound(campaign, &pair[0], &pair[1]).await;
        }
        line
    }

    /// Somebody's rewards, oldest first: order, level, fen, reversed, state.
    pub async fn rewards_of(&self, user: &Shopper) -> Vec<(String, i64, i64, i64, String)> {
        let list = self.get("/v1/me/rewards?limit=200").session(&user.session).await.expect(200).json;
        let text = |reward: &Value, name: &str| reward[name].as_str().expect("text").to_owned();
        let number = |reward: &Value, name: &str| reward[name].as_i64().expect("number");
        let row = |one: &Value| {
            (text(one, "order_number"), number(one, "level"), number(one, "amount_fen"), number(one, "reversed_fen"), text(one, "state"))
        };
        list["items"].as_array().expect("items").iter().rev().map(row).collect()
    }
}
