//! From the log to SQL, exactly once; and back, when Redis has lost something.
//!
//! The projector reads a campaign's log after its cursor and, in one SQL transaction, moves the cursor by compare-and-set on
//! (epoch, sequence, hash), keeps the entry as it is, and lets the domains apply its events and rows ([`Projection`]). Whoever's
//! compare-and-set finds another cursor rolls back: somebody else projects this campaign.
//!
//! [`recovery`] compares Redis with SQL after every restart, failover or contradiction, and opens the campaign's lane under a new
//! epoch. [`keeper`] is the one task of a process that does both.

pub mod cursor;
pub mod keeper;
pub mod poison;
pub mod recovery;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::hot::entry::{Entry, Event};
use crate::hot::{self, Engine, Place, Program, Trouble};
use crate::id::CampaignId;
use crate::store::{Store, StoreError, Tx, execute, fetch_optional};
use cursor::Cursor;

/// How long an answer waits for SQL before its outcome is called unknown.
const SQL_WAIT: Duration = Duration::from_secs(8);

/// A changed row, as the newest of the entries at hand tells it.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Its table in hot state.
    pub table: &'a str,
    /// Its field.
    pub field: &'a str,
    /// The packed row; empty when it was deleted.
    pub packed: &'a [u8],
    /// Sequence of the entry's last op.
    pub seq: i64,
    /// The entry's clock, Unix ms.
    pub at: i64,
}

/// What a domain applies at once: rows (each at most once) and events, in log order.
#[derive(Debug)]
pub struct Batch<'a> {
    /// The campaign.
    pub campaign: CampaignId,
    /// Changed rows.
    pub rows: Vec<Row<'a>>,
    /// Events with the clock of their entry, Unix ms.
    pub events: Vec<(i64, &'a Event)>,
}

impl<'a> Batch<'a> {
    /// The batch of some entries, without the objects that are parked.
    fn new(campaign: CampaignId, entries: &'a [Entry], wanted: impl Fn(&str) -> bool) -> Self {
        let mut rows = BTreeMap::new();
        let mut events = Vec::new();
        for entry in entries {
            for change in &entry.body.changes {
                if wanted(&format!("{}/{}", change.0, change.1)) {
                    let row = Row { table: &change.0, field: &change.1, packed: &change.2, seq: entry.body.last, at: entry.body.at };
                    rows.insert((&change.0, &change.1), row);
                }
            }
            events.extend(entry.body.events.iter().filter(|event| wanted(&object_of(event))).map(|event| (entry.body.at, event)));
        }
        Self { campaign, rows: rows.into_values().collect(), events }
    }

    /// The rows of one table that are not deleted, read.
    ///
    /// # Errors
    /// `Rejected` when a row does not read, so that it is parked.
    pub fn table<T: hot::Row>(&self, table: &str) -> Result<Vec<(Row<'a>, T)>, StoreError> {
        self.rows
            .iter()
            .filter(|row| row.table == table && !row.packed.is_empty())
            .map(|row| T::read(row.packed).map(|read| (*row, read)).map_err(|error| unreadable(&error)))
            .collect()
    }
}

/// The error for a row or event that does not read.
pub fn unreadable(error: &impl ToString) -> StoreError {
    StoreError::Rejected { unique: false, message: error.to_string() }
}

/// The object an event is about, named like the row it belongs to.
fn object_of(event: &Event) -> String {
    for (field, table) in [("order", "orders"), ("room", "rooms"), ("sku", "stock")] {
        let id = event.2.as_map().and_then(|fields| fields.iter().find(|(name, _)| name.as_str() == Some(field)));
        if let Some(id) = id.and_then(|(_, id)| id.as_str()) {
            return format!("{table}/{id}");
        }
    }
    "campaign".to_owned()
}

/// What a domain does with the log.
pub trait Projection: Send + Sync {
    /// Applies a batch inside the transaction that moves the cursor. Must give the same rows whenever it is given the same log.
    fn apply<'a>(&'a self, tx: &'a mut Tx, batch: &'a Batch<'_>) -> BoxFuture<'a, Result<(), StoreError>>;
}

/// Everything that projecting and recovering needs; shared by handlers, keeper and commands.
pub struct Projector {
    pub(crate) store: Store,
    pub(crate) engine: Arc<Engine>,
    pub(crate) clock: Arc<crate::clock::Clock>,
    pub(crate) projections: Vec<Box<dyn Projection>>,
    pub(crate) program_of: fn(&str) -> Option<&'static Program>,
}

impl Projector {
    /// A projector over these domains; `program_of` names the program of a campaign kind.
    #[must_use]
    pub fn new(
        store: Store,
        engine: Arc<Engine>,
        clock: Arc<crate::clock::Clock>,
        projections: Vec<Box<dyn Projection>>,
        program_of: fn(&str) -> Option<&'static Program>,
    ) -> Self {
        Self { store, engine, clock, projections, program_of }
    }

    /// Brings SQL up to the end of the log's next page. Answers how many entries it took.
    ///
    /// # Errors
    /// See [`Halt`].
    pub async fn project(&self, campaign: CampaignId, cursor: &mut Cursor) -> Result<usize, Halt> {
        let entries = self.engine.log_after(campaign, cursor.seq, PAGE).await.map_err(Halt::from_log)?;
        if entries.is_empty() {
            return Ok(0);
        }
        let end = chained(&entries, cursor.seq, &cursor.hash).map_err(|damage| Halt::Contradiction(damage.to_string()))?;
        let moved = self.apply(campaign, cursor, &entries, end).await?;
        *cursor = moved;
        metrics::counter!("liebian_projected_entries_total").increment(u64::try_from(entries.len()).unwrap_or_default());
        self.engine.set_projected(campaign, Place { epoch: cursor.epoch, seq: cursor.seq });
        Ok(entries.len())
    }

    async fn apply(&self, campaign: CampaignId, cursor: &Cursor, entries: &[Entry], end: (i64, String)) -> Result<Cursor, Halt> {
        let parked = poison::parked(&self.store, campaign).await?;
        match self.commit(campaign, cursor, entries, &end, &parked).await {
            Err(Halt::Store(error)) if !error.is_trouble() => self.commit_with_care(campaign, cursor, entries).await,
            done => done,
        }
    }

    /// One transaction: cursor, entries, domains.
    pub(crate) async fn commit(
        &self,
        campaign: CampaignId,
        cursor: &Cursor,
        entries: &[Entry],
        (seq, hash): &(i64, String),
        parked: &poison::Parked,
    ) -> Result<Cursor, Halt> {
        let mut tx = self.store.begin().await?;
        let next = Cursor { seq: *seq, hash: hash.clone(), updated_at: self.clock.now().get(), ..cursor.clone() };
        if !cursor.advance(&mut tx, campaign, &next).await? {
            return Err(Halt::Overtaken);
        }
        for entry in entries {
            keep(&mut tx, campaign, entry).await?;
        }
        let batch = Batch::new(campaign, entries, |object| !parked.objects.contains(object));
        for projection in &self.projections {
            projection.apply(&mut tx, &batch).await?;
        }
        poison::park(&mut tx, campaign, entries, parked, self.clock.now()).await?;
        tx.commit().await?;
        Ok(next)
    }

    /// Waits until SQL has an op that was decided at `place`: only then is money's answer given.
    ///
    /// # Errors
    /// `OutcomeUnknown` when SQL does not get it in time, or a recovery left it out.
    pub async fn settled(&self, campaign: CampaignId, place: Place) -> Result<(), Trouble> {
        let mut projected = self.engine.projected(campaign).ok_or(Trouble::Recovering)?;
        let reached = projected.wait_for(|at| at.epoch > place.epoch || (at.epoch == place.epoch && at.seq >= place.seq));
        let at = match tokio::time::timeout(SQL_WAIT, reached).await {
            Ok(Ok(at)) => *at,
            Ok(Err(_)) | Err(_) => return Err(Trouble::OutcomeUnknown),
        };
        if at.epoch == place.epoch || self.has(campaign, place).await.map_err(|_unknown| Trouble::OutcomeUnknown)? {
            return Ok(());
        }
        Err(Trouble::OutcomeUnknown)
    }

    /// Waits, not for long, until SQL has all that this process saw decided in a campaign, so that a list shows what was answered.
    pub async fn caught_up(&self, campaign: CampaignId) {
        if let Some(head) = self.engine.head(campaign) {
            // A list that is late is still a list.
            let _late = self.settled(campaign, head).await;
        }
    }

    /// Whether SQL holds the op of this epoch and sequence.
    async fn has(&self, campaign: CampaignId, place: Place) -> Result<bool, StoreError> {
        const FIND: &str =
            "SELECT last_seq FROM log_entries WHERE campaign_id = $1 AND epoch = $2 AND first_seq <= $3 ORDER BY first_seq DESC LIMIT 1";
        let found = fetch_optional!(&self.store, (i64,), FIND, campaign, place.epoch, place.seq)?;
        Ok(found.is_some_and(|(last,)| last >= place.seq))
    }
}

/// Log entries in one transaction.
const PAGE: usize = 64;

/// Checks that entries follow each other from `(seq, hash)` on; answers where they end.
fn chained(entries: &[Entry], seq: i64, hash: &str) -> Result<(i64, String), crate::hot::entry::Damage> {
    let mut at = (seq, hash.to_owned());
    for entry in entries {
        entry.follows(at.0, &at.1)?;
        at = (entry.body.last, entry.hash.clone());
    }
    Ok(at)
}

async fn keep(tx: &mut Tx, campaign: CampaignId, entry: &Entry) -> Result<(), StoreError> {
    const KEEP: &str = "INSERT INTO log_entries (campaign_id, first_seq, last_seq, epoch, def_version, hash, at, body) \
                        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let body = &entry.body;
    execute!(tx, KEEP, campaign, body.first, body.last, body.epoch, body.version, &entry.hash, body.at, &entry.packed)?;
    Ok(())
}

/// Why projecting stopped.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// Somebody else moved the cursor; read it again.
    #[error("another process moved the cursor")]
    Overtaken,
    /// The log does not follow from what SQL has: recovery decides.
    #[error("the log contradicts SQL: {0}")]
    Contradiction(String),
    /// Redis does not answer.
    #[error(transparent)]
    Redis(#[from] crate::hot::redis::CallError),
    /// SQL does not answer, or is broken.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Halt {
    fn from_log(error: crate::hot::engine::LogError) -> Self {
        match error {
            crate::hot::engine::LogError::Call(error) => Self::Redis(error),
            crate::hot::engine::LogError::Damage(damage) => Self::Contradiction(damage.to_string()),
        }
    }
}
