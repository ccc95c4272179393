//! Sessions that were ended before their time.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use super::token::{Session, SessionId};
use crate::clock::UnixMs;
use crate::store::{Store, StoreError, execute, fetch_all};

/// How long another node may go on believing a session that was ended.
pub const REFRESH: Duration = Duration::from_secs(1);
/// So many are read at once.
const AT_ONCE: i64 = 10_000;

/// The ended sessions that have not run out by themselves.
#[derive(Debug, Default)]
pub struct Revocations {
    ended: RwLock<HashMap<SessionId, UnixMs>>,
}

impl Revocations {
    /// Whether the session was ended.
    #[must_use]
    pub fn contains(&self, session: &Session) -> bool {
        self.ended.read().unwrap_or_else(PoisonError::into_inner).contains_key(&session.session_id)
    }

    /// Ends `session` for good; here at once, on other nodes within [`REFRESH`]. A repeat changes nothing.
    ///
    /// # Errors
    /// When the database does not keep it; then the session goes on.
    pub async fn end(&self, store: &Store, session: &Session) -> Result<(), StoreError> {
        execute!(
            store,
            "INSERT INTO session_revocations (session_id, expires_at) VALUES ($1, $2) ON CONFLICT (session_id) DO NOTHING",
            session.session_id.to_hex(),
            session.expires_at.get(),
        )?;
        self.insert(session.session_id, session.expires_at);
        Ok(())
    }

    /// Reads what other nodes ended, and forgets what has run out by itself.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn refresh(&self, store: &Store, now: UnixMs) -> Result<(), StoreError> {
        // In pages by id: the table holds 30 days of log-outs.
        let mut after = String::new();
        loop {
            let rows = fetch_all!(
                store,
                (String, i64),
                "SELECT session_id, expires_at FROM session_revocations WHERE session_id > $1 AND expires_at > $2 \
                 ORDER BY session_id LIMIT $3",
                after.as_str(),
                now.get(),
                AT_ONCE,
            )?;
            for (id, expires_at) in &rows {
                if let Some(id) = SessionId::from_hex(id) {
                    self.insert(id, UnixMs::new(*expires_at));
                }
            }
            match rows.last() {
                Some((id, _)) if i64::try_from(rows.len()).unwrap_or_default() >= AT_ONCE => after.clone_from(id),
                Some(_) | None => break,
            }
        }
        self.ended.write().unwrap_or_else(PoisonError::into_inner).retain(|_id, expires_at| *expires_at > now);
        Ok(())
    }

    /// Deletes the rows of sessions that would be over by now anyway.
    ///
    /// # Errors
    /// When the database does not do it.
    pub async fn sweep(&self, store: &Store, now: UnixMs) -> Result<u64, StoreError> {
        execute!(store, "DELETE FROM session_revocations WHERE expires_at <= $1", now.get())
    }

    fn insert(&self, id: SessionId, expires_at: UnixMs) {
        self.ended.write().unwrap_or_else(PoisonError::into_inner).insert(id, expires_at);
    }
}
