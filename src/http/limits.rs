//! Limits per address, device and user, long before anything dear is touched. `LIEBIAN_RATE_LIMITS=off` lifts them all.
//!
//! They stop floods, not people: one address may be a whole town behind a carrier's NAT, so it may do the most.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::HeaderMap;
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use ipnet::IpNet;

use super::caller;
use super::problem::Problem;
use crate::app::App;
use crate::code::Code;
use crate::config::RateLimits;
use crate::id::{DeviceId, UserId};

/// Per second, and at once after a pause.
struct Rate(u32, u32);

const PER_ADDRESS: Rate = Rate(1_000, 4_000);
/// New sessions and devices per address: each is a new name for somebody who was refused under another.
const NEWCOMERS_PER_ADDRESS: Rate = Rate(100, 2_000);
const PER_DEVICE: Rate = Rate(100, 400);
const PER_USER: Rate = Rate(100, 400);
/// So many keys a map holds before those at rest are swept out.
const KEYS: usize = 200_000;
/// How many checks pass between two looks at a map's size.
const LOOK_EVERY: u32 = 4_096;

/// The limits, or none.
#[derive(Debug)]
pub struct Limits(Option<Maps>);

#[derive(Debug)]
struct Maps {
    addresses: Keyed<IpAddr>,
    newcomers: Keyed<IpAddr>,
    devices: Keyed<DeviceId>,
    users: Keyed<UserId>,
}

#[derive(Debug)]
struct Keyed<K: Hash + Eq + Clone> {
    limiter: DefaultKeyedRateLimiter<K>,
    checks: AtomicU32,
}

impl<K: Hash + Eq + Clone> Keyed<K> {
    fn new(Rate(per_second, at_once): Rate) -> Self {
        let number = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(number(per_second)).allow_burst(number(at_once));
        Self { limiter: RateLimiter::keyed(quota), checks: AtomicU32::new(0) }
    }

    fn check(&self, key: &K) -> Result<(), Problem> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % LOOK_EVERY == LOOK_EVERY - 1 && self.limiter.len() > KEYS {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(key).map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now()).as_secs();
            Problem::new(Code::RateLimited).retry_after(u32::try_from(wait).unwrap_or(u32::MAX).saturating_add(1))
        })
    }

    fn sweep(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}

impl Limits {
    /// The default limits, or none.
    #[must_use]
    pub fn new(setting: RateLimits) -> Self {
        Self(match setting {
            RateLimits::Off => None,
            RateLimits::Default => Some(Maps {
                addresses: Keyed::new(PER_ADDRESS),
                newcomers: Keyed::new(NEWCOMERS_PER_ADDRESS),
                devices: Keyed::new(PER_DEVICE),
                users: Keyed::new(PER_USER),
            }),
        })
    }

    /// Forgets every key that is at rest; called every few seconds.
    pub fn sweep(&self) {
        if let Some(maps) = &self.0 {
            maps.addresses.sweep();
            maps.newcomers.sweep();
            maps.devices.sweep();
            maps.users.sweep();
        }
    }

    /// The caller's address: the peer, or, behind trusted proxies, the last address in `X-Forwarded-For` that is not one of them.
    #[must_use]
    pub fn client_ip(&self, trusted: &[IpNet], peer: Option<SocketAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        let is_trusted = |ip: &IpAddr| trusted.iter().any(|network| network.contains(ip));
        let peer = peer?.ip().to_canonical();
        if !is_trusted(&peer) {
            return Some(peer);
        }
        let lines: Vec<&str> = headers.get_all("x-forwarded-for").filter_map(|value| value.to_str().ok()).collect();
        let mut nearest = peer;
        for text in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
            // What cannot be read was not written by a proxy of ours: the last hop that was stands for it.
            let Ok(ip) = text.trim().parse::<IpAddr>() else { break };
            nearest = ip.to_canonical();
            if !is_trusted(&nearest) {
                break;
            }
        }
        Some(nearest)
    }

    fn check(&self, app: &App, request: &HttpRequest) -> Result<(), Problem> {
        let Some(maps) = &self.0 else { return Ok(()) };
        if let Some(ip) = self.client_ip(&app.config.trusted_proxies, request.peer_addr(), request.headers()) {
            let subnet = subnet(ip);
            maps.addresses.check(&subnet)?;
            if matches!(request.path(), "/v1/devices" | "/v1/sessions") {
                maps.newcomers.check(&subnet)?;
            }
        }
        if let Ok(device) = caller::device(request) {
            maps.devices.check(&device.device_id)?;
        }
        if let Ok(session) = caller::session(request) {
            maps.users.check(&session.user_id)?;
        }
        Ok(())
    }
}

/// An IPv6 customer has a whole /64.
fn subnet(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() >> 64 << 64).into(),
    }
}

/// Middleware: refuses with 429 whoever asks too often, and lets in whoever may call. Health and metrics are not counted.
///
/// # Errors
/// Those of the handler.
pub async fn limit(request: ServiceRequest, next: Next<impl MessageBody + 'static>) -> Result<ServiceResponse<BoxBody>, Error> {
    let counted = !request.path().starts_with("/health/") && request.path() != "/metrics";
    let verdict = match caller::app(request.request()) {
        Ok(app) if counted => app.limits.check(&app, request.request()),
        Ok(_) => Ok(()),
        Err(problem) => Err(problem),
    };
    match verdict {
        Ok(()) => {
            caller::identify(request.request()).await;
            Ok(next.call(request).await?.map_into_boxed_body())
        }
        Err(problem) => Ok(request.error_response(problem).map_into_boxed_body()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use actix_web::test::TestRequest;

    use super::{Keyed, Limits, Rate, subnet};
    use crate::config::RateLimits;

    #[test]
    fn only_trusted_proxies_say_whom_they_forward_for() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let ip = |peer: &str, forwarded: &str| {
            let request = TestRequest::get().insert_header(("x-forwarded-for", forwarded)).to_http_request();
            let peer = format!("{peer}:80").parse().unwrap();
            Limits::new(RateLimits::Off).client_ip(&trusted, Some(peer), request.headers()).unwrap().to_string()
        };
        assert_eq!(ip("192.0.2.1", "198.51.100.7"), "192.0.2.1");
        assert_eq!(ip("10.0.0.1", "203.0.113.9, 198.51.100.7"), "198.51.100.7");
        assert_eq!(ip("10.0.0.1", "203.0.113.9, 198.51.100.7, 10.0.0.2"), "198.51.100.7");
        assert_eq!(ip("10.0.0.1", "nonsense"), "10.0.0.1");
        assert_eq!(ip("10.0.0.1", "nonsense, 10.0.0.3"), "10.0.0.3");
    }

    #[test]
    fn a_burst_passes_then_the_rate_holds_for_each_key_alone() {
        let keyed = Keyed::new(Rate(1, 3));
        assert_eq!((0..5).map(|_| u32::from(keyed.check(&1).is_ok())).sum::<u32>(), 3);
        assert!(keyed.check(&2).is_ok());
    }

    #[test]
    fn an_ipv6_customer_counts_once() {
        let of = |text: &str| subnet(text.parse::<IpAddr>().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    }
}
