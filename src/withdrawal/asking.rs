//! A user asks for money: what is theirs is held, or they are told why not.
//!
//! The answer to an `Idempotency-Key` is kept after the money is held, by another transaction. So the row itself knows the key it was asked for with:
//! whatever happens in between, a repeat finds what stands and holds nothing more.

use super::records::{self, State, WithdrawalRecord};
use super::steps::{HELD, move_money};
use super::terms::{Terms, day};
use crate::app::App;
use crate::clock::UnixMs;
use crate::code::Code;
use crate::http::idempotency::{IdempotencyKey, KEPT_SECONDS};
use crate::http::problem::Problem;
use crate::id::{UserId, WithdrawalId};
use crate::ledger;
use crate::money::Fen;
use crate::store::{StoreError, Tx, execute, fetch_one, fetch_optional};

/// A withdrawal that was asked for.
#[derive(Debug)]
pub struct Asked {
    /// As it stands.
    pub record: WithdrawalRecord,
    /// It had been asked for before, with the same key.
    pub replayed: bool,
}

/// Holds the money of a new withdrawal, once for a key. It is approved at once where nobody needs to look at it.
///
/// # Errors
/// `invalid_request` naming `amount_fen`, `balance_too_low`, `rate_limited` until the next day when the day's withdrawals are used up;
/// `idempotency_key_reused` when the key has taken out another amount.
pub async fn ask(app: &App, user: UserId, amount: Fen, key: Option<&IdempotencyKey>) -> Result<Asked, Problem> {
    let terms = Terms::of(app, user).await?;
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    // From here on nobody else moves this user's money, nor asks for a withdrawal of it.
    let wallet = ledger::lock(&mut tx, user).await?;
    if let Some(key) = key
        && let Some((id, held)) = asked_before(&mut tx, key, now).await?
    {
        tx.rollback().await?;
        return if held == amount { stands(app, id, true).await } else { Err(Code::IdempotencyKeyReused.into()) };
    }
    let refusal = if let Err(unfit) = terms.allow(amount) {
        Some(unfit)
    } else if wallet.disposable() < amount {
        Some(Problem::new(Code::BalanceTooLow).detail(format!("{} fen are available", wallet.disposable().get())))
    } else {
        used_up(&mut tx, user, terms.per_day, now).await?
    };
    if let Some(refusal) = refusal {
        tx.rollback().await?;
        return Err(refusal);
    }
    let state = if app.config.effort.auto_approve && amount <= terms.auto_approve_max { State::Approved } else { State::Pending };
    let id = WithdrawalId::random(&mut rand::rng());
    keep(&mut tx, (id, user, amount), (state, app.payer.provider.name()), key, now).await?;
    move_money(&mut tx, id, (user, amount), HELD, now).await?;
    tx.commit().await?;
    app.payer.wake.notify_one();
    stands(app, id, false).await
}

async fn stands(app: &App, id: WithdrawalId, replayed: bool) -> Result<Asked, Problem> {
    let record = records::find(&app.store, id).await?;
    let record = record.ok_or_else(|| Problem::defect(&"a withdrawal that was written is not there"))?;
    Ok(Asked { record, replayed })
}

/// What was asked for with the same key. A key that has run out is free again.
async fn asked_before(tx: &mut Tx, key: &IdempotencyKey, now: UnixMs) -> Result<Option<(WithdrawalId, Fen)>, StoreError> {
    const RUN_OUT: &str = "UPDATE withdrawals SET asked_as = NULL WHERE asked_as = $1 AND created_at <= $2";
    const BEFORE: &str = "SELECT id, amount_fen FROM withdrawals WHERE asked_as = $1";
    let scope = key.scope.as_str();
    execute!(&mut *tx, RUN_OUT, scope, now.plus_seconds(-KEPT_SECONDS))?;
    fetch_optional!(&mut *tx, (WithdrawalId, Fen), BEFORE, scope)
}

async fn keep(
    tx: &mut Tx,
    (id, user, amount): (WithdrawalId, UserId, Fen),
    (state, provider): (State, &str),
    key: Option<&IdempotencyKey>,
    now: UnixMs,
) -> Result<(), StoreError> {
    const KEEP: &str = "INSERT INTO withdrawals (id, user_id, amount_fen, state, provider, attempts, next_attempt_at, created_at, updated_at, \
                        asked_as) VALUES ($1, $2, $3, $4, $5, 0, $6, $6, $6, $7)";
    let asked_as = key.map(|key| key.scope.as_str());
    execute!(tx, KEEP, id, user, amount, state.word(), provider, now, asked_as).map(|_row| ())
}

/// The refusal when a day's withdrawals are used up: tomorrow there are new ones. What the shop or its provider returned does not count; what its user
/// turned down does, or they could go on for ever.
async fn used_up(tx: &mut Tx, user: UserId, per_day: i64, now: UnixMs) -> Result<Option<Problem>, StoreError> {
    const TODAY: &str = "SELECT COUNT(*) FROM withdrawals WHERE user_id = $1 AND created_at >= $2 \
                         AND (state <> 'returned' OR declined)";
    let (begin, end) = day(now);
    let (today,) = fetch_one!(&mut *tx, (i64,), TODAY, user, begin)?;
    if today < per_day {
        return Ok(None);
    }
    let seconds = end.get().saturating_sub(now.get()).div_euclid(1000).saturating_add(1);
    let problem = Problem::new(Code::RateLimited).retry_after(u32::try_from(seconds).unwrap_or(u32::MAX));
    Ok(Some(problem.detail(format!("{per_day} withdrawals a day are allowed; the next day begins at midnight UTC+8"))))
}
