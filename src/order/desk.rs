//! The operator's routes on orders: their list, and payments that the shop took itself.

use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::cashier::Received;
use super::provider::{Payment, SHOP};
use super::records::{self, Filter, OrderRecord};
use super::view::OrderState;
use crate::app::App;
use crate::campaign::live::{self, existing};
use crate::clock::UnixMs;
use crate::code::Code;
use crate::http::answer::Decided;
use crate::http::body::Json;
use crate::http::caller::{Finance, Operator, Viewer};
use crate::http::csv::{self, Table, WantsCsv};
use crate::http::extract::{Id, Query};
use crate::http::idempotency;
use crate::http::page::{Filters, List, Page, id_or_any};
use crate::http::problem::Problem;
use crate::id::{CampaignId, OrderId};
use crate::money::{Fen, MAX_FEN};
use crate::operator::audit::note;

/// The longest payment reference.
const LONGEST_REFERENCE: usize = 64;

/// A payment that the shop took itself.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShopPayment {
    /// The shop's own number of it; reporting it again changes nothing.
    #[schema(pattern = "^[!-~]{1,64}$", example = "4200001234202611220000000001")]
    reference: String,
    /// How much.
    #[schema(value_type = i64, minimum = 0, maximum = 10_000_000_000_i64, example = 4950)]
    amount_fen: Fen,
    /// When.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime, example = "2026-11-22T08:01:00Z")]
    paid_at: UnixMs,
}

/// A campaign's orders, newest first; with `Accept: text/csv` all of them.
#[utoipa::path(tag = "operator: running", operation_id = "list_orders", security(("operator" = ["viewer"])),
    params(("id" = CampaignId, Path), Filters::<OrderState>, Page),
    responses((status = 200, description = "A page, or all as CSV", content((List<OrderRecord> = "application/json"), (String = "text/csv")))))]
#[get("/operator/v1/campaigns/{id}/orders")]
pub async fn list(
    app: Data<App>,
    _operator: Operator<Viewer>,
    id: Id<CampaignId>,
    query: Query<Filters<OrderState>>,
    page: Page,
    csv: WantsCsv,
) -> Result<HttpResponse, Problem> {
    let query = query.0;
    let (from, to) = query.span()?;
    let filter = Filter {
        state: query.state,
        sku: query.sku.unwrap_or_default(),
        user: id_or_any(query.user_id),
        room: id_or_any(query.room_id),
        from,
        to,
    };
    existing(&app, id.0).await?;
    app.projector.caught_up(id.0).await;
    let filter = filter.narrowed(&app.store).await?;
    let place = |row: &OrderRecord| (row.order.created_at.get(), row.order.id.to_string());
    let rows = move |(before, order): (i64, String), fetch| {
        let (app, filter) = (app.clone(), filter.clone());
        async move { Ok(records::of_campaign(&app.store, id.0, &filter, (before, &order), fetch).await?) }
    };
    csv::answer(csv, &page, Table { name: "orders", columns: records::COLUMNS, place }, rows).await
}

/// Report a payment that the shop took itself. The same reference again changes nothing.
#[utoipa::path(tag = "operator: orders", operation_id = "report_paid", params(("id" = OrderId, Path)), request_body = ShopPayment,
    security(("operator" = ["finance"])), responses((status = 200, description = "The order", body = OrderRecord)),
    extensions(("x-decided" = json!(true))))]
#[post("/operator/v1/orders/{id}/paid", wrap = "from_fn(idempotency::once)")]
pub async fn report_paid(
    app: Data<App>,
    operator: Operator<Finance>,
    id: Id<OrderId>,
    body: Json<ShopPayment>,
) -> Result<HttpResponse, Problem> {
    let report = body.0;
    if report.reference.is_empty()
        || report.reference.len() > LONGEST_REFERENCE
        || !report.reference.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err(Problem::invalid("reference", format!("must be 1 to {LONGEST_REFERENCE} visible characters")));
    }
    if report.amount_fen < Fen::ZERO || report.amount_fen.get() > MAX_FEN {
        return Err(Problem::invalid("amount_fen", format!("must be 0 to {MAX_FEN}")));
    }
    if !live::ensure(&app, id.0.campaign()).await? {
        return Err(Code::NotFound.into());
    }
    app.projector.caught_up(id.0.campaign()).await;
    records::find(&app.store, id.0).await?.ok_or(Code::NotFound)?;
    let payment = Payment {
        transaction_id: format!("{SHOP}:{}", report.reference),
        order_id: id.0.to_string(),
        amount_fen: report.amount_fen,
        paid_at: report.paid_at.get(),
    };
    let place = match app.cashier.receive(SHOP, &payment).await? {
        Received::Settled(place) => place,
        Received::Kept => return Err(Code::OutcomeUnknown.into()),
        Received::ToldOtherwise => return Err(Problem::invalid("reference", "was reported for another order or amount")),
    };
    note(&app.store, &operator.key.id, "order.paid", &payment.order_id, app.clock.now(), json!(report)).await?;
    Ok(Decided::answer(id.0.campaign(), place, &records::find(&app.store, id.0).await?.ok_or(Code::NotFound)?))
}
