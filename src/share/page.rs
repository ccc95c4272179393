//! The page behind a share link: true, plain, and the whole offer on one phone screen.
//!
//! No outside resources: style and script stand in the page and are named by their hashes in the Content-Security-Policy, so that
//! nothing an operator or shopper wrote can run. All text goes through askama's escaping. Inside WeChat's own browser a campaign may
//! not be played on a web page (外部链接内容管理规范): there the page is a neutral jump page.

use std::sync::LazyLock;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::language::Language;
use crate::campaign::view::{CampaignState, CampaignView, ItemView};
use crate::clock::UnixMs;
use crate::code::Code;
use crate::crypto::sha256;
use crate::group_buy::view::{RoomState, RoomView};

const STYLE: &str = include_str!("../../templates/share/page.css");
const SCRIPT: &str = include_str!("../../templates/share/page.js");

/// The page's Content-Security-Policy.
pub static CONTENT_SECURITY_POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(sha256(text.as_bytes())));
    format!(
        "default-src 'none'; style-src {}; script-src {}; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
});

/// All the page shows.
#[derive(Clone, Debug)]
pub struct PageData {
    /// The campaign.
    pub campaign: CampaignView,
    /// The room the link leads to, if any.
    pub room: Option<RoomView>,
    /// The masked name of whoever shared it.
    pub sharer: Option<String>,
}

/// The campaign's page.
///
/// # Errors
/// None that is known; askama's are passed on as a defect.
pub fn render(data: &PageData, language: Language) -> Result<String, askama::Error> {
    let (t, ends) = (Texts(language), deadline(data));
    let page = Page {
        data,
        campaign: &data.campaign,
        room: data.room.as_ref(),
        items: shown_items(data),
        state: t.state(state(data)),
        ends_ms: ends.get(),
        ends: t.time(ends),
        left: t.left(data.campaign.now, ends),
        span: [t.time(data.campaign.starts_at), t.time(data.campaign.ends_at)],
        scheduled: state(data) == State::Scheduled,
        t,
        style: STYLE,
        script: SCRIPT,
    };
    page.render()
}

/// The neutral page for WeChat's own browser: it names the campaign and asks nothing.
///
/// # Errors
/// As [`render`].
pub fn render_jump(data: &PageData, language: Language) -> Result<String, askama::Error> {
    let t = Texts(language);
    let text = t.say(
        "请复制链接，在手机浏览器中打开，或在小程序中查看。",
        "Copy the link and open it in your phone's browser, or look in the mini-program.",
    );
    Notice { title: &data.campaign.title, text, t, style: STYLE }.render()
}

/// A small page for a link that leads nowhere.
///
/// # Errors
/// As [`render`].
pub fn render_refusal(code: Code, language: Language) -> Result<String, askama::Error> {
    let t = Texts(language);
    let (title, text) = if code == Code::ShareRevoked {
        (t.say("链接已收回", "This link was taken back"), t.say("分享的人收回了这个链接。", "Whoever shared it took it back."))
    } else if code.status() >= 500 {
        (
            t.say("请稍后再试", "Please try again"),
            t.say("活动正在恢复，几秒后刷新即可。", "The campaign is being brought back. Reload in a few seconds."),
        )
    } else {
        (t.say("链接无效", "This link leads nowhere"), t.say("请检查链接是否完整。", "Check that the link is complete."))
    };
    Notice { title, text, t, style: STYLE }.render()
}

/// Whether a browser is WeChat's own, outside a mini-program's web-view.
#[must_use]
pub fn is_wechat_browser(user_agent: &str) -> bool {
    user_agent.contains("MicroMessenger") && !user_agent.contains("miniProgram")
}

#[derive(Template)]
#[template(path = "share/page.html")]
struct Page<'p> {
    data: &'p PageData,
    campaign: &'p CampaignView,
    room: Option<&'p RoomView>,
    items: Vec<&'p ItemView>,
    state: &'static str,
    ends_ms: i64,
    ends: String,
    left: String,
    span: [String; 2],
    scheduled: bool,
    t: Texts,
    style: &'static str,
    script: &'static str,
}

#[derive(Template)]
#[template(path = "share/notice.html")]
struct Notice<'p> {
    title: &'p str,
    text: &'p str,
    t: Texts,
    style: &'static str,
}

/// What the page says first: the room's end, else the campaign's state, else whether anything is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Scheduled,
    Live,
    Paused,
    Ended,
    SoldOut,
    RoomOpen,
    RoomFull,
    RoomFormed,
    RoomFailed,
    RoomExpired,
}

fn state(data: &PageData) -> State {
    if let Some(room) = &data.room {
        match room.state {
            RoomState::Formed => return State::RoomFormed,
            RoomState::Failed => return State::RoomFailed,
            RoomState::Open if room.expires_at <= data.campaign.now => return State::RoomExpired,
            RoomState::Open => {}
        }
    }
    match data.campaign.state {
        CampaignState::Scheduled => return State::Scheduled,
        CampaignState::Paused => return State::Paused,
        // Open rooms may fill until their deadline after the campaign's end.
        CampaignState::Ended if data.room.is_none() => return State::Ended,
        CampaignState::Ended | CampaignState::Live => {}
    }
    match &data.room {
        Some(room) if room.seats_left <= 0 => State::RoomFull,
        _ if shown_items(data).iter().all(|item| item.stock_left <= 0) => State::SoldOut,
        Some(_) => State::RoomOpen,
        None => State::Live,
    }
}

fn shown_items(data: &PageData) -> Vec<&ItemView> {
    let wanted = |item: &&ItemView| data.room.as_ref().is_none_or(|room| room.sku == item.sku);
    data.campaign.items.iter().filter(wanted).collect()
}

/// What time runs out for.
fn deadline(data: &PageData) -> UnixMs {
    match (&data.room, data.campaign.state) {
        (Some(room), _) => room.expires_at,
        (None, CampaignState::Scheduled) => data.campaign.starts_at,
        (None, CampaignState::Live | CampaignState::Paused | CampaignState::Ended) => data.campaign.ends_at,
    }
}

/// The page's words.
#[derive(Clone, Copy)]
struct Texts(Language);

impl Texts {
    /// The text in the page's language.
    const fn say<'t>(self, zh: &'t str, en: &'t str) -> &'t str {
        self.0.pick(zh, en)
    }

    const fn tag(self) -> &'static str {
        self.0.tag()
    }

    const fn state(self, state: State) -> &'static str {
        match state {
            State::Scheduled => self.say("即将开始", "Starts soon"),
            State::Live => self.say("进行中", "Open"),
            State::Paused => {
                self.say("活动暂停：暂不能开团或参团，已付款的订单不受影响", "Paused: no new rooms or members for now; paid orders stand")
            }
            State::Ended => self.say("活动已结束", "The campaign is over"),
            State::SoldOut => self.say("暂时售完，未付款的名额释放后会恢复", "Sold out for now; units come back when seats are not paid"),
            State::RoomOpen => self.say("等你参团", "Seats are free in this room"),
            State::RoomFull => self.say("名额已满，等待付款", "All seats are taken, payments pending"),
            State::RoomFormed => self.say("已成团", "This room has formed"),
            State::RoomFailed => self.say("未成团，已付的钱全额退回", "This room did not form; payments are returned in full"),
            State::RoomExpired => self.say("这个团的时间已到", "The time of this room is over"),
        }
    }

    /// How long until `end`, in days, hours and minutes; what is past is zero.
    fn left(self, now: UnixMs, end: UnixMs) -> String {
        let minutes = end.get().saturating_sub(now.get()).max(0) / 60_000;
        let (days, hours, minutes) = (minutes / 1440, minutes / 60 % 24, minutes % 60);
        match self.0 {
            Language::Zh => format!("{days}天{hours}小时{minutes}分钟"),
            Language::En => format!("{days} d {hours} h {minutes} min"),
        }
    }

    /// A time for people, in China's time zone, which has no summer time.
    fn time(self, at: UnixMs) -> String {
        let text = at.plus_seconds(8 * 3600).rfc3339();
        let minute: String = text.chars().take(16).map(|c| if c == 'T' { ' ' } else { c }).collect();
        format!("{minute} {}", self.say("（北京时间）", "(UTC+8)"))
    }
}

#[cfg(test)]
mod tests;
