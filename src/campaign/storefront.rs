//! The shopper's routes on campaigns.

use actix_web::http::header::ETAG;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get};
use serde::Serialize;

use super::live::{self, Live};
use super::records::{self, Record};
use super::view::CampaignView;
use crate::app::App;
use crate::code::Code;
use crate::http::answer::is_known;
use crate::http::caller::MaybeSession;
use crate::http::extract::Id;
use crate::http::page::{List, Page};
use crate::http::problem::Problem;
use crate::id::{CampaignId, UserId};
use crate::identity::users;

/// Campaigns that run or will run, newest first.
#[utoipa::path(tag = "campaigns", operation_id = "list_campaigns", params(Page),
    responses((status = 200, description = "A page", body = List<CampaignView>)))]
#[get("/v1/campaigns")]
pub async fn list(app: Data<App>, page: Page) -> Result<HttpResponse, Problem> {
    let rows = records::list_open(&app.store, app.clock.now(), page.before(), page.fetch()).await?;
    let List { items, next_cursor } = page.list(rows, |record: &Record| (record.created_at.get(), record.id.to_string()));
    let mut views = Vec::with_capacity(items.len());
    for record in items {
        let live = match live::read(&app, record.id, None).await {
            Ok(live) => live,
            // One campaign that is being brought back must not hide the others, nor itself.
            Err(problem) if problem.code() == Code::Recovering => Some(live::stored(&app, record).await?),
            Err(problem) => return Err(problem),
        };
        views.extend(live.map(|live| live.view(None)));
    }
    Ok(HttpResponse::Ok().json(List { items: views, next_cursor }))
}

/// One campaign. With a session it says what the campaign still allows the caller.
#[utoipa::path(tag = "campaigns", operation_id = "get_campaign", params(("id" = CampaignId, Path)), security((), ("session" = [])),
    responses((status = 200, description = "The campaign", body = CampaignView), (status = 304, description = "As the caller knows it")))]
#[get("/v1/campaigns/{id}")]
pub async fn read(app: Data<App>, request: HttpRequest, session: MaybeSession, id: Id<CampaignId>) -> Result<HttpResponse, Problem> {
    let user = session.0.map(|session| session.user_id);
    let live = live::read(&app, id.0, user).await?.ok_or(Code::NotFound)?;
    let newcomer = match user {
        Some(user) => Some(users::is_newcomer(&app.store, user).await?),
        None => None,
    };
    let (code, bond) = match user {
        Some(user) => app.yours(&live, user).await?,
        None => (None, None),
    };
    let etag = etag(&live, user, newcomer, code.as_deref());
    if is_known(&request, &etag) {
        return Ok(HttpResponse::NotModified().insert_header((ETAG, etag)).finish());
    }
    let mut view = live.view(newcomer);
    if let Some(you) = &mut view.you {
        (you.invite_code, you.bond) = (code, bond);
    }
    Ok(json(etag, &view))
}

fn json(etag: String, body: &impl Serialize) -> HttpResponse {
    HttpResponse::Ok().insert_header((ETAG, etag)).insert_header(("cache-control", "private, max-age=1")).json(body)
}

/// Changes with everything in the view but its `now`.
fn etag(live: &Live, user: Option<UserId>, newcomer: Option<bool>, code: Option<&str>) -> String {
    let who = user.map(|user| user.to_string()).unwrap_or_default();
    let state = format!("{:?}", live.state());
    let hash = crate::crypto::sha256_hex(
        format!("{} {} {} {state} {who} {newcomer:?} {code:?}", live.place.epoch, live.place.seq, live.record.version).as_bytes(),
    );
    format!("\"{}\"", hash.get(..16).unwrap_or_default())
}
