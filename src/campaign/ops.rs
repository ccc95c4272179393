//! Ops on a campaign as a whole (`lua/campaign/ops.lua`), typed. They must work when things are tight, so they are never refused for load.

use serde::{Deserialize, Serialize};

use super::rules::Compiled;
use super::view::Switches;
use crate::code::Code;
use crate::hot::lane::IdempotencyKey;
use crate::hot::row::{Layout, NotARow, Row, message_pack};
use crate::hot::{Answer, Class, Engine, Place, Trouble};
use crate::id::CampaignId;

#[derive(Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Op<'a> {
    Publish { definition: &'a Compiled, stock: &'a [(String, i64)] },
    SetStatus { step: Step, by: &'a str },
    SetSwitches { open: Option<bool>, join: Option<bool>, by: &'a str },
    AddStock { sku: &'a str, units: i64, by: &'a str },
    Decline { word: &'static str },
    Tick,
}

/// A change of status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// No new rooms, joins or cuts; deadlines and payments go on.
    Pause,
    /// The end of a pause.
    Resume,
    /// No new rooms or chains; open ones may fill until their deadline.
    End,
}

/// A published campaign's own status; whether it has started or is over by time is for the reader's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// In force.
    Live,
    /// Paused by an operator.
    Paused,
    /// Over.
    Ended,
}

/// Who paused a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PausedBy {
    /// It is not paused.
    #[serde(rename = "")]
    Nobody,
    /// An operator.
    Operator,
    /// The loss budget: no order fits into what is left of it.
    LossBudget,
}

impl PausedBy {
    /// The word in SQL and JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Nobody => "",
            Self::Operator => "operator",
            Self::LossBudget => "loss_budget",
        }
    }

    /// Whom a word names; nobody, if the campaign is not paused.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Operator, Self::LossBudget].into_iter().find(|one| one.word() == word)
    }
}

/// Row `status` of table `def`; fields in the order of `lua/lib/schema.lua`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusRow {
    /// Its status.
    pub status: Status,
    /// Version of the definition in force.
    pub version: i64,
    /// Rooms open now.
    pub rooms_open: i64,
    /// Rooms formed.
    pub rooms_formed: i64,
    /// Rooms failed.
    pub rooms_failed: i64,
    /// Who paused it.
    pub paused_by: PausedBy,
    /// 1 while rooms may be opened.
    pub open: i64,
    /// 1 while rooms may be joined.
    pub join: i64,
    /// What living orders give away, in fen; counted under a loss budget only.
    pub loss: i64,
}

impl StatusRow {
    /// The switches.
    #[must_use]
    pub const fn switches(&self) -> Switches {
        Switches { open: self.open == 1, join: self.join == 1 }
    }
}

/// A row of table `stock`: `put_in = left + held + sold + returned`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockRow {
    /// Units ever put in.
    pub put_in: i64,
    /// Units nobody holds.
    pub left: i64,
    /// Units in unpaid orders.
    pub held: i64,
    /// Units in paid orders.
    pub sold: i64,
    /// Units taken back by the operator.
    pub returned: i64,
}

impl Row for StatusRow {
    fn read(packed: &[u8]) -> Result<Self, NotARow> {
        message_pack(packed)
    }
}

impl Row for StockRow {
    fn read(packed: &[u8]) -> Result<Self, NotARow> {
        let mut row = Layout::of(packed);
        let (put_in, left, held) = (row.number(5)?, row.number(5)?, row.number(5)?);
        let (sold, returned) = (row.number(5)?, row.number(5)?);
        row.end()?;
        Ok(Self { put_in, left, held, sold, returned })
    }
}

/// A decided op on a campaign.
#[derive(Clone, Debug)]
pub struct Decided<T> {
    /// The row after it, or why not.
    pub decision: Result<T, Code>,
    /// Where it was decided.
    pub place: Place,
    /// Whether an `Idempotency-Key` gave the first answer again.
    pub replayed: bool,
}

async fn send<T: Row>(engine: &Engine, campaign: CampaignId, op: &Op<'_>, key: Option<&IdempotencyKey>) -> Result<Decided<T>, Trouble> {
    let answer = engine.submit(campaign, Class::Drain, op, key).await?;
    let decision = match answer.decision {
        Ok(_word) => {
            let packed = answer.payload.first().ok_or_else(|| Trouble::Defect("an answer without its row".into()))?;
            Ok(T::read(packed).map_err(|error| Trouble::Defect(error.to_string()))?)
        }
        Err(code) => Err(code),
    };
    Ok(Decided { decision, place: answer.place, replayed: answer.replayed })
}

/// Puts rules in force; `stock` counts at the first version only. Refusal: `campaign_state` when newer rules are in force.
///
/// # Errors
/// See [`Trouble`].
pub async fn publish(
    engine: &Engine,
    campaign: CampaignId,
    rules: &Compiled,
    stock: &[(String, i64)],
    key: Option<&IdempotencyKey>,
) -> Result<Decided<StatusRow>, Trouble> {
    send(engine, campaign, &Op::Publish { definition: rules, stock }, key).await
}

/// Pauses, resumes or ends; `by` is the operator's key. Refusals: `campaign_state`, `budget_exhausted`.
///
/// # Errors
/// See [`Trouble`].
pub async fn set_status(engine: &Engine, campaign: CampaignId, step: Step, by: &str) -> Result<Decided<StatusRow>, Trouble> {
    send(engine, campaign, &Op::SetStatus { step, by }, None).await
}

/// Switches the opening and joining of rooms on or off; `None` stays as it is. Refusal: `campaign_state`.
///
/// # Errors
/// See [`Trouble`].
pub async fn set_switches(
    engine: &Engine,
    campaign: CampaignId,
    (open, join): (Option<bool>, Option<bool>),
    by: &str,
) -> Result<Decided<StatusRow>, Trouble> {
    send(engine, campaign, &Op::SetSwitches { open, join, by }, None).await
}

/// Adds units, or takes back unreserved ones (negative); `by` is the operator's key. Refusals: `campaign_state`, `not_found`,
/// `sold_out`, `invalid_request` (more than an item may have).
///
/// # Errors
/// See [`Trouble`].
pub async fn add_stock(
    engine: &Engine,
    campaign: CampaignId,
    (sku, units): (&str, i64),
    by: &str,
    key: Option<&IdempotencyKey>,
) -> Result<Decided<StockRow>, Trouble> {
    send(engine, campaign, &Op::AddStock { sku, units, by }, key).await
}

/// Keeps a refusal that was decided before the program was asked, under its key. Answers what the key was answered first.
///
/// # Errors
/// See [`Trouble`].
pub async fn decline(engine: &Engine, campaign: CampaignId, code: Code, key: &IdempotencyKey) -> Result<Answer, Trouble> {
    engine.submit(campaign, Class::Admit, &Op::Decline { word: code.word() }, Some(key)).await
}

/// Lets due timers fire now instead of when the lane wakes.
///
/// # Errors
/// See [`Trouble`].
pub async fn tick(engine: &Engine, campaign: CampaignId) -> Result<Place, Trouble> {
    Ok(engine.submit(campaign, Class::Drain, &Op::Tick, None).await?.place)
}
