//! A chain and its schedule as hot state keeps them.

use serde::{Deserialize, Serialize};

use super::schedule::Algorithm;
use crate::hot::row::{Layout, NotARow, Row, numbered};

/// Where a chain is in its life. The last two never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Helpers cut.
    Open,
    /// All steps are taken; the time to buy runs.
    FloorReached,
    /// Its order is paid.
    Bought,
    /// Its time ran out.
    Expired,
}

impl State {
    /// As `lua/lib/schema.lua` numbers them, from 1.
    pub const NUMBERED: [Self; 4] = [Self::Open, Self::FloorReached, Self::Bought, Self::Expired];

    /// The word on the wire and in SQL.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::FloorReached => "floor_reached",
            Self::Bought => "bought",
            Self::Expired => "expired",
        }
    }

    /// Whether it can still be bought.
    #[must_use]
    pub const fn stands(self) -> bool {
        match self {
            Self::Open | Self::FloorReached => true,
            Self::Bought | Self::Expired => false,
        }
    }
}

/// A cut: helper, steps, fen. Ids in their hot form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutRow(pub String, pub i64, pub i64);

/// A row of table `chains`; ids in their hot form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainRow {
    /// Where it stands.
    pub state: State,
    /// 1 if a unit is kept for it.
    pub reserve: i64,
    /// Steps of its schedule.
    pub needed: i64,
    /// Steps taken.
    pub taken: i64,
    /// The price it started at, in fen.
    pub start: i64,
    /// The price after all steps.
    pub floor: i64,
    /// The price now.
    pub price: i64,
    /// What the next step takes off; 0 after the last.
    pub next: i64,
    /// Unix ms.
    pub started_at: i64,
    /// Unix ms of its deadline.
    pub expires_at: i64,
    /// Unix ms until which it can be bought at the floor; 0 before that is reached.
    pub buy_by: i64,
    /// Unix ms when it was bought or expired; 0 before.
    pub closed_at: i64,
    /// The definition's version it was started under.
    pub version: i64,
    /// What it is about.
    pub sku: String,
    /// Its owner.
    pub user: String,
    /// The order that waits for its payment, or has bought; empty for none.
    pub order: String,
    /// 64 hex digits.
    pub commitment: String,
    /// Who took which steps, in order; the owner's own cut first.
    pub cuts: Vec<CutRow>,
}

impl Row for ChainRow {
    fn read(packed: &[u8]) -> Result<Self, NotARow> {
        let mut row = Layout::of(packed);
        let marks = row.number(1)?;
        let (needed, taken) = (row.number(1)?, row.number(1)?);
        let (start, floor, price, next) = (row.number(5)?, row.number(5)?, row.number(5)?, row.number(5)?);
        let (started_at, expires_at, buy_by, closed_at) = (row.number(6)?, row.number(6)?, row.number(6)?, row.number(6)?);
        let version = row.number(3)?;
        let (sku, user, order, commitment) = (row.text()?, row.text()?, row.text()?, row.text()?);
        let mut cuts = Vec::new();
        while row.end().is_err() {
            let (steps, fen) = (row.number(1)?, row.number(5)?);
            cuts.push(CutRow(row.text()?, steps, fen));
        }
        Ok(Self {
            state: numbered(&State::NUMBERED, marks & 7)?,
            reserve: marks >> 3,
            needed,
            taken,
            start,
            floor,
            price,
            next,
            started_at,
            expires_at,
            buy_by,
            closed_at,
            version,
            sku,
            user,
            order,
            commitment,
            cuts,
        })
    }
}

impl ChainRow {
    /// A shopper's cut.
    #[must_use]
    pub fn cut_of(&self, user: &str) -> Option<&CutRow> {
        self.cuts.iter().find(|cut| cut.0 == user)
    }

    /// Helpers, without the owner.
    #[must_use]
    pub fn helps(&self) -> usize {
        self.cuts.iter().filter(|cut| cut.0 != self.user).count()
    }

    /// Units kept for it beside its order's.
    #[must_use]
    pub fn kept(&self) -> i64 {
        if self.state.stands() && self.order.is_empty() { self.reserve } else { 0 }
    }
}

/// A row of table `schedules`. It holds the secret of a random chain: nothing of it but what [`view`](super::view) lets through may be
/// shown while the chain is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleRow {
    /// How it was made.
    pub algorithm: Algorithm,
    /// 64 hex digits; empty where there is no chance.
    pub seed: String,
    /// Fen of each step.
    pub steps: Vec<i64>,
}

impl Row for ScheduleRow {
    fn read(packed: &[u8]) -> Result<Self, NotARow> {
        let mut row = Layout::of(packed);
        let algorithm = numbered(&Algorithm::NUMBERED, row.number(1)?)?;
        let (seed, mut steps) = (row.text()?, Vec::new());
        while row.end().is_err() {
            steps.push(row.number(5)?);
        }
        Ok(Self { algorithm, seed, steps })
    }
}
