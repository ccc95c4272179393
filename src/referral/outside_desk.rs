//! The operator's routes on orders made elsewhere.

use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{HttpResponse, get, post};
use serde::Deserialize;

use super::outside::{self, Kept, OutsideOrder, OutsideState, Report};
use crate::app::App;
use crate::campaign::read::forms::is_sku;
use crate::clock::UnixMs;
use crate::code::Code;
use crate::http::body::Json;
use crate::http::caller::{Finance, Operator, Viewer};
use crate::http::extract::{Query, word};
use crate::http::idempotency;
use crate::http::page::{List, Page, id_or_any};
use crate::http::problem::Problem;
use crate::id::{OrderId, UserId};
use crate::identity::users;
use crate::money::{Fen, MAX_FEN};

/// The longest number.
const LONGEST_NUMBER: usize = 64;
/// Earlier times are typing errors: 2000-01-01.
const EARLIEST: UnixMs = UnixMs::new(946_684_800_000);
/// The shop's clock may go so far ahead of ours: such a time is now.
const AHEAD_SECONDS: i64 = 300;

/// What the shop says of an order that was made elsewhere.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = NewOutsideOrder)]
#[serde(deny_unknown_fields)]
pub struct NewReport {
    /// The shop's own number of it, which names it for good; no order of ours has one that reads like it. No personal data.
    #[schema(pattern = "^[!-~]{1,64}$", example = "SO-2026-1122-0042")]
    number: String,
    /// Who bought.
    user_id: UserId,
    /// For how much.
    #[schema(value_type = i64, minimum = 0, maximum = 10_000_000_000_i64, example = 9900)]
    amount_fen: Fen,
    /// How far it has come. It goes on, never back.
    #[serde(deserialize_with = "word")]
    state: OutsideState,
    /// How much of it went back, in all; it never falls. Absent: all where the state is `refunded`, else nothing new.
    #[schema(value_type = i64, minimum = 0, maximum = 10_000_000_000_i64, nullable = false, required = false, example = 0)]
    refunded_fen: Option<Fen>,
    /// What was bought, for rates of its own; as the first report says it.
    #[schema(pattern = "^[0-9A-Za-z._:+-]{1,64}$", nullable = false, required = false, example = "cherry-1kg")]
    sku: Option<String>,
    /// When that happened; absent, or up to five minutes ahead of this clock: now.
    #[serde(default, with = "crate::clock::rfc3339::option")]
    #[schema(value_type = String, format = DateTime, nullable = false, required = false)]
    occurred_at: Option<UnixMs>,
}

impl NewReport {
    fn read(self, now: UnixMs) -> Result<Report, Problem> {
        let visible = self.number.bytes().all(|byte| byte.is_ascii_graphic());
        if self.number.is_empty() || self.number.len() > LONGEST_NUMBER || !visible {
            return Err(Problem::invalid("number", format!("must be 1 to {LONGEST_NUMBER} visible characters")));
        }
        if self.number.parse::<OrderId>().is_ok() {
            return Err(Problem::invalid("number", "is the id of an order here, of which nothing need be reported"));
        }
        if !(0..=MAX_FEN).contains(&self.amount_fen.get()) {
            return Err(Problem::invalid("amount_fen", format!("must be 0 to {MAX_FEN}")));
        }
        let nothing_new = if self.state == OutsideState::Refunded { self.amount_fen } else { Fen::ZERO };
        let refunded = self.refunded_fen.unwrap_or(nothing_new);
        if !(Fen::ZERO..=self.amount_fen).contains(&refunded) {
            return Err(Problem::invalid("refunded_fen", "must be 0 to amount_fen"));
        }
        if self.sku.as_deref().is_some_and(|sku| !is_sku(sku)) {
            return Err(Problem::invalid("sku", "must be 1 to 64 letters, digits or . _ : + -"));
        }
        if self.occurred_at.is_some_and(|at| !(EARLIEST..=now.plus_seconds(AHEAD_SECONDS)).contains(&at)) {
            return Err(Problem::invalid("occurred_at", "must be a time that is past, from 2000 on"));
        }
        let told_at = self.occurred_at.filter(|at| *at <= now);
        let Self { number, user_id, amount_fen, state, sku, .. } = self;
        Ok(Report { number, user: user_id, amount: amount_fen, refunded, state, sku, at: told_at.unwrap_or(now), told_at })
    }
}

/// Report an order that was made elsewhere: paid, fulfilled, or refunded. Each order is told once (201) and then as often as it goes on; a report
/// that tells nothing new, also an older one, answers 200.
#[utoipa::path(tag = "operator: orders", operation_id = "report_outside_order", request_body = NewReport, security(("operator" = ["finance"])),
    responses((status = 201, description = "Its first report", body = OutsideOrder), (status = 200, description = "It was known", body = OutsideOrder)),
    extensions(("x-refusals" = json!([Code::NotFound, Code::OutsideOrderConflict]))))]
#[post("/operator/v1/outside_orders", wrap = "from_fn(idempotency::once)")]
pub async fn report(app: Data<App>, operator: Operator<Finance>, body: Json<NewReport>) -> Result<HttpResponse, Problem> {
    let report = body.0.read(app.clock.now())?;
    let mut referral = None;
    if outside::find(&app.store, &report.number).await?.is_none() {
        if !users::exists(&app.store, report.user).await? {
            return Err(Problem::new(Code::NotFound).detail("There is no such user"));
        }
        referral = app.programmes.of_outside_order(&app, report.user, report.told_at).await?;
    }
    let kept = outside::keep(&app.store, &report, referral, &operator.key.id, app.clock.now()).await?;
    let status = match kept {
        Kept::Fresh => StatusCode::CREATED,
        Kept::Changed | Kept::Known => StatusCode::OK,
        Kept::Conflict => {
            return Err(Problem::new(Code::OutsideOrderConflict).detail("It is known with another amount or user"));
        }
    };
    // Whose first report breaks off here is told by the worker.
    if let Err(error) = app.teller.tell_now(&report.number).await {
        tracing::info!(%error, "an order made elsewhere will be told later");
    }
    let order = outside::find(&app.store, &report.number).await?.ok_or(Code::NotFound)?;
    Ok(HttpResponse::build(status).json(order))
}

/// Which of them to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct OutsideQuery {
    /// Only in this state.
    #[param(inline, required = false, nullable = false)]
    state: Option<OutsideState>,
    /// Only of this shopper.
    #[param(required = false, nullable = false)]
    user_id: Option<UserId>,
}

/// Orders that were made elsewhere, newest report first.
#[utoipa::path(tag = "operator: orders", operation_id = "list_outside_orders", params(OutsideQuery, Page), security(("operator" = ["viewer"])),
    responses((status = 200, description = "A page", body = List<OutsideOrder>)))]
#[get("/operator/v1/outside_orders")]
pub async fn list(app: Data<App>, _operator: Operator<Viewer>, query: Query<OutsideQuery>, page: Page) -> Result<HttpResponse, Problem> {
    let OutsideQuery { state, user_id } = query.0;
    let state = state.map(OutsideState::word).unwrap_or_default();
    let rows = outside::list(&app.store, (state, &id_or_any(user_id)), page.before(), page.fetch()).await?;
    Ok(HttpResponse::Ok().json(page.list(rows, |order| (order.created_at.get(), order.number.clone()))))
}
