//! `GET /operator/v1/events`: the feed, and waiting for it to go on.

use std::time::Duration;

use actix_web::web::Data;
use actix_web::{HttpResponse, get};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::spans::{self, Asked, Cursor};
use super::told::Told;
use crate::app::App;
use crate::code::Code;
use crate::http::caller::{Operator, Viewer};
use crate::http::extract::Query;
use crate::http::page::{DEFAULT_LIMIT, MAX_LIMIT};
use crate::http::problem::Problem;
use crate::id::CampaignId;

/// The longest a call waits for an event.
const LONGEST_WAIT: u64 = 25;
/// How often a call that waits looks again: other processes decide too.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Calls of one process that wait at once; one more is answered with what there is.
const WAITING: usize = 64;

/// The places of calls that wait.
#[derive(Debug)]
pub struct Waits(Semaphore);

impl Default for Waits {
    fn default() -> Self {
        Self(Semaphore::new(WAITING))
    }
}

/// Which events.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct FeedQuery {
    /// Events after this place: the `next_cursor` of the answer before, or the `id` of an event. Without it from the beginning.
    #[param(required = false, nullable = false, pattern = "^(0|[1-9][0-9]{0,15})(\\.(0|[1-9][0-9]{0,15})){2}$")]
    after: Option<String>,
    /// If there is none, wait so long for one.
    #[param(required = false, nullable = false, minimum = 0, maximum = 25)]
    wait_seconds: Option<u64>,
    /// Of this campaign only.
    #[param(inline, required = false, nullable = false)]
    campaign_id: Option<CampaignId>,
    /// How many at most.
    #[param(required = false, nullable = false, minimum = 1, maximum = 200, default = 50)]
    limit: Option<usize>,
}

/// Events in the order in which they are told.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Feed)]
struct Answer {
    /// The events, oldest first.
    items: Vec<Told>,
    /// Go on here; never null, for the feed has no end.
    #[schema(example = "8.0.0")]
    next_cursor: String,
}

/// What happened in all campaigns, oldest first, each at least once: keep `next_cursor` when you have dealt with an answer, and ask on from it.
/// Events of one campaign come in the order in which they were decided; no event comes before a place that was told already.
#[utoipa::path(tag = "operator: running", operation_id = "read_events", params(FeedQuery), security(("operator" = ["viewer"])),
    responses((status = 200, description = "Events, none if there are none", body = Answer)),
    extensions(("x-refusals" = json!([Code::MalformedRequest]))))]
#[get("/operator/v1/events")]
pub async fn read(app: Data<App>, _operator: Operator<Viewer>, query: Query<FeedQuery>) -> Result<HttpResponse, Problem> {
    let FeedQuery { after, wait_seconds, campaign_id, limit } = query.0;
    let (wait, limit) = (wait_seconds.unwrap_or(0), limit.unwrap_or(DEFAULT_LIMIT));
    if wait > LONGEST_WAIT {
        return Err(Problem::invalid("wait_seconds", format!("must be 0 to {LONGEST_WAIT}")));
    }
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::invalid("limit", format!("must be 1 to {MAX_LIMIT}")));
    }
    let after = match after {
        Some(text) => Cursor::read(&text).ok_or(Code::MalformedRequest)?,
        None => Cursor::default(),
    };
    let until = Instant::now() + Duration::from_secs(wait);
    let place = app.waits.0.try_acquire().ok();
    app.projector.all_caught_up().await;
    let mut asked = Asked { after, campaign: campaign_id, limit };
    let mut draining = app.draining();
    loop {
        spans::extend(&app.store).await?;
        let (items, end) = spans::read(&app.store, asked).await?;
        let moved = end != asked.after;
        asked.after = end;
        if !items.is_empty() || place.is_none() || Instant::now() >= until || *draining.borrow() {
            return Ok(HttpResponse::Ok().json(Answer { items, next_cursor: end.text() }));
        }
        // Entries without events were passed: more may follow at once.
        if !moved {
            let look_again = until.min(Instant::now() + LOOK_EVERY);
            let _ending = tokio::time::timeout_at(look_again, draining.changed()).await;
        }
    }
}
