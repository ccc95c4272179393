//! The operator's routes on a running campaign: publish, pause, resume, end, stock, switches, audit.

use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{HttpResponse, post};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::http::{blocked, report as check_report};
use super::keyed;
use super::live::{self, existing};
use super::model::Definition;
use super::ops::{self, Step};
use super::records::{self, Record, RecordState};
use crate::app::App;
use crate::code::Code;
use crate::http::answer::Decided;
use crate::http::body::{Json, KeyedJson, Nothing};
use crate::http::caller::{Editor, Operator, Viewer};
use crate::http::extract::Id;
use crate::http::idempotency;
use crate::http::problem::Problem;
use crate::id::CampaignId;
use crate::operator::audit::{Change, audit};
use crate::projector::cursor::Cursor;

/// Units to add, or to take back from what nobody holds (negative).
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddStock {
    /// The item.
    #[schema(example = "cherry-1kg")]
    sku: String,
    /// Units.
    #[schema(minimum = -1_000_000_000, maximum = 1_000_000_000, example = 200)]
    add: i64,
}

/// An item's units.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct StockView {
    /// The item.
    sku: String,
    /// Units ever put in: left + held + sold + returned.
    put_in: i64,
    /// Units nobody holds.
    stock_left: i64,
    /// Units in unpaid orders.
    held: i64,
    /// Units in paid orders.
    sold: i64,
    /// Units taken back.
    returned: i64,
}

/// The most units one call may add or take back, as in a definition.
const MOST_UNITS: i64 = 1_000_000_000;

/// Put a draft in force. What is published already answers the same, until it has ended.
#[utoipa::path(tag = "operator: running", operation_id = "publish_campaign", params(("id" = CampaignId, Path)), request_body = Nothing,
    security(("operator" = ["editor"])), responses((status = 200, description = "The campaign", body = Record)),
    extensions(("x-decided" = json!(true)), ("x-refusals" = json!([Code::CampaignState, Code::PublishBlocked]))))]
#[post("/operator/v1/campaigns/{id}/publish", wrap = "from_fn(idempotency::once)")]
pub async fn publish(app: Data<App>, operator: Operator<Editor>, id: Id<CampaignId>, body: Json<Nothing>) -> Result<HttpResponse, Problem> {
    let Nothing {} = body.0;
    let mut record = existing(&app, id.0).await?;
    if record.state == RecordState::Draft {
        publish_checked(&app, &operator.key.id, &record).await?;
        record = existing(&app, id.0).await?;
    }
    if matches!(record.state, RecordState::Ended | RecordState::Archived) {
        return Err(Problem::new(Code::CampaignState).detail("The campaign is over"));
    }
    // Also what is published already: the publishing before may have broken off between SQL and hot state.
    let decided = put_in_force(&app, &record).await?;
    Ok(decided.json(StatusCode::OK, &existing(&app, id.0).await?))
}

/// Says in SQL that this very version is published, if the check has no errors. From then on only harmless fields change, so no
/// version that nobody checked comes into force.
///
/// # Errors
/// 422 `publish_blocked`; 503 when it was changed meanwhile; trouble of SQL.
pub async fn publish_checked(app: &App, actor: &str, record: &Record) -> Result<(), Problem> {
    let findings = check_report(app, record).await?;
    if !findings.errors.is_empty() {
        return Err(blocked(&findings));
    }
    let (now, target) = (app.clock.now(), record.id.to_string());
    let mut tx = app.store.begin().await?;
    if !records::publish(&mut tx, record, now).await? {
        tx.rollback().await?;
        // Whoever published it in the same moment did what was asked.
        let published = existing(app, record.id).await?.state != RecordState::Draft;
        return if published { Ok(()) } else { Err(Problem::new(Code::Overloaded).detail("It was changed meanwhile")) };
    }
    let (before, after) = (Some(json!({"state": "draft"})), Some(json!({"state": "live", "version": record.version})));
    audit(&mut tx, Change { actor, action: "campaign.publish", target: &target, before, after }, now).await?;
    Ok(tx.commit().await?)
}

/// Puts a definition in force in hot state and waits until SQL knows.
///
/// # Errors
/// Trouble of Redis or SQL; `campaign_state` when newer rules are in force.
pub async fn put_in_force(app: &App, record: &Record) -> Result<Decided, Problem> {
    let rules = live::compile(&record.definition, record.version);
    Cursor::create(&app.store, record.id, record.definition.kind().word(), app.clock.now()).await?;
    live::ensure(app, record.id).await?;
    let stock = live::first_stock(&record.definition);
    let done = ops::publish(&app.engine, record.id, &rules, &stock, None).await?;
    let decided = Decided { campaign: record.id, place: done.place, replayed: done.replayed };
    if let Err(code) = done.decision {
        return Err(decided.refuse(code.into()));
    }
    app.projector.settled(record.id, done.place).await?;
    follow(app, &record.definition).await?;
    Ok(decided)
}

/// Orders that are placed from now on earn by what is in force now.
async fn follow(app: &App, definition: &Definition) -> Result<(), Problem> {
    if definition.referral().is_some() {
        app.programmes.refresh(app).await?;
    }
    Ok(())
}

macro_rules! step {
    ($name:ident, $path:literal, $step:expr, $about:literal) => {
        #[doc = $about]
        #[utoipa::path(tag = "operator: running", operation_id = concat!(stringify!($name), "_campaign"), params(("id" = CampaignId, Path)),
                    request_body = Nothing, security(("operator" = ["editor"])), responses((status = 200, description = "The campaign", body = Record)),
                    extensions(("x-decided" = json!(true)), ("x-refusals" = json!([Code::CampaignState, Code::BudgetExhausted]))))]
        #[post($path, wrap = "from_fn(idempotency::once)")]
        pub async fn $name(
            app: Data<App>,
            operator: Operator<Editor>,
            id: Id<CampaignId>,
            body: Json<Nothing>,
        ) -> Result<HttpResponse, Problem> {
            let Nothing {} = body.0;
            set_status(&app, &operator, id.0, $step).await
        }
    };
}

step!(pause, "/operator/v1/campaigns/{id}/pause", Step::Pause, "No new rooms, joins or cuts; deadlines and payments go on.");
step!(resume, "/operator/v1/campaigns/{id}/resume", Step::Resume, "End a pause.");
step!(end, "/operator/v1/campaigns/{id}/end", Step::End, "No new rooms or chains; open ones may go on until their deadline.");

async fn set_status(app: &App, operator: &Operator<Editor>, campaign: CampaignId, step: Step) -> Result<HttpResponse, Problem> {
    running(app, campaign).await?;
    let done = ops::set_status(&app.engine, campaign, step, &operator.key.id).await?;
    standing(app, campaign, done).await
}

/// Switches to set; what is absent stays as it is.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetSwitches {
    /// Whether rooms may be opened.
    #[schema(example = false)]
    open: Option<bool>,
    /// Whether rooms may be joined.
    #[schema(example = true)]
    join: Option<bool>,
}

/// Switch the opening or the joining of rooms off, or on again. What is held may be paid, whatever is off.
#[utoipa::path(tag = "operator: running", operation_id = "set_switches", params(("id" = CampaignId, Path)), request_body = SetSwitches,
    security(("operator" = ["editor"])), responses((status = 200, description = "The campaign", body = Record)),
    extensions(("x-decided" = json!(true)), ("x-refusals" = json!([Code::CampaignState]))))]
#[post("/operator/v1/campaigns/{id}/switches", wrap = "from_fn(idempotency::once)")]
pub async fn set_switches(
    app: Data<App>,
    operator: Operator<Editor>,
    id: Id<CampaignId>,
    body: Json<SetSwitches>,
) -> Result<HttpResponse, Problem> {
    let SetSwitches { open, join } = body.0;
    running(&app, id.0).await?;
    let done = ops::set_switches(&app.engine, id.0, (open, join), &operator.key.id).await?;
    standing(&app, id.0, done).await
}

/// The campaign, once SQL has what was decided, and with it the note in the audit log.
async fn standing(app: &App, campaign: CampaignId, done: ops::Decided<ops::StatusRow>) -> Result<HttpResponse, Problem> {
    let decided = Decided { campaign, place: done.place, replayed: done.replayed };
    done.decision.map_err(|code| decided.refuse(code.into()))?;
    app.projector.settled(campaign, done.place).await?;
    let record = existing(app, campaign).await?;
    follow(app, &record.definition).await?;
    Ok(decided.json(StatusCode::OK, &record))
}

/// 404 for unknown campaigns, `campaign_state` for drafts and archived ones.
async fn running(app: &App, campaign: CampaignId) -> Result<Record, Problem> {
    let record = existing(app, campaign).await?;
    if live::ensure(app, campaign).await? { Ok(record) } else { Err(Code::CampaignState.into()) }
}

/// Add units of an item, or take back unreserved ones.
#[utoipa::path(tag = "operator: running", operation_id = "add_stock", params(("id" = CampaignId, Path)), request_body = AddStock,
    security(("operator" = ["editor"])), responses((status = 200, description = "The item's units", body = StockView)),
    extensions(("x-decided" = json!(true)), ("x-refusals" = json!([Code::CampaignState, Code::SoldOut]))))]
#[post("/operator/v1/campaigns/{id}/stock", wrap = "from_fn(keyed::told)")]
pub async fn add_stock(
    app: Data<App>,
    operator: Operator<Editor>,
    id: Id<CampaignId>,
    body: KeyedJson<AddStock>,
) -> Result<HttpResponse, Problem> {
    let AddStock { sku, add } = body.body;
    if add == 0 || !(-MOST_UNITS..=MOST_UNITS).contains(&add) {
        return Err(Problem::invalid("add", format!("must be 1 to {MOST_UNITS}, or the same below zero")));
    }
    running(&app, id.0).await?;
    let done = ops::add_stock(&app.engine, id.0, (&sku, add), &operator.key.id, body.key.as_ref()).await?;
    let decided = Decided { campaign: id.0, place: done.place, replayed: done.replayed };
    let too_many = || Problem::invalid("add", format!("an item has at most {MOST_UNITS} units"));
    let refused = |code: Code| decided.refuse(if code == Code::InvalidRequest { too_many() } else { code.into() });
    let row = done.decision.map_err(refused)?;
    app.projector.settled(id.0, done.place).await?;
    Ok(decided.json(StatusCode::OK, &stock_view(sku, &row)))
}

pub(super) fn stock_view(sku: String, row: &ops::StockRow) -> StockView {
    StockView { sku, put_in: row.put_in, stock_left: row.left, held: row.held, sold: row.sold, returned: row.returned }
}

/// Check the engine's promises for this campaign: the log whole, hot state and SQL what the log says, the invariants.
#[utoipa::path(tag = "operator: running", operation_id = "audit_campaign", params(("id" = CampaignId, Path)), request_body = Nothing,
    security(("operator" = ["viewer"])), responses((status = 200, description = "Each promise, and whether it holds", body = crate::audit::Report)),
    extensions(("x-refusals" = json!([Code::CampaignState]))))]
#[post("/operator/v1/campaigns/{id}/audit", wrap = "from_fn(idempotency::once)")]
pub async fn run_audit(
    app: Data<App>,
    _operator: Operator<Viewer>,
    id: Id<CampaignId>,
    body: crate::http::body::Json<Nothing>,
) -> Result<HttpResponse, Problem> {
    let Nothing {} = body.0;
    let record = running(&app, id.0).await?;
    let program = crate::app::program_of(record.definition.kind().word()).ok_or(Code::CampaignState)?;
    Ok(HttpResponse::Ok().json(crate::audit::run(&app.store, &app.engine, &app.projector, program, id.0).await?))
}
