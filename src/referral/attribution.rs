//! Who earns by an order: decided when it is placed, and never again.
//!
//! Of all referral campaigns that are live and take such orders, the one in which the buyer's bond is the oldest counts, and no other. Its
//! inviter earns level 1; where the definition has a second level, the inviter's own inviter earns that. The version of the definition is
//! written down with them: a version never changes, so the rates do not either. A paused or ended campaign attributes nothing new.
//!
//! Which campaigns are live is known in memory, by SQL's word, a second old at most (own publishing and pausing at once): without any, an
//! order costs nothing more. With some, each is asked for the buyer's bond, and one for its inviter's. A campaign that is just being brought
//! back is not waited for: SQL has its bonds, but for the last moments before.

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

/// So many live referral campaigns are looked through for a bond, the oldest first.
const MOST: i64 = 100;

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
        for (id, version) in fetch_all!(&app.store, (CampaignId, i64), LIVE, app.clock.now(), MOST)? {
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
        of(app, &programmes, buyer, now).await
    }

    /// Who earns by an order that `buyer` has made elsewhere at a time: the bonds must have stood then.
    ///
    /// # Errors
    /// Trouble of SQL.
    pub async fn of_outside_order(&self, app: &App, buyer: UserId, at: UnixMs) -> Result<Option<Attribution>, Problem> {
        of(app, &self.that_take(OrdersFrom::Outside, app.clock.now()), buyer, at).await
    }
}

/// By the oldest of the buyer's bonds in these campaigns.
async fn of(app: &App, programmes: &[Arc<Record>], buyer: UserId, at: UnixMs) -> Result<Option<Attribution>, Problem> {
    let bonds = programmes.iter().map(async |programme| Ok::<_, Problem>((programme, bond(app, programme.id, buyer, at).await?)));
    let bonds = try_join_all(bonds).await?.into_iter().filter_map(|(programme, bond)| Some((programme, bond?)));
    let Some((programme, (_, inviter))) = bonds.min_by_key(|(programme, (since, _))| (*since, programme.id)) else { return Ok(None) };
    let mut level2 = None;
    if programme.definition.referral().is_some_and(has_second_level) {
        level2 = self::bond(app, programme.id, inviter, at).await?.map(|(_, above)| above);
    }
    Ok(Some(Attribution { campaign_id: programme.id, version: programme.version, level1_user_id: inviter, level2_user_id: level2 }))
}

/// Whether a second level earns by anything.
fn has_second_level(own: &Referral) -> bool {
    own.levels.len() > 1 || own.sku_overrides.iter().any(|entry| entry.levels.len() > 1)
}

/// Since when a shopper is bound, and to whom, if the bond stood at that time.
async fn bond(app: &App, campaign: CampaignId, user: UserId, at: UnixMs) -> Result<Option<(i64, UserId)>, Problem> {
    metrics::counter!("liebian_bonds_looked_up_total").increment(1);
    let bond = if let Ok(bond) = from_hot_state(app, campaign, user).await? {
        bond.filter(|bond| bond.lives(at.get())).map(|bond| (bond.bound_at, UserId::from_hot(&bond.inviter)))
    } else {
        let bond = records::bond_of(&app.store, campaign, user, at).await?;
        bond.map(|bond| (bond.bound_at.get(), Ok(bond.inviter_id)))
    };
    match bond {
        Some((since, inviter)) if since <= at.get() => Ok(Some((since, inviter.map_err(|error| Problem::defect(&error))?))),
        Some(_) | None => Ok(None),
    }
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
