//! The operator's list of chains.

use actix_web::web::Data;
use actix_web::{HttpResponse, get};
use serde::Serialize;

use super::http::{names, view_with};
use super::records::{self, Filter, Record};
use super::row::State;
use super::view::ChainView;
use crate::app::App;
use crate::campaign::live::existing;
use crate::clock::UnixMs;
use crate::http::caller::{Operator, Viewer};
use crate::http::csv::{self, Table, WantsCsv};
use crate::http::extract::{Id, Query};
use crate::http::page::{Filters, List, Page, id_or_any};
use crate::http::problem::Problem;
use crate::id::{CampaignId, OrderId, UserId};

/// A chain as operators see it: the shopper's fields, and whose it is. Its seed is in the proof alone, when that tells it to everybody.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ChainRecord {
    /// What shoppers see.
    #[serde(flatten)]
    chain: ChainView,
    /// Whose it is.
    user_id: UserId,
    /// The order that waits for its payment, or has bought.
    #[schema(required = true)]
    order_id: Option<OrderId>,
    /// The version of the definition it was started under.
    #[schema(example = 1)]
    definition_version: i64,
    /// When it last changed.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    updated_at: UnixMs,
}

/// What the list shows as CSV.
const COLUMNS: &[&str] = &[
    "id",
    "campaign_id",
    "sku",
    "state",
    "owner",
    "start_price_fen",
    "floor_price_fen",
    "price_fen",
    "remaining_fen",
    "cuts_taken",
    "cuts_needed",
    "next_cut_fen",
    "cuts",
    "commitment",
    "expires_at",
    "buy_by",
    "user_id",
    "order_id",
    "definition_version",
    "created_at",
    "updated_at",
];

/// A campaign's chains, newest first; with `Accept: text/csv` all of them. `user_id`: those of that shopper, and those they helped;
/// none is of a `room_id`.
#[utoipa::path(tag = "operator: running", operation_id = "list_chains", security(("operator" = ["viewer"])),
    params(("id" = CampaignId, Path), Filters::<State>, Page),
    responses((status = 200, description = "A page, or all as CSV", content((List<ChainRecord> = "application/json"), (String = "text/csv")))))]
#[get("/operator/v1/campaigns/{id}/chains")]
pub async fn list(
    app: Data<App>,
    _operator: Operator<Viewer>,
    id: Id<CampaignId>,
    query: Query<Filters<State>>,
    page: Page,
    csv: WantsCsv,
) -> Result<HttpResponse, Problem> {
    let query = query.0;
    let ((from, to), of_a_room) = (query.span()?, query.room_id.is_some());
    let filter = Filter { state: query.state, sku: query.sku.unwrap_or_default(), user: id_or_any(query.user_id), from, to };
    existing(&app, id.0).await?;
    app.projector.caught_up(id.0).await;
    let place = |record: &ChainRecord| (record.chain.created_at.get(), record.chain.id.to_string());
    let rows = move |(before, before_id): (i64, String), fetch| {
        let (app, filter) = (app.clone(), filter.clone());
        async move {
            if of_a_room {
                return Ok(Vec::new());
            }
            let rows = records::of_campaign(&app.store, id.0, &filter, (before, &before_id), fetch).await?;
            shown(&app, rows).await
        }
    };
    csv::answer(csv, &page, Table { name: "chains", columns: COLUMNS, place }, rows).await
}

/// The chains with masked names.
async fn shown(app: &App, rows: Vec<Record>) -> Result<Vec<ChainRecord>, Problem> {
    let names = names(app, rows.iter().map(|record| &record.chain)).await?;
    let record = |record: Record| ChainRecord {
        order_id: OrderId::from_hot(record.id.campaign(), &record.chain.order).ok(),
        chain: view_with(record.id, &record.chain, None, &names),
        user_id: record.user_id,
        definition_version: record.chain.version,
        updated_at: record.updated_at,
    };
    Ok(rows.into_iter().map(record).collect())
}
