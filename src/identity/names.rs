//! Names as others see them: the first character and two stars, never the whole name.

use std::collections::HashMap;
use std::sync::Mutex;

use super::token::Session;
use crate::id::UserId;
use crate::store::{Store, StoreError, fetch_all};

/// So many names are young; then the young become the old, and the old are forgotten (some 30 bytes each).
const YOUNG: usize = 200_000;
/// So many are asked for in one statement.
const AT_ONCE: usize = 500;

/// All that others ever see of a name: its first letter or digit, if there is one. Marks that join to it are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Initial(pub Option<char>);

impl Initial {
    /// The initial of a name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self(name.trim().chars().find(|character| character.is_alphanumeric()))
    }

    /// `张三` → `张**`, `Ada` → `A**`, no name → `**`.
    #[must_use]
    pub fn masked(self) -> String {
        self.0.into_iter().chain("**".chars()).collect()
    }
}

/// `张三` → `张**`, `Ada` → `A**`, no name → `**`.
#[must_use]
pub fn masked(name: &str) -> String {
    Initial::of(name).masked()
}

/// Initials by user id, kept in memory. Sessions bring them along, so that a stampede of joins asks SQL for none.
#[derive(Debug, Default)]
pub struct Names {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    young: HashMap<UserId, Initial>,
    old: HashMap<UserId, Initial>,
}

impl Kept {
    fn get(&self, user: &UserId) -> Option<Initial> {
        self.young.get(user).or_else(|| self.old.get(user)).copied()
    }

    fn set(&mut self, user: UserId, initial: Initial) {
        if self.young.len() >= YOUNG {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(user, initial);
    }
}

impl Names {
    /// The masked names of `users` (those unknown are `**`). One statement for those not in memory.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn of(&self, store: &Store, users: &[UserId]) -> Result<HashMap<UserId, String>, StoreError> {
        let mut names = HashMap::with_capacity(users.len());
        let missing = self.kept_of(users, &mut names);
        for some in missing.chunks(AT_ONCE) {
            let ids = serde_json::to_string(some).unwrap_or_default();
            for (id, name) in read(store, ids).await? {
                if let Ok(id) = id.parse::<UserId>() {
                    self.set(id, Initial::of(&name));
                    names.insert(id, masked(&name));
                }
            }
        }
        for user in missing {
            names.entry(user).or_insert_with(|| masked(""));
        }
        Ok(names)
    }

    /// What a session says of its owner's name, unless more is known.
    pub fn learn(&self, session: &Session) {
        let mut kept = self.lock();
        if kept.get(&session.user_id).is_none() {
            kept.set(session.user_id, session.initial);
        }
    }

    /// The name as it is now.
    pub fn set(&self, user: UserId, initial: Initial) {
        self.lock().set(user, initial);
    }

    /// Puts those in memory into `names` and answers the others.
    fn kept_of(&self, users: &[UserId], names: &mut HashMap<UserId, String>) -> Vec<UserId> {
        let kept = self.lock();
        let mut missing = Vec::new();
        for user in users {
            match kept.get(user) {
                Some(initial) => drop(names.insert(*user, initial.masked())),
                None => missing.push(*user),
            }
        }
        missing
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The ids travel as one JSON parameter, which each database unpacks its own way.
async fn read(store: &Store, ids: String) -> Result<Vec<(String, String)>, StoreError> {
    match store {
        Store::Sqlite { .. } => fetch_all!(
            store,
            (String, String),
            "SELECT id, display_name FROM users WHERE id IN (SELECT value FROM json_each($1)) LIMIT 500",
            ids
        ),
        Store::Postgres(_) => fetch_all!(
            store,
            (String, String),
            "SELECT id, display_name FROM users WHERE id IN (SELECT value FROM json_array_elements_text(CAST($1 AS json)) AS x(value)) LIMIT 500",
            ids
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn a_masked_name_never_tells_the_whole() {
        assert_eq!(masked("张三"), "张**");
        assert_eq!(masked("  Ada Lovelace"), "A**");
        assert_eq!(masked("李"), "李**");
        assert_eq!(masked(""), "**");
        assert_eq!(masked("\u{1F600}李"), "李**");
    }
}
