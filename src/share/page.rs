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

use super::assets::{ASSETS, Assets, Script};
use super::language::Language;
use crate::bargain::view::ChainView;
use crate::campaign::view::CampaignView;
use crate::clock::UnixMs;
use crate::code::Code;
use crate::crypto::sha256;
use crate::group_buy::view::RoomView;

mod chain;
mod invite;
mod offer;
mod state;
mod whole;
pub mod words;

use chain::ChainPage;
use invite::InvitePage;
use whole::Page;
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
    /// The chain that is shown, if any.
    pub chain: Option<Arc<ChainView>>,
    /// The masked name of whoever shared it.
    pub sharer: Option<String>,
    /// The sharer's invite code, in a referral programme.
    pub invite_code: Option<String>,
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
    let t = Texts(language);
    match (&data.campaign.bargain, &data.campaign.referral) {
        (Some(bargain), _) => ChainPage::new(data, bargain, t).render(),
        (None, Some(referral)) => InvitePage::new(data, referral, t).render(),
        (None, None) => Page::new(data, t).render(),
    }
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

/// A page's own files in one language.
struct Files {
    style: &'static str,
    more: String,
    script: String,
    icon: String,
}

impl Files {
    fn of(script: Script, language: Language) -> Self {
        let all: &'static Assets = &ASSETS;
        Self { style: &all.style, more: all.more.path(), script: all.script(script, language), icon: all.icon.path() }
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

#[cfg(test)]
mod invite_tests;
#[cfg(test)]
mod tests;
