//! Orders in SQL, for lists.

use serde::Serialize;
use serde_json::{Map, Value};

use super::row::State;
use super::view::{OrderState, OrderView};
use crate::clock::UnixMs;
use crate::id::{CampaignId, ChainId, OrderId, RoomId, UserId};
use crate::money::Fen;
use crate::store::{Store, StoreError, execute, fetch_all, fetch_optional};

#[derive(sqlx::FromRow)]
struct Row {
    id: OrderId,
    campaign_id: CampaignId,
    room_id: Option<RoomId>,
    chain_id: Option<ChainId>,
    user_id: UserId,
    sku: String,
    state: String,
    quantity: i64,
    amount_fen: Fen,
    paid_fen: Fen,
    refund_due_fen: Fen,
    refunded_fen: Fen,
    reason: Option<String>,
    pay_by: UnixMs,
    created_at: UnixMs,
    paid_at: Option<UnixMs>,
    updated_at: UnixMs,
    version: i64,
    share_token: Option<String>,
    metadata: Option<String>,
    referral_campaign_id: Option<CampaignId>,
}

/// An order as operators see it: the buyer's fields, and whose it is.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct OrderRecord {
    /// What the buyer sees.
    #[serde(flatten)]
    pub order: OrderView,
    /// Whose it is.
    pub user_id: UserId,
    /// The version of the definition it was placed under.
    #[schema(example = 1)]
    pub definition_version: i64,
    /// When it last changed.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: UnixMs,
    /// What is to go back in all: executed (`refunded_fen`) or on its way.
    #[schema(example = 0)]
    pub refund_due_fen: Fen,
    /// The link its shopper came by.
    #[schema(required = true, example = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQ")]
    pub share_token: Option<String>,
    /// The referral campaign in which somebody earns by it; the list of sales says who.
    #[schema(required = true)]
    pub referral_campaign_id: Option<CampaignId>,
    /// What operators wrote on it.
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
}

impl Row {
    fn read(self) -> Result<OrderRecord, StoreError> {
        let state: State = serde_json::from_value(self.state.into()).map_err(|error| crate::projector::unreadable(&error))?;
        let state = OrderState::of(state);
        Ok(OrderRecord {
            order: OrderView {
                id: self.id,
                campaign_id: self.campaign_id,
                sku: self.sku,
                quantity: self.quantity,
                amount_fen: self.amount_fen,
                paid_fen: self.paid_fen,
                refunded_fen: self.refunded_fen,
                state,
                room_id: self.room_id,
                chain_id: self.chain_id,
                pay_by: (state == OrderState::AwaitingPayment).then_some(self.pay_by),
                created_at: self.created_at,
                paid_at: self.paid_at,
                reason: self.reason,
            },
            user_id: self.user_id,
            definition_version: self.version,
            updated_at: self.updated_at,
            refund_due_fen: self.refund_due_fen,
            share_token: self.share_token,
            referral_campaign_id: self.referral_campaign_id,
            metadata: self.metadata.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
        })
    }
}

/// Orders with what stands elsewhere about them.
macro_rules! orders {
    ($($rest:expr),+ $(,)?) => {
        concat!("SELECT orders.*, (SELECT sales.campaign_id FROM sales WHERE sales.number = orders.id) AS referral_campaign_id FROM orders ", $($rest),+)
    };
}

/// A shopper's orders, newest first.
///
/// # Errors
/// Those of the database.
pub async fn of_user(store: &Store, user: UserId, (before, id): (i64, &str), fetch: i64) -> Result<Vec<OrderRecord>, StoreError> {
    const MINE: &str = orders!("WHERE user_id = $1 AND (created_at, id) < ($2, $3) ORDER BY created_at DESC, id DESC LIMIT $4");
    let rows = fetch_all!(store, Row, MINE, user, before, id, fetch)?;
    rows.into_iter().map(Row::read).collect()
}

/// One order.
///
/// # Errors
/// Those of the database.
pub async fn find(store: &Store, order: OrderId) -> Result<Option<OrderRecord>, StoreError> {
    fetch_optional!(store, Row, orders!("WHERE id = $1"), order)?.map(Row::read).transpose()
}

/// Writes new metadata on an order, unless somebody has written other since `before` was read; answers whether.
///
/// # Errors
/// Those of the database.
pub async fn write_on(store: &Store, before: &OrderRecord, metadata: &str) -> Result<bool, StoreError> {
    const WRITE: &str = "UPDATE orders SET metadata = $1 WHERE id = $2 AND COALESCE(metadata, '{}') = $3";
    let read = serde_json::to_string(&before.metadata).unwrap_or_default();
    Ok(execute!(store, WRITE, metadata, before.order.id, read)? == 1)
}

/// Which of a campaign's orders to list; empty or zero: any.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Their state.
    pub state: Option<OrderState>,
    /// What they buy.
    pub sku: String,
    /// Whose.
    pub user: String,
    /// Of which room.
    pub room: String,
    /// Placed at or after, Unix ms.
    pub from: i64,
    /// Placed before, Unix ms.
    pub to: i64,
}

/// A list's statement, led by what it is found by: the databases cannot choose an index for a condition that may say nothing.
macro_rules! list_by {
    ($lead:literal) => {
        orders!(
            "WHERE ",
            $lead,
            " AND ($2 = '' OR state = $2 OR ($2 = 'awaiting_payment' AND state IN ('held', 'closing'))) AND ($3 = '' OR sku = $3) \
             AND ($4 = '' OR user_id = $4) AND ($5 = '' OR room_id = $5) AND created_at >= $6 AND created_at < $7 \
             AND (created_at, id) < ($8, $9) ORDER BY created_at DESC, id DESC LIMIT $10"
        )
    };
}

impl Filter {
    /// Narrowed to the time in which the room's orders were placed, since there is no index of them: each changed the room.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn narrowed(self, store: &Store) -> Result<Self, StoreError> {
        const SPAN: &str = "SELECT created_at, updated_at FROM rooms WHERE id = $1";
        let span = if self.room.is_empty() { None } else { fetch_optional!(store, (i64, i64), SPAN, &self.room)? };
        let Some((opened_at, changed_at)) = span else { return Ok(self) };
        Ok(Self { from: self.from.max(opened_at), to: self.to.min(changed_at.saturating_add(1)), ..self })
    }

    /// The statement whose index leaves the fewest rows to look at; `campaign_id || ''` is no column, so no index of it is taken. A state
    /// or a room alone has no index: the list goes through the campaign's newest orders.
    const fn statement(&self) -> &'static str {
        if self.user.is_empty() { list_by!("campaign_id = $1") } else { list_by!("user_id = $4 AND campaign_id || '' = $1") }
    }
}

/// What an operator's list of orders shows as CSV.
pub const COLUMNS: &[&str] = &[
    "id",
    "campaign_id",
    "sku",
    "quantity",
    "amount_fen",
    "paid_fen",
    "refunded_fen",
    "state",
    "room_id",
    "chain_id",
    "pay_by",
    "created_at",
    "paid_at",
    "reason",
    "user_id",
    "definition_version",
    "updated_at",
    "refund_due_fen",
    "share_token",
    "referral_campaign_id",
    "metadata",
];

/// A campaign's orders, newest first.
///
/// # Errors
/// Those of the database.
pub async fn of_campaign(
    store: &Store,
    campaign: CampaignId,
    filter: &Filter,
    (before, id): (i64, &str),
    fetch: i64,
) -> Result<Vec<OrderRecord>, StoreError> {
    let state = filter.state.map(OrderState::word).unwrap_or_default();
    let sql = filter.statement();
    let rows =
        fetch_all!(store, Row, sql, campaign, state, &filter.sku, &filter.user, &filter.room, filter.from, filter.to, before, id, fetch)?;
    rows.into_iter().map(Row::read).collect()
}
