//! The same log comes to the same tables, whether it is brought into SQL entry by entry or many entries a page.

use std::sync::Arc;

use liebian::app::program_of;
use liebian::campaign::projection::CampaignProjection;
use liebian::clock::{Clock, UnixMs};
use liebian::group_buy::projection::RoomProjection;
use liebian::order::projection::OrderProjection;
use liebian::projector::cursor::Cursor;
use liebian::projector::{Projection, Projector, Tail};
use liebian::store::{execute, fetch_all};

use super::hot::{Campaign, EPOCH};
use crate::support::Db;

/// What the log of a kind of campaign fills. SQLite's own functions make rows of JSON, in the order of a table's keys.
pub struct Projected {
    pub kind: &'static str,
    /// Tables and their keys.
    pub tables: &'static [(&'static str, &'static str)],
    pub projections: fn() -> Vec<Box<dyn Projection>>,
}

/// A group-buy's.
pub static GROUP_BUY: Projected = Projected {
    kind: "group_buy",
    tables: &[
        ("rooms", "id"),
        ("orders", "id"),
        ("stock", "sku"),
        ("payment_requests", "order_id"),
        ("refunds", "refund_no"),
        ("log_entries", "first_seq"),
    ],
    projections: || vec![Box::new(CampaignProjection), Box::new(RoomProjection), Box::new(OrderProjection { provider: "sandbox" })],
};

/// Two databases and the way into them.
pub struct Pair {
    by_entry: Db,
    by_page: Db,
    what: &'static Projected,
}

impl Pair {
    pub async fn new(what: &'static Projected) -> Self {
        Self { by_entry: Db::sqlite().await, by_page: Db::sqlite().await, what }
    }

    /// Brings a campaign's log into both; panics unless they hold the same.
    pub async fn compare(&self, campaign: &Campaign) {
        self.project(&self.by_entry, campaign, 1).await;
        self.project(&self.by_page, campaign, i64::MAX).await;
        for (table, key) in self.what.tables {
            let (one, other) = (dump(&self.by_entry, campaign, table, key).await, dump(&self.by_page, campaign, table, key).await);
            assert_eq!(one, other, "{table}: entry by entry (left) against by pages");
            assert!(*table != "log_entries" || !one.is_empty(), "nothing was projected");
        }
    }

    async fn project(&self, db: &Db, campaign: &Campaign, ops_in_a_page: i64) {
        Cursor::create(&db.store, campaign.id, self.what.kind, UnixMs::new(0)).await.unwrap();
        execute!(&db.store, "UPDATE cursors SET epoch = $1, state = 'serving' WHERE campaign_id = $2", EPOCH, campaign.id).unwrap();
        let cursor = Cursor::read(&db.store, campaign.id).await.unwrap().unwrap();
        let (engine, clock) = (Arc::clone(&campaign.engine), Arc::new(Clock::default()));
        let projector = Arc::new(Projector::new(db.store.clone(), engine, clock, (self.what.projections)(), program_of));
        Tail::new(campaign.id, cursor).with_pages_of(ops_in_a_page).run_to_end(&projector).await.unwrap();
    }
}

/// A table's rows of the campaign, each as JSON.
async fn dump(db: &Db, campaign: &Campaign, table: &str, key: &str) -> Vec<String> {
    let columns = leaked(format!("SELECT name FROM pragma_table_info('{table}') WHERE type <> 'BYTEA' ORDER BY cid"));
    let columns = fetch_all!(&db.store, (String,), columns).unwrap();
    let values = columns.into_iter().map(|(name,)| format!("'{name}', {name}")).collect::<Vec<_>>().join(", ");
    let rows = leaked(format!("SELECT json_object({values}) FROM {table} WHERE campaign_id = $1 ORDER BY {key}"));
    fetch_all!(&db.store, (String,), rows, campaign.id).unwrap().into_iter().map(|(row,)| row).collect()
}

/// Statements live for ever in the server; here there are some dozens.
fn leaked(statement: String) -> &'static str {
    Box::leak(statement.into_boxed_str())
}
