//! The reference model: batches, sequence numbers, Idempotency-Keys, timers, and rooms as shoppers see them.

use liebian::campaign::ops::Status;
use liebian::group_buy::ops::Alternative;
use liebian::group_buy::row::State as RoomState;

use super::book::{Book, Order, Room, TOGETHER, count};
use super::decisions::{Answer, no};
use super::ops::{Op, Sent};
use super::rows::{Row, Said};

const KEY_LIFE: i64 = 86_400_000;
const CANDIDATES: usize = 50;

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

impl Reference {
    /// Decides a batch at a time.
    pub fn batch(&mut self, at: i64, ops: &[Sent]) -> Vec<Said> {
        self.now = self.now.max(at);
        self.timers_before = self.book.timers();
        self.listed_before = self.book.listed();
        let said = ops.iter().map(|sent| self.one(sent)).collect();
        self.book.set_timers();
        said
    }

    /// When the next timer is due; -1 for none.
    pub fn next_timer(&self) -> i64 {
        self.book.timers().first().map_or(-1, |(at, _)| *at)
    }

    fn one(&mut self, sent: &Sent) -> Said {
        let fresh = |yes, word: &str, seq, rows| Said { yes, word: word.to_owned(), seq, replayed: false, rows };
        if let Some(key) = &sent.key
            && let Some((body, said)) = self.book.keys.get(key)
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
            self.book.keys.insert(key.clone(), (body.clone(), said.clone()));
            self.book.plan("key", key, self.now + KEY_LIFE);
        }
        said
    }

    fn decide(&mut self, op: &Op) -> Answer {
        let now = self.now;
        match op {
            Op::Publish { definition, stock } => self.book.publish(definition, stock),
            Op::SetStatus { step } => self.book.set_status(*step),
            Op::SetSwitches { open, join } => self.book.set_switches(*open, *join),
            Op::AddStock { sku, units } => self.book.add_stock(sku, *units),
            Op::OpenRoom { room, order, user, device, sku, quantity } => self.open(room, Order::new(order, user, device, *quantity), sku),
            Op::JoinRoom { room, order, user, device, quantity, newcomer } => {
                self.join(room, Order { newcomer: *newcomer, ..Order::new(order, user, device, *quantity) })
            }
            Op::OrderSolo { order, user, device, sku, quantity } => self.solo(Order::new(order, user, device, *quantity), sku),
            Op::PaymentAsked { order, user } => self.book.payment_asked(order, user, now),
            Op::Cancel { order, user } => self.book.cancel(order, user, now),
            Op::Closed { order } => self.book.closed(order, now),
            Op::Pay { order, transaction, amount, paid_at, barred } => {
                self.book.pay(order, (transaction, *amount, *paid_at), barred.is_some(), now)
            }
            Op::Refunded { order, number } => self.book.refunded(order, *number),
            Op::Fulfil { order } => self.book.fulfil(order),
            Op::Refund { order, amount, reason } => self.book.refund(order, *amount, reason, now),
            Op::CallOff { order, reason } => self.book.call_off(order, reason, now),
            Op::Decline { word } => no(word),
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
        let Some(item) = book.rules.as_ref().and_then(|rules| rules.items.get(sku).cloned()) else { return no("not_found") };
        self.running()?;
        let book = &mut self.book;
        let rules = book.rules.clone().unwrap();
        let tiers: Vec<_> = item.tiers.iter().map(|tier| (usize::try_from(tier.size).unwrap(), tier.price)).collect();
        let others = if item.reserve_room { count(tiers[0].0) - 1 } else { 0 };
        let unit = item.leader_price.unwrap_or(tiers[0].1);
        book.bars(&order, Some(true), sku, order.quantity + others, unit)?;
        let expires_at = rules.ends_at.min(now + rules.room_ttl);
        book.rooms.push(Room {
            id: id.to_owned(),
            sku: sku.to_owned(),
            tiers,
            accept_from: rules.accept_from.map_or(0, |from| usize::try_from(from).unwrap()),
            reserve: item.reserve_room,
            opened_at: now,
            expires_at,
            closed_at: 0,
            version: rules.version,
            state: RoomState::Open,
            seats: Vec::new(),
            leader: Some(book.orders.len()),
            listed: false,
        });
        book.plan("room", id, expires_at);
        Ok(("opened", book.seat(Order { opener: true, unit, ..order }, book.rooms.len() - 1, now)))
    }

    fn solo(&mut self, order: Order, sku: &str) -> Answer {
        let (now, book) = (self.now, &self.book);
        if let Some(known) = book.order(&order.id) {
            return Ok(("ordered", vec![book.order_row(known), Row::Id(order.id)]));
        }
        let item = book.rules.as_ref().and_then(|rules| rules.items.get(sku));
        let Some(unit) = item.and_then(|item| item.solo_price) else { return no("not_found") };
        self.running()?;
        self.book.bars(&order, None, sku, order.quantity, unit)?;
        let id = order.id.clone();
        let at = self.book.place(Order { sku: sku.to_owned(), unit, ..order }, now);
        Ok(("ordered", vec![self.book.order_row(at), Row::Id(id)]))
    }

    /// Whether anything new may begin.
    fn running(&self) -> Result<(), (&'static str, Vec<Row>)> {
        let rules = self.book.rules.as_ref().unwrap();
        match self.book.status {
            Some(Status::Ended) => no("campaign_ended"),
            _ if self.now >= rules.ends_at => no("campaign_ended"),
            _ if self.now < rules.starts_at => no("campaign_not_live"),
            _ => self.book.halted(self.book.switches.open),
        }
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
            RoomState::Open if room.full() => Some("room_full"),
            RoomState::Open => None,
        };
        if let Some(word) = shut {
            let sku = room.sku.clone();
            return Err((word, self.alternative(&sku, &order.user).into_iter().map(Row::Other).collect()));
        }
        book.halted(book.switches.join)?;
        if book.rules.as_ref().unwrap().newcomers_only && !order.newcomer {
            return no("newcomers_only");
        }
        let unit = room.tiers[0].1;
        book.bars(&order, Some(false), &room.sku, room.needs(order.quantity), unit)?;
        Ok(("joined", book.seat(Order { unit, ..order }, at, now)))
    }

    /// The fullest room, then the one that ends first, of those listed when the batch began.
    fn alternative(&self, sku: &str, user: &str) -> Option<Alternative> {
        let rooms = self.listed_before.iter().take(CANDIDATES).map(|(_, id)| self.book.rooms.iter().find(|room| room.id == *id).unwrap());
        let mut joinable = rooms.filter(|room| {
            room.sku == sku
                && room.state == RoomState::Open
                && !room.full()
                && self.now < room.expires_at
                && !room.seats.iter().any(|&seat| self.book.orders[seat].user == user)
        });
        joinable.next().map(|room| Alternative(room.id.clone(), count(room.size() - room.seats.len()), room.expires_at))
    }

    fn tick(&mut self) {
        let due: Vec<_> = self.timers_before.iter().filter(|(at, _)| *at <= self.now).cloned().collect();
        let mut left = TOGETHER;
        for (at, timer) in due {
            // A tick of the same batch may have fired it.
            if left == 0 || self.book.timers.remove(&timer).is_none() {
                continue;
            }
            let mut words = timer.split(' ').map(str::to_owned);
            let kind = words.next().unwrap();
            let ids: Vec<_> = words.collect();
            let (now, later) = ids.split_at(left.min(ids.len()));
            self.book.set_timer(&kind, later, at);
            for id in now {
                self.book.ring(&kind, id, self.now);
            }
            left -= now.len();
        }
    }
}
