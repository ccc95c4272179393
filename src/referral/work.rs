//! The operators' view of sales: orders that somebody earns by, and whether their campaign knows how they stand.

use actix_web::middleware::from_fn;
use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::app::App;
use crate::clock::UnixMs;
use crate::code::Code;
use crate::http::body::{Json, Nothing};
use crate::http::caller::{Finance, Operator, Viewer};
use crate::http::extract::Query;
use crate::http::idempotency;
use crate::http::page::{List, Page};
use crate::http::problem::Problem;
use crate::id::{CampaignId, UserId};
use crate::money::Fen;
use crate::operator::audit::note;
use crate::order::books::WorkState;
use crate::store::{Store, StoreError, fetch_all, fetch_one, fetch_optional};

/// An order that somebody earns by.
#[derive(Clone, Debug, Serialize, sqlx::FromRow, utoipa::ToSchema)]
pub struct SaleRecord {
    /// The order's id, or the shop's own number.
    #[schema(example = "ord_k4fQz2LmB8vTn1xYcD5hJw")]
    pub number: String,
    /// The referral campaign.
    pub campaign_id: CampaignId,
    /// The version of its definition whose rates count.
    #[sqlx(rename = "version")]
    #[schema(example = 1)]
    pub definition_version: i64,
    /// Who bought.
    pub buyer_id: UserId,
    /// Who invited the buyer.
    #[sqlx(rename = "level1_id")]
    pub level1_user_id: UserId,
    /// Who invited that one.
    #[sqlx(rename = "level2_id")]
    #[schema(required = true)]
    pub level2_user_id: Option<UserId>,
    /// What was bought.
    #[schema(required = true, example = "cherry-1kg")]
    pub sku: Option<String>,
    /// For how much.
    pub amount_fen: Fen,
    /// How much of it goes back, as far as that is decided.
    #[schema(example = 0)]
    pub refunded_fen: Fen,
    /// When the order was placed, and this was decided.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub placed_at: UnixMs,
    /// When it was paid: before that nothing is earned.
    #[serde(with = "crate::clock::rfc3339::option")]
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    pub paid_at: Option<UnixMs>,
    /// When its goods were handed over: from then on rewards ripen.
    #[serde(with = "crate::clock::rfc3339::option")]
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    pub fulfilled_at: Option<UnixMs>,
    /// Whether its campaign has yet to be told how it stands; `done` also while it is not paid.
    #[schema(value_type = WorkState)]
    pub state: String,
    /// Tries so far, since it last changed.
    pub attempts: i64,
    /// What is broken, if it is stuck.
    #[schema(required = true)]
    pub note: Option<String>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT number, campaign_id, version, buyer_id, level1_id, level2_id, sku, amount_fen, refunded_fen, placed_at, paid_at, \
             fulfilled_at, state, attempts, note FROM sales ",
            $rest
        )
    };
}

async fn find(store: &Store, number: &str) -> Result<Option<SaleRecord>, StoreError> {
    const ONE: &str = select!("WHERE number = $1");
    fetch_optional!(store, SaleRecord, ONE, number)
}

/// Which work to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct SaleQuery {
    /// Only in this state.
    #[param(inline, required = false, nullable = false)]
    state: Option<WorkState>,
}

/// Orders that somebody earns by, newest first, and whether their referral campaign has been told how they stand.
#[utoipa::path(tag = "operator: orders", operation_id = "list_sales", params(SaleQuery, Page), security(("operator" = ["viewer"])),
    responses((status = 200, description = "A page", body = List<SaleRecord>)))]
#[get("/operator/v1/sales")]
pub async fn list(app: Data<App>, _operator: Operator<Viewer>, query: Query<SaleQuery>, page: Page) -> Result<HttpResponse, Problem> {
    const ALL: &str = select!("WHERE $1 = '' AND (placed_at, number) < ($2, $3) ORDER BY placed_at DESC, number DESC LIMIT $4");
    const IN_STATE: &str = select!("WHERE state = $1 AND (placed_at, number) < ($2, $3) ORDER BY placed_at DESC, number DESC LIMIT $4");
    app.projector.all_caught_up().await;
    let state = query.0.state.map(WorkState::word).unwrap_or_default();
    let (before, number) = page.before();
    let rows = fetch_all!(&app.store, SaleRecord, if state.is_empty() { ALL } else { IN_STATE }, state, before, number, page.fetch())?;
    Ok(HttpResponse::Ok().json(page.list(rows, |sale| (sale.placed_at.get(), sale.number.clone()))))
}

/// Have a sale told to its campaign again now. What it knows already changes nothing.
#[utoipa::path(tag = "operator: orders", operation_id = "retry_sale", request_body = Nothing, security(("operator" = ["finance"])),
    params(("number" = String, Path, description = "The sale's number, from the list.")),
    responses((status = 200, description = "The sale after the try", body = SaleRecord)),
    extensions(("x-refusals" = json!([Code::NotFound]))))]
#[post("/operator/v1/sales/{number}/retry", wrap = "from_fn(idempotency::once)")]
pub async fn retry(
    app: Data<App>,
    operator: Operator<Finance>,
    number: Path<String>,
    body: Json<Nothing>,
) -> Result<HttpResponse, Problem> {
    let Nothing {} = body.0;
    let before = find(&app.store, &number).await?.ok_or(Code::NotFound)?;
    app.teller.retry(&number).await?;
    let after = find(&app.store, &number).await?.ok_or(Code::NotFound)?;
    if (&before.state, before.attempts) != (&after.state, after.attempts) {
        let told = json!({"state": after.state, "was": before.state});
        note(&app.store, &operator.key.id, "sale.retry", &number, app.clock.now(), told).await?;
    }
    Ok(HttpResponse::Ok().json(after))
}

/// Sets the figures of sales that wait to be told, and for a person.
///
/// # Errors
/// Those of the database.
pub async fn count_waiting(store: &Store) -> Result<(), StoreError> {
    const COUNT: &str = "SELECT (SELECT COUNT(*) FROM sales WHERE state = 'pending'), (SELECT COUNT(*) FROM sales WHERE state = 'stuck')";
    let (pending, stuck) = fetch_one!(store, (i64, i64), COUNT)?;
    for (state, count) in [("pending", pending), ("stuck", stuck)] {
        metrics::gauge!("liebian_money_waiting", "work" => "sale", "state" => state)
            .set(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
    }
    Ok(())
}
