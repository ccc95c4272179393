//! Invite codes: short, typable, and nobody's guess. A user has one in a campaign, for ever.
//!
//! Eight characters of Crockford's base 32 (no I, L, O, U): 40 random bits. Read in either case, with hyphens or blanks between, `O` as zero,
//! `I` and `L` as one. A code names a campaign and a user and never changes, so those that were asked for are kept in memory: binding by a
//! link that goes round asks SQL for none.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;

use serde::{Serialize, Serializer};

use crate::clock::UnixMs;
use crate::crypto::random_bytes;
use crate::id::{CampaignId, NotAnId, UserId};
use crate::share::links::{self, Link};
use crate::share::token::ShareToken;
use crate::store::{Store, StoreError, execute, fetch_optional};

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LENGTH: usize = 8;
/// More than anybody types between the characters.
const LONGEST: usize = 32;
/// So many codes are young; then the young become the old, and the old are forgotten (some 60 bytes each).
const YOUNG: usize = 100_000;
/// How often a new code is drawn when it is taken: once in a million times for a million codes.
const ATTEMPTS: usize = 5;

/// An invite code.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct InviteCode([u8; LENGTH]);

impl InviteCode {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        // 256 = 8 · 32: all are equally likely.
        Self(random_bytes::<LENGTH>().map(|byte| ALPHABET.get(usize::from(byte % 32)).copied().unwrap_or(b'0')))
    }

    fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for InviteCode {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        if text.len() > LONGEST {
            return Err(NotAnId);
        }
        let letters = text.bytes().filter(|byte| !matches!(byte, b'-' | b' ')).map(|byte| match byte.to_ascii_uppercase() {
            b'O' => b'0',
            b'I' | b'L' => b'1',
            other => other,
        });
        let read: Vec<u8> = letters.collect();
        let code: [u8; LENGTH] = read.try_into().map_err(|_other_length| NotAnId)?;
        if code.iter().all(|byte| ALPHABET.contains(byte)) { Ok(Self(code)) } else { Err(NotAnId) }
    }
}

impl fmt::Display for InviteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for InviteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for InviteCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Whose code it is, and where.
type Owner = (CampaignId, UserId);

/// Codes that were asked for.
#[derive(Debug, Default)]
pub struct Invites {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    young: HashMap<InviteCode, Owner>,
    old: HashMap<InviteCode, Owner>,
}

impl Invites {
    /// Who invites by a code; `None` for one that nobody has.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn owner(&self, store: &Store, code: InviteCode) -> Result<Option<Owner>, StoreError> {
        const OWNER: &str = "SELECT campaign_id, user_id FROM invites WHERE code = $1";
        if let Some(owner) = self.known(code) {
            return Ok(Some(owner));
        }
        let owner = fetch_optional!(store, Owner, OWNER, code.as_str())?;
        if let Some(owner) = owner {
            self.learn(code, owner);
        }
        Ok(owner)
    }

    fn known(&self, code: InviteCode) -> Option<Owner> {
        let kept = self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        kept.young.get(&code).or_else(|| kept.old.get(&code)).copied()
    }

    fn learn(&self, code: InviteCode, owner: Owner) {
        let mut kept = self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if kept.young.len() >= YOUNG {
            kept.old = std::mem::take(&mut kept.young);
        }
        kept.young.insert(code, owner);
    }
}

/// A user's code in a campaign.
///
/// # Errors
/// When the database does not answer.
pub async fn code_of(store: &Store, campaign: CampaignId, user: UserId) -> Result<Option<String>, StoreError> {
    const CODE: &str = "SELECT code FROM invites WHERE campaign_id = $1 AND user_id = $2";
    Ok(fetch_optional!(store, (String,), CODE, campaign, user)?.map(|(code,)| code))
}

/// A user's code in a campaign and the link that carries it. One whose link was taken back gets a new one first.
///
/// # Errors
/// When the database does not answer.
pub async fn standing(store: &Store, campaign: CampaignId, user: UserId) -> Result<Option<(String, String)>, StoreError> {
    const STANDING: &str = "SELECT invites.code, invites.share_token FROM invites JOIN shares ON shares.token = invites.share_token \
                            WHERE invites.campaign_id = $1 AND invites.user_id = $2 AND shares.revoked_at IS NULL";
    fetch_optional!(store, (String, String), STANDING, campaign, user)
}

/// Keeps this link as the one that carries its sharer's code, and gives the sharer a code first if there is none. Of two at once one link is
/// kept.
///
/// # Errors
/// When the database does not do it.
pub async fn keep(store: &Store, link: &Link, user: UserId) -> Result<(), StoreError> {
    const NEW: &str = "INSERT INTO invites (code, campaign_id, user_id, share_token, created_at) VALUES ($1, $2, $3, $4, $5) \
                       ON CONFLICT DO NOTHING";
    // The link before was taken back: the code stays.
    const AGAIN: &str = "UPDATE invites SET share_token = $1 WHERE campaign_id = $2 AND user_id = $3 AND EXISTS (SELECT 1 FROM shares \
                         WHERE shares.token = invites.share_token AND shares.revoked_at IS NOT NULL)";
    let token = link.token.to_string();
    for _attempt in 0..ATTEMPTS {
        let mut tx = store.begin().await?;
        let code = InviteCode::random();
        let changed = match execute!(&mut tx, NEW, code.as_str(), link.campaign_id, user, &token, link.created_at)? {
            0 => execute!(&mut tx, AGAIN, &token, link.campaign_id, user)?,
            new => new,
        };
        if changed > 0 {
            links::insert(&mut tx, link).await?;
            return tx.commit().await;
        }
        tx.rollback().await?;
        if standing(store, link.campaign_id, user).await?.is_some() {
            return Ok(());
        }
    }
    Err(StoreError::Defect(sqlx::Error::Protocol("no invite code was free".into())))
}

/// A link of a user to a campaign, to carry the code.
#[must_use]
pub fn link(token: ShareToken, (campaign_id, sharer): (CampaignId, UserId), parent: Option<ShareToken>, created_at: UnixMs) -> Link {
    Link { token, campaign_id, sharer: Some(sharer), target: None, parent, channel: None, invite_code: None, created_at, revoked_at: None }
}

#[cfg(test)]
mod tests {
    use super::{ALPHABET, InviteCode};

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let code: InviteCode = "K7M40Q1R".parse().unwrap();
        for typed in ["k7m40q1r", "K7M4-0Q1R", "k7m4 oqlr", " k7m4OQIR "] {
            assert_eq!(typed.parse(), Ok(code), "{typed}");
        }
        let long = "-".repeat(33);
        for wrong in ["", "K7M40Q1", "K7M40Q1R0", "K7M40Q1U", "K7M40Q1*", "樱樱樱樱樱樱樱樱", &long] {
            assert!(wrong.parse::<InviteCode>().is_err(), "{wrong}");
        }
        assert_eq!(code.to_string(), "K7M40Q1R");
    }

    #[test]
    fn codes_use_the_whole_alphabet() {
        let drawn: Vec<u8> = (0..1000).flat_map(|_| InviteCode::random().0).collect();
        assert!(ALPHABET.iter().all(|letter| drawn.contains(letter)));
        assert!(drawn.iter().all(|letter| ALPHABET.contains(letter)));
    }
}
