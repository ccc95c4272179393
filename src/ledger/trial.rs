//! The trial balance: do all accounts together make zero, is each the sum of its transfers, and do rewards and withdrawals say the same?

use serde::Serialize;

use super::claims;
use crate::id::CampaignId;
use crate::money::Fen;
use crate::store::{Store, StoreError, fetch_all, fetch_one};

/// Wrong accounts that are told.
const MOST_WRONG: i64 = 100;

/// All accounts of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Total {
    /// The kind's word.
    pub kind: String,
    /// How many there are.
    pub accounts: i64,
    /// What they have together.
    pub balance_fen: Fen,
}

/// A trial balance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trial {
    /// How many transfers there are.
    pub transfers: i64,
    /// By kind of account.
    pub totals: Vec<Total>,
    /// Accounts whose balance is not the sum of their transfers, at most a hundred.
    pub wrong: Vec<String>,
    /// Rewards, withdrawals and users' balances that the ledger contradicts, at most a hundred each.
    pub contradicted: Vec<String>,
}

impl Trial {
    /// The sum of all balances: zero.
    #[must_use]
    pub fn sum(&self) -> Fen {
        self.totals.iter().fold(Fen::ZERO, |sum, total| sum.checked_add(total.balance_fen).unwrap_or(Fen::new(i64::MAX)))
    }

    /// Whether the books balance by themselves.
    #[must_use]
    pub fn balances(&self) -> bool {
        self.sum() == Fen::ZERO && self.wrong.is_empty()
    }

    /// Whether they do, and have what rewards and withdrawals say.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.balances() && self.contradicted.is_empty()
    }
}

type Wrong = (String, Option<i64>, Option<i64>);

/// Balances the books of everything. Reads every transfer.
///
/// # Errors
/// Those of the database.
pub async fn of_all(store: &Store) -> Result<Trial, StoreError> {
    const WRONG: &str = "WITH sums AS (SELECT id, CAST(SUM(fen) AS BIGINT) AS fen FROM ( \
                         SELECT from_account AS id, -amount_fen AS fen FROM transfers UNION ALL SELECT to_account, amount_fen FROM transfers) AS moved \
                         GROUP BY id) \
                         SELECT accounts.id, accounts.balance_fen, sums.fen FROM accounts LEFT JOIN sums ON sums.id = accounts.id \
                         WHERE accounts.balance_fen <> COALESCE(sums.fen, 0) \
                         UNION ALL SELECT sums.id, NULL, sums.fen FROM sums \
                         WHERE NOT EXISTS (SELECT 1 FROM accounts WHERE accounts.id = sums.id) LIMIT $1";
    const TOTALS: &str = "SELECT kind, COUNT(*) AS accounts, CAST(SUM(balance_fen) AS BIGINT) AS balance_fen FROM accounts \
                          GROUP BY kind ORDER BY kind";
    let totals = fetch_all!(store, Total, TOTALS)?;
    let wrong = fetch_all!(store, Wrong, WRONG, MOST_WRONG)?;
    let (transfers,) = fetch_one!(store, (i64,), "SELECT COUNT(*) FROM transfers")?;
    let claims = claims::of_all(store).await?;
    let contradicted = [claims.rewards, claims.withdrawals, claims.wallets].concat();
    Ok(Trial { transfers, totals, wrong: wrong.into_iter().map(tell).collect(), contradicted })
}

/// The accounts that a campaign's transfers touched, and whose balance is not the sum of all their transfers.
///
/// # Errors
/// Those of the database.
pub async fn of_campaign(store: &Store, campaign: CampaignId) -> Result<Vec<String>, StoreError> {
    const WRONG: &str = "WITH touched AS (SELECT from_account AS id FROM transfers WHERE campaign_id = $1 \
                         UNION SELECT to_account FROM transfers WHERE campaign_id = $1), \
                         owners AS (SELECT DISTINCT accounts.owner FROM touched JOIN accounts ON accounts.id = touched.id WHERE accounts.owner <> $1), \
                         own AS (SELECT * FROM transfers WHERE campaign_id = $1 AND user_id IS NULL UNION ALL \
                         SELECT transfers.* FROM owners JOIN transfers ON transfers.user_id = owners.owner), \
                         sums AS (SELECT id, CAST(SUM(fen) AS BIGINT) AS fen FROM ( \
                         SELECT from_account AS id, -amount_fen AS fen FROM own UNION ALL SELECT to_account, amount_fen FROM own) AS moved \
                         GROUP BY id) \
                         SELECT touched.id, accounts.balance_fen, sums.fen FROM touched \
                         LEFT JOIN accounts ON accounts.id = touched.id LEFT JOIN sums ON sums.id = touched.id \
                         WHERE accounts.balance_fen IS NULL OR accounts.balance_fen <> COALESCE(sums.fen, 0) LIMIT $2";
    Ok(fetch_all!(store, Wrong, WRONG, campaign, MOST_WRONG)?.into_iter().map(tell).collect())
}

fn tell((id, balance, sum): Wrong) -> String {
    let fen = |fen: Option<i64>| fen.map_or_else(|| "nothing".to_owned(), |fen| format!("{fen} fen"));
    format!("{id} has {}, its transfers make {}", fen(balance), fen(sum))
}
