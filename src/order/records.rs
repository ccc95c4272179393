//! Orders and refunds in SQL, for lists.

use serde::Serialize;

use super::row::State;
use super::view::{OrderState, OrderView};
use crate::clock::UnixMs;
use crate::id::{CampaignId, ChainId, OrderId, RoomId, UserId};
use crate::money::Fen;
use crate::store::{Store, StoreError, fetch_all, fetch_optional};

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
    refunded_fen: Fen,
    reason: Option<String>,
    pay_by: UnixMs,
    created_at: UnixMs,
    paid_at: Option<UnixMs>,
    updated_at: UnixMs,
}

/// An order as operators see it: the buyer's fields, and whose it is.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct OrderRecord {
    /// What the buyer sees.
    #[serde(flatten)]
    pub order: OrderView,
    /// Whose it is.
    pub user_id: UserId,
    /// When it last changed.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: UnixMs,
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
            updated_at: self.updated_at,
        })
    }
}

/// A shopper's orders, newest first.
///
/// # Errors
/// Those of the database.
pub async fn of_user(store: &Store, user: UserId, (before, id): (i64, &str), fetch: i64) -> Result<Vec<OrderRecord>, StoreError> {
    const MINE: &str = "SELECT * FROM orders WHERE user_id = $1 AND (created_at, id) < ($2, $3) ORDER BY created_at DESC, id DESC LIMIT $4";
    let rows = fetch_all!(store, Row, MINE, user, before, id, fetch)?;
    rows.into_iter().map(Row::read).collect()
}

/// One order.
///
/// # Errors
/// Those of the database.
pub async fn find(store: &Store, order: OrderId) -> Result<Option<OrderRecord>, StoreError> {
    fetch_optional!(store, Row, "SELECT * FROM orders WHERE id = $1", order)?.map(Row::read).transpose()
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
    const LIST: &str = "SELECT * FROM orders WHERE campaign_id = $1 AND ($2 = '' OR state = $2 OR ($2 = 'awaiting_payment' AND state IN \
                        ('held', 'closing'))) AND ($3 = '' OR sku = $3) AND ($4 = '' OR user_id = $4) AND ($5 = '' OR room_id = $5) \
                        AND created_at >= $6 AND created_at < $7 AND (created_at, id) < ($8, $9) ORDER BY created_at DESC, id DESC LIMIT $10";
    let state = filter.state.map(OrderState::word).unwrap_or_default();
    let rows =
        fetch_all!(store, Row, LIST, campaign, state, &filter.sku, &filter.user, &filter.room, filter.from, filter.to, before, id, fetch)?;
    rows.into_iter().map(Row::read).collect()
}

/// Where a refund stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefundState {
    /// To be executed; what went wrong so far is beside it.
    Pending,
    /// The money is back.
    Done,
    /// Given to a person.
    Stuck,
}

impl RefundState {
    /// The word on the wire and in SQL.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Done => "done",
            Self::Stuck => "stuck",
        }
    }
}

/// A refund as operators see it.
#[derive(Clone, Debug, Serialize, sqlx::FromRow, utoipa::ToSchema)]
pub struct RefundRecord {
    /// Its number, the same in every try.
    pub refund_no: String,
    /// The order; for money that came for no order of ours, what the payer named.
    pub order_id: String,
    /// The payment it is taken from.
    pub transaction_id: String,
    /// Who executes it; `shop`: a person of the shop.
    pub provider: String,
    /// How much.
    pub amount_fen: Fen,
    /// Why.
    pub reason: String,
    /// Where it stands.
    #[schema(value_type = RefundState)]
    pub state: String,
    /// Tries so far.
    pub attempts: i64,
    /// What the provider said last, if it failed.
    #[schema(required = true)]
    pub last_error: Option<String>,
    /// When it became due.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: UnixMs,
    /// When it was executed.
    #[serde(with = "crate::clock::rfc3339::option")]
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    pub done_at: Option<UnixMs>,
}

/// Refunds, newest first; an empty state: all.
///
/// # Errors
/// Those of the database.
pub async fn refunds(store: &Store, state: &str, (before, id): (i64, &str), fetch: i64) -> Result<Vec<RefundRecord>, StoreError> {
    const LIST: &str = "SELECT refund_no, order_id, transaction_id, provider, amount_fen, reason, state, attempts, last_error, created_at, done_at \
                        FROM refunds WHERE ($1 = '' OR state = $1) AND (created_at, refund_no) < ($2, $3) \
                        ORDER BY created_at DESC, refund_no DESC LIMIT $4";
    fetch_all!(store, RefundRecord, LIST, state, before, id, fetch)
}

/// One refund.
///
/// # Errors
/// Those of the database.
pub async fn refund(store: &Store, refund_no: &str) -> Result<Option<RefundRecord>, StoreError> {
    const ONE: &str = "SELECT refund_no, order_id, transaction_id, provider, amount_fen, reason, state, attempts, last_error, created_at, done_at \
                       FROM refunds WHERE refund_no = $1";
    fetch_optional!(store, RefundRecord, ONE, refund_no)
}
