//! The log's campaign status and stock, in SQL.

use futures_util::future::BoxFuture;
use serde::Serialize;

use super::ops::{Status, StatusRow, StockRow};
use crate::hot::Row;
use crate::projector::{Batch, Projection};
use crate::store::{StoreError, Tx, execute, json_rows};

/// Applies rows of `def` and `stock`.
#[derive(Debug)]
pub struct CampaignProjection;

#[derive(Serialize)]
struct Stock<'a> {
    campaign_id: String,
    sku: &'a str,
    put_in: i64,
    left_units: i64,
    held: i64,
    sold: i64,
    returned: i64,
    seq: i64,
}

json_rows! {
    STOCK: "stock" (campaign_id TEXT, sku TEXT, put_in BIGINT, left_units BIGINT, held BIGINT, sold BIGINT, returned BIGINT, seq BIGINT)
        on conflict "(campaign_id, sku) DO UPDATE SET put_in = excluded.put_in, left_units = excluded.left_units, held = excluded.held, \
                     sold = excluded.sold, returned = excluded.returned, seq = excluded.seq WHERE excluded.seq > stock.seq"
}

impl Projection for CampaignProjection {
    fn apply<'a>(&'a self, tx: &'a mut Tx, batch: &'a Batch<'_>) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let rows = batch.table::<StockRow>("stock")?;
            let campaign_id = batch.campaign.to_string();
            let stock: Vec<Stock<'_>> = rows
                .iter()
                .map(|(row, stock)| Stock {
                    campaign_id: campaign_id.clone(),
                    sku: row.field,
                    put_in: stock.put_in,
                    left_units: stock.left,
                    held: stock.held,
                    sold: stock.sold,
                    returned: stock.returned,
                    seq: row.seq,
                })
                .collect();
            STOCK.write(tx, &stock).await?;
            status(tx, batch).await
        })
    }
}

async fn status(tx: &mut Tx, batch: &Batch<'_>) -> Result<(), StoreError> {
    const SET: &str = "UPDATE campaigns SET state = $1, updated_at = $2 WHERE id = $3 AND state <> $1";
    let Some(row) = batch.rows.iter().find(|row| row.table == "def" && row.field == "status") else { return Ok(()) };
    let status: StatusRow = StatusRow::read(row.packed).map_err(|error| crate::projector::unreadable(&error))?;
    let state = match status.status {
        Status::Live => "live",
        Status::Paused => "paused",
        Status::Ended => "ended",
    };
    execute!(tx, SET, state, row.at, batch.campaign)?;
    Ok(())
}
