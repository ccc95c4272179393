//! The whole page: everything its template fills in.

use askama::Template;

use super::offer::{Offer, Other, Seat, crowd, face, others, seats};
use super::state::{Deadline, State, shown_items, state};
use super::words::Texts;
use super::{Files, PageData};
use crate::campaign::view::{CampaignLimits, CampaignState, CampaignView};
use crate::group_buy::view::RoomView;
use crate::share::assets::{ASSETS, Script};
use crate::share::language::Language;

/// The page as its template sees it.
#[derive(Template)]
#[template(path = "share/page.html", whitespace = "minimize")]
pub(super) struct Page<'p> {
    data: &'p PageData,
    campaign: &'p CampaignView,
    room: Option<&'p RoomView>,
    /// The one item, else none and `items` has them.
    offer: Option<Offer<'p>>,
    items: Vec<Offer<'p>>,
    seats: Vec<Seat<'p>>,
    crowd: &'static str,
    others: Vec<Other>,
    state: State,
    shop: &'static str,
    left_units: i64,
    head: String,
    sub: String,
    news: String,
    summary: String,
    deadline: Deadline,
    step_fill: String,
    rule_span: String,
    rule_limits: String,
    rule_accept: Option<String>,
    has_ladder: bool,
    url: String,
    sharer_face: String,
    label: &'static str,
    left: String,
    until: String,
    picture: String,
    other: Language,
    other_address: String,
    locale: &'static str,
    assets: Files,
    t: Texts,
}

impl<'p> Page<'p> {
    pub(super) fn new(data: &'p PageData, t: Texts) -> Self {
        let (campaign, room, state) = (&*data.campaign, data.room.as_deref(), state(data));
        let shown = shown_items(data);
        let left_units = shown.iter().map(|item| item.stock_left.max(0)).sum();
        let mut items: Vec<Offer<'p>> = shown.into_iter().filter_map(|item| Offer::new(item, room, t)).collect();
        let offer = if items.len() == 1 { items.pop() } else { None };
        let size = offer.as_ref().map_or(0, |offer| offer.size);
        let least = offer.as_ref().and_then(Offer::least);
        let (head, sub) = headline(state, room, (size, least), t);
        let (deadline, other) = (Deadline::of(data), t.0.other());
        Self {
            summary: offer.as_ref().map_or_else(|| t.say("step_join").to_owned(), |offer| summary(offer, t)),
            seats: seats(data, offer.as_ref(), t),
            crowd: crowd(size),
            others: others(data, t),
            shop: shop(campaign.state),
            news: room.map(|room| t.fill("seats_now", [room.seats_taken, room.size, room.seats_paid])).unwrap_or_default(),
            step_fill: step_fill(offer.as_ref(), t),
            rule_accept: campaign.accept_from.map(|from| t.fill("rule_accept", [from])),
            has_ladder: campaign.items.iter().any(|item| item.tiers.len() > 1),
            rule_span: t.fill("rule_span", [t.time(campaign.starts_at), t.time(campaign.ends_at)]),
            rule_limits: rule_limits(campaign, t),
            url: data.url(),
            sharer_face: data.sharer.as_deref().map(face).unwrap_or_default(),
            label: deadline.label(t),
            left: t.left(data.now, deadline.at()),
            until: deadline.sentence(t),
            picture: format!("{}{}", data.origin, ASSETS.picture.path()),
            deadline,
            other,
            other_address: data.address_in(other),
            locale: t.0.pick("zh_CN", "en_US"),
            assets: Files::of(Script::Room, t.0),
            data,
            campaign,
            room,
            offer,
            items,
            state,
            left_units,
            head,
            sub,
            t,
        }
    }
}

fn rule_limits(campaign: &CampaignView, t: Texts) -> String {
    match &campaign.limits {
        CampaignLimits::GroupBuy(most) => t.fill("limits", [most.quantity_per_order, most.orders_per_user]),
        CampaignLimits::Bargain(_) | CampaignLimits::Referral(_) => String::new(),
    }
}

/// What the page says first.
fn headline(state: State, room: Option<&RoomView>, (size, least): (i64, Option<i64>), t: Texts) -> (String, String) {
    let said = |key: String| t.say(&key).to_owned();
    match (state, room) {
        (State::Open, Some(room)) => still_open(room, t),
        (State::Formed, Some(room)) => (t.say("formed_head").to_owned(), formed(room, t)),
        (State::Live, _) if least.is_some() => (t.say("live_head").to_owned(), t.fill("ladder_sub", least)),
        (State::Live, _) if size > 0 => (t.say("live_head").to_owned(), t.fill("live_sub", [size - 1])),
        (State::Live, _) => (t.say("live_head").to_owned(), t.say("step_join").to_owned()),
        _ => (said(format!("{}_head", state.word())), said(format!("{}_sub", state.word()))),
    }
}

/// How many are missing, and what for: the whole room, or the next step of its ladder.
pub(super) fn still_open(room: &RoomView, t: Texts) -> (String, String) {
    let next = room.tiers.iter().find(|tier| tier.size > room.seats_taken);
    match (room.tiers.as_slice(), next) {
        ([first, _, ..], Some(next)) if next.size == first.size => {
            (t.fill("open_head", [next.size - room.seats_taken]), t.fill("ladder_sub", [first.size]))
        }
        ([_, _, ..], Some(next)) => {
            let missing = (next.size - room.seats_taken).to_string();
            (t.fill("ladder_head", [missing, format!("¥{}", next.price_fen)]), t.say("ladder_due").to_owned())
        }
        _ => (t.fill("open_head", [room.seats_left]), t.fill("open_sub", [room.size])),
    }
}

fn formed(room: &RoomView, t: Texts) -> String {
    match room.final_price_fen {
        Some(fen) if fen < room.price_fen => t.fill("ladder_formed", [room.seats_paid.to_string(), format!("¥{fen}")]),
        Some(_) | None => t.fill("formed_sub", [room.seats_paid]),
    }
}

fn step_fill(offer: Option<&Offer<'_>>, t: Texts) -> String {
    match offer {
        Some(offer) if !offer.steps.is_empty() => t.say("step_ladder").to_owned(),
        Some(offer) => t.fill("step_fill", [offer.size]),
        None => t.say("step_enough").to_owned(),
    }
}

/// The offer in one line, for previews of the link.
fn summary(offer: &Offer<'_>, t: Texts) -> String {
    let base = offer.less.as_ref().map(|_less| format!(", {} ¥{}", t.say("list_price"), offer.item.list_price_fen)).unwrap_or_default();
    format!("¥{} {}{base}", offer.price, offer.label)
}

pub(super) const fn shop(state: CampaignState) -> &'static str {
    match state {
        CampaignState::Scheduled => "scheduled",
        CampaignState::Live => "live",
        CampaignState::Paused => "paused",
        CampaignState::Ended => "ended",
    }
}
