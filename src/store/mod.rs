//! SQL: embedded SQLite by default, Postgres when there is more than one node.
//!
//! One set of statements runs natively on both. The rules for a statement:
//!
//! * `&'static str`, parameters `$1 …`, each numbered and used in order of the arguments; values never enter the text.
//! * Types: TEXT, BIGINT, BOOLEAN, BYTEA (`SQLite` keeps a BLOB given to a BYTEA column as it is). Money is BIGINT fen, time BIGINT Unix
//!   ms. `Fen`, `UnixMs` and the ids bind and decode as they are. `SUM` of BIGINT is NUMERIC in Postgres: `CAST(SUM(x) AS BIGINT)`.
//! * `ON CONFLICT`, `RETURNING` and row values (`(created_at, id) < ($1, $2)`) work on both. `RETURNING` needs a [`Tx`]: on a `&Store` the
//!   reading macros use connections that may only read.
//! * No interactive locks. Postgres runs at READ COMMITTED: between two statements of one transaction others may commit. So a decision is
//!   **one conditional statement whose row count is checked** (`UPDATE … WHERE balance >= $2`): Postgres locks the row, waits for whoever
//!   has it, then looks at the condition again; in `SQLite` nobody else writes meanwhile. A `SELECT` followed by an `UPDATE` decides nothing.
//! * Transactions that change several rows of one table do so in a fixed order (by key), or Postgres answers some with a deadlock (`Busy`).
//! * After a statement failed, its transaction can only be rolled back, on either database ([`Tx::commit`] refuses).

mod columns;
mod error;
mod macros;
mod migrate;
mod rows;
mod sinks;
mod tx;
mod types;

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Postgres, Sqlite};

pub use columns::{Column, Kind, Sink, Value};
pub use error::StoreError;
pub use macros::{execute, fetch_all, fetch_one, fetch_optional, run};
pub use rows::{Bulk, BulkRow, BulkRows, bulk_row};
pub use tx::{Lease, Leased, Tx};

/// How long a statement waits for a lock or a connection before the answer is `Busy`.
const PATIENCE: Duration = Duration::from_secs(5);
/// Readers of one `SQLite` file at once; they never wait for the writer.
const SQLITE_READERS: u32 = 8;
/// Connections to Postgres of one process.
const POSTGRES_CONNECTIONS: u32 = 16;
/// Pages of the write-ahead log until the writer folds it back into the file. A page that changes often is then copied once instead of with
/// every few transactions.
const CHECKPOINT_PAGES: &str = "8192";
/// The writer's cache in KiB, negative as `SQLite` wants it. Rows of a spike touch leaves all over the indexes; with the 2 MB that are usual
/// a transaction writes pages out and reads them again before it ends.
const WRITER_CACHE: &str = "-65536";
/// After a burst the `SQLite` write-ahead log is cut back to this many bytes.
const WAL_KEPT: &str = "67108864";

/// Set on every Postgres connection. Only what would break the promise is changed: an answer means it is on disk. `off` is the one
/// setting that lies about that; stronger ones (waiting for replicas) stay. Not sent as start-up options, which poolers refuse.
/// A process that froze inside a transaction holds its locks for 3 seconds, no longer: others must be able to recover its campaigns.
const POSTGRES_SESSION: &str = "SELECT set_config('synchronous_commit', \
     CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false), \
     set_config('lock_timeout', '5s', false), set_config('statement_timeout', '30s', false), \
     set_config('idle_in_transaction_session_timeout', '3s', false)";

/// The pools of one database. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Store {
    /// A file. Many readers, one writer.
    Sqlite {
        /// Connections that cannot write.
        read: SqlitePool,
        /// The one connection that writes.
        write: SqlitePool,
    },
    /// A server.
    Postgres(PgPool),
}

/// Which of the two a store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `SQLite`.
    Sqlite,
    /// Postgres.
    Postgres,
}

impl Store {
    /// Which database it is.
    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite { .. } => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Opens `sqlite:///path/to/file` (created if missing; its folder must exist) or `postgres://…`. Changes no table: see
    /// [`Store::migrate`].
    ///
    /// # Errors
    /// `Address` for anything else; else what the database says.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        if url.starts_with("sqlite:") {
            Self::connect_sqlite(url).await
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            Self::connect_postgres(url).await
        } else {
            // Only the scheme is repeated: the rest may hold a password.
            Err(StoreError::Address(url.split(':').next().unwrap_or_default().to_owned()))
        }
    }

    async fn connect_sqlite(url: &str) -> Result<Self, StoreError> {
        // Two pools on a database in memory would be two databases.
        if url.contains(":memory:") || url.contains("mode=memory") {
            return Err(StoreError::Address("sqlite in memory".to_owned()));
        }
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(PATIENCE)
            .foreign_keys(true)
            .pragma("journal_size_limit", WAL_KEPT)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES);
        // A connection to a file does not go stale: no ping, no end of life.
        let pool = || SqlitePoolOptions::new().acquire_timeout(PATIENCE).test_before_acquire(false).idle_timeout(None).max_lifetime(None);
        // What a statement may have to undo stays in memory: else each that writes much makes a file for it, and deletes it.
        let writing = options.clone().pragma("cache_size", WRITER_CACHE).pragma("temp_store", "MEMORY");
        // The writer first: it makes the file and switches it to WAL.
        let write = pool().max_connections(1).connect_with(writing).await?;
        let read = pool().max_connections(SQLITE_READERS).connect_with(options.pragma("query_only", "ON")).await?;
        Ok(Self::Sqlite { read, write })
    }

    async fn connect_postgres(url: &str) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url)?.application_name("liebian");
        let pool = PgPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS)
            .acquire_timeout(PATIENCE)
            .after_connect(|connection, _| {
                Box::pin(async move { sqlx::query(POSTGRES_SESSION).execute(connection).await.map(|_settings| ()) })
            })
            .connect_with(options)
            .await?;
        Ok(Self::Postgres(pool))
    }

    /// Begins a transaction. `SQLite`: waits for the writer, then BEGIN IMMEDIATE, so it is alone from its first statement on. Postgres: READ
    /// COMMITTED, see the module.
    ///
    /// # Errors
    /// `Busy` or `Unavailable`; nothing was changed.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(match self {
            Self::Sqlite { write, .. } => Tx::sqlite(write.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres(pool) => Tx::postgres(pool.begin().await?),
        })
    }

    /// Waits for running statements, then closes all connections (`SQLite` folds its write-ahead log back into the file).
    pub async fn close(&self) {
        match self {
            Self::Sqlite { read, write } => {
                read.close().await;
                write.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }

    /// A connection for a reading macro. Waiting for one is boxed: it is two and a half kilobytes, which every handler that may ask SQL
    /// would carry about, and be moved with, at each request.
    #[doc(hidden)]
    pub async fn lease_reader(&self) -> Result<Lease<'static>, StoreError> {
        Ok(match self {
            Self::Sqlite { read, .. } => Lease::Sqlite(Leased::<Sqlite>::pooled(Box::pin(read.acquire()).await?)),
            Self::Postgres(pool) => Lease::Postgres(Leased::<Postgres>::pooled(Box::pin(pool.acquire()).await?)),
        })
    }

    /// A connection for a writing macro.
    #[doc(hidden)]
    pub async fn lease_writer(&self) -> Result<Lease<'static>, StoreError> {
        Ok(match self {
            Self::Sqlite { write, .. } => Lease::Sqlite(Leased::<Sqlite>::pooled(Box::pin(write.acquire()).await?)),
            Self::Postgres(pool) => Lease::Postgres(Leased::<Postgres>::pooled(Box::pin(pool.acquire()).await?)),
        })
    }
}
