//! Orders that the shop took elsewhere, as it reports them.
//!
//! * A number is one order for good: the same one with another amount or buyer is refused, and none may read as an order of ours.
//! * Reports come in any order, and any number of times: the state goes on from `paid` to `fulfilled` to `refunded`, never back, and what went
//!   back of the money never falls. So an older report changes nothing, but that the hand-over counts whenever it is first told: an order of
//!   which a part was refunded before has its goods all the same, and what is left of its rewards ripens.
//! * Who earns is decided at the first report, by bonds that stood when the order was made; the order counts as its buyer's purchase from then on.
//! * Order, sale, purchase and the note of who reported it are one transaction.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::attribution::Attribution;
use crate::clock::UnixMs;
use crate::id::{CampaignId, UserId};
use crate::money::Fen;
use crate::operator::audit::{Change, audit};
use crate::store::{Store, StoreError, Tx, execute, fetch_all, fetch_optional};

/// Two who report one order at once: so often the later looks again.
const TURNS: usize = 64;

/// How far an order made elsewhere has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutsideState {
    /// It is paid.
    Paid,
    /// Its goods were handed over.
    Fulfilled,
    /// Its money went back, in whole or in part.
    Refunded,
}

impl OutsideState {
    /// All of them, in their order.
    pub const ALL: &'static [Self] = &[Self::Paid, Self::Fulfilled, Self::Refunded];

    /// The word on the wire and in SQL.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Fulfilled => "fulfilled",
            Self::Refunded => "refunded",
        }
    }
}

/// What the shop says of an order.
#[derive(Clone, Debug)]
pub struct Report {
    /// The shop's own number of it.
    pub number: String,
    /// Who bought.
    pub user: UserId,
    /// For how much.
    pub amount: Fen,
    /// How much of it went back, in all.
    pub refunded: Fen,
    /// How far it has come.
    pub state: OutsideState,
    /// What was bought.
    pub sku: Option<String>,
    /// When what is reported happened.
    pub at: UnixMs,
    /// The same, if the shop named a time that is past.
    pub told_at: Option<UnixMs>,
}

/// An order made elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct OutsideOrder {
    /// The shop's own number of it.
    #[schema(example = "SO-2026-1122-0042")]
    pub number: String,
    /// Who bought.
    pub user_id: UserId,
    /// For how much.
    pub amount_fen: Fen,
    /// How much of it went back, in all.
    #[schema(example = 0)]
    pub refunded_fen: Fen,
    /// How far it has come.
    pub state: OutsideState,
    /// What was bought.
    #[schema(required = true, example = "cherry-1kg")]
    pub sku: Option<String>,
    /// When it was made: as its first report says.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub occurred_at: UnixMs,
    /// When its goods were handed over.
    #[serde(with = "crate::clock::rfc3339::option")]
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    pub fulfilled_at: Option<UnixMs>,
    /// Who earns by it.
    #[schema(required = true)]
    pub referral: Option<Attribution>,
    /// When it was first reported.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: UnixMs,
    /// When a report last changed it.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: UnixMs,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It was the first.
    Fresh,
    /// It told something new of an order that was known.
    Changed,
    /// It told nothing new.
    Known,
    /// The order is known with another amount or buyer.
    Conflict,
}

#[derive(sqlx::FromRow)]
struct Row {
    number: String,
    user_id: UserId,
    amount_fen: Fen,
    refunded_fen: Fen,
    state: String,
    sku: Option<String>,
    occurred_at: UnixMs,
    fulfilled_at: Option<UnixMs>,
    created_at: UnixMs,
    updated_at: UnixMs,
    campaign_id: Option<CampaignId>,
    version: Option<i64>,
    level1_id: Option<UserId>,
    level2_id: Option<UserId>,
}

impl Row {
    fn read(self) -> Result<OutsideOrder, StoreError> {
        let state = serde_json::from_value(self.state.into()).map_err(|error| crate::projector::unreadable(&error))?;
        let referral = self.campaign_id.zip(self.version).zip(self.level1_id);
        Ok(OutsideOrder {
            number: self.number,
            user_id: self.user_id,
            amount_fen: self.amount_fen,
            refunded_fen: self.refunded_fen,
            state,
            sku: self.sku,
            occurred_at: self.occurred_at,
            fulfilled_at: self.fulfilled_at,
            referral: referral.map(|((campaign_id, version), level1_user_id)| Attribution {
                campaign_id,
                version,
                level1_user_id,
                level2_user_id: self.level2_id,
            }),
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT outside_orders.number, user_id, outside_orders.amount_fen, outside_orders.refunded_fen, outside_orders.state, \
             outside_orders.sku, occurred_at, outside_orders.fulfilled_at, created_at, updated_at, campaign_id, version, level1_id, level2_id \
             FROM outside_orders LEFT JOIN sales ON sales.number = outside_orders.number ",
            $rest
        )
    };
}

const FIND: &str = select!("WHERE outside_orders.number = $1");

/// One order.
///
/// # Errors
/// Those of the database.
pub async fn find(store: &Store, number: &str) -> Result<Option<OutsideOrder>, StoreError> {
    fetch_optional!(store, Row, FIND, number)?.map(Row::read).transpose()
}

/// Orders made elsewhere, by their first report, newest first; empty text: any.
///
/// # Errors
/// Those of the database.
pub async fn list(
    store: &Store,
    (state, user): (&str, &str),
    (before, number): (i64, &str),
    fetch: i64,
) -> Result<Vec<OutsideOrder>, StoreError> {
    const ALL: &str = select!(
        "WHERE ($1 = '' OR outside_orders.state = $1) AND $2 = '' AND (created_at, outside_orders.number) < ($3, $4) \
         ORDER BY created_at DESC, outside_orders.number DESC LIMIT $5"
    );
    const OF_USER: &str = select!(
        "WHERE ($1 = '' OR outside_orders.state = $1) AND user_id = $2 AND (created_at, outside_orders.number) < ($3, $4) \
         ORDER BY created_at DESC, outside_orders.number DESC LIMIT $5"
    );
    let sql = if user.is_empty() { ALL } else { OF_USER };
    fetch_all!(store, Row, sql, state, user, before, number, fetch)?.into_iter().map(Row::read).collect()
}

/// Keeps a report; `referral` counts if it is the order's first. `by` is the operator's key.
///
/// # Errors
/// Those of the database; then nothing is kept.
pub async fn keep(store: &Store, report: &Report, referral: Option<Attribution>, by: &str, now: UnixMs) -> Result<Kept, StoreError> {
    for _turn in 0..TURNS {
        let mut tx = store.begin().await?;
        let kept = match fetch_optional!(&mut tx, Row, FIND, &report.number)? {
            None => insert(&mut tx, report, referral, by, now).await?,
            Some(row) => merge(&mut tx, &row.read()?, report, by, now).await?,
        };
        if let Some(kept) = kept {
            tx.commit().await?;
            return Ok(kept);
        }
        tx.rollback().await?;
    }
    Err(StoreError::Rejected { unique: false, message: "others keep reporting this order".to_owned() })
}

/// The first report; `None`: somebody else's was.
async fn insert(tx: &mut Tx, report: &Report, referral: Option<Attribution>, by: &str, now: UnixMs) -> Result<Option<Kept>, StoreError> {
    const ORDER: &str = "INSERT INTO outside_orders (number, user_id, amount_fen, refunded_fen, state, sku, occurred_at, fulfilled_at, \
                         created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9) ON CONFLICT (number) DO NOTHING";
    const SALE: &str = "INSERT INTO sales (number, campaign_id, version, buyer_id, level1_id, level2_id, sku, amount_fen, placed_at, paid_at, \
                        refunded_fen, fulfilled_at, state, attempts, next_attempt_at) \
                        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10, $11, 'pending', 0, $12)";
    const BOUGHT: &str = "UPDATE users SET first_paid_at = $1 WHERE id = $2 AND first_paid_at IS NULL";
    let Report { number, user, amount, refunded, state, sku, at, told_at: _ } = report;
    let fulfilled_at = (*state == OutsideState::Fulfilled).then_some(*at);
    if execute!(&mut *tx, ORDER, number, *user, *amount, *refunded, state.word(), sku, *at, fulfilled_at, now)? == 0 {
        return Ok(None);
    }
    if let Some(Attribution { campaign_id, version, level1_user_id, level2_user_id }) = referral {
        execute!(
            &mut *tx,
            SALE,
            number,
            campaign_id,
            version,
            *user,
            level1_user_id,
            level2_user_id,
            sku,
            *amount,
            *at,
            *refunded,
            fulfilled_at,
            now
        )?;
    }
    execute!(&mut *tx, BOUGHT, *at, *user)?;
    note(tx, None, report, by, now).await?;
    Ok(Some(Kept::Fresh))
}

/// A later report; `None`: somebody else changed the order meanwhile.
async fn merge(tx: &mut Tx, known: &OutsideOrder, report: &Report, by: &str, now: UnixMs) -> Result<Option<Kept>, StoreError> {
    const ORDER: &str = "UPDATE outside_orders SET state = $1, refunded_fen = $2, fulfilled_at = $3, updated_at = $4 \
                         WHERE number = $5 AND state = $6 AND refunded_fen = $7 AND COALESCE(fulfilled_at, 0) = $8";
    const SALE: &str = "UPDATE sales SET refunded_fen = $1, fulfilled_at = $2, state = 'pending', attempts = 0, next_attempt_at = $3 \
                        WHERE number = $4";
    if (known.user_id, known.amount_fen) != (report.user, report.amount) {
        return Ok(Some(Kept::Conflict));
    }
    let (state, refunded) = (known.state.max(report.state), known.refunded_fen.max(report.refunded));
    // Not before it was made, whatever the clocks of the shop say.
    let handed_over = (report.state == OutsideState::Fulfilled).then_some(report.at.max(known.occurred_at));
    let fulfilled_at = known.fulfilled_at.or(handed_over);
    if (state, refunded, fulfilled_at) == (known.state, known.refunded_fen, known.fulfilled_at) {
        return Ok(Some(Kept::Known));
    }
    let (number, before, was_fulfilled) = (&report.number, known.state.word(), known.fulfilled_at.map_or(0, UnixMs::get));
    if execute!(&mut *tx, ORDER, state.word(), refunded, fulfilled_at, now, number, before, known.refunded_fen, was_fulfilled)? == 0 {
        return Ok(None);
    }
    execute!(&mut *tx, SALE, refunded, fulfilled_at, now, number)?;
    note(tx, Some(known), report, by, now).await?;
    Ok(Some(Kept::Changed))
}

/// Writes down who reported what.
async fn note(tx: &mut Tx, before: Option<&OutsideOrder>, report: &Report, by: &str, now: UnixMs) -> Result<(), StoreError> {
    let after = json!({"state": report.state, "user_id": report.user, "amount_fen": report.amount, "refunded_fen": report.refunded,
        "occurred_at": report.at.rfc3339()});
    let change = Change {
        actor: by,
        action: "outside_order.report",
        target: &report.number,
        before: before.map(|before| json!({"state": before.state, "refunded_fen": before.refunded_fen})),
        after: Some(after),
    };
    audit(tx, change, now).await
}

#[cfg(test)]
mod tests {
    use super::OutsideState;

    #[test]
    fn the_word_is_the_same_in_json_and_sql_and_states_rise() {
        for state in OutsideState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.word());
        }
        assert!(OutsideState::ALL.is_sorted());
    }
}
