//! One room: as it is now, when it changes, and as a stream of all its changes.

use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get};
use serde::Deserialize;
use tokio::time::Instant;

use super::PROGRAM;
use super::http::{find, names, seat_of, view, view_with};
use super::row::{RoomRow, State};
use super::view::RoomView;
use crate::app::App;
use crate::campaign::live::runs;
use crate::code::Code;
use crate::hot::Row;
use crate::http::answer;
use crate::http::caller::MaybeSession;
use crate::http::extract::{Id, Query};
use crate::http::problem::Problem;
use crate::http::stream::{self, Show, States, StreamEvent};
use crate::id::{RoomId, UserId};

/// The table of rooms in hot state.
const ROOMS: &str = "rooms";
/// The longest a GET waits for a change.
const LONGEST_WAIT: u64 = 25;

/// How long to wait for a change.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Waiting {
    /// With `If-None-Match`: wait so long for a change.
    #[param(required = false, minimum = 0, maximum = 25)]
    wait_seconds: Option<u64>,
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
    if wait > 0 && request.headers().contains_key(IF_NONE_MATCH) {
        return changed(&app, &request, id.0, user, Duration::from_secs(wait)).await;
    }
    let room = find(&app, id.0).await?.ok_or(Code::NotFound)?;
    let (etag, shown) = tagged(view(&app, id.0, &room, user).await?);
    if answer::is_known(&request, &etag) { Ok(unchanged(etag)) } else { Ok(found(etag, &shown)) }
}

/// Answers as soon as the room is not as the caller knows it.
async fn changed(app: &App, request: &HttpRequest, id: RoomId, user: Option<UserId>, wait: Duration) -> Result<HttpResponse, Problem> {
    // A reader like those of streams.
    let _seat = app.streams.enter(app.limits.address(request))?;
    let until = Instant::now() + wait;
    let mut draining = app.draining();
    let (mut change, mut changes) = follow(app, id).await?;
    loop {
        let room = room_of(&change.row).ok_or(Code::NotFound)?;
        let (etag, shown) = tagged(view(app, id, &room, user).await?);
        if !answer::is_known(request, &etag) {
            return Ok(found(etag, &shown));
        }
        let ending = async {
            let _ending = draining.wait_for(|draining| *draining).await;
        };
        let next = tokio::select! {
            biased;
            () = ending => return Ok(unchanged(etag)),
            () = tokio::time::sleep_until(until) => return Ok(unchanged(etag)),
            next = changes.next() => next,
        };
        match next {
            Ok(next) => change = next,
            Err(_too_slow) => (change, changes) = follow(app, id).await?,
        }
    }
}

/// A stream of the room's states: the present one, then each change (`event: room`, `id: <epoch>-<seq>`, data: the room), a comment every 15
/// seconds. It ends after the room has formed or failed, when the reader is too slow, and when the server ends; who returns gets the present
/// state first.
#[utoipa::path(tag = "rooms", operation_id = "watch_room", security((), ("session" = [])),
    params(("id" = RoomId, Path), ("Last-Event-ID" = Option<String>, Header, description = "Not needed: the present state comes first.")),
    responses((status = 200, content_type = "text/event-stream", body = StreamEvent,
        description = "Server-Sent Events, data: a room as compact JSON")))]
#[get("/v1/rooms/{id}/live")]
pub async fn live(app: Data<App>, request: HttpRequest, session: MaybeSession, id: Id<RoomId>) -> Result<HttpResponse, Problem> {
    let states = follow(&app, id.0).await?;
    let user = session.0.map(|session| session.user_id);
    stream::answer(&app, &request, RoomShow { app: app.clone(), id: id.0, user }, states)
}

async fn follow(app: &App, id: RoomId) -> Result<States, Problem> {
    if !runs(app, id.campaign(), &PROGRAM).await? {
        return Err(Code::NotFound.into());
    }
    Ok(app.feed.follow(id.campaign(), ROOMS, id.hot()).await?.ok_or(Code::NotFound)?)
}

fn room_of(row: &[u8]) -> Option<RoomRow> {
    // Empty when a recovery found the room gone.
    RoomRow::read(row).ok()
}

fn tagged(room: RoomView) -> (String, RoomView) {
    let hash = crate::crypto::sha256_hex(&serde_json::to_vec(&room).unwrap_or_default());
    (format!("\"{}\"", hash.get(..16).unwrap_or_default()), room)
}

fn found(etag: String, room: &RoomView) -> HttpResponse {
    HttpResponse::Ok().insert_header((ETAG, etag)).insert_header((CACHE_CONTROL, "private, no-cache")).json(room)
}

fn unchanged(etag: String) -> HttpResponse {
    HttpResponse::NotModified().insert_header((ETAG, etag)).finish()
}

/// A room shown to one reader.
struct RoomShow {
    app: Data<App>,
    id: RoomId,
    user: Option<UserId>,
}

impl Show for RoomShow {
    const EVENT: &'static str = "room";

    async fn shown(&self, row: &[u8]) -> Option<(String, bool)> {
        let room = room_of(row)?;
        // That SQL does not tell a name now must not end the stream.
        let names = names(&self.app, std::iter::once(&room)).await.unwrap_or_default();
        let last = match room.state {
            State::Open => false,
            State::Formed | State::Failed => true,
        };
        Some((serde_json::to_string(&view_with(self.id, &room, None, &names)).ok()?, last))
    }

    fn you(&self, row: &[u8]) -> Option<String> {
        let you = seat_of(self.id, &room_of(row)?, self.user?)?;
        serde_json::to_string(&you).ok()
    }
}
