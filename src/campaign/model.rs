//! The definition of a campaign: what an operator writes down, as types.
//!
//! [`Definition::read`] refuses what can never be valid and names every fault at once. What is valid but not wise, or against the
//! surface's rules, is the business of [`check`](super::check). A definition writes back the same JSON with its defaults filled in.

mod bargain;
mod group_buy;
mod referral;
mod schema;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

pub use self::bargain::{Bargain, BargainItem, BargainLimits, BuyAt, Curve, Cuts, ReserveStock};
pub use self::group_buy::{GroupBuy, GroupBuyItem, GroupBuyLimits, Reserve, Tier};
pub use self::referral::{Bond, Level, OrdersFrom, Referral, ReferralItem, SkuOverride, Touch, Withdrawal, has_second_level};
pub use self::schema::{DefinitionPatch, WholeDefinition};
use super::read::{Fault, Reader, Record, line, maybe, own, records, text, time, word, words};
use crate::clock::UnixMs;
use crate::money::Fen;

/// The longest title, in characters.
pub const MAX_TITLE: usize = 120;
/// The longest rules text, in characters.
pub const MAX_RULES_TEXT: usize = 20_000;
/// The largest stock of one item.
pub const MAX_STOCK: i64 = 1_000_000_000;
/// The most items of one campaign: its hot state is loaded whole.
pub const MAX_ITEMS: usize = 100;
/// The most bytes of `metadata`, as JSON.
const MAX_METADATA: usize = 16_384;

words! {
    /// The three kinds of campaign.
    Kind {
        /// Rooms that fill (拼团).
        GroupBuy "group_buy",
        /// Chains of cuts (砍价).
        Bargain "bargain",
        /// Two-level rewards (分销).
        Referral "referral",
    }
}

words! {
    /// Where the campaign is shown; the compliance rules follow from it.
    Surface {
        /// Inside a WeChat mini-program.
        MiniProgram "mini_program",
        /// A web page.
        Web "web",
    }
}

records! {
    /// What every kind has.
    Head => start_before_end {
        /// 1 to 120 characters.
        title: String => line(MAX_TITLE),
        /// Where it is shown.
        surface: Surface => word(),
        /// From when it runs; in the past means from publishing on.
        #[serde(with = "crate::clock::rfc3339")]
        starts_at: UnixMs => time(),
        /// Until when it runs; after `starts_at`.
        #[serde(with = "crate::clock::rfc3339")]
        ends_at: UnixMs => time(),
        /// The full rules as shoppers read them, 1 to 20,000 characters.
        rules_text: String => text(MAX_RULES_TEXT),
        /// The title of a shared link; absent: the title.
        share_title: Option<String> = None => maybe(line(MAX_TITLE)),
        /// The operator's own notes, never shown to shoppers; at most 16 KiB.
        metadata: Map<String, Value> = Map::new() => own(metadata, any_object),
    }
}

/// What one kind adds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Rules {
    /// Rooms.
    GroupBuy(GroupBuy),
    /// Chains.
    Bargain(Bargain),
    /// Rewards.
    Referral(Referral),
}

/// A whole definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// The kind's own fields, in JSON beside the others.
    #[serde(flatten)]
    pub rules: Rules,
    /// The fields of every kind.
    #[serde(flatten)]
    pub head: Head,
}

/// What an item is, whatever the campaign's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemFacts<'d> {
    /// Its stock-keeping unit.
    pub sku: &'d str,
    /// Its name.
    pub title: &'d str,
    /// Its price without the campaign.
    pub list_price_fen: Fen,
    /// The lowest price a unit can go for.
    pub lowest_price_fen: Fen,
    /// What a unit costs the operator, if told.
    pub cost_price_fen: Option<Fen>,
    /// Units put in.
    pub stock: i64,
    /// Members of the smallest room; 1 where there are no rooms.
    pub smallest_size: i64,
}

impl Definition {
    /// Reads a definition from JSON.
    ///
    /// # Errors
    /// Every fault with its place, for a 422 `invalid_request`.
    pub fn read(value: &Value) -> Result<Self, Vec<Fault>> {
        Reader::read(value, |reader, value| {
            let object = reader.object(value)?;
            match reader.required(object, "kind", &word()) {
                Some(Kind::GroupBuy) => Self::read_kind(reader, object, Rules::GroupBuy),
                Some(Kind::Bargain) => Self::read_kind(reader, object, Rules::Bargain),
                Some(Kind::Referral) => Self::read_kind(reader, object, Rules::Referral),
                None => {
                    // Without a kind only the common fields can be judged.
                    Head::fields(reader, object);
                    None
                }
            }
        })
    }

    fn read_kind<R: Record>(reader: &mut Reader, object: &Map<String, Value>, rules: fn(R) -> Rules) -> Option<Self> {
        reader.refuse_unknown(object, &[&["kind"], Head::FIELDS, R::FIELDS]);
        let head = Head::fields(reader, object);
        let own = R::fields(reader, object).map(rules);
        Some(Self { rules: own?, head: head? })
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self.rules {
            Rules::GroupBuy(_) => Kind::GroupBuy,
            Rules::Bargain(_) => Kind::Bargain,
            Rules::Referral(_) => Kind::Referral,
        }
    }

    /// The group-buy's own rules, if it is one.
    #[must_use]
    pub const fn group_buy(&self) -> Option<&GroupBuy> {
        match &self.rules {
            Rules::GroupBuy(group_buy) => Some(group_buy),
            Rules::Bargain(_) | Rules::Referral(_) => None,
        }
    }

    /// The bargain's own rules, if it is one.
    #[must_use]
    pub const fn bargain(&self) -> Option<&Bargain> {
        match &self.rules {
            Rules::Bargain(bargain) => Some(bargain),
            Rules::GroupBuy(_) | Rules::Referral(_) => None,
        }
    }

    /// The referral programme's own rules, if it is one.
    #[must_use]
    pub const fn referral(&self) -> Option<&Referral> {
        match &self.rules {
            Rules::Referral(referral) => Some(referral),
            Rules::GroupBuy(_) | Rules::Bargain(_) => None,
        }
    }

    /// Its items, as far as every kind has them.
    #[must_use]
    pub fn items(&self) -> Vec<ItemFacts<'_>> {
        match &self.rules {
            Rules::GroupBuy(own) => own.items.iter().map(GroupBuyItem::facts).collect(),
            Rules::Bargain(own) => own.items.iter().map(BargainItem::facts).collect(),
            Rules::Referral(own) => own.items.iter().map(ReferralItem::facts).collect(),
        }
    }

    /// The title a shared link carries.
    #[must_use]
    pub fn share_title(&self) -> &str {
        self.head.share_title.as_deref().unwrap_or(&self.head.title)
    }
}

fn start_before_end(head: &Head, reader: &mut Reader) {
    if head.starts_at >= head.ends_at {
        reader.fault_at("ends_at", "must be after starts_at");
    }
}

fn any_object() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::Object).into()
}

fn metadata(reader: &mut Reader, value: &Value) -> Option<Map<String, Value>> {
    let object = reader.object(value)?;
    if value.to_string().len() > MAX_METADATA {
        return reader.fault(format!("must be at most {MAX_METADATA} bytes of JSON"));
    }
    Some(object.clone())
}

/// Notes each sku that an earlier entry of `list` has already.
fn unique_skus<'s>(skus: impl Iterator<Item = &'s str>, list: &str, reader: &mut Reader) {
    let mut seen = std::collections::HashSet::new();
    for (i, sku) in skus.enumerate() {
        if !seen.insert(sku) {
            reader.fault_at(&format!("{list}[{i}].sku"), "is already in the list");
        }
    }
}

#[cfg(test)]
pub(in crate::campaign) mod tests;
