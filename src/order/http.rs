//! The shopper's routes on orders, and the sandbox's pay page.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse, get, post};
use serde::{Deserialize, Serialize};

use super::cashier::Received;
use super::ops;
use super::records;
use super::row::{OrderRow, State};
use super::sandbox::{Notification, Notify, Sandbox};
use super::view::OrderView;
use crate::app::App;
use crate::campaign::{keyed, live};
use crate::code::Code;
use crate::hot::{Place, Read};
use crate::http::answer::Decided;
use crate::http::body::{self, Json, KeyedJson, Nothing};
use crate::http::caller;
use crate::http::extract::{Id, maybe_word};
use crate::http::idempotency;
use crate::http::page::{List, Page};
use crate::http::problem::Problem;
use crate::id::{OrderId, UserId};
use crate::identity::{Device, Session};
use crate::money::Fen;

/// How long a cancel waits for the provider to close the payment.
const CLOSE_WAIT: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(25);
/// A late notification comes after so long unless told otherwise, in seconds.
const LATE: i64 = 30;
/// The furthest a tester may move the clock in one call, in seconds: a year.
const FURTHEST: i64 = 366 * 24 * 3600;

/// What the client needs to pay.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PaymentView {
    /// Who takes the payment.
    #[schema(example = "sandbox")]
    provider: &'static str,
    /// The provider's own parameters.
    #[schema(value_type = Object)]
    parameters: serde_json::Value,
}

/// How the sandbox is to take a payment.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SandboxPay {
    /// How its notification comes; absent: once, or late where `delay_seconds` says how late.
    #[serde(default, deserialize_with = "maybe_word")]
    notify: Option<Notify>,
    /// Seconds until a late notification, with no other; absent: 30.
    #[schema(minimum = 0, maximum = 31_622_400)]
    delay_seconds: Option<i64>,
    /// The payer's bank refuses: nothing is paid.
    fail: Option<bool>,
}

/// How far to move the clock.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Advance {
    /// Seconds, forward only.
    #[schema(minimum = 0, maximum = 31_622_400, example = 900)]
    advance_seconds: i64,
}

/// The engine's clock.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ClockView {
    /// Now.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    now: crate::clock::UnixMs,
}

/// The caller's order in hot state; 404 for anybody else's.
async fn own(app: &App, id: OrderId, user: UserId) -> Result<Option<OrderRow>, Problem> {
    if !live::ensure(app, id.campaign()).await? {
        return Ok(None);
    }
    let snapshot = app.engine.read(id.campaign(), &[Read::Row("orders", id.hot())]).await?;
    let order: Option<OrderRow> = live::row(snapshot.found.into_iter().next())?;
    Ok(order.filter(|order| order.user == user.hot()))
}

/// One of your orders.
#[utoipa::path(tag = "orders", operation_id = "get_order", params(("id" = OrderId, Path)),
    responses((status = 200, description = "The order", body = OrderView)))]
#[get("/v1/orders/{id}")]
pub async fn read(app: Data<App>, session: Session, id: Id<OrderId>) -> Result<HttpResponse, Problem> {
    if let Some(order) = own(&app, id.0, session.user_id).await? {
        return Ok(HttpResponse::Ok().json(order.view(id.0)));
    }
    // The campaign's hot state may be gone.
    let record = records::find(&app.store, id.0).await?.filter(|record| record.user_id == session.user_id);
    Ok(HttpResponse::Ok().json(record.ok_or(Code::NotFound)?.order))
}

/// Your orders, newest first.
#[utoipa::path(tag = "orders", operation_id = "list_my_orders", params(Page),
    responses((status = 200, description = "A page", body = List<OrderView>)))]
#[get("/v1/me/orders")]
pub async fn mine(app: Data<App>, session: Session, page: Page) -> Result<HttpResponse, Problem> {
    app.projector.all_caught_up().await;
    let rows = records::of_user(&app.store, session.user_id, page.before(), page.fetch()).await?;
    let orders = rows.into_iter().map(|record| record.order).collect();
    Ok(HttpResponse::Ok().json(page.list(orders, |order: &OrderView| (order.created_at.get(), order.id.to_string()))))
}

/// Get what is needed to pay. From then on only the provider can say that the order was not paid.
#[utoipa::path(tag = "orders", operation_id = "request_payment", params(("id" = OrderId, Path)), request_body = Nothing,
    responses((status = 200, description = "Who takes the payment, and what the client needs for it", body = PaymentView)),
    extensions(("x-decided" = json!(true)), ("x-refusals" = json!([Code::OrderNotPayable, Code::OrderExpired]))))]
#[post("/v1/orders/{id}/payment", wrap = "from_fn(keyed::told)")]
pub async fn request_payment(
    app: Data<App>,
    session: Session,
    _device: Device,
    id: Id<OrderId>,
    body: KeyedJson<Nothing>,
) -> Result<HttpResponse, Problem> {
    let Nothing {} = body.body;
    let (decided, order) = ask(&app, id.0, session.user_id, body.key.as_ref()).await?;
    let provider = &app.cashier.provider;
    let parameters = provider.request(id.0, Fen::new(order.amount)).await.map_err(|error| provider_trouble(&error))?;
    Ok(decided.json(StatusCode::OK, &PaymentView { provider: provider.name(), parameters }))
}

fn provider_trouble(error: &super::provider::ProviderError) -> Problem {
    tracing::warn!(%error, "the payment provider does not answer");
    Problem::new(Code::OutcomeUnknown).detail("The payment provider did not answer; ask again")
}

/// Marks the payment as asked for, and waits until SQL knows: no payment is ever for an unknown order.
async fn ask(app: &App, id: OrderId, user: UserId, key: Option<&crate::hot::lane::IdempotencyKey>) -> Result<(Decided, OrderRow), Problem> {
    if !live::ensure(app, id.campaign()).await? {
        return Err(Code::NotFound.into());
    }
    let done = ops::payment_asked(&app.engine, id, user, key).await?;
    let decided = Decided { campaign: id.campaign(), place: done.place, replayed: done.replayed };
    let order = done.decision.map_err(|code| decided.refuse(code.into()))?;
    app.projector.settled(id.campaign(), done.place).await?;
    Ok((decided, order))
}

/// Give up an unpaid order. What turns out to be paid meanwhile stays (409); what was given up already answers the same.
#[utoipa::path(tag = "orders", operation_id = "cancel_order", params(("id" = OrderId, Path)), request_body = Nothing,
    responses((status = 200, description = "The order", body = OrderView)),
    extensions(("x-decided" = json!(true)), ("x-refusals" = json!([Code::OrderNotCancellable]))))]
#[post("/v1/orders/{id}/cancel", wrap = "from_fn(idempotency::once)")]
pub async fn cancel(
    app: Data<App>,
    session: Session,
    _device: Device,
    id: Id<OrderId>,
    body: Json<Nothing>,
) -> Result<HttpResponse, Problem> {
    let Nothing {} = body.0;
    if !live::ensure(&app, id.0.campaign()).await? {
        return Err(Code::NotFound.into());
    }
    // The key is kept in SQL: the answer also tells what the provider said after the op.
    let done = ops::cancel(&app.engine, id.0, session.user_id, None).await?;
    let decided = Decided { campaign: id.0.campaign(), place: done.place, replayed: done.replayed };
    let mut order = done.decision.map_err(|code| decided.refuse(code.into()))?;
    if order.state == State::Closing {
        order = closed(&app, id.0, session.user_id, order).await?;
    }
    if !matches!(order.state, State::Closing | State::Released) {
        // It was paid meanwhile, and what was paid stays.
        return Err(decided.refuse(Code::OrderNotCancellable.into()));
    }
    Ok(decided.json(StatusCode::OK, &order.view(id.0)))
}

/// Waits, not for long, until the provider has said whether the payment is closed.
pub(super) async fn closed(app: &App, id: OrderId, user: UserId, mut order: OrderRow) -> Result<OrderRow, Problem> {
    let until = tokio::time::Instant::now() + CLOSE_WAIT;
    app.projector.caught_up(id.campaign()).await;
    app.cashier.wake.notify_one();
    while order.state == State::Closing && tokio::time::Instant::now() < until {
        tokio::time::sleep(LOOK).await;
        order = own(app, id, user).await?.ok_or(Code::NotFound)?;
    }
    Ok(order)
}

/// The sandbox provider's page: the payer pays, or the bank refuses.
#[utoipa::path(tag = "sandbox", operation_id = "pay_in_sandbox", params(("id" = OrderId, Path)), request_body = SandboxPay,
    responses((status = 200, description = "The order", body = OrderView)),
    extensions(("x-decided" = json!(true)), ("x-refusals" = json!([Code::OrderNotPayable, Code::OrderExpired]))))]
#[post("/v1/sandbox/orders/{id}/pay", wrap = "from_fn(idempotency::once)")]
pub async fn sandbox_pay(
    app: Data<App>,
    session: Session,
    _device: Device,
    id: Id<OrderId>,
    body: Json<SandboxPay>,
) -> Result<HttpResponse, Problem> {
    let sandbox = app.sandbox.as_ref().ok_or(Code::NotFound)?;
    let SandboxPay { notify, delay_seconds, fail } = body.0;
    let notify = notify.unwrap_or(if delay_seconds.is_some() { Notify::Late } else { Notify::Once });
    let delay = delay_seconds.unwrap_or(LATE);
    if !(0..=FURTHEST).contains(&delay) {
        return Err(Problem::invalid("delay_seconds", format!("must be 0 to {FURTHEST}")));
    }
    if delay_seconds.is_some() && notify != Notify::Late {
        return Err(Problem::invalid("delay_seconds", "goes with notify: late only"));
    }
    let order = own(&app, id.0, session.user_id).await?.ok_or(Code::NotFound)?;
    let mut place = None;
    if order.asked == 0 {
        place = ask_first(&app, id.0, session.user_id).await?;
    }
    if fail != Some(true) {
        place = take_payment(&app, sandbox, (id.0, &order), session.user_id, (notify, delay)).await?.or(place);
    }
    let order = own(&app, id.0, session.user_id).await?.ok_or(Code::NotFound)?;
    Ok(Decided::answer(id.0.campaign(), place, &order.view(id.0)))
}

/// Asks for the payment. Whoever pays the same order at the same moment may have asked, and even paid, before: that is no refusal.
async fn ask_first(app: &App, id: OrderId, user: UserId) -> Result<Option<Place>, Problem> {
    match ask(app, id, user, None).await {
        Ok((decided, _)) => Ok(Some(decided.place)),
        Err(problem) if problem.code() == Code::OrderNotPayable => {
            let asked = own(app, id, user).await?.is_some_and(|order| order.asked == 1);
            if asked { Ok(None) } else { Err(problem) }
        }
        Err(problem) => Err(problem),
    }
}

async fn take_payment(
    app: &App,
    sandbox: &Sandbox,
    (id, order): (OrderId, &OrderRow),
    user: UserId,
    (notify, delay): (Notify, i64),
) -> Result<Option<Place>, Problem> {
    let Some(payment) = sandbox.pay(id, Fen::new(order.amount)).await? else {
        // The order knows why.
        ask(app, id, user, None).await?;
        return Err(Problem::new(Code::OrderNotPayable).detail("The payment is closed"));
    };
    let notification = sandbox.notification(&payment);
    let now = async || deliver(app, &notification).await?.ok_or_else(|| Problem::new(Code::OutcomeUnknown)).map(Some);
    match notify {
        Notify::Once => now().await,
        Notify::Twice => {
            now().await?;
            now().await
        }
        Notify::Late => {
            sandbox.notify_later(&payment, delay).await?;
            Ok(None)
        }
        Notify::Never => Ok(None),
    }
}

/// Takes a notification in: its signature, then the inbox, then the order. Answers where the order learned of it, if it has.
///
/// # Errors
/// 403 for a wrong signature; trouble of SQL, then the provider tells it again.
pub async fn deliver(app: &App, notification: &Notification) -> Result<Option<Place>, Problem> {
    let provider = &app.cashier.provider;
    let payment = provider
        .read_notification(&notification.signature, notification.body.as_bytes())
        .ok_or_else(|| Problem::new(Code::Forbidden).detail("The signature does not fit"))?;
    match app.cashier.receive(provider.name(), &payment).await? {
        Received::Settled(place) => Ok(place),
        Received::Kept => Ok(None),
        Received::ToldOtherwise => Err(Problem::defect(&format!("payment {} was told of another order before", payment.transaction_id))),
    }
}

/// Where the payment provider tells of payments. The body is signed; what was told before is known by its transaction number.
#[utoipa::path(tag = "payments", operation_id = "take_notification", security(()), request_body(content = Object, content_type = "application/json"),
    params(("provider" = String, Path, description = "The provider that takes this shop's payments."),
        ("Liebian-Signature" = String, Header, description = "The provider's signature of the body as it is sent.")),
    responses((status = 204, description = "Taken in")), extensions(("x-refusals" = json!([Code::Forbidden, Code::NotFound]))))]
#[post("/v1/payments/{provider}/notifications")]
pub async fn take_notification(
    app: Data<App>,
    request: HttpRequest,
    provider: Path<String>,
    body: Payload,
) -> Result<HttpResponse, Problem> {
    if provider.as_str() != app.cashier.provider.name() {
        return Err(Code::NotFound.into());
    }
    let body = body::read(&request, body.into_inner(), body::DEFAULT_LIMIT).await?;
    let signature = request.headers().get("liebian-signature").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let body = String::from_utf8(body.to_vec()).map_err(|_not_utf8| Code::MalformedRequest)?;
    deliver(&app, &Notification { body, signature }).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Move the engine's clock forward, so that a tester need not wait.
#[utoipa::path(tag = "sandbox", operation_id = "advance_clock", request_body = Advance, security(("session" = []), ("operator" = ["viewer"])),
    responses((status = 200, description = "The time it is now", body = ClockView)), extensions(("x-refusals" = json!([Code::NotFound]))))]
#[post("/v1/sandbox/clock", wrap = "from_fn(idempotency::once)")]
pub async fn advance(app: Data<App>, request: HttpRequest, body: Json<Advance>) -> Result<HttpResponse, Problem> {
    if app.sandbox.is_none() {
        return Err(Code::NotFound.into());
    }
    caller::tester(&app, &request).await?;
    let seconds = body.0.advance_seconds;
    if !(0..=FURTHEST).contains(&seconds) {
        return Err(Problem::invalid("advance_seconds", format!("must be 0 to {FURTHEST}")));
    }
    app.move_clock(seconds).await?;
    Ok(HttpResponse::Ok().json(ClockView { now: app.clock.now() }))
}
