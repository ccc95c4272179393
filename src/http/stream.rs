//! Live streams: Server-Sent Events of one thing's states, the present one first.
//!
//! The state that all readers of a thing see is made into JSON once and shared; `you` is put behind it for each reader it concerns. A reader
//! that is too slow is closed and begins anew when it returns: what it wants is the present state, not a history. At the server's end all
//! streams end at once, and the readers come back one after the other (`retry`).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream;
use rand::RngExt;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::open_streams::Seat;
use super::problem::Problem;
use crate::app::App;
use crate::feed::{self, Feed, Follower};

/// A comment keeps proxies from closing a quiet stream, and finds readers that are gone.
const BEAT: Duration = Duration::from_secs(15);
/// A reader whose stream ended comes back after so many milliseconds, each after another time: a restart must not bring them all at once.
const RETRY_MS: std::ops::Range<u32> = 1_000..5_000;

/// An event as its reader finds it.
#[derive(Debug, utoipa::ToSchema)]
pub struct StreamEvent {
    /// What it shows.
    #[schema(example = "room")]
    pub event: String,
    /// `<epoch>-<sequence>`: rises from event to event.
    #[schema(example = "1-42")]
    pub id: String,
    /// The thing as it is then: the JSON that a GET of it answers.
    pub data: String,
    /// In the first event: come back after so many milliseconds when the stream has ended.
    #[schema(nullable = false)]
    pub retry: Option<u32>,
}

/// What is sent of a change.
#[derive(Debug)]
pub struct Made {
    /// The whole event.
    event: Bytes,
    /// Its JSON.
    json: Bytes,
    /// Nothing follows it.
    last: bool,
}

/// A change of a thing that is shown live. What does not read is not shown.
pub type Change = feed::Change<Option<Made>>;

/// The feed of everything that is shown live.
pub type LiveFeed = Feed<Option<Made>>;

/// The present state of a thing, and the way to those that follow.
pub type States = (Arc<Change>, Follower<Option<Made>>);

/// How a domain shows its things to one reader.
pub trait Show: 'static {
    /// The events' name.
    const EVENT: &'static str;

    /// A row as a JSON object for everybody, and whether it will never change again. `None` for what is gone or does not read.
    fn shown(&self, row: &[u8]) -> impl Future<Output = Option<(String, bool)>>;

    /// The object that is `you` for this reader.
    fn you(&self, row: &[u8]) -> Option<String>;
}

/// A stream at work.
struct Reader<S> {
    show: S,
    /// The present state, until it is sent.
    first: Option<Arc<Change>>,
    changes: Follower<Option<Made>>,
    draining: watch::Receiver<bool>,
    beat: Interval,
    over: bool,
    _seat: Seat,
}

/// Answers with the present state of a thing and all that follow it, until one of them is the last. `Last-Event-ID` is not looked at: states
/// are not kept, and the present one makes up for all that were missed.
///
/// # Errors
/// 503 when too many streams are open, 429 when too many are for the caller's address.
pub fn answer<S: Show>(app: &App, request: &HttpRequest, show: S, (first, changes): States) -> Result<HttpResponse, Problem> {
    let seat = app.streams.enter(app.limits.address(request))?;
    let mut beat = tokio::time::interval_at(Instant::now() + BEAT, BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let reader = Reader { show, first: Some(first), changes, draining: app.draining(), beat, over: false, _seat: seat };
    let events = stream::unfold(reader, |mut reader| async move {
        let text = reader.next().await?;
        Some((Ok::<_, Infallible>(text), reader))
    });
    let mut response = HttpResponse::Ok();
    response.content_type("text/event-stream").insert_header((CACHE_CONTROL, "no-store")).insert_header(("x-accel-buffering", "no"));
    // The connection ends with the stream: a reader that is closed must notice.
    Ok(response.force_close().streaming(events))
}

impl<S: Show> Reader<S> {
    /// The next piece of text; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        if let Some(first) = self.first.take() {
            let retry = rand::rng().random_range(RETRY_MS);
            return self.event(&first, Some(retry)).await;
        }
        let draining = async {
            let _ending = self.draining.wait_for(|draining| *draining).await;
        };
        let next = tokio::select! {
            biased;
            () = draining => return None,
            next = self.changes.next() => next,
            _ = self.beat.tick() => return Some(Bytes::from_static(b":\n\n")),
        };
        let Ok(change) = next else {
            metrics::counter!("liebian_streams_lagged_total").increment(1);
            return None;
        };
        self.event(&change, None).await
    }

    /// An event of a change. Nothing follows what is gone.
    async fn event(&mut self, change: &Change, retry: Option<u32>) -> Option<Bytes> {
        // In a box of its own: only few of the many readers are making something at a time.
        let making = Box::pin(change.made.get_or_init(|| make(&self.show, change)));
        let made = making.await.as_ref()?;
        self.over = made.last;
        metrics::counter!("liebian_stream_events_total").increment(1);
        Some(match (self.show.you(&change.row), retry) {
            (None, None) => made.event.clone(),
            (you, retry) => text(S::EVENT, change, retry, &made.json, you.as_deref()),
        })
    }
}

async fn make<S: Show>(show: &S, change: &Change) -> Option<Made> {
    let (json, last) = show.shown(&change.row).await?;
    let event = text(S::EVENT, change, None, json.as_bytes(), None);
    // Of the event's end, behind which come two line feeds.
    let end = event.len().checked_sub(2)?;
    let json = event.slice(end.checked_sub(json.len())?..end);
    Some(Made { event, json, last })
}

/// One event; `you` becomes the last member of the JSON object.
fn text(event: &str, change: &Change, retry: Option<u32>, json: &[u8], you: Option<&str>) -> Bytes {
    let mut text = format!("event: {event}\nid: {}-{}\n", change.place.epoch, change.place.seq).into_bytes();
    text.reserve(json.len() + 256);
    if let Some(retry) = retry {
        text.extend_from_slice(format!("retry: {retry}\n").as_bytes());
    }
    text.extend_from_slice(b"data: ");
    match (you, json.strip_suffix(b"}")) {
        (Some(you), Some(open)) => {
            text.extend_from_slice(open);
            text.extend_from_slice(format!(",\"you\":{you}}}").as_bytes());
        }
        (_, _) => text.extend_from_slice(json),
    }
    text.extend_from_slice(b"\n\n");
    text.into()
}
