//! Invariant 6: the ledger of one campaign. Orders, rewards and withdrawals come into SQL in one transaction with their transfers, so one
//! statement over both sees them agree whatever happens meanwhile.

use super::Check;
use crate::id::CampaignId;
use crate::ledger::{claims, trial};
use crate::store::{Store, StoreError, fetch_all, fetch_one};

/// Orders that are told.
const MOST: i64 = 10;

/// The accounts of a campaign and of those who earned in it are the sums of their transfers; the money of its orders and rewards, and of those
/// people's withdrawals, is in them.
pub(super) async fn checks(store: &Store, campaign: CampaignId) -> Result<[Check; 5], StoreError> {
    const COUNT: &str = "SELECT COUNT(*), CAST(COALESCE(SUM(amount_fen), 0) AS BIGINT) FROM transfers WHERE campaign_id = $1";
    let (count, moved) = fetch_one!(store, (i64, i64), COUNT, campaign)?;
    let accounts = trial::of_campaign(store, campaign).await?;
    let orders = orders(store, campaign).await?;
    let claims = claims::of_campaign(store, campaign).await?;
    Ok([
        Check::new("ledger_balances", format!("{count} transfers, {moved} fen moved"), &accounts),
        Check::new("orders_equal_ledger", "what orders paid, keep and sent back is in the ledger".to_owned(), &orders),
        Check::new("rewards_equal_ledger", "what was granted, ripened and went back is in the ledger".to_owned(), &claims.rewards),
        Check::new("withdrawals_equal_ledger", "what was held, paid out and came back is in the ledger".to_owned(), &claims.withdrawals),
        Check::new("wallets_fit_together", "nobody has and owes at once, and what is on its way is withdrawn".to_owned(), &claims.wallets),
    ])
}

/// Orders whose money is not where the ledger has it.
async fn orders(store: &Store, campaign: CampaignId) -> Result<Vec<String>, StoreError> {
    const WRONG: &str = "WITH moved AS (SELECT order_number, \
        CAST(SUM(CASE WHEN kind IN ('order_paid', 'payment_returned') THEN amount_fen ELSE 0 END) AS BIGINT) AS paid, \
        CAST(SUM(CASE WHEN kind IN ('refund_due', 'payment_returned') THEN amount_fen ELSE 0 END) AS BIGINT) AS due, \
        CAST(SUM(CASE WHEN kind = 'refunded' THEN amount_fen ELSE 0 END) AS BIGINT) AS refunded, \
        CAST(SUM(CASE WHEN to_account = 'received:' || campaign_id THEN amount_fen WHEN from_account = 'received:' || campaign_id \
            THEN -amount_fen ELSE 0 END) AS BIGINT) AS received, \
        CAST(SUM(CASE WHEN to_account = 'kept:' || campaign_id THEN amount_fen WHEN from_account = 'kept:' || campaign_id \
            THEN -amount_fen ELSE 0 END) AS BIGINT) AS kept \
        FROM transfers WHERE campaign_id = $1 AND user_id IS NULL GROUP BY order_number) \
        SELECT orders.id, orders.state, orders.paid_fen, COALESCE(moved.paid, 0) FROM orders LEFT JOIN moved ON moved.order_number = orders.id \
        WHERE orders.campaign_id = $1 AND (orders.paid_fen <> COALESCE(moved.paid, 0) OR orders.refund_due_fen <> COALESCE(moved.due, 0) \
        OR orders.refunded_fen <> COALESCE(moved.refunded, 0) \
        OR COALESCE(moved.received, 0) <> CASE WHEN orders.state = 'paid' THEN orders.paid_fen - orders.refund_due_fen ELSE 0 END \
        OR COALESCE(moved.kept, 0) <> CASE WHEN orders.state IN ('confirmed', 'fulfilled') THEN orders.paid_fen - orders.refund_due_fen ELSE 0 END) \
        LIMIT $2";
    let rows = fetch_all!(store, (String, String, i64, i64), WRONG, campaign, MOST)?;
    let tell =
        |(id, state, paid, moved): (String, String, i64, i64)| format!("{id} is {state} and paid {paid} fen, the ledger has {moved}");
    Ok(rows.into_iter().map(tell).collect())
}
