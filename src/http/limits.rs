//! Limits per address, subnet, device and user, long before anything dear is touched. `LIEBIAN_RATE_LIMITS=off` lifts them all.
//!
//! They stop floods, not people: one address may be a whole town behind a carrier's NAT, so it may do the most. A customer with IPv6 has
//! a whole /64 and counts as one address; a /48, which some hand out as easily, has a limit of its own above that. Memory is fixed
//! ([`super::bounded`]).

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;

use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::http::header::HeaderMap;
use governor::clock::{Clock, DefaultClock};
use governor::{Quota, RateLimiter};
use ipnet::IpNet;

use super::bounded::Bounded;
use super::caller::{self, Checked};
use super::problem::Problem;
use crate::code::Code;
use crate::config::RateLimits;
use crate::id::{DeviceId, UserId};

/// Per second, and at once after a pause.
struct Rate(u32, u32);

const PER_ADDRESS: Rate = Rate(1_000, 4_000);
const PER_SUBNET: Rate = Rate(4_000, 16_000);
/// New sessions and devices per address: each is a new name for somebody who was refused under another.
const NEWCOMERS_PER_ADDRESS: Rate = Rate(100, 2_000);
/// Requests with an `Idempotency-Key`: each answer is remembered for a day.
const KEYED_PER_USER: Rate = Rate(1, 200);
const PER_DEVICE: Rate = Rate(100, 400);
const PER_USER: Rate = Rate(100, 400);
/// So many keys are told apart per map (2 MB each). A key is at rest again within twenty seconds, so these are the callers of that time.
const KEYS: usize = 128 * 1024;

/// The limits, or none.
#[derive(Debug)]
pub struct Limits {
    maps: Option<Maps>,
    trusted: Vec<IpNet>,
}

#[derive(Debug)]
struct Maps {
    addresses: Keyed<IpAddr>,
    subnets: Keyed<IpAddr>,
    newcomers: Keyed<IpAddr>,
    devices: Keyed<DeviceId>,
    users: Keyed<UserId>,
    keyed: Keyed<UserId>,
}

#[derive(Debug)]
struct Keyed<K: Hash + Eq + Clone>(RateLimiter<K, Bounded<K>, DefaultClock>);

impl<K: Hash + Eq + Clone> Keyed<K> {
    fn new(Rate(per_second, at_once): Rate) -> Self {
        let number = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(number(per_second)).allow_burst(number(at_once));
        Self(RateLimiter::new(quota, Bounded::new(KEYS), DefaultClock::default()))
    }

    fn check(&self, key: &K) -> Result<(), Problem> {
        self.0.check_key(key).map_err(|until| {
            let wait = until.wait_time_from(self.0.clock().now()).as_secs();
            Problem::new(Code::RateLimited).retry_after(u32::try_from(wait).unwrap_or(u32::MAX).saturating_add(1))
        })
    }
}

impl Limits {
    /// The default limits, or none; whose `X-Forwarded-For` is believed.
    #[must_use]
    pub fn new(setting: RateLimits, trusted: Vec<IpNet>) -> Self {
        let maps = match setting {
            RateLimits::Off => None,
            RateLimits::Default => Some(Maps {
                addresses: Keyed::new(PER_ADDRESS),
                subnets: Keyed::new(PER_SUBNET),
                newcomers: Keyed::new(NEWCOMERS_PER_ADDRESS),
                devices: Keyed::new(PER_DEVICE),
                users: Keyed::new(PER_USER),
                keyed: Keyed::new(KEYED_PER_USER),
            }),
        };
        Self { maps, trusted }
    }

    fn client_ip(&self, request: &HttpRequest) -> Option<IpAddr> {
        client_ip(&self.trusted, request.peer_addr(), request.headers())
    }

    /// The address a caller counts as; none where limits are lifted.
    #[must_use]
    pub fn address(&self, request: &HttpRequest) -> Option<IpAddr> {
        self.maps.as_ref().and_then(|_limited| self.client_ip(request)).map(|ip| prefix(ip, 64))
    }

    /// Counts a request and refuses it if its address, subnet, device or user asks too often. Health and metrics are not counted.
    ///
    /// # Errors
    /// 429 `rate_limited`.
    pub fn check(&self, request: &HttpRequest) -> Result<(), Problem> {
        let Some(maps) = &self.maps else { return Ok(()) };
        let path = caller::path(request);
        if matches!(path, "/health/live" | "/health/ready" | "/metrics") {
            return Ok(());
        }
        if let Some(ip) = self.client_ip(request) {
            let address = prefix(ip, 64);
            maps.addresses.check(&address)?;
            if ip.is_ipv6() {
                maps.subnets.check(&prefix(ip, 48))?;
            }
            if *request.method() == Method::POST && matches!(path, "/v1/devices" | "/v1/sessions") {
                maps.newcomers.check(&address)?;
            }
        }
        let user = maps.check_tokens(request)?;
        if *request.method() == Method::POST && request.headers().contains_key("idempotency-key") && !caller::is_at_desk(request) {
            match user {
                Some(user) => maps.keyed.check(&user)?,
                // A stranger has only an address. To remember even a refusal costs two writes.
                None => self.client_ip(request).map_or(Ok(()), |ip| maps.newcomers.check(&prefix(ip, 64)))?,
            }
        }
        Ok(())
    }
}

impl Maps {
    /// A token costs a signature to check: the handler finds what was found here. Answers whose session it is.
    fn check_tokens(&self, request: &HttpRequest) -> Result<Option<UserId>, Problem> {
        let Some(checked) = Checked::of(request) else { return Ok(None) };
        if let Some(device) = checked.device {
            self.devices.check(&device.device_id)?;
        }
        let user = checked.session.map(|session| session.user_id);
        if let Some(user) = &user {
            self.users.check(user)?;
        }
        Ok(user)
    }
}

/// The caller's address: the peer, or, behind trusted proxies, the last address in `X-Forwarded-For` that is not one of them. What a caller
/// writes there itself stands before what the proxies add, and is never reached.
#[must_use]
pub fn client_ip(trusted: &[IpNet], peer: Option<SocketAddr>, headers: &HeaderMap) -> Option<IpAddr> {
    let is_trusted = |ip: &IpAddr| trusted.iter().any(|network| network.contains(ip));
    let peer = peer?.ip().to_canonical();
    if !is_trusted(&peer) {
        return Some(peer);
    }
    let mut nearest = peer;
    let lines = headers.get_all("x-forwarded-for").rev().filter_map(|value| value.to_str().ok());
    for text in lines.flat_map(|line| line.rsplit(',')) {
        // What cannot be read was not written by a proxy of ours: the last hop that was stands for it.
        let Some(ip) = hop(text.trim()) else { break };
        nearest = ip.to_canonical();
        if !is_trusted(&nearest) {
            break;
        }
    }
    Some(nearest)
}

/// An address, with a port where a proxy adds it.
fn hop(text: &str) -> Option<IpAddr> {
    let bare = text.parse().ok();
    bare.or_else(|| text.parse::<SocketAddr>().map(|address| address.ip()).ok())
        .or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().map(IpAddr::from).ok())
}

/// The address of IPv4, the network of `length` bits of IPv6.
#[must_use]
pub fn prefix(ip: IpAddr, length: u32) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(six) => {
            let rest = 128_u32.saturating_sub(length);
            Ipv6Addr::from_bits(six.to_bits().checked_shr(rest).and_then(|kept| kept.checked_shl(rest)).unwrap_or_default()).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

    use super::{Keyed, Rate, client_ip, prefix};

    fn forwarded(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(HeaderName::from_static("x-forwarded-for"), HeaderValue::from_str(line).unwrap());
        }
        headers
    }

    #[test]
    fn only_trusted_proxies_say_whom_they_forward_for() {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let ip = |peer: &str, lines: &[&str]| client_ip(&trusted, Some(peer.parse().unwrap()), &forwarded(lines)).unwrap().to_string();
        assert_eq!(ip("192.0.2.1:80", &["198.51.100.7"]), "192.0.2.1", "a stranger's word");
        assert_eq!(ip("10.0.0.1:80", &[]), "10.0.0.1", "the proxy itself");
        assert_eq!(ip("10.0.0.1:80", &["198.51.100.7, 10.0.0.2"]), "198.51.100.7", "two proxies");
        assert_eq!(ip("[::ffff:10.0.0.1]:80", &["198.51.100.7"]), "198.51.100.7", "a mapped address");
        assert_eq!(ip("[fd00::1]:80", &["2001:db8::7"]), "2001:db8::7");
        for with_port in ["198.51.100.7:4711", "198.51.100.7"] {
            assert_eq!(ip("10.0.0.1:80", &[with_port]), "198.51.100.7");
        }
        for with_port in ["[2001:db8::7]:4711", "[2001:db8::7]"] {
            assert_eq!(ip("10.0.0.1:80", &[with_port]), "2001:db8::7");
        }
    }

    #[test]
    fn what_a_caller_writes_into_the_header_itself_is_never_believed() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let ip = |lines: &[&str]| client_ip(&trusted, Some("10.0.0.1:80".parse().unwrap()), &forwarded(lines)).unwrap().to_string();
        for lines in [
            ["203.0.113.9, 198.51.100.7"].as_slice(),
            &["203.0.113.9", "198.51.100.7"],
            &["10.0.0.9, 10.0.0.8, 198.51.100.7"],
            &["nonsense, 198.51.100.7, 10.0.0.2"],
            &["127.0.0.1, 198.51.100.7"],
        ] {
            assert_eq!(ip(lines), "198.51.100.7", "{lines:?}");
        }
        assert_eq!(ip(&["nonsense"]), "10.0.0.1");
        assert_eq!(ip(&["198.51.100.7, nonsense, 10.0.0.3"]), "10.0.0.3");
        assert_eq!(ip(&["198.51.100.7, "]), "10.0.0.1");
    }

    #[test]
    fn a_burst_passes_then_the_rate_holds_for_each_key_alone() {
        let keyed = Keyed::new(Rate(1, 3));
        assert_eq!((0..5).map(|_| u32::from(keyed.check(&1).is_ok())).sum::<u32>(), 3);
        assert!(keyed.check(&2).is_ok());
    }

    #[test]
    fn an_ipv6_customer_counts_once() {
        let of = |text: &str, length| prefix(text.parse::<IpAddr>().unwrap(), length);
        assert_eq!(of("2001:db8::1", 64), of("2001:db8::ffff:1", 64));
        assert_ne!(of("2001:db8::1", 64), of("2001:db8:0:1::1", 64));
        assert_eq!(of("2001:db8::1", 48), of("2001:db8:0:1::1", 48));
        assert_ne!(of("2001:db8::1", 48), of("2001:db8:1::1", 48));
        assert_eq!(of("192.0.2.1", 48), "192.0.2.1".parse::<IpAddr>().unwrap());
    }
}
