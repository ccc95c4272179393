//! What the model decides: the rules once more, as plain as they can be said. Each function changes the book or says no.

use liebian::campaign::ops::{PausedBy, Status, Step};
use liebian::campaign::rules::Rules;
use liebian::campaign::view::Switches;
use liebian::group_buy::row::State as RoomState;
use liebian::order::row::State;

use super::book::{Book, Order, count, gone};
use super::rows::Row;

/// How long an order is closing before it is given up without an answer, ms.
const CLOSING_PATIENCE: i64 = 600_000;

pub(super) type Answer = super::frame::Answer<Row>;

pub(super) fn no<T>(word: &'static str) -> Result<T, (&'static str, Vec<Row>)> {
    Err((word, Vec::new()))
}

/// What operators do.
impl Book {
    pub(super) fn publish(&mut self, rules: &Rules, stock: &[(String, i64)]) -> Answer {
        let version = self.rules.as_ref().map_or(0, |rules| rules.version);
        if rules.version < version {
            return no("campaign_state");
        }
        if rules.version > version {
            if self.status == Some(Status::Ended) {
                return no("campaign_state");
            }
            if self.status.is_none() {
                self.status = Some(Status::Live);
                self.stock = stock.iter().map(|(sku, units)| (sku.clone(), (*units, 0))).collect();
            }
            self.plan("campaign", &rules.version.to_string(), rules.ends_at);
            self.rules = Some(rules.clone());
        }
        Ok(("published", vec![self.status_row()]))
    }

    pub(super) fn set_status(&mut self, step: Step) -> Answer {
        match (step, self.status) {
            (_, None) | (Step::Pause | Step::Resume, Some(Status::Ended)) => return no("campaign_state"),
            (Step::Pause, _) => self.held_back = true,
            // A campaign that nobody holds back goes on as it is.
            (Step::Resume, _) if self.paused_by() != PausedBy::Nobody && !self.affords_any() => return no("budget_exhausted"),
            (Step::Resume, _) => self.held_back = false,
            (Step::End, _) => self.status = Some(Status::Ended),
        }
        Ok(("status", vec![self.status_row()]))
    }

    pub(super) fn set_switches(&mut self, open: Option<bool>, join: Option<bool>) -> Answer {
        if self.status.is_none() {
            return no("campaign_state");
        }
        let Switches { open: opens, join: joins } = self.switches;
        self.switches = Switches { open: open.unwrap_or(opens), join: join.unwrap_or(joins) };
        Ok(("switches", vec![self.status_row()]))
    }

    /// Why nobody passes a switch now.
    pub(super) fn halted(&self, on: bool) -> Result<(), (&'static str, Vec<Row>)> {
        match self.paused_by() {
            PausedBy::LossBudget => no("budget_exhausted"),
            PausedBy::Operator => no("campaign_not_live"),
            PausedBy::Nobody if !on => no("campaign_not_live"),
            PausedBy::Nobody => Ok(()),
        }
    }

    pub(super) fn add_stock(&mut self, sku: &str, units: i64) -> Answer {
        let Some(rules) = &self.rules else { return no("campaign_state") };
        if !rules.items.contains_key(sku) {
            return no("not_found");
        }
        let (put_in, returned) = self.stock.get(sku).copied().unwrap_or_default();
        if put_in - returned + units > 1_000_000_000 || put_in + units > 1_000_000_000_000 {
            return no("invalid_request");
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
    /// Places an order; answers where it stands.
    pub(super) fn place(&mut self, order: Order, now: i64) -> usize {
        let rules = self.rules.as_ref().unwrap();
        let (pay_by, version) = (now + rules.payment_ttl, rules.version);
        self.plan("hold", &order.id, pay_by);
        self.orders.push(Order { created_at: now, pay_by, version, ..order });
        self.orders.len() - 1
    }

    pub(super) fn seat(&mut self, order: Order, room: usize, now: i64) -> Vec<Row> {
        let at = self.place(Order { room: Some(room), sku: self.rooms[room].sku.clone(), ..order }, now);
        self.rooms[room].seats.push(at);
        self.list(room, now);
        vec![self.room_row(room), self.order_row(at)]
    }

    /// Why an order may not be placed that opens a room, joins one (`Some(false)`) or does without, with so many units that must be left, at
    /// this price of one.
    pub(super) fn bars(
        &self,
        order: &Order,
        opener: Option<bool>,
        sku: &str,
        units: i64,
        price: i64,
    ) -> Result<(), (&'static str, Vec<Row>)> {
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
        if self.left(sku) < units {
            return no("sold_out");
        }
        if !self.affords(self.loss_of(sku, price, opener.is_some(), order.quantity)) {
            return no("budget_exhausted");
        }
        Ok(())
    }

    pub(super) fn allowance(&self, user: &str, opener: Option<bool>) -> Result<(), &'static str> {
        let limits = &self.rules.as_ref().unwrap().limits;
        if count(self.of(user).filter(|order| order.lives()).count()) >= limits.orders_per_user {
            return Err("order_limit_reached");
        }
        if let Some(opener) = opener {
            let most = if opener { limits.rooms_opened_per_user } else { limits.rooms_joined_per_user };
            let same = |order: &&Order| order.lives() && order.room.is_some() && order.opener == opener;
            if count(self.of(user).filter(same).count()) >= most {
                return Err("room_limit_reached");
            }
        }
        Ok(())
    }

    /// A room was touched: it is listed as long as somebody can join.
    pub(super) fn list(&mut self, at: usize, now: i64) {
        let listing = self.rules.as_ref().unwrap().list_rooms;
        let room = &mut self.rooms[at];
        room.listed = listing && room.state == RoomState::Open && !room.full() && now < room.expires_at;
    }

    /// A room forms when all is paid, or nobody is waited for after the deadline and enough have paid; it fails when they are too few, or
    /// nobody is left.
    pub(super) fn settle(&mut self, at: usize, now: i64) {
        let room = &mut self.rooms[at];
        let paid = room.seats.iter().filter(|&&seat| self.orders[seat].owns()).count();
        let over = now >= room.expires_at && paid == room.seats.len();
        let price = if over || paid == room.size() { room.reached(paid) } else { None };
        let outcome = if price.is_some() {
            RoomState::Formed
        } else if over || room.seats.is_empty() {
            RoomState::Failed
        } else {
            return self.list(at, now);
        };
        (room.state, room.closed_at) = (outcome, now);
        for &seat in &room.seats {
            let order = &mut self.orders[seat];
            if let Some(price) = price {
                order.state = State::Confirmed;
                let above = (order.unit - price) * order.quantity;
                if above > 0 {
                    order.refund(above);
                }
            } else {
                order.take_back("room_failed");
            }
        }
        self.list(at, now);
    }

    pub(super) fn leave(&mut self, at: usize, reason: &'static str, now: i64) {
        let order = &mut self.orders[at];
        (order.state, order.reason) = (State::Released, reason);
        self.vacate(at, now);
    }

    fn vacate(&mut self, at: usize, now: i64) {
        let Some(room_at) = self.orders[at].room else { return };
        let room = &mut self.rooms[room_at];
        room.seats.retain(|&seat| seat != at);
        if room.leader == Some(at) {
            let paid = room.seats.iter().find(|&&seat| self.orders[seat].owns());
            room.leader = paid.or(room.seats.first()).copied();
        }
        self.settle(room_at, now);
    }

    pub(super) fn give_up(&mut self, at: usize, reason: &'static str, now: i64) {
        let order = &mut self.orders[at];
        if order.asked {
            (order.state, order.reason) = (State::Closing, reason);
            let id = order.id.clone();
            self.plan("close", &id, now + CLOSING_PATIENCE);
        } else {
            self.leave(at, reason, now);
        }
    }
}

/// Orders.
impl Book {
    pub(super) fn payment_asked(&mut self, id: &str, user: &str, now: i64) -> Answer {
        let Some(at) = self.order(id).filter(|&at| self.orders[at].user == user) else { return no("not_found") };
        let order = &mut self.orders[at];
        match order.state {
            State::Held if now < order.pay_by => order.asked = true,
            State::Held => return no("order_expired"),
            State::Closing | State::Released if order.reason != "cancelled" && !order.called_off() => return no("order_expired"),
            _ => return no("order_not_payable"),
        }
        Ok(("payment_asked", vec![self.order_row(at)]))
    }

    pub(super) fn cancel(&mut self, id: &str, user: &str, now: i64) -> Answer {
        let Some(at) = self.order(id).filter(|&at| self.orders[at].user == user) else { return no("not_found") };
        match self.orders[at].state {
            State::Held => self.give_up(at, "cancelled", now),
            State::Closing | State::Released => {}
            _ => return no("order_not_cancellable"),
        }
        Ok(("cancelled", vec![self.order_row(at)]))
    }

    pub(super) fn closed(&mut self, id: &str, now: i64) -> Answer {
        let Some(at) = self.order(id) else { return no("not_found") };
        if self.orders[at].state == State::Closing {
            self.leave(at, self.orders[at].reason, now);
        }
        Ok(("closed", vec![self.order_row(at)]))
    }

    pub(super) fn pay(&mut self, id: &str, (transaction, fen, paid_at): (&str, i64, i64), barred: bool, now: i64) -> Answer {
        let Some(at) = self.order(id) else { return no("not_found") };
        if self.orders[at].money.iter().any(|(known, _, _)| known == transaction) {
            return Ok(("paid", vec![self.order_row(at)]));
        }
        let right = fen == self.orders[at].amount();
        let called_off = self.orders[at].called_off();
        if right && (barred || called_off) && self.orders[at].waits() {
            let reason = if barred { "newcomers_only" } else { self.orders[at].reason };
            self.leave(at, reason, now);
        }
        let late = right && self.orders[at].state == State::Released;
        let again = late && !barred && !called_off && self.place_for(at, now);
        let buys = again || (right && self.orders[at].waits());
        self.orders[at].money.push((transaction.to_owned(), fen, buys));
        let order = &mut self.orders[at];
        if buys {
            (order.state, order.reason, order.paid_at) = (State::Paid, "", paid_at);
            match order.room {
                Some(room) => {
                    if again {
                        self.rooms[room].seats.push(at);
                    }
                    self.settle(room, now);
                }
                None => order.state = State::Confirmed,
            }
        } else {
            if late {
                let reason = if barred { "newcomers_only" } else { "late_payment" };
                (order.state, order.reason, order.paid_at) = (gone(fen), reason, paid_at);
            }
            order.refund(fen);
        }
        Ok(("paid", vec![self.order_row(at)]))
    }

    /// Whether an order that was given up may have a seat again.
    pub(super) fn place_for(&self, at: usize, now: i64) -> bool {
        let order = &self.orders[at];
        let Some(room) = order.room.map(|room| &self.rooms[room]) else {
            let over = self.status == Some(Status::Ended) || now >= self.rules.as_ref().unwrap().ends_at;
            return !over
                && self.left(&order.sku) >= order.quantity
                && self.allowance(&order.user, None).is_ok()
                && self.affords(self.loss(order));
        };
        room.state == RoomState::Open
            && now < room.expires_at
            && !room.full()
            && room.seats.iter().all(|&seat| self.orders[seat].user != order.user)
            && self.left(&room.sku) >= room.needs(order.quantity)
            && self.allowance(&order.user, Some(order.opener)).is_ok()
            && self.affords(self.loss(order))
    }

    pub(super) fn refunded(&mut self, id: &str, number: i64) -> Answer {
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

    pub(super) fn fulfil(&mut self, id: &str) -> Answer {
        let Some(at) = self.order(id) else { return no("not_found") };
        match self.orders[at].state {
            State::Confirmed => self.orders[at].state = State::Fulfilled,
            State::Fulfilled => {}
            _ => return no("order_not_fulfillable"),
        }
        Ok(("fulfilled", vec![self.order_row(at)]))
    }

    /// `fen` 0: the rest.
    pub(super) fn refund(&mut self, id: &str, fen: i64, reason: &'static str, now: i64) -> Answer {
        let Some(at) = self.order(id) else { return no("not_found") };
        let order = &self.orders[at];
        let repeated = order.gone() && (fen == 0 || order.refunds.last().is_some_and(|(last, _)| *last == fen));
        if !repeated {
            if !order.owns() || fen > order.kept() {
                return no("not_refundable");
            }
            if fen == 0 || fen == order.kept() {
                self.undo(at, reason, now);
            } else if order.state == State::Paid {
                return no("not_refundable");
            } else {
                self.orders[at].refund(fen);
            }
        }
        Ok(("refunding", vec![self.order_row(at)]))
    }

    pub(super) fn call_off(&mut self, id: &str, reason: &'static str, now: i64) -> Answer {
        let Some(at) = self.order(id) else { return no("not_found") };
        match self.orders[at].state {
            State::Held => self.give_up(at, reason, now),
            State::Closing | State::Released if !self.orders[at].called_off() => self.orders[at].reason = reason,
            State::Paid | State::Confirmed => self.undo(at, reason, now),
            State::Fulfilled => return no("order_not_cancellable"),
            _ => {}
        }
        Ok(("called_off", vec![self.order_row(at)]))
    }

    /// A paid order is undone: its seat in an open room is free; what was handed over comes back to the shop, not to stock.
    fn undo(&mut self, at: usize, reason: &'static str, now: i64) {
        let order = &mut self.orders[at];
        let handed_over = order.state == State::Fulfilled;
        order.take_back(reason);
        let (room, sku, quantity) = (order.room, order.sku.clone(), order.quantity);
        if handed_over {
            self.stock.get_mut(&sku).unwrap().1 += quantity;
        }
        if room.is_some_and(|room| self.rooms[room].state == RoomState::Open) {
            self.vacate(at, now);
        }
    }

    pub(super) fn due(&mut self, kind: &str, id: &str, now: i64) {
        let order = |book: &Self, state| book.order(id).filter(|&at| book.orders[at].state == state);
        match kind {
            "campaign" if self.rules.as_ref().is_some_and(|rules| now >= rules.ends_at) => self.status = Some(Status::Ended),
            "campaign" => {}
            "room" => {
                let at = self.rooms.iter().position(|room| room.id == id).unwrap();
                if self.rooms[at].state == RoomState::Open {
                    self.settle(at, now);
                }
            }
            "hold" => {
                if let Some(at) = order(self, State::Held) {
                    self.give_up(at, "hold_expired", now);
                }
            }
            "close" => {
                if let Some(at) = order(self, State::Closing) {
                    let reason = if self.orders[at].called_off() { self.orders[at].reason } else { "close_unanswered" };
                    self.leave(at, reason, now);
                }
            }
            _ => panic!("a timer nobody knows: {kind}"),
        }
    }
}
