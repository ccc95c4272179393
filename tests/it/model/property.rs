//! Whatever is sent, in whatever batches, from several senders: the program does what the model does.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use liebian::audit::{fold::Fold, invariants as audit};
use liebian::hot::{Class, Decided, Engine};
use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};

use super::generate::{Case, Maker, case};
use super::hot::{Campaign, engine, refold};
use super::invariants;
use super::ops::{Op, Sent};
use super::projected::Pair;
use super::reference::Reference;
use super::rows::Said;
use super::rules::START;
use crate::support::{Redis, valkey_server};

/// Processes that send to the same campaign.
const SENDERS: usize = 3;
/// Every so many cases the log is projected as well, which takes longest.
const PROJECTED: usize = 8;

/// What must happen somewhere in a run, or the generator has become blind: answers and events by their word.
const WANTED: &[&str] = &[
    "published",
    "status",
    "switches",
    "stock",
    "opened",
    "joined",
    "already_in_room",
    "ordered",
    "newcomers_only",
    "tier_reached",
    "payment_asked",
    "cancelled",
    "closed",
    "paid",
    "refunded",
    "fulfilled",
    "refunding",
    "invalid_request",
    "called_off",
    "ticked",
    "not_found",
    "campaign_not_live",
    "campaign_ended",
    "campaign_state",
    "device_limit_reached",
    "order_limit_reached",
    "room_limit_reached",
    "unpaid_limit_reached",
    "sold_out",
    "budget_exhausted",
    "room_closed",
    "room_expired",
    "room_full",
    "order_expired",
    "order_not_payable",
    "order_not_cancellable",
    "order_not_fulfillable",
    "not_refundable",
    "idempotency_key_reused",
    "replayed",
    "alternative",
    "order.held",
    "order.payment_asked",
    "order.closing",
    "order.released",
    "order.paid",
    "order.confirmed",
    "order.seated_again",
    "order.refund_due",
    "order.payment_returned",
    "order.refunded",
    "order.fulfilled",
    "order.undone",
    "order.called_off",
    "group_buy.room_opened",
    "group_buy.room_formed",
    "group_buy.room_failed",
    "group_buy.leader_left",
    "campaign.status",
    "campaign.stock",
    "campaign.switches",
    "room_failed",
    "late_payment",
    "paid_twice",
    "amount_differs",
    "hold_expired",
    "close_unanswered",
    "broken",
    "out_of_stock",
];

type Tally = BTreeMap<String, usize>;

/// One case on its way.
struct Run<'a> {
    campaign: Campaign,
    senders: &'a [Arc<Engine>],
    model: Reference,
    at: i64,
    /// What was sent and answered, for people.
    trace: &'a Mutex<Vec<String>>,
    tally: &'a Mutex<Tally>,
    /// First and last sequence of every batch that changed something.
    entries: Vec<(i64, i64)>,
    /// Where its log is projected, in two ways.
    projected: Option<&'a Pair>,
}

impl Run<'_> {
    async fn play(&mut self, case: &Case) {
        let stock = vec![("cherry".to_owned(), case.stock), ("plum".to_owned(), case.stock / 2)];
        let mut maker = Maker::default();
        self.round(vec![vec![Op::Publish { definition: case.rules.clone(), stock }.into()]]).await;
        for round in &case.rounds {
            self.at += round.advance;
            if round.tick {
                self.round(vec![vec![Op::Tick.into()]]).await;
            }
            let mut batches = Vec::new();
            for wishes in &round.batches {
                let mut batch = Vec::new();
                for wish in wishes {
                    if !maker.full() {
                        batch.push(maker.make(wish, &self.model.book, &case.rules, self.at));
                    }
                }
                batches.push(batch);
            }
            batches.retain(|batch| !batch.is_empty());
            self.round(batches).await;
        }
        // In the end time passes: holds run out, providers do not answer, rooms meet their deadline.
        for advance in [901_000, 601_000, 90_000_000] {
            self.at += advance;
            self.round(vec![vec![Op::Tick.into()]]).await;
        }
        self.finish().await;
    }

    /// Sends batches at once, finds the order in which they were decided, and compares everything.
    async fn round(&mut self, batches: Vec<Vec<Sent>>) {
        let sending = batches.iter().enumerate().map(|(place, batch)| {
            let class = if place % 2 == 0 { Class::Drain } else { Class::Admit };
            self.campaign.send_from(&self.senders[place % SENDERS], class, self.at, batch)
        });
        let mut decided: Vec<_> = batches.iter().zip(join_all(sending).await).collect();
        while !decided.is_empty() {
            let place = self.next(&decided);
            let (batch, reply) = decided.remove(place);
            self.compare(batch, &reply);
        }
        let hot = self.campaign.hot().await;
        let (found, expected) = (hot.cells(), self.model.book.cells());
        invariants::hold(&found);
        for (place, cell) in &expected {
            assert_eq!(found.get(place), Some(cell), "hot state (left) against the model at {place:?}");
        }
        let strangers: Vec<_> = found.keys().filter(|place| !expected.contains_key(place)).collect();
        assert!(strangers.is_empty(), "hot state has what the model has not: {strangers:?}");
        assert_eq!((hot.number("seq"), hot.number("now")), (self.model.seq, self.model.now), "meta");
    }

    /// The batch that was decided first. Heads tell, except that a batch that changed nothing has the head of the one before: then the order
    /// is the one that the model can follow to the end.
    fn next(&self, decided: &[(&Vec<Sent>, Decided)]) -> usize {
        let mut by_head: Vec<_> = (0..decided.len()).collect();
        by_head.sort_by_key(|&place| answers(&decided[place].1).0);
        self.follow(&self.model, decided, &by_head).unwrap_or(by_head[0])
    }

    fn follow(&self, model: &Reference, decided: &[(&Vec<Sent>, Decided)], left: &[usize]) -> Option<usize> {
        left.iter().copied().find(|&place| {
            let (batch, reply) = &decided[place];
            let (mut model, (seq, .., said)) = (model.clone(), answers(reply));
            let rest: Vec<_> = left.iter().copied().filter(|&other| other != place).collect();
            model.batch(self.at, batch) == said && model.seq == seq && (rest.is_empty() || self.follow(&model, decided, &rest).is_some())
        })
    }

    fn compare(&mut self, batch: &[Sent], reply: &Decided) {
        let before = self.model.seq;
        let expected = self.model.batch(self.at, batch);
        let (seq, now, next, said) = answers(reply);
        self.note(batch, &said);
        for ((sent, expected), said) in batch.iter().zip(&expected).zip(&said) {
            assert_eq!(said, expected, "the program (left) against the model on {sent:?}");
        }
        assert_eq!(said.len(), batch.len());
        assert_eq!((seq, now, next), (self.model.seq, self.model.now, self.model.next_timer()), "head, clock and next timer of a batch");
        // In linear time: every op stands at the head it found or makes the next one; only a replay tells of an earlier place.
        let mut head = before;
        for said in said.iter().filter(|said| !said.replayed) {
            assert!(said.seq == head || said.seq == head + 1, "an answer at {} after {head}", said.seq);
            head = said.seq;
        }
        assert_eq!(head, seq);
        if seq > before {
            self.entries.push((before + 1, seq));
        }
    }

    fn note(&self, batch: &[Sent], said: &[Said]) {
        let mut tally = self.tally.lock().unwrap();
        let mut trace = self.trace.lock().unwrap();
        trace.push(format!("at +{} ms:", self.at - START));
        for (sent, said) in batch.iter().zip(said) {
            trace.push(format!("    {sent:?} -> {} {} at {}{}", said.yes, said.word, said.seq, if said.replayed { " again" } else { "" }));
            *tally.entry(if said.replayed { "replayed".to_owned() } else { said.word.clone() }).or_default() += 1;
            if said.yes == 0 && !said.rows.is_empty() {
                *tally.entry("alternative".to_owned()).or_default() += 1;
            }
        }
    }

    /// The log is one entry a batch, chained, and folds to the hot state byte for byte.
    async fn finish(&self) {
        let (log, hot) = (self.campaign.log().await, self.campaign.hot().await);
        let entries: Vec<_> = log.iter().map(|entry| (entry.body.first, entry.body.last)).collect();
        assert_eq!(entries, self.entries, "one entry for every batch that changed something");
        assert_eq!(log.last().map(|entry| &entry.hash), hot.meta.get("hash"));
        assert_eq!(refold(&log), hot.fields, "the log refolded (left) against hot state");
        invariants::told(&log, &hot.cells());
        if let Some(pair) = self.projected.filter(|_| !log.is_empty()) {
            pair.compare(&self.campaign).await;
        }
        let mut fold = Fold::default();
        log.iter().cloned().for_each(|entry| fold.add(entry));
        for check in audit::all(&fold) {
            assert!(check.ok, "the audit says {}: {}", check.name, check.detail);
        }
        let mut tally = self.tally.lock().unwrap();
        for event in log.iter().flat_map(|entry| &entry.body.events) {
            *tally.entry(event.1.clone()).or_default() += 1;
            let fields: BTreeMap<String, rmpv::Value> = event.fields().unwrap();
            if let Some(reason) = fields.get("reason").and_then(rmpv::Value::as_str) {
                *tally.entry(reason.to_owned()).or_default() += 1;
            }
        }
    }
}

fn answers(reply: &Decided) -> (i64, i64, i64, Vec<Said>) {
    match reply {
        Decided::Answers { seq, now, next, answers, .. } => (*seq, *now, *next, answers.iter().map(Said::read).collect()),
        Decided::Fenced(reason) => panic!("fenced: {reason}"),
    }
}

fn the_program_does_what_the_model_does(server: &Path) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let redis = runtime.block_on(Redis::start_with(server, &[]));
    let senders: Vec<_> = (0..SENDERS).map(|_| engine(&redis.url())).collect();
    let (trace, tally) = (Mutex::new(Vec::new()), Mutex::new(Tally::new()));
    let (pair, played) = (runtime.block_on(Pair::new()), AtomicUsize::new(0));
    let play = |case: &Case| {
        let projected = played.fetch_add(1, Ordering::Relaxed).is_multiple_of(PROJECTED).then_some(&pair);
        trace.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
        trace.clear_poison();
        tally.clear_poison();
        runtime.block_on(async {
            let campaign = Campaign::fresh(&senders[0]).await;
            let model = Reference::default();
            let mut run =
                Run { campaign, senders: &senders, model, at: START, trace: &trace, tally: &tally, entries: Vec::new(), projected };
            run.play(case).await;
        });
    };
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(rand::random_range(0..u64::MAX));
    }
    let seed = config.rng_seed;
    match TestRunner::new(config).run(&case(), |case| {
        play(&case);
        Ok(())
    }) {
        Ok(()) => {
            let tally = tally.lock().unwrap();
            let blind: Vec<_> = WANTED.iter().filter(|word| !tally.contains_key(**word)).collect();
            assert!(blind.is_empty(), "never happened: {blind:?} ({seed:?}) in {tally:#?}");
        }
        Err(TestError::Fail(reason, least)) => {
            let again = catch_unwind(AssertUnwindSafe(|| play(&least)));
            let again = if again.is_err() { "" } else { " (not the second time)" };
            let ops = trace.lock().unwrap_or_else(std::sync::PoisonError::into_inner).join("\n");
            panic!(
                "{reason}\nthe least case{again}: {:?}, stock {}\n{ops}\nagain with PROPTEST_RNG_SEED, {seed:?}",
                least.rules, least.stock
            );
        }
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

#[test]
fn the_program_does_what_the_model_does_on_redis() {
    the_program_does_what_the_model_does(Path::new("redis-server"));
}

#[test]
fn the_program_does_what_the_model_does_on_valkey() {
    the_program_does_what_the_model_does(&valkey_server());
}
