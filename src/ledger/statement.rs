//! A user's statement: what moved on each of their accounts, in the order in which it was booked.

use super::account::AccountKind;
use super::post::Kind;
use crate::clock::UnixMs;
use crate::id::{CampaignId, UserId, WithdrawalId};
use crate::money::Fen;
use crate::projector::unreadable;
use crate::store::{Store, StoreError, fetch_all};

/// One side of a transfer: what it did to one account of the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the statement: rising, two at most for one transfer.
    pub place: i64,
    /// The transfer's reference.
    pub reference: String,
    /// When.
    pub at: UnixMs,
    /// Why.
    pub kind: Kind,
    /// Which account.
    pub account: AccountKind,
    /// What came in, or, below zero, went out.
    pub amount: Fen,
    /// The account's balance after it.
    pub balance: Fen,
    /// In which campaign.
    pub campaign: Option<CampaignId>,
    /// For which order.
    pub order_number: Option<String>,
    /// The reward's level.
    pub level: Option<i64>,
    /// For which withdrawal.
    pub withdrawal: Option<WithdrawalId>,
}

#[derive(sqlx::FromRow)]
struct Row {
    place: i64,
    reference: String,
    at: UnixMs,
    kind: String,
    account: String,
    amount_fen: Fen,
    balance_fen: Fen,
    campaign_id: Option<CampaignId>,
    order_number: Option<String>,
    level: Option<i64>,
    withdrawal_id: Option<WithdrawalId>,
}

impl Row {
    fn read(self) -> Result<Entry, StoreError> {
        let kind = Kind::from_word(&self.kind).ok_or_else(|| unreadable(&format!("{} is no kind of transfer", self.kind)))?;
        let account = AccountKind::from_word(&self.account).ok_or_else(|| unreadable(&format!("{} is no account", self.account)))?;
        Ok(Entry {
            place: self.place,
            reference: self.reference,
            at: self.at,
            kind,
            account,
            amount: self.amount_fen,
            balance: self.balance_fen,
            campaign: self.campaign_id,
            order_number: self.order_number,
            level: self.level,
            withdrawal: self.withdrawal_id,
        })
    }
}

/// The entries before a place, newest first. A transfer's outgoing side stands before its incoming one.
///
/// # Errors
/// Those of the database.
pub async fn of_user(store: &Store, user: UserId, before: i64, fetch: i64) -> Result<Vec<Entry>, StoreError> {
    // A transfer has the places 2 × line (outgoing) and 2 × line + 1 (incoming), where that side is the user's.
    const LINES: &str = "WITH mine AS (SELECT * FROM transfers WHERE user_id = $1 AND line <= $2 ORDER BY line DESC LIMIT $3 + 1) \
                         SELECT side.place, mine.reference, mine.at, mine.kind, accounts.kind AS account, side.amount_fen, side.balance_fen, \
                         mine.campaign_id, mine.order_number, mine.level, mine.withdrawal_id FROM mine JOIN ( \
                         SELECT reference, 2 * line AS place, from_account AS account, -amount_fen AS amount_fen, from_after_fen AS balance_fen FROM mine \
                         UNION ALL SELECT reference, 2 * line + 1, to_account, amount_fen, to_after_fen FROM mine) AS side \
                         ON side.reference = mine.reference JOIN accounts ON accounts.id = side.account \
                         WHERE accounts.owner = $1 AND side.place < $4 ORDER BY side.place DESC LIMIT $3";
    let rows = fetch_all!(store, Row, LINES, user, before.div_euclid(2), fetch, before)?;
    rows.into_iter().map(Row::read).collect()
}
