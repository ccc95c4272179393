//! The keeper of a process: it gives every campaign a task of its own, so that one that stands still holds up nobody else, and passes on
//! the news.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use super::Projector;
use super::recovery::Mode;
use super::task::{Calls, Task};
use crate::hot::Place;
use crate::hot::lane::{Gate, News};
use crate::id::CampaignId;
use crate::store::{StoreError, fetch_all};

/// Without news the logs are looked at this often: other processes write to them too.
const POLL: Duration = Duration::from_millis(200);
/// How often SQL is asked for campaigns that other processes published.
const DISCOVER: Duration = Duration::from_secs(1);
/// Campaigns that are projected at once. `SQLite` has one writer, who is then never idle and never waited for beyond its patience; in Postgres
/// they take half of a process' connections.
const AT_ONCE: usize = 8;

/// The keeper's memory.
struct Keeper {
    projector: Arc<Projector>,
    calls: BTreeMap<CampaignId, Arc<Calls>>,
    tasks: JoinSet<()>,
    turns: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

/// Runs until `stop` says so; then lets every task project what is left, for as long as that succeeds.
pub async fn run(projector: Arc<Projector>, mut news: mpsc::UnboundedReceiver<News>, mut stop: watch::Receiver<bool>) {
    let (calls, tasks, turns) = (BTreeMap::new(), JoinSet::new(), Arc::new(Semaphore::new(AT_ONCE)));
    let mut keeper = Keeper { projector, calls, tasks, turns, stop: stop.clone() };
    let mut poll = tokio::time::interval(POLL);
    let mut discover = tokio::time::interval(DISCOVER);
    poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    discover.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // Beside the news: a database that does not answer holds up only this.
    let mut asking = JoinSet::new();
    let (mut looking, mut served) = (JoinSet::new(), None::<String>);
    loop {
        tokio::select! {
            biased;
            _ = stop.changed() => break,
            Some(one) = news.recv() => keeper.hear(one),
            Some(Ok(found)) = asking.join_next() => keeper.discovered(found),
            _ = discover.tick(), if asking.is_empty() => {
                asking.spawn(known(Arc::clone(&keeper.projector)));
                if looking.is_empty() {
                    let projector = Arc::clone(&keeper.projector);
                    looking.spawn(async move { projector.engine.redis().replication_id().await });
                }
            }
            Some(Ok(Ok(id))) = looking.join_next() => {
                if served.replace(id.clone()).is_some_and(|before| before != id) {
                    // Redis is another one, or has restarted: idle campaigns are not to wait for a shopper before they recover.
                    keeper.projector.engine.poke();
                }
            }
            _ = poll.tick() => keeper.look_everywhere(),
        }
    }
    keeper.look_everywhere();
    while keeper.tasks.join_next().await.is_some() {}
}

/// The campaigns that SQL knows to be served.
async fn known(projector: Arc<Projector>) -> Result<Vec<(CampaignId,)>, StoreError> {
    const SERVED: &str = "SELECT campaign_id FROM cursors WHERE state IN ('serving', 'recovering')";
    fetch_all!(&projector.store, (CampaignId,), SERVED)
}

impl Keeper {
    fn hear(&mut self, news: News) {
        match news {
            News::Committed(campaign) => self.calls(campaign).look(),
            News::Fenced(campaign, reason) => self.calls(campaign).recover(Mode::Careful, reason),
            News::Broken(campaign, reason) => self.calls(campaign).recover(Mode::Distrust, reason),
        }
    }

    fn look_everywhere(&mut self) {
        for campaign in self.projector.engine.campaigns() {
            self.calls(campaign).look();
        }
    }

    /// Makes lanes for campaigns that SQL knows and this process does not yet.
    fn discovered(&mut self, found: Result<Vec<(CampaignId,)>, StoreError>) {
        match found {
            Ok(rows) => {
                for (campaign,) in rows {
                    if self.projector.engine.gate(campaign) == Gate::Closed {
                        self.calls(campaign).recover(Mode::Careful, "first seen".into());
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "SQL does not say which campaigns there are"),
        }
    }

    /// The way to a campaign's task, which is started if there is none.
    fn calls(&mut self, campaign: CampaignId) -> &Calls {
        self.calls.entry(campaign).or_insert_with(|| {
            let (projector, turns, calls) = (Arc::clone(&self.projector), Arc::clone(&self.turns), Arc::<Calls>::default());
            let task = Task { projector, campaign, calls: Arc::clone(&calls), turns, tail: None, at: Place::default(), cut: 0 };
            self.tasks.spawn(task.run(self.stop.clone()));
            calls
        })
    }
}
