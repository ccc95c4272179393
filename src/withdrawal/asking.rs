//! A user asks for money: what is theirs is held, or they are told why not.

use super::records::{self, State, WithdrawalRecord};
use super::steps::{HELD, move_money};
use super::terms::{Terms, day};
use crate::app::App;
use crate::clock::UnixMs;
use crate::code::Code;
use crate::http::problem::Problem;
use crate::id::{UserId, WithdrawalId};
use crate::ledger;
use crate::money::Fen;
use crate::store::{StoreError, Tx, execute, fetch_one};

/// Holds the money of a new withdrawal. It is approved at once where nobody needs to look at it.
///
/// # Errors
/// `invalid_request` naming `amount_fen`, `balance_too_low`, `rate_limited` until the next day when the day's withdrawals are used up.
pub async fn ask(app: &App, user: UserId, amount: Fen) -> Result<WithdrawalRecord, Problem> {
    let terms = Terms::of(&app.store, user).await?;
    terms.allow(amount)?;
    let now = app.clock.now();
    let id = WithdrawalId::random(&mut rand::rng());
    let mut tx = app.store.begin().await?;
    // From here on nobody else moves this user's money, nor asks for a withdrawal of it.
    let wallet = ledger::lock(&mut tx, user).await?;
    let refusal = if wallet.disposable() < amount {
        Some(Problem::new(Code::BalanceTooLow).detail(format!("{} fen are available", wallet.disposable().get())))
    } else {
        used_up(&mut tx, user, terms.per_day, now).await?
    };
    if let Some(refusal) = refusal {
        tx.rollback().await?;
        return Err(refusal);
    }
    let state = if amount <= terms.auto_approve_max { State::Approved } else { State::Pending };
    keep(&mut tx, (id, user, amount), (state, app.payer.provider.name()), now).await?;
    move_money(&mut tx, id, (user, amount), HELD, now).await?;
    tx.commit().await?;
    app.payer.wake.notify_one();
    records::find(&app.store, id).await?.ok_or_else(|| Problem::defect(&"a withdrawal that was written is not there"))
}

async fn keep(
    tx: &mut Tx,
    (id, user, amount): (WithdrawalId, UserId, Fen),
    (state, provider): (State, &str),
    now: UnixMs,
) -> Result<(), StoreError> {
    const KEEP: &str = "INSERT INTO withdrawals (id, user_id, amount_fen, state, provider, attempts, next_attempt_at, created_at, updated_at) \
                        VALUES ($1, $2, $3, $4, $5, 0, $6, $6, $6)";
    execute!(tx, KEEP, id, user, amount, state.word(), provider, now).map(|_row| ())
}

/// The refusal when a day's withdrawals are used up: tomorrow there are new ones.
async fn used_up(tx: &mut Tx, user: UserId, per_day: i64, now: UnixMs) -> Result<Option<Problem>, StoreError> {
    const TODAY: &str = "SELECT COUNT(*) FROM withdrawals WHERE user_id = $1 AND created_at >= $2 AND state <> 'returned'";
    let (begin, end) = day(now);
    let (today,) = fetch_one!(&mut *tx, (i64,), TODAY, user, begin)?;
    if today < per_day {
        return Ok(None);
    }
    let seconds = end.get().saturating_sub(now.get()).div_euclid(1000).saturating_add(1);
    let problem = Problem::new(Code::RateLimited).retry_after(u32::try_from(seconds).unwrap_or(u32::MAX));
    Ok(Some(problem.detail(format!("{per_day} withdrawals a day are allowed; the next day begins at midnight UTC+8"))))
}
