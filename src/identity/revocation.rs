//! Sessions that were ended before their time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use super::token::{Session, SessionId};
use crate::clock::UnixMs;
use crate::id::UserId;
use crate::store::{Store, StoreError, Tx, execute, fetch_all};

/// How long another node may go on believing a session that was ended.
pub const REFRESH: Duration = Duration::from_secs(1);
/// So many are read at once.
const AT_ONCE: i64 = 10_000;
/// What is read lies so far before the newest that is known: two nodes' clocks differ, and a row may come late.
const OVERLAP_SECONDS: i64 = 60;
/// All are read so often, for nodes whose clocks differ more.
const WHOLE_SECONDS: i64 = 600;
/// That somebody was erased is never forgotten: they cannot log in, nobody is bound to them any more, and they earn nothing.
const NEVER: UnixMs = UnixMs::new(i64::MAX);

/// The ended sessions that have not run out by themselves.
#[derive(Debug, Default)]
pub struct Revocations {
    ended: RwLock<Ended>,
    reading: Mutex<Reading>,
}

/// What was ended, and until when that must be remembered.
#[derive(Debug, Default)]
struct Ended {
    sessions: HashMap<SessionId, UnixMs>,
    /// All sessions of users who were erased; kept for good.
    users: HashMap<UserId, UnixMs>,
}

/// How far they are read.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    /// When the newest that is known was ended.
    newest: UnixMs,
    /// When all are to be read again.
    whole_at: UnixMs,
}

/// Its id, when it would have run out, when it was ended.
type Row = (String, UnixMs, UnixMs);

impl Revocations {
    /// Whether the session was ended.
    #[must_use]
    pub fn contains(&self, session: &Session) -> bool {
        let ended = self.ended.read().unwrap_or_else(PoisonError::into_inner);
        ended.sessions.contains_key(&session.session_id) || ended.users.contains_key(&session.user_id)
    }

    /// Ends `session` for good; here at once, on other nodes within [`REFRESH`]. A repeat changes nothing.
    ///
    /// # Errors
    /// When the database does not keep it; then the session goes on.
    pub async fn end(&self, store: &Store, session: &Session, now: UnixMs) -> Result<(), StoreError> {
        execute!(
            store,
            "INSERT INTO session_revocations (session_id, expires_at, ended_at) VALUES ($1, $2, $3) ON CONFLICT (session_id) DO NOTHING",
            session.session_id.to_hex(),
            session.expires_at,
            now,
        )?;
        self.insert(session.session_id, session.expires_at);
        Ok(())
    }

    /// All sessions of a user are over, as SQL has it already.
    pub fn forget(&self, user: UserId) {
        self.ended.write().unwrap_or_else(PoisonError::into_inner).users.insert(user, NEVER);
    }

    /// Whether the user was erased: here at once, on other nodes within [`REFRESH`].
    #[must_use]
    pub fn is_erased(&self, user: UserId) -> bool {
        self.ended.read().unwrap_or_else(PoisonError::into_inner).users.contains_key(&user)
    }

    /// Reads what other nodes ended lately, and all now and then. Answers the users whose sessions this node did not know to be over.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn refresh(&self, store: &Store, now: UnixMs) -> Result<Vec<UserId>, StoreError> {
        const LATELY: &str =
            "SELECT session_id, expires_at, ended_at FROM session_revocations WHERE ended_at >= $1 ORDER BY ended_at LIMIT $2";
        let reading = *self.reading();
        let mut users = Vec::new();
        if now < reading.whole_at {
            let from = reading.newest.plus_seconds(-OVERLAP_SECONDS);
            let rows = fetch_all!(store, Row, LATELY, from, AT_ONCE)?;
            self.learn(&rows, &mut users);
            if count(&rows) < AT_ONCE {
                return Ok(users);
            }
        }
        self.read_all(store, now, &mut users).await?;
        Ok(users)
    }

    /// Reads all, and forgets what has run out by itself.
    async fn read_all(&self, store: &Store, now: UnixMs, users: &mut Vec<UserId>) -> Result<(), StoreError> {
        // In pages by id: the table holds 30 days of log-outs.
        const ALL: &str = "SELECT session_id, expires_at, ended_at FROM session_revocations WHERE session_id > $1 AND expires_at > $2 \
                           ORDER BY session_id LIMIT $3";
        let mut after = String::new();
        loop {
            let rows = fetch_all!(store, Row, ALL, after.as_str(), now, AT_ONCE)?;
            self.learn(&rows, users);
            match rows.last() {
                Some((id, ..)) if count(&rows) >= AT_ONCE => after.clone_from(id),
                Some(_) | None => break,
            }
        }
        {
            let mut ended = self.ended.write().unwrap_or_else(PoisonError::into_inner);
            ended.sessions.retain(|_id, expires_at| *expires_at > now);
            ended.users.retain(|_id, expires_at| *expires_at > now);
        }
        self.reading().whole_at = now.plus_seconds(WHOLE_SECONDS);
        Ok(())
    }

    fn learn(&self, rows: &[Row], users: &mut Vec<UserId>) {
        for (id, expires_at, ended_at) in rows {
            if let Some(id) = SessionId::from_hex(id) {
                self.insert(id, *expires_at);
            } else if let Ok(user) = id.parse() {
                let before = self.ended.write().unwrap_or_else(PoisonError::into_inner).users.insert(user, *expires_at);
                users.extend(before.is_none().then_some(user));
            }
            let mut reading = self.reading();
            reading.newest = reading.newest.max(*ended_at);
        }
    }

    /// Deletes the rows of sessions that would be over by now anyway.
    ///
    /// # Errors
    /// When the database does not do it.
    pub async fn sweep(&self, store: &Store, now: UnixMs) -> Result<u64, StoreError> {
        execute!(store, "DELETE FROM session_revocations WHERE expires_at <= $1", now.get())
    }

    fn reading(&self) -> std::sync::MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, id: SessionId, expires_at: UnixMs) {
        self.ended.write().unwrap_or_else(PoisonError::into_inner).sessions.insert(id, expires_at);
    }
}

/// Ends all sessions of a user who was erased, for good: nobody can log in as them any more. Here and on other nodes within [`REFRESH`].
///
/// # Errors
/// When the database does not keep it.
pub async fn end_all_of(tx: &mut Tx, user: UserId, now: UnixMs) -> Result<(), StoreError> {
    const END: &str =
        "INSERT INTO session_revocations (session_id, expires_at, ended_at) VALUES ($1, $2, $3) ON CONFLICT (session_id) DO NOTHING";
    execute!(tx, END, user, NEVER, now).map(|_kept| ())
}

fn count(rows: &[Row]) -> i64 {
    i64::try_from(rows.len()).unwrap_or(i64::MAX)
}
