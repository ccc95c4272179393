//! The rules by which a user may take money out: the strictest of all campaigns they earned in.

use crate::app::App;
use crate::campaign::model::{Rules, Withdrawal};
use crate::clock::UnixMs;
use crate::http::problem::Problem;
use crate::id::UserId;
use crate::ledger;
use crate::money::{Fen, MAX_FEN};

/// Days begin at midnight UTC+8, ms after midnight UTC.
const ZONE: i64 = 8 * 3600 * 1000;
const DAY: i64 = 24 * 3600 * 1000;

/// The rules for one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The least of one withdrawal.
    pub min: Fen,
    /// The most of one withdrawal.
    pub max: Fen,
    /// Withdrawals a day.
    pub per_day: i64,
    /// Up to this sum nobody needs to approve.
    pub auto_approve_max: Fen,
}

impl Terms {
    /// The rules of whoever has earned nothing.
    const WIDEST: Self = Self { min: Fen::new(1), max: Fen::new(MAX_FEN), per_day: i64::MAX, auto_approve_max: Fen::new(MAX_FEN) };

    /// The rules for a user.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn of(app: &App, user: UserId) -> Result<Self, Problem> {
        let mut terms = Self::WIDEST;
        for (campaign, version) in ledger::earned_in(&app.store, user).await? {
            if let Some(record) = app.definitions.get(app, campaign, version).await?
                && let Rules::Referral(own) = &record.definition.rules
            {
                terms = terms.and(&own.withdrawal);
            }
        }
        Ok(terms)
    }

    fn and(self, other: &Withdrawal) -> Self {
        Self {
            min: self.min.max(other.min_fen),
            max: self.max.min(other.max_fen),
            per_day: self.per_day.min(other.per_day),
            auto_approve_max: self.auto_approve_max.min(other.auto_approve_max_fen),
        }
    }

    /// Whether one withdrawal may be of this amount.
    ///
    /// # Errors
    /// 422 naming `amount_fen`.
    pub fn allow(&self, amount: Fen) -> Result<(), Problem> {
        if self.min <= amount && amount <= self.max {
            return Ok(());
        }
        Err(Problem::invalid("amount_fen", format!("must be {} to {}", self.min.get(), self.max.get())))
    }
}

/// When the day of a moment began and will end.
pub(super) fn day(now: UnixMs) -> (UnixMs, UnixMs) {
    let begin = now.get().saturating_add(ZONE).div_euclid(DAY).saturating_mul(DAY).saturating_sub(ZONE);
    (UnixMs::new(begin), UnixMs::new(begin.saturating_add(DAY)))
}

#[cfg(test)]
mod tests {
    use super::{Terms, day};
    use crate::campaign::model::Withdrawal;
    use crate::clock::UnixMs;
    use crate::money::Fen;

    fn rules(min: i64, max: i64, per_day: i64, auto: i64) -> Withdrawal {
        Withdrawal { min_fen: Fen::new(min), max_fen: Fen::new(max), per_day, auto_approve_max_fen: Fen::new(auto) }
    }

    #[test]
    fn of_several_rules_the_strictest_hold() {
        let terms = Terms::WIDEST.and(&rules(100, 5000, 3, 900)).and(&rules(50, 2000, 9, 1000));
        assert_eq!((terms.min, terms.max, terms.per_day, terms.auto_approve_max), (Fen::new(100), Fen::new(2000), 3, Fen::new(900)));
        for (amount, fits) in [(99, false), (100, true), (2000, true), (2001, false)] {
            assert_eq!(terms.allow(Fen::new(amount)).is_ok(), fits, "{amount}");
        }
    }

    #[test]
    fn a_day_begins_at_sixteen_utc() {
        let at = |text| UnixMs::parse(text).unwrap();
        assert_eq!(day(at("2026-11-22T15:59:59Z")), (at("2026-11-21T16:00:00Z"), at("2026-11-22T16:00:00Z")));
        assert_eq!(day(at("2026-11-22T16:00:00Z")).0, at("2026-11-22T16:00:00Z"));
    }
}
