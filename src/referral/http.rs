//! The shopper's routes: one's code, being bound, who came and what they earned.

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};

use super::PROGRAM;
use super::invites::{self, InviteCode};
use super::ops::{self, Bound, Decided};
use super::records::{self, Invitee};
use super::row::BondRow;
use super::view::{BondView, InviteeView, RewardView};
use crate::app::App;
use crate::campaign::keyed;
use crate::campaign::live::{self, Live};
use crate::campaign::model::Referral;
use crate::campaign::view::CampaignState;
use crate::clock::UnixMs;
use crate::code::Code;
use crate::http::answer;
use crate::http::body::{Json, KeyedJson, Nothing};
use crate::http::caller;
use crate::http::extract::{Id, Query};
use crate::http::idempotency;
use crate::http::page::{List, Page, id_or_any};
use crate::http::problem::Problem;
use crate::id::{CampaignId, UserId};
use crate::identity::names::masked;
use crate::identity::{Device, Session, users};
use crate::share::made::{MadeShare, made, parent};
use crate::share::token::ShareToken;

/// A code to hand on, and a link that carries it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct InviteView {
    /// Eight letters and digits, to be typed in either case.
    #[schema(example = "K7M4Q2XR")]
    invite_code: String,
    /// A link to the campaign; who opens it learns the code.
    share: MadeShare,
}

/// Who invited the caller.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBond {
    /// The inviter's code.
    #[schema(max_length = 32, example = "K7M4Q2XR")]
    invite_code: String,
}

/// The caller's bond.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct BoundView {
    /// As it stands.
    bond: BondView,
}

/// Your invite code in a referral programme, with a link that carries it. You have one in a campaign: asking again gives the same (200). A link
/// that you took back is replaced by another.
#[utoipa::path(tag = "referral", operation_id = "make_invite", params(("id" = CampaignId, Path)), request_body = Nothing,
    responses((status = 201, description = "Your code", body = InviteView, headers(("Location"))),
        (status = 200, description = "The one you have", body = InviteView)),
    extensions(("x-refusals" = json!([Code::CampaignNotLive, Code::CampaignEnded]))))]
#[post("/v1/campaigns/{id}/invites", wrap = "from_fn(idempotency::once)")]
pub async fn invite(
    app: Data<App>,
    session: Session,
    _device: Device,
    came_by: caller::ShareToken,
    id: Id<CampaignId>,
    body: Json<Nothing>,
) -> Result<HttpResponse, Problem> {
    let Nothing {} = body.0;
    if !live::runs(&app, id.0, &PROGRAM).await? {
        return Err(Code::NotFound.into());
    }
    if let Some(standing) = invites::standing(&app.store, id.0, session.user_id).await? {
        return Ok(HttpResponse::Ok().json(shown(&app, standing)?));
    }
    may_invite(&live::read(&app, id.0, None).await?.ok_or(Code::NotFound)?)?;
    let parent = parent(&app, came_by.0.as_deref(), id.0).await?;
    let link = invites::link(ShareToken::random(&app.secrets), (id.0, session.user_id), parent, app.clock.now());
    let before = invites::code_of(&app.store, id.0, session.user_id).await?;
    invites::keep(&app.store, &link, session.user_id).await?;
    let standing = invites::standing(&app.store, id.0, session.user_id).await?.ok_or(Code::Overloaded)?;
    let place = (LOCATION, format!("/v1/shares/{}", standing.1));
    let status = if before.is_none() { StatusCode::CREATED } else { StatusCode::OK };
    Ok(HttpResponse::build(status).insert_header(place).json(shown(&app, standing)?))
}

/// Whether codes are given out now.
fn may_invite(live: &Live) -> Result<(), Code> {
    match live.state() {
        CampaignState::Live if live.status.switches().open => Ok(()),
        CampaignState::Scheduled | CampaignState::Live | CampaignState::Paused => Err(Code::CampaignNotLive),
        CampaignState::Ended => Err(Code::CampaignEnded),
    }
}

fn shown(app: &App, (invite_code, token): (String, String)) -> Result<InviteView, Problem> {
    let token = ShareToken::read(&app.secrets, &token).ok_or_else(|| Problem::defect(&"an invite's link is not ours"))?;
    Ok(InviteView { invite_code, share: made(app, token) })
}

/// Be bound to whoever invited you. The bond that holds already is given again (200).
#[utoipa::path(tag = "referral", operation_id = "make_bond", params(("id" = CampaignId, Path)), request_body = NewBond,
    responses((status = 201, description = "Your bond", body = BoundView), (status = 200, description = "It held already", body = BoundView)),
    extensions(("x-decided" = json!(true)), ("x-refusals" = json!([Code::SelfInvite, Code::NewcomersOnly, Code::CampaignNotLive,
        Code::AlreadyBound, Code::BondCycle, Code::BudgetExhausted, Code::CampaignEnded]))))]
#[post("/v1/campaigns/{id}/bonds", wrap = "from_fn(keyed::told)")]
pub async fn bind(
    app: Data<App>,
    session: Session,
    _device: Device,
    id: Id<CampaignId>,
    body: KeyedJson<NewBond>,
) -> Result<HttpResponse, Problem> {
    if !live::runs(&app, id.0, &PROGRAM).await? {
        return Err(Code::NotFound.into());
    }
    // What is no code is nobody's, and neither is that of somebody who was erased.
    let code: InviteCode = body.body.invite_code.parse().map_err(|_no_code| Code::NotFound)?;
    let owner = app.invites.owner(&app.store, code).await?;
    let (_, inviter) = owner.filter(|(campaign, owner)| *campaign == id.0 && !app.revocations.is_erased(*owner)).ok_or(Code::NotFound)?;
    let newcomer = counts_as_newcomer(&app, id.0, session.user_id).await?;
    let Decided { decision, place, replayed } =
        ops::bind(&app.engine, id.0, (session.user_id, inviter), newcomer, body.key.as_ref()).await?;
    let at = place.map(|place| answer::Decided { campaign: id.0, place, replayed });
    match (decision, at) {
        (Ok(Bound { fresh, bond: Some(bond) }), Some(at)) => {
            app.names.learn(&session);
            let status = if fresh { StatusCode::CREATED } else { StatusCode::OK };
            Ok(at.json(status, &BoundView { bond: bond_view(&app, id.0, &bond).await? }))
        }
        (Ok(_), _) => Err(Problem::defect(&"a yes without its bond")),
        (Err(code), Some(at)) => Err(at.refuse(code.into())),
        (Err(code), None) => Err(code.into()),
    }
}

/// Whether the user is a newcomer, where that makes a difference.
async fn counts_as_newcomer(app: &App, campaign: CampaignId, user: UserId) -> Result<bool, Problem> {
    let definition = app.definitions.get(app, campaign, 0).await?;
    let matters = definition.is_some_and(|record| record.definition.referral().is_some_and(|own| own.bond.newcomers_only));
    Ok(matters && users::is_newcomer(&app.store, user).await?)
}

async fn bond_view(app: &App, campaign: CampaignId, bond: &BondRow) -> Result<BondView, Problem> {
    let inviter = UserId::from_hot(&bond.inviter).ok();
    let names = app.names.of(&app.store, &Vec::from_iter(inviter)).await?;
    Ok(BondView {
        campaign_id: campaign,
        inviter: inviter.and_then(|inviter| names.get(&inviter).cloned()).unwrap_or_else(|| masked("")),
        bound_at: UnixMs::new(bond.bound_at),
        expires_at: (bond.expires_at > 0).then_some(UnixMs::new(bond.expires_at)),
    })
}

/// The caller's code and bond in a referral campaign; nothing in others.
///
/// # Errors
/// When the database does not answer.
pub async fn own(app: &App, live: &Live, user: UserId) -> Result<(Option<String>, Option<BondView>), Problem> {
    if live.record.definition.referral().is_none() {
        return Ok((None, None));
    }
    let code = invites::code_of(&app.store, live.record.id, user).await?;
    let bond = match live.bond() {
        Some(bond) => Some(bond_view(app, live.record.id, bond).await?),
        None => None,
    };
    Ok((code, bond))
}

/// Your rewards, newest first. What was refused for want of budget is none.
#[utoipa::path(tag = "referral", operation_id = "list_my_rewards", params(Page),
    responses((status = 200, description = "A page", body = List<RewardView>)))]
#[get("/v1/me/rewards")]
pub async fn rewards(app: Data<App>, session: Session, page: Page) -> Result<HttpResponse, Problem> {
    app.earnings_caught_up(session.user_id).await;
    let rows = records::rewards_of(&app.store, session.user_id, page.before(), page.fetch()).await?;
    let List { items, next_cursor } = page.list(rows, |row| (row.created_at.get(), row.id.clone()));
    let buyers: Vec<UserId> = items.iter().map(|row| row.buyer_id).collect();
    let names = app.names.of(&app.store, &buyers).await?;
    let items = items.into_iter().map(|row| row.view(&names)).collect();
    Ok(HttpResponse::Ok().json(List::<RewardView> { items, next_cursor }))
}

/// Which invitees to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct InviteeQuery {
    /// Only of this campaign.
    #[param(inline, required = false, nullable = false)]
    campaign_id: Option<CampaignId>,
}

/// Whom you have invited (level 1), and whom they have (level 2, where the campaign has a second level): who is bound now, newest first.
#[utoipa::path(tag = "referral", operation_id = "list_my_invitees", params(InviteeQuery, Page),
    responses((status = 200, description = "A page", body = List<InviteeView>)))]
#[get("/v1/me/invitees")]
pub async fn invitees(app: Data<App>, session: Session, query: Query<InviteeQuery>, page: Page) -> Result<HttpResponse, Problem> {
    app.earnings_caught_up(session.user_id).await;
    let (user, now) = (session.user_id, app.clock.now());
    let two_levels = two_levels(&app, user).await?;
    let campaign = id_or_any(query.0.campaign_id);
    let rows = records::invitees_of(&app.store, user, (&campaign, &two_levels, now), page.before(), page.fetch()).await?;
    let List { items, next_cursor } = page.list(rows, Invitee::place);
    let users: Vec<UserId> = items.iter().map(|row| row.user_id).collect();
    let names = app.names.of(&app.store, &users).await?;
    let items = items.into_iter().map(|row| row.view(&names)).collect();
    Ok(HttpResponse::Ok().json(List::<InviteeView> { items, next_cursor }))
}

/// The campaigns with two levels in which somebody invited, one after the other.
async fn two_levels(app: &App, user: UserId) -> Result<String, Problem> {
    let mut named = Vec::new();
    for campaign in records::invited_in(&app.store, user).await? {
        let record = app.definitions.get(app, campaign, 0).await?;
        if record.is_some_and(|record| record.definition.referral().is_some_and(Referral::has_second_level)) {
            named.push(campaign.to_string());
        }
    }
    Ok(named.join(" "))
}
