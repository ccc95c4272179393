//! The log's chains, in SQL. Schedules stay in the log and in hot state: no list shows a seed.

use std::sync::LazyLock;

use serde_json::json;

use super::row::ChainRow;
use crate::id::{CampaignId, ChainId, NotAnId, OrderId, UserId};
use crate::projector::{Batch, Projection, Statements, batch, unreadable};
use crate::store::{BulkRows, StoreError, bulk_row};

/// Applies rows of `chains`.
#[derive(Debug)]
pub struct ChainProjection;

bulk_row! {
    struct Chain {
        id: ChainId,
        campaign_id: CampaignId,
        user_id: UserId,
        sku: String,
        state: &'static str,
        start_price_fen: i64,
        floor_price_fen: i64,
        price_fen: i64,
        cuts_taken: i64,
        cuts_needed: i64,
        next_cut_fen: i64,
        helps: i64,
        cuts: String,
        commitment: String,
        order_id: Option<OrderId>,
        expires_at: i64,
        buy_by: Option<i64>,
        created_at: i64,
        updated_at: i64,
        seq: i64,
        version: i64,
    }
}

static CHAINS: LazyLock<BulkRows<Chain>> = LazyLock::new(|| {
    BulkRows::insert(
        "chains",
        "ON CONFLICT (id) DO UPDATE SET state = excluded.state, price_fen = excluded.price_fen, cuts_taken = excluded.cuts_taken, \
         next_cut_fen = excluded.next_cut_fen, helps = excluded.helps, cuts = excluded.cuts, order_id = excluded.order_id, \
         buy_by = excluded.buy_by, updated_at = excluded.updated_at, seq = excluded.seq WHERE excluded.seq > chains.seq",
    )
});

impl Projection for ChainProjection {
    fn tables(&self) -> &'static [&'static str] {
        &["chains"]
    }

    fn statements(&self, batch: &Batch<'_>, statements: &mut Statements) -> Result<(), StoreError> {
        let chains = batch.table::<ChainRow>("chains").map(|read| {
            let (row, chain) = read?;
            sql(batch.campaign, &row, &chain).map_err(|error| unreadable(&error))
        });
        statements.add(&CHAINS, &chains.collect::<Result<Vec<_>, StoreError>>()?)
    }
}

fn sql(campaign: CampaignId, row: &batch::Row<'_>, chain: &ChainRow) -> Result<Chain, NotAnId> {
    let cut = |cut: &super::row::CutRow| Ok((UserId::from_hot(&cut.0)?, cut.1, cut.2));
    let cuts: Vec<(UserId, i64, i64)> = chain.cuts.iter().map(cut).collect::<Result<_, NotAnId>>()?;
    Ok(Chain {
        id: ChainId::from_hot(campaign, row.field)?,
        campaign_id: campaign,
        user_id: UserId::from_hot(&chain.user)?,
        sku: chain.sku.clone(),
        state: chain.state.word(),
        start_price_fen: chain.start,
        floor_price_fen: chain.floor,
        price_fen: chain.price,
        cuts_taken: chain.taken,
        cuts_needed: chain.needed,
        next_cut_fen: chain.next,
        helps: i64::try_from(chain.helps()).unwrap_or(i64::MAX),
        cuts: json!(cuts).to_string(),
        commitment: chain.commitment.clone(),
        order_id: if chain.order.is_empty() { None } else { Some(OrderId::from_hot(campaign, &chain.order)?) },
        expires_at: chain.expires_at,
        buy_by: (chain.buy_by > 0).then_some(chain.buy_by),
        created_at: chain.started_at,
        updated_at: row.at,
        seq: row.seq,
        version: chain.version,
    })
}
