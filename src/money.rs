//! Money: whole fen, checked, never a float.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The largest amount one field may carry: 10^10 fen (100 million yuan).
pub const MAX_FEN: i64 = 10_000_000_000;

/// An amount of money in fen (1/100 yuan). No operators: sums are checked, and whoever divides says who gets the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(value_type = i64, description = "Whole fen (1/100 yuan).", example = 4950)]
pub struct Fen(i64);

impl Fen {
    /// No money.
    pub const ZERO: Self = Self(0);

    /// Any whole number of fen, also below zero (a debt).
    #[must_use]
    pub const fn new(fen: i64) -> Self {
        Self(fen)
    }

    /// The number of fen.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The sum, or `None` past 63 bits.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The difference, or `None` past 63 bits.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(rest) => Some(Self(rest)),
            None => None,
        }
    }

    /// This price for `units` units, or `None` past 63 bits.
    #[must_use]
    pub const fn checked_mul(self, units: i64) -> Option<Self> {
        match self.0.checked_mul(units) {
            Some(total) => Some(Self(total)),
            None => None,
        }
    }
}

impl fmt::Display for Fen {
    /// Yuan with two digits, for people: `49.50`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let fen = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", fen / 100, fen % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::Fen;

    #[test]
    fn fen_prints_as_yuan() {
        assert_eq!(Fen::new(4950).to_string(), "49.50");
        assert_eq!(Fen::new(-5).to_string(), "-0.05");
        assert_eq!(Fen::new(100).to_string(), "1.00");
    }

    #[test]
    fn sums_past_63_bits_are_none() {
        assert_eq!(Fen::new(i64::MAX).checked_add(Fen::new(1)), None);
        assert_eq!(Fen::new(i64::MAX).checked_mul(2), None);
    }
}
