//! A lane: all ops of one campaign that pass through this process, in order.
//!
//! Ops that arrive while a batch is under way wait for the next one, so batches grow with the load by themselves and an idle lane adds
//! no delay. Ops that admit and ops that free never share a batch, and of each class one batch at most is under way: neither waits for the
//! other, and what a call and its fsync cost is shared by many ops. Timers that are due go with the next batch that frees, or alone.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ::redis::Value;
use futures_util::stream::{FuturesOrdered, StreamExt};
use serde::Serialize;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::memory::{Asks, Memory, Reading};
use super::program::{Program, Script};
use super::redis::{CallError, Redis, evalsha, is_broken, is_no_script, script_load, told};
use crate::clock::Clock;
use crate::code::Code;
use crate::id::CampaignId;

/// Ops in one script call.
const BATCH: usize = 128;
/// Ops that may wait in a lane, per class; then the answer is `overloaded`.
pub(super) const QUEUE: usize = 8192;
/// Answered ops that are kept until SQL has them, so that a lost Redis disk can be told op by op.
const REMEMBERED: usize = 100_000;

/// Which ops may be refused when things get tight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Takes something: a seat, a cut, a bond.
    Admit,
    /// Follows money or frees something. Never refused for load.
    Drain,
}

/// The scope and body of an `Idempotency-Key`, both hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Hash of caller, method, path and key.
    pub scope: String,
    /// Hash of the request's body.
    pub body_hash: String,
}

/// A packed op on its way.
#[derive(Debug)]
pub struct Op {
    pub(super) packed: Vec<u8>,
    pub(super) asks: Option<Asks>,
    pub(super) answer: oneshot::Sender<Result<Answer, Trouble>>,
}

/// An op as Lua reads it: the typed op's own fields plus those of the key.
#[derive(Serialize)]
struct Keyed<'a, T> {
    #[serde(flatten)]
    op: &'a T,
    key: &'a str,
    body: &'a str,
}

/// Packs a typed op: a map with `op` and its arguments.
pub(super) fn pack<T: Serialize>(op: &T, key: Option<&IdempotencyKey>) -> Result<Vec<u8>, Trouble> {
    let packed = match key {
        Some(key) => rmp_serde::to_vec_named(&Keyed { op, key: &key.scope, body: &key.body_hash }),
        None => rmp_serde::to_vec_named(op),
    };
    packed.map_err(|error| Trouble::Defect(error.to_string()))
}

/// Where in the campaign's order an op was decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The epoch.
    pub epoch: i64,
    /// The op's own sequence, or the one it saw.
    pub seq: i64,
}

/// What a program decided of an op.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The word of the yes, or the code of the no.
    pub decision: Result<String, Code>,
    /// Where it was decided.
    pub place: Place,
    /// Whether an `Idempotency-Key` gave the first answer again.
    pub replayed: bool,
    /// The script's clock, Unix ms.
    pub now: i64,
    /// Packed rows.
    pub payload: Vec<Vec<u8>>,
}

/// Why there is no decision.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The campaign is being recovered, or Redis cannot be reached; nothing happened.
    #[error("the campaign is being recovered")]
    Recovering,
    /// Too much waits already; nothing happened.
    #[error("too much waits already")]
    Overloaded,
    /// The op was sent and no answer came. Sending the same op again is safe.
    #[error("the outcome is not known")]
    OutcomeUnknown,
    /// The engine is broken here; nothing of the op remains.
    #[error("defect: {0}")]
    Defect(String),
}

/// Whether a lane may send, and in which epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Recovery is due or under way.
    Closed,
    /// Sends in this epoch.
    Open(i64),
}

/// An answered batch that SQL may not have yet.
#[derive(Clone, Debug)]
pub struct Acked {
    /// Its epoch.
    pub epoch: i64,
    /// Sequence of its last op.
    pub last: i64,
    /// When it was answered.
    pub at: Instant,
    /// Its packed ops that were answered yes, with their sequence.
    pub ops: Vec<(i64, Vec<u8>)>,
}

/// What a lane tells the rest of the process.
#[derive(Debug)]
pub enum News {
    /// The campaign's log grew.
    Committed(CampaignId),
    /// The fence refused, or the log contradicts itself: recovery is due.
    Fenced(CampaignId, String),
    /// A call failed half way, or answered nonsense: rows in Redis may not be what the log says, so recovery must not trust them.
    Broken(CampaignId, String),
}

/// What lane and engine share.
#[derive(Debug)]
pub(super) struct Shared {
    pub campaign: CampaignId,
    pub program: &'static Program,
    pub redis: Arc<Redis>,
    pub clock: Arc<Clock>,
    pub gate: watch::Sender<Gate>,
    pub head: watch::Sender<Place>,
    pub projected: watch::Sender<Place>,
    pub acked: std::sync::Mutex<VecDeque<Acked>>,
    pub memory: Memory,
    pub news: mpsc::UnboundedSender<News>,
    /// Poked when the log grew: for those who read it, whichever campaign's it is.
    pub committed: Arc<Notify>,
    /// Poked when somebody begins to wait for SQL.
    pub hurry: Notify,
}

impl Shared {
    /// The fence refused a call of `epoch`, or something is broken: closes the lane and asks for recovery by `news`. A call that comes back
    /// after recovery has opened another epoch says nothing about that one.
    pub fn close(&self, epoch: i64, news: News) {
        let closed = self.gate.send_if_modified(|gate| {
            let open = *gate == Gate::Open(epoch);
            if open {
                *gate = Gate::Closed;
            }
            open
        });
        if closed {
            // The keeper may be gone at shutdown.
            let _gone = self.news.send(news);
        }
    }
}

/// The running side of a lane.
pub(super) struct Lane {
    pub shared: Arc<Shared>,
    pub admit: mpsc::Receiver<Op>,
    pub drain: mpsc::Receiver<Op>,
    /// Wakes the lane to look at its timers again (the sandbox moved the clock, or recovery is done).
    pub poke: mpsc::Receiver<()>,
}

/// The next timer: when to send a `tick`.
type Due = Option<Instant>;

/// A batch that came back.
struct Landed {
    ops: Vec<Op>,
    class: Class,
    epoch: i64,
    reply: Result<Value, CallError>,
}

impl Lane {
    /// Runs until the engine drops its end.
    pub async fn run(mut self) {
        let slot = self.shared.redis.lane_slot();
        let mut gate = self.shared.gate.subscribe();
        let mut flying = FuturesOrdered::new();
        let (mut admitting, mut draining) = (false, false);
        let mut due: Due = Some(Instant::now());
        loop {
            let open = matches!(*gate.borrow(), Gate::Open(_));
            let (first, class) = tokio::select! {
                biased;
                Some(landed @ Landed { class, .. }) = flying.next() => {
                    match class {
                        Class::Admit => admitting = false,
                        Class::Drain => draining = false,
                    }
                    due = self.land(landed).or(due);
                    continue;
                }
                changed = gate.changed() => {
                    if changed.is_err() { return }
                    due = Some(Instant::now());
                    continue;
                }
                poke = self.poke.recv() => {
                    if poke.is_none() { return }
                    due = Some(Instant::now());
                    continue;
                }
                // Before the queues: they may never be empty while a sale runs, and holds must end all the same.
                () = sleep_until(due), if !draining && open => (None, Class::Drain),
                Some(op) = self.drain.recv(), if !draining => (Some(op), Class::Drain),
                Some(op) = self.admit.recv(), if !admitting => (Some(op), Class::Admit),
            };
            let queue = match class {
                Class::Admit => &mut self.admit,
                Class::Drain => &mut self.drain,
            };
            let timers = class == Class::Drain && (first.is_none() || due.is_some_and(|at| at <= Instant::now()));
            let mut ops = Vec::from_iter(first);
            while ops.len() < BATCH
                && let Ok(op) = queue.try_recv()
            {
                ops.push(op);
            }
            let epoch = match *gate.borrow() {
                Gate::Open(epoch) => epoch,
                Gate::Closed => {
                    refuse(ops, &Trouble::Recovering);
                    continue;
                }
            };
            match class {
                Class::Admit => admitting = true,
                Class::Drain => draining = true,
            }
            if timers {
                due = None;
            }
            flying.push_back(send(Arc::clone(&self.shared), slot, (class, timers), epoch, ops));
        }
    }

    /// Takes a batch's reply apart; answers when the next timer is due, if the reply says.
    fn land(&self, landed: Landed) -> Due {
        let Landed { ops, class, epoch, reply } = landed;
        let decided = match reply {
            Ok(value) => Decided::read(value),
            Err(error) => {
                if matches!(error, CallError::Failed(_)) {
                    self.shared.close(epoch, News::Broken(self.shared.campaign, error.to_string()));
                }
                tracing::warn!(campaign = %self.shared.campaign, %error, "batch without answer");
                let trouble = if matches!(error, CallError::Failed(_)) { Trouble::OutcomeUnknown } else { error.trouble() };
                refuse(ops, &trouble);
                return Some(Instant::now() + Duration::from_millis(500));
            }
        };
        match decided {
            Some(Decided::Answers { before, seq, now, next, answers }) => {
                metrics::counter!("liebian_ops_total").increment(u64::try_from(ops.len()).unwrap_or_default());
                metrics::counter!("liebian_batches_total").increment(1);
                self.remember_refusals(class, (before, seq), &ops, &answers);
                self.committed(Place { epoch, seq }, now, ops, answers);
                (next >= 0).then(|| Instant::now() + Duration::from_millis(u64::try_from(next - now).unwrap_or(0)))
            }
            Some(Decided::Fenced(reason)) => {
                refuse(ops, &Trouble::Recovering);
                self.shared.close(epoch, News::Fenced(self.shared.campaign, reason));
                None
            }
            None => {
                refuse(ops, &Trouble::OutcomeUnknown);
                self.shared.close(epoch, News::Broken(self.shared.campaign, "a reply that cannot be read".into()));
                None
            }
        }
    }

    /// Keeps up to date what strangers may be told without asking. `before` and `seq` are the campaign's place before and after the batch.
    fn remember_refusals(&self, class: Class, (before, seq): (i64, i64), ops: &[Op], answers: &[RawAnswer]) {
        let memory = &self.shared.memory;
        if before != self.shared.head.borrow().seq {
            memory.forget();
        } else if class == Class::Drain && seq > before {
            memory.freed();
        }
        let now = Instant::now();
        let mut read = None;
        for (op, answer) in ops.iter().zip(answers) {
            // A first answer given again says nothing about now.
            let Some(asks) = op.asks.as_ref().filter(|_| answer.replayed.is_none()) else { continue };
            match (answer.yes, Code::from_word(&answer.word)) {
                (1, _) => memory.took(asks),
                (0, Some(code)) => read = memory.refused(asks, code, &answer.payload, now).or(read),
                _ => {}
            }
        }
        if let Some(ticket) = read {
            tokio::spawn(read_holders(Arc::clone(&self.shared), ticket));
        }
    }

    /// Remembers what was decided until SQL has it, tells the projector, answers the callers.
    fn committed(&self, head: Place, now: i64, ops: Vec<Op>, answers: Vec<RawAnswer>) {
        let mut yes = Vec::new();
        let mut waiting = Vec::with_capacity(ops.len());
        // The lane's own tick has the last answer.
        for (op, raw) in ops.into_iter().zip(answers) {
            let Op { packed, answer, .. } = op;
            if raw.yes == 1 && raw.replayed.is_none() {
                yes.push((raw.seq, packed));
            }
            waiting.push((answer, raw));
        }
        let before = self.shared.head.send_replace(head);
        if before.seq != head.seq || before.epoch != head.epoch {
            self.remember(Acked { epoch: head.epoch, last: head.seq, at: Instant::now(), ops: yes });
            let _gone = self.shared.news.send(News::Committed(self.shared.campaign));
            self.shared.committed.notify_one();
        }
        for (answer, raw) in waiting {
            // A caller that went away asks again.
            let _gone = answer.send(raw.read(head.epoch, now));
        }
    }

    fn remember(&self, batch: Acked) {
        let projected = *self.shared.projected.borrow();
        let Ok(mut acked) = self.shared.acked.lock() else { return };
        while acked.front().is_some_and(|oldest| (oldest.epoch, oldest.last) <= (projected.epoch, projected.seq))
            || acked.len() >= REMEMBERED
        {
            acked.pop_front();
        }
        acked.push_back(batch);
    }
}

/// Everybody who ever took something has a row of limits.
async fn read_holders(shared: Arc<Shared>, ticket: Reading) {
    let read = shared.redis.fields(shared.campaign, shared.program.holders).await;
    shared.memory.holders(ticket, read.ok());
}

fn refuse(ops: Vec<Op>, trouble: &Trouble) {
    for op in ops {
        let _gone = op.answer.send(Err(trouble.clone()));
    }
}

/// Comes back at once when the time is over: tokio's timers are late by up to a millisecond, in which a queue may have filled again.
async fn sleep_until(due: Due) {
    match due {
        Some(at) if at <= Instant::now() => {}
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Sends a batch, with the lane's own `tick` after its ops where timers are due.
async fn send(shared: Arc<Shared>, slot: usize, (class, timers): (Class, bool), epoch: i64, ops: Vec<Op>) -> Landed {
    let script = shared.program.script(class);
    let header = header(epoch, &shared.clock);
    let mut args: Vec<&[u8]> = vec![&header];
    args.extend(ops.iter().map(|op| op.packed.as_slice()));
    if timers {
        args.push(TICK);
    }
    let reply = call(&shared, slot, script, &args).await;
    Landed { ops, class, epoch, reply }
}

async fn call(shared: &Shared, slot: usize, script: &Script, args: &[&[u8]]) -> Result<Value, CallError> {
    let mut connection = shared.redis.lane_connection(slot).await?;
    let call = evalsha(script, &shared.program.keys(shared.campaign), args);
    let mut reply = call.query_async(&mut connection).await;
    if reply.as_ref().is_err_and(is_no_script) {
        // It did not run: load it and send the very same call.
        reply = match script_load(script).query_async::<String>(&mut connection).await {
            Ok(_sha1) => call.query_async(&mut connection).await,
            Err(error) => Err(error),
        };
    }
    match reply {
        Ok(value) => Ok(value),
        Err(error) => {
            if is_broken(&error) {
                shared.redis.drop_lane_connection(slot).await;
            }
            Err(told(&error))
        }
    }
}

/// What every script call says first: epoch, clock offset, no fixed time.
pub(super) fn header(epoch: i64, clock: &Clock) -> Vec<u8> {
    header_at(epoch, clock.offset_ms(), 0)
}

/// The same with a fixed time in Unix ms that stands in for Redis' clock.
pub(super) fn header_at(epoch: i64, offset_ms: i64, fixed_ms: i64) -> Vec<u8> {
    // Three integers always pack.
    rmp_serde::to_vec(&(epoch, offset_ms, fixed_ms)).unwrap_or_default()
}

/// `{op = "tick"}`, packed.
const TICK: &[u8] = b"\x81\xa2op\xa4tick";

/// A batch's reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decided {
    /// Every op was decided.
    Answers {
        /// Sequence of the newest op before this batch.
        before: i64,
        /// Sequence of the newest op.
        seq: i64,
        /// The script's clock, Unix ms.
        now: i64,
        /// When the next timer is due, Unix ms; -1 when none is set.
        next: i64,
        /// One answer an op.
        answers: Vec<RawAnswer>,
    },
    /// Nothing was decided; why (`lua/lib/fence.lua`).
    Fenced(String),
}

/// One op's answer as the script gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawAnswer {
    /// 1 yes, 0 no, -1 the op raised an error and was undone.
    pub yes: i64,
    /// The word of the answer, or the error.
    pub word: String,
    /// The op's own sequence, or the one it saw.
    pub seq: i64,
    /// The epoch of the first answer, if this repeats it: it may lie before the present one.
    pub replayed: Option<i64>,
    /// Packed rows.
    pub payload: Vec<Vec<u8>>,
}

impl Decided {
    pub(super) fn read(value: Value) -> Option<Self> {
        let Value::Array(parts) = value else { return None };
        let mut parts = parts.into_iter();
        match text(parts.next()?)?.as_str() {
            "ok" => {
                let (seq, now, next) = (int(&parts.next()?)?, int(&parts.next()?)?, int(&parts.next()?)?);
                let before = int(&parts.next()?)?;
                let mut answers = Vec::with_capacity(parts.len() / RawAnswer::PARTS);
                while parts.len() > 0 {
                    answers.push(RawAnswer::parse(&mut parts)?);
                }
                Some(Self::Answers { before, seq, now, next, answers })
            }
            "fenced" => Some(Self::Fenced(text(parts.next()?)?)),
            _ => None,
        }
    }
}

impl RawAnswer {
    /// Values of an answer in the reply.
    const PARTS: usize = 6;

    fn parse(parts: &mut impl Iterator<Item = Value>) -> Option<Self> {
        let (yes, word, seq, replayed) = (int(&parts.next()?)?, text(parts.next()?)?, int(&parts.next()?)?, int(&parts.next()?)?);
        let rows = [bytes(parts.next()?)?, bytes(parts.next()?)?];
        let payload = rows.into_iter().filter(|row| !row.is_empty()).collect();
        Some(Self { yes, word, seq, replayed: (replayed > 0).then_some(replayed), payload })
    }

    fn read(self, epoch: i64, now: i64) -> Result<Answer, Trouble> {
        let decision = match self.yes {
            1 => Ok(self.word),
            0 => match Code::from_word(&self.word) {
                Some(code) => Err(code),
                None => return Err(Trouble::Defect(format!("the program refused with an unknown word {}", self.word))),
            },
            _ => return Err(Trouble::Defect(self.word)),
        };
        let place = Place { epoch: self.replayed.unwrap_or(epoch), seq: self.seq };
        Ok(Answer { decision, place, replayed: self.replayed.is_some(), now, payload: self.payload })
    }
}

fn int(value: &Value) -> Option<i64> {
    if let Value::Int(number) = value { Some(*number) } else { None }
}

/// The bytes of a string reply.
pub(super) fn bytes(value: Value) -> Option<Vec<u8>> {
    if let Value::BulkString(bytes) = value { Some(bytes) } else { None }
}

fn text(value: Value) -> Option<String> {
    String::from_utf8(bytes(value)?).ok()
}
