//! The keeper: the one task of a process that projects its campaigns' logs and recovers what the fence has closed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::cursor::Cursor;
use super::recovery::{Mode, Outcome};
use super::{Halt, Projector};
use crate::hot::lane::{Gate, News};
use crate::id::CampaignId;
use crate::store::{StoreError, fetch_all};

/// Without news the logs are looked at this often: other processes write to them too.
const POLL: Duration = Duration::from_millis(200);
/// How often SQL is asked for campaigns that other processes published.
const DISCOVER: Duration = Duration::from_secs(1);
/// How long after trouble a recovery is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(500);
/// Log entries kept behind the cursor, for readers of the live log.
const KEPT: i64 = 1_000;

/// The keeper's memory.
struct Keeper {
    projector: Arc<Projector>,
    cursors: BTreeMap<CampaignId, Cursor>,
    dirty: BTreeSet<CampaignId>,
    recovering: BTreeSet<CampaignId>,
    recoveries: JoinSet<(CampaignId, Mode, Result<Outcome, Halt>)>,
}

/// Runs until `stop` says so; then projects what is left, for as long as that succeeds.
pub async fn run(projector: Arc<Projector>, mut news: mpsc::UnboundedReceiver<News>, mut stop: watch::Receiver<bool>) {
    let mut keeper =
        Keeper { projector, cursors: BTreeMap::new(), dirty: BTreeSet::new(), recovering: BTreeSet::new(), recoveries: JoinSet::new() };
    let mut poll = tokio::time::interval(POLL);
    let mut discover = tokio::time::interval(DISCOVER);
    poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    discover.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = stop.changed() => break,
            Some(done) = keeper.recoveries.join_next() => {
                if let Ok((campaign, mode, outcome)) = done {
                    keeper.recovered(campaign, mode, outcome);
                }
            }
            Some(one) = news.recv() => {
                keeper.hear(one);
                while let Ok(more) = news.try_recv() {
                    keeper.hear(more);
                }
            }
            _ = discover.tick() => keeper.discover().await,
            _ = poll.tick() => keeper.dirty.extend(keeper.projector.engine.campaigns()),
        }
        keeper.project_dirty().await;
    }
    keeper.recoveries.abort_all();
    keeper.dirty.extend(keeper.projector.engine.campaigns());
    while !keeper.dirty.is_empty() {
        keeper.project_dirty().await;
    }
}

impl Keeper {
    fn hear(&mut self, news: News) {
        match news {
            News::Committed(campaign) => {
                self.dirty.insert(campaign);
            }
            News::Fenced(campaign, reason) => self.recover(campaign, Mode::Careful, reason),
            News::Broken(campaign, reason) => self.recover(campaign, Mode::Distrust, reason),
        }
    }

    fn recover(&mut self, campaign: CampaignId, mode: Mode, reason: String) {
        if !self.recovering.insert(campaign) {
            return;
        }
        self.cursors.remove(&campaign);
        let projector = Arc::clone(&self.projector);
        self.recoveries.spawn(async move {
            let outcome = projector.recover(campaign, mode, &reason).await;
            if outcome.is_err() {
                tokio::time::sleep(TRY_AGAIN).await;
            }
            (campaign, mode, outcome)
        });
    }

    fn recovered(&mut self, campaign: CampaignId, mode: Mode, outcome: Result<Outcome, Halt>) {
        self.recovering.remove(&campaign);
        match outcome {
            Ok(Outcome::Serving(report)) => {
                if !["stands", "new"].contains(&report.how) {
                    tracing::warn!(%campaign, epoch = report.epoch, seq = report.seq, lost = ?report.lost, how = report.how, "campaign recovered");
                    metrics::counter!("liebian_recoveries_total", "how" => report.how).increment(1);
                }
                self.dirty.insert(campaign);
            }
            Ok(Outcome::Frozen) => {
                tracing::error!(%campaign, "campaign is frozen: Redis is ahead of SQL and its log is cut; see `liebian rebuild`");
            }
            Ok(Outcome::Gone) => {}
            Err(error) => {
                tracing::warn!(%campaign, %error, "recovery will be tried again");
                self.recover(campaign, mode, "tried again".into());
            }
        }
    }

    /// Makes lanes for campaigns that SQL knows and this process does not yet.
    async fn discover(&mut self) {
        const SERVED: &str = "SELECT campaign_id FROM cursors WHERE state IN ('serving', 'recovering')";
        let known = fetch_all!(&self.projector.store, (CampaignId,), SERVED);
        match known {
            Ok(rows) => {
                for (campaign,) in rows {
                    if self.projector.engine.gate(campaign) == Gate::Closed {
                        self.recover(campaign, Mode::Careful, "first seen".into());
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "SQL does not say which campaigns there are"),
        }
    }

    async fn project_dirty(&mut self) {
        for campaign in std::mem::take(&mut self.dirty) {
            if self.recovering.contains(&campaign) || self.projector.engine.gate(campaign) == Gate::Closed {
                continue;
            }
            match self.project(campaign).await {
                Ok(true) => {
                    self.dirty.insert(campaign);
                }
                Ok(false) => {}
                Err(Halt::Overtaken) => {
                    self.cursors.remove(&campaign);
                }
                Err(Halt::Contradiction(what)) => {
                    self.projector.engine.fence(campaign, what);
                }
                Err(error @ (Halt::Redis(_) | Halt::Store(_))) => {
                    self.cursors.remove(&campaign);
                    tracing::warn!(%campaign, %error, "projecting will be tried again");
                }
            }
        }
    }

    /// Projects one page of one campaign; answers whether there may be more.
    async fn project(&mut self, campaign: CampaignId) -> Result<bool, Halt> {
        if !self.cursors.contains_key(&campaign) {
            let Some(cursor) = self.fresh_cursor(campaign).await? else { return Ok(false) };
            self.cursors.insert(campaign, cursor);
        }
        let Some(cursor) = self.cursors.get_mut(&campaign) else { return Ok(false) };
        let taken = self.projector.project(campaign, cursor).await?;
        let foreign = self.projector.engine.head(campaign).is_some_and(|head| cursor.seq > head.seq);
        if foreign {
            // It may have set timers that this process' lane knows nothing of, and die before it fires them.
            self.projector.engine.poke_one(campaign);
        }
        if taken > 0 && cursor.seq > KEPT {
            self.projector.engine.trim_log(campaign, cursor.seq - KEPT).await?;
        }
        Ok(taken > 0)
    }

    /// The cursor as SQL has it, made known to those who wait for it. None while somebody recovers the campaign.
    async fn fresh_cursor(&self, campaign: CampaignId) -> Result<Option<Cursor>, StoreError> {
        let Some(cursor) = Cursor::read(&self.projector.store, campaign).await? else { return Ok(None) };
        if cursor.state != "serving" {
            return Ok(None);
        }
        if self.projector.engine.gate(campaign) != Gate::Open(cursor.epoch) {
            // Another process recovered it. An idle lane would not notice, and whoever waits here for SQL would wait in vain.
            self.projector.engine.fence(campaign, "another process recovered it".into());
            return Ok(None);
        }
        self.projector.engine.set_projected(campaign, crate::hot::Place { epoch: cursor.epoch, seq: cursor.seq });
        Ok(Some(cursor))
    }
}
