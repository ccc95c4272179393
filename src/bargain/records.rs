//! Chains in SQL, for lists and reports.

use serde::Serialize;

use super::row::{ChainRow, CutRow, State};
use crate::clock::UnixMs;
use crate::id::{CampaignId, ChainId, OrderId, UserId};
use crate::money::Fen;
use crate::store::{Store, StoreError, fetch_all, fetch_one};

/// A chain as SQL has it.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its id.
    pub id: ChainId,
    /// Whose it is.
    pub user_id: UserId,
    /// What hot state had when SQL was told last; what only decisions need is left out.
    pub chain: ChainRow,
    /// When it last changed.
    pub updated_at: UnixMs,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: ChainId,
    user_id: UserId,
    sku: String,
    state: String,
    start_price_fen: i64,
    floor_price_fen: i64,
    price_fen: i64,
    cuts_taken: i64,
    cuts_needed: i64,
    next_cut_fen: i64,
    cuts: String,
    commitment: String,
    order_id: Option<OrderId>,
    expires_at: i64,
    buy_by: Option<i64>,
    created_at: i64,
    updated_at: UnixMs,
    version: i64,
}

impl Row {
    fn read(self) -> Result<Record, StoreError> {
        let state: State = serde_json::from_value(self.state.into()).map_err(|error| crate::projector::unreadable(&error))?;
        let cuts: Vec<(UserId, i64, i64)> = serde_json::from_str(&self.cuts).map_err(|error| crate::projector::unreadable(&error))?;
        let chain = ChainRow {
            state,
            reserve: 0,
            needed: self.cuts_needed,
            taken: self.cuts_taken,
            start: self.start_price_fen,
            floor: self.floor_price_fen,
            price: self.price_fen,
            next: self.next_cut_fen,
            started_at: self.created_at,
            expires_at: self.expires_at,
            buy_by: self.buy_by.unwrap_or_default(),
            closed_at: 0,
            version: self.version,
            sku: self.sku,
            user: self.user_id.hot().to_owned(),
            order: self.order_id.map(|id| id.hot().to_owned()).unwrap_or_default(),
            commitment: self.commitment,
            cuts: cuts.into_iter().map(|(user, steps, fen)| CutRow(user.hot().to_owned(), steps, fen)).collect(),
        };
        Ok(Record { id: self.id, user_id: self.user_id, chain, updated_at: self.updated_at })
    }
}

/// A shopper's chains, newest first.
///
/// # Errors
/// Those of the database.
pub async fn of_user(store: &Store, user: UserId, (before, id): (i64, &str), fetch: i64) -> Result<Vec<Record>, StoreError> {
    const MINE: &str = "SELECT * FROM chains WHERE user_id = $1 AND (created_at, id) < ($2, $3) ORDER BY created_at DESC, id DESC LIMIT $4";
    fetch_all!(store, Row, MINE, user, before, id, fetch)?.into_iter().map(Row::read).collect()
}

/// Which of a campaign's chains to list; empty: any.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Their state.
    pub state: Option<State>,
    /// What they are about.
    pub sku: String,
    /// Whose, or helped by whom.
    pub user: String,
    /// Started at or after, Unix ms.
    pub from: i64,
    /// Started before, Unix ms.
    pub to: i64,
}

/// A campaign's chains, newest first.
///
/// # Errors
/// Those of the database.
pub async fn of_campaign(
    store: &Store,
    campaign: CampaignId,
    filter: &Filter,
    (before, id): (i64, &str),
    fetch: i64,
) -> Result<Vec<Record>, StoreError> {
    // An id is of letters and digits: nothing in it means anything to LIKE but `_`, which it begins with.
    const LIST: &str = "SELECT * FROM chains WHERE campaign_id = $1 AND ($2 = '' OR state = $2) AND ($3 = '' OR sku = $3) \
                        AND ($4 = '' OR user_id = $4 OR cuts LIKE '%\"' || $4 || '\"%') AND created_at >= $5 AND created_at < $6 \
                        AND (created_at, id) < ($7, $8) ORDER BY created_at DESC, id DESC LIMIT $9";
    let state = filter.state.map(State::word).unwrap_or_default();
    let rows = fetch_all!(store, Row, LIST, campaign, state, &filter.sku, &filter.user, filter.from, filter.to, before, id, fetch)?;
    rows.into_iter().map(Row::read).collect()
}

/// The chains of a campaign in figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ChainFigures {
    /// Chains started.
    pub started: i64,
    /// Chains whose steps were all taken.
    pub completed: i64,
    /// Chains bought.
    pub bought: i64,
    /// Chains that ran out.
    pub expired: i64,
    /// Helps, owners' own cuts apart.
    pub helps: i64,
    /// Helps per chain, in hundredths, rounded down; null without chains.
    #[schema(required = true, example = 250)]
    pub helps_per_chain_hundredths: Option<i64>,
    /// What bought chains cost below the price they started at.
    pub discount_fen: Fen,
}

/// Counts a campaign's chains.
///
/// # Errors
/// Those of the database.
pub async fn figures(store: &Store, campaign: CampaignId) -> Result<ChainFigures, StoreError> {
    const COUNTS: &str = "SELECT COUNT(*), CAST(COALESCE(SUM(CASE WHEN cuts_taken = cuts_needed THEN 1 ELSE 0 END), 0) AS BIGINT), \
                          CAST(COALESCE(SUM(CASE state WHEN 'bought' THEN 1 ELSE 0 END), 0) AS BIGINT), \
                          CAST(COALESCE(SUM(CASE state WHEN 'expired' THEN 1 ELSE 0 END), 0) AS BIGINT), \
                          CAST(COALESCE(SUM(helps), 0) AS BIGINT) FROM chains WHERE campaign_id = $1";
    // The order keeps the price of its moment; the chain may have been cut further.
    const COST: &str = "SELECT CAST(COALESCE(SUM(chains.start_price_fen - orders.unit_fen), 0) AS BIGINT) FROM chains \
                        JOIN orders ON orders.id = chains.order_id WHERE chains.campaign_id = $1 AND chains.state = 'bought' \
                        AND orders.state IN ('paid', 'confirmed', 'fulfilled')";
    let (started, completed, bought, expired, helps) = fetch_one!(store, (i64, i64, i64, i64, i64), COUNTS, campaign)?;
    let (discount,) = fetch_one!(store, (i64,), COST, campaign)?;
    Ok(ChainFigures {
        started,
        completed,
        bought,
        expired,
        helps,
        helps_per_chain_hundredths: helps.saturating_mul(100).checked_div(started),
        discount_fen: Fen::new(discount),
    })
}
