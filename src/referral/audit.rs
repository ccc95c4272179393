//! Invariant 5, counted on a campaign's state: bonds name another, who is known to have invited, and close no circle, no sale has more than one
//! reward a level, nothing goes back twice, and what stands granted is what the budget counts and no more than it allows. And SQL says the same
//! of bonds and rewards; both rewards of an order stay within the cap, and of each went back what its sale says.

use std::collections::{BTreeMap, BTreeSet};

use super::projection::shown;
use super::rates::reversed;
use super::row::{BondRow, LevelRow, RewardState, SaleRow, SpentRow};
use crate::audit::fold::Fold;
use crate::audit::{Check, Suspects};
use crate::campaign::rules::ReferralRules;
use crate::id::{CampaignId, UserId};
use crate::money::Fen;
use crate::store::{Store, StoreError, fetch_all};

/// Rows of SQL compared at once.
const PAGE: i64 = 5_000;

/// The checks of a referral campaign as it stands at `now` (Unix ms).
///
/// # Errors
/// When the database does not answer.
pub async fn checks(store: &Store, campaign: CampaignId, fold: &Fold, now: i64) -> Result<Vec<Check>, StoreError> {
    let bonds: BTreeMap<String, BondRow> = fold.rows("bonds").collect();
    let inviters: BTreeSet<&str> = fold.table("inviters").map(|(user, _)| user.as_str()).collect();
    let sales: BTreeMap<String, SaleRow> = fold.rows("sales").collect();
    let spent: SpentRow = fold.row("spent", "rewards").unwrap_or_default();
    let rules = fold.table("def").find(|(field, _)| *field == "rules").and_then(|(_, packed)| rmp_serde::from_slice(packed).ok());
    let (granted, wrong) = rewards(&sales, &spent, rules.as_ref());
    Ok(vec![
        Check::new("bonds_make_a_tree", format!("{} bonds", bonds.len()), &tree(&bonds, &inviters, now)),
        Check::new("rewards_keep_their_budget", format!("{granted} rewards, {} fen", spent.total), &wrong),
        follow_sales(store, campaign).await?,
    ])
}

/// SQL's bonds and rewards beside the log's.
///
/// # Errors
/// When the database does not answer.
pub async fn suspects(store: &Store, campaign: CampaignId, fold: &Fold) -> Result<[Suspects; 2], StoreError> {
    Ok([sql_bonds(store, campaign, fold).await?, sql_rewards(store, campaign, fold).await?])
}

/// Nobody invites themselves, who goes up from bond to bond comes to an end, and whoever invited is known to have: or the next bond could
/// close a circle.
fn tree(bonds: &BTreeMap<String, BondRow>, inviters: &BTreeSet<&str>, now: i64) -> Vec<String> {
    let living = |user: &str| bonds.get(user).filter(|bond| bond.lives(now)).map(|bond| bond.inviter.as_str());
    let mut wrong: Vec<String> = Vec::new();
    let mut sound: BTreeSet<&str> = BTreeSet::new();
    for (user, bond) in bonds {
        if *user == bond.inviter {
            wrong.push(format!("{user} is bound to itself"));
        }
        if !inviters.contains(bond.inviter.as_str()) {
            wrong.push(format!("{} invited {user} and is not known to have invited", bond.inviter));
        }
        let mut path = BTreeSet::new();
        let mut at = user.as_str();
        while !sound.contains(at) {
            if !path.insert(at) {
                wrong.push(format!("the bonds above {user} close a circle"));
                break;
            }
            let Some(above) = living(at) else { break };
            at = above;
        }
        sound.extend(path);
    }
    wrong
}

/// How many rewards were granted, and what is wrong with them.
fn rewards(sales: &BTreeMap<String, SaleRow>, spent: &SpentRow, rules: Option<&ReferralRules>) -> (usize, Vec<String>) {
    let mut wrong = Vec::new();
    let (mut granted, mut standing) = (0, 0_i64);
    for (number, sale) in sales {
        for (level, own) in [(1, &sale.level1), (2, &sale.level2)] {
            wrong.extend(level_wrong(own, sale).map(|why| format!("sale {number}, level {level}: {why}")));
            if own.state.granted() {
                granted += 1;
                standing = standing.saturating_add(own.fen - own.back);
            }
        }
        if sale.level2.state.granted() && sale.level2.user == sale.level1.user {
            wrong.push(format!("sale {number} rewards one user twice"));
        }
    }
    if standing != spent.total {
        wrong.push(format!("{} fen are counted, sales say {standing}", spent.total));
    }
    let budget = rules.and_then(|rules| rules.budget).filter(|most| standing > *most);
    wrong.extend(budget.map(|most| format!("{standing} fen are granted, {most} may be")));
    let daily = rules.and_then(|rules| rules.daily_budget).filter(|most| spent.today > *most);
    wrong.extend(daily.map(|most| format!("{} fen are granted on one day, {most} may be", spent.today)));
    (granted, wrong)
}

fn level_wrong(own: &LevelRow, sale: &SaleRow) -> Option<String> {
    let nothing = own.fen == 0 || own.user.is_empty();
    let fits = match own.state {
        RewardState::None => own.fen == 0 && own.user.is_empty() && own.back == 0,
        RewardState::OverBudget | RewardState::OverDailyBudget => !nothing && own.back == 0,
        RewardState::Frozen => !nothing && (0..=own.fen).contains(&own.back),
        RewardState::Available => !nothing && (0..=own.fen).contains(&own.back) && sale.fulfilled_at > 0,
    };
    if !fits {
        return Some(format!("{own:?} does not fit together"));
    }
    (!own.user.is_empty() && own.user == sale.buyer).then(|| "its buyer is rewarded".to_owned())
}

/// SQL's bonds are the log's.
async fn sql_bonds(store: &Store, campaign: CampaignId, fold: &Fold) -> Result<Suspects, StoreError> {
    const BONDS: &str = "SELECT user_id, inviter_id, bound_at, expires_at FROM bonds WHERE campaign_id = $1 AND user_id > $2 \
                         ORDER BY user_id LIMIT $3";
    let bonds: BTreeMap<String, BondRow> = fold.rows("bonds").collect();
    let mut found = Suspects::new("sql_bonds_equal_log", "bonds");
    let (mut told, mut after) = (BTreeSet::new(), String::new());
    loop {
        let rows = fetch_all!(store, (UserId, UserId, i64, Option<i64>), BONDS, campaign, &after, PAGE)?;
        let Some(last) = rows.last() else { break };
        after = last.0.to_string();
        for (user, inviter, bound_at, expires_at) in rows {
            let same = bonds.get(user.hot()).is_some_and(|bond| {
                (bond.inviter.as_str(), bond.bound_at, bond.expires_at) == (inviter.hot(), bound_at, expires_at.unwrap_or(0))
            });
            if !same {
                found.differs(user.hot(), format!("the bond of {user} differs"));
            }
            told.insert(user.hot().to_owned());
        }
    }
    for user in bonds.keys().filter(|user| !told.contains(*user)) {
        found.differs(user, format!("the bond of {user} is missing in SQL"));
    }
    found.count = told.len();
    Ok(found)
}

/// One reward as SQL has it: order, level, user, state, amount, back.
type SqlReward = (String, i64, UserId, String, i64, i64);

/// SQL's rewards are the log's: at most one a level of each sale.
async fn sql_rewards(store: &Store, campaign: CampaignId, fold: &Fold) -> Result<Suspects, StoreError> {
    const REWARDS: &str = "SELECT order_number, level, user_id, state, amount_fen, reversed_fen FROM rewards \
                           WHERE campaign_id = $1 AND (order_number, level) > ($2, $3) ORDER BY order_number, level LIMIT $4";
    let sales: BTreeMap<String, SaleRow> = fold.rows("sales").collect();
    let (mut found, mut after) = (Suspects::new("sql_rewards_equal_log", "sales"), (String::new(), 0_i64));
    loop {
        let rows = fetch_all!(store, SqlReward, REWARDS, campaign, &after.0, after.1, PAGE)?;
        let Some(last) = rows.last() else { break };
        after = (last.0.clone(), last.1);
        for (order, level, user, state, amount, back) in rows {
            let own = sales.get(&order).map(|sale| if level == 1 { &sale.level1 } else { &sale.level2 });
            let same = own.is_some_and(|own| {
                let word = shown(own).map(|(word, _)| word);
                (own.user.as_str(), word, own.fen, own.back) == (user.hot(), Some(state.as_str()), amount, back)
            });
            if !same {
                found.differs(&order, format!("level {level} of {order} differs"));
            }
            found.count += 1;
        }
    }
    let expected = sales.values().flat_map(|sale| [&sale.level1, &sale.level2]).filter(|own| shown(own).is_some()).count();
    if found.count < expected {
        let what = format!("SQL has {} rewards, the log {expected}", found.count);
        found.differs("", what);
    }
    Ok(found)
}

/// A reward beside its sale.
#[derive(sqlx::FromRow)]
struct Followed {
    order_number: String,
    level: i64,
    user_id: UserId,
    buyer_id: UserId,
    granted: Fen,
    back: Fen,
    others: i64,
    sale_buyer: Option<UserId>,
    level1_id: Option<UserId>,
    level2_id: Option<UserId>,
    amount_fen: Option<Fen>,
    refunded_fen: Option<Fen>,
    state: Option<String>,
}

/// Each reward goes to whom its sale names, both of an order stay within the cap, and what went back is the part of it that was refunded.
async fn follow_sales(store: &Store, campaign: CampaignId) -> Result<Check, StoreError> {
    const BOTH: &str = "SELECT rewards.order_number, rewards.level, rewards.user_id, rewards.buyer_id, rewards.amount_fen AS granted, \
                        rewards.reversed_fen AS back, CAST(COALESCE((SELECT SUM(other.amount_fen) FROM rewards AS other \
                        WHERE other.campaign_id = $1 AND other.order_number = rewards.order_number AND other.level <> rewards.level \
                        AND other.state <> 'refused'), 0) AS BIGINT) AS others, sales.buyer_id AS sale_buyer, sales.level1_id, sales.level2_id, \
                        sales.amount_fen, sales.refunded_fen, sales.state FROM rewards \
                        LEFT JOIN sales ON sales.number = rewards.order_number AND sales.campaign_id = rewards.campaign_id \
                        WHERE rewards.campaign_id = $1 AND rewards.state <> 'refused' AND (rewards.order_number, rewards.level) > ($2, $3) \
                        ORDER BY rewards.order_number, rewards.level LIMIT $4";
    let definition = crate::campaign::records::find(store, campaign).await?;
    let cap = definition.and_then(|record| record.definition.referral().map(|own| own.cap_basis_points)).unwrap_or_default();
    let (mut count, mut wrong, mut after) = (0_usize, Vec::new(), (String::new(), 0_i64));
    loop {
        let rows = fetch_all!(store, Followed, BOTH, campaign, &after.0, after.1, PAGE)?;
        let Some(last) = rows.last() else { break };
        after = (last.order_number.clone(), last.level);
        count += rows.len();
        wrong.extend(rows.iter().filter_map(|row| Some(format!("level {} of {}: {}", row.level, row.order_number, row.wrong(cap)?))));
    }
    Ok(Check::new("rewards_follow_their_sales", format!("{count} rewards"), &wrong))
}

impl Followed {
    fn wrong(&self, cap: i64) -> Option<String> {
        let (Some(amount), Some(refunded)) = (self.amount_fen, self.refunded_fen) else { return Some("there is no such sale".to_owned()) };
        let earner = if self.level == 1 { self.level1_id } else { self.level2_id };
        if earner != Some(self.user_id) || self.sale_buyer != Some(self.buyer_id) {
            return Some("the sale names others".to_owned());
        }
        let all = i128::from(self.granted.get()) + i128::from(self.others);
        if all > i128::from(amount.get()) * i128::from(cap) / 10_000 {
            return Some(format!("{all} fen of {} are more than the cap", amount.get()));
        }
        let back = reversed(self.granted, refunded, amount);
        // What is still to be told is on its way.
        let told = self.state.as_deref() == Some("done");
        (told && back != self.back).then(|| format!("{} fen went back, {} should have", self.back.get(), back.get()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{rewards, tree};
    use crate::referral::row::{BondRow, LevelRow, RewardState, SaleRow, SpentRow};

    fn bonds(of: &[(&str, &str, i64)]) -> BTreeMap<String, BondRow> {
        let bond = |inviter: &str, expires_at| BondRow { bound_at: 1, expires_at, version: 1, above: 1, inviter: inviter.to_owned() };
        of.iter().map(|(user, inviter, expires_at)| ((*user).to_owned(), bond(inviter, *expires_at))).collect()
    }

    #[test]
    fn circles_are_found_and_ended_bonds_make_none() {
        let sound = |of: &[(&str, &str, i64)]| tree(&bonds(of), &["a", "b", "c"].into(), 9).is_empty();
        assert!(sound(&[("b", "a", 0), ("c", "b", 0), ("d", "b", 0)]));
        assert!(!sound(&[("b", "a", 0), ("c", "b", 0), ("a", "c", 0)]));
        assert!(sound(&[("b", "a", 5), ("c", "b", 0), ("a", "c", 0)]));
        assert!(!sound(&[("b", "b", 0)]));
        assert!(!sound(&[("b", "a", 0), ("c", "d", 0)]), "d invited and is not known to have");
    }

    #[test]
    fn rewards_fit_together_or_are_found() {
        let sound = || {
            let level = |user: &str, fen, back| LevelRow { state: RewardState::Frozen, user: user.to_owned(), fen, back };
            SaleRow {
                level1: level("b", 100, 40),
                level2: level("a", 30, 0),
                reported_at: 1,
                fulfilled_at: 0,
                freeze: 1,
                version: 1,
                buyer: "c".to_owned(),
            }
        };
        let wrong = |change: fn(&mut SaleRow, &mut SpentRow)| {
            let (mut sale, mut spent) = (sound(), SpentRow { total: 90, day: 1, today: 130 });
            change(&mut sale, &mut spent);
            !rewards(&BTreeMap::from([("s".to_owned(), sale)]), &spent, None).1.is_empty()
        };
        assert!(!wrong(|_, _| {}));
        assert!(wrong(|_, spent| spent.total = 91));
        assert!(wrong(|sale, spent| (sale.level1.back, spent.total) = (101, 29)), "more went back than was granted");
        assert!(wrong(|sale, _| sale.level1.state = RewardState::Available), "before the goods were handed over");
        assert!(wrong(|sale, spent| (sale.level2.state, spent.total) = (RewardState::None, 60)));
        assert!(wrong(|sale, _| sale.buyer = "a".to_owned()));
        assert!(wrong(|sale, _| sale.level2.user = "b".to_owned()));
    }
}
