//! What a page of the log adds up to: the newest version of every changed row, and the events in order. The domains make statements of it.

use std::cmp::Ordering;

use crate::hot;
use crate::hot::entry::{BodyRef, EventRef};
use crate::id::CampaignId;
use crate::store::{Bulk, BulkRow, BulkRows, Dialect, StoreError};

/// A changed row, as the newest of the entries at hand tells it.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Its table in hot state.
    pub table: &'a str,
    /// Its field.
    pub field: &'a str,
    /// The packed row; empty when it was deleted.
    pub packed: &'a [u8],
    /// Sequence of the entry's last op.
    pub seq: i64,
    /// The entry's clock, Unix ms.
    pub at: i64,
}

/// What a domain applies at once: rows (each at most once, sorted) and events, in log order.
#[derive(Debug)]
pub struct Batch<'a> {
    /// The campaign.
    pub campaign: CampaignId,
    /// Changed rows of the tables that some domain reads.
    pub rows: Vec<Row<'a>>,
    /// Events with the clock of their entry, Unix ms.
    pub events: Vec<(i64, &'a EventRef<'a>)>,
}

impl<'a> Batch<'a> {
    /// The batch of some entries: of `tables` only, and without the objects that are not `wanted`.
    pub(super) fn new(campaign: CampaignId, bodies: &'a [BodyRef<'a>], tables: &[&str], wanted: impl Fn(&str, &str) -> bool) -> Self {
        let mut rows = Vec::new();
        let mut events = Vec::new();
        for body in bodies {
            let of_interest = body.changes.iter().filter(|change| tables.contains(&change.0) && wanted(change.0, change.1));
            rows.extend(of_interest.map(|change| Row { table: change.0, field: change.1, packed: change.2, seq: body.last, at: body.at }));
            let of_interest = body.events.iter().filter(|event| {
                let (table, field) = object_of(event);
                wanted(table, field)
            });
            events.extend(of_interest.map(|event| (body.at, event)));
        }
        // Sorting keeps the order of equals, so the last of them is the newest. And locks are then taken in one order, by key.
        rows.sort_by(Row::by_name);
        rows.reverse();
        rows.dedup_by(|older, newer| older.by_name(newer).is_eq());
        rows.reverse();
        Self { campaign, rows, events }
    }

    /// The rows of one table that are not deleted, read.
    ///
    /// # Errors
    /// `Rejected` when a row does not read, so that it is parked.
    pub fn table<T: hot::Row>(&self, table: &str) -> impl Iterator<Item = Result<(Row<'a>, T), StoreError>> {
        let rows = self.rows.iter().filter(move |row| row.table == table && !row.packed.is_empty());
        rows.map(|row| T::read(row.packed).map(|read| (*row, read)).map_err(|error| unreadable(&error)))
    }
}

impl Row<'_> {
    fn by_name(&self, other: &Self) -> Ordering {
        (self.table, self.field).cmp(&(other.table, other.field))
    }
}

/// The statements that a page comes to, in the order in which they run.
#[derive(Debug)]
pub struct Statements {
    dialect: Dialect,
    pub(super) bulks: Vec<Bulk>,
}

impl Statements {
    pub(super) const fn new(dialect: Dialect) -> Self {
        Self { dialect, bulks: Vec::new() }
    }

    /// Adds a statement over these rows, at most one a key.
    ///
    /// # Errors
    /// `Defect` for a value that cannot be sent.
    pub fn add<R: BulkRow>(&mut self, statement: &'static BulkRows<R>, rows: &[R]) -> Result<(), StoreError> {
        self.bulks.extend(statement.prepare(self.dialect, rows)?);
        Ok(())
    }
}

/// What a domain does with the log.
pub trait Projection: Send + Sync {
    /// The tables of hot state that it reads.
    fn tables(&self) -> &'static [&'static str];

    /// Says what is to be done for a batch; it is done in the transaction that moves the cursor. Must give the same rows whenever it is given
    /// the same log, in pages of whatever size.
    ///
    /// # Errors
    /// `Rejected` when a row or event does not read, so that it is parked.
    fn statements(&self, batch: &Batch<'_>, statements: &mut Statements) -> Result<(), StoreError>;
}

/// The error for a row or event that does not read.
pub fn unreadable(error: &impl ToString) -> StoreError {
    StoreError::Rejected { unique: false, message: error.to_string() }
}

/// The object an event is about: table and field of the row it belongs to; of no row's, the campaign's own.
pub(super) fn object_of<'a>(event: &'a EventRef<'_>) -> (&'static str, &'a str) {
    let named = [("order", "orders"), ("room", "rooms"), ("sku", "stock"), ("sale", "sales")];
    let bond = || event.text("inviter").or(event.text("previous")).and(event.text("user")).map(|user| ("bonds", user));
    named.into_iter().find_map(|(field, table)| Some((table, event.text(field)?))).or_else(bond).unwrap_or(("def", "status"))
}
