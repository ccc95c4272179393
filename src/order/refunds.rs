//! Refunds: rows of SQL that the log makes, each executed by its provider under one number until it is done.
//!
//! A try that fails is followed by the next after a pause that doubles up to an hour. After so many in a row (`LIEBIAN_REFUND_TRIES`) the refund is
//! `stuck`: listed for a person, who looks into it and has it tried again. The number never changes, so that whatever became of earlier tries
//! (failed, lost, answered too late) the provider executes it once.

use std::time::Duration;

use super::budget::Call;
use super::cashier::{Cashier, ROUND, pause};
use super::ops;
use super::provider::{ProviderError, Refund, Refunding, SHOP};
use crate::clock::UnixMs;
use crate::hot::Trouble;
use crate::id::OrderId;
use crate::money::Fen;
use crate::store::{StoreError, execute, fetch_all, fetch_optional};

/// A provider that has not answered for so long has failed.
pub(super) const ANSWER: Duration = Duration::from_secs(10);
/// Whoever tries has the row for itself for so long, in seconds: longer than a provider may take.
pub(crate) const LEASE: i64 = 15;
/// A campaign that is being brought back is asked again after so long, in seconds.
const RECOVERING: i64 = 1;

#[derive(sqlx::FromRow)]
struct Row {
    refund_no: String,
    order_id: String,
    transaction_id: String,
    amount_fen: i64,
    attempts: i64,
    failures: i64,
    next_attempt_at: i64,
}

impl Cashier {
    /// Tries the refunds that are due, unless too many tries have failed lately; answers whether there were any.
    pub(super) async fn refunds(&self) -> Result<bool, StoreError> {
        const DUE: &str = "SELECT refund_no, order_id, transaction_id, amount_fen, attempts, failures, next_attempt_at FROM refunds \
                           WHERE state = 'pending' AND provider = $1 AND next_attempt_at <= $2 ORDER BY next_attempt_at LIMIT $3";
        if self.provider.name() == SHOP || self.pauses(Call::Refund).await? {
            return Ok(false); // people of the shop work through theirs
        }
        let due = fetch_all!(&self.store, Row, DUE, self.provider.name(), self.clock.now(), ROUND)?;
        for row in &due {
            if !self.try_refund(row).await? && self.pauses(Call::Refund).await? {
                break;
            }
        }
        Ok(!due.is_empty())
    }

    /// Tries a refund again now, whatever became of it before; one that was executed stays so. Does not go beyond what the provider bears.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn retry_refund(&self, refund_no: &str) -> Result<(), StoreError> {
        const RESET: &str = "UPDATE refunds SET state = 'pending', attempts = 0, failures = 0, next_attempt_at = $1 WHERE refund_no = $2 AND state <> 'done'";
        const ONE: &str = "SELECT refund_no, order_id, transaction_id, amount_fen, attempts, failures, next_attempt_at FROM refunds \
                           WHERE refund_no = $1 AND state = 'pending' AND provider = $2";
        let (now, paused) = (self.clock.now(), self.pauses(Call::Refund).await?);
        // Nobody else's for a moment: taken by the worker just now, it would be under way and not tried here.
        let due = if paused { now } else { now.plus_seconds(LEASE) };
        execute!(&self.store, RESET, due, refund_no)?;
        if !paused && let Some(row) = fetch_optional!(&self.store, Row, ONE, refund_no, self.provider.name())? {
            self.try_refund(&row).await?;
        }
        Ok(())
    }

    /// A person sends back themselves what the provider would not: from now on the refund is the shop's. Answers whether it is.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn hand_over(&self, refund_no: &str) -> Result<bool, StoreError> {
        const HAND_OVER: &str = "UPDATE refunds SET provider = $1 WHERE refund_no = $2 AND (state = 'stuck' OR provider = $1)";
        Ok(execute!(&self.store, HAND_OVER, SHOP, refund_no)? == 1)
    }

    /// One try; false when the provider failed.
    async fn try_refund(&self, row: &Row) -> Result<bool, StoreError> {
        const TAKE: &str = "UPDATE refunds SET attempts = attempts + 1, next_attempt_at = $1 \
                            WHERE refund_no = $2 AND state = 'pending' AND next_attempt_at = $3";
        let now = self.clock.now();
        if row.order_id.parse().is_ok_and(|order| !self.is_open(order)) {
            self.put_off(row, row.failures, now.plus_seconds(RECOVERING)).await?;
            return Ok(true);
        }
        if execute!(&self.store, TAKE, now.plus_seconds(LEASE), &row.refund_no, row.next_attempt_at)? == 0 {
            return Ok(true); // somebody else tries
        }
        let refund =
            Refund { refund_no: row.refund_no.clone(), transaction_id: row.transaction_id.clone(), amount_fen: Fen::new(row.amount_fen) };
        match answered(self.provider.refund(refund)).await {
            Ok(Refunding::Done) => {
                if let Err(trouble) = self.refunded(&row.refund_no, &row.order_id).await {
                    tracing::info!(refund = row.refund_no, %trouble, "refund will be told again");
                    self.put_off(row, 0, now.plus_seconds(pause(row.attempts + 1))).await?;
                }
                Ok(true)
            }
            Ok(Refunding::UnderWay) => self.put_off(row, 0, now.plus_seconds(pause(row.attempts + 1))).await.map(|()| true),
            Err(error) => self.refund_failed(row, &error, now).await.map(|()| false),
        }
    }

    async fn put_off(&self, row: &Row, failures: i64, until: UnixMs) -> Result<(), StoreError> {
        const LATER: &str = "UPDATE refunds SET failures = $1, next_attempt_at = $2 WHERE refund_no = $3 AND state = 'pending'";
        execute!(&self.store, LATER, failures, until, &row.refund_no).map(|_rows| ())
    }

    async fn refund_failed(&self, row: &Row, error: &ProviderError, now: UnixMs) -> Result<(), StoreError> {
        const FAILED: &str = "UPDATE refunds SET last_error = $1, failures = $2, next_attempt_at = $3, state = $4 WHERE refund_no = $5 AND state = 'pending'";
        let failures = row.failures + 1;
        let state = if failures >= self.tries { "stuck" } else { "pending" };
        execute!(&self.store, FAILED, error.to_string(), failures, now.plus_seconds(pause(failures)), state, &row.refund_no)?;
        tracing::warn!(refund = row.refund_no, failures, state, %error, "a refund was not executed");
        self.budget.failed(Call::Refund, now).await
    }

    /// A refund was executed: the order learns of it, and by its event the row is done. One without an order is done at once. Answers when SQL
    /// has it.
    ///
    /// # Errors
    /// `OutcomeUnknown` and the like: then it must be told again.
    pub async fn refunded(&self, refund_no: &str, order_id: &str) -> Result<(), Trouble> {
        const DONE: &str = "UPDATE refunds SET state = 'done', done_at = $1, last_error = NULL WHERE refund_no = $2 AND state <> 'done'";
        let numbered = refund_no.strip_prefix(order_id).and_then(|rest| rest.strip_prefix('r')).and_then(|number| number.parse().ok());
        let (Ok(order), Some(number)) = (order_id.parse::<OrderId>(), numbered) else {
            let done = execute!(&self.store, DONE, self.clock.now(), refund_no);
            return done.map(|_rows| ()).map_err(|_unknown| Trouble::OutcomeUnknown);
        };
        let told = ops::refunded(&self.engine, order, number).await?;
        match told.decision {
            Ok(_order) => self.projector.settled(order.campaign(), told.place).await,
            Err(code) => Err(Trouble::Defect(format!("refund {refund_no}: the order says {}", code.word()))),
        }
    }
}

/// The provider's answer, or that there was none in time.
pub(crate) async fn answered<T>(asked: super::provider::Asked<'_, T>) -> Result<T, ProviderError> {
    within(ANSWER, asked).await
}

async fn within<T>(patience: Duration, asked: super::provider::Asked<'_, T>) -> Result<T, ProviderError> {
    let late = |_elapsed| ProviderError(format!("no answer in {} s", patience.as_secs()));
    tokio::time::timeout(patience, asked).await.map_err(late)?
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::within;

    #[tokio::test]
    async fn a_provider_that_does_not_answer_has_failed() {
        let silent = within::<()>(Duration::from_millis(1), Box::pin(std::future::pending())).await;
        assert_eq!(silent.unwrap_err().to_string(), "payment provider: no answer in 0 s");
        assert_eq!(within(Duration::from_secs(9), Box::pin(async { Ok(7) })).await, Ok(7));
    }
}
