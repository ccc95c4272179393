//! How many connections each address holds. One address must not take all places; its own refusal costs no more than an accept.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;

use crate::http::limits::prefix;

/// The addresses that hold connections now: as many entries as connections at most, and those are bounded.
#[derive(Debug)]
pub struct Crowd {
    bound: Option<u32>,
    trusted: Vec<IpNet>,
    here: Mutex<HashMap<IpAddr, u32>>,
}

/// A place taken; given back when dropped.
#[derive(Debug)]
pub struct Ticket(Option<(Arc<Crowd>, IpAddr)>);

impl Crowd {
    /// `bound` connections per address (IPv6: per /64), or any number; trusted proxies stand for many and may hold any number.
    #[must_use]
    pub fn new(bound: Option<u32>, trusted: Vec<IpNet>) -> Arc<Self> {
        Arc::new(Self { bound, trusted, here: Mutex::default() })
    }

    /// A place for one more connection of `peer`; `None` if it holds all it may.
    #[must_use]
    pub fn enter(self: &Arc<Self>, peer: Option<SocketAddr>) -> Option<Ticket> {
        let ip = peer.map(|peer| peer.ip().to_canonical()).filter(|ip| !self.trusted.iter().any(|network| network.contains(ip)));
        let (Some(bound), Some(ip)) = (self.bound, ip) else { return Some(Ticket(None)) };
        let address = prefix(ip, 64);
        let mut here = self.here();
        let count = here.entry(address).or_default();
        // A refused address has connections, so its entry was there before.
        if *count >= bound {
            return None;
        }
        *count = count.saturating_add(1);
        Some(Ticket(Some((Arc::clone(self), address))))
    }

    fn here(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some((crowd, address)) = self.0.take() else { return };
        if let Entry::Occupied(mut entry) = crowd.here().entry(address) {
            match entry.get().saturating_sub(1) {
                0 => drop(entry.remove()),
                left => *entry.get_mut() = left,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Crowd;

    #[test]
    fn an_address_holds_so_many_places_and_gets_them_back() {
        let crowd = Crowd::new(Some(2), vec!["10.0.0.0/8".parse().unwrap()]);
        let enter = |peer: &str| crowd.enter(Some(peer.parse().unwrap()));
        let (one, two) = (enter("192.0.2.1:1").unwrap(), enter("192.0.2.1:2"));
        assert!(two.is_some() && enter("192.0.2.1:3").is_none() && enter("[::ffff:192.0.2.1]:3").is_none());
        assert!(enter("192.0.2.2:1").is_some());
        drop(one);
        assert!(enter("192.0.2.1:3").is_some());
        drop(two);
        assert!(crowd.here().is_empty(), "nothing is kept of who has left");
    }

    #[test]
    fn a_network_of_ipv6_is_one_and_trusted_proxies_are_many() {
        let crowd = Crowd::new(Some(1), vec!["10.0.0.0/8".parse().unwrap()]);
        let enter = |peer: &str| crowd.enter(Some(peer.parse().unwrap()));
        let _held = enter("[2001:db8::1]:1").unwrap();
        assert!(enter("[2001:db8::2]:1").is_none() && enter("[2001:db8:0:1::1]:1").is_some());
        let proxied: Vec<_> = (1..100).map(|_| enter("10.0.0.1:1")).collect();
        assert!(proxied.iter().all(Option::is_some));
        assert!(Crowd::new(None, Vec::new()).enter(None).is_some());
    }
}
