//! What an order earns for each level, in whole fen.
//!
//! Basis points are a share of the order's amount, rounded down; a fixed sum is per order, whatever is in it. Both levels together take at
//! most the cap, a share of the amount rounded down too: level 1 is served first, level 2 gets what is left of the cap. Whatever rounding
//! and cap leave over stays with the shop. Of a refund the same part of the reward goes back, rounded down, and with a full refund all.

use serde::{Deserialize, Serialize};

use crate::campaign::model::{Level, Referral, SkuOverride};
use crate::money::Fen;

/// All of an amount, in basis points.
const WHOLE: i64 = 10_000;

/// What the two levels earn. There is no place for a third.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    /// The buyer's inviter.
    pub level1: Level,
    /// The inviter's inviter; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level2: Option<Level>,
    /// The most that both take together, of the order's amount.
    pub cap_basis_points: i64,
}

impl Rates {
    /// The rates of an item: its own if it has some, else the general ones. `None` for a definition without a level, which cannot be written.
    #[must_use]
    pub fn of(definition: &Referral, sku: Option<&str>) -> Option<Self> {
        Self::among(&definition.levels, &definition.sku_overrides, definition.cap_basis_points, sku)
    }

    /// The same of what a definition or its view says.
    #[must_use]
    pub fn among(general: &[Level], overrides: &[SkuOverride], cap_basis_points: i64, sku: Option<&str>) -> Option<Self> {
        let own = overrides.iter().find(|entry| sku == Some(entry.sku.as_str()));
        let rates = own.map_or(general, |entry| &entry.levels);
        Some(Self { level1: *rates.first()?, level2: rates.get(1).copied(), cap_basis_points })
    }

    /// What an order of this amount earns for level 1 and for level 2. Level 2 earns nothing where there is nobody to earn it: that is the
    /// caller's to say.
    #[must_use]
    pub fn rewards(&self, amount: Fen) -> (Fen, Fen) {
        let amount = amount.get().max(0);
        let cap = part(amount, self.cap_basis_points, WHOLE);
        let first = earned(self.level1, amount).min(cap);
        let second = self.level2.map_or(0, |level| earned(level, amount)).min(cap - first);
        (Fen::new(first), Fen::new(second))
    }
}

fn earned(level: Level, amount: i64) -> i64 {
    match level {
        Level::Share { basis_points } => part(amount, basis_points, WHOLE),
        Level::Fixed { fixed_fen } => fixed_fen.get().max(0),
    }
}

/// What has to have gone back of a reward when this much of the order's amount went back, in all.
#[must_use]
pub fn reversed(reward: Fen, refunded: Fen, amount: Fen) -> Fen {
    let (reward, refunded, amount) = (reward.get().max(0), refunded.get().max(0), amount.get());
    Fen::new(if refunded >= amount { reward } else { part(reward, refunded, amount) })
}

/// `floor(of × numerator ÷ denominator)` of numbers not below zero, at most `of`.
fn part(of: i64, numerator: i64, denominator: i64) -> i64 {
    let exact = (i128::from(of) * i128::from(numerator.max(0))).checked_div(i128::from(denominator)).unwrap_or_default();
    i64::try_from(exact).map_or(of, |part| part.min(of))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Rates, reversed};
    use crate::campaign::model::Level;
    use crate::money::Fen;

    const fn share(basis_points: i64) -> Level {
        Level::Share { basis_points }
    }

    const fn fixed(fen: i64) -> Level {
        Level::Fixed { fixed_fen: Fen::new(fen) }
    }

    fn rewards(level1: Level, level2: Option<Level>, cap: i64, amount: i64) -> (i64, i64) {
        let (first, second) = Rates { level1, level2, cap_basis_points: cap }.rewards(Fen::new(amount));
        (first.get(), second.get())
    }

    #[test]
    fn shares_round_down_and_level_one_is_served_first() {
        assert_eq!(rewards(share(1000), Some(share(300)), 3000, 9_999), (999, 299));
        assert_eq!(rewards(share(1000), None, 3000, 9_999), (999, 0));
        assert_eq!(rewards(share(2500), Some(share(2500)), 3000, 10_000), (2500, 500), "level 2 gets what the cap leaves");
        assert_eq!(rewards(fixed(500), Some(fixed(100)), 3000, 1_000), (300, 0), "a fixed sum is capped too");
        assert_eq!(rewards(share(1), Some(share(1)), 10_000, 9), (0, 0));
    }

    #[test]
    fn a_full_refund_takes_all_back() {
        let back = |refunded| reversed(Fen::new(333), Fen::new(refunded), Fen::new(1_000)).get();
        assert_eq!([back(0), back(1), back(4), back(500), back(999), back(1_000), back(2_000)], [0, 0, 1, 166, 332, 333, 333]);
        assert_eq!(reversed(Fen::ZERO, Fen::ZERO, Fen::ZERO), Fen::ZERO);
    }

    fn level() -> impl Strategy<Value = Level> {
        prop_oneof![(0..=10_000_i64).prop_map(share), (0..=10_000_000_000_i64).prop_map(fixed)]
    }

    proptest! {
        #[test]
        fn both_levels_stay_within_the_cap(one in level(), two in proptest::option::of(level()), cap in 0..=10_000_i64, amount in 0..=i64::MAX) {
            let (first, second) = rewards(one, two, cap, amount);
            prop_assert!(first >= 0 && second >= 0);
            prop_assert!(i128::from(first) + i128::from(second) <= i128::from(amount) * i128::from(cap) / 10_000);
            prop_assert!(two.is_some() || second == 0);
        }

        #[test]
        fn more_refunded_is_never_less_reversed(reward in 0..=i64::MAX, amount in 1..=i64::MAX, one in 0..=i64::MAX, two in 0..=i64::MAX) {
            let back = |refunded: i64| reversed(Fen::new(reward), Fen::new(refunded), Fen::new(amount)).get();
            let (less, more) = (back(one.min(two)), back(one.max(two)));
            prop_assert!(0 <= less && less <= more && more <= reward);
            prop_assert_eq!(back(amount), reward);
            let (part, whole) = (i128::from(one.min(amount)), i128::from(amount));
            prop_assert_eq!(i128::from(back(one)), i128::from(reward) * part / whole, "in proportion");
        }
    }
}
