//! Pages from memory: while a link goes round, each page is made once and handed out as the same bytes.
//!
//! * What a page is made of (link, campaign, room) and the page itself are kept for at most a second; no SQL and no Redis are asked
//!   meanwhile. The stream corrects what is older than its reader would like.
//! * When this process has decided an op in the campaign since, they are made anew at once, so that a page asked for after an answered
//!   POST shows its effect. Only so many a second are: in a stampede a second's age will do.
//! * Each map has a bound; beyond it what is out of date goes first.

use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix_web::http::header::HeaderValue;
use actix_web::web::Bytes;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::assets::gzip;
use super::language::Language;
use super::links::{self, Link};
use super::page::{self, Asked, PageData};
use super::shelf::Shelf;
use super::token::ShareToken;
use crate::app::App;
use crate::bargain::view::ChainView;
use crate::campaign::view::CampaignView;
use crate::clock::UnixMs;
use crate::code::Code;
use crate::crypto::sha256_hex;
use crate::group_buy::view::RoomView;
use crate::hot::Place;
use crate::http::problem::Problem;
use crate::id::{CampaignId, ChainId, RoomId, TargetId, UserId};

/// Where the page takes its data from; the application provides it from hot state.
pub trait PageSource {
    /// A published campaign; `None` for drafts and unknown ones.
    fn campaign(&self, id: CampaignId) -> impl Future<Output = Result<Option<CampaignView>, Problem>>;
    /// Its joinable rooms, nearly full first, at most so many; none where they are not listed.
    fn joinable(&self, id: CampaignId, most: usize) -> impl Future<Output = Result<Vec<RoomView>, Problem>>;
    /// A room.
    fn room(&self, id: RoomId) -> impl Future<Output = Result<Option<RoomView>, Problem>>;
    /// A chain.
    fn chain(&self, id: ChainId) -> impl Future<Output = Result<Option<ChainView>, Problem>>;
    /// The masked name of a shopper.
    fn masked_name(&self, id: UserId) -> impl Future<Output = Result<String, Problem>>;
    /// The newest op of a campaign that this process saw decided.
    fn head(&self, id: CampaignId) -> Option<Place>;
}

/// How long anything is kept, in milliseconds.
const KEPT_MS: i64 = 1_000;
const KEPT: Duration = Duration::from_secs(1);
/// So many pages are kept: about 10 KB each.
const PAGES: usize = 2_048;
/// So many links, campaigns and rooms are kept, each.
const PARTS: usize = 8_192;
/// So often a second something is made anew before its second is over.
const EARLY: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);
/// Other rooms that a page names.
const OTHERS: usize = 6;

/// Which page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// The link.
    pub token: ShareToken,
    /// Its language.
    pub language: Language,
    /// What its address asks for.
    pub asked: Asked,
    /// Whether it is for WeChat's own browser.
    pub jump: bool,
}

/// When something was made, and where the campaign stood.
#[derive(Clone, Copy, Debug)]
struct Stamp {
    at: UnixMs,
    head: Option<Place>,
}

/// A page as it is sent.
pub struct Rendered {
    /// The HTML.
    pub html: Bytes,
    /// Changes with the HTML.
    pub etag: HeaderValue,
    gzip: OnceLock<Bytes>,
    campaign: CampaignId,
}

impl Rendered {
    fn new(html: String, volatile: &str, campaign: CampaignId) -> Self {
        let hash = sha256_hex(html.replacen(volatile, "", 1).as_bytes());
        // Weak: the server's clock in it is left out.
        let etag = HeaderValue::from_str(&format!("W/\"{}\"", hash.get(..16).unwrap_or_default()));
        let etag = etag.unwrap_or_else(|_never| HeaderValue::from_static("W/\"\""));
        Self { html: Bytes::from(html), etag, gzip: OnceLock::new(), campaign }
    }

    /// The HTML, compressed when first asked for.
    pub fn gzip(&self) -> Bytes {
        self.gzip.get_or_init(|| gzip(&self.html)).clone()
    }
}

/// A campaign and the rooms one could join.
struct Shop {
    campaign: Arc<CampaignView>,
    rooms: Arc<Vec<RoomView>>,
}

/// A link, and the masked name of whoever shared it.
struct Shared {
    link: Link,
    sharer: Option<String>,
}

type Kept<T> = (Stamp, Arc<T>);

/// What is kept of pages and their parts.
pub struct Pages {
    rendered: Shelf<Wanted, Kept<Rendered>>,
    links: Shelf<ShareToken, Kept<Option<Shared>>>,
    shops: Shelf<CampaignId, Kept<Option<Shop>>>,
    rooms: Shelf<RoomId, (Stamp, Option<Arc<RoomView>>)>,
    chains: Shelf<ChainId, (Stamp, Option<Arc<ChainView>>)>,
    early: DefaultDirectRateLimiter,
}

impl Default for Pages {
    fn default() -> Self {
        Self {
            rendered: Shelf::new(PAGES, KEPT),
            links: Shelf::new(PARTS, KEPT),
            shops: Shelf::new(PARTS, KEPT),
            rooms: Shelf::new(PARTS, KEPT),
            chains: Shelf::new(PARTS, KEPT),
            early: RateLimiter::direct(Quota::per_second(EARLY)),
        }
    }
}

impl Pages {
    /// A page.
    ///
    /// # Errors
    /// 404 and 410 of the link; trouble of SQL or Redis.
    pub async fn get(&self, app: &App, wanted: Wanted) -> Result<Arc<Rendered>, Problem> {
        let fresh = |(stamp, page): &Kept<Rendered>| self.is_fresh(app, *stamp, page.campaign);
        if let Some((_, page)) = self.rendered.find(&wanted, fresh) {
            return Ok(page);
        }
        // Boxed: who finds a page need not carry about what making one takes.
        Box::pin(async {
            // Garbage takes no place.
            if !wanted.token.is_ours(&app.secrets) {
                return Err(Code::ShareInvalid.into());
            }
            let wanted = Wanted { asked: self.known(app, wanted).await?, ..wanted };
            let (_, page) = self.rendered.get(wanted, fresh, async || self.make(app, wanted).await).await?;
            Ok(page)
        })
        .await
    }

    /// What is asked for, without a room that the campaign does not have: no page is made and kept for each room that somebody thinks up.
    async fn known(&self, app: &App, wanted: Wanted) -> Result<Asked, Problem> {
        let none = Asked { room: None, ..wanted.asked };
        let (Some(asked), Some(shared)) = (wanted.asked.room, &*self.link(app, wanted.token).await?) else { return Ok(none) };
        let is_known = asked.campaign() == shared.link.campaign_id && self.room(app, Some(asked)).await?.is_some();
        Ok(if is_known { wanted.asked } else { none })
    }

    /// Forgets a link that was taken back.
    pub fn forget(&self, token: ShareToken) {
        self.links.forget(|link| *link == token);
        self.rendered.forget(|page| page.token == token);
    }

    fn is_fresh(&self, app: &App, stamp: Stamp, campaign: CampaignId) -> bool {
        is_young(app, stamp) && (app.head(campaign) == stamp.head || self.early.check().is_err())
    }

    async fn make(&self, app: &App, wanted: Wanted) -> Result<Kept<Rendered>, Problem> {
        let shared = self.link(app, wanted.token).await?;
        let Some(Shared { link, sharer }) = &*shared else { return Err(Code::ShareInvalid.into()) };
        if link.revoked_at.is_some() {
            return Err(Code::ShareRevoked.into());
        }
        let (shop_stamp, shop) = self.shop(app, link.campaign_id).await?;
        let Some(shop) = &*shop else { return Err(Code::ShareInvalid.into()) };
        let (linked_room, linked_chain) = match link.target {
            Some(TargetId::Room(room)) => (Some(room), None),
            Some(TargetId::Chain(chain)) => (None, Some(chain)),
            None => (None, None),
        };
        let room = match self.room(app, wanted.asked.room).await? {
            Some(room) => Some(room),
            None => self.room(app, linked_room).await?,
        };
        let chain = self.chain(app, linked_chain).await?;
        // A page is as old as the oldest of what it shows.
        let shown = room.as_ref().map(|(stamp, _)| *stamp).or(chain.as_ref().map(|(stamp, _)| *stamp));
        let stamp = shown.filter(|shown| shown.at < shop_stamp.at).unwrap_or(shop_stamp);
        let since = app.clock.now().get().saturating_sub(shop_stamp.at.get()).max(0);
        let data = PageData {
            campaign: Arc::clone(&shop.campaign),
            rooms: Arc::clone(&shop.rooms),
            room: room.map(|(_, room)| room),
            chain: chain.map(|(_, chain)| chain),
            sharer: sharer.clone(),
            invite_code: link.invite_code.clone(),
            origin: app.config.public_url.clone(),
            path: format!("/s/{}", wanted.token),
            now: UnixMs::new(shop.campaign.now.get().saturating_add(since)),
            sandbox: app.config.sandbox,
            asked: wanted.asked,
        };
        let html = if wanted.jump { page::render_jump(&data, wanted.language) } else { page::render(&data, wanted.language) };
        let html = html.map_err(|why| Problem::defect(&why))?;
        Ok((stamp, Arc::new(Rendered::new(html, &format!("data-now=\"{}\"", data.now.get()), link.campaign_id))))
    }

    async fn link(&self, app: &App, token: ShareToken) -> Result<Arc<Option<Shared>>, Problem> {
        let make = async || {
            let stamp = stamp(app, None);
            let shared = match links::find(&app.store, token).await? {
                Some(link) => {
                    let sharer = match link.sharer {
                        Some(user) => Some(app.masked_name(user).await?),
                        None => None,
                    };
                    Some(Shared { link, sharer })
                }
                None => None,
            };
            Ok((stamp, Arc::new(shared)))
        };
        let (_, shared) = self.links.get(token, |(stamp, _)| is_young(app, *stamp), make).await?;
        Ok(shared)
    }

    async fn shop(&self, app: &App, campaign: CampaignId) -> Result<Kept<Option<Shop>>, Problem> {
        let make = async || {
            let stamp = stamp(app, Some(campaign));
            let shop = match app.campaign(campaign).await? {
                Some(view) => {
                    let rooms = Arc::new(app.joinable(campaign, OTHERS).await?);
                    Some(Shop { campaign: Arc::new(view), rooms })
                }
                None => None,
            };
            Ok((stamp, Arc::new(shop)))
        };
        self.shops.get(campaign, |(stamp, _)| self.is_fresh(app, *stamp, campaign), make).await
    }

    async fn chain(&self, app: &App, chain: Option<ChainId>) -> Result<Option<(Stamp, Arc<ChainView>)>, Problem> {
        let Some(id) = chain else { return Ok(None) };
        let make = async || {
            let stamp = stamp(app, Some(id.campaign()));
            Ok((stamp, app.chain(id).await?.map(Arc::new)))
        };
        let (stamp, chain) = self.chains.get(id, |(stamp, _)| self.is_fresh(app, *stamp, id.campaign()), make).await?;
        Ok(chain.map(|chain| (stamp, chain)))
    }

    async fn room(&self, app: &App, room: Option<RoomId>) -> Result<Option<(Stamp, Arc<RoomView>)>, Problem> {
        let Some(id) = room else { return Ok(None) };
        let make = async || {
            let stamp = stamp(app, Some(id.campaign()));
            Ok((stamp, app.room(id).await?.map(Arc::new)))
        };
        let (stamp, room) = self.rooms.get(id, |(stamp, _)| self.is_fresh(app, *stamp, id.campaign()), make).await?;
        Ok(room.map(|room| (stamp, room)))
    }
}

/// Now, before anything is read: an op decided meanwhile makes what is read old.
fn stamp(app: &App, campaign: Option<CampaignId>) -> Stamp {
    Stamp { at: app.clock.now(), head: campaign.and_then(|campaign| app.head(campaign)) }
}

/// The clock may be moved in the sandbox, and set back on any machine.
fn is_young(app: &App, stamp: Stamp) -> bool {
    (0..KEPT_MS).contains(&app.clock.now().get().saturating_sub(stamp.at.get()))
}
