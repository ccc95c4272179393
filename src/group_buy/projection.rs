//! The log's rooms, in SQL.

use std::sync::LazyLock;

use serde_json::json;

use super::row::{RoomRow, State};
use crate::id::{CampaignId, NotAnId, RoomId};
use crate::projector::{Batch, Projection, Statements, batch, unreadable};
use crate::store::{BulkRows, StoreError, bulk_row};

/// Applies rows of `rooms`.
#[derive(Debug)]
pub struct RoomProjection;

bulk_row! {
    struct Room {
        id: RoomId,
        campaign_id: CampaignId,
        sku: String,
        state: &'static str,
        size: i64,
        seats_taken: i64,
        seats_paid: i64,
        units_kept: i64,
        members: String,
        price_fen: i64,
        tiers: Option<String>,
        accept_from: Option<i64>,
        expires_at: i64,
        created_at: i64,
        updated_at: i64,
        seq: i64,
        version: i64,
    }
}

static ROOMS: LazyLock<BulkRows<Room>> = LazyLock::new(|| {
    BulkRows::insert(
        "rooms",
        "ON CONFLICT (id) DO UPDATE SET state = excluded.state, seats_taken = excluded.seats_taken, seats_paid = excluded.seats_paid, \
         units_kept = excluded.units_kept, \
         members = excluded.members, price_fen = excluded.price_fen, \
         expires_at = excluded.expires_at, updated_at = excluded.updated_at, seq = excluded.seq WHERE excluded.seq > rooms.seq",
    )
});

impl Projection for RoomProjection {
    fn tables(&self) -> &'static [&'static str] {
        &["rooms"]
    }

    fn statements(&self, batch: &Batch<'_>, statements: &mut Statements) -> Result<(), StoreError> {
        let rooms = batch.table::<RoomRow>("rooms").map(|read| {
            let (row, room) = read?;
            sql(batch.campaign, &row, room).map_err(|error| unreadable(&error))
        });
        statements.add(&ROOMS, &rooms.collect::<Result<Vec<_>, StoreError>>()?)
    }
}

fn sql(campaign: CampaignId, row: &batch::Row<'_>, room: RoomRow) -> Result<Room, NotAnId> {
    Ok(Room {
        id: RoomId::from_hot(campaign, row.field)?,
        campaign_id: campaign,
        state: match room.state {
            State::Open => "open",
            State::Formed => "formed",
            State::Failed => "failed",
        },
        size: room.size,
        seats_taken: room.taken(),
        seats_paid: room.paid(),
        units_kept: room.kept(),
        members: json!(room.seats()?).to_string(),
        price_fen: room.price,
        tiers: (!room.tiers.is_empty()).then(|| json!(room.tiers).to_string()),
        accept_from: (room.accept_from > 0).then_some(room.accept_from),
        expires_at: room.expires_at,
        created_at: room.opened_at,
        updated_at: row.at,
        seq: row.seq,
        version: room.version,
        sku: room.sku,
    })
}
