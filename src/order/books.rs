//! Payments and refunds in SQL: work lists, and what is told of them.

use serde::Serialize;

use crate::clock::UnixMs;
use crate::money::Fen;
use crate::store::{Store, StoreError, fetch_all, fetch_one, fetch_optional};

/// Where a piece of work stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkState {
    /// To be done; what went wrong so far is beside it.
    Pending,
    /// Done.
    Done,
    /// Given to a person.
    Stuck,
}

impl WorkState {
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
    #[schema(value_type = WorkState)]
    pub state: String,
    /// Tries so far.
    pub attempts: i64,
    /// What the provider said last, if it failed.
    #[schema(required = true)]
    pub last_error: Option<String>,
    /// When it is tried next, unless calls to the provider pause. Of no meaning once it is done or waits for a person.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub next_attempt_at: UnixMs,
    /// When it became due.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: UnixMs,
    /// When it was executed.
    #[serde(with = "crate::clock::rfc3339::option")]
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    pub done_at: Option<UnixMs>,
}

/// Refunds, newest first.
///
/// # Errors
/// Those of the database.
pub async fn refunds(
    store: &Store,
    state: Option<WorkState>,
    (before, id): (i64, &str),
    fetch: i64,
) -> Result<Vec<RefundRecord>, StoreError> {
    const LIST: &str = "SELECT refund_no, order_id, transaction_id, provider, amount_fen, reason, state, attempts, last_error, next_attempt_at, created_at, done_at \
                        FROM refunds WHERE ($1 = '' OR state = $1) AND (created_at, refund_no) < ($2, $3) \
                        ORDER BY created_at DESC, refund_no DESC LIMIT $4";
    let state = state.map(WorkState::word).unwrap_or_default();
    fetch_all!(store, RefundRecord, LIST, state, before, id, fetch)
}

/// One refund.
///
/// # Errors
/// Those of the database.
pub async fn refund(store: &Store, refund_no: &str) -> Result<Option<RefundRecord>, StoreError> {
    const ONE: &str = "SELECT refund_no, order_id, transaction_id, provider, amount_fen, reason, state, attempts, last_error, next_attempt_at, created_at, done_at \
                       FROM refunds WHERE refund_no = $1";
    fetch_optional!(store, RefundRecord, ONE, refund_no)
}

/// A payment as operators see it.
#[derive(Clone, Debug, Serialize, sqlx::FromRow, utoipa::ToSchema)]
pub struct PaymentRecord {
    /// The provider's own number of it.
    pub transaction_id: String,
    /// Who took it; `shop`: the shop itself.
    pub provider: String,
    /// The order, in the payer's words: possibly none of ours.
    pub order_id: String,
    /// How much.
    pub amount_fen: Fen,
    /// When it was paid.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub paid_at: UnixMs,
    /// When we learned of it.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub received_at: UnixMs,
    /// Where it stands.
    #[schema(value_type = WorkState)]
    pub state: String,
    /// Tries of the worker so far; what is acted on at once needs none.
    pub attempts: i64,
    /// Why it bought nothing, or what is broken.
    #[schema(required = true)]
    pub note: Option<String>,
}

/// Payments, newest first.
///
/// # Errors
/// Those of the database.
pub async fn payments(
    store: &Store,
    state: Option<WorkState>,
    (before, id): (i64, &str),
    fetch: i64,
) -> Result<Vec<PaymentRecord>, StoreError> {
    const LIST: &str = "SELECT transaction_id, provider, order_id, amount_fen, paid_at, received_at, state, attempts, note FROM payments \
                        WHERE ($1 = '' OR state = $1) AND (received_at, transaction_id) < ($2, $3) \
                        ORDER BY received_at DESC, transaction_id DESC LIMIT $4";
    let state = state.map(WorkState::word).unwrap_or_default();
    fetch_all!(store, PaymentRecord, LIST, state, before, id, fetch)
}

/// One payment.
///
/// # Errors
/// Those of the database.
pub async fn payment(store: &Store, transaction: &str) -> Result<Option<PaymentRecord>, StoreError> {
    const ONE: &str = "SELECT transaction_id, provider, order_id, amount_fen, paid_at, received_at, state, attempts, note FROM payments \
                       WHERE transaction_id = $1";
    fetch_optional!(store, PaymentRecord, ONE, transaction)
}

/// How much work waits.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct Waiting {
    /// Refunds to be executed.
    pub refunds_pending: i64,
    /// Refunds that wait for a person.
    pub refunds_stuck: i64,
    /// Payments to be acted on.
    pub payments_pending: i64,
    /// Payments that wait for a person.
    pub payments_stuck: i64,
}

impl Waiting {
    /// Sets the figures of the metrics.
    pub fn count(&self) {
        let waiting = [
            ("refund", "pending", self.refunds_pending),
            ("refund", "stuck", self.refunds_stuck),
            ("payment", "pending", self.payments_pending),
            ("payment", "stuck", self.payments_stuck),
        ];
        for (work, state, count) in waiting {
            metrics::gauge!("liebian_money_waiting", "work" => work, "state" => state)
                .set(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
        }
    }
}

/// Counts the work that waits.
///
/// # Errors
/// Those of the database.
pub async fn waiting(store: &Store) -> Result<Waiting, StoreError> {
    const COUNT: &str = "SELECT (SELECT COUNT(*) FROM refunds WHERE state = 'pending') AS refunds_pending, \
                         (SELECT COUNT(*) FROM refunds WHERE state = 'stuck') AS refunds_stuck, \
                         (SELECT COUNT(*) FROM payments WHERE state = 'pending') AS payments_pending, \
                         (SELECT COUNT(*) FROM payments WHERE state = 'stuck') AS payments_stuck";
    fetch_one!(store, Waiting, COUNT)
}
