//! The shopper's routes on rooms.

use std::collections::HashMap;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ETAG, HeaderValue, LOCATION};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get, post};
use serde::{Deserialize, Serialize};

use super::ops::{self, Decided, Shopper};
use super::row::RoomRow;
use super::view::{AlternativeRoom, MemberView, RoomView, RoomYou};
use crate::app::App;
use crate::campaign::live;
use crate::clock::UnixMs;
use crate::code::Code;
use crate::hot::Read;
use crate::hot::engine::Found;
use crate::http::answer;
use crate::http::body::KeyedJson;
use crate::http::caller::MaybeSession;
use crate::http::extract::{Id, Query};
use crate::http::page::{List, Page};
use crate::http::problem::Problem;
use crate::id::{CampaignId, OrderId, RoomId, UserId};
use crate::identity::{Device, Session};
use crate::money::Fen;
use crate::order::view::OrderView;

/// The most units one order may ask for, whatever the campaign allows.
const MOST_UNITS: i64 = 10_000;
/// The longest a GET waits for a change.
const LONGEST_WAIT: u64 = 25;
/// Weight of a free seat in the list of joinable rooms; the same as in `lua/group_buy/rooms.lua`.
const FULLNESS: i64 = 10_000_000_000_000;
/// Rooms opened in the same millisecond share a place in the list; so many are looked through for where a page goes on.
const SAME_PLACE: usize = 1_000;
/// Without news of this process a waiting GET looks again this often: other processes change rooms too.
const LOOK: Duration = Duration::from_millis(500);

/// A room to open.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenRoom {
    /// What is bought in it.
    #[schema(example = "cherry-1kg")]
    sku: String,
    /// Units.
    #[schema(minimum = 1, maximum = 10_000, example = 1)]
    quantity: i64,
}

/// A seat to take.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinRoom {
    /// Units.
    #[schema(minimum = 1, maximum = 10_000, example = 1)]
    quantity: i64,
}

/// A seat: its room and its order.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SeatView {
    /// The room.
    room: RoomView,
    /// The order that holds the seat.
    order: OrderView,
}

/// How long to wait for a change.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Waiting {
    /// With `If-None-Match`: wait so long for a change.
    #[param(required = false, minimum = 0, maximum = 25)]
    wait_seconds: Option<u64>,
}

fn units(quantity: i64) -> Result<i64, Problem> {
    if (1..=MOST_UNITS).contains(&quantity) {
        Ok(quantity)
    } else {
        Err(Problem::invalid("quantity", format!("must be 1 to {MOST_UNITS}")))
    }
}

/// Open a room; you lead it. Each call without an Idempotency-Key opens another one.
#[utoipa::path(tag = "rooms", operation_id = "open_room", params(("id" = CampaignId, Path)), request_body = OpenRoom,
    responses((status = 201, description = "The room and your order", body = SeatView, headers(("Location")))),
    extensions(("x-decided" = json!(true)), ("x-refusals" = json!([Code::CampaignNotLive, Code::SoldOut, Code::OrderLimitReached,
        Code::RoomLimitReached, Code::UnpaidLimitReached, Code::DeviceLimitReached, Code::CampaignEnded]))))]
#[post("/v1/campaigns/{id}/rooms")]
pub async fn open(
    app: Data<App>,
    session: Session,
    device: Device,
    id: Id<CampaignId>,
    body: KeyedJson<OpenRoom>,
) -> Result<HttpResponse, Problem> {
    let OpenRoom { sku, quantity } = body.body;
    let quantity = units(quantity)?;
    if !live::ensure(&app, id.0).await? {
        return Err(Code::NotFound.into());
    }
    let shopper = Shopper { user: session.user_id, device: device.device_id };
    let decided = ops::open_room(&app.engine, id.0, shopper, (&sku, quantity), body.key.as_ref()).await?;
    let room = decided.decision.as_ref().ok().map(|seat| seat.room_id);
    let mut answer = seated(&app, id.0, session.user_id, decided).await?;
    if let Some(place) = room.and_then(|room| HeaderValue::from_str(&format!("/v1/rooms/{room}")).ok()) {
        answer.headers_mut().insert(LOCATION, place);
    }
    Ok(answer)
}

/// Take a seat. Whoever is in already gets the same seat (200).
#[utoipa::path(tag = "rooms", operation_id = "join_room", params(("id" = RoomId, Path)), request_body = JoinRoom,
    responses((status = 201, description = "The room and your order", body = SeatView),
        (status = 200, description = "You were in already", body = SeatView)),
    extensions(("x-decided" = json!(true)), ("x-refusals" = json!([Code::CampaignNotLive, Code::RoomFull, Code::RoomClosed,
        Code::SoldOut, Code::OrderLimitReached, Code::RoomLimitReached, Code::UnpaidLimitReached, Code::DeviceLimitReached,
        Code::RoomExpired]))))]
#[post("/v1/rooms/{id}/members")]
pub async fn join(
    app: Data<App>,
    session: Session,
    device: Device,
    id: Id<RoomId>,
    body: KeyedJson<JoinRoom>,
) -> Result<HttpResponse, Problem> {
    let quantity = units(body.body.quantity)?;
    if !live::ensure(&app, id.0.campaign()).await? {
        return Err(Code::NotFound.into());
    }
    let shopper = Shopper { user: session.user_id, device: device.device_id };
    let decided = ops::join_room(&app.engine, id.0, shopper, quantity, body.key.as_ref()).await?;
    seated(&app, id.0.campaign(), session.user_id, decided).await
}

/// Answers a decided open or join.
async fn seated(app: &App, campaign: CampaignId, user: UserId, decided: Decided) -> Result<HttpResponse, Problem> {
    let at = answer::Decided { campaign, place: decided.place, replayed: decided.replayed };
    match decided.decision {
        Ok(seat) => {
            // The seat is taken: that SQL does not tell a name now must not make it look refused.
            let names = names(app, std::iter::once(&seat.room)).await.unwrap_or_default();
            let room = view_with(seat.room_id, &seat.room, Some(user), &names);
            let status = if seat.fresh { StatusCode::CREATED } else { StatusCode::OK };
            Ok(at.json(status, &SeatView { room, order: seat.order.view(seat.order_id) }))
        }
        Err(refusal) => {
            let problem = Problem::new(refusal.code);
            let names_another = matches!(refusal.code, Code::RoomFull | Code::RoomClosed | Code::RoomExpired);
            if !names_another {
                return Err(at.refuse(problem));
            }
            let alternative = refusal.alternative.and_then(|other| {
                let room_id = RoomId::from_hot(campaign, &other.0).ok()?;
                Some(AlternativeRoom { room_id, seats_left: other.1, expires_at: UnixMs::new(other.2) })
            });
            Err(at.refuse(problem.with("alternative", alternative)))
        }
    }
}

/// Rooms one can join, nearly full first.
#[utoipa::path(tag = "rooms", operation_id = "list_joinable_rooms", params(("id" = CampaignId, Path), Page), security((), ("session" = [])),
    responses((status = 200, description = "A page", body = List<RoomView>)))]
#[get("/v1/campaigns/{id}/rooms")]
pub async fn joinable(app: Data<App>, session: MaybeSession, id: Id<CampaignId>, page: Page) -> Result<HttpResponse, Problem> {
    let live = live::read(&app, id.0, None).await?.ok_or(Code::NotFound)?;
    if !live.record.definition.group_buy().is_some_and(|own| own.list_rooms) {
        return Ok(HttpResponse::Ok().json(List::<RoomView> { items: Vec::new(), next_cursor: None }));
    }
    let wanted = usize::try_from(page.fetch()).unwrap_or_default();
    let (least, count) = match page.after() {
        Some((score, _)) => (score.to_string(), wanted + SAME_PLACE),
        None => ("-inf".to_owned(), wanted),
    };
    let snapshot = app.engine.read(id.0, &[Read::First("joinable", count, "rooms", &least)]).await?;
    let mut rooms = joinable_rows(id.0, snapshot.found, snapshot.now)?;
    rooms.retain(|(id, room)| page.after().is_none_or(|after| place(id, room) > after));
    rooms.truncate(wanted);
    let List { items, next_cursor } = page.list(rooms, |(id, room)| {
        let (score, id) = place(id, room);
        (score, id.to_owned())
    });
    let user = session.0.map(|session| session.user_id);
    let names = names(&app, items.iter().map(|(_, room)| room)).await?;
    let items: Vec<RoomView> = items.iter().map(|(id, room)| view_with(*id, room, user, &names)).collect();
    Ok(HttpResponse::Ok().json(List { items, next_cursor }))
}

/// A room's place in the list of joinable rooms, as `lua/group_buy/rooms.lua` scores it: seats left first, then the deadline.
fn place<'a>(id: &'a RoomId, room: &RoomRow) -> (i64, &'a str) {
    ((room.size - room.taken()) * FULLNESS + room.expires_at, id.hot())
}

fn joinable_rows(campaign: CampaignId, found: Vec<Found>, now: i64) -> Result<Vec<(RoomId, RoomRow)>, Problem> {
    let mut rooms = Vec::new();
    for (field, packed) in found.into_iter().flat_map(|found| if let Found::Rows(rows) = found { rows } else { Vec::new() }) {
        let room: RoomRow = rmp_serde::from_slice(&packed).map_err(|error| Problem::defect(&error))?;
        let id = RoomId::from_hot(campaign, &field).map_err(|error| Problem::defect(&error))?;
        // Its timer may be a moment away.
        if room.expires_at > now {
            rooms.push((id, room));
        }
    }
    Ok(rooms)
}

/// One room. With `If-None-Match` and `wait_seconds` the answer waits for a change.
#[utoipa::path(tag = "rooms", operation_id = "get_room", params(("id" = RoomId, Path), Waiting), security((), ("session" = [])),
    responses((status = 200, description = "The room", body = RoomView), (status = 304, description = "As the caller knows it, for so long")))]
#[get("/v1/rooms/{id}")]
pub async fn read(
    app: Data<App>,
    request: HttpRequest,
    session: MaybeSession,
    id: Id<RoomId>,
    waiting: Query<Waiting>,
) -> Result<HttpResponse, Problem> {
    let wait = waiting.0.wait_seconds.unwrap_or(0);
    if wait > LONGEST_WAIT {
        return Err(Problem::invalid("wait_seconds", format!("must be 0 to {LONGEST_WAIT}")));
    }
    let user = session.0.map(|session| session.user_id);
    let until = tokio::time::Instant::now() + Duration::from_secs(wait);
    let mut draining = app.draining();
    loop {
        let room = find(&app, id.0).await?.ok_or(Code::NotFound)?;
        let shown = view(&app, id.0, &room, user).await?;
        let etag = etag(&shown);
        if !answer::is_known(&request, &etag) {
            return Ok(HttpResponse::Ok().insert_header((ETAG, etag)).insert_header(("cache-control", "private, no-cache")).json(shown));
        }
        if tokio::time::Instant::now() >= until || app.is_draining() {
            return Ok(HttpResponse::NotModified().insert_header((ETAG, etag)).finish());
        }
        tokio::select! {
            _ = draining.changed() => {}
            () = tokio::time::sleep_until(until.min(tokio::time::Instant::now() + LOOK)) => {}
        }
    }
}

fn etag(room: &RoomView) -> String {
    let hash = crate::crypto::sha256_hex(&serde_json::to_vec(room).unwrap_or_default());
    format!("\"{}\"", hash.get(..16).unwrap_or_default())
}

/// A room of a published campaign.
///
/// # Errors
/// Trouble of Redis or SQL.
pub async fn find(app: &App, id: RoomId) -> Result<Option<RoomRow>, Problem> {
    if !live::ensure(app, id.campaign()).await? {
        return Ok(None);
    }
    let snapshot = app.engine.read(id.campaign(), &[Read::Row("rooms", id.hot())]).await?;
    live::row(snapshot.found.into_iter().next())
}

/// A room with its members' masked names.
///
/// # Errors
/// When SQL does not answer.
pub async fn view(app: &App, id: RoomId, room: &RoomRow, you: Option<UserId>) -> Result<RoomView, Problem> {
    let names = names(app, std::iter::once(room)).await?;
    Ok(view_with(id, room, you, &names))
}

async fn names<'a>(app: &App, rooms: impl Iterator<Item = &'a RoomRow>) -> Result<HashMap<UserId, String>, Problem> {
    let users: Vec<UserId> = rooms.flat_map(|room| &room.members).filter_map(|member| UserId::from_hot(&member.0).ok()).collect();
    Ok(app.names.of(&app.store, &users).await?)
}

fn view_with(id: RoomId, room: &RoomRow, you: Option<UserId>, names: &HashMap<UserId, String>) -> RoomView {
    let name = |user: &str| UserId::from_hot(user).ok().and_then(|user| names.get(&user).cloned()).unwrap_or_default();
    let mut members: Vec<MemberView> = room
        .members
        .iter()
        .map(|member| MemberView { name: name(&member.0), leader: member.1 == room.leader, paid: member.2 == 1 })
        .collect();
    members.sort_by_key(|member| !member.leader);
    let your_order = you.and_then(|user| room.order_of(user.hot()));
    RoomView {
        id,
        campaign_id: id.campaign(),
        sku: room.sku.clone(),
        state: room.state.into(),
        size: room.size,
        seats_taken: room.taken(),
        seats_paid: room.paid(),
        seats_left: room.size - room.taken(),
        leader: room.leader_user().map(name).unwrap_or_default(),
        members,
        price_fen: Fen::new(room.price),
        expires_at: UnixMs::new(room.expires_at),
        you: your_order
            .and_then(|order| Some(RoomYou { order_id: OrderId::from_hot(id.campaign(), order).ok()?, leader: order == room.leader })),
    }
}
