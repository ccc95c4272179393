//! The users table.

use super::names::Initial;
use crate::clock::UnixMs;
use crate::id::UserId;
use crate::store::{Store, StoreError, execute, fetch_optional};

/// Who a login says it is.
#[derive(Clone, Debug)]
pub struct Login<'a> {
    /// The login provider: `sandbox` or `shop`.
    pub provider: &'a str,
    /// The provider's own id of the shopper.
    pub external_id: &'a str,
    /// A name to keep, if one was given.
    pub display_name: Option<&'a str>,
}

/// A shopper after login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// The shopper's id.
    pub user_id: UserId,
    /// What others see of the name that is kept.
    pub initial: Initial,
    /// Never had an order that was paid.
    pub newcomer: bool,
}

/// Finds the shopper, or makes one. A repeat is recognised by (provider, external id); a name given replaces the one kept.
///
/// # Errors
/// When the database does not do it.
pub async fn sign_in(store: &Store, login: &Login<'_>, now: UnixMs) -> Result<User, StoreError> {
    let fresh = UserId::random(&mut rand::rng()).to_string();
    execute!(
        store,
        "INSERT INTO users (id, provider, external_id, display_name, created_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (provider, external_id) DO UPDATE SET display_name = excluded.display_name WHERE excluded.display_name <> ''",
        fresh,
        login.provider,
        login.external_id,
        login.display_name.unwrap_or_default(),
        now.get(),
    )?;
    // Read through the writer's own order: on SQLite the reader sees every commit that was answered before.
    let row = fetch_optional!(
        store,
        (String, String, Option<i64>),
        "SELECT id, display_name, first_paid_at FROM users WHERE provider = $1 AND external_id = $2",
        login.provider,
        login.external_id,
    )?;
    let found = row.and_then(|(id, name, first_paid_at)| {
        Some(User { user_id: id.parse().ok()?, initial: Initial::of(&name), newcomer: first_paid_at.is_none() })
    });
    found.ok_or_else(|| StoreError::Rejected { unique: false, message: "a user row without a user id".to_owned() })
}

/// Whether there is such a shopper.
///
/// # Errors
/// When the database does not answer.
pub async fn exists(store: &Store, user_id: UserId) -> Result<bool, StoreError> {
    Ok(fetch_optional!(store, (String,), "SELECT id FROM users WHERE id = $1", user_id)?.is_some())
}

/// Whether the shopper has never had an order that was paid; also true for somebody unknown.
///
/// # Errors
/// When the database does not answer.
pub async fn is_newcomer(store: &Store, user_id: UserId) -> Result<bool, StoreError> {
    let row = fetch_optional!(store, (Option<i64>,), "SELECT first_paid_at FROM users WHERE id = $1", user_id.to_string())?;
    Ok(row.is_none_or(|(first_paid_at,)| first_paid_at.is_none()))
}
