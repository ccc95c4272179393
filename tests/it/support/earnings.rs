//! Who invited whom, and what it earned, in one line each.

use serde_json::{Value, json};

use super::app::TestApp;
use super::client::Answer;
use super::referral::programme;
use super::shop::{Shopper, patched};

/// A referral programme of one level, a tenth.
pub fn one_level(patch: &Value) -> Value {
    patched(programme(&json!({"levels": [{"basis_points": 1000}]})), patch)
}

impl TestApp {
    /// A shopper is bound to an inviter.
    pub async fn bound(&self, campaign: &str, inviter: &Shopper, friend: &Shopper) -> Answer {
        let code = self.code_of(inviter, campaign).await;
        self.bind(friend, campaign, &code).await.expect(201)
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
