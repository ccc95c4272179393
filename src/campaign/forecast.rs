//! What a definition may cost and bring, computed before anybody sees it.
//!
//! Everything is the worst case: all stock sold, every unit at the lowest price it can go for (a bargain: at the floor), the smallest rooms,
//! one unit a seat; a referral programme pays its whole budget. A loss budget bounds what is given away. Sums past 63 bits stay at the
//! largest number.

use serde::{Deserialize, Serialize};

use super::model::{Definition, ItemFacts, Level, Referral, Rules};
use crate::money::Fen;

/// What one item may cost and bring at worst.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ItemForecast {
    /// The item.
    pub sku: String,
    /// Units that can be sold.
    pub units: i64,
    /// The lowest price a unit can go for.
    pub lowest_price_fen: Fen,
    /// List price less the lowest price.
    pub discount_per_unit_fen: Fen,
    /// That for all units.
    pub worst_case_discount_fen: Fen,
    /// What all units bring at the lowest price.
    pub revenue_fen: Fen,
    /// Rooms of the smallest size that stock can fill with one unit a seat; null where there are no rooms.
    #[schema(required = true)]
    pub rooms_possible: Option<i64>,
    /// Units that are left when these rooms are full; null where there are no rooms.
    #[schema(required = true)]
    pub units_left_over: Option<i64>,
    /// The lowest price less what a unit costs, below zero at a loss; null when the cost is not told.
    #[schema(required = true)]
    pub margin_per_unit_fen: Option<Fen>,
    /// That for all units.
    #[schema(required = true)]
    pub margin_fen: Option<Fen>,
}

/// What a campaign may cost and bring at worst.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Forecast {
    /// Units over all items.
    pub units: i64,
    /// Discounts over all items, at most the loss budget; the reward budget of a referral programme. Null: nothing bounds it.
    #[schema(required = true)]
    pub worst_case_discount_fen: Option<Fen>,
    /// The most of an order's amount that a referral programme pays for it; null for other kinds.
    #[serde(default)]
    #[schema(required = true, example = 1300)]
    pub worst_case_reward_basis_points: Option<i64>,
    /// What all items bring at their lowest prices.
    pub revenue_fen: Fen,
    /// The margins of all items; null unless every item tells what it costs.
    #[schema(required = true)]
    pub margin_fen: Option<Fen>,
    /// Item by item.
    pub items: Vec<ItemForecast>,
}

/// The forecast of a definition.
#[must_use]
pub fn forecast(definition: &Definition) -> Forecast {
    let rooms = definition.group_buy().is_some();
    let items: Vec<ItemForecast> = definition.items().iter().map(|item| of_item(item, rooms)).collect();
    let discount = sum(items.iter().map(|item| item.worst_case_discount_fen));
    let margins: Option<Vec<Fen>> = items.iter().map(|item| item.margin_fen).collect();
    let worst = match &definition.rules {
        Rules::GroupBuy(own) => Some(own.loss_budget_fen.map_or(discount, |budget| budget.min(discount))),
        Rules::Bargain(_) => Some(discount),
        Rules::Referral(own) => own.budget_fen,
    };
    Forecast {
        units: items.iter().fold(0, |sum, item| sum.saturating_add(item.units)),
        worst_case_discount_fen: worst,
        worst_case_reward_basis_points: definition.referral().map(worst_rate),
        revenue_fen: sum(items.iter().map(|item| item.revenue_fen)),
        margin_fen: margins.filter(|margins| !margins.is_empty()).map(|margins| sum(margins.into_iter())),
        items,
    }
}

/// What levels give in basis points; fixed sums not counted.
#[must_use]
pub(super) fn shares(levels: &[Level]) -> i64 {
    let share = |level: &Level| match level {
        Level::Share { basis_points } => *basis_points,
        Level::Fixed { .. } => 0,
    };
    levels.iter().map(share).sum()
}

/// The cap, unless no order can reach it.
fn worst_rate(own: &Referral) -> i64 {
    let all = || std::iter::once(&own.levels).chain(own.sku_overrides.iter().map(|entry| &entry.levels));
    // Of a small order a fixed sum takes whatever the cap allows.
    let fixed = all().flatten().any(|level| matches!(level, Level::Fixed { fixed_fen } if *fixed_fen > Fen::ZERO));
    let most = all().map(|levels| shares(levels)).max().unwrap_or_default();
    if fixed { own.cap_basis_points } else { most.min(own.cap_basis_points) }
}

fn sum(parts: impl Iterator<Item = Fen>) -> Fen {
    Fen::new(parts.fold(0_i64, |sum, part| sum.saturating_add(part.get())))
}

fn times(fen: Fen, units: i64) -> Fen {
    Fen::new(fen.get().saturating_mul(units))
}

fn of_item(item: &ItemFacts<'_>, rooms: bool) -> ItemForecast {
    // A price above the list price is no gain to set against the others: the worst case of that item is nothing.
    let discount = item.list_price_fen.checked_sub(item.lowest_price_fen).unwrap_or_default().max(Fen::ZERO);
    let margin = item.cost_price_fen.and_then(|cost| item.lowest_price_fen.checked_sub(cost));
    ItemForecast {
        sku: item.sku.to_owned(),
        units: item.stock,
        lowest_price_fen: item.lowest_price_fen,
        discount_per_unit_fen: discount,
        worst_case_discount_fen: times(discount, item.stock),
        revenue_fen: times(item.lowest_price_fen, item.stock),
        rooms_possible: item.stock.checked_div(item.smallest_size).filter(|_| rooms),
        units_left_over: item.stock.checked_rem(item.smallest_size).filter(|_| rooms),
        margin_per_unit_fen: margin,
        margin_fen: margin.map(|margin| times(margin, item.stock)),
    }
}
