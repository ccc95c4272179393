//! Whatever is sent, in whatever batches, from several senders: a program does what its model does.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use liebian::hot::{Class, Decided, Engine, Program};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};

use super::frame::{Kind, Reference};
use super::hot::{Campaign, engine, refold};
use super::ops::Sent;
use super::projected::{Pair, Projected};
use super::rows::{Payload, Said};
use super::rules::START;
use crate::support::Redis;

/// Processes that send to the same campaign.
const SENDERS: usize = 3;
/// Every so many cases the log is projected as well, which takes longest.
const PROJECTED: usize = 8;

type Tally = BTreeMap<String, usize>;

/// A random run of a kind of campaign.
pub trait Case<K: Kind>: Debug {
    async fn play(&self, run: &mut Run<'_, K>);

    /// Under which rules, for people.
    fn under(&self) -> String;
}

/// One case on its way.
pub struct Run<'a, K: Kind> {
    campaign: Campaign,
    senders: &'a [Arc<Engine>],
    pub model: Reference<K>,
    /// When the next round is.
    pub at: i64,
    /// What was sent and answered, for people.
    trace: &'a Mutex<Vec<String>>,
    tally: &'a Mutex<Tally>,
    /// First and last sequence of every batch that changed something.
    entries: Vec<(i64, i64)>,
    /// Where its log is projected, in two ways.
    projected: Option<&'a Pair>,
}

impl<K: Kind> Run<'_, K> {
    /// Sends batches at once, finds the order in which they were decided, and compares everything.
    pub async fn round(&mut self, batches: Vec<Vec<Sent<K::Op>>>) {
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
        let (found, expected) = (hot.each(K::read), self.model.book.cells());
        K::hold(&found);
        for (place, cell) in &expected {
            assert_eq!(found.get(place), Some(cell), "hot state (left) against the model at {place:?}");
        }
        let strangers: Vec<_> = found.keys().filter(|place| !expected.contains_key(place)).collect();
        assert!(strangers.is_empty(), "hot state has what the model has not: {strangers:?}");
        assert_eq!((hot.number("seq"), hot.number("now")), (self.model.seq, self.model.now), "meta");
    }

    /// The batch that was decided first. Heads tell, except that a batch that changed nothing has the head of the one before: then the order
    /// is the one that the model can follow to the end.
    fn next(&self, decided: &[(&Vec<Sent<K::Op>>, Decided)]) -> usize {
        let mut by_head: Vec<_> = (0..decided.len()).collect();
        by_head.sort_by_key(|&place| answers::<K::Row>(&decided[place].1).0);
        self.follow(&self.model, decided, &by_head).unwrap_or(by_head[0])
    }

    fn follow(&self, model: &Reference<K>, decided: &[(&Vec<Sent<K::Op>>, Decided)], left: &[usize]) -> Option<usize> {
        left.iter().copied().find(|&place| {
            let (batch, reply) = &decided[place];
            let (mut model, (seq, .., said)) = (model.clone(), answers(reply));
            let rest: Vec<_> = left.iter().copied().filter(|&other| other != place).collect();
            model.batch(self.at, batch) == said && model.seq == seq && (rest.is_empty() || self.follow(&model, decided, &rest).is_some())
        })
    }

    fn compare(&mut self, batch: &[Sent<K::Op>], reply: &Decided) {
        let before = self.model.seq;
        let expected = self.model.batch(self.at, batch);
        let (seq, now, next, said) = answers(reply);
        let due = self.model.next_timer();
        self.note(batch, &said);
        for ((sent, expected), said) in batch.iter().zip(&expected).zip(&said) {
            assert_eq!(said, expected, "the program (left) against the model on {sent:?}");
        }
        assert_eq!(said.len(), batch.len());
        assert_eq!((seq, now, next), (self.model.seq, self.model.now, due), "head, clock and next timer of a batch");
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

    fn note(&self, batch: &[Sent<K::Op>], said: &[Said<K::Row>]) {
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
        assert_eq!(refold(self.campaign.program, &log), hot.fields, "the log refolded (left) against hot state");
        K::told(&log, &hot.each(K::read));
        if let Some(pair) = self.projected.filter(|_| !log.is_empty()) {
            pair.compare(&self.campaign).await;
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

fn answers<R: Payload>(reply: &Decided) -> (i64, i64, i64, Vec<Said<R>>) {
    match reply {
        Decided::Answers { seq, now, next, answers, .. } => (*seq, *now, *next, answers.iter().map(Said::read).collect()),
        Decided::Fenced(reason) => panic!("fenced: {reason}"),
    }
}

async fn play_one<K: Kind, C: Case<K>>(
    program: &'static Program,
    senders: &[Arc<Engine>],
    case: &C,
    (trace, tally): (&Mutex<Vec<String>>, &Mutex<Tally>),
    projected: Option<&Pair>,
) {
    let (campaign, model) = (Campaign::with(&senders[0], program).await, Reference::default());
    let mut run = Run { campaign, senders, model, at: START, trace, tally, entries: Vec::new(), projected };
    case.play(&mut run).await;
    run.finish().await;
}

/// Whether some case tells a program apart from the model.
pub fn catches<K: Kind, C: Case<K>>(redis: &str, program: &'static Program, cases: &impl Strategy<Value = C>) -> bool {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _at_home = runtime.enter();
    let senders: Vec<_> = (0..SENDERS).map(|_| engine(redis)).collect();
    let config = Config { failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
    let outcome = TestRunner::new(config).run(cases, |case| {
        runtime.block_on(play_one(program, &senders, &case, (&Mutex::default(), &Mutex::default()), None));
        Ok(())
    });
    outcome.is_err()
}

/// Plays cases on a server. `wanted`: answers and events, by their word, that must happen somewhere, or the generator has become blind.
pub fn check<K: Kind, C: Case<K>>(server: &Path, cases: &impl Strategy<Value = C>, projected: &'static Projected, wanted: &[&str]) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let redis = runtime.block_on(Redis::start_with(server, &[]));
    let _at_home = runtime.enter();
    let senders: Vec<_> = (0..SENDERS).map(|_| engine(&redis.url())).collect();
    let (trace, tally) = (Mutex::new(Vec::new()), Mutex::new(Tally::new()));
    let (pair, played) = (runtime.block_on(Pair::new(projected)), AtomicUsize::new(0));
    let play = |case: &C| {
        let projected = played.fetch_add(1, Ordering::Relaxed).is_multiple_of(PROJECTED).then_some(&pair);
        trace.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
        trace.clear_poison();
        tally.clear_poison();
        let (trace, tally) = (&trace, &tally);
        runtime.block_on(play_one(K::program(), &senders, case, (trace, tally), projected));
    };
    // Half as many again as usual: the rarest word of all is then met some ten times.
    let mut config = Config { failure_persistence: None, cases: Config::default().cases * 3 / 2, ..Config::default() };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(rand::random_range(0..u64::MAX));
    }
    let seed = config.rng_seed;
    match TestRunner::new(config).run(cases, |case| {
        play(&case);
        Ok(())
    }) {
        Ok(()) => {
            let tally = tally.lock().unwrap();
            let blind: Vec<_> = wanted.iter().filter(|word| !tally.contains_key(**word)).collect();
            assert!(blind.is_empty(), "never happened: {blind:?} ({seed:?}) in {tally:#?}");
        }
        Err(TestError::Fail(reason, least)) => {
            let again = catch_unwind(AssertUnwindSafe(|| play(&least)));
            let again = if again.is_err() { "" } else { " (not the second time)" };
            let ops = trace.lock().unwrap_or_else(std::sync::PoisonError::into_inner).join("\n");
            panic!("{reason}\nthe least case{again}: {}\n{ops}\nagain with PROPTEST_RNG_SEED, {seed:?}", least.under());
        }
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}
