//! What the engine is compared with: an empty handler, and a small server that does the usual thing: a pool of 16 connections and one
//! EVALSHA a request, with the same checks, the same kind of log entry, the same tokens and the same durability.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_web::http::KeepAlive;
use actix_web::web::{self, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use deadpool_redis::{Config, Pool, PoolConfig, Runtime};
use liebian::clock::UnixMs;
use liebian::crypto::Secrets;
use liebian::id::{CampaignId, OrderId, RoomId, UserId};
use liebian::identity::{Device, Session};
use redis::{Script, Value};
use serde::Deserialize;
use serde_json::json;

use crate::Outcome;

const SCRIPT: &str = include_str!("../lua/usual_join.lua");
const CONNECTIONS: usize = 16;

/// As many bytes as a campaign page has in one language and without a picture, give or take a few.
static PAGE: [u8; 8_200] = [b' '; 8_200];
/// A refusal as shoppers get it.
const REFUSAL: &str = r#"{"type":"/problems#sold_out","title":"Sold out","status":409,"code":"sold_out","detail":"All units are taken. Some may come back when payments do not come.","retry":"later","request_id":"0123456789abcdef0123456789abcdef"}"#;

/// `GET /` answers two bytes; no middleware. Beside it answers as long as the server's own, for what it costs only to carry them.
pub async fn noop(port: u16) -> std::io::Result<()> {
    // The body is read: actix ends a connection whose request was left unread.
    let refuse = async |_body: web::Bytes| HttpResponse::Conflict().content_type("application/problem+json").body(REFUSAL);
    HttpServer::new(move || {
        App::new()
            .route("/", web::get().to(async || "ok"))
            .route("/page", web::get().to(async || HttpResponse::Ok().content_type("text/html").body(&PAGE[..])))
            .route("/v1/campaigns/{id}/rooms", web::post().to(refuse))
    })
    .keep_alive(KeepAlive::Timeout(Duration::from_secs(75)))
    .bind(("127.0.0.1", port))?
    .run()
    .await
}

struct State {
    pool: Pool,
    script: Script,
    secrets: Secrets,
}

/// `POST /v1/rooms/{id}/members` on rooms that [`rooms`] made.
pub async fn serve(port: u16, redis_url: &str, secret: &str) -> Outcome<()> {
    let mut config = Config::from_url(redis_url);
    config.pool = Some(PoolConfig::new(CONNECTIONS));
    let pool = config.create_pool(Some(Runtime::Tokio1))?;
    let state = Data::new(State { pool, script: Script::new(SCRIPT), secrets: Secrets::new(secret) });
    let server = HttpServer::new(move || {
        App::new()
            .app_data(state.clone())
            .route("/v1/rooms/{id}/members", web::post().to(join))
            .route("/v1/campaigns/{id}/rooms", web::post().to(refuse))
    })
    .keep_alive(KeepAlive::Timeout(Duration::from_secs(75)))
    .bind(("127.0.0.1", port))?;
    Ok(server.run().await?)
}

#[derive(Deserialize)]
struct Wish {
    sku: String,
    quantity: i64,
}

/// Refuses everybody with as many bytes as the server does, after the least that a refusal needs: ids, body and both tokens are read and
/// verified. Nothing is asked for stock, no limits are kept, nothing is counted.
async fn refuse(state: Data<State>, request: HttpRequest, _campaign: web::Path<CampaignId>, wish: web::Json<Wish>) -> HttpResponse {
    if caller(&state.secrets, &request, now()).is_none() || wish.sku.is_empty() || wish.quantity < 1 {
        return HttpResponse::Unauthorized().finish();
    }
    HttpResponse::Conflict().content_type("application/problem+json").body(REFUSAL)
}

#[derive(Deserialize)]
struct Body {
    quantity: i64,
}

async fn join(state: Data<State>, request: HttpRequest, room: web::Path<RoomId>, body: web::Json<Body>) -> HttpResponse {
    let now = now();
    let Some((session, device)) = caller(&state.secrets, &request, now) else { return HttpResponse::Unauthorized().finish() };
    let order = OrderId::new(room.campaign(), now, &mut rand::rng());
    let mut call = state.script.prepare_invoke();
    for key in keys(*room, order, session.user_id, &device) {
        call.key(key);
    }
    call.arg(session.user_id.hot()).arg(order.hot()).arg(device.device_id.hot()).arg(body.quantity).arg(now.get());
    let Ok(mut connection) = state.pool.get().await else { return HttpResponse::ServiceUnavailable().finish() };
    let reply: Vec<Value> = match call.invoke_async(&mut connection).await {
        Ok(reply) => reply,
        Err(_why) => return HttpResponse::ServiceUnavailable().finish(),
    };
    let mut reply = reply.into_iter();
    let word = reply.next().map(|word| redis::from_redis_value::<String>(word).unwrap_or_default()).unwrap_or_default();
    let (Some(fields), Some(members)) = (reply.next(), reply.next()) else { return HttpResponse::Conflict().json(json!({"code": word})) };
    let fields: Vec<Option<String>> = redis::from_redis_value(fields).unwrap_or_default();
    let members: Vec<String> = redis::from_redis_value(members).unwrap_or_default();
    let field = |place: usize| fields.get(place).cloned().flatten().unwrap_or_default();
    let names: Vec<_> = members.iter().step_by(2).map(|_user| json!({"name": "**", "leader": false, "paid": false})).collect();
    HttpResponse::Created().json(json!({
        "room": {"id": room.to_string(), "state": field(0), "sku": field(1), "size": field(2), "price_fen": field(3),
                 "seats_taken": names.len(), "members": names, "expires_at": field(5)},
        "order": {"id": order.to_string(), "sku": field(1), "state": "awaiting_payment", "amount_fen": field(3), "quantity": body.quantity,
                  "room_id": room.to_string(), "pay_by": now.get() + 900_000, "created_at": now.get()},
    }))
}

fn caller(secrets: &Secrets, request: &HttpRequest, now: UnixMs) -> Option<(Session, Device)> {
    let session = request.headers().get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")?;
    let device = request.headers().get("x-device-token")?.to_str().ok()?;
    Some((Session::read(secrets, session, now)?, Device::read(secrets, device, now)?))
}

fn now() -> UnixMs {
    UnixMs::new(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(0)))
}

fn keys(room: RoomId, order: OrderId, user: UserId, device: &Device) -> [String; 9] {
    let tag = room.campaign();
    [
        format!("{{{tag}}}:room:{}", room.hot()),
        format!("{{{tag}}}:order:{}", order.hot()),
        format!("{{{tag}}}:user:{}", user.hot()),
        format!("{{{tag}}}:device:{}", device.device_id.hot()),
        format!("{{{tag}}}:stock"),
        format!("{{{tag}}}:status"),
        format!("{{{tag}}}:timers"),
        format!("{{{tag}}}:log"),
        format!("{{{tag}}}:meta"),
    ]
}

/// Writes a campaign with `count` open rooms of `size` seats, one taken, for [`serve`].
pub async fn rooms(redis_url: &str, count: usize, size: usize) -> Outcome<Vec<RoomId>> {
    let mut connection = redis::Client::open(redis_url)?.get_multiplexed_async_connection().await?;
    let mut rng = rand::rng();
    let campaign = CampaignId::random(&mut rng);
    let rooms: Vec<RoomId> = (0..count).map(|_| RoomId::new(campaign, now(), &mut rng)).collect();
    redis::pipe()
        .hset_multiple(format!("{{{campaign}}}:stock"), &[("left", count * size), ("held", 0)])
        .set(format!("{{{campaign}}}:status"), "live")
        .query_async::<()>(&mut connection)
        .await?;
    for some in rooms.chunks(1_000) {
        let mut pipe = redis::pipe();
        for room in some {
            let (key, user) = (format!("{{{campaign}}}:room:{}", room.hot()), UserId::random(&mut rng));
            let size = size.to_string();
            let expires_at = (now().get() + 86_400_000).to_string();
            pipe.hset_multiple(
                &key,
                &[
                    ("state", "open"),
                    ("sku", "load"),
                    ("size", size.as_str()),
                    ("price", "100"),
                    ("taken", "1"),
                    ("expires_at", expires_at.as_str()),
                    ("leader", user.hot()),
                ],
            )
            .ignore();
            pipe.hset(format!("{key}:members"), user.hot(), "leader").ignore();
        }
        pipe.query_async::<()>(&mut connection).await?;
    }
    Ok(rooms)
}
