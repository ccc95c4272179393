//! The rules of a referral programme. A third level cannot be written down.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{OneOfBuilder, Schema};

use super::super::read::described::{Field, sent};
use super::super::read::forms::MAX_SPAN_SECONDS;
use super::super::read::{Reader, defaults, fen, flag, line, list, maybe, own, record, records, sku, span, whole, word, words};
use super::{ItemFacts, MAX_ITEMS, MAX_STOCK, MAX_TITLE, unique_skus};
use crate::money::Fen;

/// The most SKUs with rates of their own.
const MAX_OVERRIDES: usize = 1_000;
/// All of an amount, in basis points.
const WHOLE: i64 = 10_000;

/// What one level earns of an order: a share of its amount, rounded down, or a fixed sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Level {
    /// A share of the order's amount.
    Share {
        /// 0 to 10,000 (all of it).
        basis_points: i64,
    },
    /// A fixed sum.
    Fixed {
        /// The sum.
        fixed_fen: Fen,
    },
}

words! {
    /// Which touch binds.
    Touch {
        /// The first inviter.
        First "first",
        /// The last inviter, outside a protected time.
        Last "last",
    }
}

words! {
    /// Where orders that earn come from.
    OrdersFrom {
        /// Reported by the shop.
        Outside "outside",
        /// Placed in campaigns here.
        Campaigns "campaigns",
    }
}

records! {
    /// A thing the programme is about; may be left out.
    ReferralItem {
        /// The stock-keeping unit, unique in the campaign.
        sku: String => sku(),
        /// Its name.
        title: String => line(MAX_TITLE),
        /// Its price.
        list_price_fen: Fen => fen(),
        /// What a unit costs the operator; never shown to shoppers.
        cost_price_fen: Option<Fen> = None => maybe(fen()),
        /// Units, if counted.
        stock: i64 = 0 => whole(0, MAX_STOCK),
    }

    /// Rates of one SKU instead of the general ones.
    SkuOverride => override_shares {
        /// The stock-keeping unit.
        sku: String => sku(),
        /// Its levels.
        levels: Vec<Level> => list(1, 2, own(level, level_schema)),
    }

    /// How an inviter and an invited person are bound.
    Bond {
        /// Only people without an earlier order can be bound.
        newcomers_only: bool = false => flag(),
        /// How long a bond lasts; absent: for ever.
        expires_after_seconds: Option<i64> = None => maybe(span()),
        /// Which touch binds.
        touch: Touch = Touch::First => word(),
        /// How long a bond is safe from a later touch.
        protected_seconds: Option<i64> = None => maybe(span()),
    }

    /// How earned money is taken out.
    Withdrawal => withdrawal_range {
        /// The least of one withdrawal.
        min_fen: Fen = Fen::new(100) => fen(),
        /// The most of one withdrawal.
        max_fen: Fen = Fen::new(20_000) => fen(),
        /// Withdrawals a day (UTC+8).
        per_day: i64 = 3 => whole(1, 1_000),
        /// Up to this sum nobody needs to approve.
        auto_approve_max_fen: Fen = Fen::new(5_000) => fen(),
    }

    /// What a referral programme adds to the common fields.
    Referral => whole_referral {
        /// What it is about; may be empty.
        items: Vec<ReferralItem> = Vec::new() => list(0, MAX_ITEMS, record()),
        /// One or two levels; the second is off unless written down.
        levels: Vec<Level> => list(1, 2, own(level, level_schema)),
        /// The operator has read the rules on a second level (WeChat §5.9).
        acknowledge_level_two: bool = false => flag(),
        /// Rates of single SKUs.
        sku_overrides: Vec<SkuOverride> = Vec::new() => list(0, MAX_OVERRIDES, record()),
        /// The most all levels together may take of an order.
        cap_basis_points: i64 = 3_000 => whole(0, WHOLE),
        /// From fulfilment until a reward is available.
        freeze_seconds: i64 = 604_800 => whole(0, MAX_SPAN_SECONDS),
        /// All rewards of the campaign; absent: no bound.
        budget_fen: Option<Fen> = None => maybe(fen()),
        /// Rewards of one day (UTC+8); absent: no bound.
        daily_budget_fen: Option<Fen> = None => maybe(fen()),
        /// How people are bound.
        bond: Bond = defaults()? => record(),
        /// Where orders that earn come from.
        orders_from: Vec<OrdersFrom> = vec![OrdersFrom::Outside, OrdersFrom::Campaigns] => list(1, 2, word()),
        /// How earned money is taken out.
        withdrawal: Withdrawal = defaults()? => record(),
    }
}

impl ReferralItem {
    pub(super) fn facts(&self) -> ItemFacts<'_> {
        ItemFacts {
            sku: &self.sku,
            title: &self.title,
            list_price_fen: self.list_price_fen,
            lowest_price_fen: self.list_price_fen,
            cost_price_fen: self.cost_price_fen,
            stock: self.stock,
            smallest_size: 1,
        }
    }
}

impl utoipa::PartialSchema for Level {
    fn schema() -> RefOr<Schema> {
        level_schema()
    }
}

impl utoipa::ToSchema for Level {}

fn level_schema() -> RefOr<Schema> {
    let share = Field::of("basis_points", "A share of the order's amount, rounded down.", &whole(0, WHOLE), None);
    let fixed = Field::of("fixed_fen", "A fixed sum.", &fen(), None);
    OneOfBuilder::new().item(sent(&[share])).item(sent(&[fixed])).into()
}

fn level(reader: &mut Reader, value: &Value) -> Option<Level> {
    let object = reader.object(value)?;
    reader.refuse_unknown(object, &[&["basis_points", "fixed_fen"]]);
    let share = reader.or_default(object, "basis_points", None, &maybe(whole(0, WHOLE)))?;
    let fixed = reader.or_default(object, "fixed_fen", None, &maybe(fen()))?;
    match (share, fixed) {
        (Some(basis_points), None) => Some(Level::Share { basis_points }),
        (None, Some(fixed_fen)) => Some(Level::Fixed { fixed_fen }),
        (Some(_), Some(_)) | (None, None) => reader.fault("must have either basis_points or fixed_fen"),
    }
}

impl Referral {
    /// Whether a second level earns by anything.
    #[must_use]
    pub fn has_second_level(&self) -> bool {
        has_second_level(&self.levels, &self.sku_overrides)
    }
}

/// The same of what a definition or its view says.
#[must_use]
pub fn has_second_level(general: &[Level], overrides: &[SkuOverride]) -> bool {
    general.len() > 1 || overrides.iter().any(|entry| entry.levels.len() > 1)
}

fn shares_fit(levels: &[Level], reader: &mut Reader) {
    let sum: i64 = levels
        .iter()
        .map(|level| match level {
            Level::Share { basis_points } => *basis_points,
            Level::Fixed { .. } => 0,
        })
        .sum();
    if sum > WHOLE {
        reader.fault_at("levels", "must not give away more than the order's amount");
    }
}

fn override_shares(own: &SkuOverride, reader: &mut Reader) {
    shares_fit(&own.levels, reader);
}

fn withdrawal_range(own: &Withdrawal, reader: &mut Reader) {
    if own.min_fen > own.max_fen {
        reader.fault_at("max_fen", "must not be less than min_fen");
    }
}

fn whole_referral(own: &Referral, reader: &mut Reader) {
    shares_fit(&own.levels, reader);
    unique_skus(own.items.iter().map(|item| item.sku.as_str()), "items", reader);
    unique_skus(own.sku_overrides.iter().map(|entry| entry.sku.as_str()), "sku_overrides", reader);
    if let [first, second] = own.orders_from.as_slice()
        && first == second
    {
        reader.fault_at("orders_from[1]", "is already in the list");
    }
}
