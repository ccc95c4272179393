//! Pages: how a campaign's log comes into SQL, so many entries a transaction.
//!
//! A page grows with the backlog, as far as a transaction stays short: others wait for it, among them whoever wants to see money in SQL.
//! While SQL works on one page, the next is read from Redis and made ready.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::time::Instant;

use super::batch::{Batch, Statements};
use super::cursor::Cursor;
use super::poison::{self, Parked};
use super::{Halt, Projector};
use crate::hot::Place;
use crate::hot::entry::Sealed;
use crate::id::CampaignId;
use crate::store::{Bulk, BulkRows, StoreError, bulk_row};

/// Log entries read at once; Redis serves nobody else meanwhile.
const READ: usize = 64;
/// Ops in a page, at least (if there are as many) and at most, and what a transaction should take.
const LEAST: i64 = 256;
const MOST: i64 = 8192;
const GOAL: Duration = Duration::from_millis(100);
/// Pages of so many ops are made ready on a thread of their own: the lanes share this one.
const HEAVY: i64 = 256;

bulk_row! {
    struct Kept {
        campaign_id: CampaignId,
        first_seq: i64,
        last_seq: i64,
        epoch: i64,
        def_version: i64,
        hash: String,
        at: i64,
        body: Vec<u8>,
    }
}

static ENTRIES: LazyLock<BulkRows<Kept>> = LazyLock::new(|| BulkRows::insert("log_entries", ""));

/// Entries that follow each other, and the statements they come to, or why there are none.
struct Page {
    entries: Vec<Sealed>,
    ready: Result<Vec<Bulk>, Halt>,
}

/// Where a campaign's projection stands, and what is read ahead of it. Only for as long as nobody else moves the cursor: after a [`Halt`]
/// it is of no more use.
pub struct Tail {
    campaign: CampaignId,
    cursor: Cursor,
    parked: Option<Arc<Parked>>,
    ahead: Ahead,
    next: Option<Page>,
    size: i64,
}

/// Entries that are read and not yet in a page.
struct Ahead {
    entries: VecDeque<Sealed>,
    /// Sequence and hash of the last one.
    end: (i64, String),
    /// Whether there may be more in Redis.
    more: bool,
}

impl Tail {
    /// From this cursor on.
    #[must_use]
    pub fn new(campaign: CampaignId, cursor: Cursor) -> Self {
        let ahead = Ahead { entries: VecDeque::new(), end: (cursor.seq, cursor.hash.clone()), more: true };
        Self { campaign, cursor, parked: None, ahead, next: None, size: LEAST }
    }

    /// The same with pages of at most so many ops, one entry at least.
    #[must_use]
    pub fn with_pages_of(self, size: i64) -> Self {
        Self { size: size.min(MOST), ..self }
    }

    /// Where SQL stands.
    #[must_use]
    pub const fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// After a step: whether there was more in the log than it took.
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.next.is_some() || self.ahead.more || !self.ahead.entries.is_empty()
    }

    /// Brings SQL up to the end of the log.
    ///
    /// # Errors
    /// See [`Halt`].
    pub async fn run_to_end(&mut self, projector: &Arc<Projector>) -> Result<(), Halt> {
        while self.step(projector).await? > 0 {}
        Ok(())
    }

    /// Brings SQL up to the end of the log's next page. Answers how many entries it took; none: SQL has all.
    ///
    /// # Errors
    /// See [`Halt`].
    pub async fn step(&mut self, projector: &Arc<Projector>) -> Result<usize, Halt> {
        let parked = match &self.parked {
            Some(parked) => Arc::clone(parked),
            None => Arc::new(poison::parked(&projector.store, self.campaign).await?),
        };
        self.parked = Some(Arc::clone(&parked));
        if self.next.is_none() {
            self.ahead.more = true;
            self.ahead.read(projector, self.campaign, self.size).await?;
            self.next = self.ahead.page(projector, self.campaign, self.size, &parked).await?;
        }
        let Some(Page { entries, ready }) = self.next.take() else { return Ok(0) };
        let work = projector.apply(self.campaign, &self.cursor, &entries, ready, &parked);
        let (done, next) = tokio::join!(work, self.ahead.full_page(projector, self.campaign, self.size, &parked));
        let moved = done?;
        self.cursor = moved.cursor;
        match next {
            Ok(next) if !moved.parked => self.next = next,
            // It was made in the belief that nothing more is parked; or it could not be read, which the next step will tell.
            Ok(_) | Err(_) => self.forget(),
        }
        self.adapt(moved.took);
        metrics::counter!("liebian_projected_entries_total").increment(u64::try_from(entries.len()).unwrap_or_default());
        Ok(entries.len())
    }

    /// Reads again from the cursor on.
    fn forget(&mut self) {
        *self = Self { size: self.size, ..Self::new(self.campaign, self.cursor.clone()) };
    }

    fn adapt(&mut self, took: Duration) {
        if took > GOAL {
            self.size = (self.size / 2).max(LEAST);
        } else if took < GOAL / 2 && self.has_more() {
            self.size = (self.size * 2).min(MOST);
        }
    }
}

impl Ahead {
    fn ops(&self) -> i64 {
        self.entries.iter().map(|entry| entry.head.ops()).sum()
    }

    /// The next page, if there is a full one by now: a smaller one does better to wait and grow.
    async fn full_page(
        &mut self,
        projector: &Arc<Projector>,
        campaign: CampaignId,
        size: i64,
        parked: &Arc<Parked>,
    ) -> Result<Option<Page>, Halt> {
        self.read(projector, campaign, size).await?;
        if self.ops() < size { Ok(None) } else { self.page(projector, campaign, size, parked).await }
    }

    /// A page of as many of the entries read as make `size` ops, one at least.
    async fn page(
        &mut self,
        projector: &Arc<Projector>,
        campaign: CampaignId,
        size: i64,
        parked: &Arc<Parked>,
    ) -> Result<Option<Page>, Halt> {
        let mut ops = 0;
        let mut entries = Vec::new();
        while let Some(entry) = self.entries.front()
            && (entries.is_empty() || ops + entry.head.ops() <= size)
        {
            ops += entry.head.ops();
            entries.extend(self.entries.pop_front());
        }
        if entries.is_empty() {
            return Ok(None);
        }
        if ops < HEAVY {
            return Ok(Some(projector.ready(campaign, entries, parked)));
        }
        let (projector, parked) = (Arc::clone(projector), Arc::clone(parked));
        let page = tokio::task::spawn_blocking(move || projector.ready(campaign, entries, &parked)).await;
        page.map(Some).map_err(|_broken| StoreError::Unavailable(sqlx::Error::WorkerCrashed).into())
    }

    /// Reads entries until there are `size` ops or the log ends. Each must follow from the one before.
    async fn read(&mut self, projector: &Projector, campaign: CampaignId, size: i64) -> Result<(), Halt> {
        while self.more && self.ops() < size {
            match self.read_some(projector, campaign).await {
                Ok(()) => {}
                // First what is there; the next time this comes again.
                Err(_later) if !self.entries.is_empty() => return Ok(()),
                Err(halt) => return Err(halt),
            }
        }
        Ok(())
    }

    async fn read_some(&mut self, projector: &Projector, campaign: CampaignId) -> Result<(), Halt> {
        let entries = projector.engine.sealed_after(campaign, self.end.0, READ).await.map_err(Halt::from_log)?;
        self.more = entries.len() == READ;
        let mut end = self.end.clone();
        for entry in &entries {
            entry.follows(end.0, &end.1).map_err(|damage| Halt::Contradiction(damage.to_string()))?;
            end = (entry.head.last, entry.hash.clone());
        }
        self.entries.extend(entries);
        self.end = end;
        Ok(())
    }
}

/// How a page ended.
pub(super) struct Moved {
    pub cursor: Cursor,
    /// Something was parked.
    parked: bool,
    /// How long SQL was at it, without waiting for its turn.
    took: Duration,
}

impl Projector {
    /// Makes a page's statements; this is where the processor's time goes.
    fn ready(&self, campaign: CampaignId, entries: Vec<Sealed>, parked: &Parked) -> Page {
        let ready = self.statements(campaign, &entries, |table, field| !parked.holds(table, field));
        Page { entries, ready }
    }

    /// What the domains make of some entries, without the objects that are not `wanted`.
    pub(super) fn statements(
        &self,
        campaign: CampaignId,
        entries: &[Sealed],
        wanted: impl Fn(&str, &str) -> bool,
    ) -> Result<Vec<Bulk>, Halt> {
        let bodies: Result<Vec<_>, _> = entries.iter().map(Sealed::body).collect();
        let bodies = bodies.map_err(|damage| Halt::Contradiction(damage.to_string()))?;
        let tables: Vec<&str> = self.projections.iter().flat_map(|projection| projection.tables()).copied().collect();
        let batch = Batch::new(campaign, &bodies, &tables, wanted);
        let mut statements = Statements::new(self.store.dialect());
        for projection in &self.projections {
            projection.statements(&batch, &mut statements)?;
        }
        Ok(statements.bulks)
    }

    async fn apply(
        &self,
        campaign: CampaignId,
        cursor: &Cursor,
        entries: &[Sealed],
        ready: Result<Vec<Bulk>, Halt>,
        parked: &Parked,
    ) -> Result<Moved, Halt> {
        let done = match ready {
            Ok(statements) => self.commit(campaign, cursor, entries, statements, parked).await,
            Err(halt) => Err(halt),
        };
        let moved = match done {
            Err(Halt::Store(error)) if error.is_refusal() => {
                let cursor = self.commit_with_care(campaign, cursor, entries).await?;
                Moved { cursor, parked: true, took: Duration::ZERO }
            }
            done => done?,
        };
        self.engine.set_projected(campaign, Place { epoch: moved.cursor.epoch, seq: moved.cursor.seq });
        Ok(moved)
    }

    /// One transaction: cursor, entries, domains.
    pub(super) async fn commit(
        &self,
        campaign: CampaignId,
        cursor: &Cursor,
        entries: &[Sealed],
        statements: Vec<Bulk>,
        parked: &Parked,
    ) -> Result<Moved, Halt> {
        let kept = ENTRIES.prepare(self.store.dialect(), &kept(campaign, entries))?;
        let end = entries.last().map_or((cursor.seq, &cursor.hash), |last| (last.head.last, &last.hash));
        let next = Cursor { seq: end.0, hash: end.1.clone(), updated_at: self.clock.now().get(), ..cursor.clone() };
        let mut tx = self.store.begin().await?;
        let began = Instant::now();
        if !cursor.advance(&mut tx, campaign, &next).await? {
            return Err(Halt::Overtaken);
        }
        for statement in kept.into_iter().chain(statements) {
            statement.run(&mut tx).await?;
        }
        poison::park(&mut tx, campaign, entries, parked, self.clock.now()).await?;
        tx.commit().await?;
        Ok(Moved { cursor: next, parked: false, took: began.elapsed() })
    }
}

fn kept(campaign: CampaignId, entries: &[Sealed]) -> Vec<Kept> {
    let kept = |entry: &Sealed| Kept {
        campaign_id: campaign,
        first_seq: entry.head.first,
        last_seq: entry.head.last,
        epoch: entry.head.epoch,
        def_version: entry.head.version,
        hash: entry.hash.clone(),
        at: entry.head.at,
        body: entry.packed.clone(),
    };
    entries.iter().map(kept).collect()
}
