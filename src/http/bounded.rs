//! The memory of a rate limiter: as many keys as fit and never more.
//!
//! A map that grows with its keys is a gift to whoever can make keys, and one that refuses new keys when full locks strangers out. So this is
//! a fixed table of sets with eight places each, as in a processor's cache. A key that finds its set full takes the place of the one with
//! the least debt: mostly one long at rest, of which nothing is lost. Should all eight be active, the mildest is forgiven and the worst
//! offenders stay. What a flood of new keys could gain by that it has anyway: each new key starts without debt.
//!
//! Nothing needs sweeping, nothing is allocated per key. A key is its 64-bit hash under a random seed, so nobody can aim at a set, nor find two
//! keys that clash.

use std::hash::{BuildHasher, Hash, RandomState};
use std::marker::PhantomData;
use std::sync::{Mutex, PoisonError};

use governor::nanos::Nanos;
use governor::state::StateStore;

const WAYS: usize = 8;

/// Places for keys of type `K`.
pub struct Bounded<K> {
    sets: Box<[Mutex<[Place; WAYS]>]>,
    seed: RandomState,
    keys: PhantomData<fn(K)>,
}

/// A key's hash and its debt: when, by the limiter's clock, all it did will be paid off. A free place has neither.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    hash: u64,
    until: u64,
}

impl<K: Hash> Bounded<K> {
    /// Room for `keys` keys, rounded up to whole sets; 16 bytes each.
    #[must_use]
    pub fn new(keys: usize) -> Self {
        let sets = (0..keys.div_ceil(WAYS).max(1)).map(|_| Mutex::default()).collect();
        Self { sets, seed: RandomState::new(), keys: PhantomData }
    }

    fn set(&self, hash: u64) -> Option<&Mutex<[Place; WAYS]>> {
        let sets = u128::try_from(self.sets.len()).ok()?;
        // The upper half of the product spreads evenly over any number of sets.
        let place = u128::from(hash).checked_mul(sets)? >> 64;
        self.sets.get(usize::try_from(place).ok()?)
    }
}

impl<K: Hash> StateStore for Bounded<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        // Zero marks a free place.
        let hash = self.seed.hash_one(key).max(1);
        let Some(set) = self.set(hash) else { return decide(None).map(|(verdict, _)| verdict) };
        let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
        let known = set.iter_mut().find(|place| place.hash == hash);
        let (verdict, until) = decide(known.as_ref().map(|place| Nanos::from(place.until)))?;
        let place = match known {
            Some(place) => Some(place),
            None => set.iter_mut().min_by_key(|place| place.until),
        };
        if let Some(place) = place {
            *place = Place { hash, until: until.as_u64() };
        }
        Ok(verdict)
    }
}

impl<K> std::fmt::Debug for Bounded<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bounded").field("sets", &self.sets.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use governor::clock::FakeRelativeClock;
    use governor::middleware::NoOpMiddleware;
    use governor::nanos::Nanos;
    use governor::{Quota, RateLimiter};

    use super::{Bounded, WAYS};

    fn limiter(keys: usize) -> RateLimiter<u32, Bounded<u32>, FakeRelativeClock, NoOpMiddleware<Nanos>> {
        let quota = Quota::per_second(NonZeroU32::MIN).allow_burst(NonZeroU32::new(5).unwrap());
        RateLimiter::new(quota, Bounded::new(keys), FakeRelativeClock::default())
    }

    #[test]
    fn every_key_is_counted_for_itself() {
        let limiter = limiter(10_000);
        for key in 0..1_000 {
            let passed = (0..8).filter(|_| limiter.check_key(&key).is_ok()).count();
            assert_eq!(passed, 5, "key {key}");
        }
    }

    #[test]
    fn ten_times_more_active_keys_than_places_take_no_more_room_and_are_still_served() {
        let limiter = limiter(800);
        assert!((0..8_000).all(|key| limiter.check_key(&key).is_ok()));
        let places = limiter.into_state_store().sets;
        assert_eq!((places.len(), places.len() * WAYS), (100, 800));
        assert!(places.iter().all(|set| set.lock().unwrap().iter().all(|place| place.hash != 0)));
    }

    #[test]
    fn who_owes_most_is_remembered_through_a_flood_of_others() {
        let limiter = limiter(WAYS); // One set: every key meets every other.
        assert_eq!((0..9).filter(|_| limiter.check_key(&0).is_ok()).count(), 5);
        for key in 1..10_000 {
            assert!(limiter.check_key(&key).is_ok(), "a stranger is never locked out");
        }
        assert!(limiter.check_key(&0).is_err(), "the offender stays refused");
    }

    #[test]
    fn a_key_at_rest_makes_room_first() {
        let limiter = limiter(WAYS);
        assert!(limiter.check_key(&0).is_ok());
        limiter.clock().advance(std::time::Duration::from_mins(1));
        for key in 1..8 {
            while limiter.check_key(&key).is_ok() {}
        }
        assert!(limiter.check_key(&99).is_ok());
        assert!((1..8).all(|key| limiter.check_key(&key).is_err()), "none of the active was forgotten");
    }
}
