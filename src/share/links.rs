//! Share links in SQL.

use std::sync::LazyLock;

use super::token::ShareToken;
use crate::clock::UnixMs;
use crate::id::{CampaignId, TargetId, UserId};
use crate::store::{BulkRows, Store, StoreError, Tx, bulk_row, execute, fetch_optional};

/// A link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its token.
    pub token: ShareToken,
    /// The campaign it opens.
    pub campaign_id: CampaignId,
    /// Who shared it; `None` for the campaign's own link.
    pub sharer: Option<UserId>,
    /// The room or chain it leads to, if any.
    pub target: Option<TargetId>,
    /// The link by which the sharer came.
    pub parent: Option<ShareToken>,
    /// Where it was shared, in the client's words.
    pub channel: Option<String>,
    /// The sharer's invite code in the campaign, if there is one: whoever comes by the link can be bound by it. Looked up, not kept here.
    pub invite_code: Option<String>,
    /// When.
    pub created_at: UnixMs,
    /// When it was taken back.
    pub revoked_at: Option<UnixMs>,
}

type Row = (String, Option<String>, Option<String>, Option<String>, Option<String>, Option<String>, i64, Option<i64>);

/// Keeps a new link.
///
/// # Errors
/// When the database does not do it.
pub async fn insert(tx: &mut Tx, link: &Link) -> Result<(), StoreError> {
    execute!(
        tx,
        "INSERT INTO shares (token, campaign_id, sharer_user_id, target_id, parent_token, channel, created_at, visits) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, 0)",
        link.token.to_string(),
        link.campaign_id.to_string(),
        link.sharer.map(|id| id.to_string()),
        link.target.map(|id| id.to_string()),
        link.parent.map(|token| token.to_string()),
        link.channel.as_deref(),
        link.created_at.get(),
    )?;
    Ok(())
}

/// [`insert`] in a transaction of its own.
///
/// # Errors
/// When the database does not do it.
pub async fn keep(store: &Store, link: &Link) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    insert(&mut tx, link).await?;
    tx.commit().await
}

/// The link of a token.
///
/// # Errors
/// When the database does not answer.
pub async fn find(store: &Store, token: ShareToken) -> Result<Option<Link>, StoreError> {
    let row = fetch_optional!(
        store,
        Row,
        "SELECT shares.campaign_id, sharer_user_id, target_id, parent_token, channel, invites.code, shares.created_at, revoked_at FROM shares \
         LEFT JOIN invites ON invites.campaign_id = shares.campaign_id AND invites.user_id = shares.sharer_user_id WHERE shares.token = $1",
        token.to_string(),
    )?;
    Ok(row.and_then(|(campaign_id, sharer, target, parent, channel, invite_code, created_at, revoked_at)| {
        Some(Link {
            token,
            campaign_id: campaign_id.parse().ok()?,
            sharer: sharer.and_then(|id| id.parse().ok()),
            target: target.and_then(|id| id.parse().ok()),
            parent: parent.and_then(|token| token.parse().ok()),
            channel,
            invite_code,
            created_at: UnixMs::new(created_at),
            revoked_at: revoked_at.map(UnixMs::new),
        })
    }))
}

/// The campaign's own link (nobody's share), the oldest if there are several.
///
/// # Errors
/// When the database does not answer.
pub async fn own(store: &Store, campaign: CampaignId) -> Result<Option<ShareToken>, StoreError> {
    let row = fetch_optional!(
        store,
        (String,),
        "SELECT token FROM shares WHERE campaign_id = $1 AND sharer_user_id IS NULL AND revoked_at IS NULL ORDER BY created_at, token LIMIT 1",
        campaign.to_string(),
    )?;
    Ok(row.and_then(|(token,)| token.parse().ok()))
}

/// Takes a link back; a repeat changes nothing.
///
/// # Errors
/// When the database does not do it.
pub async fn revoke(store: &Store, token: ShareToken, now: UnixMs) -> Result<(), StoreError> {
    execute!(store, "UPDATE shares SET revoked_at = $1 WHERE token = $2 AND revoked_at IS NULL", now.get(), token.to_string())?;
    Ok(())
}

/// Adds the counted visits of many links in one statement.
///
/// # Errors
/// When the database does not do it; then nothing was added.
pub async fn add_visits(store: &Store, counts: &[(ShareToken, i64)]) -> Result<(), StoreError> {
    bulk_row! {
        struct Count { token: String, visits: i64 }
    }
    static ADD: LazyLock<BulkRows<Count>> =
        LazyLock::new(|| BulkRows::over("UPDATE shares SET visits = shares.visits + r.visits FROM", "WHERE shares.token = r.token"));
    let rows: Vec<Count> = counts.iter().map(|(token, visits)| Count { token: token.to_string(), visits: *visits }).collect();
    let mut tx = store.begin().await?;
    ADD.write(&mut tx, &rows).await?;
    tx.commit().await
}
