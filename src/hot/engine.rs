//! The engine: every campaign's lane, reads behind the fence, and recovery's steps.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use ::redis::Value;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::entry::{Change, Damage, Entry, Sealed};
use super::lane::{self, Acked, Answer, Class, Decided, Gate, IdempotencyKey, Lane, News, Op, Place, QUEUE, Shared, Trouble};
use super::memory::{Asks, Memory, Remembered};
use super::program::{Program, key};
use super::reads::{self, Found, Read, Reads, Wanted};
use super::redis::{CallError, LogRow, Redis};
use crate::clock::Clock;
use crate::id::CampaignId;

/// How long a request waits for a campaign that is being recovered before it is told so.
const RECOVERY_WAIT: Duration = Duration::from_secs(2);
/// How far SQL may fall behind before nothing new is admitted: the log is never cut to make room.
const MAX_LAG: Duration = Duration::from_secs(10);
/// How long an answer may take once an op or a read is queued; Redis' own limit is shorter.
const ANSWER_WAIT: Duration = Duration::from_secs(12);

/// Rows that one step of a rebuild writes; other campaigns wait for it.
const REBUILT_AT_ONCE: usize = 2_000;

/// Rows as of one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The moment.
    pub place: Place,
    /// The script's clock, Unix ms.
    pub now: i64,
    /// One result a request.
    pub found: Vec<Found>,
}

/// One lane's outer ends.
#[derive(Clone, Debug)]
struct Ends {
    shared: Arc<Shared>,
    admit: mpsc::Sender<Op>,
    drain: mpsc::Sender<Op>,
    poke: mpsc::Sender<()>,
    reads: mpsc::Sender<Wanted>,
}

/// All campaigns of this process.
#[derive(Debug)]
pub struct Engine {
    redis: Arc<Redis>,
    clock: Arc<Clock>,
    /// Where lanes live: they outlast the worker whose request made them.
    home: Handle,
    lanes: RwLock<HashMap<CampaignId, Ends>>,
    news: mpsc::UnboundedSender<News>,
    stream: Mutex<Option<mpsc::UnboundedReceiver<News>>>,
    committed: Arc<Notify>,
}

impl Engine {
    /// An engine on the Redis at `url`, at home on the runtime that runs this. It starts without lanes: [`Engine::open`] adds them.
    ///
    /// # Errors
    /// When the URL does not read, or there is no runtime.
    pub fn new(url: &str, clock: Arc<Clock>) -> Result<Self, CallError> {
        let (news, stream) = mpsc::unbounded_channel();
        let home = Handle::try_current().map_err(|none| CallError::Failed(none.to_string()))?;
        let (redis, committed) = (Arc::new(Redis::new(url, home.clone())?), Arc::default());
        Ok(Self { redis, clock, home, lanes: RwLock::default(), news, stream: Mutex::new(Some(stream)), committed })
    }

    /// Poked whenever a log grew by this process' doing; for one listener.
    #[must_use]
    pub fn committed(&self) -> &Notify {
        &self.committed
    }

    /// The engine's news, for the one keeper that recovers and projects. `None` the second time.
    pub fn take_news(&self) -> Option<mpsc::UnboundedReceiver<News>> {
        self.stream.lock().ok()?.take()
    }

    /// The clock outside the scripts.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The way to Redis.
    #[must_use]
    pub fn redis(&self) -> &Redis {
        &self.redis
    }

    /// Makes a closed lane for a campaign if there is none. Recovery opens it.
    pub fn open(&self, campaign: CampaignId, program: &'static Program) {
        let Ok(mut lanes) = self.lanes.write() else { return };
        lanes.entry(campaign).or_insert_with(|| {
            let (admit, admit_end) = mpsc::channel(QUEUE);
            let (drain, drain_end) = mpsc::channel(QUEUE);
            let (poke, poke_end) = mpsc::channel(1);
            let (reads, wanted) = mpsc::channel(QUEUE);
            let start = Place { epoch: 0, seq: 0 };
            let shared = Arc::new(Shared {
                campaign,
                program,
                redis: Arc::clone(&self.redis),
                clock: Arc::clone(&self.clock),
                gate: watch::Sender::new(Gate::Closed),
                head: watch::Sender::new(start),
                projected: watch::Sender::new(start),
                acked: Mutex::new(VecDeque::new()),
                memory: Memory::default(),
                news: self.news.clone(),
                committed: Arc::clone(&self.committed),
                hurry: Notify::new(),
            });
            self.home.spawn(Lane { shared: Arc::clone(&shared), admit: admit_end, drain: drain_end, poke: poke_end }.run());
            self.home.spawn(Reads { shared: Arc::clone(&shared), wanted }.run());
            Ends { shared, admit, drain, poke, reads }
        });
    }

    /// Ends all lanes; queued ops are dropped, so callers must be gone.
    pub fn close(&self) {
        if let Ok(mut lanes) = self.lanes.write() {
            lanes.clear();
        }
    }

    /// The campaigns with a lane here.
    #[must_use]
    pub fn campaigns(&self) -> Vec<CampaignId> {
        self.lanes.read().map(|lanes| lanes.keys().copied().collect()).unwrap_or_default()
    }

    /// Whether a campaign has a lane here.
    #[must_use]
    pub fn knows(&self, campaign: CampaignId) -> bool {
        self.ends(campaign).is_some()
    }

    /// Lets one lane look at its timers again, because another process has decided something in its campaign.
    pub fn poke_one(&self, campaign: CampaignId) {
        if let Some(ends) = self.ends(campaign) {
            let _full = ends.poke.try_send(());
        }
    }

    /// Lets all lanes look at their timers again, because the clock was moved.
    pub fn poke(&self) {
        if let Ok(lanes) = self.lanes.read() {
            for ends in lanes.values() {
                // A poke that is already waiting does the same.
                let _full = ends.poke.try_send(());
            }
        }
    }

    fn ends(&self, campaign: CampaignId) -> Option<Ends> {
        self.lanes.read().ok()?.get(&campaign).cloned()
    }

    /// Waits until the lane is open, but not for long.
    async fn epoch(ends: &Ends) -> Result<i64, Trouble> {
        let mut gate = ends.shared.gate.subscribe();
        let open = gate.wait_for(|gate| matches!(gate, Gate::Open(_)));
        match tokio::time::timeout(RECOVERY_WAIT, open).await {
            Ok(Ok(gate)) => match *gate {
                Gate::Open(epoch) => Ok(epoch),
                Gate::Closed => Err(Trouble::Recovering),
            },
            Ok(Err(_)) | Err(_) => Err(Trouble::Recovering),
        }
    }

    /// Sends an op and waits for its decision, which is on disk when it arrives.
    ///
    /// # Errors
    /// See [`Trouble`]; an unknown campaign is [`Trouble::Recovering`], so callers look it up first.
    pub async fn submit<T: Serialize>(
        &self,
        campaign: CampaignId,
        class: Class,
        op: &T,
        idempotency: Option<&IdempotencyKey>,
    ) -> Result<Answer, Trouble> {
        self.ask(campaign, class, op, idempotency, None).await
    }

    /// [`Self::submit`] of an op whose refusal may meet others too.
    ///
    /// # Errors
    /// See [`Self::submit`].
    pub async fn ask<T: Serialize>(
        &self,
        campaign: CampaignId,
        class: Class,
        op: &T,
        idempotency: Option<&IdempotencyKey>,
        asks: Option<Asks>,
    ) -> Result<Answer, Trouble> {
        let ends = self.ends(campaign).ok_or(Trouble::Recovering)?;
        let packed = lane::pack(op, idempotency)?;
        Self::epoch(&ends).await?;
        let (answer, decided) = oneshot::channel();
        let op = Op { packed, asks, answer };
        match class {
            Class::Admit => {
                if ends.lag() > MAX_LAG {
                    return Err(Trouble::Overloaded);
                }
                ends.admit.try_send(op).map_err(|_full| Trouble::Overloaded)?;
            }
            Class::Drain => ends.drain.send(op).await.map_err(|_closed| Trouble::Recovering)?,
        }
        match tokio::time::timeout(ANSWER_WAIT, decided).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(Trouble::OutcomeUnknown),
        }
    }

    /// What this stranger would certainly be refused with, known without asking Redis.
    #[must_use]
    pub fn refusal(&self, campaign: CampaignId, asks: &Asks) -> Option<Remembered> {
        let ends = self.ends(campaign)?;
        let open = matches!(*ends.shared.gate.borrow(), Gate::Open(_));
        let remembered = ends.shared.memory.refusal(asks, Instant::now()).filter(|_| open);
        if remembered.is_some() {
            metrics::counter!("liebian_refusals_from_memory_total").increment(1);
        }
        remembered
    }

    /// Sends exactly these packed ops as one call under `(epoch, fixed time in Unix ms)`: how tests and tools drive a program with a clock
    /// of their own. No lane takes part, so none learns of what was decided.
    ///
    /// # Errors
    /// See [`CallError`]; `Failed` also for a reply that does not read.
    pub async fn decide_batch(
        &self,
        campaign: CampaignId,
        program: &Program,
        class: Class,
        (epoch, fixed_ms): (i64, i64),
        ops: &[Vec<u8>],
    ) -> Result<Decided, CallError> {
        let header = lane::header_at(epoch, 0, fixed_ms);
        let args: Vec<&[u8]> = std::iter::once(&header).chain(ops).map(Vec::as_slice).collect();
        let reply = self.redis.script(program.script(class), &program.keys(campaign), &args).await?;
        Decided::read(reply).ok_or_else(|| CallError::Failed("a batch's reply cannot be read".into()))
    }

    /// Reads rows of a campaign at one moment, behind the fence.
    ///
    /// # Errors
    /// See [`Trouble`]; reads are never `OutcomeUnknown`.
    pub async fn read(&self, campaign: CampaignId, requests: &[Read<'_>]) -> Result<Snapshot, Trouble> {
        let ends = self.ends(campaign).ok_or(Trouble::Recovering)?;
        Self::epoch(&ends).await?;
        let (answer, read) = oneshot::channel();
        ends.reads.try_send(Wanted::new(requests, answer)?).map_err(|_full| Trouble::Overloaded)?;
        match tokio::time::timeout(ANSWER_WAIT, read).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(Trouble::Recovering),
        }
    }

    /// A whole table of a campaign, as it is while others write; for audits.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn table(&self, campaign: CampaignId, table: &str) -> Result<HashMap<String, Vec<u8>>, CallError> {
        self.redis.table(campaign, table).await
    }

    /// Whether a campaign runs on this program.
    #[must_use]
    pub fn runs(&self, campaign: CampaignId, program: &Program) -> bool {
        self.ends(campaign).is_some_and(|ends| std::ptr::eq(ends.shared.program, program))
    }

    /// The place of the newest op that this process saw decided.
    #[must_use]
    pub fn head(&self, campaign: CampaignId) -> Option<Place> {
        let lanes = self.lanes.read().ok()?;
        let head = *lanes.get(&campaign)?.shared.head.borrow();
        Some(head)
    }

    /// Follows the place up to which SQL has the log.
    #[must_use]
    pub fn projected(&self, campaign: CampaignId) -> Option<watch::Receiver<Place>> {
        let shared = &self.ends(campaign)?.shared;
        let place = shared.projected.subscribe();
        shared.hurry.notify_one();
        Some(place)
    }

    /// Comes back when somebody waits for SQL to have more of the log.
    pub async fn awaited(&self, campaign: CampaignId) {
        let Some(ends) = self.ends(campaign) else { return };
        if ends.shared.projected.receiver_count() == 0 {
            ends.shared.hurry.notified().await;
        }
    }

    /// The projector has brought SQL up to `place`.
    pub fn set_projected(&self, campaign: CampaignId, place: Place) {
        if let Some(ends) = self.ends(campaign) {
            ends.shared.projected.send_replace(place);
        }
    }

    /// How long the oldest answered batch has waited for SQL.
    #[must_use]
    pub fn lag(&self, campaign: CampaignId) -> Duration {
        self.ends(campaign).map(|ends| ends.lag()).unwrap_or_default()
    }

    /// Answered batches of this process that SQL may not have.
    #[must_use]
    pub fn acked(&self, campaign: CampaignId) -> Vec<Acked> {
        let Some(ends) = self.ends(campaign) else { return Vec::new() };
        let Ok(acked) = ends.shared.acked.lock() else { return Vec::new() };
        acked.iter().cloned().collect()
    }

    /// Whether a campaign's lane is open.
    #[must_use]
    pub fn gate(&self, campaign: CampaignId) -> Gate {
        self.ends(campaign).map_or(Gate::Closed, |ends| *ends.shared.gate.borrow())
    }

    /// Closes a campaign and asks for its recovery.
    pub fn fence(&self, campaign: CampaignId, reason: String) {
        if let Some(ends) = self.ends(campaign) {
            ends.shared.gate.send_replace(Gate::Closed);
            let _gone = self.news.send(News::Fenced(campaign, reason));
        }
    }

    /// The campaign serves in the epoch of `head`, where hot state stands; SQL has its log up to `projected`. What was answered in
    /// earlier epochs is settled; what was answered in this one still waits for SQL.
    pub fn serve(&self, campaign: CampaignId, head: Place, projected: Place) {
        if let Some(ends) = self.ends(campaign) {
            if let Ok(mut acked) = ends.shared.acked.lock() {
                acked.retain(|batch| batch.epoch == head.epoch);
            }
            ends.shared.memory.forget();
            ends.shared.projected.send_replace(projected);
            ends.shared.head.send_replace(head);
            ends.shared.gate.send_replace(Gate::Open(head.epoch));
        }
    }
}

impl Ends {
    fn lag(&self) -> Duration {
        let projected = *self.shared.projected.borrow();
        let Ok(acked) = self.shared.acked.lock() else { return Duration::ZERO };
        let oldest = acked.iter().find(|batch| (batch.epoch, batch.last) > (projected.epoch, projected.seq));
        oldest.map(|batch| batch.at.elapsed()).unwrap_or_default()
    }
}

/// What Redis holds of a campaign when recovery claims it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// Redis knows this epoch already: another recovery is ahead, or SQL was rolled back.
    Lost(i64),
    /// No state at all.
    Empty,
    /// State up to a sequence, with the log's hash there.
    Holds {
        /// Sequence of the last op.
        seq: i64,
        /// The log's hash.
        hash: String,
        /// An earlier recovery did not end: what it found and what it left in Redis are not to be trusted.
        unfinished: bool,
    },
}

/// Recovery's steps in Redis; each answers `false` (or `Lost`) when another recovery is ahead.
impl Engine {
    async fn step(&self, campaign: CampaignId, program: &Program, args: &[&[u8]]) -> Result<Vec<Value>, CallError> {
        self.redis.script(&program.recovery, &program.keys(campaign), args).await
    }

    /// Fences the campaign for the recovery that will serve `epoch`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn claim(&self, campaign: CampaignId, program: &Program, epoch: i64) -> Result<Claimed, CallError> {
        let reply = self.step(campaign, program, &[b"claim", epoch.to_string().as_bytes()]).await?;
        let mut parts = reply.into_iter();
        match (parts.next().and_then(lane::bytes).as_deref(), parts.next(), parts.next().and_then(lane::bytes)) {
            (Some(b"claimed"), Some(Value::Int(-1)), _) => Ok(Claimed::Empty),
            (Some(b"claimed"), Some(Value::Int(seq)), Some(hash)) => {
                let unfinished = parts.next() == Some(Value::Int(1));
                Ok(Claimed::Holds { seq, hash: String::from_utf8_lossy(&hash).into_owned(), unfinished })
            }
            (Some(b"lost"), Some(Value::Int(ahead)), _) => Ok(Claimed::Lost(ahead)),
            _ => Err(CallError::Failed("a claim's reply cannot be read".into())),
        }
    }

    async fn done(&self, campaign: CampaignId, program: &Program, args: &[&[u8]]) -> Result<bool, CallError> {
        let reply = self.step(campaign, program, args).await?;
        Ok(reply.into_iter().next().and_then(lane::bytes).as_deref() == Some(b"done"))
    }

    /// Deletes the campaign's state and log.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn wipe(&self, campaign: CampaignId, program: &Program, epoch: i64) -> Result<bool, CallError> {
        self.done(campaign, program, &[b"wipe", epoch.to_string().as_bytes()]).await
    }

    /// Writes rows as the commit of a batch does.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn write(&self, campaign: CampaignId, program: &Program, epoch: i64, changes: &[Change]) -> Result<bool, CallError> {
        for part in changes.chunks(REBUILT_AT_ONCE) {
            let epoch = epoch.to_string();
            let mut args: Vec<&[u8]> = vec![b"write", epoch.as_bytes()];
            // Not packed: Lua's MessagePack does not know the type for bytes.
            args.extend(part.iter().flat_map(|change| [change.0.as_bytes(), change.1.as_bytes(), change.2.as_slice()]));
            if !self.done(campaign, program, &args).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Ends recovery: the campaign stands at `seq` with `hash` and serves `epoch`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn release(&self, campaign: CampaignId, program: &Program, epoch: i64, at: (i64, &str, i64)) -> Result<bool, CallError> {
        let packed = rmp_serde::to_vec(&at).map_err(|error| CallError::Failed(error.to_string()))?;
        self.done(campaign, program, &[b"serve", epoch.to_string().as_bytes(), &packed]).await
    }

    /// The place and hash at which this epoch stands, if Redis serves it: it was not restarted since.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn stands(&self, campaign: CampaignId, program: &Program, epoch: i64) -> Result<Option<(Place, String)>, CallError> {
        let header = lane::header(epoch, &self.clock);
        let hash = rmp_serde::to_vec(&[Read::Row("meta", "hash")]).map_err(|error| CallError::Failed(error.to_string()))?;
        let reply = self.redis.script(&program.read, &program.keys(campaign), &[&header, &hash]).await?;
        let Some(Ok(snapshot)) = reads::snapshot(epoch, reply) else { return Ok(None) };
        let hash = match snapshot.found.into_iter().next() {
            Some(Found::Row(Some(hash))) => String::from_utf8_lossy(&hash).into_owned(),
            Some(Found::Row(None) | Found::Rows(_)) | None => String::new(),
        };
        Ok(Some((snapshot.place, hash)))
    }

    /// Log entries after a place, read; the chain is the caller's to check.
    ///
    /// # Errors
    /// Redis' trouble, or an entry that does not read.
    pub async fn log_after(&self, campaign: CampaignId, seq: i64, count: usize) -> Result<Vec<Entry>, LogError> {
        let rows = self.redis.log_after(&key(campaign, "log"), seq, count).await?;
        Ok(rows.into_iter().map(|row| Entry::read(row.hash, row.packed)).collect::<Result<_, _>>()?)
    }

    /// The same entries as they are.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn log_rows_after(&self, campaign: CampaignId, seq: i64, count: usize) -> Result<Vec<LogRow>, CallError> {
        self.redis.log_after(&key(campaign, "log"), seq, count).await
    }

    /// The epoch that Redis serves a campaign in, also where this process knows of another; `None` where there is no state.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn epoch_in_redis(&self, campaign: CampaignId) -> Result<Option<i64>, CallError> {
        self.redis.command("HGET", &[key(campaign, "meta").as_bytes(), b"epoch"]).await
    }

    /// The same, unread.
    ///
    /// # Errors
    /// Redis' trouble, or an entry whose place does not read.
    pub async fn sealed_after(&self, campaign: CampaignId, seq: i64, count: usize) -> Result<Vec<Sealed>, LogError> {
        let rows = self.redis.log_after(&key(campaign, "log"), seq, count).await?;
        Ok(rows.into_iter().map(|row| Sealed::read(row.hash, row.packed)).collect::<Result<_, _>>()?)
    }

    /// Cuts the log before `seq`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn trim_log(&self, campaign: CampaignId, seq: i64) -> Result<(), CallError> {
        let log = key(campaign, "log");
        let _cut: i64 = self.redis.command("XTRIM", &[log.as_bytes(), b"MINID", b"~", format!("{seq}-0").as_bytes()]).await?;
        Ok(())
    }
}

/// Why the log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Redis.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The log itself.
    #[error(transparent)]
    Damage(#[from] Damage),
}
