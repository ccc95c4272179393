//! The operators' routes on withdrawals: their list, approval, and what a person does about those that are stuck or the shop's own to pay.

use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

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
use crate::operator::reason;
use crate::order::provider::SHOP;
use crate::store::{StoreError, Tx};

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
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(
        required = false,
        min_length = 1,
        max_length = 200,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$",
        example = "The account name does not match"
    )]
    reason: Option<String>,
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

/// Let a withdrawal be paid out that waits for it, by the provider that this server has now. One that is approved already answers the same.
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
    let (by, now) = (&*operator.key.id, app.clock.now());
    let note = ("withdrawal.approve", json!({"state": State::Approved}));
    if act(&app, id.0, by, note, async |tx| steps::approve(tx, id.0, payer(&app), by, now).await).await? {
        app.payer.wake.notify_one();
    }
    settled(&app, id.0, |record| !matches!(record.withdrawal.state, State::Pending | State::Returned)).await
}

/// Do not pay a withdrawal out: its money is available again. One that waits for approval, one that is the shop's own to pay, or, after you have made
/// sure that it was not paid, one that is `stuck` or is at a provider which this server no longer has. One that was returned already answers the same.
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
    let why = body.0.reason.as_deref().map(reason).transpose()?;
    let (by, now) = (&*operator.key.id, app.clock.now());
    let note = ("withdrawal.reject", json!({"state": State::Returned, "reason": why}));
    act(&app, id.0, by, note, async |tx| steps::reject(tx, id.0, payer(&app), (by, why), now).await).await?;
    settled(&app, id.0, |record| record.withdrawal.state == State::Returned).await
}

/// Ask the provider again now, under the same number: for one that is being paid out or is stuck. One that is paid out answers the same. While too many
/// calls have failed it waits for its turn. One at a provider which this server no longer has cannot be tried: find out whether it was paid, then report
/// or reject it.
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
    let now = app.clock.now();
    let held = app.payer.held_until(now).await?;
    let times = (now, held.unwrap_or(now));
    let note = ("withdrawal.retry", json!({"state": State::Approved}));
    if act(&app, id.0, &operator.key.id, note, async |tx| steps::retry(tx, id.0, payer(&app), times).await).await? && held.is_some() {
        app.payer.look_at_held(id.0).await?;
    }
    settled(&app, id.0, |record| match record.withdrawal.state {
        State::Pending | State::Returned => false,
        State::Approved | State::AwaitingUser | State::Stuck => record.provider == SHOP || record.provider == payer(&app),
        State::Done => true,
    })
    .await
}

/// A person has paid it out: one that is the shop's own to pay, that is stuck, or that is at a provider which this server no longer has. One that is paid
/// out already answers the same.
#[utoipa::path(tag = "operator: withdrawals", operation_id = "report_withdrawal_paid", params(("id" = WithdrawalId, Path)), request_body = Nothing,
    security(("operator" = ["finance"])), responses((status = 200, description = "The withdrawal", body = WithdrawalRecord)),
    extensions(("x-refusals" = json!([Code::NotFound, Code::WithdrawalState]))))]
#[post("/operator/v1/withdrawals/{id}/done", wrap = "from_fn(idempotency::once)")]
pub async fn done(app: Data<App>, operator: Operator<Finance>, id: Id<WithdrawalId>, body: Json<Nothing>) -> Result<HttpResponse, Problem> {
    let Nothing {} = body.0;
    let (by, now) = (&*operator.key.id, app.clock.now());
    let note = ("withdrawal.done", json!({"state": State::Done}));
    act(&app, id.0, by, note, async |tx| steps::paid_by_hand(tx, id.0, payer(&app), by, now).await).await?;
    settled(&app, id.0, |record| record.withdrawal.state == State::Done).await
}

async fn found(app: &App, id: WithdrawalId) -> Result<WithdrawalRecord, Problem> {
    records::find(&app.store, id).await?.ok_or_else(|| Code::NotFound.into())
}

/// Takes a step and writes it down in the transaction that takes it; false if the withdrawal does not stand where the step begins.
async fn act(
    app: &App,
    id: WithdrawalId,
    actor: &str,
    (action, after): (&str, Value),
    step: impl AsyncFnOnce(&mut Tx) -> Result<bool, StoreError>,
) -> Result<bool, Problem> {
    let before = found(app, id).await?;
    let mut tx = app.store.begin().await?;
    if !step(&mut tx).await? {
        tx.rollback().await?;
        return Ok(false);
    }
    let change = Change { actor, action, target: &id.to_string(), before: Some(json!(before)), after: Some(after) };
    audit(&mut tx, change, app.clock.now()).await?;
    tx.commit().await?;
    Ok(true)
}

/// The withdrawal, if it stands where the act leads to, by whomever; else the act is not possible.
async fn settled(app: &App, id: WithdrawalId, fits: impl Fn(&WithdrawalRecord) -> bool) -> Result<HttpResponse, Problem> {
    let record = found(app, id).await?;
    if fits(&record) {
        return Ok(HttpResponse::Ok().json(record));
    }
    Err(Problem::new(Code::WithdrawalState).detail(format!("It is {}, its provider {}", record.withdrawal.state.word(), record.provider)))
}

/// Who pays out for this server.
fn payer(app: &App) -> &'static str {
    app.payer.provider.name()
}
