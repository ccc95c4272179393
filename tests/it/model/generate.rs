//! Random campaigns: few shoppers, devices, rooms and units, so that they get in each other's way.

use liebian::campaign::ops::Step;
use liebian::campaign::rules::{Limits, Rules, Tier};
use liebian::group_buy::row::State as RoomState;
use liebian::order::row::State;
use proptest::prelude::*;

use super::book::{Book, Order};
use super::ops::{Op, Sent};
use super::rules::{START, definition};

/// Ops in one case at most.
const OPS: usize = 60;

/// One random run.
#[derive(Clone, Debug)]
pub struct Case {
    pub rules: Rules,
    pub stock: i64,
    pub rounds: Vec<Round>,
}

/// Batches that are sent at once, from several senders, after time went on.
#[derive(Clone, Debug)]
pub struct Round {
    pub advance: i64,
    pub tick: bool,
    pub batches: Vec<Vec<Wish>>,
}

/// An op whose room and order are chosen when it is sent, among those that there are then.
#[derive(Clone, Debug)]
pub enum Wish {
    Open {
        user: u8,
        device: u8,
        sku: &'static str,
        quantity: i64,
        key: Option<u8>,
    },
    Join {
        room: usize,
        user: u8,
        device: u8,
        quantity: i64,
        key: Option<u8>,
        newcomer: bool,
    },
    /// Buys alone.
    Solo {
        user: u8,
        device: u8,
        sku: &'static str,
        quantity: i64,
        key: Option<u8>,
    },
    /// A shopper who gave up a seat comes back to the room.
    Return {
        order: usize,
    },
    /// The join of a seat that was given up runs once more.
    Late {
        order: usize,
    },
    Ask {
        order: usize,
        stranger: bool,
    },
    Cancel {
        order: usize,
        stranger: bool,
        leader: bool,
    },
    Closed {
        order: usize,
    },
    Pay {
        aim: Aim,
        order: usize,
        extra: i64,
        again: bool,
        barred: bool,
    },
    Refunded {
        order: usize,
        number: i64,
    },
    Fulfil {
        order: usize,
    },
    Refund {
        order: usize,
        part: Part,
        key: Option<u8>,
    },
    CallOff {
        aim: Aim,
        order: usize,
    },
    Tick,
    Status {
        step: Step,
    },
    Switches {
        open: Option<bool>,
        join: Option<bool>,
    },
    Stock {
        sku: &'static str,
        units: i64,
        key: Option<u8>,
    },
    Publish {
        newer: i64,
    },
    /// An earlier op once more, as it was.
    Again {
        back: usize,
    },
    /// An earlier op under its key, with another body.
    OtherBody {
        back: usize,
    },
    Decline {
        key: u8,
    },
    Nonsense,
}

/// How much is asked back.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    Rest,
    Some(i64),
    Price,
    More,
}

/// Which orders a payment or an operator prefers.
#[derive(Clone, Copy, Debug)]
pub enum Aim {
    Waiting,
    Released,
    Paid,
    Any,
}

pub fn case() -> impl Strategy<Value = Case> {
    let limits = (1..=3i64, 2..=4i64, 1..=2i64, 1..=3i64, 1..=3i64, 1..=3i64);
    let rounds = prop::collection::vec(round(), 1..32);
    // In some campaigns so many of the smallest losses fit.
    let budget = prop_oneof![4 => Just(None), 1 => (1..=12i64).prop_map(|times| Some(times * 2475))];
    (2..=4i64, 3..=14i64, limits, prop::bool::weighted(0.9), (terms(), budget), rounds).prop_map(
        |(size, stock, limits, list_rooms, (terms, loss_budget), rounds)| {
            let limits = Limits {
                quantity_per_order: limits.0,
                orders_per_user: limits.1,
                rooms_opened_per_user: limits.2,
                rooms_joined_per_user: limits.3,
                unpaid_per_user: limits.4,
                users_per_device: limits.5,
            };
            Case { rules: terms.of(Rules { list_rooms, limits, loss_budget, ..definition(size) }), stock, rounds }
        },
    )
}

/// What a group-buy may offer beside plain rooms.
#[derive(Clone, Debug)]
struct Terms {
    steps: i64,
    leader: Option<i64>,
    solo: bool,
    reserve: bool,
    accept_from: Option<i64>,
    newcomers_only: bool,
}

fn terms() -> impl Strategy<Value = Terms> {
    let some = |often: f64, values: std::ops::RangeInclusive<i64>| prop::option::weighted(often, values);
    (some(0.5, 1..=2), some(0.4, 0..=6000), any::<bool>(), any::<bool>(), some(0.3, 1..=4), prop::bool::weighted(0.3)).prop_map(
        |(steps, leader, solo, reserve, accept_from, newcomers_only)| Terms {
            steps: steps.unwrap_or(0),
            leader,
            solo,
            reserve,
            accept_from,
            newcomers_only,
        },
    )
}

impl Terms {
    /// Cherries are sold on these terms; plums stay plain.
    fn of(&self, mut rules: Rules) -> Rules {
        let cherry = rules.items.get_mut("cherry").unwrap();
        for _ in 0..self.steps {
            let last = cherry.tiers.last().unwrap();
            cherry.tiers.push(Tier { size: last.size + 1, price: last.price - 1000 });
        }
        (cherry.leader_price, cherry.solo_price, cherry.reserve_room) = (self.leader, self.solo.then_some(8000), self.reserve);
        Rules { accept_from: self.accept_from, newcomers_only: self.newcomers_only, ..rules }
    }
}

fn round() -> impl Strategy<Value = Round> {
    let advance = prop_oneof![
        8 => Just(0i64), 6 => Just(1000), 3 => Just(100_000), 3 => Just(300_000), 3 => Just(600_000), 2 => Just(900_000),
        1 => Just(-5000), 1 => Just(90_000_000)
    ];
    (advance, any::<bool>(), prop::collection::vec(prop::collection::vec(wish(), 1..=8), 1..=3))
        .prop_map(|(advance, tick, batches)| Round { advance, tick, batches })
}

fn wish() -> impl Strategy<Value = Wish> {
    let sku = || prop_oneof![6 => Just("cherry"), 2 => Just("plum"), 1 => Just("fig")];
    let key = || prop_oneof![3 => Just(None), 1 => (0..6u8).prop_map(Some)];
    let quantity = || prop_oneof![6 => Just(1i64), 2 => Just(2), 1 => Just(3)];
    let step = prop_oneof![3 => Just(Step::Pause), 4 => Just(Step::Resume), 1 => Just(Step::End)];
    // Mostly on, or the campaign stands still.
    let switch = || prop_oneof![2 => Just(None), 7 => Just(Some(true)), 1 => Just(Some(false))];
    let aim = prop_oneof![9 => Just(Aim::Waiting), 3 => Just(Aim::Released), 1 => Just(Aim::Any)];
    let part = prop_oneof![2 => Just(Part::Rest), 4 => (1..200i64).prop_map(Part::Some), 1 => Just(Part::Price), 1 => Just(Part::More)];
    let call_off = prop_oneof![3 => Just(Aim::Waiting), 1 => Just(Aim::Released), 4 => Just(Aim::Paid), 1 => Just(Aim::Any)];
    let extra = prop_oneof![20 => Just(0i64), 1 => Just(-1), 1 => Just(700)];
    prop_oneof![
        10 => (0..6u8, 0..8u8, sku(), quantity(), key())
            .prop_map(|(user, device, sku, quantity, key)| Wish::Open { user, device, sku, quantity, key }),
        // Rooms are to fill and to be paid, in spite of all that is wished besides.
        44 => (0..4usize, 0..6u8, 0..8u8, quantity(), key(), prop::bool::weighted(0.8))
            .prop_map(|(room, user, device, quantity, key, newcomer)| Wish::Join { room, user, device, quantity, key, newcomer }),
        4 => (0..6u8, 0..8u8, sku(), quantity(), key())
            .prop_map(|(user, device, sku, quantity, key)| Wish::Solo { user, device, sku, quantity, key }),
        4 => (0..3usize).prop_map(|order| Wish::Return { order }),
        2 => (0..3usize).prop_map(|order| Wish::Late { order }),
        24 => (0..6usize, prop::bool::weighted(0.1)).prop_map(|(order, stranger)| Wish::Ask { order, stranger }),
        4 => (0..6usize, prop::bool::weighted(0.1), any::<bool>())
            .prop_map(|(order, stranger, leader)| Wish::Cancel { order, stranger, leader }),
        2 => (0..6usize).prop_map(|order| Wish::Closed { order }),
        58 => (aim, 0..6usize, extra, prop::bool::weighted(0.15), prop::bool::weighted(0.04))
            .prop_map(|(aim, order, extra, again, barred)| Wish::Pay { aim, order, extra, again, barred }),
        4 => (0..6usize, 0..=3i64).prop_map(|(order, number)| Wish::Refunded { order, number }),
        4 => (0..6usize).prop_map(|order| Wish::Fulfil { order }),
        6 => (0..6usize, part, key()).prop_map(|(order, part, key)| Wish::Refund { order, part, key }),
        12 => (call_off, 0..6usize).prop_map(|(aim, order)| Wish::CallOff { aim, order }),
        4 => Just(Wish::Tick),
        2 => step.prop_map(|step| Wish::Status { step }),
        2 => (switch(), switch()).prop_map(|(open, join)| Wish::Switches { open, join }),
        2 => (sku(), prop_oneof![4 => -4..0i64, 4 => 1..4i64, 1 => Just(1_000_000_000)], key()).prop_map(|(sku, units, key)| Wish::Stock { sku, units, key }),
        1 => (-1..=1i64).prop_map(|newer| Wish::Publish { newer }),
        3 => (0..12usize).prop_map(|back| Wish::Again { back }),
        4 => (0..30usize).prop_map(|back| Wish::OtherBody { back }),
        1 => (0..6u8).prop_map(|key| Wish::Decline { key }),
        1 => Just(Wish::Nonsense),
    ]
}

/// Turns wishes into ops.
#[derive(Debug, Default)]
pub struct Maker {
    pub sent: Vec<Sent>,
    rooms: Vec<String>,
    orders: usize,
    transactions: Vec<String>,
}

impl Maker {
    pub fn full(&self) -> bool {
        self.sent.len() >= OPS
    }

    pub fn make(&mut self, wish: &Wish, book: &Book, rules: &Rules, now: i64) -> Sent {
        let sent = self.sent(wish, book, rules, now);
        self.sent.push(sent.clone());
        sent
    }

    fn sent(&mut self, wish: &Wish, book: &Book, rules: &Rules, now: i64) -> Sent {
        let user = |user: u8| format!("user{user}");
        // Half of the requests come from the shopper's own device, half from one that others use too.
        let device = |device: u8, user: u8| if device < 4 { format!("own{user}") } else { format!("shared{device}") };
        let (op, key) = match *wish {
            Wish::Open { user: shopper, device: from, sku, quantity, key } => {
                let room = format!("room{:012}", self.rooms.len());
                self.rooms.push(room.clone());
                let (user, device) = (user(shopper), device(from, shopper));
                (Op::OpenRoom { room, order: self.order_id(), user, device, sku: sku.to_owned(), quantity }, key)
            }
            Wish::Join { room, user: shopper, device: from, quantity, key, newcomer } => {
                let room = nth_last(&self.rooms, room).cloned().unwrap_or_default();
                let (user, device) = (user(shopper), device(from, shopper));
                (Op::JoinRoom { room, order: self.order_id(), user, device, quantity, newcomer }, key)
            }
            Wish::Solo { user: shopper, device: from, sku, quantity, key } => {
                let (user, device) = (user(shopper), device(from, shopper));
                (Op::OrderSolo { order: self.order_id(), user, device, sku: sku.to_owned(), quantity }, key)
            }
            Wish::Return { order } => {
                let room = |order: &Order| order.room.map(|room| &book.rooms[room]);
                let left = |order: &Order| order.state == State::Released && room(order).is_some_and(|room| room.state == RoomState::Open);
                let (left, user) = owned(book, order, false, left);
                let room = book.orders.iter().find(|order| order.id == left).and_then(|order| Some(room(order)?.id.clone()));
                (
                    Op::JoinRoom {
                        room: room.unwrap_or_default(),
                        order: self.order_id(),
                        device: format!("own{user}"),
                        user,
                        quantity: 1,
                        newcomer: true,
                    },
                    None,
                )
            }
            Wish::Late { order } => {
                let left = owned(book, order, false, |order| order.state == State::Released).0;
                let join = self.sent.iter().find(|sent| matches!(&sent.op, Op::JoinRoom { order, .. } if *order == left));
                (join.map_or(Op::Tick, |sent| sent.op.clone()), None)
            }
            Wish::Ask { order, stranger } => {
                let (order, user) = owned(book, order, stranger, |order| order.state == State::Held && !order.asked);
                (Op::PaymentAsked { order, user }, None)
            }
            Wish::Cancel { order, stranger, leader } => {
                // A leader with company: somebody must follow.
                let wanted = |order: &Order| order.waits() && (!leader || book.followers(order) > 1);
                let (order, user) = owned(book, order, stranger, wanted);
                (Op::Cancel { order, user }, None)
            }
            Wish::Closed { order } => (Op::Closed { order: owned(book, order, false, |order| order.state == State::Closing).0 }, None),
            Wish::Pay { aim, order, extra, again, barred } => {
                (self.pay(book, (aim, order), extra, again, barred.then_some("newcomers_only"), now), None)
            }
            Wish::Refunded { order, number } => {
                let due = |order: &Order| !order.refunds.is_empty();
                (Op::Refunded { order: owned(book, order, false, due).0, number }, None)
            }
            Wish::Fulfil { order } => (Op::Fulfil { order: owned(book, order, false, |order| order.state == State::Confirmed).0 }, None),
            Wish::Refund { order, part, key } => {
                let certain = |order: &Order| matches!(order.state, State::Confirmed | State::Fulfilled);
                let order = owned(book, order, false, certain).0;
                let price = book.orders.iter().find(|known| known.id == order).map_or(1, Order::amount);
                let amount = match part {
                    Part::Rest => 0,
                    Part::Some(fen) => fen,
                    Part::Price => price,
                    Part::More => price + 1,
                };
                (Op::Refund { order, amount, reason: "broken" }, key)
            }
            Wish::CallOff { aim, order } => (Op::CallOff { order: owned(book, order, false, aimed(aim)).0, reason: "out_of_stock" }, None),
            Wish::Tick => (Op::Tick, None),
            Wish::Status { step } => (Op::SetStatus { step }, None),
            Wish::Switches { open, join } => (Op::SetSwitches { open, join }, None),
            Wish::Stock { sku, units, key } => (Op::AddStock { sku: sku.to_owned(), units }, key),
            Wish::Publish { newer } => {
                let version = book.rules.as_ref().map_or(1, |rules| rules.version) + newer;
                let ends_at = rules.ends_at + 60_000 * version;
                let loss_budget = rules.loss_budget.map(|most| most + 2475 * version);
                (Op::Publish { definition: Rules { version, ends_at, loss_budget, ..rules.clone() }, stock: Vec::new() }, None)
            }
            Wish::Again { back } => return nth_last(&self.sent, back).cloned().unwrap_or_else(|| Op::Tick.into()),
            Wish::OtherBody { back } => {
                let sent = nth_last(&self.sent, back).cloned().unwrap_or_else(|| Op::Tick.into());
                return Sent { body: sent.body.as_ref().map(|_| "another body".to_owned()), ..sent };
            }
            Wish::Decline { key } => (Op::Decline { word: "invalid_request" }, Some(key)),
            Wish::Nonsense => (Op::Nonsense, None),
        };
        match key {
            // One key, one body, whatever the op: a collision of keys with another op is a replay of the first one's answer.
            Some(key) => Sent::keyed(op, &format!("key{key}"), &format!("body{}", key % 2)),
            None => op.into(),
        }
    }

    fn order_id(&mut self) -> String {
        self.orders += 1;
        format!("order{:011}", self.orders)
    }

    fn pay(&mut self, book: &Book, (aim, order): (Aim, usize), extra: i64, again: bool, barred: Option<&'static str>, now: i64) -> Op {
        let order = owned(book, order, false, aimed(aim)).0;
        let amount = book.orders.iter().find(|known| known.id == order).map_or(1, Order::amount);
        let known = nth_last(&self.transactions, 0).filter(|_| again).cloned();
        let transaction = known.unwrap_or_else(|| {
            let fresh = format!("transaction{}", self.transactions.len());
            self.transactions.push(fresh.clone());
            fresh
        });
        Op::Pay { order, transaction, amount: (amount + extra).max(0), paid_at: now.max(START) - 17, barred }
    }
}

fn aimed(aim: Aim) -> fn(&Order) -> bool {
    match aim {
        Aim::Waiting => Order::waits,
        Aim::Released => |order| order.state == State::Released || order.called_off(),
        Aim::Paid => Order::owns,
        Aim::Any => |_| true,
    }
}

fn nth_last<T>(list: &[T], back: usize) -> Option<&T> {
    list.len().checked_sub(1).and_then(|last| list.get(last - back % list.len()))
}

/// An order of the wanted sort, or any, or none, and who asks about it.
fn owned(book: &Book, back: usize, stranger: bool, wanted: impl Fn(&Order) -> bool) -> (String, String) {
    let fitting: Vec<_> = book.orders.iter().filter(|order| wanted(order)).collect();
    let all: Vec<_> = book.orders.iter().collect();
    let order = nth_last(&fitting, back).or_else(|| nth_last(&all, back));
    let user = |order: &Order| if stranger { "stranger".to_owned() } else { order.user.clone() };
    order.map_or_else(|| ("no order".to_owned(), "nobody".to_owned()), |order| (order.id.clone(), user(order)))
}
