//! Operator keys: made, looked up, revoked.

use serde::{Deserialize, Serialize};

use crate::clock::UnixMs;
use crate::crypto::{random_base62, sha256_hex};
use crate::store::{Store, StoreError, Tx, execute, fetch_all, fetch_optional};

/// `last_used_at` moves no more often than this.
const USE_NOTED_EVERY_SECONDS: i64 = 60;

/// What a key may do; each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Changes campaigns.
    Editor,
    /// Moves money: refunds, payments taken by the shop, withdrawals.
    Finance,
    /// Manages keys.
    Admin,
}

impl Role {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Editor => "editor",
            Self::Finance => "finance",
            Self::Admin => "admin",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Viewer, Self::Editor, Self::Finance, Self::Admin].into_iter().find(|role| role.word() == word)
    }
}

/// A key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = OperatorKey)]
pub struct Key {
    /// `key_` and 16 letters and digits.
    pub id: String,
    /// What its maker called it.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: UnixMs,
    /// When it was last used, to the minute.
    #[serde(with = "crate::clock::rfc3339::option")]
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<UnixMs>,
    /// When it was revoked.
    #[serde(with = "crate::clock::rfc3339::option")]
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<UnixMs>,
}

type Row = (String, String, String, i64, Option<i64>, Option<i64>);

impl Key {
    fn from_row((id, name, role, created_at, last_used_at, revoked_at): Row) -> Self {
        Self {
            id,
            name,
            // A word no role has gives the least.
            role: Role::from_word(&role).unwrap_or(Role::Viewer),
            created_at: UnixMs::new(created_at),
            last_used_at: last_used_at.map(UnixMs::new),
            revoked_at: revoked_at.map(UnixMs::new),
        }
    }
}

/// A new secret: `lbk_` and 40 letters and digits.
#[must_use]
pub fn new_secret() -> String {
    format!("lbk_{}", random_base62(40))
}

/// Keeps a new key with this secret. `None`: the secret is kept already (at a restart), nothing changed.
///
/// # Errors
/// When the database does not do it.
pub async fn keep(tx: &mut Tx, secret: &str, name: &str, role: Role, now: UnixMs) -> Result<Option<Key>, StoreError> {
    let id = format!("key_{}", random_base62(16));
    let made = execute!(
        tx,
        "INSERT INTO operator_keys (id, name, role, secret_hash, created_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (secret_hash) DO NOTHING",
        id.as_str(),
        name,
        role.word(),
        sha256_hex(secret.as_bytes()),
        now.get(),
    )?;
    let key = Key { id, name: name.to_owned(), role, created_at: now, last_used_at: None, revoked_at: None };
    Ok((made > 0).then_some(key))
}

/// The key that has this secret and was not revoked. Notes its use.
///
/// # Errors
/// When the database does not answer.
pub async fn find(store: &Store, secret: &str, now: UnixMs) -> Result<Option<Key>, StoreError> {
    let row = fetch_optional!(
        store,
        Row,
        "SELECT id, name, role, created_at, last_used_at, revoked_at FROM operator_keys WHERE secret_hash = $1 AND revoked_at IS NULL",
        sha256_hex(secret.as_bytes()),
    )?;
    let Some(key) = row.map(Key::from_row) else { return Ok(None) };
    if key.last_used_at.is_none_or(|at| at.plus_seconds(USE_NOTED_EVERY_SECONDS) < now) {
        execute!(store, "UPDATE operator_keys SET last_used_at = $1 WHERE id = $2", now.get(), key.id.as_str())?;
    }
    Ok(Some(key))
}

/// A page of all keys, newest first.
///
/// # Errors
/// When the database does not answer.
pub async fn list(store: &Store, (before, id): (i64, &str), fetch: i64) -> Result<Vec<Key>, StoreError> {
    let rows = fetch_all!(
        store,
        Row,
        "SELECT id, name, role, created_at, last_used_at, revoked_at FROM operator_keys WHERE (created_at, id) < ($1, $2) \
         ORDER BY created_at DESC, id DESC LIMIT $3",
        before,
        id,
        fetch,
    )?;
    Ok(rows.into_iter().map(Key::from_row).collect())
}

/// How a revocation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// This key is revoked now.
    Now(Key),
    /// It has been before.
    Before,
    /// There is no such key.
    Unknown,
    /// It is the last admin key: nobody could make another.
    LastAdmin,
}

/// Revokes a key. A repeat changes nothing. Revocations wait for each other: of two admins who revoke each other's keys at once, one is too
/// late.
///
/// # Errors
/// When the database does not do it.
pub async fn revoke(tx: &mut Tx, id: &str, now: UnixMs) -> Result<Revoked, StoreError> {
    // Postgres would let both look before either has written.
    const IN_TURN: &str = "INSERT INTO settings (name, value) VALUES ('revocations', '') ON CONFLICT (name) DO UPDATE SET value = ''";
    const FIND: &str = "SELECT id, name, role, created_at, last_used_at, revoked_at FROM operator_keys WHERE id = $1";
    execute!(tx, IN_TURN)?;
    let changed = execute!(
        tx,
        "UPDATE operator_keys SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL AND (role <> 'admin' OR EXISTS \
         (SELECT 1 FROM operator_keys other WHERE other.role = 'admin' AND other.revoked_at IS NULL AND other.id <> $3))",
        now.get(),
        id,
        id,
    )?;
    Ok(match fetch_optional!(tx, Row, FIND, id)?.map(Key::from_row) {
        None => Revoked::Unknown,
        Some(key) if changed > 0 => Revoked::Now(key),
        Some(key) if key.revoked_at.is_some() => Revoked::Before,
        Some(_) => Revoked::LastAdmin,
    })
}
