//! The shopper's routes on money earned: balance, statement, withdrawals; and the sandbox's page for confirming a payout.

use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};

use super::asking;
use super::records::{self, WithdrawalView};
use crate::app::App;
use crate::clock::UnixMs;
use crate::code::Code;
use crate::http::answer::REPLAY;
use crate::http::body::{Json, KeyedJson};
use crate::http::extract::Id;
use crate::http::idempotency;
use crate::http::page::{List, Page};
use crate::http::problem::Problem;
use crate::id::{CampaignId, UserId, WithdrawalId};
use crate::identity::{Device, Session};
use crate::ledger::{self, AccountKind, Kind, statement};
use crate::money::{Fen, MAX_FEN};

/// What you have earned, over all campaigns.
#[expect(clippy::struct_field_names, reason = "money's names end so")]
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Balance)]
pub struct BalanceView {
    /// What you may take out; below zero while a debt stands, which later rewards pay off first.
    available_fen: Fen,
    /// Rewards that may not be taken out yet.
    frozen_fen: Fen,
    /// On its way to you.
    withdrawing_fen: Fen,
    /// Paid out to you.
    withdrawn_fen: Fen,
}

/// Your own accounts.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WalletAccount {
    /// Rewards that may not be taken out yet.
    Frozen,
    /// What may be taken out.
    Available,
    /// Rewards that were taken back after they were available; zero or less.
    Debt,
    /// On its way out.
    Withdrawing,
    /// Paid out.
    Withdrawn,
}

/// A line of a statement: what moved on one account. What moves between two of your own accounts has two lines; the lines of an account add up to
/// its balance.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = StatementLine)]
pub struct LineView {
    /// Its place in the statement; a later line has a higher one.
    place: i64,
    /// When.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    at: UnixMs,
    /// Why.
    kind: Kind,
    /// On which account. `available` and `debt` together are the balance's `available_fen`.
    #[schema(value_type = WalletAccount)]
    account: AccountKind,
    /// What came in; below zero, what went out.
    #[schema(example = -500)]
    amount_fen: Fen,
    /// What the account had after it.
    balance_fen: Fen,
    /// The campaign of a reward.
    #[schema(required = true)]
    campaign_id: Option<CampaignId>,
    /// The order of a reward: ours or the shop's own number.
    #[schema(required = true)]
    order_number: Option<String>,
    /// The level of a reward.
    #[schema(required = true, minimum = 1, maximum = 2)]
    level: Option<i64>,
    /// The withdrawal.
    #[schema(required = true)]
    withdrawal_id: Option<WithdrawalId>,
}

/// Money to take out.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWithdrawal {
    /// How much.
    #[schema(value_type = i64, minimum = 1, maximum = 10_000_000_000_i64, example = 500)]
    amount_fen: Fen,
}

/// A withdrawal that was asked for.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct AskedWithdrawal {
    /// The withdrawal.
    withdrawal: WithdrawalView,
}

/// What the user says to a payout that waits for them.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// Whether they take it; else the money comes back.
    #[serde(default = "yes")]
    #[schema(default = true)]
    accept: bool,
}

const fn yes() -> bool {
    true
}

/// What you have earned and what became of it, over all campaigns.
#[utoipa::path(tag = "wallet", operation_id = "get_my_balance", responses((status = 200, description = "Your balance", body = BalanceView)))]
#[get("/v1/me/balance")]
pub async fn balance(app: Data<App>, session: Session) -> Result<HttpResponse, Problem> {
    app.earnings_caught_up(session.user_id).await;
    let wallet = ledger::wallet(&app.store, session.user_id).await?;
    Ok(HttpResponse::Ok().json(BalanceView {
        available_fen: wallet.disposable(),
        frozen_fen: wallet.frozen,
        withdrawing_fen: wallet.withdrawing,
        withdrawn_fen: wallet.withdrawn,
    }))
}

/// What moved on your accounts, newest first.
#[utoipa::path(tag = "wallet", operation_id = "list_my_statement", params(Page),
    responses((status = 200, description = "A page", body = List<LineView>)))]
#[get("/v1/me/statement")]
pub async fn my_statement(app: Data<App>, session: Session, page: Page) -> Result<HttpResponse, Problem> {
    app.earnings_caught_up(session.user_id).await;
    let entries = statement::of_user(&app.store, session.user_id, page.before().0, page.fetch()).await?;
    let line = |entry: statement::Entry| LineView {
        place: entry.place,
        at: entry.at,
        kind: entry.kind,
        account: entry.account,
        amount_fen: entry.amount,
        balance_fen: entry.balance,
        campaign_id: entry.campaign,
        order_number: entry.order_number,
        level: entry.level,
        withdrawal_id: entry.withdrawal,
    };
    let lines = entries.into_iter().map(line).collect();
    Ok(HttpResponse::Ok().json(page.list(lines, |line: &LineView| (line.place, "line".to_owned()))))
}

/// Your withdrawals, newest first.
#[utoipa::path(tag = "wallet", operation_id = "list_my_withdrawals", params(Page),
    responses((status = 200, description = "A page", body = List<WithdrawalView>)))]
#[get("/v1/me/withdrawals")]
pub async fn mine(app: Data<App>, session: Session, page: Page) -> Result<HttpResponse, Problem> {
    let rows = records::of_user(&app.store, session.user_id, page.before(), page.fetch()).await?;
    Ok(HttpResponse::Ok().json(page.list(rows, |row: &WithdrawalView| (row.created_at.get(), row.id.to_string()))))
}

/// Take money out. The strictest rules hold of all campaigns that you earned in; a sum within them is paid out at once, a larger one waits for the
/// shop's approval. When the day's withdrawals are used up, the answer is `rate_limited` until midnight (UTC+8). Each call without an
/// Idempotency-Key is a new withdrawal.
#[utoipa::path(tag = "wallet", operation_id = "withdraw", request_body = NewWithdrawal,
    responses((status = 201, description = "The money is held and on its way", body = AskedWithdrawal)),
    extensions(("x-refusals" = json!([Code::BalanceTooLow, Code::RateLimited]))))]
#[post("/v1/me/withdrawals", wrap = "from_fn(idempotency::once)")]
pub async fn withdraw(app: Data<App>, session: Session, _device: Device, body: KeyedJson<NewWithdrawal>) -> Result<HttpResponse, Problem> {
    let amount = body.body.amount_fen;
    if !(1..=MAX_FEN).contains(&amount.get()) {
        return Err(Problem::invalid("amount_fen", format!("must be 1 to {MAX_FEN}")));
    }
    // What was earned is in SQL before it is asked for.
    app.earnings_caught_up(session.user_id).await;
    let asked = asking::ask(&app, session.user_id, amount, body.key.as_ref()).await?;
    let mut created = HttpResponse::Created();
    if asked.replayed {
        created.insert_header((REPLAY, "true"));
    }
    Ok(created.json(AskedWithdrawal { withdrawal: asked.record.shown() }))
}

/// The sandbox provider's page: confirm a payout that waits for you, or turn it down. What does not wait stays as it is.
#[utoipa::path(tag = "sandbox", operation_id = "confirm_payout_in_sandbox", params(("id" = WithdrawalId, Path)), request_body = Confirmation,
    responses((status = 200, description = "The withdrawal", body = WithdrawalView)), extensions(("x-refusals" = json!([Code::NotFound]))))]
#[post("/v1/sandbox/withdrawals/{id}/confirm", wrap = "from_fn(idempotency::once)")]
pub async fn confirm(
    app: Data<App>,
    session: Session,
    _device: Device,
    id: Id<WithdrawalId>,
    body: Json<Confirmation>,
) -> Result<HttpResponse, Problem> {
    let sandbox = app.sandbox.as_ref().ok_or(Code::NotFound)?;
    own(&app, id.0, session.user_id).await?;
    sandbox.confirm_payout(id.0, session.user_id, body.0.accept).await?;
    app.payer.look(id.0).await?;
    Ok(HttpResponse::Ok().json(own(&app, id.0, session.user_id).await?))
}

async fn own(app: &App, id: WithdrawalId, user: UserId) -> Result<WithdrawalView, Problem> {
    let found = records::find(&app.store, id).await?.filter(|record| record.user_id == user);
    Ok(found.ok_or(Code::NotFound)?.shown())
}
