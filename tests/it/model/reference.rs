//! The rules of a group-buy, and rooms as shoppers see them.

use liebian::audit::{fold::Fold, invariants as audit};
use liebian::campaign::ops::Status;
use liebian::group_buy::PROGRAM;
use liebian::group_buy::ops::Alternative;
use liebian::group_buy::row::State as RoomState;
use liebian::hot::Program;
use liebian::hot::entry::Entry;

use super::book::{Book, Order, Room, count};
use super::decisions::{Answer, no};
use super::frame::{Cells, Frame, Kind};
use super::invariants;
use super::ops::Op;
use super::rows::{Cell, Row};

const CANDIDATES: usize = 50;

impl Kind for Book {
    type Op = Op;
    type Row = Row;
    type Cell = Cell;
    const TICK: Op = Op::Tick;
    const NONSENSE: Op = Op::Nonsense;

    fn program() -> &'static Program {
        &PROGRAM
    }

    fn frame(&mut self) -> &mut Frame<Row> {
        &mut self.frame
    }

    fn begin(&mut self) {
        self.listed_before = self.listed();
    }

    fn decide(&mut self, op: &Op, now: i64) -> Answer {
        match op {
            Op::Publish { definition, stock } => self.publish(definition, stock),
            Op::SetStatus { step } => self.set_status(*step),
            Op::SetSwitches { open, join } => self.set_switches(*open, *join),
            Op::AddStock { sku, units } => self.add_stock(sku, *units),
            Op::OpenRoom { room, order, user, device, sku, quantity } => self.open(room, Order::new(order, user, device, *quantity), sku, now),
            Op::JoinRoom { room, order, user, device, quantity, newcomer } => {
                self.join(room, Order { newcomer: *newcomer, ..Order::new(order, user, device, *quantity) }, now)
            }
            Op::OrderSolo { order, user, device, sku, quantity } => self.solo(Order::new(order, user, device, *quantity), sku, now),
            Op::PaymentAsked { order, user } => self.payment_asked(order, user, now),
            Op::Cancel { order, user } => self.cancel(order, user, now),
            Op::Closed { order } => self.closed(order, now),
            Op::Pay { order, transaction, amount, paid_at, barred } => {
                self.pay(order, (transaction, *amount, *paid_at), barred.is_some(), now)
            }
            Op::Refunded { order, number } => self.refunded(order, *number),
            Op::Fulfil { order } => self.fulfil(order),
            Op::Refund { order, amount, reason } => self.refund(order, *amount, reason, now),
            Op::CallOff { order, reason } => self.call_off(order, reason, now),
            Op::Decline { word } => no(word),
            Op::Tick | Op::Nonsense => panic!("not the book's to decide"),
        }
    }

    fn ring(&mut self, kind: &str, id: &str, now: i64) {
        self.due(kind, id, now);
    }

    fn cells(&self) -> Cells<Self> {
        self.every_cell()
    }

    fn read(table: &str, field: &str, value: &[u8]) -> Cell {
        Cell::read(table, field, value)
    }

    fn hold(cells: &Cells<Self>) {
        invariants::hold(cells);
    }

    fn told(log: &[Entry], cells: &Cells<Self>) {
        invariants::told(log, cells);
        let mut fold = Fold::default();
        log.iter().cloned().for_each(|entry| fold.add(entry));
        for check in audit::all(&fold) {
            assert!(check.ok, "the audit says {}: {}", check.name, check.detail);
        }
    }
}

impl Book {
    fn open(&mut self, id: &str, order: Order, sku: &str, now: i64) -> Answer {
        if let Some(at) = self.rooms.iter().position(|room| room.id == id) {
            let order = self.order(&order.id).unwrap();
            return Ok(("opened", vec![self.room_row(at), self.order_row(order)]));
        }
        let Some(item) = self.rules.as_ref().and_then(|rules| rules.items.get(sku).cloned()) else { return no("not_found") };
        self.running(now)?;
        let rules = self.rules.clone().unwrap();
        let tiers: Vec<_> = item.tiers.iter().map(|tier| (usize::try_from(tier.size).unwrap(), tier.price)).collect();
        let others = if item.reserve_room { count(tiers[0].0) - 1 } else { 0 };
        let unit = item.leader_price.unwrap_or(tiers[0].1);
        self.bars(&order, Some(true), sku, order.quantity + others, unit)?;
        let expires_at = rules.ends_at.min(now + rules.room_ttl);
        self.rooms.push(Room {
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
            leader: Some(self.orders.len()),
            listed: false,
        });
        self.plan("room", id, expires_at);
        Ok(("opened", self.seat(Order { opener: true, unit, ..order }, self.rooms.len() - 1, now)))
    }

    fn solo(&mut self, order: Order, sku: &str, now: i64) -> Answer {
        if let Some(known) = self.order(&order.id) {
            return Ok(("ordered", vec![self.order_row(known), Row::Id(order.id)]));
        }
        let item = self.rules.as_ref().and_then(|rules| rules.items.get(sku));
        let Some(unit) = item.and_then(|item| item.solo_price) else { return no("not_found") };
        self.running(now)?;
        self.bars(&order, None, sku, order.quantity, unit)?;
        let id = order.id.clone();
        let at = self.place(Order { sku: sku.to_owned(), unit, ..order }, now);
        Ok(("ordered", vec![self.order_row(at), Row::Id(id)]))
    }

    /// Whether anything new may begin.
    fn running(&self, now: i64) -> Result<(), (&'static str, Vec<Row>)> {
        let rules = self.rules.as_ref().unwrap();
        match self.status {
            Some(Status::Ended) => no("campaign_ended"),
            _ if now >= rules.ends_at => no("campaign_ended"),
            _ if now < rules.starts_at => no("campaign_not_live"),
            _ => self.halted(self.switches.open),
        }
    }

    fn join(&mut self, room_id: &str, order: Order, now: i64) -> Answer {
        let Some(at) = self.rooms.iter().position(|room| room.id == room_id) else { return no("not_found") };
        let room = &self.rooms[at];
        if let Some(&mine) = room.seats.iter().find(|&&seat| self.orders[seat].user == order.user) {
            return Ok(("already_in_room", vec![self.room_row(at), self.order_row(mine)]));
        }
        if let Some(known) = self.order(&order.id) {
            return Ok(("joined", vec![self.room_row(at), self.order_row(known)]));
        }
        let shut = match room.state {
            RoomState::Formed | RoomState::Failed => Some("room_closed"),
            RoomState::Open if now >= room.expires_at => Some("room_expired"),
            RoomState::Open if room.full() => Some("room_full"),
            RoomState::Open => None,
        };
        if let Some(word) = shut {
            let sku = room.sku.clone();
            return Err((word, self.alternative(&sku, &order.user, now).into_iter().map(Row::Other).collect()));
        }
        self.halted(self.switches.join)?;
        if self.rules.as_ref().unwrap().newcomers_only && !order.newcomer {
            return no("newcomers_only");
        }
        let unit = room.tiers[0].1;
        self.bars(&order, Some(false), &room.sku, room.needs(order.quantity), unit)?;
        Ok(("joined", self.seat(Order { unit, ..order }, at, now)))
    }

    /// The fullest room, then the one that ends first, of those listed when the batch began.
    fn alternative(&self, sku: &str, user: &str, now: i64) -> Option<Alternative> {
        let rooms = self.listed_before.iter().take(CANDIDATES).map(|(_, id)| self.rooms.iter().find(|room| room.id == *id).unwrap());
        let mut joinable = rooms.filter(|room| {
            room.sku == sku
                && room.state == RoomState::Open
                && !room.full()
                && now < room.expires_at
                && !room.seats.iter().any(|&seat| self.orders[seat].user == user)
        });
        joinable.next().map(|room| Alternative(room.id.clone(), count(room.size() - room.seats.len()), room.expires_at))
    }
}
