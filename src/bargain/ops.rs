//! Ops on chains (`lua/bargain`), typed.

use serde::Serialize;

use super::row::ChainRow;
use super::schedule::{Algorithm, Schedule, Seed};
use crate::campaign::model::Curve;
use crate::code::Code;
use crate::hot::lane::IdempotencyKey;
use crate::hot::{Answer, Asks, Class, Engine, Place, Row, Trouble};
use crate::id::{CampaignId, ChainId, DeviceId, OrderId, UserId};
use crate::order::row::OrderRow;
use crate::referral::attribution::Attribution;
use crate::share::token::ShareToken;

#[derive(Serialize)]
#[serde(tag = "op")]
enum Op<'a> {
    #[serde(rename = "start_chain")]
    Start { chain: &'a str, user: &'a str, device: &'a str, sku: &'a str, curve: i64, steps: &'a [i64], seed: &'a str, commitment: &'a str },
    #[serde(rename = "cut_chain")]
    Cut { chain: &'a str, user: &'a str, device: &'a str, newcomer: bool },
    #[serde(rename = "order_chain")]
    Order {
        chain: &'a str,
        order: &'a str,
        user: &'a str,
        device: &'a str,
        quantity: i64,
        share: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        referral: Option<&'a Attribution>,
    },
}

/// Who acts.
#[derive(Clone, Copy, Debug)]
pub struct Shopper {
    /// The user.
    pub user: UserId,
    /// The device the request came from.
    pub device: DeviceId,
}

/// A chain after an op.
#[derive(Clone, Debug)]
pub struct Chained {
    /// Whether this op did something; false for a repeat.
    pub fresh: bool,
    /// The chain's id.
    pub id: ChainId,
    /// The chain.
    pub chain: ChainRow,
}

/// A chain's order after an op.
#[derive(Clone, Debug)]
pub struct Ordered {
    /// Whether this op placed it; false for the one that was waiting.
    pub fresh: bool,
    /// Its id.
    pub id: OrderId,
    /// The order.
    pub order: OrderRow,
}

/// A decided op.
#[derive(Clone, Debug)]
pub struct Decided<T> {
    /// What came of it, or why not.
    pub decision: Result<T, Code>,
    /// Where it was decided; `None`: a refusal from memory.
    pub place: Option<Place>,
    /// Whether an `Idempotency-Key` gave the first answer again.
    pub replayed: bool,
}

/// What meets any stranger who starts a chain of the same SKU.
const NO_CHAIN_FOR_ANYBODY: &[Code] = &[Code::SoldOut, Code::CampaignEnded];
/// What meets any stranger who helps the same chain.
const NO_CUT_FOR_ANYBODY: &[Code] = &[Code::ChainComplete, Code::ChainExpired];

/// Starts a chain with this schedule.
/// Refusals: `not_found` (sku), `campaign_not_live`, `campaign_ended`, `device_limit_reached`, `chain_limit_reached`, `sold_out`.
///
/// # Errors
/// See [`Trouble`].
pub async fn start(
    engine: &Engine,
    campaign: CampaignId,
    shopper: Shopper,
    (sku, curve, schedule): (&str, Curve, &Schedule),
    key: Option<&IdempotencyKey>,
) -> Result<Decided<Chained>, Trouble> {
    let id = ChainId::new(campaign, engine.clock().now(), &mut rand::rng());
    let (user, device) = (shopper.user.hot(), shopper.device.hot());
    let (seed, commitment) = (schedule.seed.as_ref().map(Seed::hex).unwrap_or_default(), schedule.commitment());
    let curve = Algorithm::from(curve).number();
    let op = Op::Start { chain: id.hot(), user, device, sku, curve, steps: &schedule.steps, seed: &seed, commitment: &commitment };
    let asks = Asks { who: user.to_owned(), target: format!("{sku} chain"), to_anybody: NO_CHAIN_FOR_ANYBODY };
    ask(engine, campaign, &op, key, asks, |word, payload| {
        let id = str::from_utf8(payload.get(1)?).ok()?;
        Some(Chained { fresh: word == "started", id: ChainId::from_hot(campaign, id).ok()?, chain: ChainRow::read(payload.first()?).ok()? })
    })
    .await
}

/// Helps a chain. Refusals: `not_found`, `own_chain`, `chain_complete`, `chain_expired`, `campaign_not_live`, `device_limit_reached`,
/// `help_limit_reached`.
///
/// # Errors
/// See [`Trouble`].
pub async fn cut(
    engine: &Engine,
    id: ChainId,
    shopper: Shopper,
    newcomer: bool,
    key: Option<&IdempotencyKey>,
) -> Result<Decided<Chained>, Trouble> {
    let (user, device) = (shopper.user.hot(), shopper.device.hot());
    let op = Op::Cut { chain: id.hot(), user, device, newcomer };
    let asks = Asks { who: user.to_owned(), target: id.hot().to_owned(), to_anybody: NO_CUT_FOR_ANYBODY };
    ask(engine, id.campaign(), &op, key, asks, |word, payload| {
        Some(Chained { fresh: word == "cut", id, chain: ChainRow::read(payload.first()?).ok()? })
    })
    .await
}

/// Whether strangers are refused a cut of this chain just now: then nobody need be looked up.
#[must_use]
pub fn is_shut(engine: &Engine, id: ChainId, user: UserId) -> bool {
    let asks = Asks { who: user.hot().to_owned(), target: id.hot().to_owned(), to_anybody: NO_CUT_FOR_ANYBODY };
    engine.refusal(id.campaign(), &asks).is_some()
}

/// Orders at the chain's price; `share`: the link by which the owner came; `referral`: who earns by it. Refusals: `not_found`, `forbidden` (not the owner), `chain_complete`, `chain_expired`, `floor_not_reached`,
/// `device_limit_reached`, `sold_out`.
///
/// # Errors
/// See [`Trouble`].
pub async fn order(
    engine: &Engine,
    id: ChainId,
    shopper: Shopper,
    (share, referral): (Option<ShareToken>, Option<Attribution>),
    key: Option<&IdempotencyKey>,
) -> Result<Decided<Ordered>, Trouble> {
    let campaign = id.campaign();
    let order = OrderId::new(campaign, engine.clock().now(), &mut rand::rng());
    let (user, device) = (shopper.user.hot(), shopper.device.hot());
    let share = share.map(|token| token.to_string());
    let op =
        Op::Order { chain: id.hot(), order: order.hot(), user, device, quantity: 1, share: share.as_deref(), referral: referral.as_ref() };
    let answer = engine.submit(campaign, Class::Admit, &op, key).await?;
    decided(answer, |word, payload| {
        let id = str::from_utf8(payload.get(1)?).ok()?;
        Some(Ordered { fresh: word == "ordered", id: OrderId::from_hot(campaign, id).ok()?, order: OrderRow::read(payload.first()?).ok()? })
    })
}

async fn ask<T>(
    engine: &Engine,
    campaign: CampaignId,
    op: &Op<'_>,
    key: Option<&IdempotencyKey>,
    asks: Asks,
    read: impl Fn(&str, &[Vec<u8>]) -> Option<T>,
) -> Result<Decided<T>, Trouble> {
    if key.is_none()
        && let Some(remembered) = engine.refusal(campaign, &asks)
    {
        return Ok(Decided { decision: Err(remembered.code), place: None, replayed: false });
    }
    decided(engine.ask(campaign, Class::Admit, op, key, Some(asks)).await?, read)
}

fn decided<T>(answer: Answer, read: impl Fn(&str, &[Vec<u8>]) -> Option<T>) -> Result<Decided<T>, Trouble> {
    let decision = match answer.decision {
        Ok(word) => Ok(read(&word, &answer.payload).ok_or_else(|| Trouble::Defect("an answer that does not read".into()))?),
        Err(code) => Err(code),
    };
    Ok(Decided { decision, place: Some(answer.place), replayed: answer.replayed })
}
