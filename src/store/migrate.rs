//! The tables, brought up to date at start. Files in `migrations/` are applied in order, once each, and never change after a release.

use sqlx::migrate::Migrator;

use super::{Store, StoreError};

/// Embedded in the binary. (A new file in the folder is seen at the next compilation of this module.)
static MIGRATIONS: Migrator = sqlx::migrate!();

// `run_direct` is sqlx's own way around "implementation of Acquire is not general enough", which `run` meets in a spawned future.
impl Store {
    /// Applies what is missing. Two processes that start at once are safe: one works, the other waits and finds nothing to do.
    ///
    /// # Errors
    /// `Busy` when the other takes too long; `Defect` when the database is newer than this program or a file was altered.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite { write, .. } => {
                // The migrator takes no lock on SQLite: the transaction around all of it is the lock, and each file a savepoint in it.
                let mut transaction = write.begin_with("BEGIN IMMEDIATE").await?;
                MIGRATIONS.run_direct(None, &mut *transaction, false).await?;
                transaction.commit().await?;
            }
            Self::Postgres(pool) => {
                // It holds an advisory lock, and after an error it would keep it: such a connection must not go back to the pool.
                let mut connection = pool.acquire().await?;
                if let Err(error) = MIGRATIONS.run_direct(None, &mut *connection, false).await {
                    connection.close_on_drop();
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }
}
