//! What shoppers do with chains, in one line each.

use serde_json::{Value, json};

use super::app::TestApp;
use super::client::Request;
use super::shop::{Shopper, from_now, patched};

/// A bargain of one item `cream`, from 299.00 down to 99.00 yuan in four steps, roomy limits.
pub fn bargain(patch: &Value) -> Value {
    let definition = json!({
        "kind": "bargain", "title": "Face cream, cut together", "surface": "web", "starts_at": from_now(-60), "ends_at": from_now(864_000),
        "rules_text": "Four cuts from list price to floor price. The list price is what the shop asks without this campaign.",
        "items": [{"sku": "cream", "title": "Face cream", "list_price_fen": 29_900, "floor_price_fen": 9_900, "stock": 100}],
        "cuts": {"helpers": 4, "curve": "front_loaded"},
        "limits": {"chains_per_user": 5, "helps_per_day": 50, "helps_per_campaign": 50, "users_per_device": 500},
    });
    patched(definition, patch)
}

impl TestApp {
    /// The request that starts a chain of `cream`.
    pub fn start_chain(&self, shopper: &Shopper, campaign: &str) -> Request {
        self.post(&format!("/v1/campaigns/{campaign}/chains")).by(shopper).json(json!({"sku": "cream"}))
    }

    /// The request that helps a chain.
    pub fn cut(&self, shopper: &Shopper, chain: &str) -> Request {
        self.post(&format!("/v1/chains/{chain}/cuts")).by(shopper)
    }

    /// The request that orders at the chain's price.
    pub fn order_chain(&self, shopper: &Shopper, chain: &str) -> Request {
        self.post(&format!("/v1/chains/{chain}/orders")).by(shopper)
    }

    /// A published bargain under a merge patch, and a new shopper's chain in it: campaign, owner, chain.
    pub async fn chain_of(&self, patch: &Value) -> (String, Shopper, String) {
        let campaign = self.publish_whole(&bargain(patch)).await;
        let owner = self.shopper("Owner").await;
        let chain = self.start_chain(&owner, &campaign).await.expect(201).at("/chain/id");
        (campaign, owner, chain)
    }

    /// A new shopper helps.
    pub async fn helped(&self, chain: &str) -> Shopper {
        let helper = self.shopper("Helper").await;
        self.cut(&helper, chain).await.expect(201);
        helper
    }

    /// A chain as anybody sees it.
    pub async fn chain(&self, chain: &str) -> Value {
        self.get(&format!("/v1/chains/{chain}")).await.expect(200).json
    }

    /// A chain's proof.
    pub async fn proof(&self, chain: &str) -> Value {
        self.get(&format!("/v1/chains/{chain}/proof")).await.expect(200).json
    }

    /// The operator's audit finds nothing wrong.
    pub async fn is_sound(&self, campaign: &str) {
        let audit = self.post(&format!("/operator/v1/campaigns/{campaign}/audit")).admin().await.expect(200).json;
        assert_eq!(audit["ok"], true, "{audit:#}");
    }
}
