//! Session and device tokens: version, content, end, MAC; base64url.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::names::Initial;
use crate::clock::UnixMs;
use crate::crypto::{Purpose, Secrets, base62_of, random_bytes};
use crate::id::{CHANCE, DeviceId, UserId};

/// How long either token holds.
pub const LIFETIME_SECONDS: i64 = 30 * 24 * 3600;
const VERSION: u8 = 1;
const TAG: usize = 32;

/// The id of a session, as it stands in the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// The id as 32 hex digits, as SQL keeps it.
    #[must_use]
    pub fn to_hex(self) -> String {
        crate::crypto::hex(&self.0)
    }

    /// The id from its hex digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        u128::from_str_radix(text, 16).ok().filter(|_number| text.len() == 32).map(|number| Self(number.to_be_bytes()))
    }
}

/// A shopper's session, its MAC checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Which session.
    pub session_id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// What others see of the owner's name.
    pub initial: Initial,
    /// Until when.
    pub expires_at: UnixMs,
}

/// A device, its MAC checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Which device.
    pub device_id: DeviceId,
    /// Until when the token holds.
    pub expires_at: UnixMs,
}

impl Session {
    /// A new session of `user_id`.
    #[must_use]
    pub fn begin(user_id: UserId, initial: Initial, now: UnixMs) -> Self {
        Self { session_id: SessionId(random_bytes()), user_id, initial, expires_at: now.plus_seconds(LIFETIME_SECONDS) }
    }

    /// Its token.
    #[must_use]
    pub fn token(&self, secrets: &Secrets) -> String {
        let initial = self.initial.0.map_or(0, u32::from).to_be_bytes();
        seal(secrets, Purpose::Session, &[&self.session_id.0, self.user_id.hot().as_bytes(), &initial], self.expires_at)
    }

    /// Reads a token; `None` if it is not ours or over. Whether it was revoked is [`super::Revocations`]' to say.
    #[must_use]
    pub fn read(secrets: &Secrets, token: &str, now: UnixMs) -> Option<Self> {
        let (content, expires_at) = open::<{ 16 + CHANCE + 4 }>(secrets, Purpose::Session, token, now)?;
        let (session_id, rest) = content.split_first_chunk::<16>()?;
        let (user, initial) = rest.split_last_chunk::<4>()?;
        let user_id = UserId::from_hot(str::from_utf8(user).ok()?).ok()?;
        let initial = Initial(char::from_u32(u32::from_be_bytes(*initial)).filter(|initial| *initial != '\0'));
        Some(Self { session_id: SessionId(*session_id), user_id, initial, expires_at })
    }
}

impl Device {
    /// The device with these signals.
    #[must_use]
    pub fn of_signals(secrets: &Secrets, signals: &Map<String, Value>, now: UnixMs) -> Option<Self> {
        let mut pairs: Vec<_> = signals.iter().collect();
        pairs.sort_by_key(|(name, _)| *name);
        let canonical = serde_json::to_vec(&pairs).ok()?;
        let device_id = DeviceId::from_hot(&base62_of(&secrets.mac(Purpose::DeviceId, &canonical), CHANCE)).ok()?;
        Some(Self { device_id, expires_at: now.plus_seconds(LIFETIME_SECONDS) })
    }

    /// Its token.
    #[must_use]
    pub fn token(&self, secrets: &Secrets) -> String {
        seal(secrets, Purpose::DeviceToken, &[self.device_id.hot().as_bytes()], self.expires_at)
    }

    /// Reads a token; `None` if it is not ours or over.
    #[must_use]
    pub fn read(secrets: &Secrets, token: &str, now: UnixMs) -> Option<Self> {
        let (content, expires_at) = open::<CHANCE>(secrets, Purpose::DeviceToken, token, now)?;
        Some(Self { device_id: DeviceId::from_hot(str::from_utf8(&content).ok()?).ok()?, expires_at })
    }
}

fn seal(secrets: &Secrets, purpose: Purpose, content: &[&[u8]], expires_at: UnixMs) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend(content.iter().copied().flatten());
    bytes.extend(expires_at.get().to_be_bytes());
    let tag = secrets.mac(purpose, &bytes);
    bytes.extend(tag);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn open<const N: usize>(secrets: &Secrets, purpose: Purpose, token: &str, now: UnixMs) -> Option<([u8; N], UnixMs)> {
    // 1 + N + 8 + 32 bytes in base64; anything longer is not even decoded.
    if token.len() > (N + 41).div_ceil(3) * 4 {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (signed, tag) = bytes.split_last_chunk::<TAG>()?;
    if !secrets.verify(purpose, signed, tag) {
        return None;
    }
    let (version, rest) = signed.split_first()?;
    let (content, expires_at) = rest.split_last_chunk::<8>()?;
    let expires_at = UnixMs::new(i64::from_be_bytes(*expires_at));
    let content = content.try_into().ok()?;
    (*version == VERSION && now < expires_at).then_some((content, expires_at))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Device, LIFETIME_SECONDS, Session, SessionId};
    use crate::clock::UnixMs;
    use crate::crypto::Secrets;
    use crate::id::UserId;
    use crate::identity::names::Initial;

    const NOW: UnixMs = UnixMs::new(1_795_305_600_000);

    #[test]
    fn a_session_token_names_its_user_until_it_is_over() {
        let secrets = Secrets::new("a secret of at least 32 characters");
        let session = Session::begin(UserId::random(&mut rand::rng()), Initial::of("张三"), NOW);
        let token = session.token(&secrets);
        assert_eq!(Session::read(&secrets, &token, NOW), Some(session));
        assert_eq!(Session::read(&secrets, &token, NOW.plus_seconds(LIFETIME_SECONDS)), None);
        assert_eq!(Session::read(&Secrets::new("another secret"), &token, NOW), None);
        assert_eq!(SessionId::from_hex(&session.session_id.to_hex()), Some(session.session_id));
        for place in 0..token.len() {
            let mut forged = token.clone().into_bytes();
            forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
            let read = Session::read(&secrets, str::from_utf8(&forged).unwrap(), NOW);
            assert!(read.is_none(), "place {place}");
        }
    }

    #[test]
    fn the_same_signals_are_the_same_device_in_any_order() {
        let secrets = Secrets::new("a secret of at least 32 characters");
        let of = |signals: serde_json::Value| Device::of_signals(&secrets, signals.as_object().unwrap(), NOW).unwrap();
        let device = of(json!({"model": "a", "install_id": 1}));
        assert_eq!(of(json!({"install_id": 1, "model": "a"})), device);
        assert_ne!(of(json!({"install_id": 2, "model": "a"})).device_id, device.device_id);
        assert_eq!(Device::read(&secrets, &device.token(&secrets), NOW), Some(device));
        assert_eq!(Session::read(&secrets, &device.token(&secrets), NOW), None);
    }
}
