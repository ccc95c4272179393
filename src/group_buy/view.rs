//! What a shopper sees of a room. Names are masked before they come here; no user id is in these types.

use serde::{Deserialize, Serialize};

use super::row::{State, TierRow};
use crate::campaign::model::Tier;
use crate::clock::UnixMs;
use crate::id::{CampaignId, OrderId, RoomId};
use crate::money::Fen;

/// Where a room is in its life. The two ends never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoomState {
    /// Filling.
    Open,
    /// Enough members have paid.
    Formed,
    /// Its time went by; paid members are refunded.
    Failed,
}

impl RoomState {
    /// The word on the wire and in SQL.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Formed => "formed",
            Self::Failed => "failed",
        }
    }
}

impl From<State> for RoomState {
    fn from(state: State) -> Self {
        match state {
            State::Open => Self::Open,
            State::Formed => Self::Formed,
            State::Failed => Self::Failed,
        }
    }
}

/// One seat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MemberView {
    /// The masked display name.
    #[schema(example = "张**")]
    pub name: String,
    /// Whether this member leads the room.
    pub leader: bool,
    /// Whether the seat is paid; else it is held.
    pub paid: bool,
    /// With a session: whether the seat is the caller's. Absent where it is not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub you: bool,
}

/// The caller's seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RoomYou {
    /// The caller's order.
    pub order_id: OrderId,
    /// Whether the caller leads.
    pub leader: bool,
}

/// A room as a shopper sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RoomView {
    /// Its id.
    pub id: RoomId,
    /// Its campaign.
    pub campaign_id: CampaignId,
    /// What is bought in it.
    #[schema(example = "cherry-1kg")]
    pub sku: String,
    /// Where it is in its life.
    pub state: RoomState,
    /// Its seats, as many as the largest tier has; all paid, it forms at once.
    #[schema(minimum = 2, maximum = 200, example = 3)]
    pub size: i64,
    /// Seats held or paid.
    #[schema(minimum = 0, maximum = 200, example = 2)]
    pub seats_taken: i64,
    /// Seats paid.
    #[schema(minimum = 0, maximum = 200, example = 1)]
    pub seats_paid: i64,
    /// Seats one can still take.
    #[schema(minimum = 0, maximum = 200, example = 1)]
    pub seats_left: i64,
    /// Units kept for its free seats, besides what the campaign has left; of items that reserve for the whole room.
    #[schema(minimum = 0, example = 0)]
    pub units_kept: i64,
    /// The leader's masked name.
    #[schema(example = "张**")]
    pub leader: String,
    /// Everyone in it, the leader first.
    pub members: Vec<MemberView>,
    /// What each member pays for one unit, the first tier's price; a leader may have a price of their own.
    pub price_fen: Fen,
    /// Sizes rising, prices falling. At its deadline a room forms at the highest tier that so many have paid for, and what was paid above
    /// that price goes back to each member.
    pub tiers: Vec<Tier>,
    /// At its deadline it forms with this many paid members too, at the first tier's price.
    #[schema(required = true)]
    pub accept_from: Option<i64>,
    /// What one unit costs its members in the end; null until it has formed.
    #[schema(required = true)]
    pub final_price_fen: Option<Fen>,
    /// When it must be full.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime, example = "2026-11-23T08:00:00Z")]
    pub expires_at: UnixMs,
    /// The caller's seat, with a session and a seat.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub you: Option<RoomYou>,
}

/// All tiers of a room, of one that has no ladder its only one.
#[must_use]
pub fn tiers(size: i64, price: i64, ladder: &[TierRow]) -> Vec<Tier> {
    let tier = |TierRow(size, price): TierRow| Tier { size, price_fen: Fen::new(price) };
    if ladder.is_empty() { vec![tier(TierRow(size, price))] } else { ladder.iter().copied().map(tier).collect() }
}

/// Another room to join, beside a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AlternativeRoom {
    /// The room.
    pub room_id: RoomId,
    /// Its free seats.
    #[schema(minimum = 1, maximum = 200, example = 1)]
    pub seats_left: i64,
    /// Until when.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime, example = "2026-11-23T08:00:00Z")]
    pub expires_at: UnixMs,
}
