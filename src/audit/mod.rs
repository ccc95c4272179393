//! Audit: the engine's promises, checked for one campaign on demand, while it runs.
//!
//! The log in SQL is read from its first entry, its chain checked and its changes folded. The fold must give the hot state, and the SQL
//! tables must tell the same as the fold; then the invariants are counted on it ([`invariants`]). What changes while the audit reads is
//! left out of the comparison, never out of the invariants: lag alone makes nothing wrong. So SQL's tables are compared as suspects first
//! ([`Suspects`]), and judged when the log has been read once more.

pub mod fold;
pub mod invariants;
mod money;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::bargain::row::ChainRow;
use crate::hot::{Engine, Place, Program};
use crate::http::problem::Problem;
use crate::id::{CampaignId, ChainId, OrderId, UserId};
use crate::money::Fen;
use crate::order::errands::refund_no;
use crate::order::row::OrderRow;
use crate::projector::Projector;
use crate::projector::cursor::Cursor;
use crate::referral;
use crate::store::{Store, StoreError, fetch_all, fetch_one};
use fold::Fold;

/// How long the audit waits for SQL to hold what was decided before it began.
const SQL_WAIT: Duration = Duration::from_secs(10);
/// A timer this late breaks invariant 8, in ms.
const TIMER_LAG: i64 = 10_000;
/// Rows of SQL compared at once.
const PAGE: i64 = 5_000;

/// One promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = AuditCheck)]
pub struct Check {
    /// Its name.
    #[schema(example = "stock_adds_up")]
    pub name: String,
    /// Whether it holds.
    pub ok: bool,
    /// What was counted, or what is wrong.
    pub detail: String,
}

/// What the audit found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = AuditReport)]
pub struct Report {
    /// Every check is fine.
    pub ok: bool,
    /// Each check.
    pub checks: Vec<Check>,
}

impl Check {
    /// Fine when nothing is wrong; at most a few of the wrongs are told.
    #[must_use]
    pub fn new(name: &str, fine: String, wrong: &[String]) -> Self {
        let told = wrong.iter().take(5).cloned().collect::<Vec<_>>().join("; ");
        let detail = if wrong.is_empty() { fine } else { format!("{} wrong: {told}", wrong.len()) };
        Self { name: name.to_owned(), ok: wrong.is_empty(), detail }
    }
}

/// A table of SQL compared with the fold: what differs is wrong unless its row moved meanwhile.
#[derive(Debug)]
pub struct Suspects {
    name: &'static str,
    /// The table of hot state that the rows belong to.
    table: &'static str,
    /// Rows of SQL that were compared.
    pub count: usize,
    /// The row that each is about, "" where it is about all, and what is wrong.
    differ: Vec<(String, String)>,
}

impl Suspects {
    /// Of the check of this name, before anything was compared.
    #[must_use]
    pub const fn new(name: &'static str, table: &'static str) -> Self {
        Self { name, table, count: 0, differ: Vec::new() }
    }

    /// A row that is not what the log says.
    pub fn differs(&mut self, row: &str, what: String) {
        self.differ.push((row.to_owned(), what));
    }

    /// So many rows the log has at least.
    fn expect(&mut self, expected: usize) {
        if self.count < expected {
            self.differs("", format!("SQL has {} {}, the log {expected}", self.count, self.table));
        }
    }

    fn judged(self, fold: &Fold) -> Check {
        let stayed = self.differ.into_iter().filter(|(row, _)| !fold.just_moved(self.table, row));
        Check::new(self.name, format!("{} compared", self.count), &stayed.map(|(_, what)| what).collect::<Vec<_>>())
    }
}

/// Audits a campaign whose lane is open here.
///
/// # Errors
/// Trouble of Redis or SQL; what is wrong with the campaign is in the report.
pub async fn run(
    store: &Store,
    engine: &Engine,
    projector: &Projector,
    program: &Program,
    campaign: CampaignId,
) -> Result<Report, Problem> {
    let begin = engine.read(campaign, &[]).await?.place;
    wait_for_sql(store, campaign, begin).await?;
    let mut fold = Fold::default();
    fold.read_to_end(projector, campaign).await?;
    let before = fold.seq;
    let mut hot = BTreeMap::new();
    for table in program.tables.iter().filter(|table| !["meta", "log"].contains(table)) {
        hot.insert((*table).to_owned(), engine.table(campaign, table).await.map_err(|error| error.trouble())?);
    }
    let end = engine.read(campaign, &[]).await?;
    wait_for_sql(store, campaign, end.place).await?;
    fold.moved.clear();
    fold.read_to_end(projector, campaign).await?;
    let mut checks = vec![fold.hot_check(&hot, before)];
    fold.moved.clear();
    let mut suspects = vec![
        sql_orders(store, campaign, &fold).await?,
        sql_rooms(store, campaign, &fold).await?,
        sql_chains(store, campaign, &fold).await?,
        sql_refunds(store, campaign, &fold, end.now).await?,
    ];
    checks.extend(invariants::all(&fold));
    if std::ptr::eq(program, &raw const *referral::PROGRAM) {
        checks.extend(referral::audit::checks(store, campaign, &fold, end.now).await?);
        suspects.extend(referral::audit::suspects(store, campaign, &fold).await?);
    }
    fold.read_to_end(projector, campaign).await?;
    checks.extend(suspects.into_iter().map(|suspects| suspects.judged(&fold)));
    checks.insert(0, fold.chain_check());
    checks.extend(money::checks(store, campaign).await?);
    checks.push(timers(&fold, end.now));
    checks.push(parked(store, campaign).await?);
    Ok(Report { ok: checks.iter().all(|check| check.ok), checks })
}

/// Waits until SQL's cursor has reached a place.
async fn wait_for_sql(store: &Store, campaign: CampaignId, place: Place) -> Result<(), Problem> {
    let until = tokio::time::Instant::now() + SQL_WAIT;
    loop {
        let cursor = Cursor::read(store, campaign).await?;
        if cursor.is_some_and(|cursor| (cursor.epoch, cursor.seq) >= (place.epoch, place.seq)) {
            return Ok(());
        }
        if tokio::time::Instant::now() > until {
            return Err(Problem::new(crate::code::Code::Overloaded).detail("SQL does not catch up with the log"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Overdue timers: what is past has been decided.
fn timers(fold: &Fold, now: i64) -> Check {
    let late = |(member, score): (&String, &Vec<u8>)| {
        let due: i64 = String::from_utf8_lossy(score).parse().ok()?;
        (due + TIMER_LAG < now).then(|| format!("{member} was due at {due}"))
    };
    let wrong: Vec<String> = fold.table("timers").filter_map(late).collect();
    Check::new("timers_fired", format!("{} timers, none more than {} s late", fold.table("timers").count(), TIMER_LAG / 1000), &wrong)
}

async fn parked(store: &Store, campaign: CampaignId) -> Result<Check, StoreError> {
    let (count,) = fetch_one!(store, (i64,), "SELECT COUNT(*) FROM parked_events WHERE campaign_id = $1", campaign)?;
    let wrong = if count == 0 { Vec::new() } else { vec![format!("{count} events or rows were refused by SQL")] };
    Ok(Check::new("nothing_parked", "SQL took every event".into(), &wrong))
}

type SqlOrder = (String, String, i64, i64, i64, i64);

/// SQL's orders say what the log says.
async fn sql_orders(store: &Store, campaign: CampaignId, fold: &Fold) -> Result<Suspects, StoreError> {
    const ORDERS: &str = "SELECT id, state, quantity, amount_fen, paid_fen, refunded_fen FROM orders \
                          WHERE campaign_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    let (mut found, mut after) = (Suspects::new("sql_orders_equal_log", "orders"), String::new());
    loop {
        let rows = fetch_all!(store, SqlOrder, ORDERS, campaign, &after, PAGE)?;
        let Some(last) = rows.last() else { break };
        after.clone_from(&last.0);
        found.count += rows.len();
        for (id, state, quantity, amount, paid, refunded) in rows {
            let hot = id.parse::<OrderId>().map(|id| id.hot().to_owned()).unwrap_or_default();
            let told = fold.row::<OrderRow>("orders", &hot).map(|row| {
                let state = serde_json::to_value(row.state).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default();
                (state, row.quantity, row.amount, row.paid, row.refunded)
            });
            if told.as_ref() != Some(&(state, quantity, amount, paid, refunded)) {
                found.differs(&hot, format!("{id} differs"));
            }
        }
    }
    found.expect(fold.table("orders").count());
    Ok(found)
}

/// SQL's rooms say what the log says.
async fn sql_rooms(store: &Store, campaign: CampaignId, fold: &Fold) -> Result<Suspects, StoreError> {
    const ROOMS: &str =
        "SELECT id, state, seats_taken, seats_paid, members FROM rooms WHERE campaign_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    let (mut found, mut after) = (Suspects::new("sql_rooms_equal_log", "rooms"), String::new());
    loop {
        let rows = fetch_all!(store, (String, String, i64, i64, String), ROOMS, campaign, &after, PAGE)?;
        let Some(last) = rows.last() else { break };
        after.clone_from(&last.0);
        found.count += rows.len();
        for (id, state, taken, paid, members) in rows {
            let members = serde_json::from_str::<Vec<(UserId, bool)>>(&members).ok();
            let hot = id.parse::<crate::id::RoomId>().map(|id| id.hot().to_owned()).unwrap_or_default();
            let told = fold.row::<crate::group_buy::row::RoomRow>("rooms", &hot).map(|row| {
                let state = serde_json::to_value(row.state).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default();
                (state, row.taken(), row.paid(), row.seats().ok())
            });
            if told != Some((state, taken, paid, members)) {
                found.differs(&hot, format!("{id} differs"));
            }
        }
    }
    found.expect(fold.table("rooms").count());
    Ok(found)
}

/// SQL's chains say what the log says.
async fn sql_chains(store: &Store, campaign: CampaignId, fold: &Fold) -> Result<Suspects, StoreError> {
    const CHAINS: &str =
        "SELECT id, state, price_fen, cuts_taken, helps FROM chains WHERE campaign_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    let (mut found, mut after) = (Suspects::new("sql_chains_equal_log", "chains"), String::new());
    loop {
        let rows = fetch_all!(store, (String, String, i64, i64, i64), CHAINS, campaign, &after, PAGE)?;
        let Some(last) = rows.last() else { break };
        after.clone_from(&last.0);
        found.count += rows.len();
        for (id, state, price, taken, helps) in rows {
            let hot = id.parse::<ChainId>().map(|id| id.hot().to_owned()).unwrap_or_default();
            let told = fold.row::<ChainRow>("chains", &hot);
            let told = told.map(|row| (row.state.word(), row.price, row.taken, i64::try_from(row.helps()).unwrap_or(i64::MAX)));
            if told != Some((state.as_str(), price, taken, helps)) {
                found.differs(&hot, format!("{id} differs"));
            }
        }
    }
    found.expect(fold.table("chains").count());
    Ok(found)
}

/// So long, in ms, an order may not know yet that its refund was carried out.
const TOLD_WITHIN: i64 = 60_000;

/// Every refund that an order counts is one row of SQL with that amount, done exactly where the order says so, or a moment before.
async fn sql_refunds(store: &Store, campaign: CampaignId, fold: &Fold, now: i64) -> Result<Suspects, StoreError> {
    const REFUNDS: &str =
        "SELECT refund_no, amount_fen, state, done_at FROM refunds WHERE campaign_id = $1 AND refund_no > $2 ORDER BY refund_no LIMIT $3";
    let mut told = BTreeMap::new();
    let mut after = String::new();
    loop {
        let rows = fetch_all!(store, (String, Fen, String, Option<i64>), REFUNDS, campaign, &after, PAGE)?;
        let Some(last) = rows.last() else { break };
        after.clone_from(&last.0);
        // The order is told a moment after the provider has carried it out.
        let on_its_way = |at: Option<i64>| at.is_some_and(|at| now - at < TOLD_WITHIN);
        let told_of = |(number, amount, state, at): (String, Fen, String, _)| (number, (amount.get(), state == "done", on_its_way(at)));
        told.extend(rows.into_iter().map(told_of));
    }
    let mut found = Suspects::new("refunds_once", "orders");
    found.count = told.len();
    for (hot, order) in fold.rows::<OrderRow>("orders") {
        let Ok(id) = OrderId::from_hot(campaign, &hot) else { continue };
        for (place, refund) in (1_i64..).zip(&order.refunds) {
            let number = refund_no(id, place);
            match told.remove(&number) {
                Some((amount, done, on_its_way)) if amount == refund.0 && (done == (refund.1 == 1) || (done && on_its_way)) => {}
                Some(_) => found.differs(&hot, format!("{number} differs")),
                None => found.differs(&hot, format!("{number} is missing in SQL")),
            }
        }
    }
    for number in told.keys() {
        found.differs(&hot_of(number), format!("{number} is in no order"));
    }
    Ok(found)
}

/// The hot id of the order that a refund's number begins with.
fn hot_of(refund_no: &str) -> String {
    let order = refund_no.rsplit_once('r').map(|(order, _)| order.to_owned()).unwrap_or_default();
    order.parse::<OrderId>().map(|id| id.hot().to_owned()).unwrap_or_default()
}
