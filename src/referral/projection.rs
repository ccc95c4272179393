//! The log's bonds and rewards, in SQL, and the transfers that move the rewards' money.

use std::sync::LazyLock;

use super::row::{BondRow, LevelRow, RewardState, SaleRow};
use crate::clock::UnixMs;
use crate::crypto::sha256_hex;
use crate::hot::entry::EventRef;
use crate::id::{CampaignId, NotAnId, UserId};
use crate::ledger::{Account, Kind, Transfer, post};
use crate::money::Fen;
use crate::projector::{Batch, Projection, Statements, batch, unreadable};
use crate::store::{BulkRows, StoreError, bulk_row};

/// Applies rows of `bonds` and `sales`, and the events of referral campaigns.
#[derive(Debug)]
pub struct ReferralProjection;

bulk_row! {
    struct Bond {
        campaign_id: CampaignId,
        user_id: UserId,
        inviter_id: UserId,
        bound_at: i64,
        expires_at: Option<i64>,
        version: i64,
        seq: i64,
    }
}

bulk_row! {
    struct Cut { campaign_id: CampaignId, user_id: UserId, seq: i64 }
}

bulk_row! {
    struct Change {
        campaign_id: CampaignId,
        seq: i64,
        user_id: UserId,
        inviter_id: Option<UserId>,
        previous_id: Option<UserId>,
        expires_at: Option<i64>,
        actor: Option<String>,
        reason: Option<String>,
        at: i64,
    }
}

bulk_row! {
    struct Reward {
        campaign_id: CampaignId,
        order_number: String,
        level: i64,
        id: String,
        user_id: UserId,
        buyer_id: UserId,
        state: &'static str,
        reason: Option<String>,
        amount_fen: i64,
        reversed_fen: i64,
        available_at: Option<i64>,
        created_at: i64,
        updated_at: i64,
        seq: i64,
        version: i64,
    }
}

static BONDS: LazyLock<BulkRows<Bond>> = LazyLock::new(|| {
    BulkRows::insert(
        "bonds",
        "ON CONFLICT (campaign_id, user_id) DO UPDATE SET inviter_id = excluded.inviter_id, bound_at = excluded.bound_at, \
         expires_at = excluded.expires_at, version = excluded.version, seq = excluded.seq WHERE excluded.seq > bonds.seq",
    )
});

static CUTS: LazyLock<BulkRows<Cut>> = LazyLock::new(|| {
    BulkRows::over(
        "DELETE FROM bonds WHERE EXISTS (SELECT 1 FROM",
        "WHERE r.campaign_id = bonds.campaign_id AND r.user_id = bonds.user_id AND r.seq > bonds.seq)",
    )
});

static HISTORY: LazyLock<BulkRows<Change>> =
    LazyLock::new(|| BulkRows::insert("bond_history", "ON CONFLICT (campaign_id, seq) DO NOTHING"));

static REWARDS: LazyLock<BulkRows<Reward>> = LazyLock::new(|| {
    BulkRows::insert(
        "rewards",
        "ON CONFLICT (campaign_id, order_number, level) DO UPDATE SET state = excluded.state, reversed_fen = excluded.reversed_fen, \
         available_at = excluded.available_at, updated_at = excluded.updated_at, seq = excluded.seq WHERE excluded.seq > rewards.seq",
    )
});

impl Projection for ReferralProjection {
    fn tables(&self) -> &'static [&'static str] {
        &["bonds", "sales"]
    }

    fn statements(&self, batch: &Batch<'_>, statements: &mut Statements) -> Result<(), StoreError> {
        let bonds = batch.table::<BondRow>("bonds").map(|read| {
            let (row, bond) = read?;
            bond_of(batch.campaign, &row, &bond).map_err(|error| unreadable(&error))
        });
        statements.add(&BONDS, &bonds.collect::<Result<Vec<_>, StoreError>>()?)?;
        let cut = batch.rows.iter().filter(|row| row.table == "bonds" && row.packed.is_empty());
        let cut = cut.map(|row| {
            let user_id = UserId::from_hot(row.field).map_err(|error| unreadable(&error))?;
            Ok(Cut { campaign_id: batch.campaign, user_id, seq: row.seq })
        });
        statements.add(&CUTS, &cut.collect::<Result<Vec<_>, StoreError>>()?)?;
        let mut rewards = Vec::new();
        for read in batch.table::<SaleRow>("sales") {
            let (row, sale) = read?;
            for (level, own) in [(1, &sale.level1), (2, &sale.level2)] {
                rewards.extend(reward_of(batch.campaign, &row, &sale, (level, own)).map_err(|error| unreadable(&error))?);
            }
        }
        statements.add(&REWARDS, &rewards)?;
        let told = |read: fn(CampaignId, i64, &EventRef<'_>) -> Option<Result<Change, NotAnId>>| {
            batch.events.iter().filter_map(move |(at, event)| read(batch.campaign, *at, event))
        };
        let changes = told(change_of).collect::<Result<Vec<_>, _>>().map_err(|error| unreadable(&error))?;
        statements.add(&HISTORY, &changes)?;
        let transfers = batch.events.iter().filter_map(|(at, event)| transfer_of(batch.campaign, *at, event));
        post(statements, &transfers.collect::<Result<Vec<_>, _>>()?)
    }
}

fn bond_of(campaign: CampaignId, row: &batch::Row<'_>, bond: &BondRow) -> Result<Bond, NotAnId> {
    Ok(Bond {
        campaign_id: campaign,
        user_id: UserId::from_hot(row.field)?,
        inviter_id: UserId::from_hot(&bond.inviter)?,
        bound_at: bond.bound_at,
        expires_at: (bond.expires_at > 0).then_some(bond.expires_at),
        version: bond.version,
        seq: row.seq,
    })
}

/// The state in SQL of a level that earned something or would have, and why it was refused.
#[must_use]
pub fn shown(level: &LevelRow) -> Option<(&'static str, Option<&'static str>)> {
    match level.state {
        RewardState::None => None,
        RewardState::Frozen | RewardState::Available if level.back == level.fen => Some(("reversed", None)),
        RewardState::Frozen => Some(("frozen", None)),
        RewardState::Available => Some(("available", None)),
        RewardState::OverBudget => Some(("refused", Some("over_budget"))),
        RewardState::OverDailyBudget => Some(("refused", Some("over_daily_budget"))),
    }
}

fn reward_of(
    campaign: CampaignId,
    row: &batch::Row<'_>,
    sale: &SaleRow,
    (level, own): (i64, &LevelRow),
) -> Result<Option<Reward>, NotAnId> {
    let Some((state, reason)) = shown(own) else { return Ok(None) };
    let hash = sha256_hex(format!("{campaign} {level} {}", row.field).as_bytes());
    Ok(Some(Reward {
        campaign_id: campaign,
        order_number: row.field.to_owned(),
        level,
        id: format!("reward_{}", hash.get(..24).unwrap_or_default()),
        user_id: UserId::from_hot(&own.user)?,
        buyer_id: UserId::from_hot(&sale.buyer)?,
        state,
        reason: reason.map(str::to_owned),
        amount_fen: own.fen,
        reversed_fen: own.back,
        available_at: (sale.fulfilled_at > 0 && own.state.granted()).then(|| sale.fulfilled_at.saturating_add(sale.freeze)),
        created_at: sale.reported_at,
        updated_at: row.at,
        seq: row.seq,
        version: sale.version,
    }))
}

/// A change of a bond. An op makes at most one.
fn change_of(campaign: CampaignId, at: i64, event: &EventRef<'_>) -> Option<Result<Change, NotAnId>> {
    if !matches!(event.1, "referral.bound" | "referral.unbound") {
        return None;
    }
    let user = |name| event.text(name).map(UserId::from_hot).transpose();
    let read = || {
        Ok(Change {
            campaign_id: campaign,
            seq: event.0,
            user_id: user("user")?.ok_or(NotAnId)?,
            inviter_id: user("inviter")?,
            previous_id: user("previous")?,
            expires_at: event.number("expires_at"),
            actor: event.text("by").map(str::to_owned),
            reason: event.text("reason").map(str::to_owned),
            at,
        })
    };
    Some(read())
}

/// What an event of a reward tells.
#[derive(Debug, serde::Deserialize)]
struct Told<'a> {
    sale: &'a str,
    level: i64,
    user: &'a str,
    fen: i64,
    #[serde(default)]
    was: Option<&'a str>,
}

/// The money that an event of a reward moves.
fn transfer_of(campaign: CampaignId, at: i64, event: &EventRef<'_>) -> Option<Result<Transfer, StoreError>> {
    let kind = match event.1 {
        "referral.rewarded" => Kind::RewardFrozen,
        "referral.reward_available" => Kind::RewardAvailable,
        "referral.reward_reversed" => Kind::RewardReversed,
        _ => return None,
    };
    Some(transfer((campaign, event.0), at, kind, event))
}

fn transfer((campaign, seq): (CampaignId, i64), at: i64, kind: Kind, event: &EventRef<'_>) -> Result<Transfer, StoreError> {
    let Told { sale, level, user, fen, was } = event.fields().map_err(|error| unreadable(&error))?;
    let user = UserId::from_hot(user).map_err(|error| unreadable(&error))?;
    let (of, frozen, available) = (Account::Rewards(campaign), Account::Frozen(user), Account::Available(user));
    let (from, to, step) = match (kind, was) {
        (Kind::RewardAvailable, _) => (frozen, available, ":available".to_owned()),
        // What went back in one op went back once.
        (Kind::RewardReversed, Some("frozen")) => (frozen, of, format!(":reversed:{seq}")),
        (Kind::RewardReversed, _) => (Account::Debt(user), of, format!(":reversed:{seq}")),
        _ => (of, frozen, String::new()),
    };
    Ok(Transfer {
        reference: format!("reward:{campaign}:{sale}:{level}{step}"),
        from,
        to,
        amount: Fen::new(fen),
        kind,
        at: UnixMs::new(at),
        campaign: Some(campaign),
        order_number: Some(sale.to_owned()),
        level: Some(level),
        withdrawal: None,
    })
}
