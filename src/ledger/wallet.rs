//! What a user has.

use super::account::{Account, AccountKind};
use super::post;
use crate::id::{CampaignId, UserId};
use crate::money::Fen;
use crate::store::{Store, StoreError, Tx, fetch_all};

/// A user's balances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wallet {
    /// What may be taken out.
    pub available: Fen,
    /// What is owed; zero or less. Of this and `available` one is zero.
    pub debt: Fen,
    /// Rewards that may not be taken out yet.
    pub frozen: Fen,
    /// On its way out.
    pub withdrawing: Fen,
    /// Taken out.
    pub withdrawn: Fen,
}

/// Nobody earns in more campaigns.
const MOST_CAMPAIGNS: i64 = 10_000;

const BALANCES: &str = "SELECT kind, balance_fen FROM accounts \
                        WHERE id IN ('available:' || $1, 'debt:' || $1, 'frozen:' || $1, 'withdrawing:' || $1, 'withdrawn:' || $1)";

type Row = (String, Fen);

impl Wallet {
    fn of(rows: &[Row]) -> Self {
        let of = |kind: AccountKind| rows.iter().find(|(word, _)| word == kind.word()).map_or(Fen::ZERO, |(_, balance)| *balance);
        Self {
            available: of(AccountKind::Available),
            debt: of(AccountKind::Debt),
            frozen: of(AccountKind::Frozen),
            withdrawing: of(AccountKind::Withdrawing),
            withdrawn: of(AccountKind::Withdrawn),
        }
    }

    /// What may be taken out less what is owed: below zero while a debt stands.
    #[must_use]
    pub const fn disposable(&self) -> Fen {
        Fen::new(self.available.get().saturating_add(self.debt.get()))
    }
}

/// A user's balances, all of one moment.
///
/// # Errors
/// Those of the database.
pub async fn wallet(store: &Store, user: UserId) -> Result<Wallet, StoreError> {
    Ok(Wallet::of(&fetch_all!(store, Row, BALANCES, user)?))
}

/// Locks a user's accounts until the transaction ends and reads them: what is decided on these balances holds.
///
/// # Errors
/// Those of the database.
pub async fn lock(tx: &mut Tx, user: UserId) -> Result<Wallet, StoreError> {
    post::lock(tx, &[Account::Available(user)]).await?;
    Ok(Wallet::of(&fetch_all!(&mut *tx, Row, BALANCES, user)?))
}

/// The campaigns in which a user earned something, with the version of their definitions.
///
/// # Errors
/// Those of the database.
pub async fn earned_in(store: &Store, user: UserId) -> Result<Vec<(CampaignId, i64)>, StoreError> {
    // From campaign to campaign along the index, past the user's lines in each.
    const CAMPAIGNS: &str = "WITH RECURSIVE earned (id) AS (SELECT MIN(campaign_id) FROM transfers WHERE user_id = $1 AND campaign_id IS NOT NULL \
        UNION ALL SELECT (SELECT MIN(campaign_id) FROM transfers WHERE user_id = $1 AND campaign_id IS NOT NULL AND campaign_id > earned.id) \
        FROM earned WHERE earned.id IS NOT NULL) SELECT campaigns.id, campaigns.version FROM earned JOIN campaigns ON campaigns.id = earned.id LIMIT $2";
    fetch_all!(store, (CampaignId, i64), CAMPAIGNS, user, MOST_CAMPAIGNS)
}
