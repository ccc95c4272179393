//! Is every promise kept, and kept once?

use std::collections::{BTreeMap, BTreeSet};

use liebian::hot::entry::Entry;
use liebian::store::{Store, fetch_all};

use super::load::{Fair, Promise, SCARCE};
use crate::support::{TestApp, within};

/// A row of the log.
struct Kept {
    first: i64,
    last: i64,
    epoch: i64,
}

/// Everything SQL must say after `promises`; none may be missing.
pub async fn settle(app: &TestApp, fair: &Fair, promises: &[Promise]) {
    let missing = missing(app, fair, promises).await;
    assert!(missing.is_empty(), "{} of {} answered ops are not in SQL, such as {:?}", missing.len(), promises.len(), missing.first());
}

/// The same, answering the promises that SQL does not have: what a lost disk may take.
pub async fn missing(app: &TestApp, fair: &Fair, promises: &[Promise]) -> Vec<Promise> {
    app.wait_until_projected().await;
    within(10, "no payment waits in the inbox, no closing is under way", async || {
        count(
            app.store(),
            "SELECT (SELECT COUNT(*) FROM payments WHERE state = 'pending') + (SELECT COUNT(*) FROM closings WHERE state = 'pending')",
        )
        .await
            == 0
    })
    .await;
    app.wait_until_projected().await;
    let mut logs = BTreeMap::new();
    for campaign in &fair.campaigns {
        logs.insert(campaign.as_str(), log(app.store(), campaign).await);
        let report = app.post(&format!("/operator/v1/campaigns/{campaign}/audit")).admin().await.expect(200);
        assert_eq!(report.json["ok"], true, "{}", report.text);
    }
    nothing_twice(app.store()).await;
    let mut places = BTreeMap::new();
    let mut missing = Vec::new();
    for promise in promises {
        if let Some((campaign, epoch, seq)) = &promise.place {
            let holds =
                logs[campaign.as_str()].iter().filter(|kept| kept.epoch == *epoch && kept.first <= *seq && *seq <= kept.last).count();
            assert!(holds <= 1, "{promise:?} is in the log {holds} times");
            if promise.own && holds == 0 {
                missing.push(promise.clone());
                continue;
            }
            if promise.own
                && let Some(other) = places.insert((campaign.clone(), *seq), promise.order.clone())
            {
                assert_eq!(other, promise.order, "two ops were answered with the same place {:?}", promise.place);
            }
        }
        if rows(app.store(), promise).await != Some(true) {
            assert!(!promise.own, "the log has it, but SQL lacks the rows of {promise:?}");
            missing.push(promise.clone());
        }
    }
    missing
}

/// The log of a campaign: gap-free, chained, as far as the cursor says.
async fn log(store: &Store, campaign: &str) -> Vec<Kept> {
    const LOG: &str =
        "SELECT first_seq, last_seq, epoch, hash, body FROM log_entries WHERE campaign_id = $1 ORDER BY first_seq LIMIT 1000000";
    const CURSOR: &str = "SELECT epoch, seq, hash FROM cursors WHERE campaign_id = $1";
    let rows = fetch_all!(store, (i64, i64, i64, String, Vec<u8>), LOG, campaign).expect("log");
    let (mut seq, mut hash, mut epoch_before, mut kept) = (0, String::new(), 0, Vec::new());
    for (first, last, epoch, own_hash, body) in rows {
        let entry = Entry::read(own_hash, body).expect("an entry that reads");
        entry.follows(seq, &hash).unwrap_or_else(|damage| panic!("log of {campaign}: {damage}"));
        assert_eq!((entry.body.first, entry.body.last, entry.body.epoch), (first, last, epoch));
        assert!(epoch >= epoch_before, "epoch {epoch} after {epoch_before}");
        (seq, hash, epoch_before) = (last, entry.hash, epoch);
        kept.push(Kept { first, last, epoch });
    }
    let cursor = fetch_all!(store, (i64, i64, String), CURSOR, campaign).expect("cursor");
    assert_eq!((cursor[0].1, &cursor[0].2), (seq, &hash), "the cursor is at the log's end");
    kept
}

/// Whether the rows of a promise are there.
async fn rows(store: &Store, promise: &Promise) -> Option<bool> {
    const ORDER: &str = "SELECT state, COALESCE(room_id, ''), paid_fen, amount_fen FROM orders WHERE id = $1";
    let orders = fetch_all!(store, (String, String, i64, i64), ORDER, &promise.order).expect("order");
    let (state, room, paid, amount) = orders.first()?;
    Some(match promise.op {
        "open" | "join" => *room == promise.room,
        "pay" => paid == amount && !["held", "closing", "released"].contains(&state.as_str()),
        "cancel" => ["closing", "released"].contains(&state.as_str()),
        _ => false,
    })
}

async fn count(store: &Store, statement: &'static str) -> i64 {
    fetch_all!(store, (i64,), statement).expect("count")[0].0
}

/// No seat, unit or payment twice, counted from SQL's rows alone.
async fn nothing_twice(store: &Store) {
    const ROOMS: &str = "SELECT COUNT(*) FROM rooms LEFT JOIN (SELECT room_id, COUNT(*) AS seats FROM orders \
        WHERE state IN ('held', 'closing', 'paid', 'confirmed', 'fulfilled') GROUP BY room_id) AS taken ON taken.room_id = rooms.id \
        WHERE seats_taken > size OR (rooms.state <> 'failed' AND seats_taken <> COALESCE(seats, 0))";
    const STOCK: &str = "SELECT COUNT(*) FROM stock WHERE put_in <> left_units + held + sold + returned \
        OR held <> (SELECT COALESCE(SUM(quantity), 0) FROM orders WHERE orders.campaign_id = stock.campaign_id AND orders.sku = stock.sku \
                    AND orders.state IN ('held', 'closing')) \
        OR sold <> (SELECT COALESCE(SUM(quantity), 0) FROM orders WHERE orders.campaign_id = stock.campaign_id AND orders.sku = stock.sku \
                    AND orders.state IN ('paid', 'confirmed', 'fulfilled'))";
    const TRADES: &str = "SELECT COUNT(*) FROM sandbox_trades WHERE state = 'paid' AND (SELECT COUNT(*) FROM payments \
        WHERE payments.transaction_id = sandbox_trades.transaction_id AND payments.state = 'done') <> 1";
    const MONEY: &str = "SELECT COUNT(*) FROM orders WHERE paid_fen <> (SELECT COALESCE(SUM(payments.amount_fen), 0) FROM payments \
        WHERE payments.order_id = orders.id)";
    const SCARCE_SOLD: &str = "SELECT COALESCE(MAX(taken), 0) FROM (SELECT CAST(SUM(quantity) AS BIGINT) AS taken FROM orders JOIN stock \
        ON stock.campaign_id = orders.campaign_id WHERE stock.put_in < 1000 AND orders.state NOT IN ('released', 'refund_due', 'refunded') \
        GROUP BY orders.campaign_id) AS taken_by";
    for (what, statement) in [("room seats", ROOMS), ("stock", STOCK), ("payments", TRADES), ("paid orders", MONEY)] {
        assert_eq!(count(store, statement).await, 0, "{what} do not add up");
    }
    let taken = count(store, SCARCE_SOLD).await;
    assert!(taken <= SCARCE, "{taken} units taken of {SCARCE}");
}

/// The losses that SQL lists: places, orders.
pub struct Losses(BTreeSet<(String, i64)>, BTreeSet<String>);

impl Losses {
    /// What SQL lists.
    pub async fn read(store: &Store) -> Self {
        const LISTED: &str = "SELECT campaign_id, seq, COALESCE(order_id, '') FROM lost_ops LIMIT 100000";
        let rows = fetch_all!(store, (String, i64, String), LISTED).expect("lost ops");
        let orders = rows.iter().map(|row| row.2.clone()).collect();
        Self(rows.into_iter().map(|row| (row.0, row.1)).collect(), orders)
    }

    /// Whether a promise is among them, by its place or its order.
    pub fn tell_of(&self, promise: &Promise) -> bool {
        let (campaign, _, seq) = promise.place.clone().expect("a place");
        self.0.contains(&(campaign, seq)) || self.1.iter().any(|order| !order.is_empty() && promise.order.ends_with(order.as_str()))
    }

    /// How many.
    pub fn count(&self) -> i64 {
        i64::try_from(self.0.len()).expect("small")
    }
}

/// The losses that the epochs count in all; -1 when one of them does not know.
pub async fn counted(store: &Store) -> i64 {
    count(store, "SELECT CAST(COALESCE(CASE WHEN COUNT(*) <> COUNT(lost_ops) THEN -1 ELSE SUM(lost_ops) END, 0) AS BIGINT) FROM epochs")
        .await
}

/// The epochs that campaigns serve, and whether all serve.
pub async fn epochs(store: &Store) -> BTreeMap<String, i64> {
    let rows = fetch_all!(store, (String, i64, String), "SELECT campaign_id, epoch, state FROM cursors LIMIT 1000").expect("cursors");
    assert!(rows.iter().all(|row| row.2 == "serving"), "{rows:?}");
    rows.into_iter().map(|(campaign, epoch, _)| (campaign, epoch)).collect()
}
