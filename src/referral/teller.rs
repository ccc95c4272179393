//! The teller: tells referral campaigns how the sales stand that were attributed to them.
//!
//! What is to be told is a row of SQL (`sales`) that says what stands, and any process may tell it: the op is recognised by the sale's number and
//! only leads on, so telling twice is telling once. A row is done when SQL has the op and the row still says what was told; whatever breaks off
//! before is told again. A campaign that is being brought back, or frozen, delays its own sales and nobody else's.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Notify;

use super::ops::{self, Earning};
use super::rates::{Rates, reversed};
use crate::campaign::model::{Definition, Referral};
use crate::clock::{Clock, UnixMs};
use crate::hot::lane::Gate;
use crate::hot::{Engine, Trouble};
use crate::id::{CampaignId, UserId};
use crate::money::Fen;
use crate::order::cashier::{ROUND, pause};
use crate::projector::Projector;
use crate::store::{BulkRows, Store, StoreError, bulk_row, execute, fetch_all, fetch_optional};

/// Campaigns that have something to be told, in one round.
const MOST_CAMPAIGNS: i64 = 1_000;
/// Definitions kept by version; then all are forgotten and read again as needed.
const KEPT: usize = 256;
/// How long a reader waits for sales that are being told.
const PATIENCE: Duration = Duration::from_millis(2_500);
/// So long it waits before it looks again, unless it hears that some were told.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Sales of one campaign that a reader waits for.
const MOST_WAITED_FOR: i64 = 500;

/// Tells sales, and lets readers wait for it.
pub struct Teller {
    store: Store,
    engine: Arc<Engine>,
    projector: Arc<Projector>,
    clock: Arc<Clock>,
    /// Tries after which a person is asked.
    tries: i64,
    versions: Mutex<HashMap<(CampaignId, i64), Arc<Referral>>>,
    /// Wakes the worker before its next round.
    pub wake: Notify,
    told: Notify,
}

/// Whose sales a reader waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Those that this shopper earns by.
    Earner(UserId),
    /// Those of a referral campaign.
    Campaign(CampaignId),
}

#[derive(sqlx::FromRow)]
struct Row {
    number: String,
    campaign_id: CampaignId,
    version: i64,
    buyer_id: UserId,
    level1_id: UserId,
    level2_id: Option<UserId>,
    sku: Option<String>,
    amount_fen: Fen,
    refunded_fen: Fen,
    fulfilled_at: Option<UnixMs>,
    attempts: i64,
    next_attempt_at: i64,
}

bulk_row! {
    struct Taken { number: String, next_attempt_at: i64, until: i64 }
}
bulk_row! {
    struct Told { number: String, refunded_fen: Fen, fulfilled_at: i64 }
}

/// Whoever tells a sale has it for itself for a while.
static TAKE: LazyLock<BulkRows<Taken>> = LazyLock::new(|| {
    BulkRows::over(
        "UPDATE sales SET attempts = attempts + 1, next_attempt_at = r.until FROM",
        "WHERE sales.number = r.number AND sales.state = 'pending' AND sales.next_attempt_at = r.next_attempt_at",
    )
});

/// What has changed since stays to be told.
static TOLD: LazyLock<BulkRows<Told>> = LazyLock::new(|| {
    BulkRows::over(
        "UPDATE sales SET state = 'done', note = NULL FROM",
        "WHERE sales.number = r.number AND sales.refunded_fen = r.refunded_fen AND COALESCE(sales.fulfilled_at, 0) = r.fulfilled_at",
    )
});

impl Teller {
    /// A teller that asks a person after so many tries.
    #[must_use]
    pub fn new(store: Store, engine: Arc<Engine>, projector: Arc<Projector>, clock: Arc<Clock>, tries: i64) -> Self {
        Self { store, engine, projector, clock, tries, versions: Mutex::default(), wake: Notify::new(), told: Notify::new() }
    }

    /// One round over all sales that are due; answers whether there were any.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn round(&self) -> Result<bool, StoreError> {
        // From campaign to campaign along the index, past all that waits in each.
        const CAMPAIGNS: &str = "WITH RECURSIVE waiting (id) AS (SELECT MIN(campaign_id) FROM sales WHERE state = 'pending' UNION ALL \
            SELECT (SELECT MIN(campaign_id) FROM sales WHERE state = 'pending' AND campaign_id > waiting.id) FROM waiting WHERE waiting.id IS NOT NULL) \
            SELECT id FROM waiting WHERE id IS NOT NULL AND EXISTS (SELECT 1 FROM sales WHERE state = 'pending' AND campaign_id = waiting.id \
            AND next_attempt_at <= $1) LIMIT $2";
        let now = self.clock.now();
        let campaigns = fetch_all!(&self.store, (CampaignId,), CAMPAIGNS, now, MOST_CAMPAIGNS)?;
        let open = campaigns.into_iter().filter(|(campaign,)| self.is_open(*campaign));
        let told = join_all(open.map(|(campaign,)| self.tell_due(campaign, now))).await;
        told.into_iter().try_fold(false, |any, told| Ok(any | told?))
    }

    fn is_open(&self, campaign: CampaignId) -> bool {
        matches!(self.engine.gate(campaign), Gate::Open(_))
    }

    async fn tell_due(&self, campaign: CampaignId, now: UnixMs) -> Result<bool, StoreError> {
        const DUE: &str = "SELECT number, campaign_id, version, buyer_id, level1_id, level2_id, sku, amount_fen, refunded_fen, fulfilled_at, \
                           attempts, next_attempt_at FROM sales WHERE state = 'pending' AND campaign_id = $1 AND next_attempt_at <= $2 \
                           ORDER BY next_attempt_at LIMIT $3";
        let mut due = fetch_all!(&self.store, Row, DUE, campaign, now, ROUND)?;
        // Rows are locked in one order, by key.
        due.sort_by(|one, other| one.number.cmp(&other.number));
        let until = |row: &Row| now.plus_seconds(pause(row.attempts)).get();
        let taken: Vec<_> =
            due.iter().map(|row| Taken { number: row.number.clone(), next_attempt_at: row.next_attempt_at, until: until(row) }).collect();
        let mut tx = self.store.begin().await?;
        let count = TAKE.write(&mut tx, &taken).await?;
        tx.commit().await?;
        // Should somebody else have taken a part of them, these are told twice.
        if count > 0 {
            self.tell(&due).await?;
        }
        Ok(count > 0)
    }

    /// Tells one sale now, if there is something to tell. What breaks off is told again by the worker.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn tell_now(&self, number: &str) -> Result<(), StoreError> {
        const ONE: &str = "SELECT number, campaign_id, version, buyer_id, level1_id, level2_id, sku, amount_fen, refunded_fen, fulfilled_at, \
                           attempts, next_attempt_at FROM sales WHERE number = $1 AND state = 'pending'";
        match fetch_optional!(&self.store, Row, ONE, number)? {
            Some(row) if self.is_open(row.campaign_id) => self.tell(&[row]).await,
            Some(_) | None => Ok(()),
        }
    }

    /// Has a sale told again now, whatever became of it before.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn retry(&self, number: &str) -> Result<(), StoreError> {
        const RESET: &str = "UPDATE sales SET state = 'pending', attempts = 0, next_attempt_at = $1 WHERE number = $2 AND state <> 'done'";
        execute!(&self.store, RESET, self.clock.now(), number)?;
        self.tell_now(number).await
    }

    async fn tell(&self, sales: &[Row]) -> Result<(), StoreError> {
        // All at once: they go into one batch.
        let reports = join_all(sales.iter().map(|sale| self.report(sale))).await;
        let mut told = Vec::new();
        for (sale, report) in sales.iter().zip(reports) {
            match report {
                Ok(()) => told.push(Told {
                    number: sale.number.clone(),
                    refunded_fen: sale.refunded_fen,
                    fulfilled_at: sale.fulfilled_at.map_or(0, UnixMs::get),
                }),
                Err(Trouble::Defect(cause)) if sale.attempts + 1 >= self.tries => self.stuck(sale, &cause).await?,
                Err(trouble) => tracing::info!(sale = sale.number, %trouble, "a sale will be told again"),
            }
        }
        let mut tx = self.store.begin().await?;
        TOLD.write(&mut tx, &told).await?;
        tx.commit().await?;
        self.told.notify_waiters();
        Ok(())
    }

    /// Tells how a sale stands; SQL has it when this comes back.
    async fn report(&self, sale: &Row) -> Result<(), Trouble> {
        let definition = self.version(sale.campaign_id, sale.version).await?;
        let rates = Rates::of(&definition, sale.sku.as_deref()).ok_or_else(|| Trouble::Defect("a definition without a level".into()))?;
        let (first, second) = rates.rewards(sale.amount_fen);
        let earning = |user, reward| Earning { user, reward, back: reversed(reward, sale.refunded_fen, sale.amount_fen) };
        let report = ops::Sale {
            number: &sale.number,
            buyer: sale.buyer_id,
            level1: earning(sale.level1_id, first),
            level2: sale.level2_id.map(|user| earning(user, second)),
            freeze_ms: definition.freeze_seconds.saturating_mul(1000),
            fulfilled_at: sale.fulfilled_at,
        };
        let done = ops::report_sale(&self.engine, sale.campaign_id, &report).await?;
        done.decision.map_err(|code| Trouble::Defect(code.word().to_owned()))?;
        match done.place {
            Some(place) => self.projector.settled(sale.campaign_id, place).await,
            None => Err(Trouble::OutcomeUnknown),
        }
    }

    /// The definition as it was in that version, which never changes.
    async fn version(&self, campaign: CampaignId, version: i64) -> Result<Arc<Referral>, Trouble> {
        const FIND: &str = "SELECT definition FROM campaign_versions WHERE campaign_id = $1 AND version = $2";
        let kept = self.versions.lock().ok().and_then(|kept| kept.get(&(campaign, version)).cloned());
        if let Some(definition) = kept {
            return Ok(definition);
        }
        let found = fetch_optional!(&self.store, (String,), FIND, campaign, version).map_err(|_unknown| Trouble::OutcomeUnknown)?;
        let definition = found.and_then(|(text,)| serde_json::from_str::<Definition>(&text).ok());
        let own = definition.as_ref().and_then(Definition::referral);
        let own = Arc::new(own.cloned().ok_or_else(|| Trouble::Defect(format!("version {version} cannot be read")))?);
        if let Ok(mut kept) = self.versions.lock() {
            if kept.len() >= KEPT {
                kept.clear();
            }
            kept.insert((campaign, version), Arc::clone(&own));
        }
        Ok(own)
    }

    /// Something of ours is broken, and trying on will not mend it: a person is asked.
    async fn stuck(&self, sale: &Row, cause: &str) -> Result<(), StoreError> {
        const STUCK: &str = "UPDATE sales SET state = 'stuck', note = $1 WHERE number = $2 AND state = 'pending'";
        tracing::error!(sale = sale.number, cause, "a sale is stuck");
        execute!(&self.store, STUCK, cause, &sale.number).map(|_rows| ())
    }

    /// Waits, not for long, until the sales that are to be told now have been, so that what was answered of their orders shows in rewards. One
    /// whose first telling failed is not waited for any more, nor is a campaign that is being brought back.
    pub async fn caught_up(&self, of: Of) {
        let Ok(mut waited_for) = self.untold(of).await else { return };
        let waiting = async {
            while !waited_for.is_empty() {
                self.wake.notify_one();
                let told = self.told.notified();
                let _none_heard_of = tokio::time::timeout(LOOK_AGAIN, told).await;
                match self.untold(of).await {
                    Ok(untold) => waited_for.retain(|number| untold.contains(number)),
                    Err(_a_list_that_is_late_is_a_list) => return,
                }
            }
        };
        let _late = tokio::time::timeout(PATIENCE, waiting).await;
    }

    /// What is to be told of campaigns that can hear it.
    async fn untold(&self, of: Of) -> Result<BTreeSet<String>, StoreError> {
        const EARNED_IN: &str = "SELECT campaign_id FROM sales WHERE state = 'pending' AND level1_id = $1 \
                                 UNION SELECT campaign_id FROM sales WHERE state = 'pending' AND level2_id = $1 LIMIT $2";
        const OF_EARNER: &str = "SELECT number FROM sales WHERE state = 'pending' AND level1_id = $1 AND campaign_id = $2 AND attempts <= 1 \
                                 UNION SELECT number FROM sales WHERE state = 'pending' AND level2_id = $1 AND campaign_id = $2 \
                                 AND attempts <= 1 LIMIT $3";
        const OF_CAMPAIGN: &str = "SELECT number FROM sales WHERE state = 'pending' AND campaign_id = $1 AND attempts <= 1 LIMIT $2";
        let mut untold = BTreeSet::new();
        match of {
            Of::Earner(user) => {
                let campaigns = fetch_all!(&self.store, (CampaignId,), EARNED_IN, user, MOST_CAMPAIGNS)?;
                for (campaign,) in campaigns.into_iter().filter(|(campaign,)| self.is_open(*campaign)) {
                    let rows = fetch_all!(&self.store, (String,), OF_EARNER, user, campaign, MOST_WAITED_FOR)?;
                    untold.extend(rows.into_iter().map(|(number,)| number));
                }
            }
            Of::Campaign(campaign) if self.is_open(campaign) => {
                let rows = fetch_all!(&self.store, (String,), OF_CAMPAIGN, campaign, MOST_WAITED_FOR)?;
                untold.extend(rows.into_iter().map(|(number,)| number));
            }
            Of::Campaign(_) => {}
        }
        Ok(untold)
    }
}
