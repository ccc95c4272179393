//! The log's rooms, in SQL.

use futures_util::future::BoxFuture;
use serde::Serialize;

use super::row::{RoomRow, State};
use crate::id::{NotAnId, OrderId, RoomId, UserId};
use crate::projector::{Batch, Projection, unreadable};
use crate::store::{StoreError, Tx, json_rows};

/// Applies rows of `rooms`.
#[derive(Debug)]
pub struct RoomProjection;

#[derive(Serialize)]
struct Room {
    id: RoomId,
    campaign_id: String,
    sku: String,
    state: State,
    size: i64,
    seats_taken: i64,
    seats_paid: i64,
    leader_order_id: Option<OrderId>,
    leader_user_id: Option<UserId>,
    price_fen: i64,
    expires_at: i64,
    created_at: i64,
    updated_at: i64,
    seq: i64,
}

json_rows! {
    ROOMS: "rooms" (id TEXT, campaign_id TEXT, sku TEXT, state TEXT, size BIGINT, seats_taken BIGINT, seats_paid BIGINT, leader_order_id TEXT,
                    leader_user_id TEXT, price_fen BIGINT, expires_at BIGINT, created_at BIGINT, updated_at BIGINT, seq BIGINT)
        on conflict "(id) DO UPDATE SET state = excluded.state, seats_taken = excluded.seats_taken, seats_paid = excluded.seats_paid, \
                     leader_order_id = excluded.leader_order_id, leader_user_id = excluded.leader_user_id, price_fen = excluded.price_fen, \
                     expires_at = excluded.expires_at, updated_at = excluded.updated_at, seq = excluded.seq WHERE excluded.seq > rooms.seq"
}

impl Projection for RoomProjection {
    fn apply<'a>(&'a self, tx: &'a mut Tx, batch: &'a Batch<'_>) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let rows = batch.table::<RoomRow>("rooms")?;
            let rooms = rows
                .into_iter()
                .map(|(row, room)| {
                    Ok(Room {
                        id: RoomId::from_hot(batch.campaign, row.field)?,
                        campaign_id: batch.campaign.to_string(),
                        state: room.state,
                        size: room.size,
                        seats_taken: room.taken(),
                        seats_paid: room.paid(),
                        leader_order_id: OrderId::from_hot(batch.campaign, &room.leader).ok(),
                        leader_user_id: room.leader_user().map(UserId::from_hot).transpose()?,
                        price_fen: room.price,
                        expires_at: room.expires_at,
                        created_at: room.opened_at,
                        updated_at: row.at,
                        seq: row.seq,
                        sku: room.sku,
                    })
                })
                .collect::<Result<Vec<_>, NotAnId>>()
                .map_err(|error| unreadable(&error))?;
            ROOMS.write(tx, &rooms).await.map(|_changed| ())
        })
    }
}
