//! The shopper's routes on rooms.

use std::collections::HashMap;

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, LOCATION};
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};

use super::PROGRAM;
use super::ops::{self, Decided, Join, Shopper};
use super::row::{MemberRow, RoomRow, State};
use super::view::{AlternativeRoom, MemberView, RoomView, RoomYou, tiers};
use crate::app::App;
use crate::campaign::{keyed, live};
use crate::clock::UnixMs;
use crate::code::Code;
use crate::hot::{Found, Read, Row, Trouble};
use crate::http::answer;
use crate::http::body::KeyedJson;
use crate::http::caller::{self, MaybeSession};
use crate::http::extract::Id;
use crate::http::page::{List, Page};
use crate::http::problem::Problem;
use crate::http::request_id::{REQUEST_ID, request_id};
use crate::id::{CampaignId, OrderId, RoomId, UserId};
use crate::identity::names::masked;
use crate::identity::newcomers::{self, Claimed};
use crate::identity::{Device, Session};
use crate::money::Fen;
use crate::order::view::OrderView;

/// The most units one order may ask for, whatever the campaign allows.
const MOST_UNITS: i64 = 10_000;
/// Weight of a free seat in the list of joinable rooms; the same as in `lua/group_buy/rooms.lua`.
const FULLNESS: i64 = 10_000_000_000_000;
/// Rooms opened in the same millisecond share a place in the list: where a page goes on, so many more are looked at, then up to so many.
const SAME_PLACE: usize = 50;
const MOST_READ: usize = 4_000;

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

pub(super) fn units(quantity: i64) -> Result<i64, Problem> {
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
        Code::RoomLimitReached, Code::UnpaidLimitReached, Code::DeviceLimitReached, Code::BudgetExhausted, Code::CampaignEnded]))))]
#[post("/v1/campaigns/{id}/rooms", wrap = "from_fn(keyed::told)")]
pub async fn open(
    app: Data<App>,
    session: Session,
    device: Device,
    came_by: caller::ShareToken,
    id: Id<CampaignId>,
    body: KeyedJson<OpenRoom>,
) -> Result<HttpResponse, Problem> {
    let OpenRoom { sku, quantity } = body.body;
    let quantity = units(quantity)?;
    if !live::runs(&app, id.0, &PROGRAM).await? {
        return Err(Code::NotFound.into());
    }
    let shut = || ops::is_shut(&app.engine, id.0, session.user_id, (&sku, quantity));
    let referral = app.programmes.of_order(&app, session.user_id, shut).await?;
    let shopper = Shopper { user: session.user_id, device: device.device_id, share: came_by.ours(&app), referral };
    let decided = ops::open_room(&app.engine, id.0, shopper, (&sku, quantity), body.key.as_ref()).await?;
    let room = decided.decision.as_ref().ok().map(|seat| seat.room_id);
    let mut answer = seated(&app, id.0, &session, decided).await?;
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
        Code::BudgetExhausted, Code::RoomExpired, Code::NewcomersOnly]))))]
#[post("/v1/rooms/{id}/members", wrap = "from_fn(keyed::told)")]
pub async fn join(
    app: Data<App>,
    session: Session,
    device: Device,
    came_by: caller::ShareToken,
    id: Id<RoomId>,
    body: KeyedJson<JoinRoom>,
) -> Result<HttpResponse, Problem> {
    let quantity = units(body.body.quantity)?;
    if !live::runs(&app, id.0.campaign(), &PROGRAM).await? {
        return Err(Code::NotFound.into());
    }
    let shopper = Shopper { user: session.user_id, device: device.device_id, share: came_by.ours(&app), referral: None };
    let wish = Join::new(&app.engine, id.0, shopper, quantity, body.key.as_ref());
    let referral = app.programmes.of_order(&app, session.user_id, || wish.remembered(&app.engine).is_some()).await?;
    let definition = app.definitions.get(&app, id.0.campaign(), 0).await?;
    let newcomers_only = definition.is_some_and(|record| record.definition.group_buy().is_some_and(|own| own.newcomers_only));
    let decided = if newcomers_only {
        let app = app.clone();
        let work =
            async move { as_newcomer(&app, &Join::new(&app.engine, id.0, shopper, quantity, body.key.as_ref()).earning(referral)).await };
        // On a task of its own: a caller who hangs up between claim and seat must not leave the claim behind.
        actix_web::rt::spawn(REQUEST_ID.scope(request_id(), work)).await.unwrap_or_else(|died| Err(Problem::defect(&died)))?
    } else {
        wish.earning(referral).ask(&app.engine, false).await?
    };
    seated(&app, id.0.campaign(), &session, decided).await
}

/// Takes a seat that is for newcomers only, after it was claimed over all campaigns.
async fn as_newcomer(app: &App, wish: &Join<'_>) -> Result<Decided, Problem> {
    if let Some(decided) = wish.remembered(&app.engine) {
        return Ok(decided);
    }
    let seat = newcomers::Seat { user: wish.shopper.user, order: wish.order, room: wish.room };
    let mut claimed = newcomers::claim(&app.store, seat, app.clock.now()).await?;
    if claimed == Claimed::No
        && let Some(other) = newcomers::claimed(&app.store, seat.user).await?
    {
        // That seat may have been given up a moment ago.
        app.projector.caught_up(other.campaign()).await;
        claimed = newcomers::claim(&app.store, seat, app.clock.now()).await?;
    }
    let asked = wish.ask(&app.engine, claimed != Claimed::No).await;
    let settled = match (claimed, &asked) {
        (Claimed::Before, Ok(Decided { decision: Ok(taken), replayed: false, .. })) if taken.fresh => {
            newcomers::keep(&app.store, newcomers::Seat { order: taken.order_id, ..seat }, app.clock.now()).await
        }
        (Claimed::Fresh, Ok(Decided { decision: Ok(taken), replayed: false, .. })) if taken.fresh => Ok(()),
        // Nothing was taken, or the very seat that was had before.
        (Claimed::Fresh, Ok(_) | Err(Trouble::Recovering | Trouble::Overloaded)) => newcomers::give_back(&app.store, seat).await,
        // What is not known now heals later.
        (Claimed::Fresh | Claimed::Before | Claimed::No, _) => Ok(()),
    };
    if let Err(error) = settled {
        tracing::warn!(%error, "a claim of a newcomers' seat stays as it is until it heals");
    }
    Ok(asked?)
}

/// Answers a decided open or join.
async fn seated(app: &App, campaign: CampaignId, session: &Session, decided: Decided) -> Result<HttpResponse, Problem> {
    let at = decided.place.map(|place| answer::Decided { campaign, place, replayed: decided.replayed });
    match (decided.decision, at) {
        (Ok(seat), at) => {
            app.names.learn(session);
            // The seat is taken: that SQL does not tell a name now must not make it look refused.
            let names = names(app, std::iter::once(&seat.room)).await.unwrap_or_default();
            let room = view_with(seat.room_id, &seat.room, Some(session.user_id), &names);
            let status = if seat.fresh { StatusCode::CREATED } else { StatusCode::OK };
            let shown = SeatView { room, order: seat.order.view(seat.order_id) };
            Ok(at.map_or_else(|| HttpResponse::build(status).json(&shown), |at| at.json(status, &shown)))
        }
        (Err(refusal), at) => {
            let mut problem = Problem::new(refusal.code);
            if matches!(refusal.code, Code::RoomFull | Code::RoomClosed | Code::RoomExpired) {
                let alternative = refusal.alternative.and_then(|other| {
                    let room_id = RoomId::from_hot(campaign, &other.0).ok()?;
                    Some(AlternativeRoom { room_id, seats_left: other.1, expires_at: UnixMs::new(other.2) })
                });
                problem = problem.with("alternative", alternative);
            }
            Err(match at {
                Some(at) => at.refuse(problem),
                None => problem,
            })
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
    let (least, mut count) = match page.after() {
        Some((score, _)) => (score.to_string(), wanted + SAME_PLACE),
        None => ("-inf".to_owned(), wanted),
    };
    let rooms = loop {
        let snapshot = app.engine.read(id.0, &[Read::First("joinable", count, "rooms", &least)]).await?;
        let more = snapshot.found.iter().any(|found| matches!(found, Found::Rows(rows) if rows.len() >= count));
        let mut rooms = joinable_rows(id.0, snapshot.found, snapshot.now)?;
        rooms.retain(|(id, room)| page.after().is_none_or(|after| place(id, room) > after));
        rooms.truncate(wanted);
        if rooms.len() == wanted || !more || count >= MOST_READ {
            break rooms;
        }
        count = count.saturating_mul(4).min(MOST_READ);
    };
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

/// The first joinable rooms of a published campaign as anybody sees them; none where they are not listed.
///
/// # Errors
/// Trouble of Redis or SQL.
pub async fn joinable_now(app: &App, campaign: CampaignId, most: usize) -> Result<Vec<RoomView>, Problem> {
    let Some(record) = app.definitions.get(app, campaign, 0).await? else { return Ok(Vec::new()) };
    if !record.definition.group_buy().is_some_and(|own| own.list_rooms) {
        return Ok(Vec::new());
    }
    let snapshot = app.engine.read(campaign, &[Read::First("joinable", most, "rooms", "-inf")]).await?;
    let rooms = joinable_rows(campaign, snapshot.found, snapshot.now)?;
    let names = names(app, rooms.iter().map(|(_, room)| room)).await?;
    Ok(rooms.iter().map(|(id, room)| view_with(*id, room, None, &names)).collect())
}

fn joinable_rows(campaign: CampaignId, found: Vec<Found>, now: i64) -> Result<Vec<(RoomId, RoomRow)>, Problem> {
    let mut rooms = Vec::new();
    for (field, packed) in found.into_iter().flat_map(|found| if let Found::Rows(rows) = found { rows } else { Vec::new() }) {
        let room = RoomRow::read(&packed).map_err(|error| Problem::defect(&error))?;
        let id = RoomId::from_hot(campaign, &field).map_err(|error| Problem::defect(&error))?;
        // Its timer may be a moment away.
        if room.expires_at > now {
            rooms.push((id, room));
        }
    }
    Ok(rooms)
}

/// A room of a published campaign.
///
/// # Errors
/// Trouble of Redis or SQL.
pub async fn find(app: &App, id: RoomId) -> Result<Option<RoomRow>, Problem> {
    if !live::runs(app, id.campaign(), &PROGRAM).await? {
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

/// The masked names of rooms' members.
///
/// # Errors
/// When SQL does not answer.
pub(super) async fn names<'a>(app: &App, rooms: impl Iterator<Item = &'a RoomRow>) -> Result<HashMap<UserId, String>, Problem> {
    let users: Vec<UserId> = rooms.flat_map(|room| &room.members).filter_map(|member| UserId::from_hot(&member.0).ok()).collect();
    Ok(app.names.of(&app.store, &users).await?)
}

/// The view of a room with the names at hand.
pub(super) fn view_with(id: RoomId, room: &RoomRow, you: Option<UserId>, names: &HashMap<UserId, String>) -> RoomView {
    let name = |user: &str| UserId::from_hot(user).ok().and_then(|user| names.get(&user).cloned()).unwrap_or_else(|| masked(""));
    let is_you = |user: &str| you.is_some_and(|you| you.hot() == user);
    let member = |MemberRow(user, order, paid): &MemberRow| MemberView {
        name: name(user),
        leader: *order == room.leader,
        paid: *paid == 1,
        you: is_you(user),
    };
    RoomView {
        id,
        campaign_id: id.campaign(),
        sku: room.sku.clone(),
        state: room.state.into(),
        size: room.size,
        seats_taken: room.taken(),
        seats_paid: room.paid(),
        seats_left: room.size - room.taken(),
        units_kept: room.kept(),
        leader: room.leader_user().map(name).unwrap_or_default(),
        members: room.members.iter().map(member).collect(),
        price_fen: Fen::new(room.price),
        tiers: tiers(room.size, room.price, &room.tiers),
        accept_from: (room.accept_from > 0).then_some(room.accept_from),
        final_price_fen: (room.state == State::Formed).then(|| Fen::new(room.price_at(room.paid()))),
        expires_at: UnixMs::new(room.expires_at),
        you: you.and_then(|user| seat_of(id, room, user)),
    }
}

/// A user's seat in a room.
pub(super) fn seat_of(id: RoomId, room: &RoomRow, user: UserId) -> Option<RoomYou> {
    let order = room.order_of(user.hot())?;
    Some(RoomYou { order_id: OrderId::from_hot(id.campaign(), order).ok()?, leader: order == room.leader })
}
