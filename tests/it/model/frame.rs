//! What all programs do alike, once more in plain Rust: batches, sequence numbers, Idempotency-Keys and timers.

use std::collections::BTreeMap;
use std::fmt::Debug;

use liebian::hot::Program;
use liebian::hot::entry::Entry;
use serde::Serialize;

use super::ops::Sent;
use super::rows::{Payload, Said};

const KEY_LIFE: i64 = 86_400_000;
/// Ids in one timer, and those that a tick fires.
const TOGETHER: usize = 100;

/// Yes with rows, or no with rows.
pub type Answer<R> = Result<(&'static str, Vec<R>), (&'static str, Vec<R>)>;
/// Hot state: table and field → what it holds.
pub type Cells<K> = BTreeMap<(&'static str, String), <K as Kind>::Cell>;

/// A kind of campaign: what its model keeps, and the rules.
pub trait Kind: Clone + Debug + Default + PartialEq {
    type Op: Clone + Debug + PartialEq + Serialize;
    /// What answers carry.
    type Row: Payload;
    /// One field of hot state.
    type Cell: Debug + PartialEq;
    const TICK: Self::Op;
    /// An op that the program does not know; it raises an error.
    const NONSENSE: Self::Op;

    fn program() -> &'static Program;
    fn frame(&mut self) -> &mut Frame<Self::Row>;
    /// A batch begins.
    fn begin(&mut self) {}
    fn decide(&mut self, op: &Self::Op, now: i64) -> Answer<Self::Row>;
    /// A timer fires. Nobody has taken it away when it no longer mattered.
    fn ring(&mut self, kind: &str, id: &str, now: i64);
    /// The whole hot state.
    fn cells(&self) -> Cells<Self>;
    /// Reads a field of hot state.
    fn read(table: &str, field: &str, value: &[u8]) -> Self::Cell;
    /// The product's promises, from hot state alone.
    fn hold(cells: &Cells<Self>);
    /// What the log tells is what the rows say.
    fn told(log: &[Entry], cells: &Cells<Self>);
}

/// Timers and remembered answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame<R> {
    /// What is due together, named as in hot state → when.
    timers: BTreeMap<String, i64>,
    /// What the batch has set so far: kind and time → ids.
    planned: BTreeMap<(&'static str, i64), Vec<String>>,
    /// scope → body, answer
    keys: BTreeMap<String, (String, Said<R>)>,
}

impl<R> Default for Frame<R> {
    fn default() -> Self {
        Self { timers: BTreeMap::new(), planned: BTreeMap::new(), keys: BTreeMap::new() }
    }
}

impl<R: Payload> Frame<R> {
    /// Something is due at a time.
    pub fn plan(&mut self, kind: &'static str, id: &str, at: i64) {
        self.planned.entry((kind, at)).or_default().push(id.to_owned());
    }

    /// The batch is over: what it has set for one moment becomes timers of at most a hundred each.
    fn set_timers(&mut self) {
        for ((kind, at), ids) in std::mem::take(&mut self.planned) {
            self.set_timer(kind, &ids, at);
        }
    }

    fn set_timer(&mut self, kind: &str, ids: &[String], at: i64) {
        self.timers.extend(ids.chunks(TOGETHER).map(|ids| (format!("{kind} {}", ids.join(" ")), at)));
    }

    /// Timers that are set, the earliest first.
    pub fn timers(&self) -> Vec<(i64, String)> {
        let mut timers: Vec<_> = self.timers.iter().map(|(timer, at)| (*at, timer.clone())).collect();
        timers.sort();
        timers
    }

    /// Scope, body and answer of every remembered key.
    pub fn keys(&self) -> impl Iterator<Item = (&String, &String, &Said<R>)> {
        self.keys.iter().map(|(scope, (body, said))| (scope, body, said))
    }
}

/// A campaign and its clock.
#[derive(Clone, Debug, Default)]
pub struct Reference<K: Kind> {
    pub now: i64,
    pub seq: i64,
    pub book: K,
    /// As the batch found them: a tick fires only what was set before its batch.
    timers_before: Vec<(i64, String)>,
}

impl<K: Kind> Reference<K> {
    /// Decides a batch at a time.
    pub fn batch(&mut self, at: i64, ops: &[Sent<K::Op>]) -> Vec<Said<K::Row>> {
        self.now = self.now.max(at);
        self.timers_before = self.book.frame().timers();
        self.book.begin();
        let said = ops.iter().map(|sent| self.one(sent)).collect();
        self.book.frame().set_timers();
        said
    }

    /// When the next timer is due; -1 for none.
    pub fn next_timer(&mut self) -> i64 {
        self.book.frame().timers.values().min().copied().unwrap_or(-1)
    }

    fn one(&mut self, sent: &Sent<K::Op>) -> Said<K::Row> {
        let fresh = |yes, word: &str, seq, rows| Said { yes, word: word.to_owned(), seq, replayed: false, rows };
        if let Some(key) = &sent.key
            && let Some((body, said)) = self.book.frame().keys.get(key).cloned()
        {
            if Some(body) != sent.body {
                return fresh(0, "idempotency_key_reused", self.seq, Vec::new());
            }
            return Said { replayed: true, ..said };
        }
        if sent.op == K::NONSENSE {
            return fresh(-1, "", self.seq, Vec::new());
        }
        let before = self.book.clone();
        let answer = if sent.op == K::TICK { Ok(self.tick()) } else { self.book.decide(&sent.op, self.now) };
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
            let due = self.now + KEY_LIFE;
            let frame = self.book.frame();
            frame.keys.insert(key.clone(), (body.clone(), said.clone()));
            frame.plan("key", key, due);
        }
        said
    }

    fn tick(&mut self) -> (&'static str, Vec<K::Row>) {
        let due: Vec<_> = self.timers_before.iter().filter(|(at, _)| *at <= self.now).cloned().collect();
        let mut left = TOGETHER;
        for (at, timer) in due {
            // A tick of the same batch may have fired it.
            if left == 0 || self.book.frame().timers.remove(&timer).is_none() {
                continue;
            }
            let mut words = timer.split(' ').map(str::to_owned);
            let kind = words.next().unwrap();
            let ids: Vec<_> = words.collect();
            let (now, later) = ids.split_at(left.min(ids.len()));
            self.book.frame().set_timer(&kind, later, at);
            for id in now {
                if kind == "key" {
                    self.book.frame().keys.remove(id);
                } else {
                    self.book.ring(&kind, id, self.now);
                }
            }
            left -= now.len();
        }
        ("ticked", Vec::new())
    }
}
