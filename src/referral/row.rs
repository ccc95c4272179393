//! Bonds, sales and budgets as hot state keeps them.

use serde::{Deserialize, Serialize};

use crate::hot::row::{Layout, NotARow, Row, numbered};

/// A row of table `bonds`, of the invited user; ids in their hot form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BondRow {
    /// Unix ms.
    pub bound_at: i64,
    /// From when it counts as none, Unix ms; 0 for never.
    pub expires_at: i64,
    /// The definition's version it was made under.
    pub version: i64,
    /// Ancestors when it was made.
    pub above: i64,
    /// Who invited.
    pub inviter: String,
}

impl BondRow {
    /// Whether it stands at that moment (Unix ms).
    #[must_use]
    pub const fn lives(&self, now: i64) -> bool {
        self.expires_at == 0 || now < self.expires_at
    }
}

impl Row for BondRow {
    fn read(packed: &[u8]) -> Result<Self, NotARow> {
        let mut row = Layout::of(packed);
        let (bound_at, expires_at, version) = (row.number(6)?, row.number(6)?, row.number(3)?);
        let (above, inviter) = (row.number(1)?, row.text()?);
        row.end()?;
        Ok(Self { bound_at, expires_at, version, above, inviter })
    }
}

/// What became of a level's reward when its sale was first reported, and since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardState {
    /// The level earns nothing.
    None,
    /// Granted; the freeze is not over.
    Frozen,
    /// Granted; the freeze is over.
    Available,
    /// It did not fit into what was left of the budget.
    OverBudget,
    /// It did not fit into what was left of the day's budget.
    OverDailyBudget,
}

impl RewardState {
    /// As `lua/lib/schema.lua` numbers them, from 1.
    pub const NUMBERED: [Self; 5] = [Self::None, Self::Frozen, Self::Available, Self::OverBudget, Self::OverDailyBudget];

    /// Whether there is a reward.
    #[must_use]
    pub const fn granted(self) -> bool {
        match self {
            Self::Frozen | Self::Available => true,
            Self::None | Self::OverBudget | Self::OverDailyBudget => false,
        }
    }
}

/// One level of a sale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelRow {
    /// Where its reward stands.
    pub state: RewardState,
    /// Whom it rewards, in hot form; empty for nobody.
    pub user: String,
    /// With how many fen, as granted or refused.
    pub fen: i64,
    /// How many of them went back.
    pub back: i64,
}

/// A row of table `sales`. A sale rewards two levels at most: these two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaleRow {
    /// The buyer's inviter.
    pub level1: LevelRow,
    /// The inviter's inviter.
    pub level2: LevelRow,
    /// When it was reported first, Unix ms.
    pub reported_at: i64,
    /// When its goods were handed over, Unix ms; 0 before.
    pub fulfilled_at: i64,
    /// From then until its rewards are available, ms.
    pub freeze: i64,
    /// The definition's version it was granted under.
    pub version: i64,
    /// Who bought, in hot form.
    pub buyer: String,
}

impl Row for SaleRow {
    fn read(packed: &[u8]) -> Result<Self, NotARow> {
        let mut row = Layout::of(packed);
        let states = (row.number(1)?, row.number(1)?);
        let (fen1, back1, fen2, back2) = (row.number(5)?, row.number(5)?, row.number(5)?, row.number(5)?);
        let (reported_at, fulfilled_at, freeze, version) = (row.number(6)?, row.number(6)?, row.number(6)?, row.number(3)?);
        let (buyer, user1, user2) = (row.text()?, row.text()?, row.text()?);
        row.end()?;
        let level1 = LevelRow { state: numbered(&RewardState::NUMBERED, states.0)?, user: user1, fen: fen1, back: back1 };
        let level2 = LevelRow { state: numbered(&RewardState::NUMBERED, states.1)?, user: user2, fen: fen2, back: back2 };
        Ok(Self { level1, level2, reported_at, fulfilled_at, freeze, version, buyer })
    }
}

/// The row of table `spent`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpentRow {
    /// Fen granted and not gone back.
    pub total: i64,
    /// The last day (UTC+8, since 1970) on which some were granted.
    pub day: i64,
    /// How many on it, whatever went back.
    pub today: i64,
}

impl Row for SpentRow {
    fn read(packed: &[u8]) -> Result<Self, NotARow> {
        let mut row = Layout::of(packed);
        let (total, day, today) = (row.number(7)?, row.number(4)?, row.number(7)?);
        row.end()?;
        Ok(Self { total, day, today })
    }
}
