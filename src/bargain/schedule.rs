//! The schedule of a chain: how much each step takes off the price, fixed when the chain starts.
//!
//! A pure function of the way (start price − floor price, in fen), the number of steps, and a curve. Every step is a whole number of fen,
//! at least one, and together they are the way to the fen.
//!
//! Each step has a weight. One fen is set aside for each step; the rest of the way is shared out by weight, rounded down, and what the
//! rounding leaves over goes to the first steps, one fen each:
//!
//! ```text
//! step_i = 1 + floor(rest × weight_i ÷ sum of the weights)      rest = way − steps
//! ```
//!
//! * `even`: every weight is 1, so that no two steps differ by more than a fen;
//! * `front_loaded`: the weights of n steps are n, n − 1, … 1;
//! * `random`: `weight_i = 1 + r_i mod 1000`, where `r_i` is the number in the first 8 bytes (big-endian) of
//!   SHA-256(seed ‖ i), i from 0 in 4 bytes (big-endian). The seed is 32 random bytes, drawn before the op that starts the chain is sent.
//!
//! The commitment is shown from the start on: the SHA-256 of the seed, or where there is no chance of the schedule as compact JSON. Anybody
//! can do all of this again (`liebian verify-chain`, `docs/verify-chain.md`).

use serde::{Deserialize, Serialize};

use crate::campaign::model::Curve;
use crate::crypto::{hex, random_bytes, sha256, sha256_hex};
use crate::money::MAX_FEN;

/// The most steps a schedule has.
pub const MOST_STEPS: i64 = 200;
/// Weights of `random` are 1 to this.
const SPREAD: u64 = 1000;

/// What a random schedule is drawn from.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl std::fmt::Debug for Seed {
    /// Never its bytes: while a chain is open they are a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed")
    }
}

impl Seed {
    /// A seed of these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A new one, of the operating system's randomness.
    #[must_use]
    pub fn random() -> Self {
        Self(random_bytes())
    }

    /// The seed of 64 lower-case hex digits.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            if pair.iter().any(u8::is_ascii_uppercase) {
                return None;
            }
            *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// 64 lower-case hex digits.
    #[must_use]
    pub fn hex(&self) -> String {
        hex(&self.0)
    }

    /// The weight of a step.
    fn weight(&self, step: u32) -> i64 {
        let hash = sha256(&[self.0.as_slice(), &step.to_be_bytes()].concat());
        let first = hash.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        i64::try_from(1 + first % SPREAD).unwrap_or(1)
    }
}

/// The steps of a chain and what they were made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Fen of each step.
    pub steps: Vec<i64>,
    /// Of `random` schedules.
    pub seed: Option<Seed>,
}

/// How a schedule was made; names the algorithm in proofs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub enum Algorithm {
    /// `even`
    #[serde(rename = "liebian-even-1")]
    Even,
    /// `front_loaded`
    #[serde(rename = "liebian-front-loaded-1")]
    FrontLoaded,
    /// `random`
    #[serde(rename = "liebian-random-1")]
    Random,
}

impl From<Curve> for Algorithm {
    fn from(curve: Curve) -> Self {
        match curve {
            Curve::Even => Self::Even,
            Curve::FrontLoaded => Self::FrontLoaded,
            Curve::Random => Self::Random,
        }
    }
}

impl Algorithm {
    /// As `lua/lib/schema.lua` numbers the curves, from 1.
    pub const NUMBERED: [Self; 3] = [Self::Even, Self::FrontLoaded, Self::Random];

    /// Its number in hot state.
    #[must_use]
    pub const fn number(self) -> i64 {
        match self {
            Self::Even => 1,
            Self::FrontLoaded => 2,
            Self::Random => 3,
        }
    }

    /// The schedule of `count` steps over `way` fen; `None` when no step may be left out and the way is too short, or the count or the seed
    /// does not fit.
    #[must_use]
    pub fn schedule(self, way: i64, count: i64, seed: Option<&Seed>) -> Option<Vec<i64>> {
        if !(1..=MOST_STEPS).contains(&count) || !(count..=MAX_FEN).contains(&way) {
            return None;
        }
        let weight = |step: i64| match (self, seed) {
            (Self::Even, None) => Some(1),
            (Self::FrontLoaded, None) => Some(count - step),
            (Self::Random, Some(seed)) => u32::try_from(step).ok().map(|step| seed.weight(step)),
            (Self::Even | Self::FrontLoaded, Some(_)) | (Self::Random, None) => None,
        };
        let weights: Vec<i64> = (0..count).map(weight).collect::<Option<_>>()?;
        Some(share_out(way, count, &weights))
    }
}

/// Shares out a way by weight, at least one fen a step. The way is at most 10^10 fen and a weight at most 1000: no product passes 63 bits.
fn share_out(way: i64, count: i64, weights: &[i64]) -> Vec<i64> {
    let (rest, sum) = (way - count, weights.iter().sum::<i64>().max(1));
    let mut steps: Vec<i64> = weights.iter().map(|weight| 1 + rest * weight / sum).collect();
    let mut over = way - steps.iter().sum::<i64>();
    for step in &mut steps {
        if over == 0 {
            break;
        }
        *step += 1;
        over -= 1;
    }
    steps
}

impl Schedule {
    /// A new schedule; a seed is drawn where the curve asks for one.
    #[must_use]
    pub fn draw(curve: Curve, way: i64, count: i64) -> Option<Self> {
        let seed = (curve == Curve::Random).then(Seed::random);
        Some(Self { steps: Algorithm::from(curve).schedule(way, count, seed.as_ref())?, seed })
    }

    /// The commitment: lower-case hex SHA-256 of the seed, or of the schedule as compact JSON.
    #[must_use]
    pub fn commitment(&self) -> String {
        match &self.seed {
            Some(Seed(bytes)) => sha256_hex(bytes),
            None => sha256_hex(serde_json::json!(self.steps).to_string().as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Algorithm, MOST_STEPS, Schedule, Seed};
    use crate::campaign::model::Curve;
    use crate::money::MAX_FEN;

    const CURVES: [Curve; 3] = [Curve::Even, Curve::FrontLoaded, Curve::Random];

    fn of(curve: Curve, way: i64, count: i64, seed: u8) -> Option<Vec<i64>> {
        let seed = (curve == Curve::Random).then(|| Seed::new([seed; 32]));
        Algorithm::from(curve).schedule(way, count, seed.as_ref())
    }

    proptest! {
        #[test]
        fn every_step_cuts_and_all_of_them_are_the_way(count in 1..=MOST_STEPS, more in 0..=MAX_FEN - MOST_STEPS, seed: u8, curve in 0..3_usize) {
            let (curve, way) = (CURVES[curve], count + more);
            let steps = of(curve, way, count, seed).unwrap();
            prop_assert_eq!(i64::try_from(steps.len()).unwrap(), count);
            prop_assert_eq!(steps.iter().sum::<i64>(), way);
            prop_assert!(steps.iter().all(|step| *step >= 1));
            let (most, least) = (steps.iter().max().unwrap(), steps.iter().min().unwrap());
            match curve {
                Curve::Even => prop_assert!(most - least <= 1 && steps.is_sorted_by(|a, b| a >= b)),
                Curve::FrontLoaded => prop_assert!(steps.is_sorted_by(|a, b| a >= b)),
                // No helper is sent away with next to nothing: the smallest share is a thousandth of the largest, but for rounding.
                Curve::Random => prop_assert!(*most <= least * 1000 + 1001),
            }
        }

        #[test]
        fn short_ways_too(count in 1..=MOST_STEPS, more in 0..400_i64, seed: u8, curve in 0..3_usize) {
            let steps = of(CURVES[curve], count + more, count, seed).unwrap();
            prop_assert!(steps.iter().sum::<i64>() == count + more && steps.iter().all(|step| *step >= 1));
        }
    }

    #[test]
    fn all_counts_have_a_schedule_from_the_shortest_way_on() {
        for count in 1..=MOST_STEPS {
            for curve in CURVES {
                for way in [count, count + 1, 2 * count - 1, 20_000, MAX_FEN] {
                    assert_eq!(of(curve, way, count, 7).unwrap().iter().sum::<i64>(), way);
                }
                assert_eq!(of(curve, count - 1, count, 7), None, "a step without a fen");
            }
        }
        assert_eq!(of(Curve::Even, 1000, 0, 0), None);
        assert_eq!(of(Curve::Even, 1000, 201, 0), None);
        assert_eq!(Algorithm::Random.schedule(10, 2, None), None);
        assert_eq!(Algorithm::Even.schedule(10, 2, Some(&Seed::new([0; 32]))), None);
    }

    /// Worked out with pencil (`even`, `front_loaded`) and with the Python of `docs/verify-chain.md` (`random`).
    #[test]
    fn known_schedules() {
        assert_eq!(of(Curve::Even, 100, 3, 0).unwrap(), [34, 33, 33]);
        assert_eq!(of(Curve::FrontLoaded, 100, 4, 0).unwrap(), [40, 30, 20, 10]);
        assert_eq!(of(Curve::FrontLoaded, 20_000, 12, 0).unwrap().first(), Some(&3077));
        assert_eq!(of(Curve::Random, 20_000, 6, 0).unwrap(), RANDOM_OF_ZEROS);
        assert_eq!(of(Curve::Random, 1000, 3, 1).unwrap(), RANDOM_OF_ONES);
    }

    const RANDOM_OF_ZEROS: [i64; 6] = [4222, 4017, 2067, 4735, 267, 4692];
    const RANDOM_OF_ONES: [i64; 3] = [425, 122, 453];

    #[test]
    fn commitments_are_of_the_seed_or_of_the_schedule() {
        let seeded = Schedule { steps: vec![34, 33, 33], seed: Some(Seed::new([0; 32])) };
        assert_eq!(seeded.commitment(), "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925");
        assert_eq!(Schedule { seed: None, ..seeded }.commitment(), crate::crypto::sha256_hex(b"[34,33,33]"));
    }

    #[test]
    fn seeds_read_back_and_are_not_told_by_accident() {
        let schedule = Schedule::draw(Curve::Random, 1000, 5).unwrap();
        let seed = schedule.seed.clone().unwrap();
        assert_eq!(Seed::read(&seed.hex()), Some(seed.clone()));
        assert!(!format!("{schedule:?}").contains(&seed.hex()));
        assert_eq!((Seed::read(&"0".repeat(63)), Seed::read(&"G".repeat(64)), Seed::read(&"AB".repeat(32))), (None, None, None));
        assert_eq!(Schedule::draw(Curve::Even, 1000, 5).unwrap().seed, None);
    }
}
