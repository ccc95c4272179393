//! Poison: an event or row that SQL will never take must not stop the rest.
//!
//! When a page of the log is refused for good, its entries are tried one by one, and a refused entry's objects by halves until the
//! guilty ones are found. These are parked, and so is everything later about the same object: a room without its opening
//! makes no sense. The log entry itself is always kept, so nothing is lost; an operator sees the list.

use std::collections::BTreeSet;

use super::batch::{object_of, unreadable};
use super::cursor::Cursor;
use super::{Halt, Projector};
use crate::clock::UnixMs;
use crate::hot::entry::Sealed;
use crate::id::CampaignId;
use crate::store::{Store, StoreError, Tx, execute, fetch_all};

/// The parked objects of a campaign, named `table/field`.
#[derive(Clone, Debug, Default)]
pub struct Parked {
    pub(super) objects: BTreeSet<String>,
    /// What SQL said, for those found just now.
    pub(super) reason: String,
}

impl Parked {
    /// Whether an object is parked.
    pub(super) fn holds(&self, table: &str, field: &str) -> bool {
        !self.objects.is_empty() && self.objects.contains(&name(table, field))
    }
}

/// An object's name.
fn name(table: &str, field: &str) -> String {
    format!("{table}/{field}")
}

/// More parked objects than this stop a campaign's projection: something else is wrong.
const MOST: i64 = 10_000;

pub(super) async fn parked(store: &Store, campaign: CampaignId) -> Result<Parked, StoreError> {
    const PARKED: &str = "SELECT DISTINCT object_id FROM parked_events WHERE campaign_id = $1 LIMIT $2";
    let rows = fetch_all!(store, (String,), PARKED, campaign, MOST)?;
    if i64::try_from(rows.len()).unwrap_or(MOST) >= MOST {
        return Err(unreadable(&"too many parked objects: something else is wrong"));
    }
    Ok(Parked { objects: rows.into_iter().map(|(object,)| object).collect(), reason: String::new() })
}

/// Writes down what was left out of these entries.
pub(super) async fn park(tx: &mut Tx, campaign: CampaignId, entries: &[Sealed], parked: &Parked, now: UnixMs) -> Result<(), Halt> {
    const PARK: &str = "INSERT INTO parked_events (campaign_id, seq, n, object_id, event, error, at) VALUES ($1, $2, $3, $4, $5, $6, $7) \
                        ON CONFLICT (campaign_id, seq, n) DO NOTHING";
    if parked.objects.is_empty() {
        return Ok(());
    }
    for entry in entries {
        let mut place = 0_i64;
        for (object, event) in objects(entry)? {
            if parked.objects.contains(&object) {
                execute!(&mut *tx, PARK, campaign, entry.head.last, place, &object, event, &parked.reason, now.get())?;
                place += 1;
            }
        }
    }
    Ok(())
}

/// What an entry is about: each changed row and each event, with a word for people.
fn objects(entry: &Sealed) -> Result<Vec<(String, String)>, Halt> {
    let body = entry.body().map_err(|damage| Halt::Contradiction(damage.to_string()))?;
    let rows = body.changes.iter().map(|change| (name(change.0, change.1), "row".to_owned()));
    let events = body.events.iter().map(|event| {
        let (table, field) = object_of(event);
        (name(table, field), format!("{} {}", event.1, event.2))
    });
    Ok(rows.chain(events).collect())
}

impl Projector {
    /// Entry by entry, leaving out what is refused for good.
    pub(super) async fn commit_with_care(&self, campaign: CampaignId, cursor: &Cursor, entries: &[Sealed]) -> Result<Cursor, Halt> {
        let mut cursor = cursor.clone();
        for entry in entries {
            let mut left_out = parked(&self.store, campaign).await?;
            cursor = match self.commit_one(campaign, &cursor, entry, &left_out).await {
                Err(Halt::Store(error)) if error.is_refusal() => {
                    left_out.reason = error.to_string();
                    let suspects: BTreeSet<String> = objects(entry)?.into_iter().map(|(object, _)| object).collect();
                    let suspects: Vec<String> = suspects.difference(&left_out.objects).cloned().collect();
                    if self.acceptable(campaign, entry, &suspects).await? {
                        // None of them is at fault. What was refused is not theirs, or it has passed.
                        cursor = self.commit_one(campaign, &cursor, entry, &left_out).await?;
                        continue;
                    }
                    let before = left_out.objects.len();
                    self.find_guilty(campaign, entry, &suspects, &mut left_out).await?;
                    if left_out.objects.len() == before {
                        // Guilty only together: none of them can be told apart.
                        left_out.objects.extend(suspects);
                    }
                    tracing::error!(%campaign, seq = entry.head.last, parked = ?left_out.objects, %error, "log events parked");
                    metrics::counter!("liebian_parked_total").increment(1);
                    self.commit_one(campaign, &cursor, entry, &left_out).await?
                }
                done => done?,
            };
        }
        Ok(cursor)
    }

    async fn commit_one(&self, campaign: CampaignId, cursor: &Cursor, entry: &Sealed, left_out: &Parked) -> Result<Cursor, Halt> {
        let one = std::slice::from_ref(entry);
        let statements = self.statements(campaign, one, |table, field| !left_out.holds(table, field))?;
        self.commit(campaign, cursor, one, statements, left_out).await.map(|moved| moved.cursor)
    }

    /// Halves the suspects until each guilty object stands alone.
    async fn find_guilty(&self, campaign: CampaignId, entry: &Sealed, suspects: &[String], parked: &mut Parked) -> Result<(), Halt> {
        let mut groups = vec![suspects.to_vec()];
        while let Some(group) = groups.pop() {
            if group.is_empty() || self.acceptable(campaign, entry, &group).await? {
                continue;
            }
            match group.as_slice() {
                [guilty] => {
                    parked.objects.insert(guilty.clone());
                }
                several => {
                    let (one, other) = several.split_at(several.len() / 2);
                    groups.push(one.to_vec());
                    groups.push(other.to_vec());
                }
            }
        }
        Ok(())
    }

    /// Whether SQL takes these objects of an entry; tried and taken back.
    async fn acceptable(&self, campaign: CampaignId, entry: &Sealed, among: &[String]) -> Result<bool, Halt> {
        let wanted = |table: &str, field: &str| among.contains(&name(table, field));
        match self.try_out(campaign, entry, wanted).await {
            Ok(()) => Ok(true),
            Err(Halt::Store(error)) if error.is_refusal() => Ok(false),
            Err(halt) => Err(halt),
        }
    }

    async fn try_out(&self, campaign: CampaignId, entry: &Sealed, wanted: impl Fn(&str, &str) -> bool) -> Result<(), Halt> {
        let statements = self.statements(campaign, std::slice::from_ref(entry), wanted)?;
        let mut tx = self.store.begin().await?;
        for statement in statements {
            statement.run(&mut tx).await?;
        }
        tx.rollback().await?;
        Ok(())
    }
}
