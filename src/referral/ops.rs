//! Ops on bonds and sales (`lua/referral`), typed.

use serde::Serialize;

use super::row::{BondRow, SaleRow};
use crate::clock::UnixMs;
use crate::code::Code;
use crate::hot::lane::IdempotencyKey;
use crate::hot::{Answer, Asks, Class, Engine, Place, Row, Trouble};
use crate::id::{CampaignId, UserId};
use crate::money::Fen;

#[derive(Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Op<'a> {
    Bind {
        user: &'a str,
        inviter: &'a str,
        newcomer: bool,
    },
    SetBond {
        user: &'a str,
        inviter: &'a str,
        by: &'a str,
        reason: &'a str,
    },
    ReportSale {
        sale: &'a str,
        buyer: &'a str,
        level1: &'a str,
        level2: &'a str,
        fen1: i64,
        fen2: i64,
        back1: i64,
        back2: i64,
        freeze: i64,
        fulfilled_at: i64,
    },
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

/// A bond after an op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Whether this op changed something; false for a repeat.
    pub fresh: bool,
    /// The bond that stands; `None` if it was cut.
    pub bond: Option<BondRow>,
}

/// What one level earns of a sale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Earning {
    /// Who.
    pub user: UserId,
    /// How much, as attributed.
    pub reward: Fen,
    /// How much of it has to be back by now, in all.
    pub back: Fen,
}

/// A sale as it stands: a paid order that was attributed to this campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sale<'a> {
    /// Its number, ours or the shop's; 1 to 255 bytes without blanks.
    pub number: &'a str,
    /// Who bought.
    pub buyer: UserId,
    /// What the buyer's inviter earns.
    pub level1: Earning,
    /// What the inviter's inviter earns.
    pub level2: Option<Earning>,
    /// From fulfilment until its rewards are available, ms.
    pub freeze_ms: i64,
    /// When its goods were handed over.
    pub fulfilled_at: Option<UnixMs>,
}

/// What meets any stranger who would be bound in the same campaign.
const NO_BOND_FOR_ANYBODY: &[Code] = &[Code::CampaignEnded];

/// Binds a shopper to an inviter. Refusals: `self_invite`, `not_found`, `campaign_not_live`, `campaign_ended`, `newcomers_only`,
/// `already_bound`, `bond_cycle`, `budget_exhausted`.
///
/// # Errors
/// See [`Trouble`].
pub async fn bind(
    engine: &Engine,
    campaign: CampaignId,
    (user, inviter): (UserId, UserId),
    newcomer: bool,
    key: Option<&IdempotencyKey>,
) -> Result<Decided<Bound>, Trouble> {
    let asks = Asks { who: user.hot().to_owned(), target: "bond".to_owned(), to_anybody: NO_BOND_FOR_ANYBODY };
    if key.is_none()
        && user != inviter
        && let Some(remembered) = engine.refusal(campaign, &asks)
    {
        return Ok(Decided { decision: Err(remembered.code), place: None, replayed: false });
    }
    let op = Op::Bind { user: user.hot(), inviter: inviter.hot(), newcomer };
    decided(engine.ask(campaign, Class::Admit, &op, key, Some(asks)).await?, bound)
}

/// Ties a shopper's bond to another inviter, or to none; `by` is the operator's key. Refusals: `campaign_state`, `self_invite`, `bond_cycle`.
///
/// # Errors
/// See [`Trouble`].
pub async fn set_bond(
    engine: &Engine,
    campaign: CampaignId,
    (user, inviter): (UserId, Option<UserId>),
    (by, reason): (&str, &str),
) -> Result<Decided<Bound>, Trouble> {
    let inviter = inviter.as_ref().map_or("", UserId::hot);
    let op = Op::SetBond { user: user.hot(), inviter, by, reason };
    decided(engine.submit(campaign, Class::Drain, &op, None).await?, bound)
}

/// Tells how a sale stands; a repeat changes nothing. Refusal: `campaign_state`.
///
/// # Errors
/// See [`Trouble`].
pub async fn report_sale(engine: &Engine, campaign: CampaignId, sale: &Sale<'_>) -> Result<Decided<SaleRow>, Trouble> {
    let second = sale.level2.as_ref();
    let op = Op::ReportSale {
        sale: sale.number,
        buyer: sale.buyer.hot(),
        level1: sale.level1.user.hot(),
        level2: second.map_or("", |earning| earning.user.hot()),
        fen1: sale.level1.reward.get(),
        fen2: second.map_or(0, |earning| earning.reward.get()),
        back1: sale.level1.back.get(),
        back2: second.map_or(0, |earning| earning.back.get()),
        freeze: sale.freeze_ms,
        fulfilled_at: sale.fulfilled_at.map_or(0, UnixMs::get),
    };
    decided(engine.submit(campaign, Class::Drain, &op, None).await?, |_, payload| SaleRow::read(payload.first()?).ok())
}

fn bound(word: &str, payload: &[Vec<u8>]) -> Option<Bound> {
    let bond = match payload.first() {
        Some(packed) => Some(BondRow::read(packed).ok()?),
        None => None,
    };
    Some(Bound { fresh: word != "had", bond })
}

fn decided<T>(answer: Answer, read: impl Fn(&str, &[Vec<u8>]) -> Option<T>) -> Result<Decided<T>, Trouble> {
    let decision = match answer.decision {
        Ok(word) => Ok(read(&word, &answer.payload).ok_or_else(|| Trouble::Defect("an answer that does not read".into()))?),
        Err(code) => Err(code),
    };
    Ok(Decided { decision, place: Some(answer.place), replayed: answer.replayed })
}
