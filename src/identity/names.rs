//! Names as others see them: the first character and two stars, never the whole name.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::id::UserId;
use crate::store::{Store, StoreError, fetch_all};

/// So many names are kept; then all are forgotten and read again as needed.
const KEPT: usize = 100_000;
/// So many are asked for in one statement.
const AT_ONCE: usize = 500;

/// `张三` → `张**`, `Ada` → `A**`, no name → `**`. Marks that join to the first character are left out.
#[must_use]
pub fn masked(name: &str) -> String {
    let first = name.trim().chars().find(|character| character.is_alphanumeric());
    first.into_iter().chain("**".chars()).collect()
}

/// Masked names by user id, kept in memory.
#[derive(Debug, Default)]
pub struct Names {
    kept: Mutex<HashMap<UserId, String>>,
}

impl Names {
    /// The masked names of `users` (those unknown are `**`). One statement for those not in memory.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn of(&self, store: &Store, users: &[UserId]) -> Result<HashMap<UserId, String>, StoreError> {
        let (mut names, missing) = self.kept_of(users);
        for some in missing.chunks(AT_ONCE) {
            let ids = serde_json::to_string(some).unwrap_or_default();
            for (id, name) in read(store, ids).await? {
                if let Ok(id) = id.parse::<UserId>() {
                    let name = masked(&name);
                    self.set(id, name.clone());
                    names.insert(id, name);
                }
            }
        }
        for user in missing {
            names.entry(user).or_insert_with(|| masked(""));
        }
        Ok(names)
    }

    /// Forgets one, after its name changed.
    pub fn forget(&self, user: UserId) {
        self.lock().remove(&user);
    }

    fn kept_of(&self, users: &[UserId]) -> (HashMap<UserId, String>, Vec<UserId>) {
        let kept = self.lock();
        let mut missing = Vec::new();
        let mut names = HashMap::with_capacity(users.len());
        for user in users {
            match kept.get(user) {
                Some(name) => drop(names.insert(*user, name.clone())),
                None => missing.push(*user),
            }
        }
        (names, missing)
    }

    fn set(&self, user: UserId, name: String) {
        let mut kept = self.lock();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(user, name);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<UserId, String>> {
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
