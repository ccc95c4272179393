//! Ops on rooms (`lua/group_buy`), typed.

use serde::{Deserialize, Serialize};

use super::row::RoomRow;
use crate::code::Code;
use crate::hot::lane::IdempotencyKey;
use crate::hot::{Answer, Asks, Class, Engine, Place, Remembered, Row, Trouble};
use crate::id::{CampaignId, DeviceId, OrderId, RoomId, UserId};
use crate::order::row::OrderRow;
use crate::referral::attribution::Attribution;
use crate::share::token::ShareToken;

#[derive(Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Op<'a> {
    OpenRoom {
        room: &'a str,
        order: &'a str,
        user: &'a str,
        device: &'a str,
        sku: &'a str,
        quantity: i64,
        #[serde(skip_serializing_if = "Option::is_none")]
        share: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        referral: Option<&'a Attribution>,
    },
    JoinRoom {
        room: &'a str,
        order: &'a str,
        user: &'a str,
        device: &'a str,
        quantity: i64,
        newcomer: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        share: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        referral: Option<&'a Attribution>,
    },
    OrderSolo {
        order: &'a str,
        user: &'a str,
        device: &'a str,
        sku: &'a str,
        quantity: i64,
        #[serde(skip_serializing_if = "Option::is_none")]
        share: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        referral: Option<&'a Attribution>,
    },
}

/// Who wants a seat.
#[derive(Clone, Copy, Debug)]
pub struct Shopper {
    /// The user.
    pub user: UserId,
    /// The device the request came from.
    pub device: DeviceId,
    /// The link they came by.
    pub share: Option<ShareToken>,
    /// Who earns by what they order.
    pub referral: Option<Attribution>,
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

/// A decided op on a room, or a purchase without one.
#[derive(Clone, Debug)]
pub struct Decided<T = Box<Seat>> {
    /// The seat, or why not.
    pub decision: Result<T, Refusal>,
    /// Where it was decided; `None`: a refusal from memory.
    pub place: Option<Place>,
    /// Whether an `Idempotency-Key` gave the first answer again.
    pub replayed: bool,
}

/// What meets any stranger who opens a room of the same SKU.
const NO_ROOM_FOR_ANYBODY: &[Code] = &[Code::SoldOut, Code::CampaignEnded];
/// What meets any stranger who joins the same room.
const NO_SEAT_FOR_ANYBODY: &[Code] = &[Code::SoldOut, Code::RoomFull, Code::RoomClosed, Code::RoomExpired];

fn asks_to_open(user: UserId, (sku, quantity): (&str, i64)) -> Asks {
    Asks { who: user.hot().to_owned(), target: format!("{sku} x{quantity}"), to_anybody: NO_ROOM_FOR_ANYBODY }
}

fn asks_alone(user: UserId, (sku, quantity): (&str, i64)) -> Asks {
    Asks { who: user.hot().to_owned(), target: format!("{sku} x{quantity} alone"), to_anybody: NO_ROOM_FOR_ANYBODY }
}

/// Whether opening a room of this would be refused out of memory just now: then nobody need be looked up.
#[must_use]
pub fn is_shut(engine: &Engine, campaign: CampaignId, user: UserId, wish: (&str, i64)) -> bool {
    engine.refusal(campaign, &asks_to_open(user, wish)).is_some()
}

/// Whether buying this alone would.
#[must_use]
pub fn is_shut_alone(engine: &Engine, campaign: CampaignId, user: UserId, wish: (&str, i64)) -> bool {
    engine.refusal(campaign, &asks_alone(user, wish)).is_some()
}

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
    let (user, device, share) = (shopper.user.hot(), shopper.device.hot(), shopper.share.map(|token| token.to_string()));
    let op = Op::OpenRoom {
        room: room.hot(),
        order: order.hot(),
        user,
        device,
        sku,
        quantity,
        share: share.as_deref(),
        referral: shopper.referral.as_ref(),
    };
    let asks = asks_to_open(shopper.user, (sku, quantity));
    seat(engine, campaign, &op, key, asks).await
}

/// A seat that somebody asks for in a room.
#[derive(Clone, Copy, Debug)]
pub struct Join<'a> {
    /// The room.
    pub room: RoomId,
    /// The order that is to hold the seat.
    pub order: OrderId,
    /// Who asks.
    pub shopper: Shopper,
    quantity: i64,
    key: Option<&'a IdempotencyKey>,
}

impl<'a> Join<'a> {
    /// So many units for a seat in a room.
    #[must_use]
    pub fn new(engine: &Engine, room: RoomId, shopper: Shopper, quantity: i64, key: Option<&'a IdempotencyKey>) -> Self {
        let order = OrderId::new(room.campaign(), engine.clock().now(), &mut rand::rng());
        Self { room, order, shopper, quantity, key }
    }

    fn asks(&self) -> Asks {
        let target = format!("{} x{}", self.room.hot(), self.quantity);
        Asks { who: self.shopper.user.hot().to_owned(), target, to_anybody: NO_SEAT_FOR_ANYBODY }
    }

    /// The same for an order by which somebody earns.
    #[must_use]
    pub const fn earning(mut self, referral: Option<Attribution>) -> Self {
        self.shopper.referral = referral;
        self
    }

    /// The refusal that meets any stranger now, if one is known.
    #[must_use]
    pub fn remembered(&self, engine: &Engine) -> Option<Decided> {
        remembered(engine, self.room.campaign(), self.key, &self.asks())
    }

    /// Takes the seat; `newcomer`: whether the shopper may have one that is for newcomers only.
    /// Refusals: `not_found`, `campaign_not_live`, `newcomers_only`, `room_closed`, `room_expired`, `room_full`, `device_limit_reached`,
    /// `order_limit_reached`, `room_limit_reached`, `unpaid_limit_reached`, `sold_out`, `budget_exhausted`.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn ask(&self, engine: &Engine, newcomer: bool) -> Result<Decided, Trouble> {
        let (user, device, share) = (self.shopper.user.hot(), self.shopper.device.hot(), self.shopper.share.map(|token| token.to_string()));
        let (room, order, quantity) = (self.room.hot(), self.order.hot(), self.quantity);
        let op = Op::JoinRoom {
            room,
            order,
            user,
            device,
            quantity,
            newcomer,
            share: share.as_deref(),
            referral: self.shopper.referral.as_ref(),
        };
        seat(engine, self.room.campaign(), &op, self.key, self.asks()).await
    }
}

/// An order of units bought alone.
#[derive(Clone, Debug)]
pub struct Ordered {
    /// Its id.
    pub id: OrderId,
    /// The order.
    pub order: OrderRow,
}

/// Buys units alone. Refusals: `not_found` (the SKU, or it is not sold alone), `campaign_not_live`, `campaign_ended`,
/// `device_limit_reached`, `order_limit_reached`, `unpaid_limit_reached`, `sold_out`, `budget_exhausted`.
///
/// # Errors
/// See [`Trouble`].
pub async fn order_solo(
    engine: &Engine,
    campaign: CampaignId,
    shopper: Shopper,
    (sku, quantity): (&str, i64),
    key: Option<&IdempotencyKey>,
) -> Result<Decided<Ordered>, Trouble> {
    let order = OrderId::new(campaign, engine.clock().now(), &mut rand::rng());
    let (user, device, share) = (shopper.user.hot(), shopper.device.hot(), shopper.share.map(|token| token.to_string()));
    let op =
        Op::OrderSolo { order: order.hot(), user, device, sku, quantity, share: share.as_deref(), referral: shopper.referral.as_ref() };
    let asks = asks_alone(shopper.user, (sku, quantity));
    if let Some(refused) = remembered(engine, campaign, key, &asks) {
        return Ok(refused);
    }
    let answer = engine.ask(campaign, Class::Admit, &op, key, Some(asks)).await?;
    decided(answer, |_word, payload| {
        let id = str::from_utf8(payload.get(1)?).ok()?;
        Some(Ordered { id: OrderId::from_hot(campaign, id).ok()?, order: OrderRow::read(payload.first()?).ok()? })
    })
}

fn remembered<T>(engine: &Engine, campaign: CampaignId, key: Option<&IdempotencyKey>, asks: &Asks) -> Option<Decided<T>> {
    if key.is_some() {
        return None;
    }
    let Remembered { code, payload } = engine.refusal(campaign, asks)?;
    Some(Decided { decision: Err(refusal(code, &payload)), place: None, replayed: false })
}

async fn seat(engine: &Engine, campaign: CampaignId, op: &Op<'_>, key: Option<&IdempotencyKey>, asks: Asks) -> Result<Decided, Trouble> {
    if let Some(refused) = remembered(engine, campaign, key, &asks) {
        return Ok(refused);
    }
    let user = asks.who.clone();
    let answer = engine.ask(campaign, Class::Admit, op, key, Some(asks)).await?;
    decided(answer, |word, payload| seat_of(campaign, &user, word, payload).map(Box::new))
}

fn refusal(code: Code, payload: &[Vec<u8>]) -> Refusal {
    Refusal { code, alternative: payload.first().and_then(|packed| rmp_serde::from_slice(packed).ok()) }
}

fn decided<T>(answer: Answer, read: impl Fn(&str, &[Vec<u8>]) -> Option<T>) -> Result<Decided<T>, Trouble> {
    let decision = match answer.decision {
        Ok(word) => Ok(read(&word, &answer.payload).ok_or_else(|| Trouble::Defect("an answer that does not read".into()))?),
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
