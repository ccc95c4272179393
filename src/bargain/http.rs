//! The shopper's routes on chains.

use std::collections::HashMap;

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, LOCATION};
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};

use super::PROGRAM;
use super::ops::{self, Chained, Decided, Ordered, Shopper};
use super::records;
use super::row::{ChainRow, ScheduleRow};
use super::schedule::Schedule;
use super::view::{ChainView, CutView, ProofView};
use crate::app::App;
use crate::campaign::{keyed, live};
use crate::code::Code;
use crate::hot::Read;
use crate::http::answer;
use crate::http::body::{KeyedJson, Nothing};
use crate::http::caller;
use crate::http::extract::Id;
use crate::http::page::{List, Page};
use crate::http::problem::Problem;
use crate::id::{CampaignId, ChainId, UserId};
use crate::identity::names::masked;
use crate::identity::{Device, Session, users};
use crate::money::Fen;
use crate::order::view::OrderView;

/// A chain to start.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartChain {
    /// What it is about.
    #[schema(example = "cream")]
    sku: String,
}

/// A chain.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct StartedView {
    /// Your chain.
    chain: ChainView,
}

/// A cut and its chain.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct HelpedView {
    /// The chain.
    chain: ChainView,
    /// Your cut.
    cut: CutView,
}

/// The order of a chain.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ChainOrderView {
    /// Your order.
    order: OrderView,
}

/// Start a chain; the owner's own steps are taken at once. Whoever has one of this item that still stands gets that one (200).
#[utoipa::path(tag = "chains", operation_id = "start_chain", params(("id" = CampaignId, Path)), request_body = StartChain,
    responses((status = 201, description = "Your chain", body = StartedView, headers(("Location"))),
        (status = 200, description = "The one you have", body = StartedView)),
    extensions(("x-decided" = json!(true)), ("x-refusals" = json!([Code::CampaignNotLive, Code::SoldOut, Code::ChainLimitReached,
        Code::DeviceLimitReached, Code::CampaignEnded]))))]
#[post("/v1/campaigns/{id}/chains", wrap = "from_fn(keyed::told)")]
pub async fn start(
    app: Data<App>,
    session: Session,
    device: Device,
    id: Id<CampaignId>,
    body: KeyedJson<StartChain>,
) -> Result<HttpResponse, Problem> {
    let StartChain { sku } = body.body;
    if !live::runs(&app, id.0, &PROGRAM).await? {
        return Err(Code::NotFound.into());
    }
    let record = app.definitions.get(&app, id.0, 0).await?.ok_or(Code::NotFound)?;
    let own = record.definition.bargain().ok_or(Code::NotFound)?;
    let item = own.items.iter().find(|item| item.sku == sku).ok_or(Code::NotFound)?;
    let way = item.list_price_fen.checked_sub(item.floor_price_fen).map_or(0, Fen::get);
    let schedule =
        Schedule::draw(own.cuts.curve, way, own.cuts.helpers).ok_or_else(|| Problem::defect(&"a definition without a schedule"))?;
    let shopper = Shopper { user: session.user_id, device: device.device_id };
    let decided = ops::start(&app.engine, id.0, shopper, (&sku, own.cuts.curve, &schedule), body.key.as_ref()).await?;
    let (at, Chained { fresh, id, chain }) = said(id.0, decided)?;
    app.names.learn(&session);
    let names = names(&app, std::iter::once(&chain)).await.unwrap_or_default();
    let shown = StartedView { chain: view_with(id, &chain, Some(session.user_id), &names) };
    let mut answer = at.json(created(fresh), &shown);
    if let Ok(place) = HeaderValue::try_from(format!("/v1/chains/{id}")) {
        answer.headers_mut().insert(LOCATION, place);
    }
    Ok(answer)
}

/// Help a chain: take the next step off its price. Whoever helped already gets the same cut (200).
#[utoipa::path(tag = "chains", operation_id = "cut_chain", params(("id" = ChainId, Path)), request_body = Nothing,
    responses((status = 201, description = "The chain and your cut", body = HelpedView),
        (status = 200, description = "You helped already", body = HelpedView)),
    extensions(("x-decided" = json!(true)), ("x-refusals" = json!([Code::OwnChain, Code::ChainComplete, Code::ChainExpired,
        Code::CampaignNotLive, Code::HelpLimitReached, Code::DeviceLimitReached]))))]
#[post("/v1/chains/{id}/cuts", wrap = "from_fn(keyed::told)")]
pub async fn cut(
    app: Data<App>,
    session: Session,
    device: Device,
    id: Id<ChainId>,
    body: KeyedJson<Nothing>,
) -> Result<HttpResponse, Problem> {
    let Nothing {} = body.body;
    if !live::runs(&app, id.0.campaign(), &PROGRAM).await? {
        return Err(Code::NotFound.into());
    }
    let newcomer = takes_more(&app, id.0, session.user_id).await?;
    let shopper = Shopper { user: session.user_id, device: device.device_id };
    let decided = ops::cut(&app.engine, id.0, shopper, newcomer, body.key.as_ref()).await?;
    let (at, Chained { fresh, chain, .. }) = said(id.0.campaign(), decided)?;
    app.names.learn(&session);
    let names = names(&app, std::iter::once(&chain)).await.unwrap_or_default();
    let cut = chain.cut_of(session.user_id.hot()).ok_or_else(|| Problem::defect(&"a cut that is not in its chain"))?;
    let cut = CutView { you: true, ..chain.cut_view(cut, |user| name(user, &names)) };
    Ok(at.json(created(fresh), &HelpedView { chain: view_with(id.0, &chain, Some(session.user_id), &names), cut }))
}

/// Whether the helper is a newcomer, where that makes a difference.
async fn takes_more(app: &App, id: ChainId, user: UserId) -> Result<bool, Problem> {
    let definition = app.definitions.get(app, id.campaign(), 0).await?;
    let more = definition.is_some_and(|record| record.definition.bargain().is_some_and(|own| own.cuts.newcomer_cuts > 1));
    Ok(more && !ops::is_shut(&app.engine, id, user) && users::is_newcomer(&app.store, user).await?)
}

/// Buy at the chain's price of this moment; yours only. The order that waits for its payment is given again (200).
#[utoipa::path(tag = "chains", operation_id = "order_chain", params(("id" = ChainId, Path)), request_body = Nothing,
    responses((status = 201, description = "Your order", body = ChainOrderView, headers(("Location"))),
        (status = 200, description = "Your order that waits for its payment", body = ChainOrderView)),
    extensions(("x-decided" = json!(true)), ("x-refusals" = json!([Code::Forbidden, Code::ChainComplete, Code::ChainExpired,
        Code::FloorNotReached, Code::DeviceLimitReached, Code::SoldOut]))))]
#[post("/v1/chains/{id}/orders", wrap = "from_fn(keyed::told)")]
pub async fn order(
    app: Data<App>,
    session: Session,
    device: Device,
    came_by: caller::ShareToken,
    id: Id<ChainId>,
    body: KeyedJson<Nothing>,
) -> Result<HttpResponse, Problem> {
    let Nothing {} = body.body;
    let campaign = id.0.campaign();
    if !live::runs(&app, campaign, &PROGRAM).await? {
        return Err(Code::NotFound.into());
    }
    let shopper = Shopper { user: session.user_id, device: device.device_id };
    let referral = app.programmes.of_order(&app, session.user_id, || false).await?;
    let decided = ops::order(&app.engine, id.0, shopper, (came_by.ours(&app), referral), body.key.as_ref()).await?;
    let (at, Ordered { fresh, id, order }) = said(campaign, decided)?;
    app.names.learn(&session);
    let mut answer = at.json(created(fresh), &ChainOrderView { order: order.view(id) });
    if let Ok(place) = HeaderValue::try_from(format!("/v1/orders/{id}")) {
        answer.headers_mut().insert(LOCATION, place);
    }
    Ok(answer)
}

/// What shows that a chain keeps to its schedule. `liebian verify-chain` and docs/verify-chain.md check it.
#[utoipa::path(tag = "chains", operation_id = "get_proof", params(("id" = ChainId, Path)),
    responses((status = 200, description = "The proof, as far as it can be told", body = ProofView)))]
#[get("/v1/chains/{id}/proof")]
pub async fn proof(app: Data<App>, id: Id<ChainId>) -> Result<HttpResponse, Problem> {
    let proof = prove(&app, id.0).await?.ok_or(Code::NotFound)?;
    Ok(HttpResponse::Ok().insert_header(("cache-control", "no-store")).json(proof))
}

/// A chain and its schedule at one moment.
async fn prove(app: &App, id: ChainId) -> Result<Option<ProofView>, Problem> {
    if !live::runs(app, id.campaign(), &PROGRAM).await? {
        return Ok(None);
    }
    let reads = [Read::Row("chains", id.hot()), Read::Row("schedules", id.hot())];
    let mut found = app.engine.read(id.campaign(), &reads).await?.found.into_iter();
    let (chain, schedule) = (live::row::<ChainRow>(found.next())?, live::row::<ScheduleRow>(found.next())?);
    Ok(chain.zip(schedule).map(|(chain, schedule)| ProofView::new(&chain, &schedule)))
}

/// Your chains, newest first.
#[utoipa::path(tag = "chains", operation_id = "list_my_chains", params(Page),
    responses((status = 200, description = "A page", body = List<ChainView>)))]
#[get("/v1/me/chains")]
pub async fn mine(app: Data<App>, session: Session, page: Page) -> Result<HttpResponse, Problem> {
    app.projector.all_caught_up().await;
    let rows = records::of_user(&app.store, session.user_id, page.before(), page.fetch()).await?;
    let List { items, next_cursor } = page.list(rows, |record| (record.chain.started_at, record.id.to_string()));
    let names = names(&app, items.iter().map(|record| &record.chain)).await?;
    let items = items.iter().map(|record| view_with(record.id, &record.chain, Some(session.user_id), &names)).collect();
    Ok(HttpResponse::Ok().json(List::<ChainView> { items, next_cursor }))
}

/// What was decided, and where; else the refusal.
fn said<T>(campaign: CampaignId, decided: Decided<T>) -> Result<(answer::Decided, T), Problem> {
    let at = decided.place.map(|place| answer::Decided { campaign, place, replayed: decided.replayed });
    match (decided.decision, at) {
        (Ok(done), Some(at)) => Ok((at, done)),
        (Ok(_), None) => Err(Problem::defect(&"a yes from memory")),
        (Err(code), Some(at)) => Err(at.refuse(code.into())),
        (Err(code), None) => Err(code.into()),
    }
}

const fn created(fresh: bool) -> StatusCode {
    if fresh { StatusCode::CREATED } else { StatusCode::OK }
}

/// A chain of a published campaign.
///
/// # Errors
/// Trouble of Redis or SQL.
pub async fn find(app: &App, id: ChainId) -> Result<Option<ChainRow>, Problem> {
    if !live::runs(app, id.campaign(), &PROGRAM).await? {
        return Ok(None);
    }
    let snapshot = app.engine.read(id.campaign(), &[Read::Row("chains", id.hot())]).await?;
    live::row(snapshot.found.into_iter().next())
}

/// A chain with masked names.
///
/// # Errors
/// When SQL does not answer.
pub async fn view(app: &App, id: ChainId, chain: &ChainRow, you: Option<UserId>) -> Result<ChainView, Problem> {
    let names = names(app, std::iter::once(chain)).await?;
    Ok(view_with(id, chain, you, &names))
}

/// The masked names of chains' owners and helpers.
///
/// # Errors
/// When SQL does not answer.
pub(super) async fn names<'a>(app: &App, chains: impl Iterator<Item = &'a ChainRow>) -> Result<HashMap<UserId, String>, Problem> {
    let people = chains.flat_map(|chain| std::iter::once(&chain.user).chain(chain.cuts.iter().map(|own| &own.0)));
    let users: Vec<UserId> = people.filter_map(|user| UserId::from_hot(user).ok()).collect();
    Ok(app.names.of(&app.store, &users).await?)
}

/// The view of a chain with the names at hand.
pub(super) fn view_with(id: ChainId, chain: &ChainRow, you: Option<UserId>, names: &HashMap<UserId, String>) -> ChainView {
    chain.view(id, you.as_ref().map(UserId::hot), |user| name(user, names))
}

fn name(user: &str, names: &HashMap<UserId, String>) -> String {
    UserId::from_hot(user).ok().and_then(|user| names.get(&user).cloned()).unwrap_or_else(|| masked(""))
}
