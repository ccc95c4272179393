//! Random programmes: few shoppers and sales, so that they get in each other's way.

use liebian::campaign::ops::Step;
use liebian::campaign::rules::ReferralRules;
use proptest::prelude::*;

use super::book::Book;
use super::rows::{Op, Report};
use crate::model::{START, Sent};

/// Shoppers.
pub const SHOPPERS: u8 = 7;
/// Ops in one case at most, besides a deep line.
const OPS: usize = 60;
/// When the next day begins in China.
const MIDNIGHT: i64 = 57_600_000;

/// One random run.
#[derive(Clone, Debug)]
pub struct Case {
    pub rules: ReferralRules,
    /// Some things are sent before it is published.
    pub early: bool,
    /// So many are bound one under the other before anything else.
    pub deep: u8,
    pub rounds: Vec<Round>,
}

/// Batches that are sent at once, from several senders, after time went on.
#[derive(Clone, Debug)]
pub struct Round {
    pub advance: i64,
    pub tick: bool,
    pub batches: Vec<Vec<Wish>>,
}

/// An op whose parties are chosen when it is sent.
#[derive(Clone, Debug)]
pub enum Wish {
    Bind { user: Party, inviter: Party, newcomer: bool, key: Option<u8> },
    SetBond { user: Party, inviter: Option<Party> },
    Sale(Sale),
    Status(Step),
    Switches(Option<bool>, Option<bool>),
    Publish { newer: i64 },
    Tick,
    Again { back: usize },
    OtherBody { back: usize },
    Nonsense,
}

/// Whom a bond binds, or names.
#[derive(Clone, Copy, Debug)]
pub enum Party {
    User(u8),
    /// Of the deep line.
    Deep(u8),
    /// The inviter that the user has.
    Same,
}

#[derive(Clone, Copy, Debug)]
pub struct Sale {
    number: u8,
    users: (Option<u8>, Option<u8>),
    fen: (i64, i64),
    /// Hundredths of the rewards.
    back: (i64, i64),
    freeze: i64,
    /// How long ago it was fulfilled.
    fulfilled: Option<i64>,
}

pub fn rules() -> impl Strategy<Value = ReferralRules> {
    let some = |often: f64, values: std::ops::RangeInclusive<i64>| prop::option::weighted(often, values);
    let times = (prop_oneof![5 => Just(0i64), 1 => Just(50_000)], prop_oneof![1 => Just(7_200_000i64), 2 => Just(400_000_000)]);
    // As long as time often goes on at once, so that the very moment is met at which they end.
    let spans = || prop::option::weighted(0.5, prop::sample::select(vec![1_000i64, 100_000, 101_000, 300_000, 900_000]));
    let bonds = (prop::bool::weighted(0.3), any::<bool>(), spans(), spans());
    let budget =
        prop_oneof![2 => Just(None), 1 => (1..=3_000i64).prop_map(Some), 2 => (1..=8i64).prop_map(|hundreds| Some(hundreds * 100))];
    (times, bonds, budget, some(0.5, 1..=1_500)).prop_map(
        |((begins, lasts), (newcomers_only, first_touch, expires_after, protected), budget, daily_budget)| ReferralRules {
            version: 1,
            starts_at: START + begins,
            ends_at: START + lasts,
            newcomers_only,
            first_touch,
            expires_after,
            protected,
            budget,
            daily_budget,
            items: [("course".to_owned(), 9_900)].into(),
        },
    )
}

pub fn case() -> impl Strategy<Value = Case> {
    let deep = prop_oneof![2 => Just(0u8), 1 => 63..=67u8];
    (rules(), prop::bool::weighted(0.1), deep, prop::collection::vec(round(), 1..20)).prop_map(|(rules, early, deep, rounds)| Case {
        rules,
        early,
        deep,
        rounds,
    })
}

fn round() -> impl Strategy<Value = Round> {
    let advance = prop_oneof![
        8 => Just(0i64), 6 => Just(1_000), 6 => Just(100_000), 4 => Just(300_000), 2 => Just(900_000), 2 => Just(MIDNIGHT),
        1 => Just(-5_000), 1 => Just(90_000_000)
    ];
    (advance, any::<bool>(), prop::collection::vec(prop::collection::vec(wish(), 1..=8), 1..=3))
        .prop_map(|(advance, tick, batches)| Round { advance, tick, batches })
}

/// A report of a sale.
pub fn sale() -> impl Strategy<Value = Sale> {
    let user = || prop::option::weighted(0.85, 0..7u8);
    let fen =
        || prop_oneof![1 => Just(0i64), 3 => 1..=600i64, 3 => (1..=6i64).prop_map(|hundreds| hundreds * 100), 1 => Just(10_000_000_000)];
    let back = || prop_oneof![4 => Just(0i64), 2 => 1..100i64, 2 => Just(100), 1 => Just(250)];
    let freeze = prop_oneof![1 => Just(0i64), 3 => Just(300_000), 1 => Just(700_000)];
    let fulfilled = prop::option::weighted(0.4, prop_oneof![4 => Just(0i64), 2 => Just(1_000), 2 => Just(600_000), 1 => Just(-2_000)]);
    (0..10u8, (user(), user()), (fen(), fen()), (back(), back()), freeze, fulfilled)
        .prop_map(|(number, users, fen, back, freeze, fulfilled)| Sale { number, users, fen, back, freeze, fulfilled })
}

fn wish() -> impl Strategy<Value = Wish> {
    let key = || prop_oneof![3 => Just(None), 1 => (0..6u8).prop_map(Some)];
    // Whoever is at the top of the deep line stands above all of it.
    let user = || prop_oneof![15 => (0..7u8).prop_map(Party::User), 1 => Just(Party::Deep(0))];
    let party = || prop_oneof![12 => (0..7u8).prop_map(Party::User), 3 => (62..67u8).prop_map(Party::Deep), 2 => Just(Party::Same)];
    let step = prop_oneof![3 => Just(Step::Pause), 4 => Just(Step::Resume), 1 => Just(Step::End)];
    // Mostly on, or nobody is bound.
    let switch = || prop_oneof![2 => Just(None), 7 => Just(Some(true)), 1 => Just(Some(false))];
    prop_oneof![
        24 => (user(), party(), prop::bool::weighted(0.8), key())
            .prop_map(|(user, inviter, newcomer, key)| Wish::Bind { user, inviter, newcomer, key }),
        6 => (user(), prop::option::weighted(0.7, party())).prop_map(|(user, inviter)| Wish::SetBond { user, inviter }),
        30 => sale().prop_map(Wish::Sale),
        4 => Just(Wish::Tick),
        2 => step.prop_map(Wish::Status),
        1 => (switch(), switch()).prop_map(|(open, join)| Wish::Switches(open, join)),
        2 => (-1..=1i64).prop_map(|newer| Wish::Publish { newer }),
        4 => (0..12usize).prop_map(|back| Wish::Again { back }),
        2 => (0..30usize).prop_map(|back| Wish::OtherBody { back }),
        1 => Just(Wish::Nonsense),
    ]
}

/// Turns wishes into ops.
#[derive(Debug, Default)]
pub struct Maker {
    sent: Vec<Sent<Op>>,
}

pub fn shopper(number: u8) -> String {
    format!("user{number:0>10}")
}

pub fn deep(place: u8) -> String {
    format!("deep{place:0>10}")
}

impl Maker {
    pub fn full(&self) -> bool {
        self.sent.len() >= OPS
    }

    pub fn make(&mut self, wish: &Wish, book: &Book, rules: &ReferralRules, now: i64) -> Sent<Op> {
        let sent = self.sent(wish, book, rules, now);
        self.sent.push(sent.clone());
        sent
    }

    fn sent(&self, wish: &Wish, book: &Book, rules: &ReferralRules, now: i64) -> Sent<Op> {
        let party = |of: &str, party: Party| match party {
            Party::User(number) => shopper(number),
            Party::Deep(place) => deep(place),
            Party::Same => book.bonds.get(of).map_or_else(|| shopper(0), |bond| bond.inviter.clone()),
        };
        let again = |back: usize| {
            let last = self.sent.len().checked_sub(1);
            last.and_then(|last| self.sent.get(last - back % self.sent.len())).cloned().unwrap_or_else(|| Op::Tick.into())
        };
        let op = match *wish {
            Wish::Bind { user: invited, inviter, newcomer, key } => {
                let user = party("", invited);
                let op = Op::Bind { inviter: party(&user, inviter), user, newcomer };
                // One key, one body, whatever the op: a collision of keys with another op is a replay of the first one's answer.
                return key
                    .map_or_else(|| op.clone().into(), |key| Sent::keyed(op.clone(), &format!("key{key}"), &format!("body{}", key % 2)));
            }
            Wish::SetBond { user: tied, inviter } => {
                let user = party("", tied);
                Op::SetBond {
                    inviter: inviter.map(|inviter| party(&user, inviter)).unwrap_or_default(),
                    user,
                    by: "key",
                    reason: "asked for",
                }
            }
            Wish::Sale(sale) => Op::ReportSale(Report {
                sale: format!("sale{}", sale.number),
                buyer: shopper(6),
                level1: sale.users.0.map(shopper).unwrap_or_default(),
                level2: sale.users.1.map(shopper).unwrap_or_default(),
                fen1: sale.fen.0,
                fen2: sale.fen.1,
                back1: sale.fen.0 * sale.back.0 / 100,
                back2: sale.fen.1 * sale.back.1 / 100,
                freeze: sale.freeze,
                fulfilled_at: sale.fulfilled.map_or(0, |ago| now - ago),
            }),
            Wish::Status(step) => Op::SetStatus { step },
            Wish::Switches(open, join) => Op::SetSwitches { open, join },
            Wish::Publish { newer } => {
                let version = (book.rules.as_ref().map_or(1, |rules| rules.version) + newer).max(1);
                let raised = |most: Option<i64>| most.map(|most| most + 500 * version);
                let (budget, daily_budget) = (raised(rules.budget), raised(rules.daily_budget));
                let ends_at = rules.ends_at + 60_000 * version;
                Op::Publish { definition: ReferralRules { version, ends_at, budget, daily_budget, ..rules.clone() }, stock: Vec::new() }
            }
            Wish::Tick => Op::Tick,
            Wish::Again { back } => return again(back),
            Wish::OtherBody { back } => {
                let sent = again(back);
                return Sent { body: sent.body.as_ref().map(|_| "another body".to_owned()), ..sent };
            }
            Wish::Nonsense => Op::Nonsense,
        };
        op.into()
    }
}
