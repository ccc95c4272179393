//! The operator's list of chains.

use actix_web::web::Data;
use actix_web::{HttpResponse, get};
use serde::Serialize;

use super::http::{names, view_with};
use super::records::{self, Filter};
use super::row::State;
use super::view::ChainView;
use crate::app::App;
use crate::campaign::live::existing;
use crate::clock::UnixMs;
use crate::http::caller::{Operator, Viewer};
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
    /// When it last changed.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    updated_at: UnixMs,
}

/// A campaign's chains, newest first. `user_id`: those of that shopper, and those they helped; `room_id` means nothing here.
#[utoipa::path(tag = "operator: running", operation_id = "list_chains", security(("operator" = ["viewer"])),
    params(("id" = CampaignId, Path), Filters::<State>, Page), responses((status = 200, description = "A page", body = List<ChainRecord>)))]
#[get("/operator/v1/campaigns/{id}/chains")]
pub async fn list(
    app: Data<App>,
    _operator: Operator<Viewer>,
    id: Id<CampaignId>,
    query: Query<Filters<State>>,
    page: Page,
) -> Result<HttpResponse, Problem> {
    let query = query.0;
    let (from, to) = query.span()?;
    let filter = Filter { state: query.state, sku: query.sku.unwrap_or_default(), user: id_or_any(query.user_id), from, to };
    existing(&app, id.0).await?;
    app.projector.caught_up(id.0).await;
    let rows = records::of_campaign(&app.store, id.0, &filter, page.before(), page.fetch()).await?;
    let List { items, next_cursor } = page.list(rows, |record| (record.chain.started_at, record.id.to_string()));
    let names = names(&app, items.iter().map(|record| &record.chain)).await?;
    let items = items.into_iter().map(|record| ChainRecord {
        order_id: OrderId::from_hot(id.0, &record.chain.order).ok(),
        chain: view_with(record.id, &record.chain, None, &names),
        user_id: record.user_id,
        updated_at: record.updated_at,
    });
    Ok(HttpResponse::Ok().json(List { items: items.collect(), next_cursor }))
}
