//! The cashier: carries money's news between provider, inbox and hot state. Every step is a row of SQL first and may be repeated.

use std::sync::Arc;

use tokio::sync::Notify;

use super::budget::{Budget, Call};
use super::ops::{self, Decided, Money};
use super::provider::{Closing, Payment, Provider};
use super::refunds::answered;
use crate::clock::Clock;
use crate::code::Code;
use crate::config::Effort;
use crate::hot::lane::Gate;
use crate::hot::{Engine, Place, Trouble};
use crate::id::{CampaignId, OrderId};
use crate::identity::newcomers;
use crate::money::Fen;
use crate::projector::Projector;
use crate::projector::cursor::Cursor;
use crate::store::{Store, StoreError, execute, fetch_all, fetch_optional};

/// Longest pause between two tries of the same work, in seconds.
const LONGEST_PAUSE: i64 = 3600;
/// Whoever was told of a payment acts on it at once; the worker looks for those left lying after so long, in seconds.
const FIRST_TRY: i64 = 2;
/// Rows of one kind of work looked at in one round.
pub const ROUND: i64 = 64;

/// Carries out what orders ask of the world outside.
pub struct Cashier {
    pub(super) store: Store,
    pub(super) engine: Arc<Engine>,
    pub(super) projector: Arc<Projector>,
    pub(super) clock: Arc<Clock>,
    /// Who takes new payments.
    pub provider: Arc<dyn Provider>,
    /// How many of its failing calls the provider bears.
    pub budget: Budget,
    /// Tries after which a person is asked.
    pub(super) tries: i64,
    /// Wakes the worker before its next round.
    pub wake: Notify,
}

/// What became of a payment that was told.
#[derive(Clone, Debug)]
pub enum Received {
    /// Acted on, and SQL has it; where the order learned of it, `None` for a payment of no order.
    Settled(Option<Place>),
    /// In the inbox; the worker goes on.
    Kept,
    /// The same transaction was told before, of another order or amount: nothing is done.
    ToldOtherwise,
}

impl Received {
    /// Whether it was acted on.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        matches!(self, Self::Settled(_))
    }
}

#[derive(sqlx::FromRow)]
struct InboxRow {
    transaction_id: String,
    provider: String,
    order_id: String,
    amount_fen: i64,
    paid_at: i64,
    attempts: i64,
    next_attempt_at: i64,
}

impl InboxRow {
    fn payment(&self) -> Payment {
        Payment {
            transaction_id: self.transaction_id.clone(),
            order_id: self.order_id.clone(),
            amount_fen: Fen::new(self.amount_fen),
            paid_at: self.paid_at,
        }
    }
}

#[derive(sqlx::FromRow)]
struct ClosingRow {
    order_id: OrderId,
    attempts: i64,
    next_attempt_at: i64,
}

/// Seconds until the next try after so many.
#[must_use]
pub fn pause(attempts: i64) -> i64 {
    let doubled = u32::try_from(attempts.clamp(0, 12)).map_or(LONGEST_PAUSE, |steps| 2_i64.saturating_pow(steps));
    doubled.min(LONGEST_PAUSE)
}

impl Cashier {
    /// A cashier that takes new payments through `provider`, as patient with it as `effort` says.
    #[must_use]
    pub fn new(
        store: Store,
        engine: Arc<Engine>,
        projector: Arc<Projector>,
        clock: Arc<Clock>,
        (provider, effort): (Arc<dyn Provider>, Effort),
    ) -> Self {
        let budget = Budget::new(store.clone(), provider.name(), effort.provider_failures_per_minute);
        Self { store, engine, projector, clock, provider, budget, tries: effort.refund_tries.into(), wake: Notify::new() }
    }

    /// Whether calls of a sort pause, for too many have failed lately.
    pub(super) async fn pauses(&self, call: Call) -> Result<bool, StoreError> {
        Ok(self.budget.left(call, self.clock.now()).await?.paused_until.is_some())
    }

    /// A payment was told: written to the inbox once per transaction, then acted on. A repeat finds it there and sees to it that it is acted on.
    ///
    /// # Errors
    /// Those of the database; then the provider must tell it again.
    pub async fn receive(&self, provider: &str, payment: &Payment) -> Result<Received, StoreError> {
        const KEEP: &str = "INSERT INTO payments (transaction_id, provider, order_id, campaign_id, amount_fen, paid_at, received_at, state, \
                            attempts, next_attempt_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 'pending', 0, $8) ON CONFLICT (transaction_id) DO NOTHING";
        const KEPT: &str = "SELECT order_id, amount_fen FROM payments WHERE transaction_id = $1";
        let campaign = payment.order_id.parse::<OrderId>().ok().map(|order| order.campaign());
        let now = self.clock.now();
        let next_attempt = now.plus_seconds(FIRST_TRY);
        execute!(
            &self.store,
            KEEP,
            &payment.transaction_id,
            provider,
            &payment.order_id,
            campaign,
            payment.amount_fen,
            payment.paid_at,
            now,
            next_attempt
        )?;
        let kept = fetch_optional!(&self.store, (String, Fen), KEPT, &payment.transaction_id)?;
        if kept.is_some_and(|(order, amount)| order != payment.order_id || amount != payment.amount_fen) {
            return Ok(Received::ToldOtherwise);
        }
        match self.settle(provider, payment).await {
            Ok(place) => Ok(Received::Settled(place)),
            Err(trouble) => {
                tracing::info!(%trouble, "payment stays in the inbox");
                self.wake.notify_one();
                Ok(Received::Kept)
            }
        }
    }

    /// Acts on a payment in the inbox; done when SQL has the outcome.
    pub(super) async fn settle(&self, provider: &str, payment: &Payment) -> Result<Option<Place>, Trouble> {
        if let Ok(order) = payment.order_id.parse::<OrderId>()
            && self.has_lane(order.campaign()).await?
        {
            let may_pay = newcomers::may_pay(&self.store, order, self.clock.now()).await;
            let barred = (!may_pay.map_err(|error| Trouble::Defect(error.to_string()))?).then_some(Code::NewcomersOnly);
            let money = Money { transaction: &payment.transaction_id, amount: payment.amount_fen.get(), paid_at: payment.paid_at };
            let Decided { decision, place, .. } = ops::pay(&self.engine, order, money, barred).await?;
            if decision.is_ok() {
                self.projector.settled(order.campaign(), place).await?;
                return Ok(Some(place));
            }
        }
        self.return_unknown(provider, payment).await.map(|()| None).map_err(|error| Trouble::Defect(error.to_string()))
    }

    /// Whether a campaign can be asked about its orders. One that this process has not opened yet is no unknown one: its payments wait.
    async fn has_lane(&self, campaign: CampaignId) -> Result<bool, Trouble> {
        if self.engine.knows(campaign) {
            return Ok(true);
        }
        match Cursor::read(&self.store, campaign).await {
            Ok(Some(cursor)) if cursor.state != "archived" => Err(Trouble::Recovering),
            Ok(Some(_) | None) => Ok(false),
            Err(error) => Err(Trouble::Defect(error.to_string())),
        }
    }

    /// A payment for an order that does not exist goes back.
    async fn return_unknown(&self, provider: &str, payment: &Payment) -> Result<(), StoreError> {
        const REFUND: &str = "INSERT INTO refunds (refund_no, order_id, campaign_id, provider, transaction_id, amount_fen, reason, state, attempts, \
                              next_attempt_at, created_at) VALUES ($1, $2, NULL, $3, $4, $5, 'unknown_order', 'pending', 0, $6, $6) \
                              ON CONFLICT (refund_no) DO NOTHING";
        const DONE: &str = "UPDATE payments SET state = 'done', note = 'unknown_order' WHERE transaction_id = $1";
        let mut tx = self.store.begin().await?;
        if payment.amount_fen > Fen::ZERO {
            let refund_no = format!("ref_{}", crate::crypto::sha256_hex(payment.transaction_id.as_bytes()).get(..24).unwrap_or_default());
            let now = self.clock.now();
            execute!(&mut tx, REFUND, refund_no, &payment.order_id, provider, &payment.transaction_id, payment.amount_fen, now)?;
        }
        execute!(&mut tx, DONE, &payment.transaction_id)?;
        tx.commit().await?;
        self.wake.notify_one();
        Ok(())
    }

    /// One round over all work that is due; answers whether there was any.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn round(&self) -> Result<bool, StoreError> {
        let kinds = [self.payments().await, self.looks().await, self.closings().await, self.refunds().await];
        kinds.into_iter().try_fold(false, |any, kind| Ok(any | kind?))
    }

    async fn payments(&self) -> Result<bool, StoreError> {
        const DUE: &str = "SELECT transaction_id, provider, order_id, amount_fen, paid_at, attempts, next_attempt_at FROM payments \
                           WHERE state = 'pending' AND next_attempt_at <= $1 ORDER BY next_attempt_at LIMIT $2";
        const TAKE: &str = "UPDATE payments SET attempts = attempts + 1, next_attempt_at = $1 \
                            WHERE transaction_id = $2 AND state = 'pending' AND next_attempt_at = $3";
        let now = self.clock.now();
        let due = fetch_all!(&self.store, InboxRow, DUE, now, ROUND)?;
        for row in &due {
            // The notification's own request may be at work on it.
            let next = now.plus_seconds(pause(row.attempts));
            if execute!(&self.store, TAKE, next, &row.transaction_id, row.next_attempt_at)? == 0 {
                continue;
            }
            if row.order_id.parse().is_ok_and(|order: OrderId| !self.is_open(order)) {
                continue;
            }
            self.act_on(row).await?;
        }
        Ok(!due.is_empty())
    }

    async fn act_on(&self, row: &InboxRow) -> Result<(), StoreError> {
        const DONE: &str = "UPDATE payments SET state = 'done' WHERE transaction_id = $1 AND state = 'pending'";
        match self.settle(&row.provider, &row.payment()).await {
            // By then its event has done this, unless SQL was restored from before the notification was kept.
            Ok(_place) => execute!(&self.store, DONE, &row.transaction_id).map(|_row| ()),
            Err(Trouble::Defect(cause)) if row.attempts + 1 >= self.tries => self.payment_stuck(&row.transaction_id, &cause).await,
            Err(trouble) => {
                tracing::info!(%trouble, "payment stays in the inbox");
                Ok(())
            }
        }
    }

    /// Something of ours is broken, and trying on will not mend it: a person is asked.
    async fn payment_stuck(&self, transaction: &str, cause: &str) -> Result<(), StoreError> {
        const STUCK: &str = "UPDATE payments SET state = 'stuck', note = $1 WHERE transaction_id = $2 AND state = 'pending'";
        tracing::error!(transaction, cause, "a payment is stuck");
        execute!(&self.store, STUCK, cause, transaction).map(|_row| ())
    }

    /// Acts on a payment in the inbox again now, whatever came of it before; what was acted on stays so.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn retry_payment(&self, transaction: &str) -> Result<(), StoreError> {
        const RESET: &str =
            "UPDATE payments SET state = 'pending', attempts = 0, next_attempt_at = $1 WHERE transaction_id = $2 AND state <> 'done'";
        const ONE: &str = "SELECT transaction_id, provider, order_id, amount_fen, paid_at, attempts, next_attempt_at FROM payments \
                           WHERE transaction_id = $1 AND state <> 'done'";
        execute!(&self.store, RESET, self.clock.now().plus_seconds(FIRST_TRY), transaction)?;
        if let Some(row) = fetch_optional!(&self.store, InboxRow, ONE, transaction)? {
            self.act_on(&row).await?;
        }
        Ok(())
    }

    async fn closings(&self) -> Result<bool, StoreError> {
        const DUE: &str = "SELECT order_id, attempts, next_attempt_at FROM closings \
                           WHERE state = 'pending' AND provider = $1 AND next_attempt_at <= $2 ORDER BY next_attempt_at LIMIT $3";
        const TAKE: &str = "UPDATE closings SET attempts = attempts + 1, next_attempt_at = $1 \
                            WHERE order_id = $2 AND state = 'pending' AND next_attempt_at = $3";
        if self.pauses(Call::Close).await? {
            return Ok(false);
        }
        let now = self.clock.now();
        let due = fetch_all!(&self.store, ClosingRow, DUE, self.provider.name(), now, ROUND)?;
        for row in &due {
            if execute!(&self.store, TAKE, now.plus_seconds(pause(row.attempts)), row.order_id, row.next_attempt_at)? == 1
                && self.is_open(row.order_id)
            {
                self.close(row.order_id).await?;
            }
        }
        Ok(!due.is_empty())
    }

    /// Asks the provider to close an order's payment and carries the answer to the order.
    async fn close(&self, order: OrderId) -> Result<(), StoreError> {
        let Some(amount) = self.requested(order).await? else { return Ok(()) };
        match answered(self.provider.close(order, amount)).await {
            Ok(Closing::Closed) => match ops::closed(&self.engine, order).await {
                Ok(_told) => self.closing_done(order).await?,
                Err(trouble) => tracing::info!(%order, %trouble, "closing will be told again"),
            },
            Ok(Closing::Paid(payment)) => {
                self.receive(self.provider.name(), &payment).await?;
                self.closing_done(order).await?;
            }
            Ok(Closing::Unknown) => {}
            Err(error) => {
                tracing::warn!(%order, %error, "the provider did not close a payment");
                self.budget.failed(Call::Close, self.clock.now()).await?;
            }
        }
        Ok(())
    }

    /// Nobody needs to ask the provider again: the payment is closed, or in the inbox.
    async fn closing_done(&self, order: OrderId) -> Result<(), StoreError> {
        const DONE: &str = "UPDATE closings SET state = 'done', done_at = $1 WHERE order_id = $2 AND state = 'pending'";
        execute!(&self.store, DONE, self.clock.now(), order).map(|_row| ())
    }

    /// Whether an order's campaign is not just being brought back; work for one that is must not hold up the others'.
    pub(super) fn is_open(&self, order: OrderId) -> bool {
        !self.engine.knows(order.campaign()) || matches!(self.engine.gate(order.campaign()), Gate::Open(_))
    }

    /// What an order's payment request was for.
    async fn requested(&self, order: OrderId) -> Result<Option<Fen>, StoreError> {
        const REQUESTED: &str = "SELECT amount_fen FROM payment_requests WHERE order_id = $1";
        Ok(fetch_optional!(&self.store, (Fen,), REQUESTED, order)?.map(|(amount,)| amount))
    }

    /// Asks after payments that were asked for and not heard of: a notification may have been lost.
    async fn looks(&self) -> Result<bool, StoreError> {
        const DUE: &str =
            "SELECT order_id, looks, look_at FROM payment_requests WHERE provider = $1 AND look_at <= $2 ORDER BY look_at LIMIT $3";
        const TAKE: &str = "UPDATE payment_requests SET looks = looks + 1, look_at = $1 WHERE order_id = $2 AND look_at = $3";
        if self.pauses(Call::Query).await? {
            return Ok(false);
        }
        let now = self.clock.now();
        let due = fetch_all!(&self.store, (OrderId, i64, i64), DUE, self.provider.name(), now, ROUND)?;
        for (order, looks, look_at) in &due {
            let next = usize::try_from(*looks + 1).ok().and_then(|next| LOOKS.get(next)).map(|ms| now.get().saturating_add(*ms));
            if execute!(&self.store, TAKE, next, *order, *look_at)? == 0 {
                continue;
            }
            match answered(self.provider.query(*order)).await {
                Ok(Some(payment)) => {
                    self.receive(self.provider.name(), &payment).await?;
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%order, %error, "the provider did not say whether an order was paid");
                    self.budget.failed(Call::Query, now).await?;
                }
            }
        }
        Ok(!due.is_empty())
    }
}

/// Pauses in ms before each look for a payment without a notification; after the last one the end of the hold asks the provider.
const LOOKS: [i64; 4] = [5_000, 30_000, 120_000, 300_000];

/// Ms from asking for a payment to the first look for it.
pub(super) const fn first_look() -> i64 {
    let [first, ..] = LOOKS;
    first
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_PAUSE, pause};

    #[test]
    fn pauses_double_up_to_an_hour() {
        assert_eq!([pause(0), pause(1), pause(4), pause(11), pause(12), pause(99)], [1, 2, 16, 2048, LONGEST_PAUSE, LONGEST_PAUSE]);
    }
}
