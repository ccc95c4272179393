//! What the engine asks of whoever pays money out. Every call may fail, and every call may be repeated.

use serde_json::Value;

use crate::id::{UserId, WithdrawalId};
use crate::money::Fen;
use crate::order::provider::{Asked, SHOP, Shop};

/// Money to be paid out. The number is the same in every try, so the provider pays once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payout {
    /// Our number of it.
    pub number: WithdrawalId,
    /// To whom.
    pub user: UserId,
    /// How much.
    pub amount: Fen,
}

/// The answer to "pay this out". An error says nothing: it may have been paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is paid out.
    Done,
    /// It takes a while: ask again, with the same number.
    UnderWay,
    /// The user must confirm it first, with this.
    AwaitsUser(Value),
    /// It was not paid out, and under this number never will be; why.
    Refused(String),
    /// As [`Outcome::Refused`], because its user turned it down or did not confirm it in time.
    Declined(String),
}

/// Whoever pays money out.
pub trait PayoutProvider: Send + Sync {
    /// Its name in SQL and in answers.
    fn name(&self) -> &'static str;

    /// Pays money out, or says what became of it.
    fn pay_out(&self, payout: Payout) -> Asked<'_, Outcome>;
}

impl PayoutProvider for Shop {
    fn name(&self) -> &'static str {
        SHOP
    }

    /// People of the shop work through the list of withdrawals.
    fn pay_out(&self, _payout: Payout) -> Asked<'_, Outcome> {
        Box::pin(async { Ok(Outcome::UnderWay) })
    }
}
