//! Transactions, and the connection a macro's statement runs on.

use sqlx::pool::PoolConnection;
use sqlx::{Database, Postgres, Sqlite, Transaction};

use super::{Dialect, StoreError};

/// A transaction. Dropped without [`Tx::commit`] it is rolled back.
#[derive(Debug)]
pub struct Tx {
    inner: Inner,
    /// A statement failed, or was abandoned half way. Postgres answers COMMIT then with a silent ROLLBACK, `SQLite` would keep the rest.
    failed: bool,
}

#[derive(Debug)]
enum Inner {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Tx {
    pub(super) const fn sqlite(transaction: Transaction<'static, Sqlite>) -> Self {
        Self { inner: Inner::Sqlite(transaction), failed: false }
    }

    pub(super) const fn postgres(transaction: Transaction<'static, Postgres>) -> Self {
        Self { inner: Inner::Postgres(transaction), failed: false }
    }

    /// Makes all of it lasting: when this returns, it is on disk.
    ///
    /// # Errors
    /// `CommitAfterFailure` if a statement of it failed (all is rolled back); `Unavailable` if it is **unknown** whether it holds.
    pub async fn commit(self) -> Result<(), StoreError> {
        if self.failed {
            self.rollback().await?;
            return Err(StoreError::CommitAfterFailure);
        }
        match self.inner {
            Inner::Sqlite(transaction) => transaction.commit().await?,
            Inner::Postgres(transaction) => transaction.commit().await?,
        }
        Ok(())
    }

    /// Undoes all of it now; dropping does the same a little later.
    ///
    /// # Errors
    /// `Unavailable`; it is undone nonetheless.
    pub async fn rollback(self) -> Result<(), StoreError> {
        match self.inner {
            Inner::Sqlite(transaction) => transaction.rollback().await?,
            Inner::Postgres(transaction) => transaction.rollback().await?,
        }
        Ok(())
    }

    /// The connection, for a reading macro.
    #[doc(hidden)]
    #[expect(clippy::unused_async, reason = "the macros treat a store, which waits for a connection, and a transaction alike")]
    pub async fn lease_reader(&mut self) -> Result<Lease<'_>, StoreError> {
        Ok(self.lease())
    }

    /// The connection, for a writing macro.
    #[doc(hidden)]
    #[expect(clippy::unused_async, reason = "the macros treat a store, which waits for a connection, and a transaction alike")]
    pub async fn lease_writer(&mut self) -> Result<Lease<'_>, StoreError> {
        Ok(self.lease())
    }

    pub(super) const fn dialect(&self) -> Dialect {
        match self.inner {
            Inner::Sqlite(_) => Dialect::Sqlite,
            Inner::Postgres(_) => Dialect::Postgres,
        }
    }

    pub(super) fn lease(&mut self) -> Lease<'_> {
        let failed = &mut self.failed;
        match &mut self.inner {
            Inner::Sqlite(transaction) => Lease::Sqlite(Leased::within(&mut **transaction, failed)),
            Inner::Postgres(transaction) => Lease::Postgres(Leased::within(&mut **transaction, failed)),
        }
    }
}

/// A connection of either database, for the time of one statement.
#[doc(hidden)]
pub enum Lease<'a> {
    Sqlite(Leased<'a, Sqlite>),
    Postgres(Leased<'a, Postgres>),
}

/// A connection for the time of one statement.
#[doc(hidden)]
pub struct Leased<'a, DB: Database> {
    held: Held<'a, DB>,
    note: Option<Note<'a>>,
}

enum Held<'a, DB: Database> {
    Pooled(PoolConnection<DB>),
    Transaction(&'a mut DB::Connection),
}

struct Note<'a> {
    failed: &'a mut bool,
    before: bool,
}

impl<'a, DB: Database> Leased<'a, DB> {
    pub(super) const fn pooled(connection: PoolConnection<DB>) -> Self {
        Self { held: Held::Pooled(connection), note: None }
    }

    const fn within(connection: &'a mut DB::Connection, failed: &'a mut bool) -> Self {
        let before = *failed;
        Self { held: Held::Transaction(connection), note: Some(Note { failed, before }) }
    }

    /// The connection. Until [`Leased::done`] the transaction counts as failed, so a caller that gives up half way leaves it so.
    pub fn start(&mut self) -> &mut DB::Connection {
        if let Some(note) = &mut self.note {
            *note.failed = true;
        }
        match &mut self.held {
            Held::Pooled(connection) => connection,
            Held::Transaction(connection) => connection,
        }
    }

    /// Takes note of how the statement ended.
    ///
    /// # Errors
    /// Those of the statement.
    pub fn done<T>(self, result: Result<T, sqlx::Error>) -> Result<T, StoreError> {
        if let (Some(note), Ok(_)) = (self.note, &result) {
            *note.failed = note.before;
        }
        Ok(result?)
    }
}
