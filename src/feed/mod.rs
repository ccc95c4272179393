//! Rows as they change: each process sees every committed change of the rows that somebody here watches, whichever process made it.
//!
//! One task ([`Feed::run`]) reads on in the logs of watched campaigns. This process' own commits only poke it; those of others are found by
//! a short poll. Of an entry it looks at the changed rows alone; a watched one becomes a [`Change`], made once and shared by all readers.
//!
//! * A reader subscribes first and reads the present row then ([`Feed::follow`]), so nothing is lost between the two. What it meets twice it
//!   passes over by its [`Place`]: places rise strictly.
//! * Where a log does not go on (another epoch after a recovery, a gap because it was cut, an entry that does not read), the watched rows are
//!   read afresh, behind the fence and at one moment, and every reader gets the present state.
//! * Nobody waits for a reader. One that is more than [`BEHIND`] changes behind has lost some and is told so.
//!
//! Nothing here knows what a room is: a watched thing is a table and a field. `M` is what readers make of a change, once for all of them.

mod hub;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OnceCell, broadcast};
use tokio::time::MissedTickBehavior;

use crate::hot::entry::BodyRef;
use crate::hot::lane::Gate;
use crate::hot::{Engine, Found, Place, Read, Trouble};
use crate::id::CampaignId;
use hub::{Due, Hub, Name};

/// So many changes a reader may be behind.
pub const BEHIND: usize = 64;
/// How often the logs are looked at without a poke: other processes write to them too.
const POLL: Duration = Duration::from_millis(100);
/// Between two rounds that found something: a spike makes a thousand batches a second, and this two hundred reads of them.
const REST: Duration = Duration::from_millis(5);
/// Log entries in one round: a burst that readers can take, for it is half of what they may be behind.
const PAGE: usize = 32;
/// Rows read afresh in one call.
const AFRESH: usize = 500;
/// A reader that comes while a recovery ends may have to read again, but not often.
const TRIES: usize = 4;

/// One state of a watched row.
#[derive(Debug)]
pub struct Change<M> {
    /// Where in the campaign's order the row came to be so, or was found so.
    pub place: Place,
    /// The packed row; empty when it is gone.
    pub row: Vec<u8>,
    /// What readers made of it.
    pub made: OnceCell<M>,
}

impl<M> Change<M> {
    fn new(place: Place, row: Vec<u8>) -> Arc<Self> {
        Arc::new(Self { place, row, made: OnceCell::new() })
    }
}

/// A reader that was too slow: changes are lost to it, and it must begin anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {BEHIND} changes behind")]
pub struct TooSlow;

/// One reader's way along the changes of a row.
#[derive(Debug)]
pub struct Follower<M> {
    changes: broadcast::Receiver<Arc<Change<M>>>,
    at: Place,
}

impl<M> Follower<M> {
    /// The next change. May be dropped while it waits without losing one.
    ///
    /// # Errors
    /// When this reader is too far behind.
    pub async fn next(&mut self) -> Result<Arc<Change<M>>, TooSlow> {
        loop {
            let change = self.changes.recv().await.map_err(|_lagged| TooSlow)?;
            if change.place > self.at {
                self.at = change.place;
                return Ok(change);
            }
        }
    }
}

/// All watched rows of this process.
#[derive(Debug)]
pub struct Feed<M> {
    engine: Arc<Engine>,
    hub: Mutex<Hub<M>>,
    /// Wakes the task when it has nothing to watch and a reader comes.
    joined: Notify,
}

impl<M: Send + Sync + 'static> Feed<M> {
    /// A feed of the engine's campaigns. Someone must [`Feed::run`] it.
    #[must_use]
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine, hub: Mutex::default(), joined: Notify::new() }
    }

    fn hub(&self) -> MutexGuard<'_, Hub<M>> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present state of a row, and what follows it. `None`: there is no such row.
    ///
    /// # Errors
    /// See [`Engine::read`]; the campaign must have a lane here.
    pub async fn follow(
        &self,
        campaign: CampaignId,
        table: &'static str,
        field: &str,
    ) -> Result<Option<(Arc<Change<M>>, Follower<M>)>, Trouble> {
        let changes = self.hub().watch(campaign, table, field);
        self.joined.notify_one();
        for _ in 0..TRIES {
            let snapshot = self.engine.read(campaign, &[Read::Row(table, field)]).await?;
            let Some(Found::Row(Some(row))) = snapshot.found.into_iter().next() else { return Ok(None) };
            if self.hub().covers(campaign, snapshot.place) {
                return Ok(Some((Change::new(snapshot.place, row), Follower { changes, at: snapshot.place })));
            }
        }
        Err(Trouble::Recovering)
    }

    /// Follows the logs for as long as it is polled.
    pub async fn run(self: Arc<Self>) {
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut more = false;
        loop {
            if self.hub().is_empty() {
                self.joined.notified().await;
            }
            let polled = tokio::select! {
                biased;
                _ = poll.tick() => true,
                () = std::future::ready(()), if more => false,
                () = self.engine.committed().notified() => false,
            };
            let found;
            (found, more) = self.round(polled).await;
            if found {
                tokio::time::sleep(REST).await;
            }
        }
    }

    /// Looks once at every watched campaign, or only at those this process has changed. Answers whether something was found, and whether
    /// there is more.
    async fn round(&self, polled: bool) -> (bool, bool) {
        if polled {
            self.hub().sweep();
        }
        let (mut found, mut more) = (false, false);
        let campaigns = self.hub().campaigns();
        for campaign in campaigns {
            let due = self.hub().due(campaign, AFRESH);
            let entries = match due {
                Due::Rows(names) if polled => self.read_afresh(campaign, names).await,
                Due::Log(place) if polled || self.has_grown(campaign, place) => self.read_on(campaign, place, polled).await,
                Due::Nothing | Due::Rows(_) | Due::Log(_) => 0,
            };
            found |= entries > 0;
            more |= entries >= PAGE;
        }
        (found, more)
    }

    /// Whether this process knows of more than `place`, or has just taken a whole page.
    fn has_grown(&self, campaign: CampaignId, place: Place) -> bool {
        self.engine.head(campaign).is_some_and(|head| head > place) || self.hub().is_behind(campaign)
    }

    /// Publishes the log's next page; answers how many entries that was.
    async fn read_on(&self, campaign: CampaignId, place: Place, polled: bool) -> usize {
        // Another process may have recovered the campaign, and this one not have noticed: an idle log does not tell.
        let moved = polled && self.engine.epoch_in_redis(campaign).await.is_ok_and(|epoch| epoch != Some(place.epoch));
        if moved || self.engine.head(campaign).is_some_and(|head| head.epoch > place.epoch) {
            self.hub().lose(campaign);
            return 0;
        }
        // Redis' trouble is the lanes' and the keeper's to tell of; the next poll looks again.
        let Ok(entries) = self.engine.log_rows_after(campaign, place.seq, PAGE).await else { return 0 };
        let mut hub = self.hub();
        for entry in &entries {
            let goes_on = BodyRef::read(&entry.packed).is_ok_and(|entry| hub.publish(campaign, &entry));
            if !goes_on {
                tracing::debug!(%campaign, seq = entry.first, "the log does not go on for live readers");
                hub.lose(campaign);
                return entries.len();
            }
        }
        hub.set_behind(campaign, entries.len() >= PAGE);
        entries.len()
    }

    /// Reads rows as they are now and publishes them, page by page until none is owed; answers how many.
    async fn read_afresh(&self, campaign: CampaignId, mut names: Vec<Name>) -> usize {
        let mut count = 0;
        // A read would wait for the recovery, and all other campaigns with it.
        while matches!(self.engine.gate(campaign), Gate::Open(_)) {
            let requests: Vec<Read<'_>> = names.iter().map(|(table, field)| Read::Row(table, field)).collect();
            let Ok(snapshot) = self.engine.read(campaign, &requests).await else { break };
            count += names.len();
            let rows = snapshot.found.into_iter().map(|found| match found {
                Found::Row(row) => row.unwrap_or_default(),
                Found::Rows(_) => Vec::new(),
            });
            let mut hub = self.hub();
            hub.refresh(campaign, snapshot.place, names.into_iter().zip(rows));
            match hub.due(campaign, AFRESH) {
                Due::Rows(next) => names = next,
                Due::Nothing | Due::Log(_) => break,
            }
        }
        count
    }
}
