//! Who watches what, and how far each campaign's log was read for them.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::broadcast;

use super::{BEHIND, Change};
use crate::hot::Place;
use crate::hot::entry::{BodyRef, ChangeRef};
use crate::id::CampaignId;

/// A row: table and field.
pub(super) type Name = (&'static str, String);

/// What must be done for a campaign's readers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nobody has read anything yet.
    Nothing,
    /// Read on after this place.
    Log(Place),
    /// Read these rows as they are now.
    Rows(Vec<Name>),
}

/// How far a campaign's log was read.
#[derive(Debug)]
enum Standing {
    /// Not at all: it begins where the first reader read.
    New,
    /// Up to `at`, gap-free from `since` on; `behind`: there was more.
    Following { since: Place, at: Place, behind: bool },
    /// It does not go on where it ended.
    Lost,
}

#[derive(Debug)]
struct Topic<M> {
    changes: broadcast::Sender<Arc<Change<M>>>,
    /// Readers are owed the present state.
    owed: bool,
}

#[derive(Debug)]
struct Watched<M> {
    standing: Standing,
    topics: HashMap<&'static str, HashMap<String, Topic<M>>>,
}

/// Every watched row by campaign. Only the feed's task takes rows out, so what it does between two locks stays true.
#[derive(Debug)]
pub(super) struct Hub<M>(HashMap<CampaignId, Watched<M>>);

impl<M> Default for Hub<M> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<M> Topic<M> {
    fn publish(&self, place: Place, row: &[u8]) {
        if self.changes.receiver_count() > 0 {
            // The last reader may leave just now.
            let _gone = self.changes.send(Change::new(place, row.to_owned()));
        }
    }
}

impl<M> Hub<M> {
    /// Whether nobody watches anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The campaigns with watched rows.
    pub fn campaigns(&self) -> Vec<CampaignId> {
        self.0.keys().copied().collect()
    }

    /// Watches a row from now on. The reader then reads it, and asks [`Hub::covers`] about the place it read at.
    pub fn watch(&mut self, campaign: CampaignId, table: &'static str, field: &str) -> broadcast::Receiver<Arc<Change<M>>> {
        let watched = self.0.entry(campaign).or_insert_with(|| Watched { standing: Standing::New, topics: HashMap::new() });
        let owed = matches!(watched.standing, Standing::Lost);
        let fields = watched.topics.entry(table).or_default();
        let new = || Topic { changes: broadcast::Sender::new(BEHIND), owed };
        fields.entry(field.to_owned()).or_insert_with(new).changes.subscribe()
    }

    /// Whether everything after `place` will be published. If not (a fresh start overtook the reader), reading again helps.
    pub fn covers(&mut self, campaign: CampaignId, place: Place) -> bool {
        // Its topic stands for as long as the reader holds its end.
        let Some(watched) = self.0.get_mut(&campaign) else { return false };
        match &watched.standing {
            Standing::New => {
                watched.standing = Standing::Following { since: place, at: place, behind: false };
                true
            }
            Standing::Following { since, .. } => place >= *since,
            // The row is owed, and will be read after this.
            Standing::Lost => true,
        }
    }

    /// What to do next for a campaign, at most `rows` rows of it.
    pub fn due(&self, campaign: CampaignId, rows: usize) -> Due {
        let Some(watched) = self.0.get(&campaign) else { return Due::Nothing };
        let topics = watched.topics.iter().flat_map(|(table, fields)| fields.iter().map(|(field, topic)| (*table, field, topic)));
        let owed = topics.filter(|(_, _, topic)| topic.owed).map(|(table, field, _)| (table, field.clone()));
        let owed: Vec<Name> = owed.take(rows).collect();
        match &watched.standing {
            Standing::New => Due::Nothing,
            Standing::Following { at, .. } if owed.is_empty() => Due::Log(*at),
            Standing::Following { .. } | Standing::Lost => Due::Rows(owed),
        }
    }

    /// Publishes an entry's changes; `false` if it does not follow what was published before.
    pub fn publish(&mut self, campaign: CampaignId, entry: &BodyRef<'_>) -> bool {
        let Some(watched) = self.0.get_mut(&campaign) else { return false };
        let Standing::Following { at, .. } = &mut watched.standing else { return false };
        if entry.epoch != at.epoch || entry.first != at.seq + 1 {
            return false;
        }
        at.seq = entry.last;
        for ChangeRef(table, field, row) in &entry.changes {
            if let Some(topic) = watched.topics.get(table).and_then(|fields| fields.get(*field)) {
                topic.publish(*at, row);
            }
        }
        true
    }

    /// Publishes rows as they were found at `place`, and follows the log from there on if it was lost.
    pub fn refresh(&mut self, campaign: CampaignId, place: Place, rows: impl Iterator<Item = (Name, Vec<u8>)>) {
        let Some(watched) = self.0.get_mut(&campaign) else { return };
        if matches!(watched.standing, Standing::Lost) {
            watched.standing = Standing::Following { since: place, at: place, behind: true };
        }
        for ((table, field), row) in rows {
            if let Some(topic) = watched.topics.get_mut(table).and_then(|fields| fields.get_mut(&field)) {
                topic.publish(place, &row);
                topic.owed = false;
            }
        }
    }

    /// The log does not go on: every reader is owed the present state.
    pub fn lose(&mut self, campaign: CampaignId) {
        let Some(watched) = self.0.get_mut(&campaign) else { return };
        watched.standing = Standing::Lost;
        for topic in watched.topics.values_mut().flat_map(HashMap::values_mut) {
            topic.owed = true;
        }
    }

    /// Whether there was more when the log was last read.
    pub fn is_behind(&self, campaign: CampaignId) -> bool {
        self.0.get(&campaign).is_some_and(|watched| matches!(watched.standing, Standing::Following { behind: true, .. }))
    }

    /// Notes whether there was more.
    pub fn set_behind(&mut self, campaign: CampaignId, more: bool) {
        if let Some(Watched { standing: Standing::Following { behind, .. }, .. }) = self.0.get_mut(&campaign) {
            *behind = more;
        }
    }

    /// Forgets rows that nobody watches any more.
    pub fn sweep(&mut self) {
        self.0.retain(|_, watched| {
            watched.topics.retain(|_, fields| {
                fields.retain(|_, topic| topic.changes.receiver_count() > 0);
                !fields.is_empty()
            });
            !watched.topics.is_empty()
        });
    }
}
