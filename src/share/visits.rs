//! Visits per link, counted in memory and written once a second: a link that goes round does not become a write per visit.
//!
//! A crash loses at most the last second's counts; they are a measure, not money.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::token::ShareToken;

/// How often counts are written.
pub const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// The most links counted between two flushes; visits of further ones are not counted (only real links get here).
const MAX_LINKS: usize = 100_000;

/// Counts not yet written.
#[derive(Debug, Default)]
pub struct Visits {
    counts: Mutex<HashMap<ShareToken, i64>>,
}

impl Visits {
    /// Counts one visit of a link that exists.
    pub fn count(&self, token: ShareToken) {
        self.add(token, 1);
    }

    /// Takes all counts, for writing.
    #[must_use]
    pub fn take(&self) -> Vec<(ShareToken, i64)> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).drain().collect()
    }

    /// Puts counts back that could not be written.
    pub fn put_back(&self, counts: Vec<(ShareToken, i64)>) {
        for (token, count) in counts {
            self.add(token, count);
        }
    }

    fn add(&self, token: ShareToken, count: i64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() < MAX_LINKS || counts.contains_key(&token) {
            let sum = counts.entry(token).or_default();
            *sum = sum.saturating_add(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Visits;
    use crate::crypto::Secrets;
    use crate::share::token::ShareToken;

    #[test]
    fn counts_add_up_and_survive_a_failed_write() {
        let secrets = Secrets::new("a secret of at least 32 characters");
        let (a, b) = (ShareToken::new(&secrets, [1; 16]), ShareToken::new(&secrets, [2; 16]));
        let visits = Visits::default();
        visits.count(a);
        visits.count(a);
        visits.count(b);
        let taken = visits.take();
        assert!(visits.take().is_empty());
        visits.count(a);
        visits.put_back(taken);
        let mut counts: Vec<i64> = visits.take().into_iter().map(|(_, count)| count).collect();
        counts.sort_unstable();
        assert_eq!(counts, [1, 3]);
    }
}
