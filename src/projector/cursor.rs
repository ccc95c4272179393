//! The cursor of a campaign: up to where SQL has its log, and who may write to it.

use crate::clock::UnixMs;
use crate::id::CampaignId;
use crate::store::{Store, StoreError, Tx, execute, fetch_optional};

/// A campaign's row in `cursors`.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Cursor {
    /// The campaign's kind, which names its program.
    pub kind: String,
    /// The epoch that is served, or being recovered for.
    pub epoch: i64,
    /// Sequence of the last op that SQL has.
    pub seq: i64,
    /// The log's hash there.
    pub hash: String,
    /// `serving`, `recovering`, `frozen` (waits for an operator) or `archived`.
    pub state: String,
    /// When it last moved, Unix ms.
    pub updated_at: i64,
}

impl Cursor {
    /// Reads it.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn read(store: &Store, campaign: CampaignId) -> Result<Option<Self>, StoreError> {
        const READ: &str = "SELECT kind, epoch, seq, hash, state, updated_at FROM cursors WHERE campaign_id = $1";
        fetch_optional!(store, Self, READ, campaign)
    }

    /// Makes the cursor of a campaign that was never published. A repeat changes nothing.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn create(store: &Store, campaign: CampaignId, kind: &str, now: UnixMs) -> Result<(), StoreError> {
        const CREATE: &str = "INSERT INTO cursors (campaign_id, kind, epoch, seq, hash, state, updated_at) \
                              VALUES ($1, $2, 0, 0, '', 'recovering', $3) ON CONFLICT (campaign_id) DO NOTHING";
        execute!(store, CREATE, campaign, kind, now.get()).map(|_made| ())
    }

    /// Moves the log place, if the cursor is still this one.
    pub(super) async fn advance(&self, tx: &mut Tx, campaign: CampaignId, to: &Self) -> Result<bool, StoreError> {
        const ADVANCE: &str = "UPDATE cursors SET seq = $1, hash = $2, updated_at = $3 \
                               WHERE campaign_id = $4 AND epoch = $5 AND seq = $6 AND hash = $7 AND state = $8";
        let moved = execute!(tx, ADVANCE, to.seq, &to.hash, to.updated_at, campaign, self.epoch, self.seq, &self.hash, &self.state)?;
        Ok(moved == 1)
    }

    /// Changes epoch and state, if the cursor is still this one; answers the new cursor.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn turn(
        &self,
        store: &Store,
        campaign: CampaignId,
        epoch: i64,
        state: &str,
        now: UnixMs,
    ) -> Result<Option<Self>, StoreError> {
        let mut tx = store.begin().await?;
        let turned = self.turn_in(&mut tx, campaign, epoch, state, now).await?;
        tx.commit().await?;
        Ok(turned)
    }

    /// The same inside a transaction.
    pub(super) async fn turn_in(
        &self,
        tx: &mut Tx,
        campaign: CampaignId,
        epoch: i64,
        state: &str,
        now: UnixMs,
    ) -> Result<Option<Self>, StoreError> {
        const TURN: &str = "UPDATE cursors SET epoch = $1, state = $2, updated_at = $3 \
                            WHERE campaign_id = $4 AND epoch = $5 AND seq = $6 AND hash = $7 AND state = $8 AND updated_at = $9";
        let turned = execute!(tx, TURN, epoch, state, now.get(), campaign, self.epoch, self.seq, &self.hash, &self.state, self.updated_at)?;
        Ok((turned == 1).then(|| Self { epoch, state: state.to_owned(), updated_at: now.get(), ..self.clone() }))
    }
}
