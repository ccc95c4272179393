//! The operator's list of rooms.

use actix_web::web::Data;
use actix_web::{HttpResponse, get};
use serde::Serialize;

use super::row::{State, TierRow};
use super::view::{MemberView, RoomState, RoomView, tiers};
use crate::app::App;
use crate::campaign::live::existing;
use crate::clock::UnixMs;
use crate::http::caller::{Operator, Viewer};
use crate::http::csv::{self, Table, WantsCsv};
use crate::http::extract::{Id, Query};
use crate::http::page::{Filters, List, Page, id_or_any};
use crate::http::problem::Problem;
use crate::id::{CampaignId, RoomId, UserId};
use crate::money::Fen;
use crate::store::fetch_all;

/// A room as operators see it: the shopper's fields, and who leads it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct RoomRecord {
    /// What shoppers see.
    #[serde(flatten)]
    room: RoomView,
    /// Who leads; null when nobody is left.
    #[schema(required = true)]
    user_id: Option<UserId>,
    /// The version of the definition it was opened under.
    #[schema(example = 1)]
    definition_version: i64,
    /// When it was opened.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: UnixMs,
    /// When it last changed.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    updated_at: UnixMs,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: RoomId,
    sku: String,
    state: String,
    size: i64,
    seats_taken: i64,
    seats_paid: i64,
    units_kept: i64,
    members: String,
    price_fen: Fen,
    tiers: Option<String>,
    accept_from: Option<i64>,
    expires_at: UnixMs,
    created_at: UnixMs,
    updated_at: UnixMs,
    version: i64,
}

/// What an operator's list of rooms shows as CSV.
const COLUMNS: &[&str] = &[
    "id",
    "campaign_id",
    "sku",
    "state",
    "size",
    "seats_taken",
    "seats_paid",
    "seats_left",
    "units_kept",
    "leader",
    "members",
    "price_fen",
    "tiers",
    "accept_from",
    "final_price_fen",
    "expires_at",
    "user_id",
    "definition_version",
    "created_at",
    "updated_at",
];

/// A campaign's rooms, newest first; with `Accept: text/csv` all of them. `user_id`: rooms in which that shopper has or had a seat.
#[utoipa::path(tag = "operator: running", operation_id = "list_rooms", security(("operator" = ["viewer"])),
    params(("id" = CampaignId, Path), Filters::<RoomState>, Page),
    responses((status = 200, description = "A page, or all as CSV", content((List<RoomRecord> = "application/json"), (String = "text/csv")))))]
#[get("/operator/v1/campaigns/{id}/rooms")]
pub async fn list(
    app: Data<App>,
    _operator: Operator<Viewer>,
    id: Id<CampaignId>,
    query: Query<Filters<RoomState>>,
    page: Page,
    csv: WantsCsv,
) -> Result<HttpResponse, Problem> {
    const LIST: &str = "SELECT id, sku, state, size, seats_taken, seats_paid, units_kept, members, price_fen, tiers, accept_from, \
                        expires_at, created_at, updated_at, version FROM rooms WHERE campaign_id = $1 AND ($2 = '' OR state = $2) AND ($3 = '' OR sku = $3) \
                        AND ($4 = '' OR id IN (SELECT room_id FROM orders WHERE user_id = $4)) AND ($5 = '' OR id = $5) \
                        AND created_at >= $6 AND created_at < $7 AND (created_at, id) < ($8, $9) ORDER BY created_at DESC, id DESC LIMIT $10";
    let query = query.0;
    let (from, to) = query.span()?;
    let (state, sku) = (query.state.map(RoomState::word).unwrap_or_default(), query.sku.unwrap_or_default());
    let (user, room) = (id_or_any(query.user_id), id_or_any(query.room_id));
    existing(&app, id.0).await?;
    app.projector.caught_up(id.0).await;
    let place = |record: &RoomRecord| (record.created_at.get(), record.room.id.to_string());
    let rows = move |(before, before_id): (i64, String), fetch| {
        let (app, sku, user, room) = (app.clone(), sku.clone(), user.clone(), room.clone());
        async move {
            let rows = fetch_all!(&app.store, Row, LIST, id.0, state, sku, user, room, from, to, before, before_id, fetch)?;
            records(&app, rows).await
        }
    };
    csv::answer(csv, &page, Table { name: "rooms", columns: COLUMNS, place }, rows).await
}

/// The rooms with their members, names masked.
async fn records(app: &App, rows: Vec<Row>) -> Result<Vec<RoomRecord>, Problem> {
    let seats: Result<Vec<Vec<(UserId, bool)>>, _> = rows.iter().map(|row| serde_json::from_str(&row.members)).collect();
    let seats = seats.map_err(|error| Problem::defect(&error))?;
    let users: Vec<UserId> = seats.iter().flatten().map(|(user, _)| *user).collect();
    let names = app.names.of(&app.store, &users).await?;
    let name = |user: UserId| names.get(&user).cloned().unwrap_or_default();
    let record = |(row, seats): (Row, Vec<(UserId, bool)>)| {
        let state: State = serde_json::from_value(row.state.into()).map_err(|error| Problem::defect(&error))?;
        let ladder: Vec<TierRow> = serde_json::from_str(row.tiers.as_deref().unwrap_or("[]")).map_err(|error| Problem::defect(&error))?;
        let tiers = tiers(row.size, row.price_fen.get(), &ladder);
        let reached = tiers.iter().rev().find(|tier| tier.size <= row.seats_paid).map_or(row.price_fen, |tier| tier.price_fen);
        // Who leads stands first.
        let leader = seats.first().map(|(user, _)| *user);
        let member = |(place, (user, paid)): (usize, (UserId, bool))| MemberView { name: name(user), leader: place == 0, paid, you: false };
        let members = seats.into_iter().enumerate().map(member).collect();
        Ok(RoomRecord {
            room: RoomView {
                id: row.id,
                campaign_id: row.id.campaign(),
                sku: row.sku,
                state: state.into(),
                size: row.size,
                seats_taken: row.seats_taken,
                seats_paid: row.seats_paid,
                seats_left: row.size - row.seats_taken,
                units_kept: row.units_kept,
                leader: leader.map(name).unwrap_or_default(),
                members,
                price_fen: row.price_fen,
                tiers,
                accept_from: row.accept_from,
                final_price_fen: (state == State::Formed).then_some(reached),
                expires_at: row.expires_at,
                you: None,
            },
            user_id: leader,
            definition_version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    };
    rows.into_iter().zip(seats).map(record).collect()
}
