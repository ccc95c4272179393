//! What shoppers see of bonds and rewards.

use serde::{Deserialize, Serialize};

use crate::clock::UnixMs;
use crate::id::CampaignId;
use crate::money::Fen;

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

/// Where a reward stands, as people see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RewardStanding)]
pub enum Standing {
    /// The freeze is not over.
    Frozen,
    /// The freeze is over.
    Available,
    /// It is looked into first.
    Held,
    /// All of it went back.
    Reversed,
}

/// A reward.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RewardView {
    /// Its id.
    #[schema(example = "reward_0123456789abcdef01234567")]
    pub id: String,
    /// The campaign.
    pub campaign_id: CampaignId,
    /// The order that earned it: ours, or the shop's own number.
    #[schema(example = "SO-20261122-0001")]
    pub order_number: String,
    /// 1: of one's own invitee's order, 2: of their invitee's.
    #[schema(minimum = 1, maximum = 2, example = 1)]
    pub level: i64,
    /// What was granted.
    pub amount_fen: Fen,
    /// What of it went back with refunds.
    pub reversed_fen: Fen,
    /// Where it stands.
    pub state: Standing,
    /// The masked name of whoever bought.
    #[schema(example = "李**")]
    pub buyer: String,
    /// When the freeze is over; null before the goods were handed over.
    #[serde(with = "crate::clock::rfc3339::option")]
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    pub available_at: Option<UnixMs>,
    /// When it was granted.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime, example = "2026-11-22T08:00:00Z")]
    pub created_at: UnixMs,
}

/// Somebody who was invited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct InviteeView {
    /// The campaign.
    pub campaign_id: CampaignId,
    /// The masked name.
    #[schema(example = "李**")]
    pub name: String,
    /// 1: invited by you, 2: invited by somebody you invited.
    #[schema(minimum = 1, maximum = 2, example = 1)]
    pub level: i64,
    /// Since when the bond holds.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime, example = "2026-11-22T08:00:00Z")]
    pub bound_at: UnixMs,
    /// Until when; null: for ever.
    #[serde(with = "crate::clock::rfc3339::option")]
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<UnixMs>,
    /// What their orders have earned you in this campaign, less what went back.
    pub earned_fen: Fen,
}
