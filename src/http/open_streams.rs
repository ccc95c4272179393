//! How many live streams are open, and how many may be.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::problem::Problem;
use crate::code::Code;

/// Streams that one process keeps open: they hold some 200 MB then, and a change of a thing that all of them show is as many writes.
const MOST: u32 = 10_000;
/// Of these for one address, which may be a whole town behind a carrier's NAT.
const MOST_FOR_ONE: u32 = 4_000;
/// A place may become free within so many seconds.
const COME_BACK: u32 = 5;

/// The open streams of a process.
#[derive(Debug, Default)]
pub struct OpenStreams(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    all: u32,
    addresses: HashMap<IpAddr, u32>,
}

/// One open stream; dropped with it.
#[derive(Debug)]
pub struct Seat {
    counts: Arc<Mutex<Counts>>,
    address: Option<IpAddr>,
}

fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

impl OpenStreams {
    /// Counts one more; `address` is none where addresses are not limited.
    ///
    /// # Errors
    /// 503 when too many are open, 429 when too many are for this address.
    pub fn enter(&self, address: Option<IpAddr>) -> Result<Seat, Problem> {
        let mut counts = lock(&self.0);
        if counts.all >= MOST {
            return Err(Problem::new(Code::Overloaded).detail("Too many live streams are open").retry_after(COME_BACK));
        }
        if let Some(address) = address {
            let count = counts.addresses.entry(address).or_default();
            if *count >= MOST_FOR_ONE {
                let problem = Problem::new(Code::RateLimited).detail("Too many live streams are open for this address");
                return Err(problem.retry_after(COME_BACK));
            }
            *count += 1;
        }
        counts.all += 1;
        metrics::gauge!("liebian_streams_open").set(counts.all);
        Ok(Seat { counts: Arc::clone(&self.0), address })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        counts.all = counts.all.saturating_sub(1);
        metrics::gauge!("liebian_streams_open").set(counts.all);
        if let Some(address) = self.address
            && let Some(count) = counts.addresses.get_mut(&address)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.addresses.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{COME_BACK, Code, MOST, MOST_FOR_ONE, OpenStreams, lock};

    #[test]
    fn one_address_takes_its_share_and_all_together_the_whole() {
        let open = OpenStreams::default();
        let address = |last: u8| Some([192, 0, 2, last].into());
        let refused = |of| open.enter(of).unwrap_err();
        let mut seats: Vec<_> = (0..MOST_FOR_ONE).map(|_| open.enter(address(1)).unwrap()).collect();
        assert_eq!(refused(address(1)).code(), Code::RateLimited);
        seats.extend((MOST_FOR_ONE..MOST).map(|_| open.enter(None).unwrap()));
        assert_eq!(refused(address(2)).code(), Code::Overloaded);
        let response = actix_web::ResponseError::error_response(&refused(None));
        assert_eq!(response.headers().get("retry-after").unwrap(), &*COME_BACK.to_string());
        seats.remove(0);
        seats.push(open.enter(address(1)).unwrap());
        drop(seats);
        let counts = lock(&open.0);
        assert_eq!((counts.all, counts.addresses.len()), (0, 0));
    }
}
