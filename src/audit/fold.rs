//! The log folded: the state that its changes add up to, last writer wins, and what its chain says of itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Check;
use crate::bargain::row::{ChainRow, ScheduleRow};
use crate::group_buy::row::{RoomRow, State as RoomState};
use crate::hot::Row;
use crate::hot::entry::Entry;
use crate::http::problem::Problem;
use crate::id::CampaignId;
use crate::projector::{Halt, Projector};

/// A campaign's log, folded so far.
#[derive(Debug, Default)]
pub struct Fold {
    /// Sequence of the last entry.
    pub seq: i64,
    hash: String,
    entries: usize,
    tables: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// Rows changed since the last `clear`.
    pub moved: BTreeSet<(String, String)>,
    /// What the chain or a terminal state did wrong.
    pub wrong: Vec<String>,
}

impl Fold {
    /// Reads SQL's log on from where this fold is.
    ///
    /// # Errors
    /// Trouble of SQL.
    pub async fn read_to_end(&mut self, projector: &Projector, campaign: CampaignId) -> Result<(), Problem> {
        loop {
            let page = projector.entries_after(campaign, self.seq).await.map_err(|halt| match halt {
                Halt::Store(error) => error.into(),
                broken @ (Halt::Overtaken | Halt::Contradiction(_) | Halt::Redis(_)) => Problem::defect(&broken),
            })?;
            if page.is_empty() {
                return Ok(());
            }
            for entry in page {
                self.add(entry);
            }
        }
    }

    /// Adds the next entry.
    pub fn add(&mut self, entry: Entry) {
        if let Err(damage) = entry.follows(self.seq, &self.hash) {
            self.wrong.push(damage.to_string());
        }
        self.seq = entry.body.last;
        self.hash = entry.hash;
        self.entries += 1;
        for change in entry.body.changes {
            let (table, field, value) = (change.0, change.1, change.2.into_vec());
            match table.as_str() {
                "rooms" => self.terminal_stays::<RoomRow>("room", &table, &field, &value, |room| room.state != RoomState::Open),
                "chains" => self.terminal_stays::<ChainRow>("chain", &table, &field, &value, |chain| !chain.state.stands()),
                "schedules" => self.terminal_stays::<ScheduleRow>("schedule", &table, &field, &value, |_always| true),
                _ => {}
            }
            self.moved.insert((table.clone(), field.clone()));
            let rows = self.tables.entry(table).or_default();
            if value.is_empty() {
                rows.remove(&field);
            } else {
                rows.insert(field, value);
            }
        }
    }

    /// What has ended never changes.
    fn terminal_stays<T: Row + PartialEq>(&mut self, what: &str, table: &str, field: &str, after: &[u8], ended: impl Fn(&T) -> bool) {
        let before: Option<T> = self.row(table, field);
        if before.as_ref().is_some_and(ended) && T::read(after).ok() != before {
            self.wrong.push(format!("{what} {field} changed after it had ended"));
        }
    }

    /// The fields and packed rows of a table.
    pub fn table(&self, table: &str) -> impl Iterator<Item = (&String, &Vec<u8>)> {
        self.tables.get(table).into_iter().flatten()
    }

    /// A row, read; `None` when there is none or it does not read.
    #[must_use]
    pub fn row<T: Row>(&self, table: &str, field: &str) -> Option<T> {
        T::read(self.tables.get(table)?.get(field)?).ok()
    }

    /// All rows of a table that read.
    pub fn rows<T: Row>(&self, table: &str) -> impl Iterator<Item = (String, T)> {
        self.table(table).filter_map(|(field, packed)| Some((field.clone(), T::read(packed).ok()?)))
    }

    /// Whether a row changed while the audit was reading.
    #[must_use]
    pub fn just_moved(&self, table: &str, field: &str) -> bool {
        self.moved.contains(&(table.to_owned(), field.to_owned()))
    }

    pub(super) fn chain_check(&self) -> Check {
        Check::new("log_is_whole", format!("{} entries up to sequence {}, chained without a gap", self.entries, self.seq), &self.wrong)
    }

    /// The hot state is what the log adds up to. `before`: where the log stood when the hot state was read.
    pub(super) fn hot_check(&self, hot: &BTreeMap<String, HashMap<String, Vec<u8>>>, before: i64) -> Check {
        let (mut rows, mut wrong) = (0_usize, Vec::new());
        for (table, hot_rows) in hot {
            rows += hot_rows.len();
            for (field, value) in hot_rows {
                let told = self.tables.get(table).and_then(|rows| rows.get(field));
                if told != Some(value) && !self.just_moved(table, field) {
                    wrong.push(format!("{table}/{field} is not what the log says"));
                }
            }
            let missing = self.table(table).filter(|(field, _)| !hot_rows.contains_key(*field) && !self.just_moved(table, field));
            wrong.extend(missing.map(|(field, _)| format!("{table}/{field} is missing in Redis")));
        }
        Check::new("hot_state_equals_log", format!("{rows} rows as the log up to sequence {before} says"), &wrong)
    }
}
