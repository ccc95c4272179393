//! The operator's list of share links: who shared to whom, and how often a link was visited.

use actix_web::web::Data;
use actix_web::{HttpResponse, get};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::campaign::live::existing;
use crate::clock::UnixMs;
use crate::http::caller::{Operator, Viewer};
use crate::http::csv::{self, Table, WantsCsv};
use crate::http::extract::{Id, Query};
use crate::http::page::{Filters, List, Page, id_or_any};
use crate::http::problem::Problem;
use crate::id::{CampaignId, TargetId, UserId};
use crate::store::fetch_all;

/// A share link as operators see it.
#[derive(Debug, Serialize, sqlx::FromRow, utoipa::ToSchema)]
pub struct ShareRecord {
    /// Its token.
    token: String,
    /// The campaign it opens.
    campaign_id: CampaignId,
    /// Who shared it; null for the campaign's own link.
    #[sqlx(rename = "sharer_user_id")]
    #[schema(required = true)]
    user_id: Option<UserId>,
    /// The room or chain it leads to.
    #[schema(required = true)]
    target_id: Option<TargetId>,
    /// The link by which the sharer came: the tree of shares.
    #[schema(required = true)]
    parent_token: Option<String>,
    /// Where it was shared, in the client's words.
    #[schema(required = true)]
    channel: Option<String>,
    /// Visits of its page and look-ups of it.
    visits: i64,
    /// When it was made.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: UnixMs,
    /// When it was taken back.
    #[serde(with = "crate::clock::rfc3339::option")]
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    revoked_at: Option<UnixMs>,
    /// When it was made or taken back.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    updated_at: UnixMs,
}

/// Whether a link leads anywhere.
#[derive(Clone, Copy, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum ShareState {
    /// It does.
    Standing,
    /// It was taken back.
    Revoked,
}

impl ShareState {
    const fn word(self) -> &'static str {
        match self {
            Self::Standing => "standing",
            Self::Revoked => "revoked",
        }
    }
}

/// What the list shows as CSV.
const COLUMNS: &[&str] =
    &["token", "campaign_id", "user_id", "target_id", "parent_token", "channel", "visits", "created_at", "revoked_at", "updated_at"];

/// A campaign's share links, newest first; with `Accept: text/csv` all of them. `user_id`: whose they are; `sku` and `room_id`: those that lead
/// to such a room or chain.
#[utoipa::path(tag = "operator: running", operation_id = "list_shares", security(("operator" = ["viewer"])),
    params(("id" = CampaignId, Path), Filters::<ShareState>, Page),
    responses((status = 200, description = "A page, or all as CSV", content((List<ShareRecord> = "application/json"), (String = "text/csv")))))]
#[get("/operator/v1/campaigns/{id}/shares")]
pub async fn list(
    app: Data<App>,
    _operator: Operator<Viewer>,
    id: Id<CampaignId>,
    query: Query<Filters<ShareState>>,
    page: Page,
    csv: WantsCsv,
) -> Result<HttpResponse, Problem> {
    const LIST: &str = "SELECT token, campaign_id, sharer_user_id, target_id, parent_token, channel, visits, created_at, revoked_at, \
                        COALESCE(revoked_at, created_at) AS updated_at FROM shares WHERE campaign_id = $1 AND ($2 = '' OR sharer_user_id = $2) AND ($3 = '' OR target_id = $3) \
                        AND created_at >= $4 AND created_at < $5 AND (created_at, token) < ($6, $7) \
                        AND ($8 = '' OR ($8 = 'standing') = (revoked_at IS NULL)) AND ($9 = '' \
                        OR target_id IN (SELECT id FROM rooms WHERE campaign_id = $1 AND sku = $9) \
                        OR target_id IN (SELECT id FROM chains WHERE campaign_id = $1 AND sku = $9)) \
                        ORDER BY created_at DESC, token DESC LIMIT $10";
    let query = query.0;
    let (from, to) = query.span()?;
    existing(&app, id.0).await?;
    if query.sku.is_some() {
        // What links lead to must be in SQL.
        app.projector.caught_up(id.0).await;
    }
    let sku = query.sku.unwrap_or_default();
    let (user, room) = (id_or_any(query.user_id), id_or_any(query.room_id));
    let state = query.state.map(ShareState::word).unwrap_or_default();
    let rows = move |(before, token): (i64, String), fetch| {
        let (app, user, room, sku) = (app.clone(), user.clone(), room.clone(), sku.clone());
        async move { Ok(fetch_all!(&app.store, ShareRecord, LIST, id.0, user, room, from, to, before, token, state, sku, fetch)?) }
    };
    let place = |row: &ShareRecord| (row.created_at.get(), row.token.clone());
    csv::answer(csv, &page, Table { name: "shares", columns: COLUMNS, place }, rows).await
}
