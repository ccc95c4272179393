//! The rules of a bargain.

use super::super::read::{Reader, defaults, fen, line, list, maybe, record, records, sku, span, whole, word, words};
use super::{ItemFacts, MAX_ITEMS, MAX_STOCK, MAX_TITLE, unique_skus};
use crate::money::Fen;

/// The most any limit per user or device may allow: as good as none.
const MAX_LIMIT: i64 = 1_000_000;

words! {
    /// How the steps from list price to floor price are sized.
    Curve {
        /// All alike, to the fen.
        Even "even",
        /// Larger ones first.
        FrontLoaded "front_loaded",
        /// Drawn from a seed that is committed to at the start; refused in mini-programs.
        Random "random",
    }
}

words! {
    /// When the owner may buy.
    BuyAt {
        /// At any price on the way.
        AnyPrice "any_price",
        /// Only at the floor price.
        FloorPrice "floor_price",
    }
}

words! {
    /// When a unit is reserved.
    ReserveStock {
        /// When the chain starts.
        AtStart "at_start",
        /// When the owner orders.
        AtOrder "at_order",
    }
}

records! {
    /// One thing on sale; a chain starts at its list price.
    BargainItem {
        /// The stock-keeping unit, unique in the campaign.
        sku: String => sku(),
        /// Its name.
        title: String => line(MAX_TITLE),
        /// The price a chain starts at.
        list_price_fen: Fen => fen(),
        /// The price after all cuts.
        floor_price_fen: Fen => fen(),
        /// What a unit costs the operator; never shown to shoppers.
        cost_price_fen: Option<Fen> = None => maybe(fen()),
        /// Units of this campaign.
        stock: i64 => whole(0, MAX_STOCK),
    }

    /// The schedule of cuts.
    Cuts => cuts_fit {
        /// Steps from list to floor, 1 to 200.
        helpers: i64 => whole(1, 200),
        /// How the steps are sized.
        curve: Curve = Curve::Even => word(),
        /// Steps a newcomer's help takes at once.
        newcomer_cuts: i64 = 1 => whole(1, 200),
        /// Steps the owner takes at the start.
        self_cuts: i64 = 0 => whole(0, 200),
    }

    /// Limits of one user or device in the campaign.
    BargainLimits {
        /// Chains one may start.
        chains_per_user: i64 = 1 => whole(1, MAX_LIMIT),
        /// Helps a day (UTC+8).
        helps_per_day: i64 = 3 => whole(1, MAX_LIMIT),
        /// Helps in all.
        helps_per_campaign: i64 = 10 => whole(1, MAX_LIMIT),
        /// Users on one device.
        users_per_device: i64 = 2 => whole(1, MAX_LIMIT),
    }

    /// What a bargain adds to the common fields.
    Bargain => whole_bargain {
        /// What is on sale.
        items: Vec<BargainItem> => list(1, MAX_ITEMS, record()),
        /// The schedule of cuts.
        cuts: Cuts => record(),
        /// When the owner may buy.
        buy_at: BuyAt = BuyAt::AnyPrice => word(),
        /// When a unit is reserved.
        reserve_stock: ReserveStock = ReserveStock::AtOrder => word(),
        /// How long a chain may be cut.
        chain_ttl_seconds: i64 = 86_400 => span(),
        /// How long one may buy after the floor is reached.
        buy_ttl_seconds: i64 = 7_200 => span(),
        /// How long an order waits for its payment.
        payment_ttl_seconds: i64 = 900 => span(),
        /// Limits of one user or device.
        limits: BargainLimits = defaults()? => record(),
    }
}

impl BargainItem {
    pub(super) fn facts(&self) -> ItemFacts<'_> {
        ItemFacts {
            sku: &self.sku,
            title: &self.title,
            list_price_fen: self.list_price_fen,
            lowest_price_fen: self.floor_price_fen,
            cost_price_fen: self.cost_price_fen,
            stock: self.stock,
            smallest_size: 1,
        }
    }
}

fn cuts_fit(cuts: &Cuts, reader: &mut Reader) {
    if cuts.newcomer_cuts > cuts.helpers {
        reader.fault_at("newcomer_cuts", "must not be more than helpers");
    }
    if cuts.self_cuts > cuts.helpers {
        reader.fault_at("self_cuts", "must not be more than helpers");
    }
}

fn whole_bargain(own: &Bargain, reader: &mut Reader) {
    unique_skus(own.items.iter().map(|item| item.sku.as_str()), "items", reader);
    for (i, item) in own.items.iter().enumerate() {
        let way = item.list_price_fen.checked_sub(item.floor_price_fen).map_or(0, Fen::get);
        if way < own.cuts.helpers {
            reader.fault_at(&format!("items[{i}].floor_price_fen"), "every helper must cut at least one fen: list - floor >= helpers");
        }
    }
}
