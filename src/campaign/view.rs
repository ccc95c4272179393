//! What a shopper sees of a campaign. What it costs the operator is not in these types.

use serde::{Deserialize, Serialize};

use super::model::{Definition, GroupBuyItem, GroupBuyLimits, Kind, Surface, Tier};
use crate::clock::UnixMs;
use crate::id::CampaignId;
use crate::money::Fen;

/// Where a published campaign is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CampaignState {
    /// Published, not started.
    Scheduled,
    /// Open to all.
    Live,
    /// No new rooms, joins or cuts; deadlines and payments go on.
    Paused,
    /// No new rooms or chains.
    Ended,
}

/// An item on sale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ItemView {
    /// The stock-keeping unit.
    #[schema(example = "cherry-1kg")]
    pub sku: String,
    /// Its name.
    #[schema(example = "Cherries 1 kg")]
    pub title: String,
    /// The price without the campaign.
    #[schema(example = 9900)]
    pub list_price_fen: Fen,
    /// The price of buying alone, if offered.
    #[schema(required = true)]
    pub solo_price_fen: Option<Fen>,
    /// The leader's price, if another.
    #[schema(required = true)]
    pub leader_price_fen: Option<Fen>,
    /// Room sizes and prices.
    pub tiers: Vec<Tier>,
    /// Units put in.
    #[schema(example = 1000)]
    pub stock: i64,
    /// Units that can still be ordered.
    #[schema(example = 640)]
    pub stock_left: i64,
    /// Units paid for.
    #[schema(example = 345)]
    pub sold: i64,
}

impl ItemView {
    /// A group-buy's item and where its units are.
    #[must_use]
    pub fn new(item: &GroupBuyItem, stock_left: i64, sold: i64) -> Self {
        Self {
            sku: item.sku.clone(),
            title: item.title.clone(),
            list_price_fen: item.list_price_fen,
            solo_price_fen: item.solo_price_fen,
            leader_price_fen: item.leader_price_fen,
            tiers: item.tiers.clone(),
            stock: item.stock,
            stock_left,
            sold,
        }
    }
}

/// What may be switched off while a campaign runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Switches {
    /// Whether rooms may be opened.
    #[schema(example = true)]
    pub open: bool,
    /// Whether rooms may be joined.
    #[schema(example = true)]
    pub join: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self { open: true, join: true }
    }
}

/// What the campaign still allows the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CampaignYou {
    /// Whether the caller never paid an order.
    pub newcomer: bool,
    /// Orders the caller may still place.
    #[schema(example = 2)]
    pub orders_left: i64,
    /// Rooms the caller may still open.
    #[schema(example = 1)]
    pub rooms_left: i64,
}

/// A published campaign as a shopper sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CampaignView {
    /// Its id.
    pub id: CampaignId,
    /// Its kind.
    pub kind: Kind,
    /// Its title.
    #[schema(example = "Cherries, half price for three")]
    pub title: String,
    /// The title of a shared link.
    pub share_title: String,
    /// Where it is shown.
    pub surface: Surface,
    /// Where it is in its life.
    pub state: CampaignState,
    /// From when it runs.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime, example = "2026-11-22T00:00:00Z")]
    pub starts_at: UnixMs,
    /// Until when.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime, example = "2026-12-01T00:00:00Z")]
    pub ends_at: UnixMs,
    /// The engine's clock when this was read.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime, example = "2026-11-23T08:00:00Z")]
    pub now: UnixMs,
    /// The full rules.
    pub rules_text: String,
    /// What is on sale.
    pub items: Vec<ItemView>,
    /// Limits of one user or device.
    pub limits: GroupBuyLimits,
    /// How long a room may fill.
    #[schema(example = 86400)]
    pub room_ttl_seconds: i64,
    /// How long a seat waits for its payment.
    #[schema(example = 900)]
    pub payment_ttl_seconds: i64,
    /// At its deadline a room with this many paid members forms.
    #[schema(required = true)]
    pub accept_from: Option<i64>,
    /// Whether joiners must never have paid an order before.
    pub newcomers_only: bool,
    /// Rooms that are filling.
    #[schema(example = 12)]
    pub rooms_open: i64,
    /// Rooms that have formed.
    #[schema(example = 115)]
    pub rooms_formed: i64,
    /// What operators have switched off.
    pub switches: Switches,
    /// About the caller, with a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub you: Option<CampaignYou>,
}

/// The numbers of a campaign at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CampaignNumbers {
    /// Where it is in its life.
    pub state: CampaignState,
    /// The engine's clock.
    pub now: UnixMs,
    /// By sku: (units put in, units left, units sold). A sku that is missing has all its units left.
    pub stock: std::collections::HashMap<String, (i64, i64, i64)>,
    /// Rooms that are filling.
    pub rooms_open: i64,
    /// Rooms that have formed.
    pub rooms_formed: i64,
    /// What may be done at all.
    pub switches: Switches,
}

impl CampaignView {
    /// The view of a group-buy; `None` for kinds that have no view yet.
    #[must_use]
    pub fn new(id: CampaignId, definition: &Definition, numbers: &CampaignNumbers) -> Option<Self> {
        let own = definition.group_buy()?;
        let head = &definition.head;
        let item_view = |item: &GroupBuyItem| {
            let (put_in, left, sold) = numbers.stock.get(&item.sku).copied().unwrap_or((item.stock, item.stock, 0));
            ItemView { stock: put_in, ..ItemView::new(item, left, sold) }
        };
        Some(Self {
            id,
            kind: definition.kind(),
            title: head.title.clone(),
            share_title: definition.share_title().to_owned(),
            surface: head.surface,
            state: numbers.state,
            starts_at: head.starts_at,
            ends_at: head.ends_at,
            now: numbers.now,
            rules_text: head.rules_text.clone(),
            items: own.items.iter().map(item_view).collect(),
            limits: own.limits.clone(),
            room_ttl_seconds: own.room_ttl_seconds,
            payment_ttl_seconds: own.payment_ttl_seconds,
            accept_from: own.accept_from,
            newcomers_only: own.newcomers_only,
            rooms_open: numbers.rooms_open,
            rooms_formed: numbers.rooms_formed,
            switches: numbers.switches,
            you: None,
        })
    }
}
