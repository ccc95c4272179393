//! Who earns by an order: decided when it is placed, and never again.
//!
//! Of all referral campaigns that are live and take such orders, the one in which the buyer's bond is the oldest counts, and no other. Its
//! inviter earns level 1; where the definition has a second level, the inviter's own inviter earns that, unless it is the buyer. A bond to
//! somebody who was erased counts as none. The version of the definition is written down with them: a version never changes, so the rates do
//! not either. A paused or ended campaign attributes nothing new.
//!
//! An order placed here counts by the bonds that stand when it is looked at, whatever this node's clock says of when they were made. One that
//! was made elsewhere, at a time that its report names, counts by those that stood then, as the history of bonds has them.
//!
//! Which campaigns are live is known in memory, by SQL's word, a second old at most (own publishing and pausing at once): without any, an
//! order costs nothing more. With some, each is asked for the buyer's bond, and one for its inviter's. A campaign that is just being brought
//! back is not waited for: SQL has its bonds, but for the last moments before.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::records;
use super::row::BondRow;
use crate::app::App;
use crate::campaign::live;
use crate::campaign::model::{OrdersFrom, Referral};
use crate::campaign::records::{self as campaigns, Record};
use crate::clock::UnixMs;
use crate::hot::Read;
use crate::hot::lane::Gate;
use crate::http::problem::Problem;
use crate::id::{CampaignId, UserId};
use crate::store::{StoreError, fetch_all};

/// So many live referral campaigns are looked through for a bond, the oldest first. Those beyond earn nobody anything: `check` warns of it.
const MOST: usize = 100;
/// One more tells that there are more.
const ASKED_FOR: i64 = 101;

/// Who earns by an order, as its op and its event say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Attribution {
    /// The referral campaign.
    pub campaign_id: CampaignId,
    /// The version of its definition whose rates count.
    #[serde(rename = "definition_version")]
    #[schema(example = 1)]
    pub version: i64,
    /// Who invited the buyer.
    pub level1_user_id: UserId,
    /// Who invited that one, if that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub level2_user_id: Option<UserId>,
}

/// The referral campaigns that SQL says are live.
#[derive(Debug, Default)]
pub struct Programmes {
    live: RwLock<Arc<[Arc<Record>]>>,
    /// There are more than are looked through, and the log says so.
    too_many: AtomicBool,
    /// One reads at a time, so that what was read later is kept.
    reading: tokio::sync::Mutex<()>,
}

impl Programmes {
    /// Reads which are live; to be called now and then, and after this process changed one.
    ///
    /// # Errors
    /// Those of the database; what was known stays.
    pub async fn refresh(&self, app: &App) -> Result<(), StoreError> {
        const LIVE: &str = "SELECT id, version FROM campaigns WHERE state IN ('scheduled', 'live') AND kind = 'referral' AND ends_at > $1 \
                            ORDER BY created_at, id LIMIT $2";
        let _one_at_a_time = self.reading.lock().await;
        let before = self.known();
        let mut live = Vec::new();
        let mut rows = fetch_all!(&app.store, (CampaignId, i64), LIVE, app.clock.now(), ASKED_FOR)?;
        self.warn_once(&rows);
        rows.truncate(MOST);
        for (id, version) in rows {
            match before.iter().find(|record| (record.id, record.version) == (id, version)) {
                Some(record) => live.push(Arc::clone(record)),
                None => live.extend(campaigns::find(&app.store, id).await?.map(Arc::new)),
            }
        }
        if let Ok(mut known) = self.live.write() {
            *known = live.into();
        }
        Ok(())
    }

    /// Says that the newest of them attribute nothing, each time it becomes so.
    fn warn_once(&self, live: &[(CampaignId, i64)]) {
        let beyond = live.get(MOST);
        let before = self.too_many.swap(beyond.is_some(), Ordering::Relaxed);
        if let Some((first, _)) = beyond.filter(|_| !before) {
            tracing::warn!(%first, most = MOST, "more referral campaigns are live than are looked through: from this one on they attribute nothing");
        }
    }

    /// Whether so many others are live that this campaign would attribute nothing.
    #[must_use]
    pub fn leave_out(&self, campaign: CampaignId) -> bool {
        self.known().iter().filter(|record| record.id != campaign).count() >= MOST
    }

    fn known(&self) -> Arc<[Arc<Record>]> {
        self.live.read().map(|known| Arc::clone(&known)).unwrap_or_default()
    }

    /// Those that take orders from there at this time.
    fn that_take(&self, from: OrdersFrom, now: UnixMs) -> Vec<Arc<Record>> {
        let takes = |record: &&Arc<Record>| {
            let head = &record.definition.head;
            head.starts_at <= now && now < head.ends_at && record.definition.referral().is_some_and(|own| own.orders_from.contains(&from))
        };
        self.known().iter().filter(takes).cloned().collect()
    }

    /// Who earns by an order that `buyer` is about to place in a campaign here. Nobody is looked up where the order is `refused` out of memory.
    ///
    /// # Errors
    /// Trouble of SQL.
    pub async fn of_order(&self, app: &App, buyer: UserId, refused: impl FnOnce() -> bool) -> Result<Option<Attribution>, Problem> {
        let now = app.clock.now();
        let programmes = self.that_take(OrdersFrom::Campaigns, now);
        if programmes.is_empty() || refused() {
            return Ok(None);
        }
        of(app, &programmes, buyer, None).await
    }

    /// Who earns by an order that `buyer` has made elsewhere: by the bonds that stood at that time, or by those that stand.
    ///
    /// # Errors
    /// Trouble of SQL.
    pub async fn of_outside_order(&self, app: &App, buyer: UserId, at: Option<UnixMs>) -> Result<Option<Attribution>, Problem> {
        of(app, &self.that_take(OrdersFrom::Outside, app.clock.now()), buyer, at).await
    }
}

/// By the oldest of the buyer's bonds in these campaigns.
async fn of(app: &App, programmes: &[Arc<Record>], buyer: UserId, at: Option<UnixMs>) -> Result<Option<Attribution>, Problem> {
    let bonds = programmes.iter().map(async |programme| Ok::<_, Problem>((programme, bond(app, programme.id, buyer, at).await?)));
    let bonds = try_join_all(bonds).await?.into_iter().filter_map(|(programme, bond)| Some((programme, bond?)));
    let Some((programme, bond)) = bonds.min_by_key(|(programme, bond)| (bond.since, programme.id)) else { return Ok(None) };
    let mut above = None;
    if programme.definition.referral().is_some_and(Referral::has_second_level) {
        above = self::bond(app, programme.id, bond.inviter, at).await?;
    }
    // Bonds close no circle, but these two were not read at one moment.
    let level2_user_id = above.map(|above| above.inviter).filter(|above| *above != buyer);
    Ok(Some(Attribution { campaign_id: programme.id, version: programme.version, level1_user_id: bond.inviter, level2_user_id }))
}

/// A bond that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tie {
    since: i64,
    inviter: UserId,
}

/// A shopper's bond, as it stands or stood at a time.
async fn bond(app: &App, campaign: CampaignId, user: UserId, at: Option<UnixMs>) -> Result<Option<Tie>, Problem> {
    metrics::counter!("liebian_bonds_looked_up_total").increment(1);
    let last = if let Ok(bond) = from_hot_state(app, campaign, user).await? {
        let lives = |bond: &BondRow| bond.lives(at.unwrap_or_else(|| app.clock.now()).get());
        match bond.filter(lives) {
            Some(bond) => {
                let inviter = UserId::from_hot(&bond.inviter).map_err(|error| Problem::defect(&error))?;
                Some(Tie { since: bond.bound_at, inviter })
            }
            None => None,
        }
    } else {
        let bond = records::bond_of(&app.store, campaign, user, at.unwrap_or_else(|| app.clock.now())).await?;
        bond.map(|bond| Tie { since: bond.bound_at.get(), inviter: bond.inviter_id })
    };
    let tie = match (last, at) {
        (Some(tie), Some(at)) if tie.since > at.get() => before(app, campaign, user, at).await?,
        (None, Some(at)) => before(app, campaign, user, at).await?,
        (last, _) => last,
    };
    Ok(tie.filter(|tie| !app.revocations.is_erased(tie.inviter)))
}

/// The bond that stood at a time and was replaced or cut since.
async fn before(app: &App, campaign: CampaignId, user: UserId, at: UnixMs) -> Result<Option<Tie>, Problem> {
    app.projector.caught_up(campaign).await;
    let stood = records::bond_at(&app.store, campaign, user, at).await?;
    Ok(stood.map(|(since, inviter)| Tie { since: since.get(), inviter }))
}

/// Hot state does not answer now.
struct NotNow;

async fn from_hot_state(app: &App, campaign: CampaignId, user: UserId) -> Result<Result<Option<BondRow>, NotNow>, Problem> {
    if !live::ensure(app, campaign).await? || !matches!(app.engine.gate(campaign), Gate::Open(_)) {
        return Ok(Err(NotNow));
    }
    match app.engine.read(campaign, &[Read::Row("bonds", user.hot())]).await {
        Ok(snapshot) => live::row(snapshot.found.into_iter().next()).map(Ok),
        Err(trouble) => {
            tracing::info!(%campaign, %trouble, "a bond is read from SQL");
            Ok(Err(NotNow))
        }
    }
}
