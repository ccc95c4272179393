//! The sandbox provider: a payment company in a few SQL tables, with the same manners as a real one. Its notifications are signed and come
//! once, twice, late or never, as the tester asks, and its next calls fail, take long, lose their answer or are made twice ([`super::faults`]).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::budget::Call;
use super::faults::Fault;
use super::provider::{Asked, Books, Closing, Executed, Payment, Provider, ProviderError, Refund, Refunding};
use crate::clock::Clock;
use crate::crypto::{Purpose, Secrets, hex, random_base62};
use crate::id::OrderId;
use crate::money::Fen;
use crate::store::{Store, StoreError, execute, fetch_all, fetch_one, fetch_optional};

/// Its name in SQL and in answers.
pub const SANDBOX: &str = "sandbox";

/// The sandbox provider and its books.
#[derive(Clone)]
pub struct Sandbox {
    pub(crate) store: Store,
    secrets: Arc<Secrets>,
    pub(crate) clock: Arc<Clock>,
}

/// How the notification of a payment is to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Notify {
    /// Once, at once.
    #[default]
    Once,
    /// Twice, at once.
    Twice,
    /// Once, after `delay_seconds`.
    Late,
    /// Never: only a query tells.
    Never,
}

/// A notification on its way: the signed body.
#[derive(Clone, Debug)]
pub struct Notification {
    /// The body.
    pub body: String,
    /// Its signature.
    pub signature: String,
}

#[derive(sqlx::FromRow)]
struct Trade {
    amount_fen: i64,
    state: String,
    transaction_id: Option<String>,
    paid_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct Booked {
    order_id: OrderId,
    #[sqlx(flatten)]
    trade: Trade,
}

/// Lines of its books that it gives at once.
const PAGE: i64 = 200_000;

impl Trade {
    fn payment(&self, order: OrderId) -> Option<Payment> {
        Some(Payment {
            transaction_id: self.transaction_id.clone()?,
            order_id: order.to_string(),
            amount_fen: Fen::new(self.amount_fen),
            paid_at: self.paid_at?,
        })
    }
}

impl From<StoreError> for ProviderError {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

impl Sandbox {
    /// The sandbox with its books in `store`.
    #[must_use]
    pub fn new(store: Store, secrets: Arc<Secrets>, clock: Arc<Clock>) -> Self {
        Self { store, secrets, clock }
    }

    async fn trade(&self, order: OrderId) -> Result<Option<Trade>, StoreError> {
        const TRADE: &str = "SELECT amount_fen, state, transaction_id, paid_at FROM sandbox_trades WHERE order_id = $1";
        fetch_optional!(&self.store, Trade, TRADE, order)
    }

    async fn open(&self, order: OrderId, amount: Fen, state: &str) -> Result<(), StoreError> {
        const OPEN: &str = "INSERT INTO sandbox_trades (order_id, amount_fen, state, created_at) VALUES ($1, $2, $3, $4) \
                            ON CONFLICT (order_id) DO NOTHING";
        execute!(&self.store, OPEN, order, amount, state, self.clock.now()).map(|_made| ())
    }

    /// The payer pays, also when the request for it has not arrived yet. `None` when the payment was closed; a repeat finds it paid.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn pay(&self, order: OrderId, amount: Fen) -> Result<Option<Payment>, StoreError> {
        const PAY: &str = "INSERT INTO sandbox_trades (order_id, amount_fen, state, transaction_id, paid_at, created_at) \
                           VALUES ($1, $2, 'paid', $3, $4, $4) ON CONFLICT (order_id) DO UPDATE \
                           SET state = 'paid', transaction_id = excluded.transaction_id, paid_at = excluded.paid_at \
                           WHERE sandbox_trades.state = 'open'";
        let transaction = format!("sbx_{}", random_base62(24));
        execute!(&self.store, PAY, order, amount, transaction, self.clock.now())?;
        Ok(self.trade(order).await?.and_then(|trade| trade.payment(order)))
    }

    /// The signed notification of a payment.
    #[must_use]
    pub fn notification(&self, payment: &Payment) -> Notification {
        let body = serde_json::to_string(payment).unwrap_or_default();
        let signature = hex(&self.secrets.mac(Purpose::SandboxPayment, body.as_bytes()));
        Notification { body, signature }
    }

    /// Keeps a notification for later.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn notify_later(&self, payment: &Payment, delay_seconds: i64) -> Result<(), StoreError> {
        const LATER: &str = "INSERT INTO sandbox_notifications (id, transaction_id, due_at, body, state, attempts) \
                             VALUES ($1, $2, $3, $4, 'pending', 0)";
        let due_at = self.clock.now().plus_seconds(delay_seconds);
        execute!(&self.store, LATER, random_base62(16), &payment.transaction_id, due_at, self.notification(payment).body).map(|_kept| ())
    }

    /// Late notifications that are due now: their ids and themselves.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn due(&self) -> Result<Vec<(String, Notification)>, StoreError> {
        const DUE: &str = "SELECT id, body FROM sandbox_notifications WHERE state = 'pending' AND due_at <= $1 ORDER BY due_at LIMIT 64";
        let rows = fetch_all!(&self.store, (String, String), DUE, self.clock.now())?;
        let signed = |body: String| Notification { signature: hex(&self.secrets.mac(Purpose::SandboxPayment, body.as_bytes())), body };
        Ok(rows.into_iter().map(|(id, body)| (id, signed(body))).collect())
    }

    /// A late notification was taken in, or (`taken` false) is to come again a little later.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn delivered(&self, id: &str, taken: bool) -> Result<(), StoreError> {
        const DONE: &str = "UPDATE sandbox_notifications SET state = $1, attempts = attempts + 1, due_at = $2 WHERE id = $3";
        let state = if taken { "done" } else { "pending" };
        execute!(&self.store, DONE, state, self.clock.now().plus_seconds(if taken { 0 } else { 5 }), id).map(|_row| ())
    }

    /// Executes a refund once, whoever asks how often. Not more than was paid.
    async fn refund_once(&self, refund: &Refund) -> Result<Refunding, ProviderError> {
        const EXECUTE: &str = "INSERT INTO sandbox_refunds (refund_no, transaction_id, amount_fen, executed_at) VALUES ($1, $2, $3, $4) \
                               ON CONFLICT (refund_no) DO NOTHING";
        const BACK: &str =
            "SELECT CAST(COALESCE(SUM(amount_fen), 0) AS BIGINT) FROM sandbox_refunds WHERE transaction_id = $1 AND refund_no <> $2";
        const PAID: &str = "SELECT amount_fen FROM sandbox_trades WHERE transaction_id = $1";
        let mut tx = self.store.begin().await?;
        let (back,) = fetch_one!(&mut tx, (i64,), BACK, &refund.transaction_id, &refund.refund_no)?;
        let paid = fetch_optional!(&mut tx, (i64,), PAID, &refund.transaction_id)?;
        if paid.is_some_and(|(paid,)| back.saturating_add(refund.amount_fen.get()) > paid) {
            tx.rollback().await?;
            return Err(ProviderError("more than was paid".to_owned()));
        }
        execute!(&mut tx, EXECUTE, &refund.refund_no, &refund.transaction_id, refund.amount_fen, self.clock.now())?;
        tx.commit().await?;
        Ok(Refunding::Done)
    }

    async fn close_once(&self, order: OrderId, amount: Fen) -> Result<Closing, ProviderError> {
        const CLOSE: &str = "UPDATE sandbox_trades SET state = 'closed' WHERE order_id = $1 AND state = 'open'";
        // A request that never arrived is closed before it can arrive.
        self.open(order, amount, "closed").await?;
        execute!(&self.store, CLOSE, order)?;
        let trade = self.trade(order).await?;
        Ok(match trade.as_ref().and_then(|trade| trade.payment(order)) {
            Some(payment) => Closing::Paid(payment),
            None if trade.is_some_and(|trade| trade.state == "closed") => Closing::Closed,
            None => Closing::Unknown,
        })
    }

    async fn payment_of(&self, order: OrderId) -> Result<Option<Payment>, ProviderError> {
        Ok(self.trade(order).await?.and_then(|trade| trade.payment(order)))
    }
}

pub(crate) fn failed() -> ProviderError {
    ProviderError("not done: the sandbox was told to fail".to_owned())
}

pub(crate) fn lost() -> ProviderError {
    ProviderError("no answer: the sandbox was told to lose it".to_owned())
}

impl Provider for Sandbox {
    fn name(&self) -> &'static str {
        SANDBOX
    }

    fn request(&self, order: OrderId, amount: Fen) -> Asked<'_, serde_json::Value> {
        Box::pin(async move {
            self.open(order, amount, "open").await?;
            Ok(serde_json::json!({"order_id": order, "amount_fen": amount, "pay_path": format!("/v1/sandbox/orders/{order}/pay")}))
        })
    }

    fn close(&self, order: OrderId, amount: Fen) -> Asked<'_, Closing> {
        Box::pin(async move {
            match self.fault_of(Call::Close).await? {
                Some(Fault::Fail) => return Err(failed()),
                Some(Fault::Delay) => return Ok(Closing::Unknown),
                Some(Fault::Lose) => return self.close_once(order, amount).await.and(Err(lost())),
                Some(Fault::Duplicate) => drop(self.close_once(order, amount).await?),
                None => {}
            }
            self.close_once(order, amount).await
        })
    }

    fn query(&self, order: OrderId) -> Asked<'_, Option<Payment>> {
        Box::pin(async move {
            let fault = self.fault_of(Call::Query).await?;
            match fault {
                Some(Fault::Fail) => return Err(failed()),
                Some(Fault::Lose) => return Err(lost()),
                Some(Fault::Delay) => return Ok(None),
                Some(Fault::Duplicate) | None => {}
            }
            let payment = self.payment_of(order).await?;
            if let (Some(payment), Some(Fault::Duplicate)) = (&payment, fault) {
                self.notify_later(payment, 0).await?;
            }
            Ok(payment)
        })
    }

    fn refund(&self, refund: Refund) -> Asked<'_, Refunding> {
        Box::pin(async move {
            match self.fault_of(Call::Refund).await? {
                Some(Fault::Fail) => return Err(failed()),
                Some(Fault::Delay) => return Ok(Refunding::UnderWay),
                Some(Fault::Lose) => return self.refund_once(&refund).await.and(Err(lost())),
                Some(Fault::Duplicate) => drop(self.refund_once(&refund).await?),
                None => {}
            }
            self.refund_once(&refund).await
        })
    }

    fn books(&self, from: i64, to: i64) -> Asked<'_, Option<Books>> {
        const PAYMENTS: &str = "SELECT order_id, amount_fen, state, transaction_id, paid_at FROM sandbox_trades \
                                WHERE paid_at >= $1 AND paid_at < $2 ORDER BY paid_at LIMIT $3";
        const REFUNDS: &str = "SELECT refund_no, transaction_id, amount_fen FROM sandbox_refunds \
                               WHERE executed_at >= $1 AND executed_at < $2 ORDER BY executed_at LIMIT $3";
        Box::pin(async move {
            let trades = fetch_all!(&self.store, Booked, PAYMENTS, from, to, PAGE)?;
            let refunds = fetch_all!(&self.store, (String, String, Fen), REFUNDS, from, to, PAGE)?;
            if [trades.len(), refunds.len()].iter().any(|count| i64::try_from(*count).unwrap_or(i64::MAX) >= PAGE) {
                return Err(ProviderError(format!("{PAGE} lines and more: ask for a shorter time")));
            }
            let payments = trades.into_iter().filter_map(|line| line.trade.payment(line.order_id)).collect();
            let refunds = refunds.into_iter().map(executed).collect();
            Ok(Some(Books { payments, refunds }))
        })
    }

    fn executed(&self, refund_no: String) -> Asked<'_, Option<Executed>> {
        const ONE: &str = "SELECT refund_no, transaction_id, amount_fen FROM sandbox_refunds WHERE refund_no = $1";
        Box::pin(async move { Ok(fetch_optional!(&self.store, (String, String, Fen), ONE, refund_no)?.map(executed)) })
    }

    fn read_notification(&self, signature: &str, body: &[u8]) -> Option<Payment> {
        let tag = unhex(signature)?;
        if tag.len() != 32 || !self.secrets.verify(Purpose::SandboxPayment, body, &tag) {
            return None;
        }
        serde_json::from_slice(body).ok()
    }
}

fn executed((refund_no, transaction_id, amount_fen): (String, String, Fen)) -> Executed {
    Executed { refund_no, transaction_id, amount_fen }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect::<Option<_>>()?;
    digits.chunks(2).map(|pair| if let [high, low] = pair { Some(high * 16 + low) } else { None }).collect()
}
