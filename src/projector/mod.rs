//! From the log to SQL, exactly once; and back, when Redis has lost something.
//!
//! The projector reads a campaign's log after its cursor and, in one SQL transaction, moves the cursor by compare-and-set on
//! (epoch, sequence, hash), keeps the entry as it is, and lets the domains apply its events and rows ([`Projection`]). Whoever's
//! compare-and-set finds another cursor rolls back: somebody else projects this campaign.
//!
//! [`recovery`] compares Redis with SQL after every restart, failover or contradiction, and opens the campaign's lane under a new
//! epoch. [`keeper`] gives each campaign a task of its own that does both.

pub mod batch;
pub mod cursor;
pub mod keeper;
pub mod page;
pub mod poison;
pub mod recovery;
mod task;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use crate::hot::{Engine, Place, Program, Trouble};
use crate::id::CampaignId;
use crate::store::{Store, StoreError, fetch_optional};
pub use batch::{Batch, Projection, Statements, unreadable};
pub use page::Tail;

/// How long an answer waits for SQL before its outcome is called unknown.
const SQL_WAIT: Duration = Duration::from_secs(8);

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

    /// The same for all campaigns of this process; they are waited for at once, so one that stands still costs its own time only.
    pub async fn all_caught_up(&self) {
        join_all(self.engine.campaigns().into_iter().map(|campaign| self.caught_up(campaign))).await;
    }

    /// Whether SQL holds the op of this epoch and sequence.
    async fn has(&self, campaign: CampaignId, place: Place) -> Result<bool, StoreError> {
        const FIND: &str =
            "SELECT last_seq FROM log_entries WHERE campaign_id = $1 AND epoch = $2 AND first_seq <= $3 ORDER BY first_seq DESC LIMIT 1";
        let found = fetch_optional!(&self.store, (i64,), FIND, campaign, place.epoch, place.seq)?;
        Ok(found.is_some_and(|(last,)| last >= place.seq))
    }
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
