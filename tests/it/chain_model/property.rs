//! Whatever is sent, in whatever batches: the program does what the model does.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex};

use liebian::bargain::PROGRAM;
use liebian::bargain::row::{ChainRow, ScheduleRow};
use liebian::bargain::schedule::{Algorithm, Schedule, Seed};
use liebian::campaign::ops::{Step, StockRow};
use liebian::campaign::rules::{BargainItem, BargainLimits, BargainRules};
use liebian::hot::row::Layout;
use liebian::hot::{Class, Decided, Engine, Row};
use liebian::order::row::OrderRow;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde::Serialize;

use super::book::{Book, SKU, Said};
use crate::model::{Campaign, EPOCH, START, engine};
use crate::support::{Redis, valkey_server};

/// What must happen somewhere in a run, or the generator has become blind.
const WANTED: &[&str] = &[
    "started",
    "had",
    "cut",
    "ordered",
    "awaiting",
    "payment_asked",
    "cancelled",
    "closed",
    "paid",
    "not_found",
    "own_chain",
    "forbidden",
    "chain_complete",
    "chain_expired",
    "chain_limit_reached",
    "help_limit_reached",
    "device_limit_reached",
    "floor_not_reached",
    "sold_out",
    "campaign_not_live",
    "campaign_ended",
    "order_expired",
    "order_not_payable",
    "order_not_cancellable",
    "late_payment",
    "bought",
    "floor_reached",
    "expired",
    "again",
];

#[derive(Clone, Debug, Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Op {
    Publish {
        definition: BargainRules,
        stock: Vec<(String, i64)>,
    },
    SetStatus {
        step: Step,
    },
    StartChain {
        chain: String,
        user: String,
        device: String,
        sku: &'static str,
        curve: i64,
        steps: Vec<i64>,
        seed: String,
        commitment: String,
    },
    CutChain {
        chain: String,
        user: String,
        device: String,
        newcomer: bool,
    },
    OrderChain {
        chain: String,
        order: String,
        user: String,
        device: String,
        quantity: i64,
    },
    PaymentAsked {
        order: String,
        user: String,
    },
    Cancel {
        order: String,
        user: String,
    },
    Closed {
        order: String,
    },
    Pay {
        order: String,
        transaction: String,
        amount: i64,
        paid_at: i64,
    },
    Tick,
}

/// An op to be, before it is known what there is.
#[derive(Clone, Debug)]
struct Wish {
    kind: u8,
    user: u8,
    device: u8,
    which: u8,
    flag: bool,
}

#[derive(Clone, Debug)]
struct Case {
    rules: BargainRules,
    stock: i64,
    random: bool,
    /// Batches, and how long before each.
    batches: Vec<(i64, Vec<Wish>)>,
}

fn rules() -> impl Strategy<Value = BargainRules> {
    let limits = (1..4_i64, 1..4_i64, 1..6_i64, 1..5_i64);
    (1..6_i64, 1..4_i64, 0..3_i64, limits, any::<(bool, bool)>(), 0..40_i64).prop_map(|(helpers, newcomer, own, limits, flags, more)| {
        BargainRules {
            version: 1,
            starts_at: START,
            ends_at: START + 4_000_000,
            chain_ttl: 900_000,
            buy_ttl: 400_000,
            payment_ttl: 300_000,
            floor_only: flags.0,
            reserve_at_start: flags.1,
            helpers,
            newcomer_cuts: newcomer.min(helpers),
            self_cuts: own.min(helpers),
            limits: BargainLimits {
                chains_per_user: limits.0,
                helps_per_day: limits.1,
                helps_per_campaign: limits.2,
                users_per_device: limits.3,
            },
            items: BTreeMap::from([(SKU.to_owned(), BargainItem { start: 100 + helpers + more, floor: 100 })]),
        }
    })
}

fn case() -> impl Strategy<Value = Case> {
    let wish = (0..27_u8, 0..6_u8, 0..4_u8, any::<u8>(), any::<bool>());
    let wish = wish.prop_map(|(kind, user, device, which, flag)| Wish { kind, user, device, which, flag });
    let advance = prop_oneof![6 => 0..60_000_i64, 3 => Just(300_000_i64), 1 => Just(700_000_i64)];
    let batches = proptest::collection::vec((advance, proptest::collection::vec(wish, 1..6)), 5..40);
    (rules(), 1..5_i64, any::<bool>(), batches).prop_map(|(rules, stock, random, batches)| Case { rules, stock, random, batches })
}

fn id(kind: char, number: usize) -> String {
    format!("{kind}{number:0>15}")
}

/// Makes an op of a wish, and says what the model says of it.
fn play(book: &mut Book, wish: &Wish, random: bool, number: usize, now: i64) -> (Op, Said) {
    let (user, device) = (id('u', wish.user.into()), id('d', wish.device.into()));
    let who = (user.as_str(), device.as_str());
    let pick = |count: usize| usize::from(wish.which) % (count + 1);
    let chain = book.chains.get(pick(book.chains.len())).map_or_else(|| id('x', 0), |chain| chain.id.clone());
    let owner = book.chains.get(pick(book.chains.len())).map_or_else(|| user.clone(), |chain| chain.user.clone());
    let order = book.orders.get(pick(book.orders.len())).map_or_else(|| id('x', 1), |order| order.id.clone());
    let buyer = book.orders.get(pick(book.orders.len())).map_or_else(|| user.clone(), |order| book.chains[order.chain].user.clone());
    let buyer = if wish.flag || !wish.which.is_multiple_of(4) { buyer } else { user.clone() };
    match wish.kind {
        0..4 => {
            let item = &book.rules.items[SKU];
            let seed = random.then(|| Seed::new([u8::try_from(number % 251).unwrap(); 32]));
            let algorithm = if random { Algorithm::Random } else { Algorithm::FrontLoaded };
            let steps = algorithm.schedule(item.start - item.floor, book.rules.helpers, seed.as_ref()).unwrap();
            let schedule = Schedule { steps, seed };
            let chain = id('c', number);
            let said = book.start(&chain, who, &schedule, now);
            let op = Op::StartChain {
                chain,
                user,
                device,
                sku: SKU,
                curve: Book::curve(&schedule),
                steps: schedule.steps.clone(),
                seed: schedule.seed.as_ref().map(Seed::hex).unwrap_or_default(),
                commitment: schedule.commitment(),
            };
            (op, said)
        }
        4..11 => {
            let said = book.cut(&chain, who, wish.flag, now);
            (Op::CutChain { chain, user, device, newcomer: wish.flag }, said)
        }
        11..15 => {
            let user = if wish.flag || !wish.which.is_multiple_of(4) { owner } else { user };
            let made = id('o', number);
            let said = book.order_chain(&chain, &made, (&user, &device), now);
            (Op::OrderChain { chain, order: made, user, device, quantity: 1 }, said)
        }
        15..19 => {
            let said = book.ask_payment(&order, &buyer, now);
            (Op::PaymentAsked { order, user: buyer }, said)
        }
        19 => {
            let said = book.cancel(&order, &buyer, now);
            (Op::Cancel { order, user: buyer }, said)
        }
        20 => {
            let said = book.close(&order, now);
            (Op::Closed { order }, said)
        }
        21..24 => {
            let unit = book.orders.iter().find(|known| known.id == order).map_or(1, |known| known.unit);
            let amount = if wish.which > 240 { unit + 1 } else { unit };
            let transaction = if wish.flag { format!("{order}-{}", wish.user % 2) } else { id('t', number) };
            let said = book.pay(&order, &transaction, amount, now);
            (Op::Pay { order, transaction, amount, paid_at: now }, said)
        }
        24..26 => {
            book.tick(now);
            (Op::Tick, Ok(("ticked", String::new())))
        }
        _ => {
            let step = if wish.flag { Step::Pause } else { Step::Resume };
            let said = if book.ended { Err("campaign_state") } else { Ok(("status", String::new())) };
            if !book.ended {
                book.paused = wish.flag;
            }
            (Op::SetStatus { step }, said)
        }
    }
}

type Tally = Mutex<HashMap<String, usize>>;

fn count(tally: &Tally, word: &str) {
    *tally.lock().unwrap().entry(word.to_owned()).or_default() += 1;
}

async fn answers(campaign: &Campaign, at: i64, ops: &[Op]) -> Vec<(i64, String, Vec<Vec<u8>>)> {
    let packed: Vec<Vec<u8>> = ops.iter().map(|op| rmp_serde::to_vec_named(op).unwrap()).collect();
    let decided = campaign.engine.decide_batch(campaign.id, &PROGRAM, Class::Drain, (EPOCH, at), &packed).await.unwrap();
    let Decided::Answers { answers, .. } = decided else { panic!("fenced") };
    answers.into_iter().map(|answer| (answer.yes, answer.word, answer.payload)).collect()
}

async fn run(engine: &Arc<Engine>, case: &Case, tally: &Tally) {
    let campaign = Campaign::with(engine, &PROGRAM).await;
    let mut book = Book {
        rules: case.rules.clone(),
        put_in: case.stock,
        paused: false,
        ended: false,
        chains: Vec::new(),
        orders: Vec::new(),
        met: BTreeMap::new(),
    };
    let publish = Op::Publish { definition: case.rules.clone(), stock: vec![(SKU.to_owned(), case.stock)] };
    assert_eq!(answers(&campaign, START, &[publish]).await[0].0, 1);
    let (mut now, mut number) = (START, 0);
    for (advance, wishes) in &case.batches {
        now += advance;
        let mut ops = Vec::new();
        let mut said = Vec::new();
        for wish in wishes {
            number += 1;
            let (op, expected) = play(&mut book, wish, case.random, number, now);
            ops.push(op);
            said.push(expected);
        }
        for ((op, expected), (yes, word, _)) in ops.iter().zip(&said).zip(answers(&campaign, now, &ops).await) {
            let known = expected.as_ref().map_or_else(|word| (0, (*word).to_owned()), |(word, _)| (1, (*word).to_owned()));
            assert_eq!((yes, word.clone()), known, "the program (left) against the model: {op:?}");
            count(tally, &word);
        }
        compare(&campaign, &book, tally).await;
    }
}

fn read<T: Row>(packed: &[u8]) -> T {
    T::read(packed).unwrap()
}

/// All of hot state that the rules speak of is what the model counts.
async fn compare(campaign: &Campaign, book: &Book, tally: &Tally) {
    let table = async |name: &str| campaign.engine.table(campaign.id, name).await.unwrap();
    let chains: BTreeMap<String, ChainRow> = table("chains").await.iter().map(|(id, packed)| (id.clone(), read(packed))).collect();
    let expected = (0..book.chains.len()).map(|at| (book.chains[at].id.clone(), book.chain_row(at))).collect();
    assert_eq!(chains, expected, "chains");
    let orders: BTreeMap<String, OrderRow> = table("orders").await.iter().map(|(id, packed)| (id.clone(), read(packed))).collect();
    let expected: BTreeMap<String, OrderRow> = (0..book.orders.len()).map(|at| (book.orders[at].id.clone(), book.order_row(at))).collect();
    for order in expected.values() {
        count(tally, &order.reason);
        if !order.settled.is_empty() && order.paid_at > order.pay_by {
            count(tally, "again");
        }
    }
    assert_eq!(orders, expected, "orders");
    let stock: StockRow = read(&table("stock").await[SKU]);
    assert_eq!(stock, book.stock());
    let schedules: BTreeMap<String, Vec<i64>> =
        table("schedules").await.iter().map(|(id, packed)| (id.clone(), read::<ScheduleRow>(packed).steps)).collect();
    assert_eq!(schedules, book.chains.iter().map(|chain| (chain.id.clone(), chain.schedule.steps.clone())).collect());
    let running: BTreeMap<String, String> =
        table("running").await.into_iter().map(|(place, id)| (place, String::from_utf8(id).unwrap())).collect();
    assert_eq!(running, book.running());
    let people = table("people").await;
    let counters = |packed: &[u8]| {
        let mut layout = Layout::of(packed);
        [(); 4].map(|()| layout.number(4).unwrap())
    };
    let found: BTreeMap<String, [i64; 4]> = people.iter().map(|(user, packed)| (user.clone(), counters(packed))).collect();
    assert_eq!(found, book.people().into_iter().map(|user| (user.clone(), book.person(&user))).collect(), "people");
    for chain in chains.values() {
        count(tally, chain.state.word());
    }
}

fn chains_do_what_the_model_does(server: &Path) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let redis = runtime.block_on(Redis::start_with(server, &[]));
    let _at_home = runtime.enter();
    let engine = engine(&redis.url());
    let tally = Tally::default();
    let config = Config { failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&case(), |case| {
        runtime.block_on(run(&engine, &case, &tally));
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    let tally = tally.lock().unwrap();
    let blind: Vec<_> = WANTED.iter().filter(|word| !tally.contains_key(**word)).collect();
    assert!(blind.is_empty(), "never happened: {blind:?} in {tally:#?}");
}

#[test]
fn chains_do_what_the_model_does_on_redis() {
    chains_do_what_the_model_does(Path::new("redis-server"));
}

#[test]
fn chains_do_what_the_model_does_on_valkey() {
    chains_do_what_the_model_does(&valkey_server());
}
