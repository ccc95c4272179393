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

/// It was paid out although the money had been returned: whoever looks at it must see that. Answers whether it is so.
///
/// # Errors
/// Those of the database.
pub async fn paid_after_return(tx: &mut Tx, id: WithdrawalId, now: UnixMs) -> Result<bool, StoreError> {
    const BOTH: &str = "UPDATE withdrawals SET last_error = 'was paid out after it had been returned', updated_at = $1 \
                        WHERE id = $2 AND state = 'returned'";
    Ok(execute!(tx, BOTH, now, id)? == 1)
}

/// It will never be paid out, because the provider refused it or its user declined: the money is available again. Answers whether this was news.
///
/// # Errors
/// Those of the database.
pub async fn refused(tx: &mut Tx, id: WithdrawalId, (reason, declined): (&str, bool), now: UnixMs) -> Result<bool, StoreError> {
    const REFUSED: &str = "UPDATE withdrawals SET state = 'returned', reason = $1, declined = $2, done_at = $3, updated_at = $3, \
                           confirmation = NULL WHERE id = $4 AND state IN ('approved', 'awaiting_user', 'stuck') RETURNING user_id, amount_fen";
    let held = fetch_optional!(&mut *tx, Held, REFUSED, reason, declined, now, id)?;
    if let Some(held) = held {
        move_money(tx, id, held, RETURNED, now).await?;
    }
    Ok(held.is_some())
}

/// Those that a person sees to: what is stuck, and what this server's `provider` does not pay out, but the shop itself or a provider of an earlier
/// configuration. Where this server's own provider may be at work, nobody else decides.
macro_rules! in_a_persons_hands {
    ($provider:literal) => {
        concat!("(state = 'stuck' OR (state IN ('approved', 'awaiting_user') AND (provider = 'shop' OR provider <> ", $provider, ")))")
    };
}

/// An operator rejects it: one that waits for them, or is in a person's hands since `provider` does not pay it out. Answers whether it did.
///
/// # Errors
/// Those of the database.
pub async fn reject(
    tx: &mut Tx,
    id: WithdrawalId,
    provider: &str,
    (by, reason): (&str, Option<&str>),
    now: UnixMs,
) -> Result<bool, StoreError> {
    const REJECT: &str = concat!(
        "UPDATE withdrawals SET state = 'returned', reason = $1, decided_by = $2, decided_at = $3, done_at = $3, updated_at = $3, \
         confirmation = NULL WHERE id = $4 AND (state = 'pending' OR ",
        in_a_persons_hands!("$5"),
        ") RETURNING user_id, amount_fen"
    );
    let held = fetch_optional!(&mut *tx, Held, REJECT, reason, by, now, id, provider)?;
    if let Some(held) = held {
        move_money(tx, id, held, RETURNED, now).await?;
    }
    Ok(held.is_some())
}

/// An operator approves it: `provider` pays it out, whoever would have when it was asked for. Answers whether it waited for that.
///
/// # Errors
/// Those of the database.
pub async fn approve(tx: &mut Tx, id: WithdrawalId, provider: &str, by: &str, now: UnixMs) -> Result<bool, StoreError> {
    const APPROVE: &str = "UPDATE withdrawals SET state = 'approved', provider = $1, decided_by = $2, decided_at = $3, next_attempt_at = $3, \
                           updated_at = $3 WHERE id = $4 AND state = 'pending'";
    Ok(execute!(tx, APPROVE, provider, by, now, id)? == 1)
}

/// What is being paid out by `provider`, or is stuck there, gets all its tries again; the worker leaves the first to the caller until `held`.
/// Answers whether it can be tried.
///
/// # Errors
/// Those of the database.
pub async fn retry(tx: &mut Tx, id: WithdrawalId, provider: &str, (now, held): (UnixMs, UnixMs)) -> Result<bool, StoreError> {
    const RETRY: &str = "UPDATE withdrawals SET state = CASE WHEN state = 'stuck' THEN 'approved' ELSE state END, attempts = 0, \
                         failures = 0, next_attempt_at = $1, updated_at = $2 WHERE id = $3 AND provider = $4 AND state IN ('approved', 'awaiting_user', 'stuck')";
    Ok(execute!(tx, RETRY, held, now, id, provider)? == 1)
}

/// A person of the shop paid out what is in a person's hands since `provider` does not. Answers whether it was such a one.
///
/// # Errors
/// Those of the database.
pub async fn paid_by_hand(tx: &mut Tx, id: WithdrawalId, provider: &str, by: &str, now: UnixMs) -> Result<bool, StoreError> {
    const OURS: &str = concat!(
        "UPDATE withdrawals SET provider = 'shop', decided_by = COALESCE(decided_by, $1) WHERE id = $2 AND ",
        in_a_persons_hands!("$3")
    );
    Ok(execute!(&mut *tx, OURS, by, id, provider)? == 1 && done(tx, id, now).await?)
}

/// Its user must confirm it.
///
/// # Errors
/// Those of the database.
pub async fn awaits_user(tx: &mut Tx, id: WithdrawalId, confirmation: &Value, (now, next): (UnixMs, UnixMs)) -> Result<(), StoreError> {
    const AWAITS: &str = "UPDATE withdrawals SET state = 'awaiting_user', confirmation = $1, failures = 0, updated_at = $2, next_attempt_at = $3 \
                          WHERE id = $4 AND state IN ('approved', 'awaiting_user')";
    execute!(tx, AWAITS, confirmation.to_string(), now, next, id).map(|_row| ())
}
