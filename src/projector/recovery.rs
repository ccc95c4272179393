//! Recovery: Redis and SQL agree again, and the campaign serves under a new epoch.
//!
//! 1. If Redis stands in the epoch that SQL says, nothing was lost: serve.
//! 2. Claim the next epoch in SQL (compare-and-set), then fence the campaign in Redis for it. Every later step is refused unless the
//!    claim still stands, so a process that froze half way can break nothing when it wakes.
//! 3. Compare at (sequence, hash). Redis ahead and chained on SQL: drain its log into SQL. SQL ahead, or a fork: SQL wins; its
//!    entries are folded back into Redis. Redis ahead but its log is cut past SQL's cursor: SQL was rolled back; freeze and ask.
//! 4. Write down the epoch and what was lost, then open.

use std::time::Duration;

use super::cursor::Cursor;
use super::{Halt, Projector};
use crate::hot::engine::Claimed;
use crate::hot::entry::{Change, Entry};
use crate::hot::{Place, Program};
use crate::id::CampaignId;
use crate::store::{StoreError, execute, fetch_all};

/// A recovery that has not moved for this long is taken over.
const TAKE_OVER: i64 = 3_000;
/// Log entries folded in one step of a rebuild.
const PAGE: i64 = 256;
/// How long a busy recovery waits for the other one.
const WAIT: Duration = Duration::from_millis(300);

/// How far recovery may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As far as is safe without asking.
    Careful,
    /// An operator asked: state is rebuilt from SQL, also a frozen campaign's.
    Rebuild,
}

/// How recovery ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The campaign serves.
    Serving(Report),
    /// Redis has acknowledged more than SQL and cannot show it: an operator must decide (`liebian rebuild`).
    Frozen,
    /// The campaign does not exist, or is archived.
    Gone,
}

/// What recovery did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The epoch now served.
    pub epoch: i64,
    /// Sequence at which it begins.
    pub seq: i64,
    /// Acknowledged ops known to be lost; `None` when nobody can tell (at most the projector's lag).
    pub lost: Option<i64>,
    /// What was done, a word: `stands`, `new`, `drained`, `replayed`, `rebuilt`.
    pub how: &'static str,
}

/// An op that is known to be lost: sequence, what it was.
struct Lost {
    seq: i64,
    op: String,
    order: Option<String>,
    user: Option<String>,
}

/// What comparing and mending found.
struct Mended {
    how: &'static str,
    lost: Option<Vec<Lost>>,
}

impl Projector {
    /// Recovers a campaign and opens its lane.
    ///
    /// # Errors
    /// See [`Halt`]; trying again is always safe.
    pub async fn recover(&self, campaign: CampaignId, mode: Mode, reason: &str) -> Result<Outcome, Halt> {
        loop {
            let Some(cursor) = Cursor::read(&self.store, campaign).await? else { return Ok(Outcome::Gone) };
            let Some(program) = (self.program_of)(&cursor.kind) else { return Ok(Outcome::Gone) };
            self.engine.open(campaign, program);
            match cursor.state.as_str() {
                "archived" => return Ok(Outcome::Gone),
                "frozen" if mode == Mode::Careful => return Ok(Outcome::Frozen),
                "serving" if mode == Mode::Careful => {
                    if let Some(place) = self.engine.stands(campaign, program, cursor.epoch).await? {
                        return Ok(self.adopt(campaign, &cursor, place));
                    }
                }
                "recovering" if cursor.epoch > 0 && self.clock.now().get() - cursor.updated_at < TAKE_OVER => {
                    tokio::time::sleep(WAIT).await;
                    continue;
                }
                _ => {}
            }
            let Some(claim) = cursor.turn(&self.store, campaign, cursor.epoch + 1, "recovering", self.clock.now()).await? else { continue };
            if let Some(outcome) = self.mend(campaign, program, claim, mode, reason).await? {
                return Ok(outcome);
            }
        }
    }

    fn adopt(&self, campaign: CampaignId, cursor: &Cursor, place: Place) -> Outcome {
        self.engine.serve(campaign, place);
        self.engine.set_projected(campaign, Place { epoch: cursor.epoch, seq: cursor.seq });
        Outcome::Serving(Report { epoch: cursor.epoch, seq: place.seq, lost: Some(0), how: "stands" })
    }

    /// Steps 2 to 4. `None`: another recovery is ahead, look again.
    async fn mend(
        &self,
        campaign: CampaignId,
        program: &'static Program,
        mut cursor: Cursor,
        mode: Mode,
        reason: &str,
    ) -> Result<Option<Outcome>, Halt> {
        let held = match self.engine.claim(campaign, program, cursor.epoch).await? {
            Claimed::Lost(ahead) => {
                // Either another recovery holds SQL too (then this turn fails), or SQL was rolled back to an older epoch.
                let _turned = cursor.turn(&self.store, campaign, ahead, "recovering", self.clock.now().plus_seconds(-60)).await?;
                return Ok(None);
            }
            Claimed::Empty => None,
            Claimed::Holds { seq, hash } => Some((seq, hash)),
        };
        let Some(mended) = self.compare(campaign, program, &mut cursor, held, mode).await? else {
            let frozen = cursor.turn(&self.store, campaign, cursor.epoch, "frozen", self.clock.now()).await?;
            return Ok(frozen.map(|_cursor| Outcome::Frozen));
        };
        let Some(mended) = mended else { return Ok(None) };
        self.finish(campaign, program, cursor, mended, reason).await
    }

    /// Step 3. `None`: freeze. `Some(None)`: another recovery is ahead.
    async fn compare(
        &self,
        campaign: CampaignId,
        program: &'static Program,
        cursor: &mut Cursor,
        held: Option<(i64, String)>,
        mode: Mode,
    ) -> Result<Option<Option<Mended>>, Halt> {
        let mut dropped = Vec::new();
        if let Some((seq, hash)) = held {
            let drained = self.drain(campaign, cursor, seq, &hash).await?;
            match drained {
                Drained::Agrees if mode == Mode::Careful => return Ok(Some(Some(Mended { how: "drained", lost: Some(Vec::new()) }))),
                Drained::Cut if mode == Mode::Careful => return Ok(None),
                Drained::Behind if mode == Mode::Careful && self.sql_has(campaign, seq, &hash).await? => {
                    let lost = self.lost_since(campaign, cursor);
                    let written = self.refold(campaign, program, cursor, seq).await?;
                    return Ok(Some(written.then_some(Mended { how: "replayed", lost })));
                }
                Drained::Fork => dropped = self.dropped(campaign, cursor).await?,
                Drained::Agrees | Drained::Cut | Drained::Behind => {}
            }
        }
        let lost = if dropped.is_empty() { self.lost_since(campaign, cursor) } else { Some(dropped) };
        if !self.engine.wipe(campaign, program, cursor.epoch).await? || !self.refold(campaign, program, cursor, 0).await? {
            return Ok(Some(None));
        }
        let how = if cursor.seq == 0 && cursor.epoch == 1 { "new" } else { "rebuilt" };
        Ok(Some(Some(Mended { how, lost })))
    }

    /// Brings SQL up to Redis' end, if Redis' log goes on where SQL stands.
    async fn drain(&self, campaign: CampaignId, cursor: &mut Cursor, seq: i64, hash: &str) -> Result<Drained, Halt> {
        if seq < cursor.seq {
            return Ok(Drained::Behind);
        }
        loop {
            if cursor.seq == seq {
                return Ok(if cursor.hash == hash { Drained::Agrees } else { Drained::Fork });
            }
            match self.project(campaign, cursor).await {
                Ok(0) => return Ok(Drained::Cut),
                Ok(_entries) => {}
                Err(Halt::Contradiction(what)) => {
                    let next = self.engine.log_after(campaign, cursor.seq, 1).await.map_err(Halt::from_log);
                    tracing::error!(%campaign, what, "the log in Redis does not follow from SQL");
                    return Ok(match next {
                        Ok(entries) if entries.first().is_some_and(|entry| entry.body.first > cursor.seq + 1) => Drained::Cut,
                        _ => Drained::Fork,
                    });
                }
                Err(halt) => return Err(halt),
            }
        }
    }

    /// Whether SQL's log passed through this very place.
    async fn sql_has(&self, campaign: CampaignId, seq: i64, hash: &str) -> Result<bool, StoreError> {
        const FIND: &str = "SELECT hash FROM log_entries WHERE campaign_id = $1 AND last_seq = $2 LIMIT 1";
        let rows = fetch_all!(&self.store, (String,), FIND, campaign, seq)?;
        Ok((seq == 0 && hash.is_empty()) || rows.iter().any(|(known,)| known == hash))
    }

    /// Writes SQL's entries after `from` into Redis: the generic fold, last writer wins, no code per domain.
    /// Each page renews the claim, so that nobody takes over a long rebuild.
    async fn refold(&self, campaign: CampaignId, program: &'static Program, cursor: &mut Cursor, from: i64) -> Result<bool, Halt> {
        let mut at = from;
        while at < cursor.seq {
            let page = self.entries_after(campaign, at).await?;
            let Some(last) = page.last() else { return Err(Halt::Contradiction(format!("SQL lacks the log after sequence {at}"))) };
            at = last.body.last;
            let changes: Vec<Change> = page.into_iter().flat_map(|entry| entry.body.changes).collect();
            if !self.engine.write(campaign, program, cursor.epoch, &newest(changes)).await? {
                return Ok(false);
            }
            let Some(renewed) = cursor.turn(&self.store, campaign, cursor.epoch, "recovering", self.clock.now()).await? else {
                return Ok(false);
            };
            *cursor = renewed;
        }
        Ok(true)
    }

    /// A page of SQL's log.
    ///
    /// # Errors
    /// Those of the database; an entry that does not read contradicts.
    pub(crate) async fn entries_after(&self, campaign: CampaignId, seq: i64) -> Result<Vec<Entry>, Halt> {
        const PAGE_OF: &str = "SELECT hash, body FROM log_entries WHERE campaign_id = $1 AND first_seq > $2 ORDER BY first_seq LIMIT $3";
        let rows = fetch_all!(&self.store, (String, Vec<u8>), PAGE_OF, campaign, seq, PAGE)?;
        rows.into_iter().map(|(hash, body)| Entry::read(hash, body).map_err(|damage| Halt::Contradiction(damage.to_string()))).collect()
    }

    /// What this process answered after SQL's place. `None` if this process was not there.
    fn lost_since(&self, campaign: CampaignId, cursor: &Cursor) -> Option<Vec<Lost>> {
        let head = self.engine.head(campaign)?;
        if head.epoch == 0 && cursor.epoch > 1 {
            return None;
        }
        let acked = self.engine.acked_after(campaign, Place { epoch: 0, seq: 0 });
        let ops = acked.into_iter().flat_map(|batch| batch.ops).filter(|(seq, _)| *seq > cursor.seq);
        Some(ops.map(|(seq, packed)| Lost::read(seq, &packed)).collect())
    }

    /// The entries of a forked log in Redis that SQL will not take.
    async fn dropped(&self, campaign: CampaignId, cursor: &Cursor) -> Result<Vec<Lost>, Halt> {
        let entries = self.engine.log_after(campaign, cursor.seq, 10_000).await.map_err(Halt::from_log)?;
        let events = entries.into_iter().flat_map(|entry| entry.body.events);
        Ok(events.map(|event| Lost { seq: event.0, op: event.1, order: None, user: None }).collect())
    }

    /// Step 4.
    async fn finish(
        &self,
        campaign: CampaignId,
        program: &'static Program,
        cursor: Cursor,
        mended: Mended,
        reason: &str,
    ) -> Result<Option<Outcome>, Halt> {
        let last = self.entries_after_end(campaign, cursor.seq).await?;
        let count = mended.lost.as_ref().map(|lost| i64::try_from(lost.len()).unwrap_or(i64::MAX));
        if cursor.turn(&self.store, campaign, cursor.epoch, "serving", self.clock.now()).await?.is_none() {
            return Ok(None);
        }
        self.write_down(campaign, &cursor, &format!("{reason}: {}", mended.how), count, mended.lost.unwrap_or_default()).await?;
        if !self.engine.release(campaign, program, cursor.epoch, (cursor.seq, &cursor.hash, last)).await? {
            return Ok(None);
        }
        self.engine.serve(campaign, Place { epoch: cursor.epoch, seq: cursor.seq });
        Ok(Some(Outcome::Serving(Report { epoch: cursor.epoch, seq: cursor.seq, lost: count, how: mended.how })))
    }

    /// The clock of the last entry SQL has, Unix ms; time in Redis must not fall behind it.
    async fn entries_after_end(&self, campaign: CampaignId, seq: i64) -> Result<i64, StoreError> {
        const AT: &str = "SELECT at FROM log_entries WHERE campaign_id = $1 AND last_seq = $2 LIMIT 1";
        Ok(fetch_all!(&self.store, (i64,), AT, campaign, seq)?.first().map_or(0, |(at,)| *at))
    }

    async fn write_down(
        &self,
        campaign: CampaignId,
        cursor: &Cursor,
        reason: &str,
        count: Option<i64>,
        lost: Vec<Lost>,
    ) -> Result<(), StoreError> {
        const EPOCH: &str = "INSERT INTO epochs (campaign_id, epoch, from_seq, reason, lost_ops, at) VALUES ($1, $2, $3, $4, $5, $6) \
                             ON CONFLICT (campaign_id, epoch) DO NOTHING";
        const OP: &str = "INSERT INTO lost_ops (campaign_id, epoch, seq, op, order_id, user_id) VALUES ($1, $2, $3, $4, $5, $6) \
                          ON CONFLICT (campaign_id, epoch, seq) DO NOTHING";
        let mut tx = self.store.begin().await?;
        execute!(&mut tx, EPOCH, campaign, cursor.epoch, cursor.seq, reason, count, self.clock.now().get())?;
        for op in lost {
            execute!(&mut tx, OP, campaign, cursor.epoch, op.seq, op.op, op.order, op.user)?;
        }
        tx.commit().await
    }
}

/// What draining Redis' log found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drained {
    /// Redis and SQL are at the same place.
    Agrees,
    /// Redis is behind SQL.
    Behind,
    /// Redis is ahead, but its log begins after SQL's place.
    Cut,
    /// Redis went another way than SQL.
    Fork,
}

impl Lost {
    /// Reads a packed op for people; one that does not read is still counted.
    fn read(seq: i64, packed: &[u8]) -> Self {
        let op: rmpv::Value = rmp_serde::from_slice(packed).unwrap_or(rmpv::Value::Nil);
        let field = |name: &str| {
            let fields = op.as_map()?;
            fields.iter().find(|(key, _)| key.as_str() == Some(name)).and_then(|(_, value)| value.as_str()).map(str::to_owned)
        };
        Self { seq, op: field("op").unwrap_or_default(), order: field("order"), user: field("user") }
    }
}

/// The newest change of each row.
fn newest(changes: Vec<Change>) -> Vec<Change> {
    let mut newest = std::collections::BTreeMap::new();
    for Change(table, field, value) in changes {
        newest.insert((table, field), value);
    }
    newest.into_iter().map(|((table, field), value)| Change(table, field, value)).collect()
}
