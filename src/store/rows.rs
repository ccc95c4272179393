//! Many rows in one statement. They travel as parameters and are taken apart by the database: for `SQLite` as one JSON text, each row an
//! array (names in every row, or a parameter a value, cost several times as much); for Postgres as one array a column.

use std::marker::PhantomData;

use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;

use super::columns::{Kind, Sink};
use super::sinks::{Arrays, Json, Parameters};
use super::{Dialect, Lease, StoreError, Tx};

/// Rows in one statement. More are written in several statements of the same transaction, so that no parameter grows without bound.
const ROWS_PER_STATEMENT: usize = 4096;

/// A row that can travel with many others; made by [`bulk_row!`](crate::store::bulk_row).
pub trait BulkRow {
    /// Its columns, in order.
    const COLUMNS: &'static [(&'static str, Kind)];

    /// Gives its values, in that order.
    fn give(&self, sink: &mut impl Sink);
}

/// Declares a struct whose fields are columns, for [`BulkRows`]. Names and types are the columns' own; `Option` is one that may be NULL.
///
/// ```text
/// bulk_row! {
///     /// An order as the log tells it.
///     struct Order { id: OrderId, campaign_id: CampaignId, amount_fen: i64, seq: i64 }
/// }
/// static ORDERS: LazyLock<BulkRows<Order>> = LazyLock::new(|| {
///     BulkRows::insert("orders", "ON CONFLICT (id) DO UPDATE SET amount_fen = excluded.amount_fen WHERE excluded.seq > orders.seq")
/// });
/// ORDERS.write(&mut tx, &orders).await?;
/// ```
#[macro_export]
macro_rules! bulk_row {
    ($(#[$meta:meta])* $visibility:vis struct $row:ident { $($(#[$doc:meta])* $column:ident: $type:ty),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        $visibility struct $row { $($(#[$doc])* $visibility $column: $type),+ }

        impl $crate::store::BulkRow for $row {
            const COLUMNS: &'static [(&'static str, $crate::store::Kind)] =
                &[$((stringify!($column), <$type as $crate::store::Column>::KIND)),+];

            fn give(&self, sink: &mut impl $crate::store::Sink) {
                $($crate::store::Column::give(&self.$column, sink);)+
            }
        }
    };
}

pub use bulk_row;

/// A statement over many rows.
#[derive(Debug)]
pub struct BulkRows<R> {
    sqlite: String,
    postgres: String,
    /// JSON knows no bytes: `SQLite` gets such rows one by one.
    one_by_one: bool,
    row: PhantomData<fn(R)>,
}

/// A statement with its rows, ready to run.
#[derive(Debug)]
pub struct Bulk(Prepared);

#[derive(Debug)]
enum Prepared {
    Sqlite(&'static str, SqliteArguments),
    Postgres(&'static str, PgArguments),
}

impl<R: BulkRow> BulkRows<R> {
    /// `INSERT INTO table …`, then what to do about rows that are there: `ON CONFLICT …`, or nothing, so that they are refused.
    #[must_use]
    pub fn insert(table: &str, conflict: &str) -> Self {
        let names = list::<R>(|_, name, _| name.to_owned());
        let before = format!("INSERT INTO {table} ({names}) SELECT {} FROM", list::<R>(|_, name, _| format!("r.{name}")));
        // "WHERE true" keeps SQLite from reading ON CONFLICT as the ON of a join.
        let mut rows = Self::over(&before, &format!("WHERE true {conflict}"));
        if R::COLUMNS.iter().any(|(_, kind)| *kind == Kind::Bytes) {
            let places = list::<R>(|place, _, _| format!("${place}"));
            rows.sqlite = format!("INSERT INTO {table} ({names}) VALUES ({places}) {conflict}");
            rows.one_by_one = true;
        }
        rows
    }

    /// Any other statement: the rows stand between two pieces of text, as `r`.
    /// `over("UPDATE refunds SET done_at = r.told_at FROM", "WHERE refunds.refund_no = r.refund_no")`
    #[must_use]
    pub fn over(before: &str, after: &str) -> Self {
        let values = list::<R>(|place, name, _| format!("value ->> {} AS {name}", place - 1));
        let arrays = list::<R>(|place, _, kind| format!("${place}::{}", kind.array()));
        let names = list::<R>(|_, name, _| name.to_owned());
        Self {
            sqlite: format!("{before} (SELECT {values} FROM jsonb_each($1)) AS r {after}"),
            postgres: format!("{before} UNNEST({arrays}) AS r ({names}) {after}"),
            one_by_one: false,
            row: PhantomData,
        }
    }

    /// Makes the statement ready; without rows there is nothing to run. **At most one row per key**: Postgres refuses to touch a row twice in a
    /// statement (`Defect`), while `SQLite` would let the last one win.
    ///
    /// # Errors
    /// `Defect` for a value that cannot be sent.
    pub fn prepare(&'static self, dialect: Dialect, rows: &[R]) -> Result<Vec<Bulk>, StoreError> {
        let at_once = if self.one_by_one && dialect == Dialect::Sqlite { 1 } else { ROWS_PER_STATEMENT };
        Ok(rows.chunks(at_once).map(|part| self.part(dialect, part)).collect::<Result<_, _>>()?)
    }

    fn part(&'static self, dialect: Dialect, rows: &[R]) -> Result<Bulk, sqlx::Error> {
        Ok(Bulk(match dialect {
            Dialect::Sqlite if self.one_by_one => Prepared::Sqlite(&self.sqlite, filled(Parameters::default(), rows).finish()?),
            Dialect::Sqlite => Prepared::Sqlite(&self.sqlite, filled(Json::default(), rows).finish()?),
            Dialect::Postgres => Prepared::Postgres(&self.postgres, filled(Arrays::new(R::COLUMNS, rows.len()), rows).finish()?),
        }))
    }

    /// Runs it and counts the rows inserted or changed; see [`BulkRows::prepare`].
    ///
    /// # Errors
    /// `Rejected` when a constraint says no to one of them; the transaction can then only be rolled back.
    pub async fn write(&'static self, tx: &mut Tx, rows: &[R]) -> Result<u64, StoreError> {
        let mut changed = 0_u64;
        for bulk in self.prepare(tx.dialect(), rows)? {
            changed = changed.saturating_add(bulk.run(tx).await?);
        }
        Ok(changed)
    }
}

impl Bulk {
    /// Runs it and counts the rows inserted or changed.
    ///
    /// # Errors
    /// `Rejected` when a constraint says no to one of them; the transaction can then only be rolled back.
    pub async fn run(self, tx: &mut Tx) -> Result<u64, StoreError> {
        match (tx.lease(), self.0) {
            (Lease::Sqlite(mut leased), Prepared::Sqlite(text, arguments)) => {
                let done = sqlx::query_with(text, arguments).execute(leased.start()).await;
                leased.done(done).map(|done| done.rows_affected())
            }
            (Lease::Postgres(mut leased), Prepared::Postgres(text, arguments)) => {
                let done = sqlx::query_with(text, arguments).execute(leased.start()).await;
                leased.done(done).map(|done| done.rows_affected())
            }
            _ => Err(StoreError::Defect(sqlx::Error::Configuration("a statement for the other database".into()))),
        }
    }
}

fn filled<R: BulkRow, S: Sink>(mut sink: S, rows: &[R]) -> S {
    for row in rows {
        sink.begin();
        row.give(&mut sink);
    }
    sink
}

/// One piece of text a column, with commas; places count from 1.
fn list<R: BulkRow>(piece: impl Fn(usize, &str, Kind) -> String) -> String {
    R::COLUMNS.iter().zip(1..).map(|((name, kind), place)| piece(place, name, *kind)).collect::<Vec<_>>().join(", ")
}
