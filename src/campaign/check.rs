//! What stands between a definition and its publishing, and what it may cost.
//!
//! Errors block publishing, warnings do not. Each finding names the rule it comes from: a paragraph of WeChat's 微信小程序平台运营规范
//! (`wechat-5.1.8`), a law, or one of our own (`liebian-…`). The mini-program's rules bind `mini_program`; on `web` they are warnings
//! where the same text may still be shared into WeChat.

use serde::{Deserialize, Serialize};

use super::forecast::{Forecast, forecast, shares};
use super::model::{Curve, Definition, GroupBuy, ItemFacts, Level, Referral, Rules, Surface};
use super::wording;
use crate::clock::UnixMs;
use crate::id::CampaignId;
use crate::money::Fen;

/// WeChat §5.1.8: a group that is asked to gather has at most five people, the sharer among them.
const MINI_PROGRAM_ROOM: i64 = 5;

/// A rules text with less substance than this can hardly say who gets what, when and how.
const SHORT_RULES: usize = 40;

/// Other campaigns of one item that a finding names.
const NAMED: usize = 20;

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({"code": "room_too_large", "rule": "wechat-5.1.8", "field": "items[0].tiers[0].size",
    "message": "in a mini-program a room has at most 5 people"}))]
pub struct Finding {
    /// A stable word.
    pub code: String,
    /// The rule it comes from.
    pub rule: String,
    /// Where in the definition.
    pub field: String,
    /// For people.
    pub message: String,
}

/// All findings and the forecast.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CheckReport {
    /// Block publishing.
    pub errors: Vec<Finding>,
    /// Do not.
    pub warnings: Vec<Finding>,
    /// The worst case in fen.
    pub forecast: Forecast,
}

/// Another campaign, not ended, with an item of the same SKU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedSku {
    /// The other campaign.
    pub campaign_id: CampaignId,
    /// Its title.
    pub title: String,
    /// The SKU both have.
    pub sku: String,
}

/// Checks a definition as it would be published `now`.
#[must_use]
pub fn check(definition: &Definition, now: UnixMs, others_sharing_sku: &[SharedSku]) -> CheckReport {
    let mut report = CheckReport { forecast: forecast(definition), ..CheckReport::default() };
    times(definition, now, &mut report);
    surface_rules(definition, &mut report);
    texts(definition, &mut report);
    prices(definition, &mut report);
    free_floors(definition, &mut report);
    dear_prices(definition, &mut report);
    budgets(definition, &mut report);
    for (i, item) in definition.items().iter().enumerate() {
        let others: Vec<_> = others_sharing_sku.iter().filter(|other| other.sku == item.sku).take(NAMED).collect();
        if !others.is_empty() {
            let named: Vec<String> = others.iter().map(|other| format!("{} ({})", other.campaign_id, other.title)).collect();
            let message = format!("{} is also in {}", item.sku, named.join(", "));
            report.warn("shared_sku", "liebian-one-offer", format!("items[{i}].sku"), message);
        }
    }
    report
}

fn budgets(definition: &Definition, report: &mut CheckReport) {
    match &definition.rules {
        Rules::GroupBuy(own) => {
            if own.loss_budget_fen.is_some_and(|budget| budget < own.least_loss()) {
                let message = format!("not one unit fits into it: the least that one gives away is {} fen", own.least_loss().get());
                report.error("budget_too_small", "liebian-budget", "loss_budget_fen", message);
            }
            if own.payment_ttl_seconds > own.room_ttl_seconds {
                let message = "a seat may wait for its payment longer than its room for its members";
                report.warn("payment_outlasts_room", "liebian-time", "payment_ttl_seconds", message);
            }
        }
        Rules::Referral(own) => rewards(own, report),
        Rules::Bargain(_) => {}
    }
}

fn rewards(own: &Referral, report: &mut CheckReport) {
    if own.budget_fen.is_none() {
        report.warn("no_budget", "liebian-budget", "budget_fen", "nothing bounds what the rewards may cost");
    }
    for (field, budget) in [("budget_fen", own.budget_fen), ("daily_budget_fen", own.daily_budget_fen)] {
        if budget == Some(Fen::ZERO) {
            report.error("budget_too_small", "liebian-budget", field, "not one reward fits into it");
        }
    }
    let overrides = own.sku_overrides.iter().enumerate().map(|(i, entry)| (format!("sku_overrides[{i}].levels"), &entry.levels));
    for (field, levels) in std::iter::once(("levels".to_owned(), &own.levels)).chain(overrides) {
        let rate = shares(levels);
        if rate > own.cap_basis_points {
            let message = format!("{rate} basis points are promised and {} at most are paid", own.cap_basis_points);
            report.warn("cap_below_rates", "liebian-offer", field, message);
        } else if levels.iter().all(|level| matches!(level, Level::Share { basis_points: 0 } | Level::Fixed { fixed_fen: Fen::ZERO })) {
            report.warn("no_reward", "liebian-offer", field, "an order earns nothing for anybody");
        }
    }
    if own.freeze_seconds == 0 {
        let message = "rewards are available at once: what is refunded after they were taken out becomes a debt";
        report.warn("no_freeze", "liebian-money", "freeze_seconds", message);
    }
}

fn times(definition: &Definition, now: UnixMs, report: &mut CheckReport) {
    if definition.head.ends_at <= now {
        report.error("already_over", "liebian-time", "ends_at", "the campaign would be over before it began");
    } else if definition.head.starts_at < now {
        report.warn("starts_now", "liebian-time", "starts_at", "starts_at is past: the campaign starts when it is published");
    }
}

fn surface_rules(definition: &Definition, report: &mut CheckReport) {
    match definition.head.surface {
        Surface::MiniProgram => {}
        Surface::Web => return,
    }
    match &definition.rules {
        Rules::GroupBuy(own) => room_sizes(own, report),
        Rules::Bargain(own) => {
            if own.cuts.curve == Curve::Random {
                let message = "in a mini-program what a share earns must not be left to chance";
                report.error("random_cuts", "wechat-5.1.6", "cuts.curve", message);
            }
        }
        Rules::Referral(own) => {
            if own.has_second_level() && !own.acknowledge_level_two {
                let message = "mini-programs ban commission over several levels (and see 禁止传销条例 art. 7): acknowledge_level_two says \
                               that you have checked your case";
                report.error("level_two_not_acknowledged", "wechat-5.9", "acknowledge_level_two", message);
            }
        }
    }
}

fn room_sizes(own: &GroupBuy, report: &mut CheckReport) {
    for (i, item) in own.items.iter().enumerate() {
        for (k, tier) in item.tiers.iter().enumerate().filter(|(_, tier)| tier.size > MINI_PROGRAM_ROOM) {
            let message = format!("in a mini-program a room has at most {MINI_PROGRAM_ROOM} people, not {}", tier.size);
            report.error("room_too_large", "wechat-5.1.8", format!("items[{i}].tiers[{k}].size"), message);
        }
    }
}

fn texts(definition: &Definition, report: &mut CheckReport) {
    let head = &definition.head;
    let substance = wording::substance(&head.rules_text);
    if substance == 0 {
        report.by_surface(head.surface, "rules_missing", "wechat-5.1.5", "rules_text", "the full rules must be written out");
    } else if substance < SHORT_RULES {
        report.warn(
            "rules_short",
            "wechat-5.1.5",
            "rules_text",
            "so short a text can hardly be the full rules: who gets what, when and how",
        );
    }
    let texts = [("title", Some(&head.title)), ("share_title", head.share_title.as_ref())];
    for (field, text) in texts {
        if let Some(phrase) = text.and_then(|text| wording::forcing_phrase(text)) {
            let message = format!("presses people to share: {phrase}");
            report.by_surface(head.surface, "forcing_words", "wechat-5.1.1", field, &message);
        }
    }
    if let Some(phrase) = wording::forcing_phrase(&head.rules_text) {
        report.warn("forcing_words", "wechat-5.1.1", "rules_text", format!("may press people to share: {phrase}"));
    }
}

fn prices(definition: &Definition, report: &mut CheckReport) {
    let items = definition.items();
    let compares = items.iter().any(|item| item.lowest_price_fen < item.list_price_fen);
    if compares && !wording::states_price_base(&definition.head.rules_text) {
        let message = "prices are compared with the list price: say in the rules what that price is and since when";
        report.warn("price_base_missing", "明码标价和禁止价格欺诈规定-16", "rules_text", message);
    }
    for (i, item) in items.iter().enumerate() {
        item_prices(item, i, (definition.group_buy().is_some(), definition.referral().is_none()), report);
    }
}

/// A chain that is cut down to nothing cannot be paid for.
fn free_floors(definition: &Definition, report: &mut CheckReport) {
    let items = definition.bargain().map_or(&[][..], |own| &own.items);
    for (i, _item) in items.iter().enumerate().filter(|(_, item)| item.floor_price_fen == Fen::ZERO) {
        let field = format!("items[{i}].floor_price_fen");
        report.warn("free_of_charge", "liebian-offer", field, "payment providers refuse amounts of 0 fen");
    }
}

/// Whoever pays more than the list price is promised a bargain that is none.
fn dear_prices(definition: &Definition, report: &mut CheckReport) {
    for (i, item) in definition.group_buy().map_or(&[][..], |own| &own.items).iter().enumerate() {
        let tiers = item.tiers.iter().enumerate().map(|(k, tier)| (format!("tiers[{k}].price_fen"), Some(tier.price_fen)));
        let others = [("leader_price_fen".to_owned(), item.leader_price_fen), ("solo_price_fen".to_owned(), item.solo_price_fen)];
        for (field, _) in tiers.chain(others).filter(|(_, price)| price.is_some_and(|price| price > item.list_price_fen)) {
            report.warn("above_list_price", "liebian-offer", format!("items[{i}].{field}"), "is above the list price");
        }
    }
}

fn item_prices(item: &ItemFacts<'_>, i: usize, (rooms, counted): (bool, bool), report: &mut CheckReport) {
    if rooms && item.lowest_price_fen >= item.list_price_fen {
        report.warn("no_discount", "liebian-offer", format!("items[{i}].tiers"), "no price is below the list price");
    }
    if rooms && item.lowest_price_fen == Fen::ZERO {
        report.warn("free_of_charge", "liebian-offer", format!("items[{i}]"), "payment providers refuse amounts of 0 fen");
    }
    if item.cost_price_fen.is_some_and(|cost| item.lowest_price_fen < cost) {
        report.warn("below_cost", "liebian-offer", format!("items[{i}].cost_price_fen"), "units are sold below what they cost");
    }
    if counted && item.stock < item.smallest_size {
        report.warn("stock_below_room", "liebian-offer", format!("items[{i}].stock"), "the stock cannot fill one room");
    }
}

impl CheckReport {
    fn error(&mut self, code: &str, rule: &str, field: impl Into<String>, message: impl Into<String>) {
        self.errors.push(Finding { code: code.into(), rule: rule.into(), field: field.into(), message: message.into() });
    }

    /// Adds a warning.
    pub(super) fn warn(&mut self, code: &str, rule: &str, field: impl Into<String>, message: impl Into<String>) {
        self.warnings.push(Finding { code: code.into(), rule: rule.into(), field: field.into(), message: message.into() });
    }

    fn by_surface(&mut self, surface: Surface, code: &str, rule: &str, field: &str, message: &str) {
        match surface {
            Surface::MiniProgram => self.error(code, rule, field, message),
            Surface::Web => self.warn(code, rule, field, message),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{CheckReport, Finding, SharedSku, check};
    use crate::campaign::model::Definition;
    use crate::campaign::model::tests::{cherries, cream, friends};
    use crate::clock::UnixMs;
    use crate::money::Fen;

    fn now() -> UnixMs {
        UnixMs::parse("2026-11-21T00:00:00Z").unwrap()
    }

    #[expect(clippy::needless_pass_by_value, reason = "so that tests read json!({…}) without borrows")]
    fn run(mut base: Value, changes: Value) -> CheckReport {
        for (name, value) in changes.as_object().unwrap() {
            base[name.as_str()] = value.clone();
        }
        check(&Definition::read(&base).unwrap(), now(), &[])
    }

    fn codes(findings: &[Finding]) -> Vec<(&str, &str)> {
        findings.iter().map(|finding| (finding.code.as_str(), finding.field.as_str())).collect()
    }

    #[expect(clippy::needless_pass_by_value, reason = "as above")]
    fn item(tiers: Value, more: Value) -> Value {
        let mut item = json!({"sku": "a", "title": "A", "list_price_fen": 100, "stock": 10, "tiers": tiers});
        for (name, value) in more.as_object().unwrap() {
            item[name.as_str()] = value.clone();
        }
        json!({"items": [item]})
    }

    #[test]
    fn an_honest_campaign_has_no_findings_and_a_forecast() {
        let report = run(cherries(), json!({}));
        assert_eq!((codes(&report.errors), codes(&report.warnings)), (vec![], vec![]));
        assert_eq!((report.forecast.units, report.forecast.worst_case_discount_fen), (1000, Some(Fen::new(4_950_000))));
        let item = &report.forecast.items[0];
        assert_eq!((item.rooms_possible, item.discount_per_unit_fen, item.margin_per_unit_fen), (Some(333), Fen::new(4950), None));
    }

    #[test]
    fn rooms_in_a_mini_program_have_at_most_five_people() {
        let six = item(json!([{"size": 6, "price_fen": 50}]), json!({}));
        let report = run(cherries(), six.clone());
        assert_eq!(codes(&report.errors), [("room_too_large", "items[0].tiers[0].size")]);
        assert_eq!(report.errors[0].rule, "wechat-5.1.8");
        let mut web = six;
        web["surface"] = json!("web");
        assert!(run(cherries(), web).errors.is_empty());
    }

    #[test]
    fn forcing_words_block_a_mini_program_and_warn_on_the_web() {
        assert_eq!(codes(&run(cherries(), json!({"title": "不转不是中国人"})).errors), [("forcing_words", "title")]);
        assert_eq!(codes(&run(cherries(), json!({"share_title": "You must share"})).errors), [("forcing_words", "share_title")]);
        let web = run(cherries(), json!({"title": "不转不是中国人", "surface": "web"}));
        assert_eq!((codes(&web.errors), codes(&web.warnings)), (vec![], vec![("forcing_words", "title")]));
    }

    #[test]
    fn rules_must_be_written_out() {
        assert_eq!(codes(&run(cherries(), json!({"rules_text": "……"})).errors), [("rules_missing", "rules_text")]);
        let short = run(cherries(), json!({"rules_text": "Half the list price."}));
        assert_eq!((codes(&short.errors), codes(&short.warnings)), (vec![], vec![("rules_short", "rules_text")]));
    }

    #[test]
    fn chance_and_a_second_level_are_refused_in_mini_programs() {
        let random = json!({"cuts": {"helpers": 12, "curve": "random"}});
        assert!(codes(&run(cream(), random.clone()).errors).contains(&("random_cuts", "cuts.curve")));
        let mut web = random;
        web["surface"] = json!("web");
        assert_eq!(codes(&run(cream(), web.clone()).errors), [], "a bargain can be published");
        assert!(!codes(&run(cream(), web).errors).contains(&("random_cuts", "cuts.curve")));
        let two = json!({"surface": "mini_program", "acknowledge_level_two": false});
        assert!(codes(&run(friends(), two).errors).contains(&("level_two_not_acknowledged", "acknowledge_level_two")));
        assert_eq!(codes(&run(friends(), json!({"surface": "mini_program"})).errors), []);
    }

    #[test]
    fn a_referral_programme_says_what_it_may_cost() {
        let found = |changes: Value| {
            let mut base = friends();
            (base["sku_overrides"], base["budget_fen"]) = (json!([]), json!(1_000_000));
            let report = run(base, changes);
            let own = |findings: &[Finding]| -> Vec<String> {
                let own = ["liebian-budget", "liebian-money", "liebian-offer"];
                findings.iter().filter(|one| own.contains(&one.rule.as_str())).map(|one| format!("{} {}", one.code, one.field)).collect()
            };
            (own(&report.errors), own(&report.warnings), report.forecast.worst_case_reward_basis_points)
        };
        let none: Vec<String> = Vec::new();
        assert_eq!(found(json!({})), (none.clone(), none.clone(), Some(1300)));
        let open = found(json!({"levels": [{"basis_points": 4000}], "budget_fen": null, "daily_budget_fen": 0, "freeze_seconds": 0}));
        let warnings = ["no_budget budget_fen", "cap_below_rates levels", "no_freeze freeze_seconds"].map(str::to_owned).to_vec();
        assert_eq!(open, (vec!["budget_too_small daily_budget_fen".to_owned()], warnings, Some(3000)));
        let fixed = json!({"levels": [{"basis_points": 0}], "sku_overrides": [{"sku": "a", "levels": [{"fixed_fen": 500}]}]});
        assert_eq!(found(fixed), (none, vec!["no_reward levels".to_owned()], Some(3000)), "a fixed sum may come to the whole cap");
    }

    #[test]
    fn what_this_release_cannot_run_is_said() {
        let ladder = json!([{"size": 2, "price_fen": 60}, {"size": 3, "price_fen": 50}]);
        let mut changes = item(ladder, json!({"leader_price_fen": 40, "solo_price_fen": 90, "reserve": "room"}));
        changes["newcomers_only"] = json!(true);
        changes["accept_from"] = json!(2);
        assert!(run(cherries(), changes.clone()).errors.is_empty(), "all of these run");
    }

    #[test]
    fn time_past_is_a_warning_and_an_ended_campaign_an_error() {
        let past = run(cherries(), json!({"starts_at": "2026-11-01T00:00:00Z"}));
        assert_eq!((codes(&past.errors), codes(&past.warnings)), (vec![], vec![("starts_now", "starts_at")]));
        let over = run(cherries(), json!({"starts_at": "2026-11-01T00:00:00Z", "ends_at": "2026-11-21T00:00:00Z"}));
        assert_eq!(codes(&over.errors), [("already_over", "ends_at")]);
    }

    #[test]
    fn prices_are_looked_at() {
        let rules = "The offer stands for three people in one room who pay within fifteen minutes, while stock lasts.";
        assert_eq!(codes(&run(cherries(), json!({"rules_text": rules})).warnings), [("price_base_missing", "rules_text")]);
        let loss = run(cherries(), item(json!([{"size": 3, "price_fen": 50}]), json!({"cost_price_fen": 60})));
        assert_eq!(codes(&loss.warnings), [("below_cost", "items[0].cost_price_fen")]);
        assert_eq!(loss.forecast.items[0].margin_per_unit_fen, Some(Fen::new(-10)));
        let dear = run(cherries(), item(json!([{"size": 3, "price_fen": 100}]), json!({"stock": 2})));
        assert_eq!(codes(&dear.warnings), [("no_discount", "items[0].tiers"), ("stock_below_room", "items[0].stock")]);
        let tiers = json!([{"size": 2, "price_fen": 101}, {"size": 3, "price_fen": 100}, {"size": 4, "price_fen": 99}]);
        let above = run(cherries(), item(tiers, json!({"solo_price_fen": 120, "leader_price_fen": 100})));
        let places = ["items[0].tiers[0].price_fen", "items[0].solo_price_fen"].map(|place| ("above_list_price", place));
        assert_eq!((codes(&above.errors), codes(&above.warnings)), (vec![], places.to_vec()));
    }

    #[test]
    fn a_budget_bounds_the_forecast_and_must_have_room_for_one_unit() {
        let budget = |fen: i64| run(cherries(), json!({"loss_budget_fen": fen}));
        assert_eq!(codes(&budget(4949).errors), [("budget_too_small", "loss_budget_fen")]);
        assert!(budget(4950).errors.is_empty());
        assert_eq!(budget(4950).forecast.worst_case_discount_fen, Some(Fen::new(4950)));
        assert_eq!(budget(10_000_000).forecast.worst_case_discount_fen, Some(Fen::new(4_950_000)));
        let long = run(cherries(), json!({"payment_ttl_seconds": 86_401}));
        assert_eq!(codes(&long.warnings), [("payment_outlasts_room", "payment_ttl_seconds")]);
    }

    #[test]
    fn every_kind_has_a_worst_case_as_far_as_it_is_bounded() {
        let bargain = run(cream(), json!({}));
        assert_eq!((bargain.forecast.units, bargain.forecast.worst_case_discount_fen), (100, Some(Fen::new(2_000_000))));
        assert_eq!(bargain.forecast.items[0].rooms_possible, None);
        let referral = run(friends(), json!({}));
        assert_eq!(referral.forecast.worst_case_discount_fen, None);
        assert_eq!(codes(&referral.warnings), [("no_budget", "budget_fen")]);
        assert_eq!(run(friends(), json!({"budget_fen": 7})).forecast.worst_case_discount_fen, Some(Fen::new(7)));
    }

    #[test]
    fn a_forecast_tells_takings_margin_and_seats() {
        let report = run(cherries(), item(json!([{"size": 4, "price_fen": 50}]), json!({"cost_price_fen": 60})));
        let told = &report.forecast.items[0];
        assert_eq!((told.rooms_possible, told.units_left_over), (Some(2), Some(2)));
        assert_eq!((told.revenue_fen, told.margin_fen), (Fen::new(500), Some(Fen::new(-100))));
        assert_eq!((report.forecast.revenue_fen, report.forecast.margin_fen), (Fen::new(500), Some(Fen::new(-100))));
        assert_eq!(run(cherries(), json!({})).forecast.margin_fen, None, "one item whose cost nobody told");
    }

    #[test]
    fn a_forecast_past_63_bits_stays_at_the_largest_number() {
        let huge = json!({"list_price_fen": 10_000_000_000_i64, "stock": 1_000_000_000});
        let report = run(cherries(), item(json!([{"size": 3, "price_fen": 0}]), huge));
        assert_eq!(report.forecast.worst_case_discount_fen, Some(Fen::new(i64::MAX)));
    }

    #[test]
    fn a_shared_sku_is_pointed_out() {
        let other = SharedSku { campaign_id: "cmp_abcdefgh".parse().unwrap(), title: "Plums".into(), sku: "cherry-1kg".into() };
        let report = check(&Definition::read(&cherries()).unwrap(), now(), &[other]);
        assert_eq!(codes(&report.warnings), [("shared_sku", "items[0].sku")]);
    }
}
