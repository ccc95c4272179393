//! Routes of share links: make, take back, look up. Their page is in [`super::show`].

use actix_web::http::header::LOCATION;
use actix_web::middleware::from_fn;
use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, delete, get, post};
use serde::{Deserialize, Serialize};

use super::links::{self, Link};
use super::made::{MadeShare, made, parent, path};
use super::pages::PageSource;
use super::token::ShareToken;
use crate::app::App;
use crate::clock::UnixMs;
use crate::code::Code;
use crate::http::body::Json;
use crate::http::caller;
use crate::http::idempotency;
use crate::http::problem::Problem;
use crate::id::{CampaignId, TargetId};
use crate::identity::{Device, Session};

/// The longest channel name, in characters.
const MAX_CHANNEL: usize = 64;

/// What is shared.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewShare {
    /// The campaign.
    campaign_id: CampaignId,
    /// A room or chain of it.
    target_id: Option<TargetId>,
    /// Where it is shared, in the client's words; not blank, no control characters.
    #[schema(
        min_length = 1,
        max_length = 64,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$",
        example = "friend_chat"
    )]
    channel: Option<String>,
}

/// What a target is.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// A group-buy room.
    Room,
    /// A bargain chain.
    Chain,
}

impl From<TargetId> for TargetKind {
    fn from(target: TargetId) -> Self {
        match target {
            TargetId::Room(_) => Self::Room,
            TargetId::Chain(_) => Self::Chain,
        }
    }
}

/// What a link leads to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ShareView {
    /// The campaign.
    campaign_id: CampaignId,
    /// A room or chain of it.
    #[schema(required = true)]
    target_id: Option<TargetId>,
    /// What `target_id` is.
    #[schema(required = true)]
    target_kind: Option<TargetKind>,
    /// Where it was shared.
    #[schema(required = true)]
    channel: Option<String>,
    /// The masked name of whoever shared it.
    #[schema(required = true, example = "张**")]
    sharer: Option<String>,
    /// In a referral programme, the sharer's invite code: whoever came by the link can be bound by it.
    #[schema(required = true, example = "K7M4Q2XR")]
    invite_code: Option<String>,
    /// When.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime, example = "2026-11-22T08:00:00Z")]
    created_at: UnixMs,
    /// The page's path on this server.
    path: String,
}

/// Make a link to a campaign or one of its rooms or chains. A visitor who came by a link of the campaign becomes its child in the tree.
#[utoipa::path(tag = "shares", operation_id = "make_share", request_body = NewShare,
    responses((status = 201, description = "The link", body = MadeShare, headers(("Location")))),
    extensions(("x-refusals" = json!([Code::NotFound]))))]
#[post("/v1/shares", wrap = "from_fn(idempotency::once)")]
pub async fn create(
    app: Data<App>,
    session: Session,
    _device: Device,
    came_by: caller::ShareToken,
    body: Json<NewShare>,
) -> Result<HttpResponse, Problem> {
    let wanted = body.0;
    if wanted.channel.as_ref().is_some_and(|channel| !is_channel(channel)) {
        return Err(Problem::invalid("channel", format!("must be 1 to {MAX_CHANNEL} visible characters")));
    }
    app.campaign(wanted.campaign_id).await?.ok_or(Code::NotFound)?;
    if let Some(target) = wanted.target_id {
        if target.campaign() != wanted.campaign_id {
            return Err(Problem::invalid("target_id", "belongs to another campaign"));
        }
        match target {
            TargetId::Room(room) => app.room(room).await?.map(|_room| ()),
            TargetId::Chain(chain) => app.chain(chain).await?.map(|_chain| ()),
        }
        .ok_or(Code::NotFound)?;
    }
    let link = Link {
        token: ShareToken::random(&app.secrets),
        campaign_id: wanted.campaign_id,
        sharer: Some(session.user_id),
        target: wanted.target_id,
        parent: parent(&app, came_by.0.as_deref(), wanted.campaign_id).await?,
        channel: wanted.channel,
        invite_code: None,
        created_at: app.clock.now(),
        revoked_at: None,
    };
    links::keep(&app.store, &link).await?;
    let place = (LOCATION, format!("/v1/shares/{}", link.token));
    Ok(HttpResponse::Created().insert_header(place).json(made(&app, link.token)))
}

fn is_channel(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= MAX_CHANNEL && !text.chars().any(char::is_control)
}

/// Take a link back. A repeat answers the same.
#[utoipa::path(tag = "shares", operation_id = "revoke_share", params(("token" = String, Path, description = "A share link's token.")),
    responses((status = 204, description = "It leads nowhere from now on")),
    extensions(("x-refusals" = json!([Code::Forbidden, Code::ShareInvalid]))))]
#[delete("/v1/shares/{token}")]
pub async fn revoke(app: Data<App>, session: Session, _device: Device, token: Path<String>) -> Result<HttpResponse, Problem> {
    let link = known(&app, &token).await?;
    if link.sharer != Some(session.user_id) {
        return Err(Code::Forbidden.into());
    }
    links::revoke(&app.store, link.token, app.clock.now()).await?;
    app.pages.forget(link.token);
    Ok(HttpResponse::NoContent().finish())
}

/// What a link leads to, for a mini-program that was opened by it. Counts as a visit.
#[utoipa::path(tag = "shares", operation_id = "get_share", params(("token" = String, Path, description = "A share link's token.")),
    responses((status = 200, description = "What the link leads to", body = ShareView)),
    extensions(("x-refusals" = json!([Code::ShareInvalid, Code::ShareRevoked]))))]
#[get("/v1/shares/{token}")]
pub async fn read(app: Data<App>, token: Path<String>) -> Result<HttpResponse, Problem> {
    let link = standing(&app, &token).await?;
    let view = ShareView {
        campaign_id: link.campaign_id,
        target_id: link.target,
        target_kind: link.target.map(TargetKind::from),
        sharer: sharer(&app, &link).await?,
        created_at: link.created_at,
        path: path(link.token),
        channel: link.channel,
        invite_code: link.invite_code,
    };
    app.visits.count(link.token);
    Ok(HttpResponse::Ok().json(view))
}

/// Writes the counted visits; called every [`FLUSH_EVERY`](super::visits::FLUSH_EVERY) and at the end.
pub async fn flush_visits(app: &App) {
    let counts = app.visits.take();
    if counts.is_empty() {
        return;
    }
    if let Err(why) = links::add_visits(&app.store, &counts).await {
        tracing::warn!(%why, "visits of links are written later");
        app.visits.put_back(counts);
    }
}

/// The link of a token, revoked or not.
async fn known(app: &App, token: &str) -> Result<Link, Problem> {
    let token = ShareToken::read(&app.secrets, token).ok_or(Code::ShareInvalid)?;
    Ok(links::find(&app.store, token).await?.ok_or(Code::ShareInvalid)?)
}

/// The link of a token, unless it was taken back.
async fn standing(app: &App, token: &str) -> Result<Link, Problem> {
    let link = known(app, token).await?;
    if link.revoked_at.is_some() { Err(Code::ShareRevoked.into()) } else { Ok(link) }
}

async fn sharer(app: &App, link: &Link) -> Result<Option<String>, Problem> {
    match link.sharer {
        Some(user) => app.masked_name(user).await.map(Some),
        None => Ok(None),
    }
}
