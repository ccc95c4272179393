//! The numbers of a referral campaign.

use std::collections::HashMap;

use serde::Serialize;

use super::records::name;
use super::teller::Of;
use crate::app::App;
use crate::clock::UnixMs;
use crate::http::problem::Problem;
use crate::id::{CampaignId, UserId};
use crate::money::Fen;
use crate::store::{fetch_all, fetch_one};

/// Inviters who are named.
const TOP: i64 = 10;

/// Rewards of one state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RewardSum {
    /// How many.
    #[schema(example = 40)]
    count: i64,
    /// What they come to, less what went back of them; of those reversed, what went back; of those refused, what they would have been.
    fen: Fen,
}

/// Rewards by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RewardSums {
    /// Their freeze is not over.
    frozen: RewardSum,
    /// Their freeze is over.
    available: RewardSum,
    /// All of them went back.
    reversed: RewardSum,
    /// They did not fit into a budget.
    refused: RewardSum,
}

/// An inviter with what came of the invitations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TopInviter {
    /// Who.
    user_id: UserId,
    /// The masked name.
    #[schema(example = "张**")]
    name: String,
    /// Whom they have invited and who is bound now.
    #[schema(example = 12)]
    invitees: i64,
    /// Orders that earned them something, of either level.
    #[schema(example = 30)]
    orders: i64,
    /// What these came to, less what went back.
    earned_fen: Fen,
}

/// The numbers of a referral campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ReferralFigures {
    /// Shoppers with an invite code.
    #[schema(example = 80)]
    inviters: i64,
    /// Shoppers who are bound now.
    #[schema(example = 250)]
    bonds: i64,
    /// Orders that earned a reward, or would have but for a budget.
    #[schema(example = 120)]
    orders: i64,
    /// Rewards by state.
    rewards: RewardSums,
    /// What all rewards come to, less what went back: what the budget counts.
    rewarded_fen: Fen,
    /// The whole budget; null: no bound.
    #[schema(required = true)]
    budget_fen: Option<Fen>,
    /// The budget of a day (UTC+8); null: no bound.
    #[schema(required = true)]
    daily_budget_fen: Option<Fen>,
    /// Shoppers bound now who paid their first order of all after they were bound.
    #[schema(example = 90)]
    new_customers: i64,
    /// What one of them cost in rewards, rounded down; null without any.
    #[schema(required = true)]
    cost_per_new_customer_fen: Option<Fen>,
    /// The ten who earned most.
    top_inviters: Vec<TopInviter>,
}

/// Counts a referral campaign.
///
/// # Errors
/// When the database does not answer.
pub async fn figures(
    app: &App,
    id: CampaignId,
    (budget_fen, daily_budget_fen): (Option<Fen>, Option<Fen>),
) -> Result<ReferralFigures, Problem> {
    const INVITERS: &str = "SELECT COUNT(*) FROM invites WHERE campaign_id = $1";
    const BONDS: &str = "SELECT COUNT(*), CAST(COALESCE(SUM(CASE WHEN users.first_paid_at >= bonds.bound_at THEN 1 ELSE 0 END), 0) AS BIGINT) \
                         FROM bonds LEFT JOIN users ON users.id = bonds.user_id \
                         WHERE bonds.campaign_id = $1 AND (bonds.expires_at IS NULL OR bonds.expires_at > $2)";
    const ORDERS: &str = "SELECT COUNT(DISTINCT order_number) FROM rewards WHERE campaign_id = $1";
    const REWARDS: &str = "SELECT state, COUNT(*), CAST(SUM(amount_fen) AS BIGINT), CAST(SUM(reversed_fen) AS BIGINT) FROM rewards \
                           WHERE campaign_id = $1 GROUP BY state";
    const INVITED: &str =
        "SELECT COUNT(*) FROM bonds WHERE campaign_id = $1 AND inviter_id = $2 AND (expires_at IS NULL OR expires_at > $3)";
    const BEST: &str = "SELECT user_id, COUNT(DISTINCT order_number), CAST(SUM(amount_fen - reversed_fen) AS BIGINT) AS earned FROM rewards \
                        WHERE campaign_id = $1 AND state <> 'refused' GROUP BY user_id ORDER BY earned DESC, user_id LIMIT $2";
    app.projector.all_caught_up().await;
    app.teller.caught_up(Of::Campaign(id)).await;
    let (store, now): (_, UnixMs) = (&app.store, app.clock.now());
    let (inviters,) = fetch_one!(store, (i64,), INVITERS, id)?;
    let (bonds, new_customers) = fetch_one!(store, (i64, i64), BONDS, id, now)?;
    let (orders,) = fetch_one!(store, (i64,), ORDERS, id)?;
    let (mut rewards, mut rewarded) = (RewardSums::default(), 0_i64);
    for (state, count, granted, back) in fetch_all!(store, (String, i64, i64, i64), REWARDS, id)? {
        let (sum, fen) = match state.as_str() {
            "frozen" => (&mut rewards.frozen, granted - back),
            "available" => (&mut rewards.available, granted - back),
            "reversed" => (&mut rewards.reversed, back),
            _ => (&mut rewards.refused, granted),
        };
        *sum = RewardSum { count, fen: Fen::new(fen) };
        if state != "refused" {
            rewarded = rewarded.saturating_add(granted - back);
        }
    }
    let best = fetch_all!(store, (UserId, i64, i64), BEST, id, TOP)?;
    let names: HashMap<UserId, String> = app.names.of(store, &best.iter().map(|(user, ..)| *user).collect::<Vec<_>>()).await?;
    let mut top_inviters = Vec::with_capacity(best.len());
    for (user_id, orders, earned) in best {
        let (bound,) = fetch_one!(store, (i64,), INVITED, id, user_id, now)?;
        top_inviters.push(TopInviter { user_id, name: name(&names, user_id), invitees: bound, orders, earned_fen: Fen::new(earned) });
    }
    Ok(ReferralFigures {
        inviters,
        bonds,
        orders,
        rewards,
        rewarded_fen: Fen::new(rewarded),
        budget_fen,
        daily_budget_fen,
        new_customers,
        cost_per_new_customer_fen: rewarded.checked_div(new_customers).map(Fen::new),
        top_inviters,
    })
}
