//! The task of one campaign: it projects the log and recovers what the fence has closed, never both at once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};

use super::cursor::Cursor;
use super::recovery::{Mode, Outcome};
use super::{Halt, Projector, Tail};
use crate::hot::Place;
use crate::hot::lane::Gate;
use crate::id::CampaignId;
use crate::store::StoreError;

/// So long a log is let grow before it is projected, as long as nobody waits for it: with a page a batch, SQL would fsync with every batch and
/// write a room once for each of its seats.
const GATHER: Duration = Duration::from_millis(100);
/// How long after trouble a recovery is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(500);
/// Log entries kept behind the cursor, for readers of the live log, in sequences.
const KEPT: i64 = 1_000;
/// So many more are let come together before the log is cut: Redis fsyncs every cut.
const CUT_AT: i64 = 1_000;

/// How the keeper reaches a campaign's task. What is asked for twice is done once.
#[derive(Debug, Default)]
pub struct Calls {
    wake: Notify,
    recovery: Mutex<Option<(Mode, String)>>,
}

impl Calls {
    /// The log may have grown.
    pub fn look(&self) {
        self.wake.notify_one();
    }

    /// The lane is closed. What was asked first stands, but trust never grows.
    pub fn recover(&self, mode: Mode, reason: String) {
        let mut asked = self.recovery.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.as_ref().is_none_or(|(before, _)| *before == Mode::Careful && mode != Mode::Careful) {
            *asked = Some((mode, reason));
        }
        self.wake.notify_one();
    }

    fn is_recovery_due(&self) -> bool {
        self.recovery.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn take(&self) -> Option<(Mode, String)> {
        self.recovery.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What a page took of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// There was none, or it could not be taken: somebody will call.
    Nothing,
    /// All there was: what has come meanwhile may grow.
    All,
    /// Not all there was, or a new look is due.
    Some,
}

/// A campaign's task.
pub struct Task {
    pub projector: Arc<Projector>,
    pub campaign: CampaignId,
    pub calls: Arc<Calls>,
    /// Turns at SQL, shared by all campaigns: a page needs one.
    pub turns: Arc<Semaphore>,
    pub tail: Option<Tail>,
    /// Where the tail stood last.
    pub at: Place,
    /// Up to where the log was cut.
    pub cut: i64,
}

impl Task {
    /// Runs until `stop` says so; then projects what is left, for as long as that succeeds.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            if let Some((mode, reason)) = self.calls.take() {
                tokio::select! {
                    biased;
                    _ = stop.changed() => {}
                    () = self.recover(mode, reason) => {}
                }
            } else if self.page().await != Taken::Some {
                tokio::select! {
                    biased;
                    gone = stop.changed() => if gone.is_err() { return },
                    () = self.calls.wake.notified() => self.gather().await,
                }
            }
        }
        while self.page().await != Taken::Nothing {}
    }

    async fn gather(&self) {
        if !self.calls.is_recovery_due() {
            // Whether somebody waits or the time is over, it is projected now.
            let _late = tokio::time::timeout(GATHER, self.projector.engine.awaited(self.campaign)).await;
        }
    }

    async fn recover(&mut self, mode: Mode, mut reason: String) {
        let campaign = self.campaign;
        self.tail = None;
        loop {
            match self.projector.recover(campaign, mode, &reason).await {
                Ok(Outcome::Serving(report)) => {
                    if !["stands", "new"].contains(&report.how) {
                        tracing::warn!(%campaign, epoch = report.epoch, seq = report.seq, lost = ?report.lost, how = report.how, "campaign recovered");
                        metrics::counter!("liebian_recoveries_total", "how" => report.how).increment(1);
                    }
                }
                Ok(Outcome::Frozen) => {
                    tracing::error!(%campaign, "campaign is frozen: Redis is ahead of SQL and its log is cut; see `liebian rebuild`");
                }
                Ok(Outcome::Gone) => {}
                Err(error) => {
                    tracing::warn!(%campaign, %error, "recovery will be tried again");
                    tokio::time::sleep(TRY_AGAIN).await;
                    reason = "tried again".into();
                    continue;
                }
            }
            break;
        }
        if self.projector.engine.gate(campaign) != Gate::Closed {
            // What was asked for meanwhile was about the epoch before.
            self.calls.take();
        }
    }

    /// Projects one page.
    async fn page(&mut self) -> Taken {
        if self.projector.engine.gate(self.campaign) == Gate::Closed {
            return Taken::Nothing;
        }
        match self.step().await {
            Ok(taken) => return taken,
            Err(Halt::Overtaken) => {
                self.tail = None;
                return Taken::Some;
            }
            Err(Halt::Contradiction(_)) if self.is_overtaken().await => return Taken::Some,
            Err(Halt::Contradiction(what)) => {
                tracing::warn!(campaign = %self.campaign, what, "the log contradicts SQL");
                self.projector.engine.fence(self.campaign, what);
            }
            Err(error @ (Halt::Redis(_) | Halt::Store(_))) => {
                tracing::warn!(campaign = %self.campaign, %error, "projecting will be tried again");
            }
        }
        self.tail = None;
        Taken::Nothing
    }

    /// Whether another process moved the cursor: it may have cut the log before this one's place in it, which then seems to lack something.
    async fn is_overtaken(&self) -> bool {
        let cursor = Cursor::read(&self.projector.store, self.campaign).await;
        cursor.is_ok_and(|cursor| cursor.is_some_and(|cursor| (cursor.epoch, cursor.seq) > (self.at.epoch, self.at.seq)))
    }

    async fn step(&mut self) -> Result<Taken, Halt> {
        let _turn = self.turns.acquire().await;
        let mut tail = match self.tail.take() {
            Some(tail) => tail,
            None => match self.fresh().await? {
                Some(tail) => tail,
                None => return Ok(Taken::Nothing),
            },
        };
        self.at = Place { epoch: tail.cursor().epoch, seq: tail.cursor().seq };
        let entries = tail.step(&self.projector).await?;
        let taken = match entries {
            0 => Taken::Nothing,
            _ if tail.has_more() => Taken::Some,
            _ => Taken::All,
        };
        let seq = tail.cursor().seq;
        self.tail = Some(tail);
        if self.projector.engine.head(self.campaign).is_some_and(|head| seq > head.seq) {
            // Somebody else's ops. They may have set timers that this process' lane knows nothing of, and their process may die before it fires them.
            self.projector.engine.poke_one(self.campaign);
        }
        if entries > 0 && seq - KEPT >= self.cut + CUT_AT {
            self.projector.engine.trim_log(self.campaign, seq - KEPT).await?;
            self.cut = seq - KEPT;
        }
        Ok(taken)
    }

    /// From the cursor as SQL has it, made known to those who wait for it. None while somebody recovers the campaign.
    async fn fresh(&self) -> Result<Option<Tail>, StoreError> {
        let Some(cursor) = Cursor::read(&self.projector.store, self.campaign).await? else { return Ok(None) };
        if cursor.state != "serving" {
            return Ok(None);
        }
        if self.projector.engine.gate(self.campaign) != Gate::Open(cursor.epoch) {
            // Another process recovered it. An idle lane would not notice, and whoever waits here for SQL would wait in vain.
            self.projector.engine.fence(self.campaign, "another process recovered it".into());
            return Ok(None);
        }
        self.projector.engine.set_projected(self.campaign, Place { epoch: cursor.epoch, seq: cursor.seq });
        Ok(Some(Tail::new(self.campaign, cursor)))
    }
}
