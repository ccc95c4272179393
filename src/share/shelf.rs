//! Values kept for a moment: whoever finds one that is fresh takes it; else one caller makes it anew while the others wait.
//!
//! A caller that goes away while it makes a value leaves the making to the next. What went wrong is told to those who waited for it and
//! not kept.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::http::problem::Problem;

/// Kept values by key, at most so many.
pub struct Shelf<K, V> {
    most: usize,
    kept: Duration,
    slots: RwLock<HashMap<K, Arc<Slot<V>>>>,
}

struct Slot<V> {
    since: Instant,
    kept: RwLock<Option<V>>,
    /// Held by whoever makes the value; inside, the last time that failed.
    making: Mutex<Option<(Instant, Problem)>>,
}

impl<V: Clone> Slot<V> {
    fn find(&self, fresh: impl Fn(&V) -> bool) -> Option<V> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().filter(|value| fresh(value)).cloned()
    }
}

impl<K: Hash + Eq, V: Clone> Shelf<K, V> {
    /// An empty shelf for at most `most` values. When it is full, those that came longer than `kept` ago go first.
    #[must_use]
    pub fn new(most: usize, kept: Duration) -> Self {
        Self { most, kept, slots: RwLock::default() }
    }

    /// The value of a key, if it is there and fresh.
    pub fn find(&self, key: &K, fresh: impl Fn(&V) -> bool) -> Option<V> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner).get(key)?.find(fresh)
    }

    /// The value of a key; made anew by one caller if there is no fresh one.
    ///
    /// # Errors
    /// Those of `make`.
    pub async fn get(&self, key: K, fresh: impl Fn(&V) -> bool, make: impl AsyncFnOnce() -> Result<V, Problem>) -> Result<V, Problem> {
        if let Some(value) = self.find(&key, &fresh) {
            return Ok(value);
        }
        let arrived = Instant::now();
        let slot = self.slot(key);
        let mut failed = slot.making.lock().await;
        if let Some(value) = slot.find(&fresh) {
            return Ok(value);
        }
        if let Some((_, problem)) = failed.as_ref().filter(|(at, _)| *at >= arrived) {
            return Err(problem.clone());
        }
        match make().await {
            Ok(value) => {
                *slot.kept.write().unwrap_or_else(PoisonError::into_inner) = Some(value.clone());
                *failed = None;
                Ok(value)
            }
            Err(problem) => {
                *failed = Some((Instant::now(), problem.clone()));
                Err(problem)
            }
        }
    }

    /// Forgets the values of these keys, also those that are being made.
    pub fn forget(&self, which: impl Fn(&K) -> bool) {
        self.slots.write().unwrap_or_else(PoisonError::into_inner).retain(|key, _| !which(key));
    }

    fn slot(&self, key: K) -> Arc<Slot<V>> {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= self.most && !slots.contains_key(&key) {
            slots.retain(|_, slot| slot.since.elapsed() < self.kept);
            if slots.len() >= self.most {
                slots.clear();
            }
        }
        let slot = || Arc::new(Slot { since: Instant::now(), kept: RwLock::new(None), making: Mutex::new(None) });
        Arc::clone(slots.entry(key).or_insert_with(slot))
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.slots.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::Shelf;
    use crate::code::Code;
    use crate::http::problem::Problem;

    const KEPT: Duration = Duration::from_secs(1);

    fn value(of: u32) -> impl AsyncFnOnce() -> Result<u32, Problem> {
        async move || Ok(of)
    }

    #[tokio::test]
    async fn a_stampede_makes_the_value_once() {
        let (shelf, times) = (Arc::new(Shelf::new(8, KEPT)), Arc::new(AtomicU32::new(0)));
        let callers: Vec<_> = (0..50)
            .map(|_| {
                let (shelf, times) = (Arc::clone(&shelf), Arc::clone(&times));
                tokio::spawn(async move {
                    let make = async || {
                        times.fetch_add(1, Ordering::SeqCst);
                        tokio::task::yield_now().await;
                        Ok(7)
                    };
                    shelf.get("k", |_| true, make).await.unwrap()
                })
            })
            .collect();
        for caller in callers {
            assert_eq!(caller.await.unwrap(), 7);
        }
        assert_eq!(times.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn those_who_wait_share_a_failure_and_the_next_tries_again() {
        let (shelf, tried) = (Arc::new(Shelf::<_, u32>::new(8, KEPT)), Arc::new(AtomicU32::new(0)));
        let callers: Vec<_> = (0..50)
            .map(|_| {
                let (shelf, tried) = (Arc::clone(&shelf), Arc::clone(&tried));
                tokio::spawn(async move {
                    let fail = async || {
                        tried.fetch_add(1, Ordering::SeqCst);
                        tokio::task::yield_now().await;
                        Err(Code::Recovering.into())
                    };
                    shelf.get("k", |_| true, fail).await.unwrap_err().code()
                })
            })
            .collect();
        for caller in callers {
            assert_eq!(caller.await.unwrap(), Code::Recovering);
        }
        assert_eq!(tried.load(Ordering::SeqCst), 1);
        assert_eq!(shelf.get("k", |_| true, value(3)).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn what_is_not_fresh_is_made_anew_and_what_is_forgotten_too() {
        let shelf = Shelf::new(8, KEPT);
        assert_eq!(shelf.get("k", |_| true, value(1)).await.unwrap(), 1);
        assert_eq!(shelf.get("k", |_| true, value(2)).await.unwrap(), 1);
        assert_eq!(shelf.get("k", |kept| *kept > 1, value(2)).await.unwrap(), 2);
        shelf.forget(|key| *key == "k");
        assert_eq!(shelf.find(&"k", |_| true), None);
    }

    #[tokio::test]
    async fn it_never_holds_more_than_it_may() {
        let shelf = Shelf::new(8, KEPT);
        for key in 0..100 {
            shelf.get(key, |_| true, value(key)).await.unwrap();
            assert!(shelf.len() <= 8);
        }
        assert_eq!(shelf.find(&99, |_| true), Some(99));
    }
}
