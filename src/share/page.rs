//! The page behind a share link: true, plain, and the whole offer on one phone screen.
//!
//! * One answer paints the first screen: its style stands in the page; script and the rest of the style are files of their own
//!   ([`super::assets`]) that a browser keeps. No outside resources. The Content-Security-Policy names the style by its hash and lets
//!   only our own files run, so nothing an operator or shopper wrote can.
//! * Without scripts it is the same page, to read. The script brings it up to date and lets a visitor of the sandbox take part.
//! * Inside WeChat's own browser a campaign may not be played on a web page (外部链接内容管理规范): there it is a neutral jump page.

use std::sync::{Arc, LazyLock};

use actix_web::http::header::HeaderValue;
use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::assets::{ASSETS, Assets};
use super::language::Language;
use crate::campaign::view::{CampaignState, CampaignView};
use crate::clock::UnixMs;
use crate::code::Code;
use crate::crypto::sha256;
use crate::group_buy::view::RoomView;

mod offer;
mod state;
pub mod words;

use offer::{Offer, Other, Seat, crowd, face, others, seats};
use state::{Deadline, State, shown_items, state};
use words::Texts;

/// The page's Content-Security-Policy.
pub static CONTENT_SECURITY_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let [style, notice] = [&ASSETS.style, &ASSETS.notice].map(|style| STANDARD.encode(sha256(style.as_bytes())));
    let policy = format!(
        "default-src 'none'; style-src 'self' 'sha256-{style}' 'sha256-{notice}'; script-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    );
    HeaderValue::try_from(policy).unwrap_or_else(|_never| HeaderValue::from_static("default-src 'none'"))
});

/// All the page shows.
#[derive(Clone, Debug)]
pub struct PageData {
    /// The campaign.
    pub campaign: Arc<CampaignView>,
    /// Rooms one could join, nearly full first.
    pub rooms: Arc<Vec<RoomView>>,
    /// The room that is shown, if any.
    pub room: Option<Arc<RoomView>>,
    /// The masked name of whoever shared it.
    pub sharer: Option<String>,
    /// Where this server is reached from outside.
    pub origin: String,
    /// The page's path there.
    pub path: String,
    /// The engine's clock.
    pub now: UnixMs,
    /// Whether visitors can take part on the page itself.
    pub sandbox: bool,
    /// What the address asks for.
    pub asked: Asked,
}

/// What the page's address asks for beside its token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Asked {
    /// `?room=`
    pub room: Option<crate::id::RoomId>,
    /// `?lang=`
    pub language: Option<Language>,
}

impl PageData {
    /// The whole link.
    fn url(&self) -> String {
        format!("{}{}", self.origin, self.path)
    }

    /// `lang=…` after `before`, if the reader chose the language.
    fn chosen_language(&self, t: Texts, before: &str) -> String {
        self.asked.language.map(|_chosen| format!("{before}lang={}", t.0.word())).unwrap_or_default()
    }

    /// This page in another language.
    fn address_in(&self, other: Language) -> String {
        let room = self.asked.room.map(|room| format!("room={room}&")).unwrap_or_default();
        format!("?{room}lang={}", other.word())
    }
}

/// The campaign's page.
///
/// # Errors
/// None that is known; askama's are passed on as a defect.
pub fn render(data: &PageData, language: Language) -> Result<String, askama::Error> {
    Page::new(data, Texts(language)).render()
}

/// The neutral page for WeChat's own browser: it names the campaign and asks nothing.
///
/// # Errors
/// As [`render`].
pub fn render_jump(data: &PageData, language: Language) -> Result<String, askama::Error> {
    let t = Texts(language);
    notice(t, &data.campaign.title, t.say("wechat"))
}

/// A small page for a link that leads nowhere.
///
/// # Errors
/// As [`render`].
pub fn render_refusal(code: Code, language: Language) -> Result<String, askama::Error> {
    let t = Texts(language);
    if code == Code::ShareRevoked {
        notice(t, t.say("revoked_head"), t.say("revoked_sub"))
    } else if code.status() >= 500 {
        notice(t, t.say("trouble_head"), t.say("trouble_sub"))
    } else {
        notice(t, t.say("refused_head"), t.say("refused_sub"))
    }
}

fn notice(t: Texts, title: &str, text: &str) -> Result<String, askama::Error> {
    Notice { title, text, t, other: t.0.other(), style: &ASSETS.notice, icon: ASSETS.icon.path() }.render()
}

/// Whether a browser is WeChat's own, outside a mini-program's web-view.
#[must_use]
pub fn is_wechat_browser(user_agent: &str) -> bool {
    user_agent.contains("MicroMessenger") && !user_agent.contains("miniProgram")
}

/// The page's own files in one language.
struct Files {
    style: &'static str,
    more: String,
    script: String,
    icon: String,
}

impl Files {
    fn of(language: Language) -> Self {
        let all: &'static Assets = &ASSETS;
        Self { style: &all.style, more: all.more.path(), script: all.script(language).path(), icon: all.icon.path() }
    }
}

#[derive(Template)]
#[template(path = "share/page.html", whitespace = "minimize")]
struct Page<'p> {
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
    fn new(data: &'p PageData, t: Texts) -> Self {
        let (campaign, room, state) = (&*data.campaign, data.room.as_deref(), state(data));
        let shown = shown_items(data);
        let left_units = shown.iter().map(|item| item.stock_left.max(0)).sum();
        let mut items: Vec<Offer<'p>> = shown.into_iter().filter_map(|item| Offer::new(item, room, t)).collect();
        let offer = if items.len() == 1 { items.pop() } else { None };
        let size = offer.as_ref().map_or(0, |offer| offer.size);
        let (head, sub) = headline(state, room, size, t);
        let (deadline, other) = (Deadline::of(data), t.0.other());
        Self {
            summary: offer.as_ref().map_or_else(|| t.say("step_join").to_owned(), |offer| summary(offer, t)),
            seats: seats(data, offer.as_ref(), t),
            crowd: crowd(size),
            others: others(data, t),
            shop: shop(campaign.state),
            news: room.map(|room| t.fill("seats_now", [room.seats_taken, room.size, room.seats_paid])).unwrap_or_default(),
            step_fill: offer.as_ref().map_or_else(|| t.say("step_enough").to_owned(), |offer| t.fill("step_fill", [offer.size])),
            rule_span: t.fill("rule_span", [t.time(campaign.starts_at), t.time(campaign.ends_at)]),
            rule_limits: t.fill("limits", [campaign.limits.quantity_per_order, campaign.limits.orders_per_user]),
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
            assets: Files::of(t.0),
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

#[derive(Template)]
#[template(path = "share/notice.html", whitespace = "minimize")]
struct Notice<'p> {
    title: &'p str,
    text: &'p str,
    other: Language,
    style: &'static str,
    icon: String,
    t: Texts,
}

/// What the page says first.
fn headline(state: State, room: Option<&RoomView>, size: i64, t: Texts) -> (String, String) {
    let said = |key: String| t.say(&key).to_owned();
    match (state, room) {
        (State::Open, Some(room)) => (t.fill("open_head", [room.seats_left]), t.fill("open_sub", [room.size])),
        (State::Formed, Some(room)) => (t.say("formed_head").to_owned(), t.fill("formed_sub", [room.seats_paid])),
        (State::Live, _) if size > 0 => (t.say("live_head").to_owned(), t.fill("live_sub", [size - 1])),
        (State::Live, _) => (t.say("live_head").to_owned(), t.say("step_join").to_owned()),
        _ => (said(format!("{}_head", state.word())), said(format!("{}_sub", state.word()))),
    }
}

/// The offer in one line, for previews of the link.
fn summary(offer: &Offer<'_>, t: Texts) -> String {
    let base = offer.less.as_ref().map(|_less| format!(", {} ¥{}", t.say("list_price"), offer.item.list_price_fen)).unwrap_or_default();
    format!("¥{} {}{base}", offer.price, t.fill("each", [offer.size]))
}

const fn shop(state: CampaignState) -> &'static str {
    match state {
        CampaignState::Scheduled => "scheduled",
        CampaignState::Live => "live",
        CampaignState::Paused => "paused",
        CampaignState::Ended => "ended",
    }
}

#[cfg(test)]
mod tests;
