//! The page of an invite: who invites, what the programme is about, what inviting earns and when it does not. Every figure is one of the
//! rules; nothing is promised beside them. `js/invite.js` decides the same.

use askama::Template;

use super::offer::face;
use super::words::Texts;
use super::{Files, PageData};
use crate::campaign::model::{Level, OrdersFrom, SkuOverride, Touch, has_second_level};
use crate::campaign::view::{CampaignState, CampaignView, ItemView, ReferralView};
use crate::clock::UnixMs;
use crate::money::Fen;
use crate::referral::rates::Rates;
use crate::share::assets::{ASSETS, Script};
use crate::share::language::Language;

/// Other goods that are told one by one; there may be a thousand.
const OTHERS: usize = 20;

/// The page's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Scheduled,
    Live,
    Paused,
    Ended,
    /// It runs, but operators have switched invites off.
    Closed,
    /// It runs, but nothing is left of its budget.
    Exhausted,
}

impl State {
    const fn of(campaign: &CampaignView, referral: &ReferralView) -> Self {
        match campaign.state {
            CampaignState::Scheduled => Self::Scheduled,
            CampaignState::Paused => Self::Paused,
            CampaignState::Ended => Self::Ended,
            CampaignState::Live if !campaign.switches.join => Self::Closed,
            CampaignState::Live if referral.budget_exhausted => Self::Exhausted,
            CampaignState::Live => Self::Live,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Live => "live",
            Self::Paused => "paused",
            Self::Ended => "ended",
            Self::Closed => "closed",
            Self::Exhausted => "exhausted",
        }
    }

    const fn is_ticking(self) -> bool {
        match self {
            Self::Scheduled | Self::Live | Self::Paused | Self::Closed | Self::Exhausted => true,
            Self::Ended => false,
        }
    }
}

/// What one level earns.
struct Earned {
    part: String,
    of: &'static str,
}

/// A thing the programme is about, and what an order of one unit earns.
struct Item<'p> {
    sold: &'p ItemView,
    example: String,
}

/// The page as its template sees it.
#[derive(Template)]
#[template(path = "share/invite.html", whitespace = "minimize")]
pub(super) struct InvitePage<'p> {
    data: &'p PageData,
    campaign: &'p CampaignView,
    state: State,
    /// The masked name of whoever invites, where the link carries their code.
    inviter: Option<&'p str>,
    /// The one item, else `items` has them.
    item: Option<Item<'p>>,
    items: Vec<Item<'p>>,
    levels: Vec<Earned>,
    last_level: &'static str,
    head: String,
    sub: &'static str,
    until: UnixMs,
    time_label: &'static str,
    time_left: String,
    time_until: String,
    freeze: String,
    rules: Vec<String>,
    /// What other goods earn.
    others: Vec<String>,
    summary: String,
    sharer_face: String,
    url: String,
    picture: String,
    other: Language,
    other_address: String,
    locale: &'static str,
    assets: Files,
    t: Texts,
}

fn yuan(fen: Fen) -> String {
    format!("¥{fen}")
}

/// Basis points as people say them: 10%, 2.5%, 0.05%.
fn percent(basis_points: i64) -> String {
    let text = format!("{}.{:02}", basis_points / 100, basis_points % 100);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// What a level gives.
fn part(level: Level) -> String {
    match level {
        Level::Share { basis_points } => percent(basis_points),
        Level::Fixed { fixed_fen } => yuan(fixed_fen),
    }
}

impl<'p> InvitePage<'p> {
    pub(super) fn new(data: &'p PageData, referral: &'p ReferralView, t: Texts) -> Self {
        let campaign = &*data.campaign;
        let state = State::of(campaign, referral);
        let inviter = data.invite_code.as_ref().and(data.sharer.as_deref());
        let item = |sold: &'p ItemView| Item { sold, example: example(referral, sold, t) };
        let mut items: Vec<Item<'p>> = campaign.items.iter().map(item).collect();
        let item = if items.len() == 1 { items.pop() } else { None };
        let shown = item.as_ref().map(|item| item.sold.sku.as_str());
        let rates = rates(referral, shown);
        let (until, time_label, time_until) = match state {
            State::Scheduled => (campaign.starts_at, t.say("starts_in"), "deadline_start"),
            State::Live | State::Paused | State::Ended | State::Closed | State::Exhausted => {
                (campaign.ends_at, t.say("ends_in"), "deadline_end")
            }
        };
        let (head, sub) = headline(state, inviter, t);
        let other = t.0.other();
        Self {
            levels: levels(rates, t),
            last_level: if rates.is_some_and(|rates| rates.level2.is_some()) { t.say("refer_last_two") } else { t.say("refer_last_one") },
            summary: summary(item.as_ref(), t),
            freeze: match referral.freeze_seconds {
                0 => t.say("refer_step_at_once").to_owned(),
                seconds => t.fill("refer_step_freeze", [t.span(seconds)]),
            },
            rules: rules(campaign, referral, t),
            others: others(campaign, referral, t),
            time_left: t.left(data.now, until),
            time_until: t.fill(time_until, [t.moment(until)]),
            sharer_face: data.sharer.as_deref().map(face).unwrap_or_default(),
            url: data.url(),
            picture: format!("{}{}", data.origin, ASSETS.picture.path()),
            other_address: data.address_in(other),
            locale: t.0.pick("zh_CN", "en_US"),
            assets: Files::of(Script::Invite, t.0),
            data,
            campaign,
            state,
            inviter,
            item,
            items,
            head,
            sub,
            until,
            time_label,
            other,
            t,
        }
    }
}

/// The rates of an item, else the general ones.
fn rates(referral: &ReferralView, sku: Option<&str>) -> Option<Rates> {
    Rates::among(&referral.levels, &referral.sku_overrides, referral.cap_basis_points, sku)
}

fn levels(rates: Option<Rates>, t: Texts) -> Vec<Earned> {
    let earned = |level: Level, of| Earned { part: part(level), of };
    let first = rates.map(|rates| earned(rates.level1, t.say("refer_level_one")));
    let second = rates.and_then(|rates| rates.level2).map(|level| earned(level, t.say("refer_level_two")));
    first.into_iter().chain(second).collect()
}

/// What an order of one unit at its price earns, as the engine reckons it.
fn example(referral: &ReferralView, item: &ItemView, t: Texts) -> String {
    let Some(rates) = rates(referral, Some(&item.sku)) else { return String::new() };
    let (first, second) = rates.rewards(item.list_price_fen);
    let [price, first, second] = [item.list_price_fen, first, second].map(yuan);
    match rates.level2 {
        Some(_) => t.fill("refer_example_two", [price, first, second]),
        None => t.fill("refer_example_one", [price, first]),
    }
}

/// What the page says first.
fn headline(state: State, inviter: Option<&str>, t: Texts) -> (String, &'static str) {
    let (head, sub) = match (state, inviter) {
        (State::Live, Some(name)) => return (t.fill("refer_head", [name]), t.say("refer_sub")),
        (State::Live, None) => (t.say("refer_open_head"), t.say("refer_open_sub")),
        (State::Scheduled, _) => (t.say("scheduled_head"), t.say("refer_scheduled_sub")),
        (State::Paused, _) => (t.say("paused_head"), t.say("refer_paused_sub")),
        (State::Ended, _) => (t.say("ended_head"), t.say("refer_ended_sub")),
        (State::Closed, _) => (t.say("refer_closed_head"), t.say("refer_closed_sub")),
        (State::Exhausted, _) => (t.say("refer_exhausted_head"), t.say("refer_exhausted_sub")),
    };
    (head.to_owned(), sub)
}

/// The rules that follow from the definition, one a line.
fn rules(campaign: &CampaignView, referral: &ReferralView, t: Texts) -> Vec<String> {
    let (bond, withdrawal) = (&referral.bond, &referral.withdrawal);
    let two = has_second_level(&referral.levels, &referral.sku_overrides);
    let takes = |from| referral.orders_from.contains(&from);
    let orders = match (takes(OrdersFrom::Outside), takes(OrdersFrom::Campaigns)) {
        (true, true) => t.say("refer_orders_both"),
        (false, true) => t.say("refer_orders_here"),
        (true | false, false) => t.say("refer_orders_shop"),
    };
    let touch = match (bond.touch, bond.protected_seconds) {
        (Touch::First, _) => t.say("refer_first").to_owned(),
        (Touch::Last, None) => t.say("refer_last").to_owned(),
        (Touch::Last, Some(seconds)) => t.fill("refer_last_protected", [t.span(seconds)]),
    };
    let [least, most, unasked] = [withdrawal.min_fen, withdrawal.max_fen, withdrawal.auto_approve_max_fen].map(yuan);
    let cap = [percent(referral.cap_basis_points)];
    let all = [
        Some(t.fill("rule_span", [t.time(campaign.starts_at), t.time(campaign.ends_at)])),
        Some(orders.to_owned()),
        Some(if two { t.fill("refer_cap_two", cap) } else { t.fill("refer_cap_one", cap) }),
        Some(touch),
        bond.expires_after_seconds.map(|seconds| t.fill("refer_expires", [t.span(seconds)])),
        Some(t.say("refer_circles").to_owned()),
        Some(t.say("refer_budget").to_owned()),
        Some(t.fill("refer_withdrawal", [least, most, withdrawal.per_day.to_string()])),
        (withdrawal.auto_approve_max_fen < withdrawal.max_fen).then(|| t.fill("refer_approval", [unasked])),
        Some(t.say("refer_privacy").to_owned()),
        Some(t.say("refer_free").to_owned()),
    ];
    all.into_iter().flatten().collect()
}

/// What goods earn that are not on the page and have rates of their own, one a line.
fn others(campaign: &CampaignView, referral: &ReferralView, t: Texts) -> Vec<String> {
    let shown = |sku: &str| campaign.items.iter().any(|item| item.sku == sku);
    let mut others = referral.sku_overrides.iter().filter(|entry| !shown(&entry.sku));
    let line = |entry: &SkuOverride| match entry.levels.as_slice() {
        [first, second, ..] => t.fill("refer_other_two", [entry.sku.clone(), part(*first), part(*second)]),
        [first] => t.fill("refer_other_one", [entry.sku.clone(), part(*first)]),
        [] => entry.sku.clone(),
    };
    let mut lines: Vec<String> = others.by_ref().take(OTHERS).map(line).collect();
    let rest = others.count();
    lines.extend((rest > 0).then(|| t.fill("refer_others_more", [rest])));
    lines
}

/// The programme in one line, for previews of the link: what it is about, never what it earns.
fn summary(item: Option<&Item<'_>>, t: Texts) -> String {
    match item {
        Some(item) => format!("{} {}", item.sold.title, yuan(item.sold.list_price_fen)),
        None => t.say("refer_open_head").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn shares_read_well() {
        assert_eq!([1000, 10_000, 250, 1005, 5, 0].map(percent), ["10%", "100%", "2.5%", "10.05%", "0.05%", "0%"]);
    }
}
