//! The page of a bargain: the exact price now, what is left, the next cut's amount before one taps, who helped, and where the proof is.
//! Nothing is rounded and nothing is promised that the schedule does not say. `js/chain.js` decides the same.

use askama::Template;

use super::offer::face;
use super::words::Texts;
use super::{Files, PageData};
use crate::bargain::row::State as ChainState;
use crate::bargain::view::ChainView;
use crate::campaign::model::BuyAt;
use crate::campaign::view::{BargainView, CampaignLimits, CampaignState, CampaignView, ItemView};
use crate::clock::UnixMs;
use crate::money::Fen;
use crate::share::assets::{ASSETS, Script};
use crate::share::language::Language;

/// The page's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Scheduled,
    Live,
    Paused,
    Ended,
    SoldOut,
    Open,
    Floor,
    Bought,
    Expired,
}

impl State {
    fn of(data: &PageData, left: i64) -> Self {
        if let Some(chain) = &data.chain {
            match chain.state {
                ChainState::Bought => return Self::Bought,
                ChainState::Expired => return Self::Expired,
                ChainState::FloorReached => return Self::Floor,
                ChainState::Open if chain.expires_at <= data.now => return Self::Expired,
                ChainState::Open => {}
            }
        }
        match (data.campaign.state, &data.chain) {
            (CampaignState::Scheduled, _) => Self::Scheduled,
            (CampaignState::Paused, _) => Self::Paused,
            // Open chains go on until their deadline after the campaign's end.
            (CampaignState::Live | CampaignState::Ended, Some(_)) => Self::Open,
            (CampaignState::Ended, None) => Self::Ended,
            (CampaignState::Live, None) if left <= 0 => Self::SoldOut,
            (CampaignState::Live, None) => Self::Live,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Live => "live",
            Self::Paused => "paused",
            Self::Ended => "ended",
            Self::SoldOut => "sold_out",
            Self::Open => "open",
            Self::Floor => "floor_reached",
            Self::Bought => "bought",
            Self::Expired => "expired",
        }
    }

    const fn is_ticking(self) -> bool {
        match self {
            Self::Scheduled | Self::Live | Self::Paused | Self::SoldOut | Self::Open | Self::Floor => true,
            Self::Ended | Self::Bought | Self::Expired => false,
        }
    }
}

/// Who cut, as the page shows it.
struct Cut<'p> {
    face: String,
    name: &'p str,
    role: &'static str,
    amount: String,
}

/// An item one can start a chain of.
struct Item<'p> {
    sold: &'p ItemView,
    floor: Fen,
    start: String,
}

/// The page as its template sees it.
#[derive(Template)]
#[template(path = "share/chain.html", whitespace = "minimize")]
pub(super) struct ChainPage<'p> {
    data: &'p PageData,
    campaign: &'p CampaignView,
    chain: Option<&'p ChainView>,
    /// The one item, or the chain's; else `items` has them.
    item: Option<Item<'p>>,
    items: Vec<Item<'p>>,
    state: State,
    price: Option<Fen>,
    label: &'static str,
    head: String,
    sub: String,
    news: String,
    cuts: Vec<Cut<'p>>,
    left_units: i64,
    until: UnixMs,
    time_label: &'static str,
    time_left: String,
    time_until: String,
    summary: String,
    steps: String,
    newcomers: Option<String>,
    buying: &'static str,
    rule_span: String,
    rule_limits: String,
    rule_times: String,
    sharer_face: String,
    url: String,
    picture: String,
    other: Language,
    other_address: String,
    locale: &'static str,
    shop: &'static str,
    assets: Files,
    t: Texts,
}

fn yuan(fen: Fen) -> String {
    format!("¥{fen}")
}

impl<'p> ChainPage<'p> {
    pub(super) fn new(data: &'p PageData, bargain: &BargainView, t: Texts) -> Self {
        let (campaign, chain) = (&*data.campaign, data.chain.as_deref());
        let shown = campaign.items.iter().filter(|item| chain.is_none_or(|chain| chain.sku == item.sku));
        let item = |item: &'p ItemView| {
            let floor = item.floor_price_fen.unwrap_or(item.list_price_fen);
            Item { sold: item, floor, start: t.fill("chain_start_of", [&item.title]) }
        };
        let mut items: Vec<Item<'p>> = shown.map(item).collect();
        let left_units = items.iter().map(|item| item.sold.stock_left.max(0)).sum();
        let item = if items.len() == 1 { items.pop() } else { None };
        let state = State::of(data, left_units);
        let (until, time_label) = deadline(data, t);
        let (head, sub) = headline(state, chain, item.as_ref(), bargain, t);
        let other = t.0.other();
        Self {
            price: chain.map(|chain| chain.price_fen).or(item.as_ref().map(|item| item.sold.list_price_fen)),
            label: if chain.is_some() { t.say("chain_price_now") } else { t.say("list_price") },
            summary: summary(chain, item.as_ref(), bargain, t),
            news: chain.map(|chain| progress(chain, t)).unwrap_or_default(),
            cuts: chain.map(|chain| cuts(chain, t)).unwrap_or_default(),
            time_left: t.left(data.now, until),
            time_until: t.fill("chain_until", [t.moment(until)]),
            steps: t.fill("chain_steps", [bargain.helpers]),
            newcomers: (bargain.newcomer_cuts > 1).then(|| t.fill("chain_newcomers", [bargain.newcomer_cuts])),
            buying: match bargain.buy_at {
                BuyAt::AnyPrice => t.say("chain_buy_any"),
                BuyAt::FloorPrice => t.say("chain_buy_floor"),
            },
            rule_span: t.fill("rule_span", [t.time(campaign.starts_at), t.time(campaign.ends_at)]),
            rule_limits: limits(campaign, t),
            rule_times: t.fill("chain_times", [t.span(bargain.chain_ttl_seconds), t.span(bargain.buy_ttl_seconds)]),
            sharer_face: data.sharer.as_deref().map(face).unwrap_or_default(),
            url: data.url(),
            picture: format!("{}{}", data.origin, ASSETS.picture.path()),
            other_address: data.address_in(other),
            locale: t.0.pick("zh_CN", "en_US"),
            shop: super::whole::shop(campaign.state),
            assets: Files::of(Script::Chain, t.0),
            until,
            time_label,
            left_units,
            other,
            data,
            campaign,
            chain,
            item,
            items,
            state,
            head,
            sub,
            t,
        }
    }
}

/// What time runs out for.
fn deadline(data: &PageData, t: Texts) -> (UnixMs, &'static str) {
    match (&data.chain, data.campaign.state) {
        (_, CampaignState::Scheduled) => (data.campaign.starts_at, t.say("starts_in")),
        (Some(chain), _) => (chain.buy_by.unwrap_or(chain.expires_at), t.say("closes_in")),
        (None, _) => (data.campaign.ends_at, t.say("ends_in")),
    }
}

/// What the page says first.
fn headline(state: State, chain: Option<&ChainView>, item: Option<&Item<'_>>, bargain: &BargainView, t: Texts) -> (String, String) {
    let (head, sub) = match (state, chain) {
        (State::Open, Some(chain)) => return (t.fill("chain_left", [yuan(chain.remaining_fen)]), next(chain, t)),
        (State::Floor, Some(chain)) => {
            return (t.fill("chain_floor_head", [yuan(chain.floor_price_fen)]), t.say("chain_floor_sub").to_owned());
        }
        (State::Live, _) => {
            let sub = item.map_or_else(
                || t.say("chain_choose").to_owned(),
                |item| t.fill("chain_live_sub", [bargain.helpers.to_string(), yuan(item.floor)]),
            );
            return (t.say("chain_live_head").to_owned(), sub);
        }
        (State::Bought, _) => (t.say("chain_bought_head"), t.say("chain_bought_sub")),
        (State::Expired, _) => (t.say("chain_expired_head"), t.say("chain_expired_sub")),
        (State::Paused, _) => (t.say("paused_head"), t.say("chain_paused_sub")),
        (State::Scheduled, _) => (t.say("scheduled_head"), t.say("chain_scheduled_sub")),
        (State::SoldOut, _) => (t.say("sold_out_head"), t.say("chain_sold_out_sub")),
        (State::Ended | State::Open | State::Floor, _) => (t.say("ended_head"), t.say("chain_ended_sub")),
    };
    (head.to_owned(), sub.to_owned())
}

/// How many steps are left, and what exactly the next one takes off.
fn next(chain: &ChainView, t: Texts) -> String {
    let steps = chain.cuts_needed - chain.cuts_taken;
    t.fill("chain_next", [steps.to_string(), chain.next_cut_fen.map(yuan).unwrap_or_default()])
}

fn progress(chain: &ChainView, t: Texts) -> String {
    let cut = chain.start_price_fen.checked_sub(chain.price_fen).unwrap_or_default();
    t.fill("chain_progress", [chain.cuts_taken.to_string(), chain.cuts_needed.to_string(), yuan(cut)])
}

fn cuts(chain: &ChainView, t: Texts) -> Vec<Cut<'_>> {
    let cut =
        |cut: &'_ crate::bargain::view::CutView| (if cut.own { t.say("chain_own") } else { "" }, format!("−{}", yuan(cut.amount_fen)));
    let with_name = chain.cuts.iter().map(|one| (one, cut(one)));
    with_name.map(|(one, (role, amount))| Cut { face: face(&one.helper), name: &one.helper, role, amount }).collect()
}

fn limits(campaign: &CampaignView, t: Texts) -> String {
    match &campaign.limits {
        CampaignLimits::Bargain(most) => t.fill("chain_limits", [most.chains_per_user, most.helps_per_day, most.helps_per_campaign]),
        CampaignLimits::GroupBuy(_) | CampaignLimits::Referral(_) => String::new(),
    }
}

/// The offer in one line, for previews of the link.
fn summary(chain: Option<&ChainView>, item: Option<&Item<'_>>, bargain: &BargainView, t: Texts) -> String {
    match (chain, item) {
        (Some(chain), _) => format!("{} {}, {}", t.say("chain_price_now"), yuan(chain.price_fen), progress(chain, t)),
        (None, Some(item)) => t.fill("chain_live_sub", [bargain.helpers.to_string(), yuan(item.floor)]),
        (None, None) => t.say("chain_choose").to_owned(),
    }
}
