//! The macros that run one text natively on either database.
//!
//! The first argument is a `&Store` or a `&mut Tx`; what follows the text are its parameters `$1 …` in order.
//! (Exported, so that the tests outside the crate ask the same way.)

/// All rows: `fetch_all!(store, Row, "SELECT … WHERE a = $1 LIMIT $2", a, limit)` → `Result<Vec<Row>, StoreError>`. Always say LIMIT.
#[macro_export]
macro_rules! fetch_all {
    ($on:expr, $row:ty, $sql:expr $(, $argument:expr)* $(,)?) => {
        $crate::store::run!(lease_reader, $on, query_as, (, $row), $sql, [$($argument),*], fetch_all, |rows| rows)
    };
}

/// The first row, if any: `fetch_optional!(store, Row, "SELECT …", a)` → `Result<Option<Row>, StoreError>`.
#[macro_export]
macro_rules! fetch_optional {
    ($on:expr, $row:ty, $sql:expr $(, $argument:expr)* $(,)?) => {
        $crate::store::run!(lease_reader, $on, query_as, (, $row), $sql, [$($argument),*], fetch_optional, |row| row)
    };
}

/// The row that must be there: `fetch_one!(store, (i64,), "SELECT COUNT(*) …")` → `Result<Row, StoreError>`; none is a `Defect`.
#[macro_export]
macro_rules! fetch_one {
    ($on:expr, $row:ty, $sql:expr $(, $argument:expr)* $(,)?) => {
        $crate::store::run!(lease_reader, $on, query_as, (, $row), $sql, [$($argument),*], fetch_one, |row| row)
    };
}

/// Changes rows and counts them: `execute!(tx, "UPDATE … WHERE id = $1", id)` → `Result<u64, StoreError>`.
#[macro_export]
macro_rules! execute {
    ($on:expr, $sql:expr $(, $argument:expr)* $(,)?) => {
        $crate::store::run!(lease_writer, $on, query, (), $sql, [$($argument),*], execute, |done| done.rows_affected())
    };
}

#[doc(hidden)]
/// What the four have in common: lend a connection, run the text on it, note how it ended.
#[macro_export]
macro_rules! run {
    ($lend:ident, $on:expr, $query:ident, ($($row:tt)*), $sql:expr, [$($argument:expr),*], $method:ident, |$got:ident| $result:expr) => {
        async {
            match ($on).$lend().await? {
                $crate::store::Lease::Sqlite(mut leased) => {
                    let done = sqlx::$query::<sqlx::Sqlite $($row)*>($sql)$(.bind($argument))*.$method(leased.start()).await;
                    leased.done(done).map(|$got| $result)
                }
                $crate::store::Lease::Postgres(mut leased) => {
                    let done = sqlx::$query::<sqlx::Postgres $($row)*>($sql)$(.bind($argument))*.$method(leased.start()).await;
                    leased.done(done).map(|$got| $result)
                }
            }
        }
        .await
    };
}

pub use {execute, fetch_all, fetch_one, fetch_optional, run};
