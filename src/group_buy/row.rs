//! A group-buy room as hot state keeps it.

use serde::{Deserialize, Serialize};

use crate::hot::row::{Layout, NotARow, Row, numbered};
use crate::id::{NotAnId, UserId};

/// Where a room stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Takes members, or waits for the last payments after its deadline.
    Open,
    /// Every seat is paid.
    Formed,
    /// Its time ran out, or nobody was left.
    Failed,
}

impl State {
    /// As `lua/lib/schema.lua` numbers them, from 1.
    pub const NUMBERED: [Self; 3] = [Self::Open, Self::Formed, Self::Failed];
}

/// A seat: user, order, 1 when paid. Ids in their hot form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRow(pub String, pub String, pub i64);

/// A step of a ladder: members, and the price of one unit in fen when so many have paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierRow(pub i64, pub i64);

/// A row of table `rooms`; ids in their hot form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomRow {
    /// Where it stands.
    pub state: State,
    /// What its members buy.
    pub sku: String,
    /// Seats, of the largest tier.
    pub size: i64,
    /// Price of one unit in fen that every member pays, the first tier's; an opener may pay a price of their own.
    pub price: i64,
    /// The ladder's steps, sizes rising; empty for a room of one size.
    pub tiers: Vec<TierRow>,
    /// Paid members with whom it forms at its deadline whatever its size; 0 for none.
    pub accept_from: i64,
    /// 1 if units are kept for the free seats of the smallest tier.
    pub reserve: i64,
    /// The leader's order; empty when nobody is left.
    pub leader: String,
    /// Unix ms of its deadline.
    pub expires_at: i64,
    /// Unix ms.
    pub opened_at: i64,
    /// Unix ms when it formed or failed; 0 before.
    pub closed_at: i64,
    /// The definition's version it was opened under.
    pub version: i64,
    /// Seats taken: the leader's, then the others in the order of joining.
    pub members: Vec<MemberRow>,
}

/// Marks beside the state's number, as `lua/lib/schema.lua` sets them.
const RESERVE: i64 = 4;
const TERMS: i64 = 8;

/// Reads what `lua/group_buy/terms.lua` wrote.
fn terms(packed: &[u8]) -> Result<(i64, Vec<TierRow>), NotARow> {
    let mut row = Layout::of(packed);
    let (accept_from, mut tiers) = (row.number(1)?, Vec::new());
    while row.end().is_err() {
        tiers.push(TierRow(row.number(1)?, row.number(5)?));
    }
    Ok((accept_from, tiers))
}

impl Row for RoomRow {
    fn read(packed: &[u8]) -> Result<Self, NotARow> {
        let mut row = Layout::of(packed);
        let marks = row.number(1)?;
        let state = numbered(&State::NUMBERED, marks & 3)?;
        let (size, taken, paid) = (row.number(1)?, row.number(1)?, row.number(1)?);
        let (price, opened_at, expires_at, closed_at) = (row.number(5)?, row.number(6)?, row.number(6)?, row.number(6)?);
        let (version, sku) = (row.number(3)?, row.text()?);
        let (accept_from, tiers) = if marks & TERMS == 0 { (0, Vec::new()) } else { terms(row.short()?)? };
        let mut members = Vec::new();
        while row.end().is_err() {
            let (paid, user) = row.marked()?;
            members.push(MemberRow(user, row.text()?, paid.into()));
        }
        let leader = members.first().map(|seat| seat.1.clone()).unwrap_or_default();
        let reserve = i64::from(marks & RESERVE != 0);
        let room =
            Self { state, sku, size, price, tiers, accept_from, reserve, leader, expires_at, opened_at, closed_at, version, members };
        if (room.taken(), room.paid()) == (taken, paid) { Ok(room) } else { Err(NotARow) }
    }
}

impl RoomRow {
    /// Whose the seats are, and whether each is paid; who leads stands first.
    ///
    /// # Errors
    /// When a member's id is none.
    pub fn seats(&self) -> Result<Vec<(UserId, bool)>, NotAnId> {
        self.members.iter().map(|seat| Ok((UserId::from_hot(&seat.0)?, seat.2 == 1))).collect()
    }

    /// Seats taken.
    #[must_use]
    pub fn taken(&self) -> i64 {
        i64::try_from(self.members.len()).unwrap_or(i64::MAX)
    }

    /// Seats paid.
    #[must_use]
    pub fn paid(&self) -> i64 {
        self.members.iter().map(|member| member.2).sum()
    }

    /// Members of the smallest tier.
    #[must_use]
    pub fn least(&self) -> i64 {
        self.tiers.first().map_or(self.size, |tier| tier.0)
    }

    /// Paid members with whom it forms at its deadline.
    #[must_use]
    pub fn enough(&self) -> i64 {
        if self.accept_from > 0 { self.least().min(self.accept_from) } else { self.least() }
    }

    /// The price of one unit in fen at which it would form with so many paid members: that of the highest tier reached, else the first's.
    #[must_use]
    pub fn price_at(&self, paid: i64) -> i64 {
        self.tiers.iter().rev().find(|tier| tier.0 <= paid).map_or(self.price, |tier| tier.1)
    }

    /// Units kept for free seats of the smallest tier.
    #[must_use]
    pub fn kept(&self) -> i64 {
        if self.state == State::Open { self.reserve * (self.least() - self.taken()).max(0) } else { 0 }
    }

    /// The user who leads, if anybody does.
    #[must_use]
    pub fn leader_user(&self) -> Option<&str> {
        self.members.first().map(|member| member.0.as_str())
    }

    /// The order of a user's seat.
    #[must_use]
    pub fn order_of(&self, user: &str) -> Option<&str> {
        self.members.iter().find(|member| member.0 == user).map(|member| member.1.as_str())
    }
}
