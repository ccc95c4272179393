//! `liebian verify-chain`: does a chain's schedule again from its proof, without a server.

use serde::Deserialize;

use super::schedule::{Algorithm, Schedule, Seed};
use crate::money::Fen;

/// A proof as `GET /v1/chains/{id}/proof` answers it; what it says beside this is passed over.
#[derive(Clone, Debug, Deserialize)]
pub struct Proof {
    algorithm: Algorithm,
    commitment: String,
    seed: Option<String>,
    schedule_fen: Vec<Option<i64>>,
    start_price_fen: Option<i64>,
    floor_price_fen: Option<i64>,
}

/// What the one who checks knows from elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The price at the start.
    pub start_fen: Option<i64>,
    /// The price after all steps.
    pub floor_fen: Option<i64>,
    /// The commitment seen when the chain was started.
    pub commitment: Option<String>,
}

/// Why a proof does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// It does not read.
    #[error("this is no proof of a chain: {0}")]
    Unreadable(String),
    /// Some of it is still secret.
    #[error("the chain is still open: ask for its proof again when it has ended")]
    StillOpen,
    /// The commitment is another one than was promised.
    #[error("the commitment is not the one that was promised")]
    OtherCommitment,
    /// The commitment is not that of the seed or schedule.
    #[error("the commitment does not fit what is revealed")]
    NotCommitted,
    /// The algorithm makes another schedule.
    #[error("the algorithm makes another schedule")]
    OtherSchedule,
    /// The steps lead elsewhere.
    #[error("the steps take {0} yuan off, the prices ask for {1}")]
    OtherWay(Fen, Fen),
    /// A price is another one than was promised.
    #[error("the proof's {0} price is {1} yuan, the promised one {2}")]
    OtherPrice(&'static str, Fen, Fen),
}

/// Checks a proof.
///
/// # Errors
/// What is wrong with it.
pub fn verify(text: &str, known: &Known) -> Result<String, Wrong> {
    let proof: Proof = serde_json::from_str(text).map_err(|error| Wrong::Unreadable(error.to_string()))?;
    let steps: Vec<i64> = proof.schedule_fen.into_iter().collect::<Option<_>>().ok_or(Wrong::StillOpen)?;
    let seed = match (proof.algorithm, proof.seed) {
        (Algorithm::Random, None) => return Err(Wrong::StillOpen),
        (Algorithm::Random, Some(text)) => {
            Some(Seed::read(&text).ok_or_else(|| Wrong::Unreadable("the seed is not 64 hex digits".into()))?)
        }
        (Algorithm::Even | Algorithm::FrontLoaded, _) => None,
    };
    let way = steps.iter().try_fold(0_i64, |sum, step| sum.checked_add(*step)).ok_or(Wrong::OtherSchedule)?;
    let count = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    if proof.algorithm.schedule(way, count, seed.as_ref()).as_ref() != Some(&steps) {
        return Err(Wrong::OtherSchedule);
    }
    let schedule = Schedule { steps, seed };
    if schedule.commitment() != proof.commitment {
        return Err(Wrong::NotCommitted);
    }
    if known.commitment.as_ref().is_some_and(|promised| *promised != proof.commitment) {
        return Err(Wrong::OtherCommitment);
    }
    for (which, told, promised) in [("start", proof.start_price_fen, known.start_fen), ("floor", proof.floor_price_fen, known.floor_fen)] {
        if let Some((told, promised)) = told.zip(promised).filter(|(told, promised)| told != promised) {
            return Err(Wrong::OtherPrice(which, Fen::new(told), Fen::new(promised)));
        }
    }
    for (start, floor) in [(proof.start_price_fen, proof.floor_price_fen), (known.start_fen, known.floor_fen)] {
        let asked = start.zip(floor).map(|(start, floor)| start.saturating_sub(floor));
        if let Some(asked) = asked.filter(|asked| *asked != way) {
            return Err(Wrong::OtherWay(Fen::new(way), Fen::new(asked)));
        }
    }
    Ok(format!("verified: {count} steps take {} yuan off, as committed to by {}", Fen::new(way), proof.commitment))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Known, Wrong, verify};
    use crate::bargain::schedule::{Algorithm, Schedule};
    use crate::campaign::model::Curve;
    use crate::money::Fen;

    fn proof(curve: Curve) -> Value {
        let schedule = Schedule::draw(curve, 20_000, 12).unwrap();
        json!({"algorithm": Algorithm::from(curve), "commitment": schedule.commitment(), "seed": schedule.seed.as_ref().map(super::Seed::hex),
            "schedule_fen": schedule.steps, "start_price_fen": 29_900, "floor_price_fen": 9_900, "more": "is passed over"})
    }

    fn of(proof: &Value) -> Result<String, Wrong> {
        verify(&proof.to_string(), &Known::default())
    }

    #[test]
    fn an_honest_proof_holds() {
        for curve in [Curve::Even, Curve::FrontLoaded, Curve::Random] {
            assert!(of(&proof(curve)).unwrap().contains("12 steps take 200.00 yuan off"));
        }
    }

    #[test]
    fn what_was_changed_is_found() {
        for curve in [Curve::Even, Curve::FrontLoaded, Curve::Random] {
            let honest = proof(curve);
            let mut shifted = honest.clone();
            let (first, second) = (honest["schedule_fen"][0].as_i64().unwrap(), honest["schedule_fen"][1].as_i64().unwrap());
            (shifted["schedule_fen"][0], shifted["schedule_fen"][1]) = (json!(first + 1), json!(second - 1));
            assert_eq!(of(&shifted), Err(Wrong::OtherSchedule));
            let mut other = honest.clone();
            other["commitment"] = json!("0".repeat(64));
            assert_eq!(of(&other), Err(Wrong::NotCommitted));
            let mut dearer = honest.clone();
            dearer["floor_price_fen"] = json!(9_901);
            assert!(matches!(of(&dearer), Err(Wrong::OtherWay(..))));
            let known = Known { start_fen: Some(29_900), floor_fen: Some(9_900), commitment: Some("1".repeat(64)) };
            assert_eq!(verify(&honest.to_string(), &known), Err(Wrong::OtherCommitment));
            let moved = Known { start_fen: Some(30_000), floor_fen: Some(10_000), commitment: None };
            assert_eq!(verify(&honest.to_string(), &moved), Err(Wrong::OtherPrice("start", Fen::new(29_900), Fen::new(30_000))));
            for (start_fen, floor_fen) in [(Some(29_901), None), (None, Some(9_901))] {
                let one = Known { start_fen, floor_fen, commitment: None };
                assert!(matches!(verify(&honest.to_string(), &one), Err(Wrong::OtherPrice(..))));
            }
            let mut priceless = honest.clone();
            (priceless["start_price_fen"], priceless["floor_price_fen"]) = (Value::Null, Value::Null);
            assert!(verify(&priceless.to_string(), &moved).is_ok());
            let dearer = Known { floor_fen: Some(9_900), ..moved };
            assert!(matches!(verify(&priceless.to_string(), &dearer), Err(Wrong::OtherWay(..))));
        }
        let mut reseeded = proof(Curve::Random);
        reseeded["seed"] = json!("0".repeat(64));
        assert_eq!(of(&reseeded), Err(Wrong::OtherSchedule));
    }

    #[test]
    fn what_is_still_secret_or_no_proof_says_so() {
        let mut open = proof(Curve::Random);
        (open["seed"], open["schedule_fen"][5]) = (Value::Null, Value::Null);
        assert_eq!(of(&open), Err(Wrong::StillOpen));
        assert!(matches!(of(&json!({})), Err(Wrong::Unreadable(_))));
        let mut unreadable = proof(Curve::Random);
        unreadable["seed"] = json!("xyz");
        assert!(matches!(of(&unreadable), Err(Wrong::Unreadable(_))));
        let huge = json!({"algorithm": "liebian-even-1", "commitment": "", "seed": null, "schedule_fen": [i64::MAX, i64::MAX]});
        assert_eq!(of(&huge), Err(Wrong::OtherSchedule));
    }
}
