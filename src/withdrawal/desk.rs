//! The operators' routes on withdrawals: their list, approval, and what a person does about those that are stuck or the shop's own to pay.

use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::records::{self, COLUMNS, Filter, State, WithdrawalRecord};
use super::steps;
use crate::app::App;
use crate::code::Code;
use crate::http::body::{Json, Nothing};
use crate::http::caller::{Finance, Operator, Viewer};
use crate::http::csv::{self, Table, WantsCsv};
use crate::http::extract::{Id, Query};
use crate::http::idempotency;
use crate::http::page::{List, Page, bound, id_or_any};
use crate::http::problem::Problem;
use crate::id::{UserId, WithdrawalId};
use crate::operator::audit::{Change, audit};
use crate::store::Tx;

/// The longest reason, in characters.
const LONGEST_REASON: usize = 200;

/// Which withdrawals to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct WithdrawalQuery {
    /// Only in this state.
    #[param(inline, required = false, nullable = false)]
    state: Option<State>,
    /// Only of this shopper.
    #[param(inline, required = false, nullable = false)]
    user_id: Option<UserId>,
    /// Asked for at this time or later.
    #[param(required = false, nullable = false, format = DateTime)]
    from: Option<String>,
    /// Asked for before this time.
    #[param(required = false, nullable = false, format = DateTime)]
    to: Option<String>,
}

/// A withdrawal to reject.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = RejectWithdrawal)]
#[serde(deny_unknown_fields)]
pub struct Reject {
    /// Why, in words that its user reads; not blank, no control characters. It stays in the books: no personal data.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$",
        example = "The account name does not match"
    )]
    reason: String,
}

/// Withdrawals of all shoppers, newest first; with `Accept: text/csv` all of them.
#[utoipa::path(tag = "operator: withdrawals", operation_id = "list_withdrawals", params(WithdrawalQuery, Page),
    security(("operator" = ["viewer"])), responses((status = 200, description = "A page, or all as CSV",
    content((List<WithdrawalRecord> = "application/json"), (String = "text/csv")))))]
#[get("/operator/v1/withdrawals")]
pub async fn list(
    app: Data<App>,
    _operator: Operator<Viewer>,
    query: Query<WithdrawalQuery>,
    page: Page,
    csv: WantsCsv,
) -> Result<HttpResponse, Problem> {
    let query = query.0;
    let (from, to) = (bound("from", query.from.as_deref(), 0)?, bound("to", query.to.as_deref(), i64::MAX)?);
    let filter = Filter { state: query.state, user: id_or_any(query.user_id), from, to };
    let place = |row: &WithdrawalRecord| (row.withdrawal.created_at.get(), row.withdrawal.id.to_string());
    let rows = move |(before, id): (i64, String), fetch| {
        let (app, filter) = (app.clone(), filter.clone());
        async move { Ok(records::list(&app.store, &filter, (before, &id), fetch).await?) }
    };
    csv::answer(csv, &page, Table { name: "withdrawals", columns: COLUMNS, place }, rows).await
}

/// One withdrawal.
#[utoipa::path(tag = "operator: withdrawals", operation_id = "get_withdrawal", params(("id" = WithdrawalId, Path)),
    security(("operator" = ["viewer"])), responses((status = 200, description = "The withdrawal", body = WithdrawalRecord)))]
#[get("/operator/v1/withdrawals/{id}")]
pub async fn read(app: Data<App>, _operator: Operator<Viewer>, id: Id<WithdrawalId>) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(found(&app, id.0).await?))
}

/// Let a withdrawal be paid out that waits for it. One that is approved already answers the same.
#[utoipa::path(tag = "operator: withdrawals", operation_id = "approve_withdrawal", params(("id" = WithdrawalId, Path)), request_body = Nothing,
    security(("operator" = ["finance"])), responses((status = 200, description = "The withdrawal", body = WithdrawalRecord)),
    extensions(("x-refusals" = json!([Code::NotFound, Code::WithdrawalState]))))]
#[post("/operator/v1/withdrawals/{id}/approve", wrap = "from_fn(idempotency::once)")]
pub async fn approve(
    app: Data<App>,
    operator: Operator<Finance>,
    id: Id<WithdrawalId>,
    body: Json<Nothing>,
) -> Result<HttpResponse, Problem> {
    let Nothing {} = body.0;
    let before = found(&app, id.0).await?;
    let mut tx = app.store.begin().await?;
    if steps::approve(&mut tx, id.0, &operator.key.id, app.clock.now()).await? {
        told(&app, tx, (&operator.key.id, "withdrawal.approve"), &before, json!({"state": State::Approved})).await?;
        app.payer.wake.notify_one();
    } else {
        tx.rollback().await?;
    }
    settled(&app, id.0, |state| !matches!(state, State::Pending | State::Returned)).await
}

/// Do not pay a withdrawal out: its money is available again. Only one that waits for approval, one that is `stuck` after you have made sure that it
/// was not paid, or one that the shop pays out itself. One that was returned already answers the same.
#[utoipa::path(tag = "operator: withdrawals", operation_id = "reject_withdrawal", params(("id" = WithdrawalId, Path)), request_body = Reject,
    security(("operator" = ["finance"])), responses((status = 200, description = "The withdrawal", body = WithdrawalRecord)),
    extensions(("x-refusals" = json!([Code::NotFound, Code::WithdrawalState]))))]
#[post("/operator/v1/withdrawals/{id}/reject", wrap = "from_fn(idempotency::once)")]
pub async fn reject(
    app: Data<App>,
    operator: Operator<Finance>,
    id: Id<WithdrawalId>,
    body: Json<Reject>,
) -> Result<HttpResponse, Problem> {
    let reason = words(&body.0.reason)?;
    let before = found(&app, id.0).await?;
    let mut tx = app.store.begin().await?;
    if steps::reject(&mut tx, id.0, &operator.key.id, reason, app.clock.now()).await? {
        told(&app, tx, (&operator.key.id, "withdrawal.reject"), &before, json!({"state": State::Returned, "reason": reason})).await?;
    } else {
        tx.rollback().await?;
    }
    settled(&app, id.0, |state| state == State::Returned).await
}

/// Ask the provider again now, under the same number: for one that is being paid out or is stuck. One that is paid out answers the same. While too many
/// calls have failed it waits for its turn.
#[utoipa::path(tag = "operator: withdrawals", operation_id = "retry_withdrawal", params(("id" = WithdrawalId, Path)), request_body = Nothing,
    security(("operator" = ["finance"])), responses((status = 200, description = "The withdrawal after the try", body = WithdrawalRecord)),
    extensions(("x-refusals" = json!([Code::NotFound, Code::WithdrawalState]))))]
#[post("/operator/v1/withdrawals/{id}/retry", wrap = "from_fn(idempotency::once)")]
pub async fn retry(
    app: Data<App>,
    operator: Operator<Finance>,
    id: Id<WithdrawalId>,
    body: Json<Nothing>,
) -> Result<HttpResponse, Problem> {
    let Nothing {} = body.0;
    let before = found(&app, id.0).await?;
    let mut tx = app.store.begin().await?;
    if steps::retry(&mut tx, id.0, app.clock.now()).await? {
        told(&app, tx, (&operator.key.id, "withdrawal.retry"), &before, json!({"state": State::Approved})).await?;
        app.payer.look(id.0).await?;
    } else {
        tx.rollback().await?;
    }
    settled(&app, id.0, |state| !matches!(state, State::Pending | State::Returned)).await
}

/// A person has paid it out: one that is the shop's own to pay, or one that is stuck. One that is paid out already answers the same.
#[utoipa::path(tag = "operator: withdrawals", operation_id = "report_withdrawal_paid", params(("id" = WithdrawalId, Path)), request_body = Nothing,
    security(("operator" = ["finance"])), responses((status = 200, description = "The withdrawal", body = WithdrawalRecord)),
    extensions(("x-refusals" = json!([Code::NotFound, Code::WithdrawalState]))))]
#[post("/operator/v1/withdrawals/{id}/done", wrap = "from_fn(idempotency::once)")]
pub async fn done(app: Data<App>, operator: Operator<Finance>, id: Id<WithdrawalId>, body: Json<Nothing>) -> Result<HttpResponse, Problem> {
    let Nothing {} = body.0;
    let before = found(&app, id.0).await?;
    let mut tx = app.store.begin().await?;
    if steps::paid_by_hand(&mut tx, id.0, &operator.key.id, app.clock.now()).await? {
        told(&app, tx, (&operator.key.id, "withdrawal.done"), &before, json!({"state": State::Done})).await?;
    } else {
        tx.rollback().await?;
    }
    settled(&app, id.0, |state| state == State::Done).await
}

async fn found(app: &App, id: WithdrawalId) -> Result<WithdrawalRecord, Problem> {
    records::find(&app.store, id).await?.ok_or_else(|| Code::NotFound.into())
}

/// Writes the act down in the transaction that did it.
async fn told(
    app: &App,
    mut tx: Tx,
    (actor, action): (&str, &str),
    before: &WithdrawalRecord,
    after: serde_json::Value,
) -> Result<(), Problem> {
    let target = before.withdrawal.id.to_string();
    let change = Change { actor, action, target: &target, before: Some(json!(before)), after: Some(after) };
    audit(&mut tx, change, app.clock.now()).await?;
    Ok(tx.commit().await?)
}

/// The withdrawal, if it stands where the act leads to, by whomever; else the act is not possible.
async fn settled(app: &App, id: WithdrawalId, fits: impl Fn(State) -> bool) -> Result<HttpResponse, Problem> {
    let record = found(app, id).await?;
    if fits(record.withdrawal.state) {
        return Ok(HttpResponse::Ok().json(record));
    }
    Err(Problem::new(Code::WithdrawalState).detail(format!("It is {}", record.withdrawal.state.word())))
}

/// A reason without the spaces around it.
fn words(reason: &str) -> Result<&str, Problem> {
    let fits = (1..=LONGEST_REASON).contains(&reason.chars().count()) && !reason.chars().any(char::is_control);
    match reason.trim() {
        words if fits && !words.is_empty() => Ok(words),
        _ => Err(Problem::invalid("reason", format!("needs 1 to {LONGEST_REASON} visible characters"))),
    }
}
