//! The token of a share link: 128 random bits and a 64-bit MAC, base64url, 32 characters (WeChat's limit for `scene`).
//!
//! Garbage is refused without a look-up. A token attributes and never authorises.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Serialize, Serializer};

use crate::crypto::{Purpose, Secrets};

const CHANCE: usize = 16;
const TAG: usize = 8;

/// A token whose form is right; only [`ShareToken::is_ours`] tells whether we made it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ShareToken([u8; CHANCE + TAG]);

/// Text that has not the form of a share token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a share token")]
pub struct NotAToken;

impl ShareToken {
    /// A new one from 16 random bytes.
    #[must_use]
    pub fn new(secrets: &Secrets, chance: [u8; CHANCE]) -> Self {
        let mac = secrets.mac(Purpose::Share, &chance);
        let mut bytes = [0; CHANCE + TAG];
        for (to, from) in bytes.iter_mut().zip(chance.iter().chain(&mac)) {
            *to = *from;
        }
        Self(bytes)
    }

    /// A new one with the operating system's randomness. None begins with `-`, which a spreadsheet would take for a formula; what was made
    /// before that rule still reads.
    #[must_use]
    pub fn random(secrets: &Secrets) -> Self {
        loop {
            let token = Self::new(secrets, crate::crypto::random_bytes());
            if !token.to_string().starts_with('-') {
                return token;
            }
        }
    }

    /// The token a text is, if we made it.
    #[must_use]
    pub fn read(secrets: &Secrets, text: &str) -> Option<Self> {
        text.parse().ok().filter(|token: &Self| token.is_ours(secrets))
    }

    /// Whether its MAC holds.
    #[must_use]
    pub fn is_ours(&self, secrets: &Secrets) -> bool {
        self.0.split_at_checked(CHANCE).is_some_and(|(chance, tag)| secrets.verify(Purpose::Share, chance, tag))
    }
}

impl FromStr for ShareToken {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_garbage| NotAToken)?;
        bytes.try_into().map(Self).map_err(|_other_length| NotAToken)
    }
}

impl fmt::Display for ShareToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for ShareToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ShareToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::ShareToken;
    use crate::crypto::Secrets;

    #[test]
    fn a_token_fits_a_scene_and_reads_back_under_its_own_secret_only() {
        let secrets = Secrets::new("a secret of at least 32 characters");
        let token = ShareToken::random(&secrets);
        let text = token.to_string();
        assert_eq!(text.len(), 32);
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'));
        assert_eq!(ShareToken::read(&secrets, &text), Some(token));
        assert_eq!(ShareToken::read(&Secrets::new("another secret of 32 characters!!!"), &text), None);
    }

    #[test]
    fn new_tokens_are_safe_in_spreadsheets_and_old_ones_read() {
        let secrets = Secrets::new("a secret of at least 32 characters");
        assert!((0..2_000).all(|_| !ShareToken::random(&secrets).to_string().starts_with('-')));
        let old = ShareToken::new(&secrets, [0xf8; 16]);
        assert!(old.to_string().starts_with('-'));
        assert_eq!(ShareToken::read(&secrets, &old.to_string()), Some(old));
    }

    #[test]
    fn garbage_is_refused() {
        let secrets = Secrets::new("a secret of at least 32 characters");
        let text = ShareToken::new(&secrets, [7; 16]).to_string();
        let mut altered = text.clone();
        altered.replace_range(0..1, if text.starts_with('A') { "B" } else { "A" });
        for garbage in
            ["", "x", text.get(..31).unwrap(), &format!("{text}A"), &altered, &"A".repeat(32), &"樱".repeat(32), "../../etc/passwd"]
        {
            assert_eq!(ShareToken::read(&secrets, garbage), None, "{garbage}");
        }
    }
}
