//! Recovery: Redis and SQL agree again, and the campaign serves under a new epoch.
//!
//! 1. If Redis stands in the epoch that SQL says, and its log goes on where SQL's ends, nothing was lost: serve.
//! 2. Claim the next epoch in SQL (compare-and-set), then fence the campaign in Redis for it. Every later step is refused unless the
//!    claim still stands, so a process that froze half way can break nothing when it wakes.
//! 3. Compare at (sequence, hash). Redis ahead and chained on SQL: drain its log into SQL. SQL ahead, or a fork: SQL wins; its
//!    entries are folded back into Redis. Redis ahead but its log is cut past SQL's cursor: SQL was rolled back; freeze and ask.
//! 4. Write down the epoch and what was lost, then open.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::cursor::Cursor;
use super::{Halt, Projector, Tail};
use crate::hot::engine::{Claimed, LogError};
use crate::hot::entry::{Change, Entry, Event};
use crate::hot::{Place, Program};
use crate::id::{CampaignId, OrderId, UserId};
use crate::store::{StoreError, Tx, execute, fetch_all, fetch_one};

/// A recovery that was not seen to move for this long is taken over.
const TAKE_OVER: Duration = Duration::from_secs(3);
/// Log entries folded in one step of a rebuild.
const PAGE: i64 = 256;
/// How long a busy recovery waits for the other one.
const WAIT: Duration = Duration::from_millis(300);

/// How far recovery may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As far as is safe without asking.
    Careful,
    /// The same, but rows in Redis may be half written: its log is drained, its rows are made anew from SQL.
    Distrust,
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

/// What comparing and mending came to.
enum Compared {
    /// Redis and SQL agree again.
    Mended(Mended),
    /// SQL was rolled back and Redis cannot show what is missing: an operator must decide.
    Freeze,
    /// Another recovery is ahead: look again.
    Overtaken,
}

/// How Redis and SQL were made to agree.
struct Mended {
    /// A word, see [`Report::how`].
    how: &'static str,
    /// What was lost, if anybody knows.
    lost: Option<Vec<Lost>>,
}

impl Projector {
    /// Recovers a campaign and opens its lane.
    ///
    /// # Errors
    /// See [`Halt`]; trying again is always safe.
    pub async fn recover(self: &Arc<Self>, campaign: CampaignId, mode: Mode, reason: &str) -> Result<Outcome, Halt> {
        let mut seen = None;
        loop {
            let Some(cursor) = Cursor::read(&self.store, campaign).await? else { return Ok(Outcome::Gone) };
            let Some(program) = (self.program_of)(&cursor.kind) else { return Ok(Outcome::Gone) };
            self.engine.open(campaign, program);
            match cursor.state.as_str() {
                "archived" => return Ok(Outcome::Gone),
                "frozen" if mode != Mode::Rebuild => return Ok(Outcome::Frozen),
                "serving" if mode == Mode::Careful => {
                    // Should it have moved since it was read, the turn below fails and it is looked at again.
                    if let Some(place) = self.goes_on(campaign, program, &cursor).await? {
                        return self.adopt(campaign, &cursor, place).await;
                    }
                }
                "recovering" if cursor.epoch > 0 && !stalled(&mut seen, &cursor) => {
                    tokio::time::sleep(WAIT).await;
                    continue;
                }
                _ => {}
            }
            // Before the claim, for it may take a while and a claim that stands still is taken over. A campaign that has just been made has
            // nothing that could come back.
            if cursor.epoch > 0 {
                self.engine.redis().renew_log().await?;
            }
            let Some(claim) = cursor.turn(&self.store, campaign, cursor.epoch + 1, "recovering", self.clock.now()).await? else { continue };
            if let Some(outcome) = self.mend(campaign, program, claim, mode, reason).await? {
                return Ok(outcome);
            }
        }
    }

    /// Where Redis stands, if that is SQL's epoch and its log goes on where SQL's ends. An equal epoch alone proves nothing: SQL may have
    /// been rolled back, and Redis' log may be cut or damaged.
    async fn goes_on(&self, campaign: CampaignId, program: &Program, cursor: &Cursor) -> Result<Option<Place>, Halt> {
        let Some((place, hash)) = self.engine.stands(campaign, program, cursor.epoch).await? else { return Ok(None) };
        let whole = if place.seq > cursor.seq {
            match self.engine.log_after(campaign, cursor.seq, 1).await {
                Ok(entries) => entries.first().is_some_and(|entry| entry.follows(cursor.seq, &cursor.hash).is_ok()),
                Err(LogError::Damage(_)) => false,
                Err(LogError::Call(error)) => return Err(error.into()),
            }
        } else {
            (place.seq, &hash) == (cursor.seq, &cursor.hash)
        };
        Ok(whole.then_some(place))
    }

    /// Step 1. Another process may have recovered without what this one had answered: that is counted now.
    async fn adopt(&self, campaign: CampaignId, cursor: &Cursor, head: Place) -> Result<Outcome, Halt> {
        const MORE: &str = "UPDATE epochs SET lost_ops = COALESCE(lost_ops, 0) + $1 WHERE campaign_id = $2 AND epoch = $3";
        let lost = self.lost_before(campaign, cursor.epoch).await?;
        let mut count = 0;
        if !lost.is_empty() {
            let mut tx = self.store.begin().await?;
            // Some of it may be listed already: an answer to a repeat names the sequence of another's op.
            count = list(&mut tx, campaign, cursor.epoch, lost).await?;
            execute!(&mut tx, MORE, count, campaign, cursor.epoch)?;
            tx.commit().await?;
            tracing::warn!(%campaign, epoch = cursor.epoch, lost = count, "another process recovered without these answered ops");
        }
        self.engine.serve(campaign, head, Place { epoch: cursor.epoch, seq: cursor.seq });
        Ok(Outcome::Serving(Report { epoch: cursor.epoch, seq: head.seq, lost: Some(count), how: "stands" }))
    }

    /// Steps 2 to 4. `None`: another recovery is ahead, look again.
    async fn mend(
        self: &Arc<Self>,
        campaign: CampaignId,
        program: &'static Program,
        mut cursor: Cursor,
        mode: Mode,
        reason: &str,
    ) -> Result<Option<Outcome>, Halt> {
        let held = match self.engine.claim(campaign, program, cursor.epoch).await? {
            Claimed::Lost(ahead) => {
                // Either another recovery holds SQL too (then this turn fails), or SQL was rolled back to an older epoch.
                let _turned = cursor.turn(&self.store, campaign, ahead, "recovering", self.clock.now()).await?;
                return Ok(None);
            }
            Claimed::Empty => None,
            Claimed::Holds { seq, hash, unfinished } => Some((seq, hash, unfinished)),
        };
        match self.compare(campaign, program, &mut cursor, held, mode).await? {
            Compared::Mended(mended) => self.finish(campaign, program, cursor, mended, reason).await,
            Compared::Freeze => {
                let frozen = cursor.turn(&self.store, campaign, cursor.epoch, "frozen", self.clock.now()).await?;
                Ok(frozen.map(|_cursor| Outcome::Frozen))
            }
            Compared::Overtaken => Ok(None),
        }
    }

    /// Step 3.
    async fn compare(
        self: &Arc<Self>,
        campaign: CampaignId,
        program: &'static Program,
        cursor: &mut Cursor,
        held: Option<(i64, String, bool)>,
        mode: Mode,
    ) -> Result<Compared, Halt> {
        let mut dropped = Vec::new();
        if let Some((seq, hash, unfinished)) = held {
            // After a recovery that did not end only SQL is trusted.
            let trusted = mode == Mode::Careful && !unfinished;
            let drained = self.drain(campaign, cursor, seq, &hash).await?;
            match drained {
                Drained::Agrees if trusted => {
                    // Not always none: an earlier try may have rebuilt Redis and then failed.
                    let lost = self.lost_since(campaign, cursor).await?.unwrap_or_default();
                    return Ok(Compared::Mended(Mended { how: "drained", lost: Some(lost) }));
                }
                Drained::Cut if mode != Mode::Rebuild => return Ok(Compared::Freeze),
                Drained::Behind if trusted && self.sql_has(campaign, seq, &hash).await? => {
                    let lost = self.lost_since(campaign, cursor).await?;
                    let written = self.refold(campaign, program, cursor, seq).await?;
                    return Ok(if written { Compared::Mended(Mended { how: "replayed", lost }) } else { Compared::Overtaken });
                }
                Drained::Fork => dropped = self.dropped(campaign, cursor).await?,
                Drained::Agrees | Drained::Cut | Drained::Behind => {}
            }
        }
        let lost = if dropped.is_empty() { self.lost_since(campaign, cursor).await? } else { Some(dropped) };
        if !self.engine.wipe(campaign, program, cursor.epoch).await? || !self.refold(campaign, program, cursor, 0).await? {
            return Ok(Compared::Overtaken);
        }
        let how = if cursor.seq == 0 && cursor.epoch == 1 { "new" } else { "rebuilt" };
        Ok(Compared::Mended(Mended { how, lost }))
    }

    /// Brings SQL up to Redis' end, if Redis' log goes on where SQL stands.
    async fn drain(self: &Arc<Self>, campaign: CampaignId, cursor: &mut Cursor, seq: i64, hash: &str) -> Result<Drained, Halt> {
        if seq < cursor.seq {
            return Ok(Drained::Behind);
        }
        let mut tail = Tail::new(campaign, cursor.clone());
        loop {
            cursor.clone_from(tail.cursor());
            if cursor.seq == seq {
                return Ok(if cursor.hash == hash { Drained::Agrees } else { Drained::Fork });
            }
            if cursor.seq > seq {
                // A call broke off after its entry was written: the log knows more than the rows.
                return Ok(Drained::Behind);
            }
            match tail.step(self).await {
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

    /// What this process answered and SQL lacks. `None` if this process was not there.
    async fn lost_since(&self, campaign: CampaignId, cursor: &Cursor) -> Result<Option<Vec<Lost>>, StoreError> {
        let there = self.engine.head(campaign).is_some_and(|head| head.epoch > 0 || cursor.epoch <= 1);
        if there { self.lost_before(campaign, cursor.epoch).await.map(Some) } else { Ok(None) }
    }

    /// What this process answered in epochs before `epoch` and SQL lacks: what an epoch loses is always its end. Each sequence once: an
    /// answer to a repeat names the sequence it saw.
    async fn lost_before(&self, campaign: CampaignId, epoch: i64) -> Result<Vec<Lost>, StoreError> {
        const KEPT: &str = "SELECT COALESCE(MAX(last_seq), 0) FROM log_entries WHERE campaign_id = $1 AND epoch = $2";
        let mut ends = BTreeMap::new();
        let mut lost = BTreeMap::new();
        for batch in self.engine.acked(campaign).into_iter().filter(|batch| batch.epoch < epoch) {
            let end = match ends.get(&batch.epoch) {
                Some(end) => *end,
                None => fetch_one!(&self.store, (i64,), KEPT, campaign, batch.epoch)?.0,
            };
            ends.insert(batch.epoch, end);
            for (seq, packed) in batch.ops.into_iter().filter(|(seq, _)| *seq > end) {
                lost.entry(seq).or_insert_with(|| Lost::read(seq, &packed));
            }
        }
        Ok(lost.into_values().collect())
    }

    /// The entries of a forked log in Redis that SQL will not take; none when they do not even read.
    async fn dropped(&self, campaign: CampaignId, cursor: &Cursor) -> Result<Vec<Lost>, Halt> {
        let entries = match self.engine.log_after(campaign, cursor.seq, 10_000).await {
            Ok(entries) => entries,
            Err(LogError::Damage(_)) => return Ok(Vec::new()),
            Err(LogError::Call(error)) => return Err(error.into()),
        };
        let mut lost = BTreeMap::new();
        for event in entries.into_iter().flat_map(|entry| entry.body.events) {
            lost.entry(event.0).or_insert_with(|| Lost::of_event(&event));
        }
        Ok(lost.into_values().collect())
    }

    /// Step 4. Epoch and losses are written in one transaction: a try that fails half way must not forget what was lost.
    async fn finish(
        &self,
        campaign: CampaignId,
        program: &'static Program,
        cursor: Cursor,
        mended: Mended,
        reason: &str,
    ) -> Result<Option<Outcome>, Halt> {
        let last = self.entries_after_end(campaign, cursor.seq).await?;
        let count = mended.lost.as_deref().map(length);
        let mut tx = self.store.begin().await?;
        if cursor.turn_in(&mut tx, campaign, cursor.epoch, "serving", self.clock.now()).await?.is_none() {
            return Ok(None);
        }
        let reason = format!("{reason}: {}", mended.how);
        self.write_down(&mut tx, campaign, &cursor, &reason, count).await?;
        list(&mut tx, campaign, cursor.epoch, mended.lost.unwrap_or_default()).await?;
        tx.commit().await?;
        if !self.engine.release(campaign, program, cursor.epoch, (cursor.seq, &cursor.hash, last)).await? {
            return Ok(None);
        }
        let place = Place { epoch: cursor.epoch, seq: cursor.seq };
        self.engine.serve(campaign, place, place);
        Ok(Some(Outcome::Serving(Report { epoch: cursor.epoch, seq: cursor.seq, lost: count, how: mended.how })))
    }

    /// The clock of the last entry SQL has, Unix ms; time in Redis must not fall behind it.
    async fn entries_after_end(&self, campaign: CampaignId, seq: i64) -> Result<i64, StoreError> {
        const AT: &str = "SELECT at FROM log_entries WHERE campaign_id = $1 AND last_seq = $2 LIMIT 1";
        Ok(fetch_all!(&self.store, (i64,), AT, campaign, seq)?.first().map_or(0, |(at,)| *at))
    }

    async fn write_down(
        &self,
        tx: &mut Tx,
        campaign: CampaignId,
        cursor: &Cursor,
        reason: &str,
        count: Option<i64>,
    ) -> Result<(), StoreError> {
        const EPOCH: &str = "INSERT INTO epochs (campaign_id, epoch, from_seq, reason, lost_ops, at) VALUES ($1, $2, $3, $4, $5, $6) \
                             ON CONFLICT (campaign_id, epoch) DO NOTHING";
        execute!(tx, EPOCH, campaign, cursor.epoch, cursor.seq, reason, count, self.clock.now().get()).map(|_written| ())
    }
}

/// Writes down each lost op; answers how many were not known yet.
async fn list(tx: &mut Tx, campaign: CampaignId, epoch: i64, lost: Vec<Lost>) -> Result<i64, StoreError> {
    const OP: &str = "INSERT INTO lost_ops (campaign_id, epoch, seq, op, order_id, user_id) VALUES ($1, $2, $3, $4, $5, $6) \
                      ON CONFLICT (campaign_id, epoch, seq) DO NOTHING";
    let mut new = 0;
    for op in lost {
        let order = op.order.and_then(|hot| OrderId::from_hot(campaign, &hot).ok());
        let user = op.user.and_then(|hot| UserId::from_hot(&hot).ok());
        new += i64::try_from(execute!(&mut *tx, OP, campaign, epoch, op.seq, op.op, order, user)?).unwrap_or_default();
    }
    Ok(new)
}

fn length(lost: &[Lost]) -> i64 {
    i64::try_from(lost.len()).unwrap_or(i64::MAX)
}

/// Whether a recovery by somebody has stood still for long. Seen on this process' own clock: those of two machines may differ.
fn stalled(seen: &mut Option<(Cursor, Instant)>, cursor: &Cursor) -> bool {
    match seen {
        Some((before, since)) if before == cursor => since.elapsed() >= TAKE_OVER,
        _ => {
            *seen = Some((cursor.clone(), Instant::now()));
            false
        }
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
    /// What an event tells of the op that made it.
    fn of_event(event: &Event) -> Self {
        let fields = event.2.as_map().map(Vec::as_slice).unwrap_or_default();
        let order = fields.iter().find(|(name, _)| name.as_str() == Some("order")).and_then(|(_, id)| id.as_str());
        Self { seq: event.0, op: event.1.clone(), order: order.map(str::to_owned), user: None }
    }

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
