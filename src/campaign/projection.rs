//! The log's campaign status and stock, in SQL.

use std::sync::LazyLock;

use super::ops::{Status, StatusRow, StockRow};
use super::view::Switches;
use crate::hot::Row;
use crate::id::CampaignId;
use crate::projector::{Batch, Projection, Statements};
use crate::store::{BulkRows, StoreError, bulk_row};

/// Applies rows of `def` and `stock`.
#[derive(Debug)]
pub struct CampaignProjection;

bulk_row! {
    struct Stock { campaign_id: CampaignId, sku: String, put_in: i64, left_units: i64, held: i64, sold: i64, returned: i64, seq: i64 }
}

bulk_row! {
    struct Standing { id: CampaignId, state: &'static str, paused_by: &'static str, may_open: bool, may_join: bool, at: i64 }
}

static STOCK: LazyLock<BulkRows<Stock>> = LazyLock::new(|| {
    BulkRows::insert(
        "stock",
        "ON CONFLICT (campaign_id, sku) DO UPDATE SET put_in = excluded.put_in, left_units = excluded.left_units, held = excluded.held, \
         sold = excluded.sold, returned = excluded.returned, seq = excluded.seq WHERE excluded.seq > stock.seq",
    )
});

static STANDING: LazyLock<BulkRows<Standing>> = LazyLock::new(|| {
    BulkRows::over(
        "UPDATE campaigns SET state = r.state, paused_by = r.paused_by, may_open = r.may_open, may_join = r.may_join, updated_at = r.at FROM",
        "WHERE campaigns.id = r.id AND (campaigns.state <> r.state OR campaigns.paused_by <> r.paused_by OR campaigns.may_open <> r.may_open \
         OR campaigns.may_join <> r.may_join)",
    )
});

impl Projection for CampaignProjection {
    fn tables(&self) -> &'static [&'static str] {
        &["def", "stock"]
    }

    fn statements(&self, batch: &Batch<'_>, statements: &mut Statements) -> Result<(), StoreError> {
        let stock = batch.table::<StockRow>("stock").map(|read| {
            let (row, stock) = read?;
            Ok(Stock {
                campaign_id: batch.campaign,
                sku: row.field.to_owned(),
                put_in: stock.put_in,
                left_units: stock.left,
                held: stock.held,
                sold: stock.sold,
                returned: stock.returned,
                seq: row.seq,
            })
        });
        statements.add(&STOCK, &stock.collect::<Result<Vec<_>, StoreError>>()?)?;
        statements.add(&STANDING, &standing(batch)?)
    }
}

/// The campaign's status, if it changed: table `def` has other rows as well.
fn standing(batch: &Batch<'_>) -> Result<Vec<Standing>, StoreError> {
    let Some(row) = batch.rows.iter().find(|row| row.table == "def" && row.field == "status") else { return Ok(Vec::new()) };
    let status = StatusRow::read(row.packed).map_err(|error| crate::projector::unreadable(&error))?;
    let state = match status.status {
        Status::Live => "live",
        Status::Paused => "paused",
        Status::Ended => "ended",
    };
    let Switches { open, join } = status.switches();
    Ok(vec![Standing { id: batch.campaign, state, paused_by: status.paused_by.word(), may_open: open, may_join: join, at: row.at }])
}
