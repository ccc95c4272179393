//! Seats for newcomers: one live seat per shopper over all campaigns.
//!
//! Campaigns decide apart from each other, so a claim in SQL comes before the op that takes such a seat: the shopper is its key, and of two
//! requests at once one gets it. It goes when the op was refused, and with the event that ends the hold: paid (then the shopper is no
//! newcomer any more) or given up. What a crash leaves behind heals by itself: a claim whose order has ended, or which never became an order,
//! gives way to the next one, and one for the same room never stands in the way of asking for that seat again.

use crate::clock::UnixMs;
use crate::id::{OrderId, RoomId, UserId};
use crate::store::{Store, StoreError, execute, fetch_optional};

/// After so long SQL would know the order of a claim: an op waits in no lane and no log for as long. In seconds.
const UNHEARD_OF: i64 = 120;

/// A newcomers' seat that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Seat {
    /// Whose.
    pub user: UserId,
    /// The order that is to hold it.
    pub order: OrderId,
    /// Where.
    pub room: RoomId,
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It stands, for this order.
    Fresh,
    /// The shopper had claimed a seat in this very room before.
    Before,
    /// The shopper is no newcomer, or has claimed a seat elsewhere.
    No,
}

/// Claims a newcomers' seat.
///
/// # Errors
/// When the database does not do it.
pub async fn claim(store: &Store, seat: Seat, now: UnixMs) -> Result<Claimed, StoreError> {
    const CLAIM: &str = "INSERT INTO newcomer_claims (user_id, order_id, room_id, claimed_at) \
                         SELECT id, CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS BIGINT) FROM users WHERE id = $1 AND first_paid_at IS NULL \
                         ON CONFLICT (user_id) DO UPDATE SET order_id = excluded.order_id, room_id = excluded.room_id, \
                         claimed_at = excluded.claimed_at WHERE newcomer_claims.order_id = excluded.order_id OR EXISTS (SELECT 1 FROM orders \
                         WHERE orders.id = newcomer_claims.order_id AND orders.state IN ('released', 'refund_due', 'refunded')) \
                         OR (newcomer_claims.claimed_at < $5 AND NOT EXISTS (SELECT 1 FROM orders WHERE orders.id = newcomer_claims.order_id))";
    const BEFORE: &str = "SELECT newcomer_claims.room_id FROM newcomer_claims JOIN users ON users.id = newcomer_claims.user_id \
                          WHERE newcomer_claims.user_id = $1 AND users.first_paid_at IS NULL";
    if execute!(store, CLAIM, seat.user, seat.order, seat.room, now, now.plus_seconds(-UNHEARD_OF))? > 0 {
        return Ok(Claimed::Fresh);
    }
    let before = fetch_optional!(store, (RoomId,), BEFORE, seat.user)?;
    Ok(if before == Some((seat.room,)) { Claimed::Before } else { Claimed::No })
}

/// The order for which a shopper's claim stands.
///
/// # Errors
/// When the database does not say.
pub async fn claimed(store: &Store, user: UserId) -> Result<Option<OrderId>, StoreError> {
    const CLAIMED: &str = "SELECT order_id FROM newcomer_claims WHERE user_id = $1";
    Ok(fetch_optional!(store, (OrderId,), CLAIMED, user)?.map(|(order,)| order))
}

/// The seat of a room claimed before was taken as this order.
///
/// # Errors
/// When the database does not do it.
pub async fn keep(store: &Store, seat: Seat, now: UnixMs) -> Result<(), StoreError> {
    const KEEP: &str = "INSERT INTO newcomer_claims (user_id, order_id, room_id, claimed_at) VALUES ($1, $2, $3, $4) \
                        ON CONFLICT (user_id) DO UPDATE SET order_id = excluded.order_id, claimed_at = excluded.claimed_at \
                        WHERE newcomer_claims.room_id = excluded.room_id";
    execute!(store, KEEP, seat.user, seat.order, seat.room, now).map(|_rows| ())
}

/// The seat was refused.
///
/// # Errors
/// When the database does not do it.
pub async fn give_back(store: &Store, seat: Seat) -> Result<(), StoreError> {
    const BACK: &str = "DELETE FROM newcomer_claims WHERE user_id = $1 AND order_id = $2";
    execute!(store, BACK, seat.user, seat.order).map(|_rows| ())
}

/// Whether the buyer of an order may still have it: not if it is a newcomers' seat and the buyer has paid elsewhere meanwhile, or holds
/// another such seat.
///
/// # Errors
/// When the database does not do it.
pub async fn may_pay(store: &Store, order: OrderId, now: UnixMs) -> Result<bool, StoreError> {
    const SEAT: &str = "SELECT user_id, room_id FROM orders WHERE id = $1 AND newcomer = 1";
    let Some((user, room)) = fetch_optional!(store, (UserId, RoomId), SEAT, order)? else { return Ok(true) };
    Ok(claim(store, Seat { user, order, room }, now).await? != Claimed::No)
}
