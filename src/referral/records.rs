//! Bonds and rewards in SQL, for lists.

use std::collections::HashMap;

use super::view::{InviteeView, RewardView, Standing};
use crate::clock::UnixMs;
use crate::id::{CampaignId, UserId};
use crate::identity::names::masked;
use crate::money::Fen;
use crate::store::{Store, StoreError, fetch_all, fetch_optional};

/// Masked names by user.
type Names = HashMap<UserId, String>;

/// Campaigns in which one user's invitees of the second level are looked for.
const MOST_CAMPAIGNS: i64 = 500;

/// A reward as SQL has it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Reward {
    /// Its id.
    pub id: String,
    /// The campaign.
    pub campaign_id: CampaignId,
    /// The order that earned it.
    pub order_number: String,
    /// 1 or 2.
    pub level: i64,
    /// Whom it rewards.
    pub user_id: UserId,
    /// Who bought.
    pub buyer_id: UserId,
    /// Its word in SQL.
    pub state: String,
    /// Why it was refused, if it was.
    pub reason: Option<String>,
    /// What was granted or refused.
    pub amount_fen: Fen,
    /// What went back.
    pub reversed_fen: Fen,
    /// When the freeze is over.
    pub available_at: Option<UnixMs>,
    /// When it was granted or refused.
    pub created_at: UnixMs,
    /// When it last changed.
    pub updated_at: UnixMs,
    /// The definition's version it was granted under.
    pub version: i64,
}

impl Reward {
    /// As its owner sees it.
    #[must_use]
    pub fn view(self, names: &Names) -> RewardView {
        RewardView {
            state: match self.state.as_str() {
                "available" => Standing::Available,
                "reversed" => Standing::Reversed,
                _ => Standing::Frozen,
            },
            buyer: name(names, self.buyer_id),
            id: self.id,
            campaign_id: self.campaign_id,
            order_number: self.order_number,
            level: self.level,
            amount_fen: self.amount_fen,
            reversed_fen: self.reversed_fen,
            available_at: self.available_at,
            created_at: self.created_at,
        }
    }
}

/// The masked name of a user.
#[must_use]
pub fn name(names: &Names, user: UserId) -> String {
    names.get(&user).cloned().unwrap_or_else(|| masked(""))
}

/// A user's rewards, newest first.
///
/// # Errors
/// Those of the database.
pub async fn rewards_of(store: &Store, user: UserId, (before, id): (i64, &str), fetch: i64) -> Result<Vec<Reward>, StoreError> {
    const MINE: &str = "SELECT * FROM rewards WHERE user_id = $1 AND state <> 'refused' AND (created_at, id) < ($2, $3) \
                        ORDER BY created_at DESC, id DESC LIMIT $4";
    fetch_all!(store, Reward, MINE, user, before, id, fetch)
}

/// Which rewards of a campaign to list; empty: any, but those refused only when asked for.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Their state.
    pub state: String,
    /// Whom they reward.
    pub user: String,
    /// Of which order.
    pub order: String,
    /// Of which item.
    pub sku: String,
    /// Granted at or after, Unix ms.
    pub from: i64,
    /// Granted before, Unix ms.
    pub to: i64,
}

/// A list's statement, led by what it is found by: the databases cannot choose an index for a condition that may say nothing.
macro_rules! rewards_by {
    ($lead:literal) => {
        concat!(
            "SELECT * FROM rewards WHERE ",
            $lead,
            " AND (state = $2 OR ($2 = '' AND state <> 'refused')) AND ($3 = '' OR user_id = $3) AND ($4 = '' OR order_number = $4) \
             AND ($5 = '' OR EXISTS (SELECT 1 FROM sales WHERE sales.number = rewards.order_number AND sales.sku = $5)) \
             AND created_at >= $6 AND created_at < $7 AND (created_at, id) < ($8, $9) ORDER BY created_at DESC, id DESC LIMIT $10"
        )
    };
}

impl Filter {
    /// The statement whose index leaves the fewest rows to look at; `campaign_id || ''` is no column, so no index of it is taken. A state
    /// or an item alone has no index: the list goes through the campaign's newest rewards.
    const fn statement(&self) -> &'static str {
        if !self.order.is_empty() {
            rewards_by!("campaign_id = $1 AND order_number = $4")
        } else if !self.user.is_empty() {
            rewards_by!("user_id = $3 AND campaign_id || '' = $1")
        } else {
            rewards_by!("campaign_id = $1")
        }
    }
}

/// A campaign's rewards, newest first.
///
/// # Errors
/// Those of the database.
pub async fn rewards_in(
    store: &Store,
    campaign: CampaignId,
    filter: &Filter,
    (before, id): (i64, &str),
    fetch: i64,
) -> Result<Vec<Reward>, StoreError> {
    let (sql, Filter { state, user, order, sku, from, to }) = (filter.statement(), filter);
    fetch_all!(store, Reward, sql, campaign, state, user, order, sku, from, to, before, id, fetch)
}

/// Somebody who was invited, as SQL has it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Invitee {
    /// The campaign.
    pub campaign_id: CampaignId,
    /// Who.
    pub user_id: UserId,
    /// 1 or 2.
    pub level: i64,
    /// Since when.
    pub bound_at: UnixMs,
    /// Until when.
    pub expires_at: Option<UnixMs>,
    /// What came of it.
    pub earned_fen: Fen,
}

impl Invitee {
    /// The place in the list.
    #[must_use]
    pub fn place(&self) -> (i64, String) {
        (self.bound_at.get(), format!("{}{}", self.user_id, self.campaign_id))
    }

    /// As the inviter sees it.
    #[must_use]
    pub fn view(self, names: &Names) -> InviteeView {
        InviteeView {
            campaign_id: self.campaign_id,
            name: name(names, self.user_id),
            level: self.level,
            bound_at: self.bound_at,
            expires_at: self.expires_at,
            earned_fen: self.earned_fen,
        }
    }
}

/// The campaigns in which somebody has invited.
///
/// # Errors
/// Those of the database.
pub async fn invited_in(store: &Store, user: UserId) -> Result<Vec<CampaignId>, StoreError> {
    const INVITED: &str = "SELECT DISTINCT campaign_id FROM bonds WHERE inviter_id = $1 ORDER BY campaign_id LIMIT $2";
    Ok(fetch_all!(store, (CampaignId,), INVITED, user, MOST_CAMPAIGNS)?.into_iter().map(|(campaign,)| campaign).collect())
}

/// Whom a user has invited: of either level so many as the page takes are kept, found along an index from the user down (`CROSS JOIN` says so to
/// SQLite), and only what the page shows is added up.
macro_rules! invitees_by {
    ($lead:literal, $first:literal) => {
        concat!(
            "SELECT page.*, CAST(COALESCE((SELECT SUM(amount_fen - reversed_fen) FROM rewards WHERE rewards.user_id = $1 \
             AND rewards.buyer_id = page.user_id AND rewards.campaign_id = page.campaign_id AND rewards.state <> 'refused'), 0) AS BIGINT) \
             AS earned_fen FROM (SELECT * FROM (SELECT campaign_id, user_id, CAST(1 AS BIGINT) AS level, bound_at, expires_at FROM bonds WHERE ",
            $lead,
            " AND ($2 = '' OR campaign_id = $2) AND (expires_at IS NULL OR expires_at > $4) AND (bound_at, user_id, campaign_id) < ($5, $6, $7) \
             ORDER BY bound_at DESC, user_id DESC, campaign_id DESC LIMIT $8) AS level1 \
             UNION ALL SELECT * FROM (SELECT second.campaign_id, second.user_id, CAST(2 AS BIGINT), second.bound_at, second.expires_at \
             FROM bonds AS first CROSS JOIN bonds AS second WHERE second.inviter_id = first.user_id AND second.campaign_id = first.campaign_id AND ",
            $first,
            " AND ($2 = '' OR first.campaign_id = $2) AND REPLACE($3, first.campaign_id, '') <> $3 \
             AND (first.expires_at IS NULL OR first.expires_at > $4) AND (second.expires_at IS NULL OR second.expires_at > $4) \
             AND (second.bound_at, second.user_id, second.campaign_id) < ($5, $6, $7) \
             ORDER BY second.bound_at DESC, second.user_id DESC, second.campaign_id DESC LIMIT $8) AS level2 \
             ORDER BY bound_at DESC, user_id DESC, campaign_id DESC LIMIT $8) AS page \
             ORDER BY bound_at DESC, user_id DESC, campaign_id DESC"
        )
    };
}

/// Whom a user has invited, and in the campaigns that `two_levels` names, whom they have; those bound now, newest first.
///
/// # Errors
/// Those of the database.
pub async fn invitees_of(
    store: &Store,
    user: UserId,
    (campaign, two_levels, now): (&str, &str, UnixMs),
    (before, place): (i64, &str),
    fetch: i64,
) -> Result<Vec<Invitee>, StoreError> {
    const ANYWHERE: &str = invitees_by!("inviter_id = $1", "first.inviter_id = $1");
    const IN_ONE: &str = invitees_by!("inviter_id = $1 AND campaign_id = $2", "first.inviter_id = $1 AND first.campaign_id = $2");
    let sql = if campaign.is_empty() { ANYWHERE } else { IN_ONE };
    let (id, of) = place.find("cmp_").map_or((place, ""), |at| place.split_at(at));
    fetch_all!(store, Invitee, sql, user, campaign, two_levels, now, before, id, of, fetch)
}

/// A bond as SQL has it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Bond {
    /// The invited.
    pub user_id: UserId,
    /// Who invited.
    pub inviter_id: UserId,
    /// Since when.
    pub bound_at: UnixMs,
    /// Until when.
    pub expires_at: Option<UnixMs>,
    /// The definition's version it was made under.
    pub version: i64,
}

/// A bond, and how many the invited has invited.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Branch {
    /// The bond.
    #[sqlx(flatten)]
    pub bond: Bond,
    /// How many.
    pub invited: i64,
}

macro_rules! bonds_by {
    ($lead:literal) => {
        concat!(
            "SELECT user_id, inviter_id, bound_at, expires_at, version FROM bonds WHERE ",
            $lead,
            " AND ($2 = '' OR user_id = $2) AND ($3 = '' OR inviter_id = $3) AND bound_at >= $4 AND bound_at < $5 \
             AND (bound_at, user_id) < ($6, $7) ORDER BY bound_at DESC, user_id DESC LIMIT $8"
        )
    };
}

/// A campaign's bonds, newest first; those of this user, and those whom it invited, if one is named. Those past their time too.
///
/// # Errors
/// Those of the database.
pub async fn bonds_in(
    store: &Store,
    campaign: CampaignId,
    (user, inviter): (&str, &str),
    (from, to): (i64, i64),
    (before, id): (i64, &str),
    fetch: i64,
) -> Result<Vec<Bond>, StoreError> {
    let sql = match (user, inviter) {
        ("", "") => bonds_by!("campaign_id = $1"),
        ("", _) => bonds_by!("campaign_id = $1 AND inviter_id = $3"),
        (_, _) => bonds_by!("campaign_id = $1 AND user_id = $2"),
    };
    fetch_all!(store, Bond, sql, campaign, user, inviter, from, to, before, id, fetch)
}

/// The living bond of a user.
///
/// # Errors
/// Those of the database.
pub async fn bond_of(store: &Store, campaign: CampaignId, user: UserId, now: UnixMs) -> Result<Option<Bond>, StoreError> {
    const BOND: &str = "SELECT user_id, inviter_id, bound_at, expires_at, version FROM bonds \
                        WHERE campaign_id = $1 AND user_id = $2 AND (expires_at IS NULL OR expires_at > $3)";
    fetch_optional!(store, Bond, BOND, campaign, user, now)
}

/// Since when and to whom a user was bound at a time, whatever became of that bond since.
///
/// # Errors
/// Those of the database.
pub async fn bond_at(store: &Store, campaign: CampaignId, user: UserId, at: UnixMs) -> Result<Option<(UnixMs, UserId)>, StoreError> {
    const STOOD: &str = "SELECT at, inviter_id FROM (SELECT at, inviter_id, expires_at FROM bond_history \
                         WHERE user_id = $1 AND campaign_id = $2 AND at <= $3 ORDER BY at DESC, seq DESC LIMIT 1) AS last \
                         WHERE inviter_id IS NOT NULL AND (expires_at IS NULL OR expires_at > $3)";
    fetch_optional!(store, (UnixMs, UserId), STOOD, user, campaign, at)
}

/// Whom a user has invited in a campaign and is bound now, newest first, each with how many they have invited.
///
/// # Errors
/// Those of the database.
pub async fn invited_by(
    store: &Store,
    campaign: CampaignId,
    (user, now): (UserId, UnixMs),
    (before, id): (i64, &str),
    fetch: i64,
) -> Result<Vec<Branch>, StoreError> {
    const INVITED: &str = "SELECT user_id, inviter_id, bound_at, expires_at, version, (SELECT COUNT(*) FROM bonds AS own \
                           WHERE own.inviter_id = bonds.user_id AND own.campaign_id = bonds.campaign_id \
                           AND (own.expires_at IS NULL OR own.expires_at > $3)) AS invited FROM bonds \
                           WHERE campaign_id = $1 AND inviter_id = $2 AND (expires_at IS NULL OR expires_at > $3) \
                           AND (bound_at, user_id) < ($4, $5) ORDER BY bound_at DESC, user_id DESC LIMIT $6";
    fetch_all!(store, Branch, INVITED, campaign, user, now, before, id, fetch)
}

/// One change of a bond.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Change {
    /// Whom the user was bound to from then on; nobody.
    pub inviter_id: Option<UserId>,
    /// Whom before.
    pub previous_id: Option<UserId>,
    /// The operator's key, if it was an operator.
    pub actor: Option<String>,
    /// Why, if it was an operator.
    pub reason: Option<String>,
    /// When.
    pub at: UnixMs,
}

/// The last changes of a user's bond, newest first.
///
/// # Errors
/// Those of the database.
pub async fn history(store: &Store, campaign: CampaignId, user: UserId, limit: i64) -> Result<Vec<Change>, StoreError> {
    const HISTORY: &str = "SELECT inviter_id, previous_id, actor, reason, at FROM bond_history WHERE user_id = $2 AND campaign_id = $1 \
                           ORDER BY seq DESC LIMIT $3";
    fetch_all!(store, Change, HISTORY, campaign, user, limit)
}
