//! The payer: carries approved withdrawals to the payout provider until it is known what became of them.

use std::sync::Arc;

use tokio::sync::Notify;

use super::provider::{Outcome, Payout, PayoutProvider};
use super::steps;
use crate::clock::{Clock, UnixMs};
use crate::config::Effort;
use crate::id::{UserId, WithdrawalId};
use crate::money::Fen;
use crate::order::budget::{Budget, Call};
use crate::order::cashier::{ROUND, pause};
use crate::order::provider::{ProviderError, SHOP};
use crate::order::refunds::{LEASE, answered};
use crate::store::{Store, StoreError, Tx, execute, fetch_all, fetch_optional};

/// Pays withdrawals out.
pub struct Payer {
    store: Store,
    clock: Arc<Clock>,
    /// Who pays new withdrawals out.
    pub provider: Arc<dyn PayoutProvider>,
    budget: Budget,
    /// Failing tries in a row after which a person is asked.
    tries: i64,
    /// Wakes the worker before its next round.
    pub wake: Notify,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: WithdrawalId,
    user_id: UserId,
    amount_fen: Fen,
    attempts: i64,
    failures: i64,
    next_attempt_at: UnixMs,
}

impl Payer {
    /// A payer that pays through `provider`, as patient with it as `effort` says.
    #[must_use]
    pub fn new(store: Store, clock: Arc<Clock>, provider: Arc<dyn PayoutProvider>, effort: Effort) -> Self {
        let budget = Budget::new(store.clone(), provider.name(), effort.provider_failures_per_minute);
        Self { store, clock, provider, budget, tries: effort.refund_tries.into(), wake: Notify::new() }
    }

    /// One round over the withdrawals that are due; answers whether there were any.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn round(&self) -> Result<bool, StoreError> {
        const DUE: &str = "SELECT id, user_id, amount_fen, attempts, failures, next_attempt_at FROM withdrawals \
                           WHERE state IN ('approved', 'awaiting_user') AND provider = $1 AND next_attempt_at <= $2 \
                           ORDER BY next_attempt_at LIMIT $3";
        if self.provider.name() == SHOP || self.pauses().await? {
            return Ok(false); // people of the shop work through theirs
        }
        let due = fetch_all!(&self.store, Row, DUE, self.provider.name(), self.clock.now(), ROUND)?;
        for row in &due {
            if !self.pay_out(row).await? && self.pauses().await? {
                break;
            }
        }
        Ok(!due.is_empty())
    }

    /// Asks after one withdrawal now, if this server pays it out and calls do not pause.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn look(&self, id: WithdrawalId) -> Result<(), StoreError> {
        // Nobody else's for a moment: taken by the worker just now, it would be under way and not asked after here.
        const HOLD: &str =
            "UPDATE withdrawals SET next_attempt_at = $1 WHERE id = $2 AND state IN ('approved', 'awaiting_user') AND provider = $3";
        if let Some(held) = self.held_until(self.clock.now()).await?
            && execute!(&self.store, HOLD, held, id, self.provider.name())? == 1
        {
            self.look_at_held(id).await?;
        }
        Ok(())
    }

    /// Likewise, after one that the caller holds already.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn look_at_held(&self, id: WithdrawalId) -> Result<(), StoreError> {
        const ONE: &str = "SELECT id, user_id, amount_fen, attempts, failures, next_attempt_at FROM withdrawals \
                           WHERE id = $1 AND state IN ('approved', 'awaiting_user') AND provider = $2";
        if let Some(row) = fetch_optional!(&self.store, Row, ONE, id, self.provider.name())? {
            self.pay_out(&row).await?;
        }
        Ok(())
    }

    /// Until when the worker leaves a withdrawal to a person who looks at it; `None` if nobody may: calls pause, or people pay out.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn held_until(&self, now: UnixMs) -> Result<Option<UnixMs>, StoreError> {
        let may = self.provider.name() != SHOP && !self.pauses().await?;
        Ok(may.then(|| now.plus_seconds(LEASE)))
    }

    async fn pauses(&self) -> Result<bool, StoreError> {
        Ok(self.budget.left(Call::Payout, self.clock.now()).await?.paused_until.is_some())
    }

    /// One try; false when the provider failed.
    async fn pay_out(&self, row: &Row) -> Result<bool, StoreError> {
        const TAKE: &str = "UPDATE withdrawals SET attempts = attempts + 1, next_attempt_at = $1 \
                            WHERE id = $2 AND state IN ('approved', 'awaiting_user') AND next_attempt_at = $3";
        let now = self.clock.now();
        if execute!(&self.store, TAKE, now.plus_seconds(LEASE), row.id, row.next_attempt_at)? == 0 {
            return Ok(true); // somebody else tries
        }
        let payout = Payout { number: row.id, user: row.user_id, amount: row.amount_fen };
        let outcome = answered(self.provider.pay_out(payout)).await;
        let (now, next) = (self.clock.now(), self.clock.now().plus_seconds(pause(row.attempts + 1)));
        let mut tx = self.store.begin().await?;
        let fine = match &outcome {
            Ok(Outcome::Done) => {
                if !steps::done(&mut tx, row.id, now).await? && steps::paid_after_return(&mut tx, row.id, now).await? {
                    metrics::counter!("liebian_paid_after_return_total").increment(1);
                    tracing::error!(withdrawal = %row.id, "was paid out after it had been returned: a person must know");
                }
                true
            }
            Ok(Outcome::Refused(reason)) => steps::refused(&mut tx, row.id, (reason, false), now).await.map(|_news| true)?,
            Ok(Outcome::Declined(reason)) => steps::refused(&mut tx, row.id, (reason, true), now).await.map(|_news| true)?,
            Ok(Outcome::AwaitsUser(confirmation)) => {
                steps::awaits_user(&mut tx, row.id, confirmation, (now, next)).await?;
                true
            }
            Ok(Outcome::UnderWay) => {
                const LATER: &str = "UPDATE withdrawals SET failures = 0, next_attempt_at = $1 \
                                     WHERE id = $2 AND state IN ('approved', 'awaiting_user')";
                execute!(&mut tx, LATER, next, row.id)?;
                true
            }
            Err(error) => {
                self.failed(&mut tx, row, error, now).await?;
                false
            }
        };
        tx.commit().await?;
        if !fine {
            self.budget.failed(Call::Payout, now).await?;
        }
        Ok(fine)
    }

    async fn failed(&self, tx: &mut Tx, row: &Row, error: &ProviderError, now: UnixMs) -> Result<(), StoreError> {
        const FAILED: &str = "UPDATE withdrawals SET last_error = $1, failures = $2, next_attempt_at = $3, updated_at = $4, \
                              state = CASE WHEN $5 THEN 'stuck' ELSE state END WHERE id = $6 AND state IN ('approved', 'awaiting_user')";
        let failures = row.failures + 1;
        let (stuck, next) = (failures >= self.tries, now.plus_seconds(pause(failures)));
        tracing::warn!(withdrawal = %row.id, failures, stuck, %error, "a withdrawal was not paid out");
        execute!(tx, FAILED, error.to_string(), failures, next, now, stuck, row.id).map(|_row| ())
    }
}
