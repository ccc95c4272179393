//! The model.

use std::collections::{BTreeMap, BTreeSet};

use liebian::bargain::row::{ChainRow, CutRow, State};
use liebian::bargain::schedule::{Algorithm, Schedule};
use liebian::campaign::ops::StockRow;
use liebian::campaign::rules::BargainRules;
use liebian::order::row::{OrderRow, RefundRow, State as OrderState};

/// The only thing on sale.
pub const SKU: &str = "cream";
const DAY: i64 = 86_400_000;
const CLOSING: i64 = 600_000;

/// What a shopper did with a chain.
pub struct Chain {
    pub id: String,
    pub user: String,
    pub schedule: Schedule,
    /// Helper, steps, when.
    pub cuts: Vec<(String, i64, i64)>,
    pub started_at: i64,
    /// Its orders, the newest last.
    pub orders: Vec<usize>,
    /// How and when it ended.
    pub ended: Option<(State, i64)>,
}

pub struct Order {
    pub id: String,
    pub chain: usize,
    pub state: OrderState,
    pub unit: i64,
    pub created_at: i64,
    pub asked: bool,
    pub reason: String,
    pub closing_since: i64,
    pub paid_at: i64,
    pub settled: String,
    /// Every payment's number and fen.
    pub payments: Vec<(String, i64)>,
    pub refunds: Vec<RefundRow>,
}

pub struct Book {
    pub rules: BargainRules,
    pub put_in: i64,
    pub paused: bool,
    pub ended: bool,
    pub chains: Vec<Chain>,
    pub orders: Vec<Order>,
    /// Who acted on which device, in order.
    pub met: BTreeMap<String, Vec<String>>,
}

/// What the model says to an op: a word, and the id of the chain or order that comes with a yes.
pub type Said = Result<(&'static str, String), &'static str>;

impl Order {
    fn waits(&self) -> bool {
        matches!(self.state, OrderState::Held | OrderState::Closing)
    }
}

impl Chain {
    fn step_sum(&self, from: i64, count: i64) -> i64 {
        let (from, count) = (usize::try_from(from).unwrap(), usize::try_from(count).unwrap());
        self.schedule.steps[from..from + count].iter().sum()
    }

    pub fn taken(&self) -> i64 {
        self.cuts.iter().map(|cut| cut.1).sum()
    }

    pub fn complete(&self) -> bool {
        self.taken() == i64::try_from(self.schedule.steps.len()).unwrap()
    }
}

impl Book {
    fn find(&self, id: &str) -> Result<usize, &'static str> {
        self.chains.iter().position(|chain| chain.id == id).ok_or("not_found")
    }

    fn price(&self, at: usize) -> i64 {
        let chain = &self.chains[at];
        self.rules.items[SKU].start - chain.step_sum(0, chain.taken())
    }

    fn buy_by(&self, at: usize) -> i64 {
        let chain = &self.chains[at];
        if chain.complete() { chain.cuts.last().unwrap().2 + self.rules.buy_ttl } else { 0 }
    }

    fn expires_at(&self, at: usize) -> i64 {
        (self.chains[at].started_at + self.rules.chain_ttl).min(self.rules.ends_at)
    }

    fn deadline(&self, at: usize) -> i64 {
        if self.chains[at].complete() { self.buy_by(at) } else { self.expires_at(at) }
    }

    /// The order that holds the chain, or has bought it.
    fn order(&self, at: usize) -> Option<usize> {
        let last = *self.chains[at].orders.iter().find(|&&order| self.orders[order].waits() || !self.orders[order].settled.is_empty())?;
        Some(last)
    }

    fn keeps(&self, at: usize) -> bool {
        self.rules.reserve_at_start && self.chains[at].ended.is_none() && self.order(at).is_none()
    }

    pub fn stock(&self) -> StockRow {
        let held = self.orders.iter().filter(|order| order.waits()).count() + (0..self.chains.len()).filter(|&at| self.keeps(at)).count();
        let sold = self.orders.iter().filter(|order| order.state == OrderState::Confirmed).count();
        let (held, sold) = (i64::try_from(held).unwrap(), i64::try_from(sold).unwrap());
        StockRow { put_in: self.put_in, left: self.put_in - held - sold, held, sold, returned: 0 }
    }

    fn closed(&self, now: i64) -> Result<(), &'static str> {
        if self.ended || now >= self.rules.ends_at {
            Err("campaign_ended")
        } else if self.paused || now < self.rules.starts_at {
            Err("campaign_not_live")
        } else {
            Ok(())
        }
    }

    fn on_device(&self, user: &str, device: &str) -> Result<(), &'static str> {
        let none = Vec::new();
        let met = self.met.get(device).unwrap_or(&none);
        let full = i64::try_from(met.len()).unwrap() >= self.rules.limits.users_per_device;
        if full && !met.iter().any(|known| known == user) && !met.is_empty() { Err("device_limit_reached") } else { Ok(()) }
    }

    fn meet(&mut self, user: &str, device: &str) {
        let met = self.met.entry(device.to_owned()).or_default();
        if !met.iter().any(|known| known == user) {
            met.push(user.to_owned());
        }
    }

    /// Chains started, helps in all, the day of the last one and how many there were then.
    pub fn person(&self, user: &str) -> [i64; 4] {
        let started = self.chains.iter().filter(|chain| chain.user == user).count();
        let helps = self.chains.iter().filter(|chain| chain.user != user).flat_map(|chain| &chain.cuts).filter(|cut| cut.0 == user);
        let days: Vec<i64> = helps.map(|cut| (cut.2 + 28_800_000).div_euclid(DAY)).collect();
        let day = days.iter().copied().max().unwrap_or(0);
        let today = days.iter().filter(|one| **one == day).count();
        [started, days.len(), usize::try_from(day).unwrap(), today].map(|count| i64::try_from(count).unwrap())
    }

    pub fn start(&mut self, id: &str, (user, device): (&str, &str), schedule: &Schedule, now: i64) -> Said {
        if let Some(own) = self.chains.iter().find(|chain| chain.user == user && chain.ended.is_none()) {
            return Ok(("had", own.id.clone()));
        }
        self.closed(now)?;
        self.on_device(user, device)?;
        if self.person(user)[0] >= self.rules.limits.chains_per_user {
            return Err("chain_limit_reached");
        } else if self.stock().left < 1 {
            return Err("sold_out");
        }
        self.meet(user, device);
        let own = (self.rules.self_cuts > 0).then(|| (user.to_owned(), self.rules.self_cuts, now));
        let cuts = own.into_iter().collect();
        let (id, user, schedule) = (id.to_owned(), user.to_owned(), schedule.clone());
        self.chains.push(Chain { id: id.clone(), user, schedule, cuts, started_at: now, orders: Vec::new(), ended: None });
        Ok(("started", id))
    }

    pub fn cut(&mut self, id: &str, (user, device): (&str, &str), newcomer: bool, now: i64) -> Said {
        let at = self.find(id)?;
        let chain = &self.chains[at];
        if chain.user == user {
            return Err("own_chain");
        } else if chain.cuts.iter().any(|cut| cut.0 == user) {
            return Ok(("had", id.to_owned()));
        }
        match chain.ended {
            Some((State::Bought, _)) => return Err("chain_complete"),
            Some(_) => return Err("chain_expired"),
            None if chain.complete() => return Err("chain_complete"),
            None if now >= self.expires_at(at) => return Err("chain_expired"),
            None if self.paused => return Err("campaign_not_live"),
            None => {}
        }
        self.on_device(user, device)?;
        let [_, helps, day, today] = self.person(user);
        let today = if day == (now + 28_800_000).div_euclid(DAY) { today } else { 0 };
        if helps >= self.rules.limits.helps_per_campaign || today >= self.rules.limits.helps_per_day {
            return Err("help_limit_reached");
        }
        self.meet(user, device);
        let steps = if newcomer { self.rules.newcomer_cuts } else { 1 };
        let chain = &mut self.chains[at];
        let left = self.rules.helpers - chain.taken();
        chain.cuts.push((user.to_owned(), steps.min(left), now));
        Ok(("cut", id.to_owned()))
    }

    pub fn order_chain(&mut self, id: &str, order: &str, (user, device): (&str, &str), now: i64) -> Said {
        let at = self.find(id)?;
        if self.chains[at].user != user {
            return Err("forbidden");
        }
        match (self.chains[at].ended, self.order(at)) {
            (Some((State::Bought, _)), _) => return Err("chain_complete"),
            (None, Some(waiting)) => return Ok(("awaiting", self.orders[waiting].id.clone())),
            (Some(_), _) => return Err("chain_expired"),
            (None, None) if now >= self.deadline(at) => return Err("chain_expired"),
            (None, None) => {}
        }
        if self.rules.floor_only && !self.chains[at].complete() {
            return Err("floor_not_reached");
        }
        self.on_device(user, device)?;
        if !self.keeps(at) && self.stock().left < 1 {
            return Err("sold_out");
        }
        self.meet(user, device);
        let unit = self.price(at);
        self.chains[at].orders.push(self.orders.len());
        self.orders.push(Order {
            id: order.to_owned(),
            chain: at,
            state: OrderState::Held,
            unit,
            created_at: now,
            asked: false,
            reason: String::new(),
            closing_since: 0,
            paid_at: 0,
            settled: String::new(),
            payments: Vec::new(),
            refunds: Vec::new(),
        });
        Ok(("ordered", order.to_owned()))
    }

    fn own(&self, id: &str, user: &str) -> Result<usize, &'static str> {
        let at = self.orders.iter().position(|order| order.id == id).ok_or("not_found")?;
        if self.chains[self.orders[at].chain].user == user { Ok(at) } else { Err("not_found") }
    }

    pub fn ask_payment(&mut self, id: &str, user: &str, now: i64) -> Said {
        let at = self.own(id, user)?;
        let pay_by = self.pay_by(at);
        let order = &mut self.orders[at];
        match order.state {
            OrderState::Held if now < pay_by => {}
            OrderState::Held => return Err("order_expired"),
            OrderState::Closing | OrderState::Released if order.reason != "cancelled" => return Err("order_expired"),
            _ => return Err("order_not_payable"),
        }
        order.asked = true;
        Ok(("payment_asked", id.to_owned()))
    }

    fn pay_by(&self, at: usize) -> i64 {
        self.orders[at].created_at + self.rules.payment_ttl
    }

    fn give_up(&mut self, at: usize, reason: &str, now: i64) {
        if self.orders[at].asked {
            let order = &mut self.orders[at];
            (order.state, order.reason, order.closing_since) = (OrderState::Closing, reason.to_owned(), now);
        } else {
            self.release(at, reason, now);
        }
    }

    fn release(&mut self, at: usize, reason: &str, now: i64) {
        let order = &mut self.orders[at];
        (order.state, order.reason) = (OrderState::Released, reason.to_owned());
        let chain = order.chain;
        if now >= self.deadline(chain) {
            self.chains[chain].ended = Some((State::Expired, now));
        }
    }

    pub fn cancel(&mut self, id: &str, user: &str, now: i64) -> Said {
        let at = self.own(id, user)?;
        match self.orders[at].state {
            OrderState::Held => self.give_up(at, "cancelled", now),
            OrderState::Closing | OrderState::Released => {}
            _ => return Err("order_not_cancellable"),
        }
        Ok(("cancelled", id.to_owned()))
    }

    pub fn close(&mut self, id: &str, now: i64) -> Said {
        let at = self.orders.iter().position(|order| order.id == id).ok_or("not_found")?;
        if self.orders[at].state == OrderState::Closing {
            let reason = self.orders[at].reason.clone();
            self.release(at, &reason, now);
        }
        Ok(("closed", id.to_owned()))
    }

    pub fn pay(&mut self, id: &str, transaction: &str, amount: i64, now: i64) -> Said {
        let at = self.orders.iter().position(|order| order.id == id).ok_or("not_found")?;
        if self.orders[at].payments.iter().any(|(known, _)| known == transaction) {
            return Ok(("paid", id.to_owned()));
        }
        let chain = self.orders[at].chain;
        let waits = self.orders[at].waits();
        let again = self.orders[at].state == OrderState::Released
            && self.chains[chain].ended.is_none()
            && now < self.deadline(chain)
            && self.order(chain).is_none()
            && (self.keeps(chain) || self.stock().left >= 1);
        let order = &mut self.orders[at];
        order.payments.push((transaction.to_owned(), amount));
        if amount != order.unit {
            Self::send_back(order, amount);
        } else if waits || again {
            (order.state, order.paid_at, order.settled) = (OrderState::Confirmed, now, transaction.to_owned());
            order.reason = String::new();
            self.chains[chain].ended = Some((State::Bought, now));
        } else if order.state == OrderState::Released {
            (order.state, order.paid_at, order.reason) = (OrderState::RefundDue, now, "late_payment".to_owned());
            if amount == 0 {
                order.state = OrderState::Refunded;
            }
            Self::send_back(order, amount);
        } else {
            Self::send_back(order, amount);
        }
        Ok(("paid", id.to_owned()))
    }

    fn send_back(order: &mut Order, amount: i64) {
        if amount > 0 {
            order.refunds.push(RefundRow(amount, 0));
        }
    }

    pub fn tick(&mut self, now: i64) {
        self.ended |= now >= self.rules.ends_at;
        for at in 0..self.orders.len() {
            if self.orders[at].state == OrderState::Closing && now >= self.orders[at].closing_since + CLOSING {
                self.release(at, "close_unanswered", now);
            } else if self.orders[at].state == OrderState::Held && now >= self.pay_by(at) {
                self.give_up(at, "hold_expired", now);
            }
        }
        for at in 0..self.chains.len() {
            if self.chains[at].ended.is_none() && self.order(at).is_none() && now >= self.deadline(at) {
                self.chains[at].ended = Some((State::Expired, now));
            }
        }
    }

    pub fn chain_row(&self, at: usize) -> ChainRow {
        let chain = &self.chains[at];
        let mut taken = 0;
        let cut = |cut: &(String, i64, i64)| {
            taken += cut.1;
            CutRow(cut.0.clone(), cut.1, chain.step_sum(taken - cut.1, cut.1))
        };
        let cuts = chain.cuts.iter().map(cut).collect();
        let open = if chain.complete() { State::FloorReached } else { State::Open };
        let next = usize::try_from(chain.taken()).ok().and_then(|at| chain.schedule.steps.get(at)).copied().unwrap_or(0);
        ChainRow {
            state: chain.ended.map_or(open, |(state, _)| state),
            reserve: i64::from(self.rules.reserve_at_start),
            needed: self.rules.helpers,
            taken: chain.taken(),
            start: self.rules.items[SKU].start,
            floor: self.rules.items[SKU].floor,
            price: self.price(at),
            next,
            started_at: chain.started_at,
            expires_at: self.expires_at(at),
            buy_by: self.buy_by(at),
            closed_at: chain.ended.map_or(0, |(_, at)| at),
            version: 1,
            sku: SKU.to_owned(),
            user: chain.user.clone(),
            // A chain that expires keeps the name of the order that it died with.
            order: self.named_order(at).map(|order| self.orders[order].id.clone()).unwrap_or_default(),
            commitment: chain.schedule.commitment(),
            cuts,
        }
    }

    fn named_order(&self, at: usize) -> Option<usize> {
        self.order(at)
    }

    pub fn order_row(&self, at: usize) -> OrderRow {
        let order = &self.orders[at];
        let chain = &self.chains[order.chain];
        OrderRow {
            state: order.state,
            sku: SKU.to_owned(),
            quantity: 1,
            user: chain.user.clone(),
            room: String::new(),
            chain: chain.id.clone(),
            opener: 0,
            newcomer: 0,
            unit: order.unit,
            amount: order.unit,
            paid: order.payments.iter().map(|payment| payment.1).sum(),
            refunded: 0,
            created_at: order.created_at,
            pay_by: self.pay_by(at),
            paid_at: order.paid_at,
            asked: i64::from(order.asked),
            reason: order.reason.clone(),
            version: 1,
            settled: order.settled.clone(),
            transactions: order.payments.iter().map(|payment| payment.0.clone()).collect(),
            refunds: order.refunds.clone(),
        }
    }

    /// Shopper and SKU of every chain that stands, and its id.
    pub fn running(&self) -> BTreeMap<String, String> {
        let standing = self.chains.iter().filter(|chain| chain.ended.is_none());
        standing.map(|chain| (format!("{}/{SKU}", chain.user), chain.id.clone())).collect()
    }

    /// Everybody who started or helped.
    pub fn people(&self) -> BTreeSet<String> {
        let helpers = self.chains.iter().flat_map(|chain| chain.cuts.iter().map(|cut| cut.0.clone()));
        helpers.chain(self.chains.iter().map(|chain| chain.user.clone())).collect()
    }

    /// The number of a curve.
    pub fn curve(schedule: &Schedule) -> i64 {
        if schedule.seed.is_some() { Algorithm::Random.number() } else { Algorithm::FrontLoaded.number() }
    }
}
