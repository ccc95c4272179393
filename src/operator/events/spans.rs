//! Spans: the stretches of campaigns' logs in the order in which they are told.

use std::sync::LazyLock;

use super::told::{Told, told};
use crate::code::Code;
use crate::hot::entry::Sealed;
use crate::http::problem::Problem;
use crate::id::CampaignId;
use crate::store::{BulkRows, Store, StoreError, bulk_row, execute, fetch_all, fetch_one};

/// Campaigns whose logs are laid out in one transaction, and spans that are read at once.
const TOGETHER: i64 = 200;
/// Log entries that are read at once, and that one call looks through for events at most.
const ENTRIES: i64 = 32;
const MOST_ENTRIES: usize = 2_000;

bulk_row! {
    struct Span { position: i64, campaign_id: CampaignId, after_seq: i64, up_to_seq: i64 }
}

bulk_row! {
    struct Reached { campaign_id: CampaignId, seq: i64 }
}

static SPANS: LazyLock<BulkRows<Span>> = LazyLock::new(|| BulkRows::insert("feed_spans", ""));
static REACHED: LazyLock<BulkRows<Reached>> = LazyLock::new(|| {
    BulkRows::insert("feed_cursors", "ON CONFLICT (campaign_id) DO UPDATE SET seq = excluded.seq WHERE excluded.seq > feed_cursors.seq")
});

/// A place in the feed: everything before it is told. Written `<span>.<entry>.<events of the entry>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    position: i64,
    first: i64,
    events: usize,
}

impl Cursor {
    /// Reads one; `None` for what is none.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(|part| part.parse::<i64>().ok().filter(|number| *number >= 0 && part == number.to_string()));
        let (position, first, events) = (parts.next()??, parts.next()??, parts.next()??);
        let cursor = Self { position, first, events: usize::try_from(events).ok()? };
        parts.next().is_none().then_some(cursor)
    }

    /// As it is sent.
    #[must_use]
    pub fn text(self) -> String {
        format!("{}.{}.{}", self.position, self.first, self.events)
    }

    /// Before everything after this span.
    const fn past(position: i64) -> Self {
        Self { position: position + 1, first: 0, events: 0 }
    }
}

/// Lays out what SQL holds and no span does.
///
/// # Errors
/// Those of the database.
pub async fn extend(store: &Store) -> Result<(), StoreError> {
    const BEHIND: &str = "SELECT cursors.campaign_id, COALESCE(feed_cursors.seq, 0), cursors.seq FROM cursors \
                          LEFT JOIN feed_cursors ON feed_cursors.campaign_id = cursors.campaign_id \
                          WHERE cursors.seq > COALESCE(feed_cursors.seq, 0) ORDER BY cursors.campaign_id LIMIT $1";
    const MOVE: &str = "UPDATE feed_head SET position = $1 WHERE id = 1 AND position = $2";
    loop {
        // The head first: if others lay out spans after it was read, it has moved, and what is read now is not written.
        let head = head(store).await?;
        let behind = fetch_all!(store, (CampaignId, i64, i64), BEHIND, TOGETHER)?;
        if behind.is_empty() {
            return Ok(());
        }
        let span = |(position, &(campaign_id, after_seq, up_to_seq)): (i64, &(CampaignId, i64, i64))| Span {
            position,
            campaign_id,
            after_seq,
            up_to_seq,
        };
        let spans: Vec<Span> = (head + 1..).zip(&behind).map(span).collect();
        let reached: Vec<Reached> = behind.iter().map(|&(campaign_id, _, seq)| Reached { campaign_id, seq }).collect();
        let mut tx = store.begin().await?;
        let end = spans.last().map_or(head, |span| span.position);
        if execute!(&mut tx, MOVE, end, head)? == 0 {
            tx.rollback().await?;
            continue;
        }
        SPANS.write(&mut tx, &spans).await?;
        REACHED.write(&mut tx, &reached).await?;
        tx.commit().await?;
    }
}

async fn head(store: &Store) -> Result<i64, StoreError> {
    Ok(fetch_one!(store, (i64,), "SELECT position FROM feed_head WHERE id = 1")?.0)
}

/// Which events are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Those after this place.
    pub after: Cursor,
    /// Of one campaign only.
    pub campaign: Option<CampaignId>,
    /// So many at most.
    pub limit: usize,
}

/// The events that follow a place, and the place after the last of them. Where many entries tell nothing, there may be no event though more
/// follow.
///
/// # Errors
/// `malformed_request` for a place that is not reached yet, so none of ours; trouble of SQL.
pub async fn read(store: &Store, asked: Asked) -> Result<(Vec<Told>, Cursor), Problem> {
    const ALL: &str = "SELECT position, campaign_id, after_seq, up_to_seq FROM feed_spans WHERE position >= $1 ORDER BY position LIMIT $2";
    const OF_ONE: &str = "SELECT position, campaign_id, after_seq, up_to_seq FROM feed_spans WHERE campaign_id = $3 AND position >= $1 \
                          ORDER BY position LIMIT $2";
    let head = head(store).await?;
    if asked.after.position > head + 1 {
        return Err(Problem::new(Code::MalformedRequest).detail("This place is not of this feed"));
    }
    let mut found = Found { events: Vec::new(), end: asked.after, looked_at: 0, limit: asked.limit };
    while !found.is_enough() {
        let from = found.end.position;
        let spans = match asked.campaign {
            None => fetch_all!(store, (i64, CampaignId, i64, i64), ALL, from, TOGETHER)?,
            Some(campaign) => fetch_all!(store, (i64, CampaignId, i64, i64), OF_ONE, from, TOGETHER, campaign)?,
        };
        let all = i64::try_from(spans.len()).unwrap_or(i64::MAX) < TOGETHER;
        for (position, campaign, after, up_to) in spans {
            if found.end.position < position || found.end.first <= after {
                found.end = Cursor { position, first: after + 1, events: 0 };
            }
            found.read_span(store, campaign, up_to).await?;
            if found.is_enough() {
                break;
            }
            found.end = Cursor::past(position);
        }
        if all {
            break;
        }
    }
    Ok((found.events, found.end))
}

/// What a call has found so far.
struct Found {
    events: Vec<Told>,
    end: Cursor,
    looked_at: usize,
    limit: usize,
}

impl Found {
    const fn is_enough(&self) -> bool {
        self.events.len() >= self.limit || self.looked_at >= MOST_ENTRIES
    }

    /// Reads on in a span, from the end so far.
    async fn read_span(&mut self, store: &Store, campaign: CampaignId, up_to: i64) -> Result<(), Problem> {
        const READ: &str = "SELECT hash, body FROM log_entries WHERE campaign_id = $1 AND first_seq >= $2 AND first_seq <= $3 \
                            ORDER BY first_seq LIMIT $4";
        loop {
            let entries = fetch_all!(store, (String, Vec<u8>), READ, campaign, self.end.first, up_to, ENTRIES)?;
            let all = i64::try_from(entries.len()).unwrap_or(i64::MAX) < ENTRIES;
            for (hash, packed) in entries {
                self.looked_at += 1;
                let entry = Sealed::read(hash, packed).map_err(|damage| Problem::defect(&damage))?;
                if !self.read_entry(campaign, &entry)? {
                    return Ok(());
                }
            }
            if all || self.is_enough() {
                return Ok(());
            }
        }
    }

    /// Adds an entry's events; false when there is no room for all of them.
    fn read_entry(&mut self, campaign: CampaignId, entry: &Sealed) -> Result<bool, Problem> {
        let body = entry.body().map_err(|damage| Problem::defect(&damage))?;
        if self.end.first != entry.head.first {
            self.end = Cursor { first: entry.head.first, events: 0, ..self.end };
        }
        for event in body.events.iter().skip(self.end.events) {
            if self.events.len() >= self.limit {
                return Ok(false);
            }
            self.end.events += 1;
            self.events.extend(told(campaign, &body, event, self.end.text()));
        }
        self.end = Cursor { first: entry.head.last + 1, events: 0, ..self.end };
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::Cursor;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let cursor = Cursor { position: 7, first: 1041, events: 3 };
        assert_eq!((cursor.text().as_str(), Cursor::read("7.1041.3")), ("7.1041.3", Some(cursor)));
        for wrong in ["", "7", "7.1", "7.1.1.1", "-1.0.0", "+1.0.0", "01.0.0", "a.b.c", "7.1.x", "99999999999999999999.0.0"] {
            assert_eq!(Cursor::read(wrong), None, "{wrong}");
        }
    }
}
