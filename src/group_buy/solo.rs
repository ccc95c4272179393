//! Buying alone: the same stock, no room.

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, LOCATION};
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{HttpResponse, post};
use serde::{Deserialize, Serialize};

use super::PROGRAM;
use super::http::units;
use super::ops::{self, Shopper};
use crate::app::App;
use crate::campaign::{keyed, live};
use crate::code::Code;
use crate::http::answer::Decided;
use crate::http::body::KeyedJson;
use crate::http::caller;
use crate::http::extract::Id;
use crate::http::problem::Problem;
use crate::id::CampaignId;
use crate::identity::{Device, Session};
use crate::order::view::OrderView;

/// What is bought alone.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SoloOrder {
    /// What.
    #[schema(example = "cherry-1kg")]
    sku: String,
    /// Units.
    #[schema(minimum = 1, maximum = 10_000, example = 1)]
    quantity: i64,
}

/// The order of units bought alone.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SoloOrderView {
    /// Your order.
    order: OrderView,
}

/// Buy alone, at the item's solo price; 404 where it has none. Each call without an Idempotency-Key orders once more.
#[utoipa::path(tag = "rooms", operation_id = "order_solo", params(("id" = CampaignId, Path)), request_body = SoloOrder,
    responses((status = 201, description = "Your order", body = SoloOrderView, headers(("Location")))),
    extensions(("x-decided" = json!(true)), ("x-refusals" = json!([Code::CampaignNotLive, Code::SoldOut, Code::OrderLimitReached,
        Code::UnpaidLimitReached, Code::DeviceLimitReached, Code::BudgetExhausted, Code::CampaignEnded]))))]
#[post("/v1/campaigns/{id}/solo_orders", wrap = "from_fn(keyed::told)")]
pub async fn order(
    app: Data<App>,
    session: Session,
    device: Device,
    came_by: caller::ShareToken,
    id: Id<CampaignId>,
    body: KeyedJson<SoloOrder>,
) -> Result<HttpResponse, Problem> {
    let SoloOrder { sku, quantity } = body.body;
    let quantity = units(quantity)?;
    if !live::runs(&app, id.0, &PROGRAM).await? {
        return Err(Code::NotFound.into());
    }
    let shut = || ops::is_shut_alone(&app.engine, id.0, session.user_id, (&sku, quantity));
    let referral = app.programmes.of_order(&app, session.user_id, shut).await?;
    let shopper = Shopper { user: session.user_id, device: device.device_id, share: came_by.ours(&app), referral };
    let done = ops::order_solo(&app.engine, id.0, shopper, (&sku, quantity), body.key.as_ref()).await?;
    let at = done.place.map(|place| Decided { campaign: id.0, place, replayed: done.replayed });
    match (done.decision, at) {
        (Ok(ordered), at) => {
            app.names.learn(&session);
            let shown = SoloOrderView { order: ordered.order.view(ordered.id) };
            let status = StatusCode::CREATED;
            let mut answer = at.map_or_else(|| HttpResponse::build(status).json(&shown), |at| at.json(status, &shown));
            if let Ok(place) = HeaderValue::try_from(format!("/v1/orders/{}", ordered.id)) {
                answer.headers_mut().insert(LOCATION, place);
            }
            Ok(answer)
        }
        (Err(refusal), Some(at)) => Err(at.refuse(refusal.code.into())),
        (Err(refusal), None) => Err(refusal.code.into()),
    }
}
