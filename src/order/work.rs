//! The operators' view of the work that payments and refunds are: what is due, what failed, what waits for a person, and having it tried again.

use actix_web::middleware::from_fn;
use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::books::{self, PaymentRecord, RefundRecord, WorkState};
use super::budget::{Call, Left};
use super::provider::SHOP;
use super::reconcile::{CannotReconcile, Report};
use crate::app::App;
use crate::code::Code;
use crate::http::body::{Json, Nothing};
use crate::http::caller::{Finance, Operator, Viewer};
use crate::http::extract::Query;
use crate::http::idempotency;
use crate::http::page::{List, Page};
use crate::http::problem::Problem;
use crate::operator::audit::{Change, audit};

/// Which work to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct WorkQuery {
    /// Only in this state.
    #[param(inline, required = false, nullable = false)]
    state: Option<WorkState>,
}

/// How far back to reconcile.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewReconciliation {
    /// Days.
    #[serde(default = "a_week")]
    #[schema(minimum = 1, maximum = 31, default = 7)]
    days: u16,
}

/// The furthest one request goes back; the command goes further.
const MOST_DAYS: u16 = 31;

const fn a_week() -> u16 {
    7
}

/// How the payment provider does.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ProviderView {
    /// Who takes new payments.
    #[schema(example = "sandbox")]
    provider: &'static str,
    /// How many more calls of each sort may fail, and which pause.
    calls: Vec<Left>,
    /// Refunds that wait to be executed.
    refunds_pending: i64,
    /// Refunds that wait for a person.
    refunds_stuck: i64,
    /// Payments that wait to be acted on.
    payments_pending: i64,
    /// Payments that wait for a person.
    payments_stuck: i64,
}

/// Refunds, newest first: what is due, what failed so far, what is done, what waits for a person.
#[utoipa::path(tag = "operator: orders", operation_id = "list_refunds", params(WorkQuery, Page), security(("operator" = ["viewer"])),
    responses((status = 200, description = "A page", body = List<RefundRecord>)))]
#[get("/operator/v1/refunds")]
pub async fn list_refunds(
    app: Data<App>,
    _operator: Operator<Viewer>,
    query: Query<WorkQuery>,
    page: Page,
) -> Result<HttpResponse, Problem> {
    app.projector.all_caught_up().await;
    let rows = books::refunds(&app.store, query.0.state, page.before(), page.fetch()).await?;
    Ok(HttpResponse::Ok().json(page.list(rows, |row: &RefundRecord| (row.created_at.get(), row.refund_no.clone()))))
}

/// The shop has sent a refund back itself: one that is its own to execute, or one that is stuck. A repeat changes nothing.
#[utoipa::path(tag = "operator: orders", operation_id = "report_refunded", request_body = Nothing, security(("operator" = ["finance"])),
    params(("refund_no" = String, Path, description = "The refund's number, from the list.")),
    responses((status = 200, description = "The refund", body = RefundRecord)),
    extensions(("x-refusals" = json!([Code::NotFound, Code::NotRefundable]))))]
#[post("/operator/v1/refunds/{refund_no}/done", wrap = "from_fn(idempotency::once)")]
pub async fn refund_done(
    app: Data<App>,
    operator: Operator<Finance>,
    refund_no: Path<String>,
    body: Json<Nothing>,
) -> Result<HttpResponse, Problem> {
    let Nothing {} = body.0;
    let refund = refund_of(&app, &refund_no).await?;
    if refund.state != "done" && !app.cashier.hand_over(&refund_no).await? || refund.state == "done" && refund.provider != SHOP {
        return Err(Problem::new(Code::NotRefundable).detail("Its payment provider executes this refund"));
    }
    if refund.state != "done" {
        app.cashier.refunded(&refund.refund_no, &refund.order_id).await?;
        let after = refund_of(&app, &refund_no).await?;
        note(&app, (&operator.key.id, "refund.done"), &refund.order_id, (json!(refund), json!(after))).await?;
    }
    Ok(HttpResponse::Ok().json(refund_of(&app, &refund_no).await?))
}

/// Have a refund tried again now, under its same number. One that was executed stays so. While too many calls to the provider have failed it waits
/// for its turn.
#[utoipa::path(tag = "operator: orders", operation_id = "retry_refund", request_body = Nothing, security(("operator" = ["finance"])),
    params(("refund_no" = String, Path, description = "The refund's number, from the list.")),
    responses((status = 200, description = "The refund after the try", body = RefundRecord)),
    extensions(("x-refusals" = json!([Code::NotFound, Code::NotRefundable]))))]
#[post("/operator/v1/refunds/{refund_no}/retry", wrap = "from_fn(idempotency::once)")]
pub async fn retry_refund(
    app: Data<App>,
    operator: Operator<Finance>,
    refund_no: Path<String>,
    body: Json<Nothing>,
) -> Result<HttpResponse, Problem> {
    let Nothing {} = body.0;
    let refund = refund_of(&app, &refund_no).await?;
    if refund.provider == SHOP || refund.provider != app.cashier.provider.name() {
        return Err(Problem::new(Code::NotRefundable).detail("No provider of this server executes this refund"));
    }
    if refund.state != "done" {
        app.cashier.retry_refund(&refund_no).await?;
        let after = refund_of(&app, &refund_no).await?;
        note(&app, (&operator.key.id, "refund.retry"), &refund.order_id, (json!(refund), json!(after))).await?;
    }
    Ok(HttpResponse::Ok().json(refund_of(&app, &refund_no).await?))
}

async fn refund_of(app: &App, refund_no: &str) -> Result<RefundRecord, Problem> {
    books::refund(&app.store, refund_no).await?.ok_or_else(|| Code::NotFound.into())
}

/// Payments that were told, newest first: what is to be acted on, what is done, what waits for a person.
#[utoipa::path(tag = "operator: orders", operation_id = "list_payments", params(WorkQuery, Page), security(("operator" = ["viewer"])),
    responses((status = 200, description = "A page", body = List<PaymentRecord>)))]
#[get("/operator/v1/payments")]
pub async fn list_payments(
    app: Data<App>,
    _operator: Operator<Viewer>,
    query: Query<WorkQuery>,
    page: Page,
) -> Result<HttpResponse, Problem> {
    app.projector.all_caught_up().await;
    let rows = books::payments(&app.store, query.0.state, page.before(), page.fetch()).await?;
    Ok(HttpResponse::Ok().json(page.list(rows, |row: &PaymentRecord| (row.received_at.get(), row.transaction_id.clone()))))
}

/// Have a payment acted on again now. One that was acted on stays so.
#[utoipa::path(tag = "operator: orders", operation_id = "retry_payment", request_body = Nothing, security(("operator" = ["finance"])),
    params(("transaction_id" = String, Path, description = "The payment's number, from the list.")),
    responses((status = 200, description = "The payment after the try", body = PaymentRecord)),
    extensions(("x-refusals" = json!([Code::NotFound]))))]
#[post("/operator/v1/payments/{transaction_id}/retry", wrap = "from_fn(idempotency::once)")]
pub async fn retry_payment(
    app: Data<App>,
    operator: Operator<Finance>,
    transaction_id: Path<String>,
    body: Json<Nothing>,
) -> Result<HttpResponse, Problem> {
    let Nothing {} = body.0;
    let payment = payment_of(&app, &transaction_id).await?;
    if payment.state != "done" {
        app.cashier.retry_payment(&transaction_id).await?;
        let after = payment_of(&app, &transaction_id).await?;
        note(&app, (&operator.key.id, "payment.retry"), &payment.order_id, (json!(payment), json!(after))).await?;
    }
    Ok(HttpResponse::Ok().json(payment_of(&app, &transaction_id).await?))
}

async fn payment_of(app: &App, transaction: &str) -> Result<PaymentRecord, Problem> {
    books::payment(&app.store, transaction).await?.ok_or_else(|| Code::NotFound.into())
}

/// Writes an act on money down, with what it was done to before and after.
pub(super) async fn note(
    app: &App,
    (actor, action): (&str, &str),
    target: &str,
    (before, after): (serde_json::Value, serde_json::Value),
) -> Result<(), Problem> {
    let mut tx = app.store.begin().await?;
    audit(&mut tx, Change { actor, action, target, before: Some(before), after: Some(after) }, app.clock.now()).await?;
    Ok(tx.commit().await?)
}

/// How the payment provider does: which calls pause because too many have failed, and how much work waits.
#[utoipa::path(tag = "operator: orders", operation_id = "get_provider", security(("operator" = ["viewer"])),
    responses((status = 200, description = "How it does", body = ProviderView)))]
#[get("/operator/v1/provider")]
pub async fn provider(app: Data<App>, _operator: Operator<Viewer>) -> Result<HttpResponse, Problem> {
    let now = app.clock.now();
    let mut calls = Vec::new();
    for call in Call::ALL {
        calls.push(app.cashier.budget.left(call, now).await?);
    }
    let waiting = books::waiting(&app.store).await?;
    Ok(HttpResponse::Ok().json(ProviderView {
        provider: app.cashier.provider.name(),
        calls,
        refunds_pending: waiting.refunds_pending,
        refunds_stuck: waiting.refunds_stuck,
        payments_pending: waiting.payments_pending,
        payments_stuck: waiting.payments_stuck,
    }))
}

/// The last reconciliation with the payment provider's books, by whichever process.
#[utoipa::path(tag = "operator: orders", operation_id = "get_reconciliation", security(("operator" = ["viewer"])),
    responses((status = 200, description = "What it found", body = Report)),
    extensions(("x-refusals" = json!([Code::NotFound]))))]
#[get("/operator/v1/reconciliation")]
pub async fn reconciliation(app: Data<App>, _operator: Operator<Viewer>) -> Result<HttpResponse, Problem> {
    let report = app.cashier.last_reconciliation().await?;
    Ok(HttpResponse::Ok().json(report.ok_or_else(|| Problem::new(Code::NotFound).detail("There was none yet"))?))
}

/// Reconcile now: compare the payment provider's books, SQL and live orders of some days, and mend what taking a step again mends.
#[utoipa::path(tag = "operator: orders", operation_id = "reconcile", request_body = NewReconciliation, security(("operator" = ["finance"])),
    responses((status = 200, description = "What it found", body = Report)))]
#[post("/operator/v1/reconciliation", wrap = "from_fn(idempotency::once)")]
pub async fn reconcile(app: Data<App>, operator: Operator<Finance>, body: Json<NewReconciliation>) -> Result<HttpResponse, Problem> {
    let days = body.0.days;
    if !(1..=MOST_DAYS).contains(&days) {
        return Err(Problem::invalid("days", format!("must be 1 to {MOST_DAYS}")));
    }
    let report = app.cashier.reconcile(days).await?;
    let told = json!({"days": days, "counts": report.counts});
    note(&app, (&operator.key.id, "money.reconcile"), &report.provider, (json!(null), told)).await?;
    Ok(HttpResponse::Ok().json(report))
}

impl From<CannotReconcile> for Problem {
    fn from(why: CannotReconcile) -> Self {
        match why {
            CannotReconcile::Store(error) => error.into(),
            CannotReconcile::Provider(error) => Self::new(Code::OutcomeUnknown).detail(error.to_string()),
        }
    }
}
