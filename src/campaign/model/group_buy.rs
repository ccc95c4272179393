//! The rules of a group-buy.

use super::super::read::{Reader, defaults, fen, flag, line, list, maybe, record, records, sku, span, whole, word, words};
use super::{ItemFacts, MAX_ITEMS, MAX_STOCK, MAX_TITLE, unique_skus};
use crate::money::{Fen, MAX_FEN};

/// The most sizes one ladder may have.
const MAX_TIERS: usize = 10;
/// The most units one order may ask for.
const MAX_QUANTITY: i64 = 10_000;
/// The most any limit per user or device may allow: as good as none.
const MAX_LIMIT: i64 = 1_000_000;

words! {
    /// What opening a room reserves.
    Reserve {
        /// The leader's own units.
        Seat "seat",
        /// The units of the whole smallest tier.
        Room "room",
    }
}

records! {
    /// A room size and the price every member pays at it.
    Tier {
        /// Members, 2 to 200.
        size: i64 => whole(2, 200),
        /// The price of one unit.
        price_fen: Fen => fen(),
    }

    /// One thing on sale.
    GroupBuyItem => prices_fit {
        /// The stock-keeping unit, unique in the campaign.
        sku: String => sku(),
        /// Its name.
        title: String => line(MAX_TITLE),
        /// The price without the campaign, which the page compares with.
        list_price_fen: Fen => fen(),
        /// What a unit costs the operator; never shown to shoppers.
        cost_price_fen: Option<Fen> = None => maybe(fen()),
        /// The price of buying alone; absent: not offered.
        solo_price_fen: Option<Fen> = None => maybe(fen()),
        /// Units of this campaign, apart from the shop's stock.
        stock: i64 => whole(0, MAX_STOCK),
        /// What opening a room reserves.
        reserve: Reserve = Reserve::Seat => word(),
        /// Sizes strictly rising, prices strictly falling.
        tiers: Vec<Tier> => list(1, MAX_TIERS, record()),
        /// The price the leader pays instead of the first tier's.
        leader_price_fen: Option<Fen> = None => maybe(fen()),
    }

    /// Limits of one user or device in the campaign.
    GroupBuyLimits {
        /// Units in one order.
        quantity_per_order: i64 = 1 => whole(1, MAX_QUANTITY),
        /// Orders that are not released.
        orders_per_user: i64 = 2 => whole(1, MAX_LIMIT),
        /// Rooms one may open.
        rooms_opened_per_user: i64 = 1 => whole(1, MAX_LIMIT),
        /// Rooms of others one may join.
        rooms_joined_per_user: i64 = 2 => whole(1, MAX_LIMIT),
        /// Seats held without payment at one time.
        unpaid_per_user: i64 = 1 => whole(1, MAX_LIMIT),
        /// Users on one device.
        users_per_device: i64 = 2 => whole(1, MAX_LIMIT),
    }

    /// What a group-buy adds to the common fields.
    GroupBuy => whole_group_buy {
        /// What is on sale.
        items: Vec<GroupBuyItem> => list(1, MAX_ITEMS, record()),
        /// How long a room may fill, never past the campaign's end.
        room_ttl_seconds: i64 = 86_400 => span(),
        /// How long a seat waits for its payment.
        payment_ttl_seconds: i64 = 900 => span(),
        /// At its deadline a room with this many paid members forms.
        accept_from: Option<i64> = None => maybe(whole(1, 200)),
        /// Whether joiners must never have paid an order before.
        newcomers_only: bool = false => flag(),
        /// Whether open rooms are listed for strangers to join.
        list_rooms: bool = true => flag(),
        /// The loss at which the campaign pauses by itself.
        loss_budget_fen: Option<Fen> = None => maybe(fen()),
        /// Limits of one user or device.
        limits: GroupBuyLimits = defaults()? => record(),
    }
}

impl GroupBuy {
    /// The least that an order gives away while nothing is sure of its price: one unit of the item that is cut least.
    #[must_use]
    pub fn least_loss(&self) -> Fen {
        self.items.iter().map(GroupBuyItem::least_loss).min().unwrap_or_default()
    }
}

impl GroupBuyItem {
    /// One unit at its dearest: alone, or in a room, which counts at the price of its largest size.
    fn least_loss(&self) -> Fen {
        let in_a_room = self.tiers.last().map(|tier| tier.price_fen);
        let dearest = in_a_room.max(self.solo_price_fen).unwrap_or_default();
        self.list_price_fen.checked_sub(dearest).unwrap_or_default().max(Fen::ZERO)
    }

    pub(super) fn facts(&self) -> ItemFacts<'_> {
        ItemFacts {
            sku: &self.sku,
            title: &self.title,
            list_price_fen: self.list_price_fen,
            lowest_price_fen: self.prices().min().unwrap_or(self.list_price_fen),
            cost_price_fen: self.cost_price_fen,
            stock: self.stock,
            smallest_size: self.tiers.first().map_or(1, |tier| tier.size),
        }
    }

    /// Units that must be left to open a room with one unit.
    #[must_use]
    pub fn units_to_open(&self) -> i64 {
        match self.reserve {
            Reserve::Seat => 1,
            Reserve::Room => self.tiers.first().map_or(1, |tier| tier.size),
        }
    }

    /// Every price a unit of it can go for.
    pub fn prices(&self) -> impl Iterator<Item = Fen> {
        self.tiers.iter().map(|tier| tier.price_fen).chain(self.leader_price_fen).chain(self.solo_price_fen)
    }
}

fn prices_fit(item: &GroupBuyItem, reader: &mut Reader) {
    if item.leader_price_fen > item.tiers.first().map(|tier| tier.price_fen) {
        // What is paid above the price reached goes back, so it could never be had.
        reader.fault_at("leader_price_fen", "must not be higher than the first tier's price");
    }
    for (i, (lower, upper)) in item.tiers.iter().zip(item.tiers.iter().skip(1)).enumerate() {
        if upper.size <= lower.size {
            reader.fault_at(&format!("tiers[{}].size", i + 1), "must be larger than the size before");
        }
        if upper.price_fen >= lower.price_fen {
            reader.fault_at(&format!("tiers[{}].price_fen", i + 1), "must be lower than the price before");
        }
    }
}

fn whole_group_buy(own: &GroupBuy, reader: &mut Reader) {
    unique_skus(own.items.iter().map(|item| item.sku.as_str()), "items", reader);
    let dearest = own.items.iter().flat_map(GroupBuyItem::prices).max().unwrap_or(Fen::ZERO);
    if dearest.checked_mul(own.limits.quantity_per_order).is_none_or(|sum| sum.get() > MAX_FEN) {
        reader.fault_at("limits.quantity_per_order", format!("an order could pass {MAX_FEN} fen"));
    }
    let largest = own.items.iter().flat_map(|item| &item.tiers).map(|tier| tier.size).max().unwrap_or(0);
    if own.accept_from.is_some_and(|from| from > largest) {
        reader.fault_at("accept_from", "must not be larger than the largest room");
    }
}
