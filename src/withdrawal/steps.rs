//! The steps of a withdrawal: each moves the row's state by compare-and-set, and the money with it, in one transaction.

use serde_json::Value;

use crate::clock::UnixMs;
use crate::id::{UserId, WithdrawalId};
use crate::ledger::{Account, Kind, Transfer, post_now};
use crate::money::Fen;
use crate::store::{StoreError, Tx, execute, fetch_optional};

/// Whose money, and how much.
pub(super) type Held = (UserId, Fen);

/// A way that a withdrawal's money goes: why, from where, to where.
type Way = (Kind, fn(UserId) -> Account, fn(UserId) -> Account);

pub(super) const HELD: Way = (Kind::WithdrawalHeld, Account::Available, Account::Withdrawing);
const DONE: Way = (Kind::WithdrawalDone, Account::Withdrawing, Account::Withdrawn);
const RETURNED: Way = (Kind::WithdrawalReturned, Account::Withdrawing, Account::Available);

/// A withdrawal's money moves.
pub(super) async fn move_money(tx: &mut Tx, id: WithdrawalId, (user, amount): Held, way: Way, at: UnixMs) -> Result<(), StoreError> {
    let (kind, from, to) = way;
    let transfer = Transfer {
        reference: format!("{}:{id}", kind.word()),
        from: from(user),
        to: to(user),
        amount,
        kind,
        at,
        campaign: None,
        order_number: None,
        level: None,
        withdrawal: Some(id),
    };
    post_now(tx, &[transfer]).await
}

/// It was paid out. Answers whether this was news.
///
/// # Errors
/// Those of the database.
pub async fn done(tx: &mut Tx, id: WithdrawalId, now: UnixMs) -> Result<bool, StoreError> {
    const PAID: &str = "UPDATE withdrawals SET state = 'done', done_at = $1, updated_at = $1, confirmation = NULL, last_error = NULL \
                        WHERE id = $2 AND state IN ('approved', 'awaiting_user', 'stuck') RETURNING user_id, amount_fen";
    let held = fetch_optional!(&mut *tx, Held, PAID, now, id)?;
    if let Some(held) = held {
        move_money(tx, id, held, DONE, now).await?;
    }
    Ok(held.is_some())
}

/// The provider will never pay it out: the money is available again. Answers whether this was news.
///
/// # Errors
/// Those of the database.
pub async fn refused(tx: &mut Tx, id: WithdrawalId, reason: &str, now: UnixMs) -> Result<bool, StoreError> {
    const REFUSED: &str = "UPDATE withdrawals SET state = 'returned', reason = $1, done_at = $2, updated_at = $2, confirmation = NULL \
                           WHERE id = $3 AND state IN ('approved', 'awaiting_user', 'stuck') RETURNING user_id, amount_fen";
    let held = fetch_optional!(&mut *tx, Held, REFUSED, reason, now, id)?;
    if let Some(held) = held {
        move_money(tx, id, held, RETURNED, now).await?;
    }
    Ok(held.is_some())
}

/// An operator rejects it: one that waits for them, one that is stuck, or one that the shop pays out itself. Answers whether it did.
///
/// # Errors
/// Those of the database.
pub async fn reject(tx: &mut Tx, id: WithdrawalId, by: &str, reason: &str, now: UnixMs) -> Result<bool, StoreError> {
    const REJECT: &str = "UPDATE withdrawals SET state = 'returned', reason = $1, decided_by = $2, decided_at = $3, done_at = $3, updated_at = $3, \
                          confirmation = NULL WHERE id = $4 AND (state IN ('pending', 'stuck') OR (state = 'approved' AND provider = 'shop')) \
                          RETURNING user_id, amount_fen";
    let held = fetch_optional!(&mut *tx, Held, REJECT, reason, by, now, id)?;
    if let Some(held) = held {
        move_money(tx, id, held, RETURNED, now).await?;
    }
    Ok(held.is_some())
}

/// An operator approves it. Answers whether it waited for that.
///
/// # Errors
/// Those of the database.
pub async fn approve(tx: &mut Tx, id: WithdrawalId, by: &str, now: UnixMs) -> Result<bool, StoreError> {
    const APPROVE: &str = "UPDATE withdrawals SET state = 'approved', decided_by = $1, decided_at = $2, next_attempt_at = $2, updated_at = $2 \
                           WHERE id = $3 AND state = 'pending'";
    Ok(execute!(tx, APPROVE, by, now, id)? == 1)
}

/// What is being paid out, or is stuck, is tried again now. Answers whether it can be.
///
/// # Errors
/// Those of the database.
pub async fn retry(tx: &mut Tx, id: WithdrawalId, now: UnixMs) -> Result<bool, StoreError> {
    const RETRY: &str = "UPDATE withdrawals SET state = CASE WHEN state = 'stuck' THEN 'approved' ELSE state END, attempts = 0, \
                         next_attempt_at = $1, updated_at = $1 WHERE id = $2 AND state IN ('approved', 'awaiting_user', 'stuck')";
    Ok(execute!(tx, RETRY, now, id)? == 1)
}

/// A person of the shop paid it out: one that is the shop's to pay, or one that is stuck. Answers whether it was such a one.
///
/// # Errors
/// Those of the database.
pub async fn paid_by_hand(tx: &mut Tx, id: WithdrawalId, by: &str, now: UnixMs) -> Result<bool, StoreError> {
    const OURS: &str = "UPDATE withdrawals SET provider = 'shop', decided_by = COALESCE(decided_by, $1) \
                        WHERE id = $2 AND (state = 'stuck' OR (state = 'approved' AND provider = 'shop'))";
    Ok(execute!(&mut *tx, OURS, by, id)? == 1 && done(tx, id, now).await?)
}

/// Its user must confirm it.
///
/// # Errors
/// Those of the database.
pub async fn awaits_user(tx: &mut Tx, id: WithdrawalId, confirmation: &Value, (now, next): (UnixMs, UnixMs)) -> Result<(), StoreError> {
    const AWAITS: &str = "UPDATE withdrawals SET state = 'awaiting_user', confirmation = $1, updated_at = $2, next_attempt_at = $3 \
                          WHERE id = $4 AND state IN ('approved', 'awaiting_user')";
    execute!(tx, AWAITS, confirmation.to_string(), now, next, id).map(|_row| ())
}
