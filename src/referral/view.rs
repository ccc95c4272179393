//! What shoppers see of bonds.

use serde::{Deserialize, Serialize};

use crate::clock::UnixMs;
use crate::id::CampaignId;

/// A shopper's own bond.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BondView {
    /// The campaign.
    pub campaign_id: CampaignId,
    /// The masked name of whoever invited.
    #[schema(example = "张**")]
    pub inviter: String,
    /// Since when it holds.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime, example = "2026-11-22T08:00:00Z")]
    pub bound_at: UnixMs,
    /// Until when; null: for ever.
    #[serde(with = "crate::clock::rfc3339::option")]
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<UnixMs>,
}
