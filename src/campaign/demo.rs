//! The demo campaigns: three group-buys, a bargain and a referral programme of small shops, as they would be run for real.
//!
//! Times are relative: they start when they are loaded (a moment before) and end thirty days later.

use serde_json::Value;

use super::model::Definition;
use crate::clock::UnixMs;

/// Definitions without times.
const CAMPAIGNS: &str = include_str!("../../demo/campaigns.json");

/// Their text, for a test or a tool that wants to send them itself.
#[must_use]
pub const fn text() -> &'static str {
    CAMPAIGNS
}

/// One of them, whole, for the API's document.
#[must_use]
pub fn example() -> Option<Value> {
    let campaigns: Vec<Value> = serde_json::from_str(CAMPAIGNS).ok()?;
    let mut campaign = campaigns.into_iter().next()?;
    let object = campaign.as_object_mut()?;
    object.insert("starts_at".into(), "2026-11-22T00:00:00Z".into());
    object.insert("ends_at".into(), "2026-12-22T00:00:00Z".into());
    Some(campaign)
}

/// The demo campaigns as loaded `now`.
#[must_use]
pub fn campaigns(now: UnixMs) -> Vec<Definition> {
    // The file is compiled in and a test reads it: what cannot be read cannot be shipped.
    let Ok(Value::Array(campaigns)) = serde_json::from_str(CAMPAIGNS) else { return Vec::new() };
    campaigns.into_iter().filter_map(|campaign| with_times(campaign, now)).collect()
}

fn with_times(mut campaign: Value, now: UnixMs) -> Option<Definition> {
    let object = campaign.as_object_mut()?;
    object.insert("starts_at".into(), now.plus_seconds(-60).rfc3339().into());
    object.insert("ends_at".into(), now.plus_seconds(30 * 86_400).rfc3339().into());
    Definition::read(&campaign).ok()
}

#[cfg(test)]
mod tests {
    use super::{CAMPAIGNS, campaigns};
    use crate::campaign::check::check;
    use crate::campaign::model::Level;
    use crate::clock::UnixMs;
    use crate::referral::rates::Rates;

    #[test]
    fn the_demo_campaigns_can_be_published_and_their_texts_say_their_figures() {
        let now = UnixMs::parse("2026-11-22T08:00:00Z").unwrap();
        let written: Vec<serde_json::Value> = serde_json::from_str(CAMPAIGNS).unwrap();
        let all = campaigns(now);
        assert_eq!((written.len(), all.len()), (5, 5));
        for definition in &all {
            let report = check(definition, now, &[]);
            let codes: Vec<_> = report.errors.iter().chain(&report.warnings).map(|finding| finding.code.as_str()).collect();
            assert_eq!(codes, ["starts_now"], "{}", definition.head.title);
            let head = &definition.head;
            if let Some(own) = definition.bargain() {
                let item = &own.items[0];
                for figure in [
                    item.list_price_fen.to_string(),
                    item.floor_price_fen.to_string(),
                    format!("{}份", item.stock),
                    format!("再有{}位朋友", own.cuts.helpers - own.cuts.self_cuts),
                    format!("共{}刀", own.cuts.helpers),
                    format!("一次砍{}刀", own.cuts.newcomer_cuts),
                    format!("发起后{}小时", own.chain_ttl_seconds / 3600),
                    format!("有{}小时可以买下", own.buy_ttl_seconds / 3600),
                    format!("{}分钟", own.payment_ttl_seconds / 60),
                    format!("最多发起{}次", own.limits.chains_per_user),
                    format!("每天最多帮砍{}次，活动内最多{}次", own.limits.helps_per_day, own.limits.helps_per_campaign),
                ] {
                    assert!(head.rules_text.contains(&figure), "{figure} in {}", head.title);
                }
                continue;
            }
            if let Some(own) = definition.referral() {
                let item = &own.items[0];
                let (first, second) = Rates::of(own, Some(&item.sku)).unwrap().rewards(item.list_price_fen);
                let percent = |level: &Level| match level {
                    Level::Share { basis_points } => format!("{}%", basis_points / 100),
                    Level::Fixed { fixed_fen } => format!("{fixed_fen}元"),
                };
                let (bond, withdrawal) = (&own.bond, &own.withdrawal);
                for figure in [
                    format!("课程价{}元", item.list_price_fen),
                    format!("按订单金额的{}", percent(&own.levels[0])),
                    format!("按{}", percent(&own.levels[1])),
                    format!("第一级{first}元，第二级{second}元"),
                    format!("不超过订单金额的{}%", own.cap_basis_points / 100),
                    format!("满{}天", own.freeze_seconds / 86_400),
                    format!("总共{}元，每天最多{}元", own.budget_fen.unwrap(), own.daily_budget_fen.unwrap()),
                    format!("{}天内有效", bond.expires_after_seconds.unwrap() / 86_400),
                    format!("每次{}元至{}元，每天最多{}次", withdrawal.min_fen, withdrawal.max_fen, withdrawal.per_day),
                    format!("超过{}元由本店审核", withdrawal.auto_approve_max_fen),
                ] {
                    assert!(head.rules_text.contains(&figure), "{figure} in {}", head.title);
                }
                continue;
            }
            let own = definition.group_buy().unwrap();
            for item in &own.items {
                let tier = &item.tiers[0];
                for figure in [
                    item.list_price_fen.to_string(),
                    tier.price_fen.to_string(),
                    format!("{}份", item.stock),
                    format!("{}人", tier.size),
                    format!("{}小时", own.room_ttl_seconds / 3600),
                    format!("{}分钟", own.payment_ttl_seconds / 60),
                    format!("每人最多{}单", own.limits.orders_per_user),
                ] {
                    assert!(head.rules_text.contains(&figure), "{figure} in {}", head.title);
                }
            }
        }
    }
}
