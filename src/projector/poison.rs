//! Poison: an event or row that SQL will never take must not stop the rest.
//!
//! When a page of the log is refused for good, its entries are tried one by one, and a refused entry's objects by halves until the
//! guilty ones are found. These are parked, and so is everything later about the same object: a room without its opening
//! makes no sense. The log entry itself is always kept, so nothing is lost; an operator sees the list.

use std::collections::BTreeSet;

use super::cursor::Cursor;
use super::{Batch, Halt, Projector, object_of};
use crate::clock::UnixMs;
use crate::hot::entry::Entry;
use crate::id::CampaignId;
use crate::store::{Store, StoreError, Tx, execute, fetch_all};

/// The parked objects of a campaign, named `table/field`.
#[derive(Clone, Debug, Default)]
pub struct Parked {
    pub(super) objects: BTreeSet<String>,
    /// What SQL said, for those found just now.
    pub(super) reason: String,
}

/// More parked objects than this stop a campaign's projection: something else is wrong.
const MOST: i64 = 10_000;

pub(super) async fn parked(store: &Store, campaign: CampaignId) -> Result<Parked, StoreError> {
    const PARKED: &str = "SELECT DISTINCT object_id FROM parked_events WHERE campaign_id = $1 LIMIT $2";
    let rows = fetch_all!(store, (String,), PARKED, campaign, MOST)?;
    if i64::try_from(rows.len()).unwrap_or(MOST) >= MOST {
        return Err(super::unreadable(&"too many parked objects: something else is wrong"));
    }
    Ok(Parked { objects: rows.into_iter().map(|(object,)| object).collect(), reason: String::new() })
}

/// Writes down what was left out of these entries.
pub(super) async fn park(tx: &mut Tx, campaign: CampaignId, entries: &[Entry], parked: &Parked, now: UnixMs) -> Result<(), StoreError> {
    const PARK: &str = "INSERT INTO parked_events (campaign_id, seq, n, object_id, event, error, at) VALUES ($1, $2, $3, $4, $5, $6, $7) \
                        ON CONFLICT (campaign_id, seq, n) DO NOTHING";
    if parked.objects.is_empty() {
        return Ok(());
    }
    for entry in entries {
        let mut place = 0_i64;
        for (object, event) in objects(entry) {
            if parked.objects.contains(&object) {
                execute!(&mut *tx, PARK, campaign, entry.body.last, place, &object, event, &parked.reason, now.get())?;
                place += 1;
            }
        }
    }
    Ok(())
}

/// What an entry is about: each changed row and each event, with a word for people.
fn objects(entry: &Entry) -> impl Iterator<Item = (String, String)> {
    let rows = entry.body.changes.iter().map(|change| (format!("{}/{}", change.0, change.1), "row".to_owned()));
    rows.chain(entry.body.events.iter().map(|event| (object_of(event), format!("{} {}", event.1, event.2))))
}

impl Projector {
    /// Entry by entry, leaving out what is refused for good.
    pub(super) async fn commit_with_care(&self, campaign: CampaignId, cursor: &Cursor, entries: &[Entry]) -> Result<Cursor, Halt> {
        let mut cursor = cursor.clone();
        for entry in entries {
            let end = (entry.body.last, entry.hash.clone());
            let one = std::slice::from_ref(entry);
            let mut left_out = parked(&self.store, campaign).await?;
            cursor = match self.commit(campaign, &cursor, one, &end, &left_out).await {
                Err(Halt::Store(error)) if !error.is_trouble() => {
                    left_out.reason = error.to_string();
                    let suspects: BTreeSet<String> = objects(entry).map(|(object, _)| object).collect();
                    let suspects: Vec<String> = suspects.difference(&left_out.objects).cloned().collect();
                    let before = left_out.objects.len();
                    self.find_guilty(campaign, entry, &suspects, &mut left_out).await?;
                    if left_out.objects.len() == before {
                        // Guilty only together: none of them can be told apart.
                        left_out.objects.extend(suspects);
                    }
                    tracing::error!(%campaign, seq = entry.body.last, parked = ?left_out.objects, %error, "log events parked");
                    metrics::counter!("liebian_parked_total").increment(1);
                    self.commit(campaign, &cursor, one, &end, &left_out).await?
                }
                done => done?,
            };
        }
        Ok(cursor)
    }

    /// Halves the suspects until each guilty object stands alone.
    async fn find_guilty(&self, campaign: CampaignId, entry: &Entry, suspects: &[String], parked: &mut Parked) -> Result<(), Halt> {
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
    async fn acceptable(&self, campaign: CampaignId, entry: &Entry, wanted: &[String]) -> Result<bool, Halt> {
        let batch = Batch::new(campaign, std::slice::from_ref(entry), |object| wanted.iter().any(|name| name == object));
        let mut tx = self.store.begin().await?;
        for projection in &self.projections {
            match projection.apply(&mut tx, &batch).await {
                Ok(()) => {}
                Err(error) if error.is_trouble() => return Err(error.into()),
                Err(_refused) => return Ok(false),
            }
        }
        Ok(true)
    }
}
