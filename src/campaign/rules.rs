//! The rules as the Lua programs read them: a published definition, compiled to what decisions need.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Compiled rules. Times in Unix ms, spans in ms, money in fen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Version of the definition.
    pub version: i64,
    /// Nothing begins before.
    pub starts_at: i64,
    /// Nothing begins after, and no room lives longer.
    pub ends_at: i64,
    /// Life of a room.
    pub room_ttl: i64,
    /// Life of an unpaid hold.
    pub payment_ttl: i64,
    /// Whether rooms are listed for strangers.
    pub list_rooms: bool,
    /// Paid members with whom a room forms at its deadline whatever its tiers ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept_from: Option<i64>,
    /// Whether only newcomers join rooms.
    #[serde(default)]
    pub newcomers_only: bool,
    /// Limits per shopper and device.
    pub limits: Limits,
    /// The most that may be given away, in fen; absent: no bound.
    #[serde(default)]
    pub loss_budget: Option<i64>,
    /// The least that an order gives away, in fen: when not even that is left of the budget, the campaign pauses.
    pub least_loss: i64,
    /// What is sold, by SKU.
    pub items: BTreeMap<String, Item>,
}

/// The rules of any kind, as its program reads them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Compiled {
    /// Of a group-buy.
    GroupBuy(Rules),
    /// Of a bargain.
    Bargain(BargainRules),
    /// Of a referral programme.
    Referral(ReferralRules),
}

/// Compiled rules of a bargain, likewise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BargainRules {
    /// Version of the definition.
    pub version: i64,
    /// Nothing begins before.
    pub starts_at: i64,
    /// Nothing begins after, and no chain may be cut for longer.
    pub ends_at: i64,
    /// How long a chain may be cut.
    pub chain_ttl: i64,
    /// How long one may buy once the floor is reached.
    pub buy_ttl: i64,
    /// Life of an unpaid hold.
    pub payment_ttl: i64,
    /// Whether one buys at the floor price only.
    pub floor_only: bool,
    /// Whether a unit is kept for a chain from its start on.
    pub reserve_at_start: bool,
    /// Steps of a schedule.
    pub helpers: i64,
    /// Steps that a newcomer's help takes at once.
    pub newcomer_cuts: i64,
    /// Steps that the owner takes at the start.
    pub self_cuts: i64,
    /// Limits per shopper and device.
    pub limits: BargainLimits,
    /// What is sold, by SKU.
    pub items: BTreeMap<String, BargainItem>,
}

/// Compiled rules of a referral programme, likewise. Rates are not among them: what an order earns is decided where it is placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferralRules {
    /// Version of the definition.
    pub version: i64,
    /// Nobody is bound before.
    pub starts_at: i64,
    /// Nobody is bound after.
    pub ends_at: i64,
    /// Whether only newcomers are bound.
    pub newcomers_only: bool,
    /// Whether the first touch binds; else the last one.
    pub first_touch: bool,
    /// Life of a bond; absent: no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_after: Option<i64>,
    /// How long a bond is safe from a later touch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected: Option<i64>,
    /// The most that all rewards may come to, in fen; absent: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<i64>,
    /// The most that those of one day (UTC+8) may come to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily_budget: Option<i64>,
    /// What the programme is about: list prices by SKU, in fen.
    pub items: BTreeMap<String, i64>,
}

/// Limits per shopper and device of a bargain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BargainLimits {
    /// Chains started.
    pub chains_per_user: i64,
    /// Helps on one day of UTC+8.
    pub helps_per_day: i64,
    /// Helps in all.
    pub helps_per_campaign: i64,
    /// Shoppers seen on one device.
    pub users_per_device: i64,
}

/// One SKU of a bargain, in fen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BargainItem {
    /// Where a chain starts.
    pub start: i64,
    /// Where its last step leads.
    pub floor: i64,
}

/// Limits per shopper and device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Units in one order.
    pub quantity_per_order: i64,
    /// Orders that were not given up or refunded.
    pub orders_per_user: i64,
    /// Rooms opened, likewise.
    pub rooms_opened_per_user: i64,
    /// Rooms joined, likewise.
    pub rooms_joined_per_user: i64,
    /// Holds not yet paid.
    pub unpaid_per_user: i64,
    /// Shoppers seen on one device.
    pub users_per_device: i64,
}

/// One SKU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The price without the campaign, in fen.
    pub list: i64,
    /// Sizes rising, prices falling.
    pub tiers: Vec<Tier>,
    /// Price of one unit for whoever opens a room, in fen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader_price: Option<i64>,
    /// Price of one unit bought alone, in fen; nobody buys alone without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub solo_price: Option<i64>,
    /// Whether opening a room keeps a unit for each seat of the smallest tier.
    #[serde(default)]
    pub reserve_room: bool,
}

/// A room size and its price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    /// Seats.
    pub size: i64,
    /// Price of one unit in fen.
    pub price: i64,
}
