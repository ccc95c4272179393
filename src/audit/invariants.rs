//! The promises that can be counted on a campaign's state, numbered as in ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};

use super::{Check, fold::Fold};
use crate::bargain::audit::wrongs as chain_wrongs;
use crate::bargain::row::{ChainRow, ScheduleRow};
use crate::campaign::ops::{StatusRow, StockRow};
use crate::campaign::rules::Rules;
use crate::group_buy::row::{RoomRow, State as RoomState};
use crate::order::row::{OrderRow, State as OrderState};

/// Counts invariants 1 to 4.
#[must_use]
pub fn all(fold: &Fold) -> Vec<Check> {
    let orders: BTreeMap<String, OrderRow> = fold.rows("orders").collect();
    let rooms: BTreeMap<String, RoomRow> = fold.rows("rooms").collect();
    let stock: BTreeMap<String, StockRow> = fold.rows("stock").collect();
    let chains: BTreeMap<String, ChainRow> = fold.rows("chains").collect();
    let schedules: BTreeMap<String, ScheduleRow> = fold.rows("schedules").collect();
    let kept = |sku: &str| {
        let rooms = rooms.values().filter(|room| room.sku == sku).map(RoomRow::kept);
        rooms.chain(chains.values().filter(|chain| chain.sku == sku).map(ChainRow::kept)).sum()
    };
    let prefixes = Check::new(
        "chains_keep_their_schedules",
        format!("{} chains, {} cuts", chains.len(), chains.values().map(|chain| chain.cuts.len()).sum::<usize>()),
        &chain_wrongs(&chains, &schedules, &orders),
    );
    let rules = fold.table("def").find(|(field, _)| *field == "rules").and_then(|(_, packed)| rmp_serde::from_slice(packed).ok());
    let status: Option<StatusRow> = fold.row("def", "status");
    let mut checks = vec![
        stock_adds_up(&stock, &orders, kept),
        rooms_keep_their_size(&rooms, &orders),
        money_is_kept_or_returned(&rooms, &orders),
        prefixes,
    ];
    checks.extend(rules.zip(status).and_then(|(rules, status)| budget_is_kept(&rules, &status, &orders)));
    checks
}

/// The loss budget: what is counted as given away is what living orders give away, and no more than the budget.
fn budget_is_kept(rules: &Rules, status: &StatusRow, orders: &BTreeMap<String, OrderRow>) -> Option<Check> {
    let most = rules.loss_budget?;
    let loss = |order: &OrderRow| {
        let item = rules.items.get(&order.sku)?;
        let last = item.tiers.last().map_or(order.unit, |tier| tier.price);
        let price = if order.room.is_empty() { order.unit } else { order.unit.min(last) };
        Some((item.list - price).max(0) * order.quantity)
    };
    let living = orders.values().filter(|order| holds(order.state) || bought(order.state));
    let told: i64 = living.filter_map(loss).sum();
    let mut wrong = Vec::new();
    if told != status.loss {
        wrong.push(format!("{} fen are counted, orders say {told}", status.loss));
    }
    if told > most {
        wrong.push(format!("{told} fen are given away, {most} may be"));
    }
    Some(Check::new("loss_budget_is_kept", format!("{told} of {most} fen"), &wrong))
}

/// Whether an order holds units unpaid.
const fn holds(state: OrderState) -> bool {
    matches!(state, OrderState::Held | OrderState::Closing)
}

/// Whether an order has bought its units.
const fn bought(state: OrderState) -> bool {
    matches!(state, OrderState::Paid | OrderState::Confirmed | OrderState::Fulfilled)
}

/// 1: left + held + sold + returned = put in; held and sold are what the orders say, and what rooms and chains keep for orders to come is held too; left
/// is never below zero.
fn stock_adds_up(stock: &BTreeMap<String, StockRow>, orders: &BTreeMap<String, OrderRow>, kept: impl Fn(&str) -> i64) -> Check {
    let mut wrong = Vec::new();
    for (sku, row) in stock {
        let units = |counts: fn(OrderState) -> bool| -> i64 {
            orders.values().filter(|order| order.sku == *sku && counts(order.state)).map(|order| order.quantity).sum()
        };
        if row.left < 0 || row.left + row.held + row.sold + row.returned != row.put_in {
            wrong.push(format!("{sku}: {row:?} does not add up"));
        }
        let (held, sold) = (units(holds) + kept(sku), units(bought));
        if (row.held, row.sold) != (held, sold) {
            wrong.push(format!("{sku}: held {} and sold {}, orders, rooms and chains say {held} and {sold}", row.held, row.sold));
        }
    }
    Check::new("stock_adds_up", format!("{} items", stock.len()), &wrong)
}

/// 2: held + paid ≤ size; one seat per user; formed when all seats are paid, and with no fewer paid than its terms ask for at the deadline;
/// each seat has its order and each order its seat.
fn rooms_keep_their_size(rooms: &BTreeMap<String, RoomRow>, orders: &BTreeMap<String, OrderRow>) -> Check {
    let mut wrong = Vec::new();
    let mut seats = BTreeSet::new();
    for (id, room) in rooms {
        let users: BTreeSet<&String> = room.members.iter().map(|member| &member.0).collect();
        if room.taken() > room.size || users.len() != room.members.len() {
            wrong.push(format!("room {id} has {} seats for {} users, size {}", room.taken(), users.len(), room.size));
        }
        let formed = room.state == RoomState::Formed;
        if (room.paid() == room.size && !formed) || (formed && (room.paid() < room.enough() || room.paid() < room.taken())) {
            wrong.push(format!("room {id} is {:?} with {} of {} paid", room.state, room.paid(), room.size));
        }
        for member in &room.members {
            let fits =
                orders.get(&member.1).is_some_and(|order| order.room == *id && order.user == member.0 && seat_fits(room, order, member.2));
            if !fits || !seats.insert(&member.1) {
                wrong.push(format!("room {id}: the seat of order {} does not fit it", member.1));
            }
        }
    }
    let seatless =
        orders.iter().filter(|(id, order)| !order.room.is_empty() && (holds(order.state) || bought(order.state)) && !seats.contains(id));
    wrong.extend(seatless.map(|(id, order)| format!("order {id} is {:?} without a seat", order.state)));
    Check::new("rooms_keep_their_size", format!("{} rooms, {} seats", rooms.len(), seats.len()), &wrong)
}

/// Whether a seat says of its order what the order says of itself.
fn seat_fits(room: &RoomRow, order: &OrderRow, paid: i64) -> bool {
    match room.state {
        RoomState::Open => holds(order.state) && paid == 0 || order.state == OrderState::Paid && paid == 1,
        RoomState::Formed => {
            paid == 1 && matches!(order.state, OrderState::Confirmed | OrderState::Fulfilled | OrderState::RefundDue | OrderState::Refunded)
        }
        RoomState::Failed => paid == 1 && matches!(order.state, OrderState::RefundDue | OrderState::Refunded),
    }
}

/// What an order whose good is certain costs in the end: no more than its room formed at.
fn price(rooms: &BTreeMap<String, RoomRow>, order: &OrderRow) -> i64 {
    let reached = rooms.get(&order.room).filter(|room| room.state == RoomState::Formed).map(|room| room.price_at(room.paid()));
    reached.map_or(order.amount, |reached| order.amount.min(reached * order.quantity))
}

/// 3: every fen that came in is kept by an order that has its good, or is on its way back exactly once.
fn money_is_kept_or_returned(rooms: &BTreeMap<String, RoomRow>, orders: &BTreeMap<String, OrderRow>) -> Check {
    let mut wrong = Vec::new();
    for (id, order) in orders {
        let (due, done) = order.refunds.iter().fold((0, 0), |(due, done), refund| (due + refund.0, done + refund.0 * refund.1));
        let kept = order.paid - due;
        let right = match order.state {
            OrderState::Held | OrderState::Closing | OrderState::Released | OrderState::RefundDue | OrderState::Refunded => kept == 0,
            OrderState::Paid => kept == order.amount,
            // A part may have gone back, or be on its way; all of it undoes the order.
            OrderState::Confirmed | OrderState::Fulfilled => {
                let price = price(rooms, order);
                (kept > 0 || price == 0) && kept <= price
            }
        };
        if !right || done != order.refunded {
            wrong.push(format!("order {id} is {:?}: paid {}, to be returned {due}, returned {}", order.state, order.paid, order.refunded));
        }
    }
    let paid: i64 = orders.values().map(|order| order.paid).sum();
    Check::new("money_is_kept_or_returned", format!("{paid} fen came in"), &wrong)
}

#[cfg(test)]
mod tests {
    use super::{budget_is_kept, money_is_kept_or_returned, rooms_keep_their_size, stock_adds_up};
    use crate::campaign::ops::{PausedBy, Status, StatusRow, StockRow};
    use crate::campaign::rules::{Item, Limits, Rules, Tier};
    use crate::group_buy::row::{MemberRow, RoomRow, State as RoomState};
    use crate::order::row::{OrderRow, RefundRow, State};
    use std::collections::BTreeMap;

    fn order(state: State, paid: i64) -> OrderRow {
        OrderRow {
            state,
            sku: "a".into(),
            quantity: 1,
            user: "u".into(),
            room: "r".into(),
            chain: String::new(),
            opener: 1,
            newcomer: 0,
            unit: 100,
            amount: 100,
            paid,
            refunded: 0,
            created_at: 1,
            pay_by: 2,
            paid_at: 0,
            asked: 0,
            reason: String::new(),
            version: 1,
            settled: String::new(),
            transactions: Vec::new(),
            refunds: Vec::new(),
        }
    }

    fn room(state: RoomState, members: &[(&str, &str, i64)]) -> RoomRow {
        RoomRow {
            state,
            sku: "a".into(),
            size: 2,
            price: 100,
            tiers: Vec::new(),
            accept_from: 0,
            reserve: 0,
            leader: "o".into(),
            expires_at: 9,
            opened_at: 1,
            closed_at: 0,
            version: 1,
            members: members.iter().map(|(user, order, paid)| MemberRow((*user).into(), (*order).into(), *paid)).collect(),
        }
    }

    fn one<T>(id: &str, row: T) -> BTreeMap<String, T> {
        BTreeMap::from([(id.to_owned(), row)])
    }

    #[test]
    fn stock_must_add_up_and_say_what_orders_say() {
        let orders = one("o", order(State::Held, 0));
        let row = |left, held| StockRow { put_in: 10, left, held, sold: 0, returned: 0 };
        let sound = |row, kept: i64| stock_adds_up(&one("a", row), &orders, |_sku| kept).ok;
        assert!(sound(row(9, 1), 0));
        assert!(!sound(row(8, 1), 0));
        assert!(!sound(row(10, 0), 0));
        let keeps = RoomRow { reserve: 1, ..room(RoomState::Open, &[("u", "o", 0)]) }.kept();
        assert!(sound(row(8, 2), keeps), "a unit for the free seat");
        assert!(!sound(row(9, 1), keeps));
    }

    #[test]
    fn a_loss_budget_must_be_counted_right_and_kept() {
        let items = one(
            "a",
            Item { list: 150, tiers: vec![Tier { size: 2, price: 100 }], leader_price: None, solo_price: None, reserve_room: false },
        );
        let limits = Limits {
            quantity_per_order: 1,
            orders_per_user: 1,
            rooms_opened_per_user: 1,
            rooms_joined_per_user: 1,
            unpaid_per_user: 1,
            users_per_device: 1,
        };
        let rules = |loss_budget| Rules {
            version: 1,
            starts_at: 0,
            ends_at: 1,
            room_ttl: 1,
            payment_ttl: 1,
            list_rooms: true,
            accept_from: None,
            newcomers_only: false,
            limits: limits.clone(),
            loss_budget,
            least_loss: 50,
            items: items.clone(),
        };
        let status = |loss| StatusRow {
            status: Status::Live,
            version: 1,
            rooms_open: 1,
            rooms_formed: 0,
            rooms_failed: 0,
            paused_by: PausedBy::Nobody,
            open: 1,
            join: 1,
            loss,
        };
        let kept = |budget, loss, state| budget_is_kept(&rules(budget), &status(loss), &one("o", order(state, 0))).map(|check| check.ok);
        assert_eq!(kept(None, 0, State::Held), None);
        assert_eq!(kept(Some(50), 50, State::Held), Some(true));
        assert_eq!(kept(Some(50), 0, State::Released), Some(true));
        assert_eq!(kept(Some(50), 0, State::Held), Some(false), "not counted");
        assert_eq!(kept(Some(49), 50, State::Paid), Some(false), "overspent");
    }

    #[test]
    fn a_room_must_fit_its_orders() {
        let orders = one("o", order(State::Held, 0));
        assert!(rooms_keep_their_size(&one("r", room(RoomState::Open, &[("u", "o", 0)])), &orders).ok);
        assert!(!rooms_keep_their_size(&one("r", room(RoomState::Formed, &[("u", "o", 0)])), &orders).ok);
        assert!(!rooms_keep_their_size(&one("r", room(RoomState::Open, &[])), &orders).ok, "an order without a seat");
        assert!(
            !rooms_keep_their_size(&one("r", room(RoomState::Open, &[("u", "o", 0), ("u", "p", 0)])), &orders).ok,
            "two seats of one user"
        );
        let accepts = |members: &[(&str, &str, i64)]| one("r", RoomRow { accept_from: 1, ..room(RoomState::Formed, members) });
        let confirmed = one("o", order(State::Confirmed, 100));
        assert!(rooms_keep_their_size(&accepts(&[("u", "o", 1)]), &confirmed).ok, "one is accepted");
        assert!(!rooms_keep_their_size(&accepts(&[]), &BTreeMap::new()).ok, "nobody is not");
        let crowd = [("u", "o", 0), ("v", "p", 0), ("w", "q", 0)];
        assert!(!rooms_keep_their_size(&one("r", room(RoomState::Open, &crowd)), &orders).ok, "three seats of two");
    }

    #[test]
    fn money_must_be_kept_or_returned_once() {
        let paid = order(State::Paid, 100);
        assert!(money_is_kept_or_returned(&BTreeMap::new(), &one("o", paid.clone())).ok);
        let released = OrderRow { state: State::Released, ..paid.clone() };
        assert!(!money_is_kept_or_returned(&BTreeMap::new(), &one("o", released)).ok, "paid, but released");
        let due = |times: usize| OrderRow { state: State::RefundDue, refunds: vec![RefundRow(100, 0); times], ..paid.clone() };
        assert!(money_is_kept_or_returned(&BTreeMap::new(), &one("o", due(1))).ok);
        assert!(!money_is_kept_or_returned(&BTreeMap::new(), &one("o", due(2))).ok, "returned twice");
        let part = |fen, state| OrderRow { state, refunds: vec![RefundRow(fen, 0)], ..paid.clone() };
        assert!(money_is_kept_or_returned(&BTreeMap::new(), &one("o", part(40, State::Confirmed))).ok);
        assert!(money_is_kept_or_returned(&BTreeMap::new(), &one("o", part(99, State::Fulfilled))).ok);
        assert!(!money_is_kept_or_returned(&BTreeMap::new(), &one("o", part(40, State::Paid))).ok, "a part, though nothing is certain");
        assert!(!money_is_kept_or_returned(&BTreeMap::new(), &one("o", part(100, State::Confirmed))).ok, "all of it, and yet confirmed");
        assert!(
            !money_is_kept_or_returned(&BTreeMap::new(), &one("o", part(40, State::RefundDue))).ok,
            "a part kept by an order that is undone"
        );
    }
}
