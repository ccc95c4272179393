//! What the model keeps: rooms, orders and the money that came for them; and what can be counted from these.

use std::collections::{BTreeMap, BTreeSet};

use liebian::campaign::ops::{PausedBy, Status, StatusRow, StockRow};
use liebian::campaign::rules::Rules;
use liebian::campaign::view::Switches;
use liebian::group_buy::row::{MemberRow, RoomRow, State as RoomState, TierRow};
use liebian::order::row::{OrderRow, RefundRow, State};

use super::frame::Frame;
use super::rows::{Cell, Row};

/// Everything that ops change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Book {
    pub rules: Option<Rules>,
    pub(super) status: Option<Status>,
    /// An operator has paused it.
    pub(super) held_back: bool,
    pub(super) switches: Switches,
    pub(super) frame: Frame<Row>,
    /// As the batch found them: an alternative was listed before.
    pub(super) listed_before: Vec<(i64, String)>,
    /// sku → put in, returned
    pub(super) stock: BTreeMap<String, (i64, i64)>,
    pub rooms: Vec<Room>,
    pub orders: Vec<Order>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Room {
    pub id: String,
    pub(super) sku: String,
    /// Sizes and prices, rising and falling.
    pub(super) tiers: Vec<(usize, i64)>,
    pub(super) accept_from: usize,
    pub(super) reserve: bool,
    pub(super) opened_at: i64,
    pub(super) expires_at: i64,
    pub(super) closed_at: i64,
    pub(super) version: i64,
    pub state: RoomState,
    /// Orders, in the order of joining.
    pub seats: Vec<usize>,
    pub(super) leader: Option<usize>,
    pub(super) listed: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    pub id: String,
    /// None when it was bought alone.
    pub room: Option<usize>,
    pub(super) sku: String,
    pub(super) unit: i64,
    pub user: String,
    pub(super) device: String,
    pub quantity: i64,
    pub(super) opener: bool,
    pub(super) newcomer: bool,
    pub(super) created_at: i64,
    pub(super) pay_by: i64,
    pub(super) version: i64,
    pub(super) asked: bool,
    pub state: State,
    pub(super) reason: &'static str,
    pub(super) paid_at: i64,
    /// transaction, fen, whether it bought the seat
    pub(super) money: Vec<(String, i64, bool)>,
    /// fen, whether it was executed
    pub(super) refunds: Vec<(i64, bool)>,
}

impl Room {
    pub(super) fn size(&self) -> usize {
        self.tiers.last().unwrap().0
    }

    pub(super) fn full(&self) -> bool {
        self.seats.len() >= self.size()
    }

    /// Units kept for free seats.
    pub(super) fn kept(&self) -> i64 {
        let keeps = self.reserve && self.state == RoomState::Open;
        if keeps { count(self.tiers[0].0.saturating_sub(self.seats.len())) } else { 0 }
    }

    /// Units that must be left for the next seat.
    pub(super) fn needs(&self, quantity: i64) -> i64 {
        quantity - self.kept().min(1)
    }

    /// The price of a unit when so many have paid and no others come; none when they are too few.
    pub(super) fn reached(&self, paid: usize) -> Option<i64> {
        let tier = self.tiers.iter().rev().find(|(size, _)| *size <= paid);
        let accepted = self.accept_from > 0 && paid >= self.accept_from;
        tier.or(accepted.then_some(&self.tiers[0])).map(|(_, price)| *price)
    }
}

impl Order {
    /// Not placed yet.
    pub(super) fn new(id: &str, user: &str, device: &str, quantity: i64) -> Self {
        Self {
            id: id.to_owned(),
            room: None,
            sku: String::new(),
            unit: 0,
            user: user.to_owned(),
            device: device.to_owned(),
            quantity,
            opener: false,
            newcomer: false,
            created_at: 0,
            pay_by: 0,
            version: 0,
            asked: false,
            state: State::Held,
            reason: "",
            paid_at: 0,
            money: Vec::new(),
            refunds: Vec::new(),
        }
    }

    /// It waits for its payment.
    pub fn waits(&self) -> bool {
        matches!(self.state, State::Held | State::Closing)
    }

    /// It has a seat that it paid for.
    pub fn owns(&self) -> bool {
        matches!(self.state, State::Paid | State::Confirmed | State::Fulfilled)
    }

    pub(super) fn lives(&self) -> bool {
        self.waits() || self.owns()
    }

    /// What it costs.
    pub fn amount(&self) -> i64 {
        self.unit * self.quantity
    }

    pub(super) fn paid(&self) -> i64 {
        self.money.iter().map(|(_, fen, _)| fen).sum()
    }

    pub(super) fn back(&self) -> i64 {
        self.refunds.iter().filter(|(_, executed)| *executed).map(|(fen, _)| fen).sum()
    }

    /// What was paid and was not sent back.
    pub(super) fn kept(&self) -> i64 {
        self.paid() - self.refunds.iter().map(|(fen, _)| fen).sum::<i64>()
    }

    /// All that it paid goes back; one that was given away is done with at once.
    pub(super) fn take_back(&mut self, reason: &'static str) {
        let kept = self.kept();
        (self.state, self.reason) = (gone(kept), reason);
        self.refund(kept);
    }

    /// All its money went, or goes, back.
    pub(super) fn gone(&self) -> bool {
        matches!(self.state, State::RefundDue | State::Refunded)
    }

    /// An operator does not want it, and it was not paid.
    pub(super) fn called_off(&self) -> bool {
        matches!(self.state, State::Closing | State::Released) && !["cancelled", "hold_expired", "close_unanswered"].contains(&self.reason)
    }

    pub(super) fn refund(&mut self, fen: i64) {
        if fen > 0 {
            self.refunds.push((fen, false));
        }
    }
}

/// The state of an order whose money goes back, where there is any.
pub(super) const fn gone(fen: i64) -> State {
    if fen > 0 { State::RefundDue } else { State::Refunded }
}

pub(super) fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap()
}

/// What is counted from rooms and orders.
impl Book {
    /// How many others sit in the room that an order leads.
    pub fn followers(&self, order: &Order) -> usize {
        let Some(room) = order.room.map(|room| &self.rooms[room]) else { return 0 };
        if room.leader.is_some_and(|leader| self.orders[leader].id == order.id) { room.seats.len().saturating_sub(1) } else { 0 }
    }

    pub(super) fn order(&self, id: &str) -> Option<usize> {
        self.orders.iter().position(|order| order.id == id)
    }

    pub(super) fn of<'a>(&'a self, user: &'a str) -> impl Iterator<Item = &'a Order> {
        self.orders.iter().filter(move |order| order.user == user)
    }

    /// Users who placed an order on a device, the first first.
    pub(super) fn met_on(&self, device: &str) -> Vec<&str> {
        let mut met = Vec::new();
        for order in self.orders.iter().filter(|order| order.device == device) {
            if !met.contains(&order.user.as_str()) {
                met.push(order.user.as_str());
            }
        }
        met
    }

    pub(super) fn units(&self, sku: &str, which: impl Fn(&Order) -> bool) -> i64 {
        self.orders.iter().filter(|order| order.sku == sku && which(order)).map(|order| order.quantity).sum()
    }

    pub(super) fn left(&self, sku: &str) -> i64 {
        let (put_in, returned) = self.stock.get(sku).copied().unwrap_or_default();
        put_in - returned - self.units(sku, Order::lives) - self.kept(sku)
    }

    fn kept(&self, sku: &str) -> i64 {
        self.rooms.iter().filter(|room| room.sku == sku).map(Room::kept).sum()
    }

    /// What an order gives away at most: in a room the lowest price of all may still come.
    pub(super) fn loss(&self, order: &Order) -> i64 {
        self.loss_of(&order.sku, order.unit, order.room.is_some(), order.quantity)
    }

    pub(super) fn loss_of(&self, sku: &str, unit: i64, in_a_room: bool, quantity: i64) -> i64 {
        let item = &self.rules.as_ref().unwrap().items[sku];
        let lowest = if in_a_room { unit.min(item.tiers.last().unwrap().price) } else { unit };
        (item.list - lowest).max(0) * quantity
    }

    /// What all orders that may still be fulfilled give away; nobody counts it without a budget.
    pub(super) fn lost(&self) -> i64 {
        let counts = self.rules.as_ref().is_some_and(|rules| rules.loss_budget.is_some());
        if counts { self.orders.iter().filter(|order| order.lives()).map(|order| self.loss(order)).sum() } else { 0 }
    }

    /// Whether so much more fits into the budget.
    pub(super) fn affords(&self, fen: i64) -> bool {
        self.rules.as_ref().unwrap().loss_budget.is_none_or(|most| self.lost() + fen <= most)
    }

    /// Whether any order fits.
    pub(super) fn affords_any(&self) -> bool {
        self.affords(self.rules.as_ref().unwrap().least_loss)
    }

    /// Who holds a campaign back that is neither over nor unpublished.
    pub(super) fn paused_by(&self) -> PausedBy {
        match self.status {
            Some(Status::Live | Status::Paused) if self.held_back => PausedBy::Operator,
            Some(Status::Live | Status::Paused) if !self.affords_any() => PausedBy::LossBudget,
            None | Some(Status::Ended | Status::Live | Status::Paused) => PausedBy::Nobody,
        }
    }

    /// Something is due at a time.
    pub(super) fn plan(&mut self, kind: &'static str, id: &str, at: i64) {
        self.frame.plan(kind, id, at);
    }

    /// Rooms that are listed, the fullest first.
    pub(super) fn listed(&self) -> Vec<(i64, String)> {
        let listed = self.rooms.iter().filter(|room| room.listed);
        let mut listed: Vec<_> =
            listed.map(|room| (count(room.size() - room.seats.len()) * 10_000_000_000_000 + room.expires_at, room.id.clone())).collect();
        listed.sort();
        listed
    }
}

/// Rows as the program keeps them.
impl Book {
    pub(super) fn status_row(&self) -> Row {
        let rooms = |state| count(self.rooms.iter().filter(|room| room.state == state).count());
        Row::Status(StatusRow {
            status: match (self.status.unwrap(), self.paused_by()) {
                (Status::Ended, _) => Status::Ended,
                (_, PausedBy::Nobody) => Status::Live,
                (_, PausedBy::Operator | PausedBy::LossBudget) => Status::Paused,
            },
            paused_by: self.paused_by(),
            open: i64::from(self.switches.open),
            join: i64::from(self.switches.join),
            loss: self.lost(),
            version: self.rules.as_ref().unwrap().version,
            rooms_open: rooms(RoomState::Open),
            rooms_formed: rooms(RoomState::Formed),
            rooms_failed: rooms(RoomState::Failed),
        })
    }

    pub(super) fn stock_row(&self, sku: &str) -> Row {
        let (put_in, returned) = self.stock[sku];
        let (held, sold) = (self.units(sku, Order::waits) + self.kept(sku), self.units(sku, Order::owns));
        Row::Stock(StockRow { put_in, left: self.left(sku), held, sold, returned })
    }

    pub(super) fn room_row(&self, at: usize) -> Row {
        let room = &self.rooms[at];
        let member = |seat: usize| {
            let order = &self.orders[seat];
            MemberRow(order.user.clone(), order.id.clone(), i64::from(!order.waits()))
        };
        let others = room.seats.iter().copied().filter(|seat| Some(*seat) != room.leader);
        Row::Room(RoomRow {
            state: room.state,
            sku: room.sku.clone(),
            size: count(room.size()),
            price: room.tiers[0].1,
            tiers: if room.tiers.len() > 1 {
                room.tiers.iter().map(|&(size, price)| TierRow(count(size), price)).collect()
            } else {
                Vec::new()
            },
            accept_from: count(room.accept_from),
            reserve: room.reserve.into(),
            leader: room.leader.map(|at| self.orders[at].id.clone()).unwrap_or_default(),
            expires_at: room.expires_at,
            opened_at: room.opened_at,
            closed_at: room.closed_at,
            version: room.version,
            members: room.leader.into_iter().chain(others).map(member).collect(),
        })
    }

    pub(super) fn order_row(&self, at: usize) -> Row {
        let order = &self.orders[at];
        Row::Order(OrderRow {
            state: order.state,
            sku: order.sku.clone(),
            quantity: order.quantity,
            user: order.user.clone(),
            room: order.room.map(|room| self.rooms[room].id.clone()).unwrap_or_default(),
            chain: String::new(),
            opener: order.opener.into(),
            newcomer: order.newcomer.into(),
            unit: order.unit,
            amount: order.amount(),
            paid: order.paid(),
            refunded: order.back(),
            created_at: order.created_at,
            pay_by: order.pay_by,
            paid_at: order.paid_at,
            asked: i64::from(order.asked),
            reason: order.reason.to_owned(),
            version: order.version,
            settled: order.money.iter().find(|(_, _, buys)| *buys).map(|(transaction, _, _)| transaction.clone()).unwrap_or_default(),
            transactions: order.money.iter().map(|(transaction, _, _)| transaction.clone()).collect(),
            refunds: order.refunds.iter().map(|&(fen, executed)| RefundRow(fen, i64::from(executed))).collect(),
        })
    }

    pub(super) fn every_cell(&self) -> BTreeMap<(&'static str, String), Cell> {
        let mut cells = BTreeMap::new();
        if let Some(rules) = &self.rules {
            cells.insert(("def", "rules".to_owned()), Cell::Rules(rules.clone()));
            cells.insert(("def", "status".to_owned()), Cell::Row(self.status_row()));
        }
        cells.extend(self.stock.keys().map(|sku| (("stock", sku.clone()), Cell::Row(self.stock_row(sku)))));
        cells.extend((0..self.rooms.len()).map(|at| (("rooms", self.rooms[at].id.clone()), Cell::Row(self.room_row(at)))));
        cells.extend((0..self.orders.len()).map(|at| (("orders", self.orders[at].id.clone()), Cell::Row(self.order_row(at)))));
        for user in self.orders.iter().map(|order| order.user.as_str()) {
            let orders = |which: fn(&Order) -> bool| count(self.of(user).filter(|order| which(order)).count());
            let has: [fn(&Order) -> bool; 4] = [
                Order::lives,
                |order| order.lives() && order.opener,
                |order| order.lives() && !order.opener && order.room.is_some(),
                Order::waits,
            ];
            cells.insert(("users", user.to_owned()), Cell::User(has.map(orders)));
        }
        for device in self.orders.iter().map(|order| order.device.as_str()).collect::<BTreeSet<_>>() {
            let met = self.met_on(device);
            cells.insert(("devices", device.to_owned()), Cell::Text(met[0].to_owned()));
            if met.len() > 1 {
                cells.insert(("devices", format!("/{device}")), Cell::Text(met.len().to_string()));
            }
            cells.extend(met[1..].iter().map(|user| (("devices", format!("{device}/{user}")), Cell::Text("1".to_owned()))));
        }
        cells.extend(self.frame.keys().map(|(scope, body, said)| (("keys", scope.clone()), Cell::Key(body.clone(), said.clone()))));
        cells.extend(self.frame.timers().into_iter().map(|(at, name)| (("timers", name), Cell::Score(at))));
        cells.extend(self.listed().into_iter().map(|(score, id)| (("joinable", id), Cell::Score(score))));
        cells
    }
}
