//! The rules of group-buy once more, as plain as they can be said.

use std::collections::{BTreeMap, BTreeSet};

use liebian::campaign::ops::{Status, StatusRow, Step, StockRow};
use liebian::campaign::rules::Rules;
use liebian::group_buy::ops::Alternative;
use liebian::group_buy::row::{MemberRow, RoomRow, State as RoomState};
use liebian::order::row::{OrderRow, RefundRow, State};

use super::ops::{Op, Sent};
use super::rows::{Cell, Row, Said};

const CLOSING_PATIENCE: i64 = 600_000;
const KEY_LIFE: i64 = 86_400_000;
const TIMERS_A_TICK: usize = 100;
const CANDIDATES: usize = 10;

/// A campaign and its clock.
#[derive(Clone, Debug, Default)]
pub struct Reference {
    pub now: i64,
    pub seq: i64,
    pub book: Book,
    /// As the batch found them: a tick fires only what was set before its batch, an alternative was listed before.
    timers_before: Vec<(i64, String)>,
    listed_before: Vec<(i64, String)>,
}

/// Everything that ops change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Book {
    pub rules: Option<Rules>,
    status: Option<Status>,
    /// When the campaign's time is over, until that was noticed.
    end_bell: Option<i64>,
    /// sku → put in, returned
    stock: BTreeMap<String, (i64, i64)>,
    pub rooms: Vec<Room>,
    pub orders: Vec<Order>,
    /// scope → body, answer, until
    keys: BTreeMap<String, (String, Said, i64)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Room {
    pub id: String,
    sku: String,
    size: usize,
    price: i64,
    opened_at: i64,
    expires_at: i64,
    closed_at: i64,
    version: i64,
    pub state: RoomState,
    /// Orders, in the order of joining.
    pub seats: Vec<usize>,
    leader: Option<usize>,
    /// Its deadline was not noticed yet.
    bell: bool,
    listed: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    pub id: String,
    pub room: usize,
    pub user: String,
    device: String,
    pub quantity: i64,
    opener: bool,
    created_at: i64,
    pay_by: i64,
    version: i64,
    asked: bool,
    pub state: State,
    reason: &'static str,
    close_by: i64,
    paid_at: i64,
    /// transaction, fen, whether it bought the seat
    money: Vec<(String, i64, bool)>,
    /// fen, whether it was executed
    refunds: Vec<(i64, bool)>,
}

/// Yes with rows, or no with rows.
type Answer = Result<(&'static str, Vec<Row>), (&'static str, Vec<Row>)>;

fn no<T>(word: &'static str) -> Result<T, (&'static str, Vec<Row>)> {
    Err((word, Vec::new()))
}

impl Reference {
    /// Decides a batch at a time.
    pub fn batch(&mut self, at: i64, ops: &[Sent]) -> Vec<Said> {
        self.now = self.now.max(at);
        self.timers_before = self.book.timers();
        self.listed_before = self.book.listed();
        ops.iter().map(|sent| self.one(sent)).collect()
    }

    /// When the next timer is due; -1 for none.
    pub fn next_timer(&self) -> i64 {
        self.book.timers().first().map_or(-1, |(at, _)| *at)
    }

    fn one(&mut self, sent: &Sent) -> Said {
        let fresh = |yes, word: &str, seq, rows| Said { yes, word: word.to_owned(), seq, replayed: false, rows };
        if let Some(key) = &sent.key
            && let Some((body, said, _)) = self.book.keys.get(key)
        {
            if Some(body) != sent.body.as_ref() {
                return fresh(0, "idempotency_key_reused", self.seq, Vec::new());
            }
            return Said { replayed: true, ..said.clone() };
        }
        if sent.op == Op::Nonsense {
            return fresh(-1, "", self.seq, Vec::new());
        }
        let before = self.book.clone();
        let answer = self.decide(&sent.op);
        if answer.is_err() {
            assert_eq!(before, self.book, "a refusal changes nothing");
        }
        if before != self.book || sent.key.is_some() {
            self.seq += 1;
        }
        let said = match answer {
            Ok((word, rows)) => fresh(1, word, self.seq, rows),
            Err((word, rows)) => fresh(0, word, self.seq, rows),
        };
        if let (Some(key), Some(body)) = (&sent.key, &sent.body) {
            self.book.keys.insert(key.clone(), (body.clone(), said.clone(), self.now + KEY_LIFE));
        }
        said
    }

    fn decide(&mut self, op: &Op) -> Answer {
        let now = self.now;
        match op {
            Op::Publish { definition, stock } => self.book.publish(definition, stock),
            Op::SetStatus { step } => self.book.set_status(*step),
            Op::AddStock { sku, units } => self.book.add_stock(sku, *units),
            Op::OpenRoom { room, order, user, device, sku, quantity } => self.open(room, Order::new(order, user, device, *quantity), sku),
            Op::JoinRoom { room, order, user, device, quantity } => self.join(room, Order::new(order, user, device, *quantity)),
            Op::PaymentAsked { order, user } => self.book.payment_asked(order, user, now),
            Op::Cancel { order, user } => self.book.cancel(order, user, now),
            Op::Closed { order } => self.book.closed(order, now),
            Op::Pay { order, transaction, amount, paid_at } => self.book.pay(order, transaction, *amount, *paid_at, now),
            Op::Refunded { order, number } => self.book.refunded(order, *number),
            Op::Tick => {
                self.tick();
                Ok(("ticked", Vec::new()))
            }
            Op::Nonsense => panic!("no such op"),
        }
    }

    fn open(&mut self, id: &str, order: Order, sku: &str) -> Answer {
        let (now, book) = (self.now, &mut self.book);
        if let Some(at) = book.rooms.iter().position(|room| room.id == id) {
            let order = book.order(&order.id).unwrap();
            return Ok(("opened", vec![book.room_row(at), book.order_row(order)]));
        }
        let Some((rules, item)) = book.rules.clone().and_then(|rules| Some((rules.clone(), rules.items.get(sku)?.clone()))) else {
            return no("not_found");
        };
        match book.status {
            Some(Status::Ended) => return no("campaign_ended"),
            _ if now >= rules.ends_at => return no("campaign_ended"),
            Some(Status::Paused) => return no("campaign_not_live"),
            _ if now < rules.starts_at => return no("campaign_not_live"),
            _ => {}
        }
        book.bars(&order, true, sku)?;
        book.rooms.push(Room {
            id: id.to_owned(),
            sku: sku.to_owned(),
            size: usize::try_from(item.tiers[0].size).unwrap(),
            price: item.tiers[0].price,
            opened_at: now,
            expires_at: rules.ends_at.min(now + rules.room_ttl),
            closed_at: 0,
            version: rules.version,
            state: RoomState::Open,
            seats: Vec::new(),
            leader: Some(book.orders.len()),
            bell: true,
            listed: false,
        });
        Ok(("opened", book.seat(order, true, book.rooms.len() - 1, now)))
    }

    fn join(&mut self, room_id: &str, order: Order) -> Answer {
        let (now, book) = (self.now, &mut self.book);
        let Some(at) = book.rooms.iter().position(|room| room.id == room_id) else { return no("not_found") };
        let room = &book.rooms[at];
        if let Some(&mine) = room.seats.iter().find(|&&seat| book.orders[seat].user == order.user) {
            return Ok(("already_in_room", vec![book.room_row(at), book.order_row(mine)]));
        }
        if let Some(known) = book.order(&order.id) {
            return Ok(("joined", vec![book.room_row(at), book.order_row(known)]));
        }
        let shut = match room.state {
            RoomState::Formed | RoomState::Failed => Some("room_closed"),
            RoomState::Open if now >= room.expires_at => Some("room_expired"),
            RoomState::Open if room.seats.len() >= room.size => Some("room_full"),
            RoomState::Open => None,
        };
        if let Some(word) = shut {
            let sku = room.sku.clone();
            return Err((word, self.alternative(&sku, &order.user).into_iter().map(Row::Other).collect()));
        }
        if book.status == Some(Status::Paused) {
            return no("campaign_not_live");
        }
        book.bars(&order, false, &room.sku)?;
        Ok(("joined", book.seat(order, false, at, now)))
    }

    /// The fullest room, then the one that ends first, of those listed when the batch began.
    fn alternative(&self, sku: &str, user: &str) -> Option<Alternative> {
        let rooms = self.listed_before.iter().take(CANDIDATES).map(|(_, id)| self.book.rooms.iter().find(|room| room.id == *id).unwrap());
        let mut joinable = rooms.filter(|room| {
            room.sku == sku
                && room.state == RoomState::Open
                && room.seats.len() < room.size
                && self.now < room.expires_at
                && !room.seats.iter().any(|&seat| self.book.orders[seat].user == user)
        });
        joinable.next().map(|room| Alternative(room.id.clone(), count(room.size - room.seats.len()), room.expires_at))
    }

    fn tick(&mut self) {
        let due: Vec<_> = self.timers_before.iter().filter(|(at, _)| *at <= self.now).take(TIMERS_A_TICK).cloned().collect();
        for (_, timer) in due {
            if self.book.timers().iter().any(|(at, name)| *name == timer && *at <= self.now) {
                self.book.ring(&timer, self.now);
            }
        }
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap()
}

impl Order {
    /// Not placed yet.
    fn new(id: &str, user: &str, device: &str, quantity: i64) -> Self {
        Self {
            id: id.to_owned(),
            room: 0,
            user: user.to_owned(),
            device: device.to_owned(),
            quantity,
            opener: false,
            created_at: 0,
            pay_by: 0,
            version: 0,
            asked: false,
            state: State::Held,
            reason: "",
            close_by: 0,
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
        matches!(self.state, State::Paid | State::Confirmed)
    }

    fn lives(&self) -> bool {
        self.waits() || self.owns()
    }

    fn paid(&self) -> i64 {
        self.money.iter().map(|(_, fen, _)| fen).sum()
    }

    fn back(&self) -> i64 {
        self.refunds.iter().filter(|(_, executed)| *executed).map(|(fen, _)| fen).sum()
    }

    fn refund(&mut self, fen: i64) {
        self.refunds.push((fen, false));
    }
}

/// What operators do.
impl Book {
    fn publish(&mut self, rules: &Rules, stock: &[(String, i64)]) -> Answer {
        let version = self.rules.as_ref().map_or(0, |rules| rules.version);
        if rules.version < version {
            return no("campaign_state");
        }
        if rules.version > version {
            if self.status.is_none() {
                self.status = Some(Status::Live);
                self.stock = stock.iter().map(|(sku, units)| (sku.clone(), (*units, 0))).collect();
            }
            self.end_bell = Some(rules.ends_at);
            self.rules = Some(rules.clone());
        }
        Ok(("published", vec![self.status_row()]))
    }

    fn set_status(&mut self, step: Step) -> Answer {
        let to = match (step, self.status) {
            (_, None) | (Step::Pause | Step::Resume, Some(Status::Ended)) => return no("campaign_state"),
            (Step::Pause, _) => Status::Paused,
            (Step::Resume, _) => Status::Live,
            (Step::End, _) => Status::Ended,
        };
        self.status = Some(to);
        Ok(("status", vec![self.status_row()]))
    }

    fn add_stock(&mut self, sku: &str, units: i64) -> Answer {
        let Some(rules) = &self.rules else { return no("campaign_state") };
        if !rules.items.contains_key(sku) {
            return no("not_found");
        }
        if self.left(sku) + units < 0 {
            return no("sold_out");
        }
        let (put_in, returned) = self.stock.entry(sku.to_owned()).or_default();
        if units < 0 {
            *returned -= units;
        } else {
            *put_in += units;
        }
        Ok(("stock", vec![self.stock_row(sku)]))
    }
}

/// Seats.
impl Book {
    fn seat(&mut self, order: Order, opener: bool, room: usize, now: i64) -> Vec<Row> {
        let rules = self.rules.as_ref().unwrap();
        let (pay_by, version) = (now + rules.payment_ttl, rules.version);
        let at = self.orders.len();
        self.orders.push(Order { room, opener, created_at: now, pay_by, version, ..order });
        self.rooms[room].seats.push(at);
        self.list(room, now);
        vec![self.room_row(room), self.order_row(at)]
    }

    fn bars(&self, order: &Order, opener: bool, sku: &str) -> Result<(), (&'static str, Vec<Row>)> {
        let limits = &self.rules.as_ref().unwrap().limits;
        let met = self.met_on(&order.device);
        if !met.is_empty() && !met.contains(&order.user.as_str()) && count(met.len()) >= limits.users_per_device {
            return no("device_limit_reached");
        }
        if order.quantity > limits.quantity_per_order {
            return no("order_limit_reached");
        }
        self.allowance(&order.user, opener).map_err(|word| (word, Vec::new()))?;
        if self.of(&order.user).filter(|order| order.waits()).count() >= usize::try_from(limits.unpaid_per_user).unwrap() {
            return no("unpaid_limit_reached");
        }
        if self.left(sku) < order.quantity {
            return no("sold_out");
        }
        Ok(())
    }

    fn allowance(&self, user: &str, opener: bool) -> Result<(), &'static str> {
        let limits = &self.rules.as_ref().unwrap().limits;
        let most = if opener { limits.rooms_opened_per_user } else { limits.rooms_joined_per_user };
        if count(self.of(user).filter(|order| order.lives()).count()) >= limits.orders_per_user {
            return Err("order_limit_reached");
        }
        if count(self.of(user).filter(|order| order.lives() && order.opener == opener).count()) >= most {
            return Err("room_limit_reached");
        }
        Ok(())
    }

    /// A room was touched: it is listed as long as somebody can join.
    fn list(&mut self, at: usize, now: i64) {
        let listing = self.rules.as_ref().unwrap().list_rooms;
        let room = &mut self.rooms[at];
        room.listed = listing && room.state == RoomState::Open && room.seats.len() < room.size && now < room.expires_at;
    }

    /// A room forms when all is paid, and fails when nobody is left, or nobody is waited for after the deadline.
    fn settle(&mut self, at: usize, now: i64) {
        let room = &mut self.rooms[at];
        let paid = room.seats.iter().filter(|&&seat| self.orders[seat].owns()).count();
        let outcome = if paid == room.size {
            RoomState::Formed
        } else if room.seats.is_empty() || (now >= room.expires_at && paid == room.seats.len()) {
            RoomState::Failed
        } else {
            return self.list(at, now);
        };
        (room.state, room.closed_at, room.bell) = (outcome, now, false);
        for &seat in &room.seats {
            let order = &mut self.orders[seat];
            if outcome == RoomState::Formed {
                order.state = State::Confirmed;
            } else {
                (order.state, order.reason) = (State::RefundDue, "room_failed");
                let due = order.paid() - order.refunds.iter().map(|(fen, _)| fen).sum::<i64>();
                order.refund(due);
            }
        }
        self.list(at, now);
    }

    fn leave(&mut self, at: usize, reason: &'static str, now: i64) {
        let order = &mut self.orders[at];
        (order.state, order.reason) = (State::Released, reason);
        let room = &mut self.rooms[order.room];
        room.seats.retain(|&seat| seat != at);
        if room.leader == Some(at) {
            let paid = room.seats.iter().find(|&&seat| self.orders[seat].owns());
            room.leader = paid.or(room.seats.first()).copied();
        }
        self.settle(self.orders[at].room, now);
    }

    fn give_up(&mut self, at: usize, reason: &'static str, now: i64) {
        let order = &mut self.orders[at];
        if order.asked {
            (order.state, order.reason, order.close_by) = (State::Closing, reason, now + CLOSING_PATIENCE);
        } else {
            self.leave(at, reason, now);
        }
    }
}

/// Orders.
impl Book {
    fn payment_asked(&mut self, id: &str, user: &str, now: i64) -> Answer {
        let Some(at) = self.order(id).filter(|&at| self.orders[at].user == user) else { return no("not_found") };
        let order = &mut self.orders[at];
        match order.state {
            State::Held if now < order.pay_by => order.asked = true,
            State::Held | State::Closing => return no("order_expired"),
            State::Released if order.reason == "hold_expired" => return no("order_expired"),
            _ => return no("order_not_payable"),
        }
        Ok(("payment_asked", vec![self.order_row(at)]))
    }

    fn cancel(&mut self, id: &str, user: &str, now: i64) -> Answer {
        let Some(at) = self.order(id).filter(|&at| self.orders[at].user == user) else { return no("not_found") };
        match self.orders[at].state {
            State::Held => self.give_up(at, "cancelled", now),
            State::Closing | State::Released => {}
            _ => return no("order_not_cancellable"),
        }
        Ok(("cancelled", vec![self.order_row(at)]))
    }

    fn closed(&mut self, id: &str, now: i64) -> Answer {
        let Some(at) = self.order(id) else { return no("not_found") };
        if self.orders[at].state == State::Closing {
            self.leave(at, self.orders[at].reason, now);
        }
        Ok(("closed", vec![self.order_row(at)]))
    }

    fn pay(&mut self, id: &str, transaction: &str, fen: i64, paid_at: i64, now: i64) -> Answer {
        let Some(at) = self.order(id) else { return no("not_found") };
        let (room, price) = (self.orders[at].room, self.rooms[self.orders[at].room].price);
        if self.orders[at].money.iter().any(|(known, _, _)| known == transaction) {
            return Ok(("paid", vec![self.order_row(at)]));
        }
        let right = fen == price * self.orders[at].quantity;
        let late = right && self.orders[at].state == State::Released;
        let again = late && self.place_for(at, now);
        let buys = again || (right && self.orders[at].waits());
        let order = &mut self.orders[at];
        order.money.push((transaction.to_owned(), fen, buys));
        if buys {
            (order.state, order.reason, order.paid_at) = (State::Paid, "", paid_at);
            if again {
                self.rooms[room].seats.push(at);
            }
            self.settle(room, now);
        } else {
            if late {
                (order.state, order.reason, order.paid_at) = (State::RefundDue, "late_payment", paid_at);
            }
            order.refund(fen);
        }
        Ok(("paid", vec![self.order_row(at)]))
    }

    /// Whether an order that was given up may have a seat again.
    fn place_for(&self, at: usize, now: i64) -> bool {
        let order = &self.orders[at];
        let room = &self.rooms[order.room];
        room.state == RoomState::Open
            && now < room.expires_at
            && room.seats.len() < room.size
            && room.seats.iter().all(|&seat| self.orders[seat].user != order.user)
            && self.left(&room.sku) >= order.quantity
            && self.allowance(&order.user, order.opener).is_ok()
    }

    fn refunded(&mut self, id: &str, number: i64) -> Answer {
        let Some(at) = self.order(id) else { return no("not_found") };
        let order = &mut self.orders[at];
        let Some(refund) = usize::try_from(number - 1).ok().and_then(|place| order.refunds.get_mut(place)) else {
            return no("not_found");
        };
        let first = !std::mem::replace(&mut refund.1, true);
        if first && order.state == State::RefundDue && order.back() >= order.paid() {
            order.state = State::Refunded;
        }
        Ok(("refunded", vec![self.order_row(at)]))
    }

    fn ring(&mut self, timer: &str, now: i64) {
        let (kind, id) = timer.split_once(':').unwrap();
        match kind {
            "campaign" => (self.end_bell, self.status) = (None, Some(Status::Ended)),
            "room" => {
                let at = self.rooms.iter().position(|room| room.id == id).unwrap();
                self.rooms[at].bell = false;
                self.settle(at, now);
            }
            "hold" => self.give_up(self.order(id).unwrap(), "hold_expired", now),
            "close" => self.leave(self.order(id).unwrap(), "close_unanswered", now),
            "key" => drop(self.keys.remove(id)),
            _ => panic!("a timer nobody knows: {timer}"),
        }
    }
}

/// What is counted from rooms and orders.
impl Book {
    /// What an order costs.
    pub fn amount(&self, order: &Order) -> i64 {
        self.rooms[order.room].price * order.quantity
    }

    fn order(&self, id: &str) -> Option<usize> {
        self.orders.iter().position(|order| order.id == id)
    }

    fn of<'a>(&'a self, user: &'a str) -> impl Iterator<Item = &'a Order> {
        self.orders.iter().filter(move |order| order.user == user)
    }

    /// Users who placed an order on a device, the first first.
    fn met_on(&self, device: &str) -> Vec<&str> {
        let mut met = Vec::new();
        for order in self.orders.iter().filter(|order| order.device == device) {
            if !met.contains(&order.user.as_str()) {
                met.push(order.user.as_str());
            }
        }
        met
    }

    fn units(&self, sku: &str, which: impl Fn(&Order) -> bool) -> i64 {
        self.orders.iter().filter(|order| self.rooms[order.room].sku == sku && which(order)).map(|order| order.quantity).sum()
    }

    fn left(&self, sku: &str) -> i64 {
        let (put_in, returned) = self.stock.get(sku).copied().unwrap_or_default();
        put_in - returned - self.units(sku, Order::lives)
    }

    /// Timers that are set, the earliest first.
    fn timers(&self) -> Vec<(i64, String)> {
        let mut timers: Vec<_> = self.end_bell.map(|at| (at, "campaign:end".to_owned())).into_iter().collect();
        timers.extend(self.rooms.iter().filter(|room| room.bell).map(|room| (room.expires_at, format!("room:{}", room.id))));
        for order in &self.orders {
            match order.state {
                State::Held => timers.push((order.pay_by, format!("hold:{}", order.id))),
                State::Closing => timers.push((order.close_by, format!("close:{}", order.id))),
                _ => {}
            }
        }
        timers.extend(self.keys.iter().map(|(scope, (_, _, until))| (*until, format!("key:{scope}"))));
        timers.sort();
        timers
    }

    /// Rooms that are listed, the fullest first.
    fn listed(&self) -> Vec<(i64, String)> {
        let listed = self.rooms.iter().filter(|room| room.listed);
        let mut listed: Vec<_> =
            listed.map(|room| (count(room.size - room.seats.len()) * 10_000_000_000_000 + room.expires_at, room.id.clone())).collect();
        listed.sort();
        listed
    }
}

/// Rows as the program keeps them.
impl Book {
    fn status_row(&self) -> Row {
        let rooms = |state| count(self.rooms.iter().filter(|room| room.state == state).count());
        Row::Status(StatusRow {
            status: self.status.unwrap(),
            version: self.rules.as_ref().unwrap().version,
            rooms_open: rooms(RoomState::Open),
            rooms_formed: rooms(RoomState::Formed),
            rooms_failed: rooms(RoomState::Failed),
        })
    }

    fn stock_row(&self, sku: &str) -> Row {
        let (put_in, returned) = self.stock[sku];
        let (held, sold) = (self.units(sku, Order::waits), self.units(sku, Order::owns));
        Row::Stock(StockRow { put_in, left: self.left(sku), held, sold, returned })
    }

    fn room_row(&self, at: usize) -> Row {
        let room = &self.rooms[at];
        let member = |&seat: &usize| {
            let order = &self.orders[seat];
            MemberRow(order.user.clone(), order.id.clone(), i64::from(!order.waits()))
        };
        Row::Room(RoomRow {
            state: room.state,
            sku: room.sku.clone(),
            size: count(room.size),
            price: room.price,
            leader: room.leader.map(|at| self.orders[at].id.clone()).unwrap_or_default(),
            expires_at: room.expires_at,
            opened_at: room.opened_at,
            closed_at: room.closed_at,
            version: room.version,
            members: room.seats.iter().map(member).collect(),
        })
    }

    fn order_row(&self, at: usize) -> Row {
        let order = &self.orders[at];
        let room = &self.rooms[order.room];
        Row::Order(OrderRow {
            state: order.state,
            sku: room.sku.clone(),
            quantity: order.quantity,
            user: order.user.clone(),
            device: order.device.clone(),
            room: room.id.clone(),
            opener: i64::from(order.opener),
            unit: room.price,
            amount: room.price * order.quantity,
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

    /// The whole hot state: table and field → what it holds.
    pub fn cells(&self) -> BTreeMap<(&'static str, String), Cell> {
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
            let has: [fn(&Order) -> bool; 4] =
                [Order::lives, |order| order.lives() && order.opener, |order| order.lives() && !order.opener, Order::waits];
            cells.insert(("users", user.to_owned()), Cell::User(has.map(orders)));
        }
        for device in self.orders.iter().map(|order| order.device.as_str()).collect::<BTreeSet<_>>() {
            let met = self.met_on(device);
            cells.insert(("devices", device.to_owned()), Cell::Device(count(met.len()), met[0].to_owned()));
            cells.extend(met[1..].iter().map(|user| (("devices", format!("{device}/{user}")), Cell::Met)));
        }
        cells.extend(self.keys.iter().map(|(scope, (body, said, _))| (("keys", scope.clone()), Cell::Key(body.clone(), said.clone()))));
        cells.extend(self.timers().into_iter().map(|(at, name)| (("timers", name), Cell::Score(at))));
        cells.extend(self.listed().into_iter().map(|(score, id)| (("joinable", id), Cell::Score(score))));
        cells
    }
}
