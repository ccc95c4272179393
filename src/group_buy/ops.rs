//! Ops on rooms (`lua/group_buy`), typed.

use serde::{Deserialize, Serialize};

use super::row::RoomRow;
use crate::code::Code;
use crate::hot::lane::IdempotencyKey;
use crate::hot::{Answer, Asks, Class, Engine, Place, Remembered, Row, Trouble};
use crate::id::{CampaignId, DeviceId, OrderId, RoomId, UserId};
use crate::order::row::OrderRow;

#[derive(Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Op<'a> {
    OpenRoom { room: &'a str, order: &'a str, user: &'a str, device: &'a str, sku: &'a str, quantity: i64 },
    JoinRoom { room: &'a str, order: &'a str, user: &'a str, device: &'a str, quantity: i64 },
}

/// Who wants a seat.
#[derive(Clone, Copy, Debug)]
pub struct Shopper {
    /// The user.
    pub user: UserId,
    /// The device the request came from.
    pub device: DeviceId,
}

/// A seat, new or had before.
#[derive(Clone, Debug)]
pub struct Seat {
    /// Whether this op took it; false for a repeat by its holder.
    pub fresh: bool,
    /// The room's id.
    pub room_id: RoomId,
    /// The room after the op.
    pub room: RoomRow,
    /// The order's id.
    pub order_id: OrderId,
    /// The seat's order.
    pub order: OrderRow,
}

/// Another room to join: hot id, seats left, deadline in Unix ms.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Alternative(pub String, pub i64, pub i64);

/// A no.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Why.
    pub code: Code,
    /// With `room_full`, `room_closed` and `room_expired`: a room that can be joined, if there is one.
    pub alternative: Option<Alternative>,
}

/// A decided op on a room.
#[derive(Clone, Debug)]
pub struct Decided {
    /// The seat, or why not.
    pub decision: Result<Box<Seat>, Refusal>,
    /// Where it was decided; `None`: a refusal from memory.
    pub place: Option<Place>,
    /// Whether an `Idempotency-Key` gave the first answer again.
    pub replayed: bool,
}

/// What meets any stranger who opens a room of the same SKU.
const NO_ROOM_FOR_ANYBODY: &[Code] = &[Code::SoldOut, Code::CampaignEnded];
/// What meets any stranger who joins the same room.
const NO_SEAT_FOR_ANYBODY: &[Code] = &[Code::SoldOut, Code::RoomFull, Code::RoomClosed, Code::RoomExpired];

/// Opens a room with its first seat.
/// Refusals: `not_found` (sku), `campaign_not_live`, `campaign_ended`, `device_limit_reached`, `order_limit_reached`,
/// `room_limit_reached`, `unpaid_limit_reached`, `sold_out`, `budget_exhausted`.
///
/// # Errors
/// See [`Trouble`].
pub async fn open_room(
    engine: &Engine,
    campaign: CampaignId,
    shopper: Shopper,
    (sku, quantity): (&str, i64),
    key: Option<&IdempotencyKey>,
) -> Result<Decided, Trouble> {
    let (room, order) = {
        let (now, mut rng) = (engine.clock().now(), rand::rng());
        (RoomId::new(campaign, now, &mut rng), OrderId::new(campaign, now, &mut rng))
    };
    let (user, device) = (shopper.user.hot(), shopper.device.hot());
    let op = Op::OpenRoom { room: room.hot(), order: order.hot(), user, device, sku, quantity };
    let asks = Asks { who: user.to_owned(), target: format!("{sku} x{quantity}"), to_anybody: NO_ROOM_FOR_ANYBODY };
    seat(engine, campaign, &op, key, asks).await
}

/// Takes a seat in a room.
/// Refusals: `not_found`, `campaign_not_live`, `room_closed`, `room_expired`, `room_full`, `device_limit_reached`,
/// `order_limit_reached`, `room_limit_reached`, `unpaid_limit_reached`, `sold_out`.
///
/// # Errors
/// See [`Trouble`].
pub async fn join_room(
    engine: &Engine,
    room: RoomId,
    shopper: Shopper,
    quantity: i64,
    key: Option<&IdempotencyKey>,
) -> Result<Decided, Trouble> {
    let campaign = room.campaign();
    let order = OrderId::new(campaign, engine.clock().now(), &mut rand::rng());
    let (user, device) = (shopper.user.hot(), shopper.device.hot());
    let op = Op::JoinRoom { room: room.hot(), order: order.hot(), user, device, quantity };
    let asks = Asks { who: user.to_owned(), target: format!("{} x{quantity}", room.hot()), to_anybody: NO_SEAT_FOR_ANYBODY };
    seat(engine, campaign, &op, key, asks).await
}

async fn seat(engine: &Engine, campaign: CampaignId, op: &Op<'_>, key: Option<&IdempotencyKey>, asks: Asks) -> Result<Decided, Trouble> {
    if key.is_none()
        && let Some(Remembered { code, payload }) = engine.refusal(campaign, &asks)
    {
        return Ok(Decided { decision: Err(refusal(code, &payload)), place: None, replayed: false });
    }
    let user = asks.who.clone();
    read(campaign, &user, engine.ask(campaign, Class::Admit, op, key, Some(asks)).await?)
}

fn refusal(code: Code, payload: &[Vec<u8>]) -> Refusal {
    Refusal { code, alternative: payload.first().and_then(|packed| rmp_serde::from_slice(packed).ok()) }
}

fn read(campaign: CampaignId, user: &str, answer: Answer) -> Result<Decided, Trouble> {
    let decision = match answer.decision {
        Ok(word) => Ok(Box::new(
            seat_of(campaign, user, &word, &answer.payload).ok_or_else(|| Trouble::Defect("a seat that does not read".into()))?,
        )),
        Err(code) => Err(refusal(code, &answer.payload)),
    };
    Ok(Decided { decision, place: Some(answer.place), replayed: answer.replayed })
}

fn seat_of(campaign: CampaignId, user: &str, word: &str, payload: &[Vec<u8>]) -> Option<Seat> {
    let room = RoomRow::read(payload.first()?).ok()?;
    let order = OrderRow::read(payload.get(1)?).ok()?;
    Some(Seat {
        fresh: word != "already_in_room",
        room_id: RoomId::from_hot(campaign, &order.room).ok()?,
        order_id: OrderId::from_hot(campaign, room.order_of(user)?).ok()?,
        room,
        order,
    })
}
