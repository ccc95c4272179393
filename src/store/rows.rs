//! Many rows in one statement: they travel as one JSON parameter and are taken apart by the database.

use serde::Serialize;
use sqlx::error::BoxDynError;

use super::{Lease, StoreError, Tx};

/// Rows in one statement. More are written in several statements of the same transaction, so that no parameter grows without bound.
const ROWS_PER_STATEMENT: usize = 4096;

/// An INSERT of many rows, made by [`json_rows!`](crate::store::json_rows).
#[derive(Debug)]
pub struct JsonRows {
    #[doc(hidden)]
    pub sqlite: &'static str,
    #[doc(hidden)]
    pub postgres: &'static str,
}

/// Declares an INSERT of many rows:
///
/// ```text
/// json_rows! {
///     /// Orders as the log tells them; an older telling changes nothing.
///     ORDERS: "orders" (id TEXT, campaign_id TEXT, amount_fen BIGINT, seq BIGINT)
///         on conflict "(id) DO UPDATE SET amount_fen = excluded.amount_fen, seq = excluded.seq WHERE excluded.seq > orders.seq"
/// }
/// ORDERS.write(&mut tx, &orders).await?;
/// ```
///
/// Types are TEXT, BIGINT and BOOLEAN (bytes have no JSON form). Rows serialise to objects with the columns' names; an absent name is NULL.
#[macro_export]
macro_rules! json_rows {
    ($(#[$meta:meta])* $visibility:vis $name:ident: $table:literal ($column:ident $kind:ident $(, $columns:ident $kinds:ident)* $(,)?)
     on conflict $conflict:literal) => {
        $(#[$meta])*
        $visibility static $name: $crate::store::JsonRows = $crate::store::JsonRows {
            // "WHERE true" keeps SQLite from reading ON CONFLICT as the ON of a join.
            sqlite: concat!(
                "INSERT INTO ", $table, " (", stringify!($column), $(", ", stringify!($columns),)* ") SELECT ",
                "r.value ->> '", stringify!($column), "'", $(", r.value ->> '", stringify!($columns), "'",)*
                " FROM json_each($1) AS r WHERE true ON CONFLICT ", $conflict
            ),
            postgres: concat!(
                "INSERT INTO ", $table, " (", stringify!($column), $(", ", stringify!($columns),)* ") SELECT ",
                "r.", stringify!($column), $(", r.", stringify!($columns),)*
                " FROM json_to_recordset(CAST($1 AS json)) AS r (",
                stringify!($column), " ", stringify!($kind), $(", ", stringify!($columns), " ", stringify!($kinds),)*
                ") WHERE true ON CONFLICT ", $conflict
            ),
        };
    };
}

pub use json_rows;

impl JsonRows {
    /// Writes the rows and counts those inserted or changed. **At most one row per key in one call**: Postgres refuses to touch a row twice in a
    /// statement (`Defect`), while `SQLite` would let the last one win.
    ///
    /// # Errors
    /// `Rejected` when a constraint says no to one of them; the transaction can then only be rolled back.
    pub async fn write<T: Serialize>(&self, tx: &mut Tx, rows: &[T]) -> Result<u64, StoreError> {
        let mut changed = 0_u64;
        for part in rows.chunks(ROWS_PER_STATEMENT) {
            let json = serde_json::to_string(part).map_err(|error| sqlx::Error::Encode(BoxDynError::from(error)))?;
            let count = match tx.lease() {
                Lease::Sqlite(mut leased) => {
                    let done = sqlx::query(self.sqlite).bind(json).execute(leased.start()).await;
                    leased.done(done)?.rows_affected()
                }
                Lease::Postgres(mut leased) => {
                    let done = sqlx::query(self.postgres).bind(json).execute(leased.start()).await;
                    leased.done(done)?.rows_affected()
                }
            };
            changed = changed.saturating_add(count);
        }
        Ok(changed)
    }
}
