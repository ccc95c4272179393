//! The product's promises, read from hot state and log alone, without the model.

use std::collections::{BTreeMap, BTreeSet};

use liebian::group_buy::row::{RoomRow, State as RoomState};
use liebian::hot::entry::Entry;
use liebian::order::row::{OrderRow, RefundRow, State};

use super::rows::{Cell, Row};

type Fields = BTreeMap<String, rmpv::Value>;
type Cells = BTreeMap<(&'static str, String), Cell>;

/// The invariants 1 to 3.
pub fn hold(cells: &Cells) {
    let mut orders: BTreeMap<&str, &OrderRow> = BTreeMap::new();
    let mut kept: BTreeMap<&str, i64> = BTreeMap::new();
    for ((_, id), cell) in cells {
        if let Cell::Row(Row::Order(order)) = cell {
            orders.insert(id, order);
        }
        if let Cell::Row(Row::Room(room)) = cell
            && room.state == RoomState::Open
            && room.reserve == 1
        {
            *kept.entry(&room.sku).or_default() += (room.least() - room.taken()).max(0);
        }
    }
    for ((_, id), cell) in cells {
        match cell {
            Cell::Row(Row::Stock(stock)) => {
                assert_eq!(stock.left + stock.held + stock.sold + stock.returned, stock.put_in, "stock of {id}");
                assert!(stock.left >= 0 && stock.held >= 0 && stock.sold >= 0 && stock.returned >= 0, "stock of {id}: {stock:?}");
                let units = |states: &[State]| -> i64 {
                    orders.values().filter(|order| order.sku == *id && states.contains(&order.state)).map(|order| order.quantity).sum()
                };
                assert_eq!(stock.held, units(&[State::Held, State::Closing]) + kept.get(id.as_str()).unwrap_or(&0), "held {id}");
                assert_eq!(stock.sold, units(&[State::Paid, State::Confirmed, State::Fulfilled]), "sold {id}");
            }
            Cell::Row(Row::Room(room)) => room_holds(id, room, &orders),
            Cell::Row(Row::Order(order)) => order_holds(id, order, cells),
            _ => {}
        }
    }
}

fn room_holds(id: &str, room: &RoomRow, orders: &BTreeMap<&str, &OrderRow>) {
    assert!(room.taken() <= room.size, "room {id} is overfull");
    let users: BTreeSet<_> = room.members.iter().map(|member| &member.0).collect();
    assert_eq!(users.len(), room.members.len(), "one seat per user in room {id}");
    assert!(room.state == RoomState::Formed || room.paid() < room.size, "room {id} forms when all is paid");
    let enough = if room.accept_from > 0 { room.accept_from.min(room.least()) } else { room.least() };
    let waited = room.closed_at >= room.expires_at;
    match room.state {
        RoomState::Formed => assert!(room.paid() == room.size || (waited && room.paid() >= enough), "room {id} formed with too few"),
        RoomState::Failed => assert!(room.taken() == 0 || (waited && room.paid() < enough), "room {id} failed with enough"),
        RoomState::Open => {}
    }
    assert!(room.state == RoomState::Open || room.paid() == room.taken(), "closed room {id} waits for somebody");
    assert_eq!(room.members.is_empty(), room.leader.is_empty(), "room {id} with members has a leader");
    assert!(room.members.is_empty() || room.leader_user().is_some(), "the leader of room {id} is a member");
    for member in &room.members {
        let order = orders[member.1.as_str()];
        assert_eq!((order.room.as_str(), &order.user), (id, &member.0), "seat of {}", member.1);
        let states: &[State] = match (room.state, member.2) {
            (RoomState::Open, 0) => &[State::Held, State::Closing],
            (RoomState::Open, _) => &[State::Paid],
            // An operator undid it.
            (RoomState::Formed, _) => &[State::Confirmed, State::Fulfilled, State::RefundDue, State::Refunded],
            (RoomState::Failed, _) => &[State::RefundDue, State::Refunded],
        };
        assert!(states.contains(&order.state), "order {} is {:?} in room {id}, {:?}", member.1, order.state, room.state);
    }
}

fn order_holds(id: &str, order: &OrderRow, cells: &Cells) {
    let due: i64 = order.refunds.iter().map(|refund| refund.0).sum();
    let executed: i64 = order.refunds.iter().filter(|refund| refund.1 == 1).map(|refund| refund.0).sum();
    assert_eq!(order.refunded, executed, "order {id}: refunded");
    assert_eq!(order.transactions.iter().collect::<BTreeSet<_>>().len(), order.transactions.len(), "order {id}: one payment counted twice");
    let live = matches!(order.state, State::Paid | State::Confirmed | State::Fulfilled);
    let certain = matches!(order.state, State::Confirmed | State::Fulfilled);
    let kept = order.paid - due;
    // A part of what is certain may be on its way back; free orders keep nothing.
    let is_right = |unit: i64| {
        let price = unit * order.quantity;
        if certain { kept <= price && (kept > 0 || price == 0) } else { kept == if live { price } else { 0 } }
    };
    let seated = matches!(order.state, State::Held | State::Closing | State::Paid | State::Confirmed | State::Fulfilled);
    if order.room.is_empty() {
        assert!(is_right(order.unit), "order {id} is {:?}: {kept} fen are neither bought nor on their way back", order.state);
        assert_ne!(order.state, State::Paid, "order {id} waits for no room");
        return;
    }
    let Cell::Row(Row::Room(room)) = &cells[&("rooms", order.room.clone())] else { panic!("order {id} without a room") };
    let unit = if room.state == RoomState::Formed { order.unit.min(room.price_at(room.paid())) } else { order.unit };
    assert!(is_right(unit), "order {id} is {:?}: {kept} fen are neither bought nor on their way back", order.state);
    assert!(!seated || room.members.iter().any(|member| member.1 == id), "order {id} lost its seat");
}

/// What the log tells of orders and rooms is what their rows say: workers act on events alone.
pub fn told(log: &[Entry], cells: &Cells) {
    let mut told: BTreeMap<(String, String), Vec<Fields>> = BTreeMap::new();
    for event in log.iter().flat_map(|entry| &entry.body.events) {
        let fields: Fields = event.fields().unwrap();
        if let Some(id) = fields.get("order").or(fields.get("room")).and_then(rmpv::Value::as_str) {
            told.entry((id.to_owned(), event.1.clone())).or_default().push(fields.clone());
        }
    }
    let none = Vec::new();
    for ((table, id), cell) in cells {
        let of = |name: &str| told.get(&(id.clone(), name.to_owned())).unwrap_or(&none);
        match cell {
            Cell::Row(Row::Room(room)) if *table == "rooms" => {
                assert_eq!(of("group_buy.room_opened").len(), 1, "room {id}");
                assert_eq!(of("group_buy.room_formed").len(), usize::from(room.state == RoomState::Formed), "room {id}");
                assert_eq!(of("group_buy.room_failed").len(), usize::from(room.state == RoomState::Failed), "room {id}");
            }
            Cell::Row(Row::Order(order)) => order_told(id, order, of),
            _ => {}
        }
    }
}

fn order_told<'a>(id: &str, order: &OrderRow, of: impl Fn(&str) -> &'a Vec<Fields>) {
    assert_eq!(of("order.held").len(), 1, "order {id}");
    assert_eq!(of("order.payment_asked").len(), usize::from(order.asked == 1), "order {id}");
    let (confirmed, fulfilled) = (of("order.confirmed").len(), of("order.fulfilled").len());
    assert!(fulfilled <= confirmed && confirmed <= 1, "order {id}");
    assert!(confirmed == 1 || !matches!(order.state, State::Confirmed | State::Fulfilled), "order {id}");
    assert!(fulfilled == 1 || order.state != State::Fulfilled, "order {id}");
    let paid: Vec<_> = of("order.paid").iter().map(|event| event["transaction"].as_str().unwrap()).collect();
    assert_eq!(paid, Vec::from_iter((!order.settled.is_empty()).then_some(order.settled.as_str())), "order {id}");
    let returned: Vec<_> = of("order.payment_returned").iter().map(|event| event["transaction"].as_str().unwrap()).collect();
    let others: Vec<_> = order.transactions.iter().filter(|known| **known != order.settled).map(String::as_str).collect();
    assert_eq!(returned, others, "order {id}");
    let due: Vec<_> =
        of("order.refund_due").iter().map(|event| (event["number"].as_i64().unwrap(), event["amount"].as_i64().unwrap())).collect();
    let refunds: Vec<_> = (1..).zip(order.refunds.iter().map(|RefundRow(fen, _)| *fen)).collect();
    assert_eq!(due, refunds, "order {id}");
    let mut back: Vec<_> = of("order.refunded").iter().map(|event| event["number"].as_i64().unwrap()).collect();
    back.sort_unstable();
    let executed: Vec<_> = (1..).zip(&order.refunds).filter(|(_, refund)| refund.1 == 1).map(|(number, _)| number).collect();
    assert_eq!(back, executed, "order {id}");
    let fen = |name: &str, from: &str| -> i64 {
        let counts = |event: &&Fields| from.is_empty() || event["from"].as_str() == Some(from);
        of(name).iter().filter(counts).map(|event| event["amount"].as_i64().unwrap()).sum()
    };
    let (paid, confirmed) = (fen("order.paid", ""), fen("order.confirmed", ""));
    let books = (paid - confirmed - fen("order.refund_due", "received"), confirmed - fen("order.refund_due", "kept"));
    let left = order.paid - order.refunds.iter().map(|RefundRow(fen, _)| *fen).sum::<i64>();
    let right = match order.state {
        State::Paid => (left, 0),
        State::Confirmed | State::Fulfilled => (0, left),
        State::Held | State::Closing | State::Released | State::RefundDue | State::Refunded => (0, 0),
    };
    assert_eq!(books, right, "order {id}: received and kept as its events tell");
    assert_eq!(paid + fen("order.refund_due", "taken"), order.paid, "order {id}");
    assert_eq!(fen("order.refunded", ""), order.refunded, "order {id}");
    let given_up = of("order.released").len();
    let again = of("order.seated_again").len();
    assert!(again <= 1 && given_up <= 1 && again <= given_up, "order {id}: released {given_up} times, seated again {again} times");
}
