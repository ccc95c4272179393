//! Whether the ledger has what rewards and withdrawals say: an account can be the sum of its transfers, and a transfer be missing all the same.
//!
//! * Of a reward all was frozen that was granted, and went back what its row says. What is still frozen of it is what stands while it is
//!   `frozen`, and nothing after. Its transfers are all its owner's, and no reward's transfer is without its reward.
//! * Of a withdrawal all was held; all of it is paid out where it is `done`, and came back where it is `returned`.
//! * Of what a user may take out and what they owe one is nothing, and what is on its way out is the sum of their open withdrawals.
//!
//! Rows and transfers come into SQL in one transaction, so each statement here sees them agree, whatever happens meanwhile.

use crate::id::CampaignId;
use crate::store::{Store, StoreError, fetch_all};

/// So many of each kind are told.
const MOST_WRONG: i64 = 100;

/// What does not agree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Rewards that are not what the ledger has.
    pub rewards: Vec<String>,
    /// Withdrawals that are not what the ledger has.
    pub withdrawals: Vec<String>,
    /// Users whose balances do not fit together.
    pub wallets: Vec<String>,
}

/// What is claimed, in which state; how much of it the ledger has.
type Wrong = (Option<String>, Option<i64>, String, Option<i64>);

/// Rewards against the ledger: `$transfers` and `$rewards` say which are looked at.
macro_rules! rewards {
    ($transfers:literal, $rewards:literal, $limit:literal) => {
        concat!(
            "WITH moved AS (SELECT campaign_id, order_number, level, MIN(user_id) AS one, MAX(user_id) AS other, \
             CAST(SUM(CASE WHEN kind = 'reward_frozen' THEN amount_fen ELSE 0 END) AS BIGINT) AS granted, \
             CAST(SUM(CASE WHEN kind = 'reward_reversed' THEN amount_fen ELSE 0 END) AS BIGINT) AS back, \
             CAST(SUM(CASE WHEN to_account = 'frozen:' || user_id THEN amount_fen WHEN from_account = 'frozen:' || user_id THEN -amount_fen \
                 ELSE 0 END) AS BIGINT) AS frozen \
             FROM transfers WHERE kind IN ('reward_frozen', 'reward_available', 'reward_reversed') AND ",
            $transfers,
            " GROUP BY campaign_id, order_number, level) \
             SELECT rewards.order_number, rewards.level, rewards.state, moved.granted - moved.back FROM rewards LEFT JOIN moved \
             ON moved.campaign_id = rewards.campaign_id AND moved.order_number = rewards.order_number AND moved.level = rewards.level WHERE ",
            $rewards,
            " AND (COALESCE(moved.granted, 0) <> CASE WHEN rewards.state = 'refused' THEN 0 ELSE rewards.amount_fen END \
             OR COALESCE(moved.back, 0) <> rewards.reversed_fen \
             OR COALESCE(moved.frozen, 0) <> CASE WHEN rewards.state = 'frozen' THEN rewards.amount_fen - rewards.reversed_fen ELSE 0 END \
             OR moved.one <> rewards.user_id OR moved.other <> rewards.user_id) \
             UNION ALL SELECT moved.order_number, moved.level, 'no reward', moved.granted - moved.back FROM moved \
             WHERE NOT EXISTS (SELECT 1 FROM rewards WHERE rewards.campaign_id = moved.campaign_id \
             AND rewards.order_number = moved.order_number AND rewards.level = moved.level) LIMIT ",
            $limit
        )
    };
}

/// Whoever earned in a campaign.
macro_rules! earners {
    () => {
        "(SELECT user_id FROM rewards WHERE campaign_id = $1 UNION SELECT user_id FROM transfers WHERE campaign_id = $1 AND user_id IS NOT NULL)"
    };
}

macro_rules! withdrawals {
    ($whose:expr, $limit:literal) => {
        concat!(
            "WITH moved AS (SELECT withdrawal_id, MIN(user_id) AS one, MAX(user_id) AS other, \
             CAST(SUM(CASE WHEN kind = 'withdrawal_held' THEN amount_fen ELSE 0 END) AS BIGINT) AS held, \
             CAST(SUM(CASE WHEN kind = 'withdrawal_done' THEN amount_fen ELSE 0 END) AS BIGINT) AS done, \
             CAST(SUM(CASE WHEN kind = 'withdrawal_returned' THEN amount_fen ELSE 0 END) AS BIGINT) AS returned \
             FROM transfers WHERE withdrawal_id IS NOT NULL AND ",
            $whose,
            " GROUP BY withdrawal_id) \
             SELECT withdrawals.id, CAST(NULL AS BIGINT), withdrawals.state, moved.held - moved.done - moved.returned FROM withdrawals \
             LEFT JOIN moved ON moved.withdrawal_id = withdrawals.id WHERE ",
            $whose,
            " AND (COALESCE(moved.held, 0) <> withdrawals.amount_fen \
             OR COALESCE(moved.done, 0) <> CASE WHEN withdrawals.state = 'done' THEN withdrawals.amount_fen ELSE 0 END \
             OR COALESCE(moved.returned, 0) <> CASE WHEN withdrawals.state = 'returned' THEN withdrawals.amount_fen ELSE 0 END \
             OR moved.one <> withdrawals.user_id OR moved.other <> withdrawals.user_id) \
             UNION ALL SELECT moved.withdrawal_id, CAST(NULL AS BIGINT), 'no withdrawal', moved.held - moved.done - moved.returned FROM moved \
             WHERE NOT EXISTS (SELECT 1 FROM withdrawals WHERE withdrawals.id = moved.withdrawal_id) LIMIT ",
            $limit
        )
    };
}

macro_rules! wallets {
    ($accounts:expr, $whose:expr, $limit:literal) => {
        concat!(
            "SELECT wallets.owner, wallets.available, wallets.debt, wallets.withdrawing, COALESCE(opened.fen, 0) FROM (SELECT owner, \
             CAST(SUM(CASE WHEN kind = 'available' THEN balance_fen ELSE 0 END) AS BIGINT) AS available, \
             CAST(SUM(CASE WHEN kind = 'debt' THEN balance_fen ELSE 0 END) AS BIGINT) AS debt, \
             CAST(SUM(CASE WHEN kind = 'withdrawing' THEN balance_fen ELSE 0 END) AS BIGINT) AS withdrawing \
             FROM accounts WHERE ",
            $accounts,
            " GROUP BY owner) AS wallets LEFT JOIN (SELECT user_id, CAST(SUM(amount_fen) AS BIGINT) AS fen FROM withdrawals \
             WHERE state IN ('pending', 'approved', 'awaiting_user', 'stuck') AND ",
            $whose,
            " GROUP BY user_id) AS opened ON opened.user_id = wallets.owner \
             WHERE (wallets.available > 0 AND wallets.debt < 0) OR wallets.withdrawing <> COALESCE(opened.fen, 0) LIMIT ",
            $limit
        )
    };
}

/// A user and what stands in their accounts; what their open withdrawals come to.
type WrongWallet = (String, i64, i64, i64, i64);

/// Everything. Reads every transfer.
///
/// # Errors
/// Those of the database.
pub async fn of_all(store: &Store) -> Result<Claims, StoreError> {
    const REWARDS: &str = rewards!("user_id IS NOT NULL", "rewards.amount_fen > 0", "$1");
    const WITHDRAWALS: &str = withdrawals!("user_id IS NOT NULL", "$1");
    const WALLETS: &str = wallets!("kind IN ('available', 'debt', 'withdrawing')", "user_id IS NOT NULL", "$1");
    Ok(Claims {
        rewards: told(fetch_all!(store, Wrong, REWARDS, MOST_WRONG)?),
        withdrawals: told(fetch_all!(store, Wrong, WITHDRAWALS, MOST_WRONG)?),
        wallets: fetch_all!(store, WrongWallet, WALLETS, MOST_WRONG)?.into_iter().map(wallet).collect(),
    })
}

/// A campaign's rewards, and the withdrawals and balances of those who earned in it.
///
/// # Errors
/// Those of the database.
pub async fn of_campaign(store: &Store, campaign: CampaignId) -> Result<Claims, StoreError> {
    const REWARDS: &str = rewards!("user_id IS NOT NULL AND campaign_id = $1", "rewards.campaign_id = $1", "$2");
    const WITHDRAWALS: &str = withdrawals!(concat!("user_id IN ", earners!()), "$2");
    const WALLETS: &str = wallets!(
        concat!(
            "id IN (SELECT kinds.word || ':' || earners.user_id FROM ",
            earners!(),
            " AS earners CROSS JOIN (SELECT 'available' AS word UNION ALL SELECT 'debt' UNION ALL SELECT 'withdrawing') AS kinds)"
        ),
        concat!("user_id IN ", earners!()),
        "$2"
    );
    Ok(Claims {
        rewards: told(fetch_all!(store, Wrong, REWARDS, campaign, MOST_WRONG)?),
        withdrawals: told(fetch_all!(store, Wrong, WITHDRAWALS, campaign, MOST_WRONG)?),
        wallets: fetch_all!(store, WrongWallet, WALLETS, campaign, MOST_WRONG)?.into_iter().map(wallet).collect(),
    })
}

fn told(rows: Vec<Wrong>) -> Vec<String> {
    let tell = |(what, level, state, fen): Wrong| {
        let what = what.unwrap_or_else(|| "nothing named".to_owned());
        let level = level.map(|level| format!(", level {level}")).unwrap_or_default();
        let fen = fen.map_or_else(|| "nothing".to_owned(), |fen| format!("{fen} fen standing"));
        format!("{what}{level} is {state}, the ledger has {fen}")
    };
    rows.into_iter().map(tell).collect()
}

fn wallet((user, available, debt, withdrawing, open): WrongWallet) -> String {
    format!("{user} has {available} fen, owes {}, and {withdrawing} are on their way, withdrawals say {open}", -debt)
}
