//! Campaigns in SQL: the definition in force, its versions, and the state that hot state reported last.
//!
//! A change is one conditional UPDATE on the version it was made from: of two operators who change at once, one is told. Each version
//! stays in `campaign_versions`; orders name the one they were decided under.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::check::SharedSku;
use super::model::Definition;
use super::ops::PausedBy;
use super::view::{CampaignState, Switches};
use crate::clock::UnixMs;
use crate::id::CampaignId;
use crate::store::{Store, StoreError, Tx, execute, fetch_all, fetch_optional};

/// Other running campaigns that are looked through for the same SKU.
const MAX_OTHERS: i64 = 500;

/// The state as SQL keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordState {
    /// Not published; shoppers do not see it.
    Draft,
    /// Published, not started.
    Scheduled,
    /// Open to all.
    Live,
    /// No new rooms, joins or cuts.
    Paused,
    /// No new rooms or chains.
    Ended,
    /// Over, and its hot state is gone.
    Archived,
}

impl RecordState {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Draft, Self::Scheduled, Self::Live, Self::Paused, Self::Ended, Self::Archived];

    /// The word in SQL and JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Scheduled => "scheduled",
            Self::Live => "live",
            Self::Paused => "paused",
            Self::Ended => "ended",
            Self::Archived => "archived",
        }
    }

    /// The state a word stands for.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.word() == word)
    }

    /// What it is at a time: start and end come by themselves.
    #[must_use]
    pub fn at(self, definition: &Definition, now: UnixMs) -> Self {
        match self {
            Self::Draft | Self::Ended | Self::Archived => self,
            Self::Scheduled | Self::Live | Self::Paused if definition.head.ends_at <= now => Self::Ended,
            Self::Paused => Self::Paused,
            Self::Scheduled | Self::Live if now < definition.head.starts_at => Self::Scheduled,
            Self::Scheduled | Self::Live => Self::Live,
        }
    }

    /// As shoppers see it; `None` for drafts.
    #[must_use]
    pub const fn shown(self) -> Option<CampaignState> {
        match self {
            Self::Draft => None,
            Self::Scheduled => Some(CampaignState::Scheduled),
            Self::Live => Some(CampaignState::Live),
            Self::Paused => Some(CampaignState::Paused),
            Self::Ended | Self::Archived => Some(CampaignState::Ended),
        }
    }
}

/// A campaign as operators see it: the definition's own fields stand beside these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = CampaignRecord)]
pub struct Record {
    /// Its id.
    pub id: CampaignId,
    /// Where it is in its life.
    pub state: RecordState,
    /// Who paused it; null unless it is paused.
    #[serde(default)]
    #[schema(required = true, example = json!(null))]
    pub paused_by: Option<PausedBy>,
    /// What operators have switched off.
    #[serde(default)]
    pub switches: Switches,
    /// Of the definition: 1, and one more with each change.
    #[schema(example = 1)]
    pub version: i64,
    /// When it was made.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime, example = "2026-11-21T08:00:00Z")]
    pub created_at: UnixMs,
    /// When it was last changed.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime, example = "2026-11-21T08:00:00Z")]
    pub updated_at: UnixMs,
    /// The definition, its defaults filled in.
    #[serde(flatten)]
    #[schema(value_type = super::model::WholeDefinition)]
    pub definition: Definition,
}

type Row = (String, String, i64, i64, i64, String, String, bool, bool);

impl Record {
    /// A new draft.
    #[must_use]
    pub const fn draft(id: CampaignId, definition: Definition, now: UnixMs) -> Self {
        let switches = Switches { open: true, join: true };
        Self { id, state: RecordState::Draft, paused_by: None, switches, version: 1, created_at: now, updated_at: now, definition }
    }

    /// The same with its state as of `now`.
    #[must_use]
    pub fn at(mut self, now: UnixMs) -> Self {
        self.state = self.state.at(&self.definition, now);
        if self.state != RecordState::Paused {
            self.paused_by = None;
        }
        self
    }

    fn from_row((id, state, version, created_at, updated_at, definition, paused_by, open, join): Row) -> Result<Self, StoreError> {
        let record = || {
            Some(Self {
                id: id.parse().ok()?,
                state: RecordState::from_word(&state)?,
                paused_by: PausedBy::from_word(&paused_by),
                switches: Switches { open, join },
                version,
                created_at: UnixMs::new(created_at),
                updated_at: UnixMs::new(updated_at),
                definition: serde_json::from_str(&definition).ok()?,
            })
        };
        record().ok_or_else(|| StoreError::Rejected { unique: false, message: format!("the row of campaign {id} cannot be read") })
    }

    fn definition_json(&self) -> Result<String, StoreError> {
        serde_json::to_string(&self.definition).map_err(|error| StoreError::Rejected { unique: false, message: error.to_string() })
    }
}

/// Keeps a new draft.
///
/// # Errors
/// When the database does not do it.
pub async fn insert(tx: &mut Tx, record: &Record) -> Result<(), StoreError> {
    let head = &record.definition.head;
    execute!(
        tx,
        "INSERT INTO campaigns (id, kind, title, state, definition, version, starts_at, ends_at, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        record.id.to_string(),
        record.definition.kind().word(),
        head.title.as_str(),
        record.state.word(),
        record.definition_json()?,
        record.version,
        head.starts_at.get(),
        head.ends_at.get(),
        record.created_at.get(),
        record.updated_at.get(),
    )?;
    keep_version(tx, record).await
}

/// Replaces the version before `record.version`; the state stays. `false`: somebody else changed or published it meanwhile; nothing was
/// done.
///
/// # Errors
/// When the database does not do it.
pub async fn replace(tx: &mut Tx, record: &Record) -> Result<bool, StoreError> {
    let head = &record.definition.head;
    let changed = execute!(
        tx,
        "UPDATE campaigns SET title = $1, definition = $2, version = $3, starts_at = $4, ends_at = $5, updated_at = $6 \
         WHERE id = $7 AND version = $8 AND (state = 'draft') = $9",
        head.title.as_str(),
        record.definition_json()?,
        record.version,
        head.starts_at.get(),
        head.ends_at.get(),
        record.updated_at.get(),
        record.id.to_string(),
        record.version.saturating_sub(1),
        record.state == RecordState::Draft,
    )?;
    if changed > 0 {
        keep_version(tx, record).await?;
    }
    Ok(changed > 0)
}

/// Makes a draft live, in the very version that was checked. `false`: it was changed or published meanwhile; nothing was done.
///
/// # Errors
/// When the database does not do it.
pub async fn publish(tx: &mut Tx, record: &Record, now: UnixMs) -> Result<bool, StoreError> {
    let changed = execute!(
        tx,
        "UPDATE campaigns SET state = 'live', updated_at = $1 WHERE id = $2 AND version = $3 AND state = 'draft'",
        now.get(),
        record.id.to_string(),
        record.version,
    )?;
    Ok(changed > 0)
}

async fn keep_version(tx: &mut Tx, record: &Record) -> Result<(), StoreError> {
    execute!(
        tx,
        "INSERT INTO campaign_versions (campaign_id, version, definition, created_at) VALUES ($1, $2, $3, $4)",
        record.id.to_string(),
        record.version,
        record.definition_json()?,
        record.updated_at.get(),
    )?;
    Ok(())
}

/// One campaign.
///
/// # Errors
/// When the database does not answer.
pub async fn find(store: &Store, id: CampaignId) -> Result<Option<Record>, StoreError> {
    let row = fetch_optional!(
        store,
        Row,
        "SELECT id, state, version, created_at, updated_at, definition, paused_by, may_open, may_join FROM campaigns WHERE id = $1",
        id.to_string(),
    )?;
    row.map(Record::from_row).transpose()
}

/// A page of all campaigns, newest first.
///
/// # Errors
/// When the database does not answer.
pub async fn list(store: &Store, (before, id): (i64, &str), fetch: i64) -> Result<Vec<Record>, StoreError> {
    let rows = fetch_all!(
        store,
        Row,
        "SELECT id, state, version, created_at, updated_at, definition, paused_by, may_open, may_join FROM campaigns \
         WHERE (created_at, id) < ($1, $2) ORDER BY created_at DESC, id DESC LIMIT $3",
        before,
        id,
        fetch,
    )?;
    rows.into_iter().map(Record::from_row).collect()
}

/// A page of those that are published and not over at `now`, newest first: what shoppers list.
///
/// # Errors
/// When the database does not answer.
pub async fn list_open(store: &Store, now: UnixMs, (before, id): (i64, &str), fetch: i64) -> Result<Vec<Record>, StoreError> {
    let rows = fetch_all!(
        store,
        Row,
        "SELECT id, state, version, created_at, updated_at, definition, paused_by, may_open, may_join FROM campaigns \
         WHERE state IN ('scheduled', 'live', 'paused') AND ends_at > $1 AND (created_at, id) < ($2, $3) \
         ORDER BY created_at DESC, id DESC LIMIT $4",
        now.get(),
        before,
        id,
        fetch,
    )?;
    rows.into_iter().map(Record::from_row).collect()
}

/// Other campaigns, published and not over, that sell one of this definition's SKUs (the newest `MAX_OTHERS` are looked through).
///
/// # Errors
/// When the database does not answer.
pub async fn sharing_sku(store: &Store, id: CampaignId, definition: &Definition, now: UnixMs) -> Result<Vec<SharedSku>, StoreError> {
    let others = list_open(store, now, (i64::MAX, ""), MAX_OTHERS).await?;
    let ours: HashSet<&str> = definition.items().iter().map(|item| item.sku).collect();
    let mut shared = Vec::new();
    for other in others.iter().filter(|other| other.id != id) {
        for item in other.definition.items().iter().filter(|item| ours.contains(item.sku)) {
            shared.push(SharedSku { campaign_id: other.id, title: other.definition.head.title.clone(), sku: item.sku.to_owned() });
        }
    }
    Ok(shared)
}

#[cfg(test)]
mod tests {
    use super::{Record, RecordState};
    use crate::campaign::model::{Definition, tests::cherries};
    use crate::clock::UnixMs;

    #[test]
    fn start_and_end_come_by_themselves() {
        let definition = Definition::read(&cherries()).unwrap();
        let at = |state: RecordState, time: &str| state.at(&definition, UnixMs::parse(time).unwrap());
        assert_eq!(at(RecordState::Live, "2026-11-21T23:59:59Z"), RecordState::Scheduled);
        assert_eq!(at(RecordState::Scheduled, "2026-11-22T00:00:00Z"), RecordState::Live);
        assert_eq!(at(RecordState::Paused, "2026-11-22T00:00:00Z"), RecordState::Paused);
        assert_eq!(at(RecordState::Paused, "2026-12-01T00:00:00Z"), RecordState::Ended);
        assert_eq!(at(RecordState::Draft, "2027-01-01T00:00:00Z"), RecordState::Draft);
    }

    #[test]
    fn a_record_shows_the_definitions_fields_beside_its_own() {
        let record = Record::draft("cmp_abcdefgh".parse().unwrap(), Definition::read(&cherries()).unwrap(), UnixMs::new(0));
        let json = serde_json::to_value(&record).unwrap();
        assert_eq!(json["state"], "draft");
        assert_eq!(json["kind"], "group_buy");
        assert_eq!(json["items"][0]["sku"], "cherry-1kg");
        assert_eq!(serde_json::from_value::<Record>(json).unwrap(), record);
    }
}
