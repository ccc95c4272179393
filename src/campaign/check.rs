//! What stands between a definition and its publishing, and what it may cost.
//!
//! Errors block publishing, warnings do not. Each finding names the rule it comes from: a paragraph of WeChat's 微信小程序平台运营规范
//! (`wechat-5.1.8`), a law, or one of our own (`liebian-…`). The mini-program's rules bind `mini_program`; on `web` they are warnings
//! where the same text may still be shared into WeChat.

use serde::{Deserialize, Serialize};

use super::model::{Curve, Definition, GroupBuy, ItemFacts, MAX_ITEMS, Rules, Surface};
use super::wording;
use crate::clock::UnixMs;
use crate::id::CampaignId;
use crate::money::Fen;

/// WeChat §5.1.8: a group that is asked to gather has at most five people, the sharer among them.
const MINI_PROGRAM_ROOM: i64 = 5;

/// A rules text with less substance than this can hardly say who gets what, when and how.
const SHORT_RULES: usize = 40;

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

/// What one item may cost at worst.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ItemForecast {
    /// The item.
    pub sku: String,
    /// Units that can be sold.
    pub units: i64,
    /// The lowest price a unit can go for.
    pub lowest_price_fen: Fen,
    /// List price less the lowest price.
    pub discount_per_unit_fen: Fen,
    /// That for all units.
    pub worst_case_discount_fen: Fen,
    /// Rooms of the smallest size that stock can fill with one unit a seat; null where there are no rooms.
    #[schema(required = true)]
    pub rooms_possible: Option<i64>,
    /// The lowest price less what a unit costs, below zero at a loss; null when the cost is not told.
    #[schema(required = true)]
    pub margin_per_unit_fen: Option<Fen>,
}

/// What a campaign may cost at worst. Sums past 63 bits stay at the largest number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Forecast {
    /// Units over all items.
    pub units: i64,
    /// Discounts over all items, or the reward budget of a referral programme.
    pub worst_case_discount_fen: Fen,
    /// Item by item.
    pub items: Vec<ItemForecast>,
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
    not_built(definition, &mut report);
    times(definition, now, &mut report);
    surface_rules(definition, &mut report);
    texts(definition, &mut report);
    prices(definition, &mut report);
    free_floors(definition, &mut report);
    for other in others_sharing_sku.iter().take(MAX_ITEMS) {
        let message = format!("{} is also in {} ({})", other.sku, other.campaign_id, other.title);
        report.warn("shared_sku", "liebian-one-offer", "items", message);
    }
    report
}

/// What can be written down but not run in this release.
fn not_built(definition: &Definition, report: &mut CheckReport) {
    let own = match &definition.rules {
        Rules::GroupBuy(own) => own,
        Rules::Bargain(_) => return,
        Rules::Referral(_) => {
            report.error("kind_not_available", "liebian-release", "kind", "this release publishes group_buy and bargain campaigns only");
            return;
        }
    };
    for (field, used) in UNBUILT_RULES {
        if used(own) {
            report.error("field_not_available", "liebian-release", *field, "this release cannot run this rule yet");
        }
    }
}

/// Whether a definition uses a rule.
type Used<T> = fn(&T) -> bool;

/// Group-buy rules this release cannot run: take a row out when it can.
const UNBUILT_RULES: &[(&str, Used<GroupBuy>)] = &[("loss_budget_fen", |own| own.loss_budget_fen.is_some())];

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
            let two = own.levels.len() > 1 || own.sku_overrides.iter().any(|entry| entry.levels.len() > 1);
            if two && !own.acknowledge_level_two {
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
        item_prices(item, i, definition.group_buy().is_some(), report);
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

fn item_prices(item: &ItemFacts<'_>, i: usize, rooms: bool, report: &mut CheckReport) {
    if rooms && item.lowest_price_fen >= item.list_price_fen {
        report.warn("no_discount", "liebian-offer", format!("items[{i}].tiers"), "no price is below the list price");
    }
    if rooms && item.lowest_price_fen == Fen::ZERO {
        report.warn("free_of_charge", "liebian-offer", format!("items[{i}]"), "payment providers refuse amounts of 0 fen");
    }
    if item.cost_price_fen.is_some_and(|cost| item.lowest_price_fen < cost) {
        report.warn("below_cost", "liebian-offer", format!("items[{i}].cost_price_fen"), "units are sold below what they cost");
    }
    if item.stock < item.smallest_size {
        report.warn("stock_below_room", "liebian-offer", format!("items[{i}].stock"), "the stock cannot fill one room");
    }
}

fn forecast(definition: &Definition) -> Forecast {
    let items: Vec<ItemForecast> = definition.items().iter().map(|item| item_forecast(item, definition.group_buy().is_some())).collect();
    let discount = items.iter().fold(0_i64, |sum, item| sum.saturating_add(item.worst_case_discount_fen.get()));
    let worst = match &definition.rules {
        Rules::GroupBuy(_) | Rules::Bargain(_) => Fen::new(discount),
        Rules::Referral(own) => own.budget_fen.unwrap_or_default(),
    };
    Forecast { units: items.iter().fold(0, |sum, item| sum.saturating_add(item.units)), worst_case_discount_fen: worst, items }
}

fn item_forecast(item: &ItemFacts<'_>, rooms: bool) -> ItemForecast {
    // A price above the list price is no gain to set against the others: the worst case of that item is nothing.
    let discount = item.list_price_fen.checked_sub(item.lowest_price_fen).unwrap_or_default().max(Fen::ZERO);
    ItemForecast {
        sku: item.sku.to_owned(),
        units: item.stock,
        lowest_price_fen: item.lowest_price_fen,
        discount_per_unit_fen: discount,
        worst_case_discount_fen: discount.checked_mul(item.stock).unwrap_or(Fen::new(i64::MAX)),
        rooms_possible: rooms.then(|| item.stock.checked_div(item.smallest_size).unwrap_or_default()),
        margin_per_unit_fen: item.cost_price_fen.and_then(|cost| item.lowest_price_fen.checked_sub(cost)),
    }
}

impl CheckReport {
    fn error(&mut self, code: &str, rule: &str, field: impl Into<String>, message: impl Into<String>) {
        self.errors.push(Finding { code: code.into(), rule: rule.into(), field: field.into(), message: message.into() });
    }

    fn warn(&mut self, code: &str, rule: &str, field: impl Into<String>, message: impl Into<String>) {
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
        assert_eq!((report.forecast.units, report.forecast.worst_case_discount_fen), (1000, Fen::new(4_950_000)));
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
        assert_eq!(codes(&run(friends(), json!({"surface": "mini_program"})).errors), [("kind_not_available", "kind")]);
    }

    #[test]
    fn what_this_release_cannot_run_is_said() {
        let ladder = json!([{"size": 2, "price_fen": 60}, {"size": 3, "price_fen": 50}]);
        let mut changes = item(ladder, json!({"leader_price_fen": 40, "solo_price_fen": 90, "reserve": "room"}));
        changes["newcomers_only"] = json!(true);
        changes["accept_from"] = json!(2);
        assert!(run(cherries(), changes.clone()).errors.is_empty(), "all of these run");
        changes["loss_budget_fen"] = json!(5);
        assert_eq!(codes(&run(cherries(), changes).errors), [("field_not_available", "loss_budget_fen")]);
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
    }

    #[test]
    fn a_forecast_past_63_bits_stays_at_the_largest_number() {
        let huge = json!({"list_price_fen": 10_000_000_000_i64, "stock": 1_000_000_000});
        let report = run(cherries(), item(json!([{"size": 3, "price_fen": 0}]), huge));
        assert_eq!(report.forecast.worst_case_discount_fen, Fen::new(i64::MAX));
    }

    #[test]
    fn a_shared_sku_is_pointed_out() {
        let other = SharedSku { campaign_id: "cmp_abcdefgh".parse().unwrap(), title: "Plums".into(), sku: "cherry-1kg".into() };
        let report = check(&Definition::read(&cherries()).unwrap(), now(), &[other]);
        assert_eq!(codes(&report.warnings), [("shared_sku", "items")]);
    }
}
