//! What a shopper sees of a campaign. What it costs the operator is not in these types.

use serde::{Deserialize, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{OneOfBuilder, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::model::{
    BargainItem, BargainLimits, Bond, BuyAt, Curve, Definition, GroupBuyItem, GroupBuyLimits, Kind, Level, OrdersFrom, Referral,
    ReferralItem, ReserveStock, Rules, SkuOverride, Surface, Tier, Withdrawal,
};
use super::read::Record as _;
use super::read::described::{Field, answered};
use crate::clock::UnixMs;
use crate::id::CampaignId;
use crate::money::Fen;
use crate::referral::view::BondView;

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
    /// Room sizes and prices; empty where there are no rooms.
    pub tiers: Vec<Tier>,
    /// Units that must be left to open a room with one unit: one, or those of the whole smallest tier where a room reserves them; null where
    /// there are no rooms.
    #[schema(required = true, example = 1)]
    pub units_to_open: Option<i64>,
    /// Where the last step of a chain leads, of a bargain.
    #[schema(required = true)]
    pub floor_price_fen: Option<Fen>,
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
            solo_price_fen: item.solo_price_fen,
            leader_price_fen: item.leader_price_fen,
            tiers: item.tiers.clone(),
            units_to_open: Some(item.units_to_open()),
            ..Self::plain((&item.sku, &item.title), item.list_price_fen, item.stock, (stock_left, sold))
        }
    }

    /// A bargain's item and where its units are.
    #[must_use]
    pub fn of_bargain(item: &BargainItem, stock_left: i64, sold: i64) -> Self {
        Self {
            floor_price_fen: Some(item.floor_price_fen),
            ..Self::plain((&item.sku, &item.title), item.list_price_fen, item.stock, (stock_left, sold))
        }
    }

    /// A thing that a referral programme is about.
    #[must_use]
    pub fn of_referral(item: &ReferralItem, stock_left: i64, sold: i64) -> Self {
        Self::plain((&item.sku, &item.title), item.list_price_fen, item.stock, (stock_left, sold))
    }

    /// What items of every kind have.
    fn plain((sku, title): (&str, &str), list_price_fen: Fen, stock: i64, (stock_left, sold): (i64, i64)) -> Self {
        Self {
            sku: sku.to_owned(),
            title: title.to_owned(),
            list_price_fen,
            solo_price_fen: None,
            leader_price_fen: None,
            tiers: Vec::new(),
            units_to_open: None,
            floor_price_fen: None,
            stock,
            stock_left,
            sold,
        }
    }
}

/// Limits of one user or device, of the campaign's kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CampaignLimits {
    /// Of a group-buy.
    GroupBuy(GroupBuyLimits),
    /// Of a bargain.
    Bargain(BargainLimits),
    /// A referral programme has none.
    Referral(NoLimits),
}

/// In an answer every limit is there, so that an answer fits one kind only.
impl PartialSchema for CampaignLimits {
    fn schema() -> RefOr<Schema> {
        let of = |fields: Option<Vec<Field>>, about| answered(&fields.unwrap_or_default()).description(Some(about));
        let one = OneOfBuilder::new()
            .item(of(GroupBuyLimits::described(), "Of a group-buy."))
            .item(of(BargainLimits::described(), "Of a bargain."))
            .item(NoLimits::schema());
        one.description(Some("Limits of one user or device, of the campaign's kind.")).into()
    }
}

impl ToSchema for CampaignLimits {}

/// A referral programme has no limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NoLimits {}

/// What a referral programme gives, and how people are bound. Its budgets are the operator's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReferralView {
    /// What the inviter earns of an order, and the inviter's inviter if there is a second level.
    #[schema(min_items = 1, max_items = 2)]
    pub levels: Vec<Level>,
    /// The same of single SKUs.
    pub sku_overrides: Vec<SkuOverride>,
    /// The most that both take together, of the order's amount.
    #[schema(minimum = 0, maximum = 10_000, example = 3000)]
    pub cap_basis_points: i64,
    /// From fulfilment until a reward is available.
    #[schema(example = 604_800)]
    pub freeze_seconds: i64,
    /// How people are bound.
    pub bond: Bond,
    /// Which orders earn.
    pub orders_from: Vec<OrdersFrom>,
    /// How what was earned is taken out.
    pub withdrawal: Withdrawal,
    /// Whether nothing is left of the budget: until something comes back or it is raised, nobody is bound and no order earns.
    #[schema(example = false)]
    pub budget_exhausted: bool,
}

impl ReferralView {
    /// Of a programme that has granted this much.
    #[must_use]
    pub fn new(own: &Referral, granted: Fen) -> Self {
        Self {
            levels: own.levels.clone(),
            sku_overrides: own.sku_overrides.clone(),
            cap_basis_points: own.cap_basis_points,
            freeze_seconds: own.freeze_seconds,
            bond: own.bond.clone(),
            orders_from: own.orders_from.clone(),
            withdrawal: own.withdrawal.clone(),
            budget_exhausted: own.budget_fen.is_some_and(|most| granted >= most),
        }
    }
}

/// How the chains of a bargain go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BargainView {
    /// Steps from list price to floor price.
    #[schema(minimum = 1, maximum = 200, example = 12)]
    pub helpers: i64,
    /// How the steps are sized.
    pub curve: Curve,
    /// Steps that a newcomer's help takes at once.
    #[schema(minimum = 1, maximum = 200, example = 2)]
    pub newcomer_cuts: i64,
    /// Steps that the owner takes at the start.
    #[schema(minimum = 0, maximum = 200, example = 1)]
    pub self_cuts: i64,
    /// When the owner may buy.
    pub buy_at: BuyAt,
    /// When a unit is reserved.
    pub reserve_stock: ReserveStock,
    /// How long a chain may be cut.
    #[schema(example = 86400)]
    pub chain_ttl_seconds: i64,
    /// How long one may buy once the floor is reached.
    #[schema(example = 7200)]
    pub buy_ttl_seconds: i64,
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CampaignYou {
    /// Whether the caller never paid an order.
    pub newcomer: bool,
    /// Orders the caller may still place; null in a bargain.
    #[schema(required = true, example = 2)]
    pub orders_left: Option<i64>,
    /// Rooms the caller may still open; null in a bargain.
    #[schema(required = true, example = 1)]
    pub rooms_left: Option<i64>,
    /// Chains the caller may still start, in a bargain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 1)]
    pub chains_left: Option<i64>,
    /// Chains the caller may still help today, in a bargain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 3)]
    pub helps_left: Option<i64>,
    /// The caller's invite code, in a referral programme, once made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "K7M4Q2XR")]
    pub invite_code: Option<String>,
    /// Who invited the caller, in a referral programme.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub bond: Option<BondView>,
}

impl CampaignYou {
    /// Of somebody in a campaign without limits.
    #[must_use]
    pub const fn of(newcomer: bool) -> Self {
        Self { newcomer, orders_left: None, rooms_left: None, chains_left: None, helps_left: None, invite_code: None, bond: None }
    }
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
    pub limits: CampaignLimits,
    /// How long a room may fill; null where there are no rooms.
    #[schema(required = true, example = 86400)]
    pub room_ttl_seconds: Option<i64>,
    /// How long a seat waits for its payment.
    #[schema(example = 900)]
    pub payment_ttl_seconds: i64,
    /// At its deadline a room with this many paid members forms.
    #[schema(required = true)]
    pub accept_from: Option<i64>,
    /// Whether joiners, or those who are invited, must never have paid an order before.
    pub newcomers_only: bool,
    /// Rooms that are filling.
    #[schema(example = 12)]
    pub rooms_open: i64,
    /// Rooms that have formed.
    #[schema(example = 115)]
    pub rooms_formed: i64,
    /// How chains go; null but in a bargain.
    #[schema(required = true)]
    pub bargain: Option<BargainView>,
    /// What inviting earns; null but in a referral programme.
    #[serde(default)]
    #[schema(required = true)]
    pub referral: Option<ReferralView>,
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
    /// Rewards granted that have not gone back.
    pub granted: Fen,
}

impl CampaignView {
    /// The view of a published campaign.
    #[must_use]
    pub fn new(id: CampaignId, definition: &Definition, numbers: &CampaignNumbers) -> Self {
        let units = |sku: &str, stock: i64| numbers.stock.get(sku).copied().unwrap_or((stock, stock, 0));
        match &definition.rules {
            Rules::GroupBuy(own) => {
                let item_view = |item: &GroupBuyItem| {
                    let (stock, left, sold) = units(&item.sku, item.stock);
                    ItemView { stock, ..ItemView::new(item, left, sold) }
                };
                let items = own.items.iter().map(item_view).collect();
                let common = Self::common(id, definition, numbers, items, CampaignLimits::GroupBuy(own.limits.clone()));
                Self {
                    room_ttl_seconds: Some(own.room_ttl_seconds),
                    payment_ttl_seconds: own.payment_ttl_seconds,
                    accept_from: own.accept_from,
                    newcomers_only: own.newcomers_only,
                    ..common
                }
            }
            Rules::Bargain(own) => {
                let item_view = |item: &BargainItem| {
                    let (stock, left, sold) = units(&item.sku, item.stock);
                    ItemView { stock, ..ItemView::of_bargain(item, left, sold) }
                };
                let items = own.items.iter().map(item_view).collect();
                let common = Self::common(id, definition, numbers, items, CampaignLimits::Bargain(own.limits.clone()));
                let bargain = BargainView {
                    helpers: own.cuts.helpers,
                    curve: own.cuts.curve,
                    newcomer_cuts: own.cuts.newcomer_cuts,
                    self_cuts: own.cuts.self_cuts,
                    buy_at: own.buy_at,
                    reserve_stock: own.reserve_stock,
                    chain_ttl_seconds: own.chain_ttl_seconds,
                    buy_ttl_seconds: own.buy_ttl_seconds,
                };
                Self { payment_ttl_seconds: own.payment_ttl_seconds, bargain: Some(bargain), ..common }
            }
            Rules::Referral(own) => {
                let item_view = |item: &ReferralItem| {
                    let (stock, left, sold) = units(&item.sku, item.stock);
                    ItemView { stock, ..ItemView::of_referral(item, left, sold) }
                };
                let items = own.items.iter().map(item_view).collect();
                let common = Self::common(id, definition, numbers, items, CampaignLimits::Referral(NoLimits {}));
                Self { newcomers_only: own.bond.newcomers_only, referral: Some(ReferralView::new(own, numbers.granted)), ..common }
            }
        }
    }

    /// What does not depend on the kind.
    fn common(id: CampaignId, definition: &Definition, numbers: &CampaignNumbers, items: Vec<ItemView>, limits: CampaignLimits) -> Self {
        let head = &definition.head;
        Self {
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
            items,
            limits,
            room_ttl_seconds: None,
            payment_ttl_seconds: 0,
            accept_from: None,
            newcomers_only: false,
            rooms_open: numbers.rooms_open,
            rooms_formed: numbers.rooms_formed,
            bargain: None,
            referral: None,
            switches: numbers.switches,
            you: None,
        }
    }
}
