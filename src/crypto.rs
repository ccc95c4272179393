//! Keys, MACs, hashes and randomness, all from aws-lc.
//!
//! One secret goes in; every purpose gets its own key derived from it, so that a token of one kind never passes for another.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use aws_lc_rs::{constant_time, hmac};

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The shortest tag [`Secrets::verify`] accepts, in bytes: 64 bits, enough where each guess costs a request.
pub const SHORTEST_TAG: usize = 8;

/// What a derived key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Session tokens.
    Session,
    /// The id of a device, from its signals.
    DeviceId,
    /// Device tokens.
    DeviceToken,
    /// Share tokens.
    Share,
    /// Notifications of the sandbox payment provider.
    SandboxPayment,
}

impl Purpose {
    const fn label(self) -> &'static str {
        match self {
            Self::Session => "liebian/session/1",
            Self::DeviceId => "liebian/device-id/1",
            Self::DeviceToken => "liebian/device-token/1",
            Self::Share => "liebian/share/1",
            Self::SandboxPayment => "liebian/sandbox-payment/1",
        }
    }
}

/// The keys derived from the secret.
pub struct Secrets {
    session: hmac::Key,
    device_id: hmac::Key,
    device_token: hmac::Key,
    share: hmac::Key,
    sandbox_payment: hmac::Key,
    seal: Option<RandomizedNonceKey>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

impl Secrets {
    /// Derives all keys from `secret`.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let key = |purpose: Purpose| hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&root, purpose.label().as_bytes()).as_ref());
        Self {
            session: key(Purpose::Session),
            device_id: key(Purpose::DeviceId),
            device_token: key(Purpose::DeviceToken),
            share: key(Purpose::Share),
            sandbox_payment: key(Purpose::SandboxPayment),
            seal: RandomizedNonceKey::new(&AES_256_GCM, hmac::sign(&root, b"liebian/seal/1").as_ref()).ok(),
        }
    }

    const fn key(&self, purpose: Purpose) -> &hmac::Key {
        match purpose {
            Purpose::Session => &self.session,
            Purpose::DeviceId => &self.device_id,
            Purpose::DeviceToken => &self.device_token,
            Purpose::Share => &self.share,
            Purpose::SandboxPayment => &self.sandbox_payment,
        }
    }

    /// HMAC-SHA256 of `message` under the key for `purpose`.
    #[must_use]
    pub fn mac(&self, purpose: Purpose, message: &[u8]) -> [u8; 32] {
        bytes32(hmac::sign(self.key(purpose), message).as_ref())
    }

    /// Whether `tag` is the MAC of `message`, or its beginning of at least [`SHORTEST_TAG`] bytes. Takes the same time either way.
    #[must_use]
    pub fn verify(&self, purpose: Purpose, message: &[u8], tag: &[u8]) -> bool {
        let whole = self.mac(purpose, message);
        let Some(expected) = whole.get(..tag.len()) else { return false };
        tag.len() >= SHORTEST_TAG && constant_time::verify_slices_are_equal(expected, tag).is_ok()
    }

    /// Encrypts `plain` for keeping in SQL (AES-256-GCM under a fresh nonce, which goes in front).
    #[must_use]
    pub fn seal(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut body = plain.to_vec();
        let nonce = self.seal.as_ref()?.seal_in_place_append_tag(Aad::empty(), &mut body).ok()?;
        Some([nonce.as_ref().as_slice(), &body].concat())
    }

    /// Decrypts what [`Self::seal`] made; `None` if it was made under another secret or altered.
    #[must_use]
    pub fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, body) = sealed.split_at_checked(NONCE_LEN)?;
        let mut body = body.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        Some(self.seal.as_ref()?.open_in_place(nonce, Aad::empty(), &mut body).ok()?.to_vec())
    }
}

/// SHA-256 as 64 lower-case hex digits.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

/// SHA-256 as it is.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    bytes32(digest(&SHA256, bytes).as_ref())
}

/// SHA-1 of the parts in a row as 40 lower-case hex digits, as Redis' `sha1hex` and EVALSHA use it. It guards against accidents; it is
/// no signature.
#[must_use]
pub fn sha1_hex(parts: &[&[u8]]) -> String {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    for part in parts {
        context.update(part);
    }
    hex(context.finish().as_ref())
}

/// Lower-case hex digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}

/// `N` bytes of the operating system's randomness.
#[must_use]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        // A machine without randomness must not hand out a single token.
        std::process::abort();
    }
    bytes
}

/// `length` random letters and digits (5.95 bits each), all equally likely.
#[must_use]
pub fn random_base62(length: usize) -> String {
    let mut text = String::with_capacity(length);
    while text.len() < length {
        // 248 = 4 · 62: what lies above would make the first letters likelier.
        let fair = random_bytes::<32>().into_iter().filter(|byte| *byte < 248).map(base62_digit);
        text.extend(fair.take(length - text.len()));
    }
    text
}

/// The first letters and digits, up to 16, that a hash or MAC stands for, two bytes each (a bias of one in a thousand, harmless in an id).
#[must_use]
pub fn base62_of(hash: &[u8; 32], length: usize) -> String {
    let (pairs, _none_left) = hash.as_chunks::<2>();
    pairs.iter().take(length).map(|pair| base62_digit(u8::try_from(u16::from_be_bytes(*pair) % 62).unwrap_or_default())).collect()
}

fn base62_digit(byte: u8) -> char {
    BASE62.get(usize::from(byte % 62)).copied().map_or('0', char::from)
}

fn bytes32(bytes: &[u8]) -> [u8; 32] {
    // Both callers hand in a SHA-256 output, which is always 32 bytes.
    bytes.try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Purpose, Secrets, base62_of, random_base62, sha1_hex, sha256_hex};

    #[test]
    fn a_tag_holds_for_its_purpose_message_and_secret_only() {
        let secrets = Secrets::new("one secret of at least 32 characters");
        let tag = secrets.mac(Purpose::Session, b"message");
        assert!(secrets.verify(Purpose::Session, b"message", &tag));
        assert!(secrets.verify(Purpose::Session, b"message", &tag[..8]));
        assert!(!secrets.verify(Purpose::Session, b"message", &tag[..7]));
        assert!(!secrets.verify(Purpose::Session, b"message", &[]));
        assert!(!secrets.verify(Purpose::Session, b"message", &[tag.as_slice(), &[0]].concat()));
        assert!(!secrets.verify(Purpose::Share, b"message", &tag));
        assert!(!secrets.verify(Purpose::Session, b"messagf", &tag));
        assert!(!Secrets::new("another secret of 32 characters!!").verify(Purpose::Session, b"message", &tag));
    }

    #[test]
    fn sealed_bytes_open_unaltered_or_not_at_all() {
        let secrets = Secrets::new("one secret of at least 32 characters");
        let mut sealed = secrets.seal(b"a session token").unwrap();
        assert_eq!(secrets.open(&sealed).as_deref(), Some(b"a session token".as_slice()));
        assert_ne!(secrets.seal(b"a session token"), Some(sealed.clone()));
        sealed[20] ^= 1;
        assert_eq!(secrets.open(&sealed), None);
        assert_eq!(secrets.open(b"short"), None);
    }

    #[test]
    fn hashes_are_the_known_ones() {
        assert_eq!(sha256_hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(sha1_hex(&[b"a", b"bc"]), "a9993e364706816aba3e25717850c26c9cd0d89d");
    }

    #[test]
    fn base62_has_the_length_and_alphabet_asked_for() {
        assert_eq!(random_base62(40).len(), 40);
        assert_ne!(random_base62(40), random_base62(40));
        assert!(base62_of(&[255; 32], 16).bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_eq!(base62_of(&[7; 32], 14).len(), 14);
    }
}
