//! `Idempotency-Key` of ops. The campaign's program gives a key's first answer again; what is refused before the program is asked (a body that
//! does not read, an unknown sku) is told to it here under the same key, so that one place knows every key and their order.
//!
//! Where there is no program yet (a draft, an unknown campaign) SQL keeps the answer. Operators' ops look there first, for a draft may have
//! been published meanwhile; shoppers know of no draft.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest};

use super::{live, ops};
use crate::app::App;
use crate::code::Code;
use crate::http::answer::{Decided, SEQ};
use crate::http::caller;
use crate::http::idempotency::{self, IdempotencyKey};
use crate::http::problem::Problem;
use crate::id::{CampaignId, ChainId, OrderId, RoomId};

/// Middleware for an op of a campaign: `#[post("/v1/rooms/{id}/members", wrap = "from_fn(keyed::told)")]`.
///
/// # Errors
/// Those of the handler.
pub async fn told(mut request: ServiceRequest, next: Next<impl MessageBody + 'static>) -> Result<ServiceResponse<BoxBody>, Error> {
    let keyed = match idempotency::take(&mut request).await {
        Ok(Some(keyed)) => keyed,
        Ok(None) => return Ok(next.call(request).await?.map_into_boxed_body()),
        Err(problem) => return Ok(request.error_response(problem).map_into_boxed_body()),
    };
    if caller::is_at_desk(request.request()) {
        match idempotency::kept(&keyed.app, &keyed.key).await {
            Ok(None) => {}
            Ok(Some(answer)) => return Ok(request.into_response(answer)),
            Err(problem) => return Ok(request.error_response(problem).map_into_boxed_body()),
        }
    }
    let response = next.call(request).await?.map_into_boxed_body();
    let Some(problem) = refused_before(&response) else { return Ok(response) };
    let campaign = campaign_of(response.request());
    let runs = match campaign {
        Some(campaign) => live::ensure(&keyed.app, campaign).await?,
        None => false,
    };
    match campaign.filter(|_| runs) {
        Some(campaign) => remember(&keyed.app, campaign, &keyed.key, problem, response).await,
        None => idempotency::settle(&keyed, response).await,
    }
}

/// The refusal in an answer that no program knows of.
fn refused_before(response: &ServiceResponse<BoxBody>) -> Option<Problem> {
    if !idempotency::is_decided(response.status()) || response.headers().contains_key(SEQ) {
        return None;
    }
    response.response().error()?.as_error::<Problem>().cloned()
}

/// Whose op it is, by the id in the address.
fn campaign_of(request: &HttpRequest) -> Option<CampaignId> {
    let (_, id) = request.match_info().iter().last()?;
    let room = || id.parse().map(|id: RoomId| id.campaign());
    let chain = || id.parse().map(|id: ChainId| id.campaign());
    let order = || id.parse().map(|id: OrderId| id.campaign());
    id.parse().or_else(|_| room()).or_else(|_| chain()).or_else(|_| order()).ok()
}

/// Lets the program keep the refusal under its key. If it has answered the key before, that answer counts.
async fn remember(
    app: &App,
    campaign: CampaignId,
    key: &IdempotencyKey,
    problem: Problem,
    response: ServiceResponse<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let answer = ops::decline(&app.engine, campaign, problem.code(), key).await.map_err(Problem::from)?;
    let decided = Decided { campaign, place: answer.place, replayed: answer.replayed };
    let problem = match answer.decision {
        Err(Code::IdempotencyKeyReused) => Code::IdempotencyKeyReused.into(),
        // The same body is refused with the same word, whoever finds its fault.
        Err(_) | Ok(_) => problem,
    };
    Ok(ServiceResponse::from_err(decided.refuse(problem), response.into_parts().0))
}
