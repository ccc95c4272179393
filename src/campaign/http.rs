//! The operator's routes for definitions: write, read, change, clone, check. What runs is in [`super::desk`].

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{HttpResponse, get, patch, post};
use serde::Serialize;
use serde_json::{Value, json};

use super::check::{CheckReport, check};
use super::demo;
use super::desk::put_in_force;
use super::live::existing;
use super::model::{Definition, DefinitionPatch};
use super::patch::{self, PatchError};
use super::read::Fault;
use super::records::{self, Record, RecordState};
use crate::app::App;
use crate::code::Code;
use crate::http::body::{Json, Nothing};
use crate::http::caller::{Editor, Operator, Viewer};
use crate::http::extract::Id;
use crate::http::idempotency;
use crate::http::page::{List, Page};
use crate::http::problem::Problem;
use crate::id::CampaignId;
use crate::operator::audit::{Change, audit};

/// A definition with full texts, a hundred items and a thousand overrides stays below this.
const LARGEST_DEFINITION: usize = 512 * 1024;

/// How often a change is tried again when another operator was faster.
const ATTEMPTS: usize = 5;

/// A body that is read field by field.
type Body = Json<Value, LARGEST_DEFINITION>;

/// Write down a new campaign, as a draft.
#[utoipa::path(tag = "operator: campaigns", operation_id = "create_campaign", security(("operator" = ["editor"])),
    request_body(content = Definition, example = json!(demo::example())),
    responses((status = 201, description = "The draft", body = Record, headers(("Location")))))]
#[post("/operator/v1/campaigns", wrap = "from_fn(idempotency::once)")]
pub async fn create(app: Data<App>, operator: Operator<Editor>, body: Body) -> Result<HttpResponse, Problem> {
    let definition = Definition::read(&body.0).map_err(invalid)?;
    let record = keep_draft(&app, &operator, definition, "campaign.create", None).await?;
    Ok(made(&record))
}

fn made(record: &Record) -> HttpResponse {
    HttpResponse::Created().insert_header((LOCATION, format!("/operator/v1/campaigns/{}", record.id))).json(record)
}

/// All campaigns, newest first.
#[utoipa::path(tag = "operator: campaigns", operation_id = "list_all_campaigns", params(Page), security(("operator" = ["viewer"])),
    responses((status = 200, description = "A page", body = List<Record>)))]
#[get("/operator/v1/campaigns")]
pub async fn list(app: Data<App>, _operator: Operator<Viewer>, page: Page) -> Result<HttpResponse, Problem> {
    app.projector.all_caught_up().await;
    let (rows, now) = (records::list(&app.store, page.before(), page.fetch()).await?, app.clock.now());
    let rows = rows.into_iter().map(|record| record.at(now)).collect();
    Ok(HttpResponse::Ok().json(page.list(rows, |record: &Record| (record.created_at.get(), record.id.to_string()))))
}

/// One campaign with its definition.
#[utoipa::path(tag = "operator: campaigns", operation_id = "get_definition", params(("id" = CampaignId, Path)),
    security(("operator" = ["viewer"])), responses((status = 200, description = "The campaign", body = Record)))]
#[get("/operator/v1/campaigns/{id}")]
pub async fn read(app: Data<App>, _operator: Operator<Viewer>, id: Id<CampaignId>) -> Result<HttpResponse, Problem> {
    // A campaign may pause by itself.
    app.projector.caught_up(id.0).await;
    Ok(HttpResponse::Ok().json(existing(&app, id.0).await?))
}

/// Make a draft of the same definition. Its times are taken over: set new ones before publishing.
#[utoipa::path(tag = "operator: campaigns", operation_id = "clone_campaign", params(("id" = CampaignId, Path)), request_body = Nothing,
    security(("operator" = ["editor"])), responses((status = 201, description = "The new draft", body = Record, headers(("Location")))))]
#[post("/operator/v1/campaigns/{id}/clone", wrap = "from_fn(idempotency::once)")]
pub async fn clone(app: Data<App>, operator: Operator<Editor>, id: Id<CampaignId>, body: Json<Nothing>) -> Result<HttpResponse, Problem> {
    let Nothing {} = body.0;
    let original = existing(&app, id.0).await?;
    let from = Some(json!({"id": id.0, "version": original.version}));
    let record = keep_draft(&app, &operator, original.definition, "campaign.clone", from).await?;
    Ok(made(&record))
}

/// What blocks publishing, what one should know, and the worst case in fen.
#[utoipa::path(tag = "operator: campaigns", operation_id = "check_campaign", params(("id" = CampaignId, Path)), request_body = Nothing,
    security(("operator" = ["viewer"])), responses((status = 200, description = "The findings and the forecast", body = CheckReport)))]
#[post("/operator/v1/campaigns/{id}/check", wrap = "from_fn(idempotency::once)")]
pub async fn check_campaign(
    app: Data<App>,
    _operator: Operator<Viewer>,
    id: Id<CampaignId>,
    body: Json<Nothing>,
) -> Result<HttpResponse, Problem> {
    let Nothing {} = body.0;
    let record = existing(&app, id.0).await?;
    Ok(HttpResponse::Ok().json(report(&app, &record).await?))
}

/// Change a campaign by a merge patch (RFC 7396). Once published: texts, metadata, listing of rooms, a later end and a larger
/// loss budget only. Each change that takes effect is a version; orders and rooms name the one they were decided under.
#[utoipa::path(tag = "operator: campaigns", operation_id = "change_campaign", params(("id" = CampaignId, Path)), request_body = DefinitionPatch,
    security(("operator" = ["editor"])), responses((status = 200, description = "The campaign", body = Record)),
    extensions(("x-decided" = json!(true)), ("x-refusals" = json!([Code::FieldNotEditable, Code::CampaignState, Code::PublishBlocked]))))]
#[patch("/operator/v1/campaigns/{id}")]
pub async fn edit(app: Data<App>, operator: Operator<Editor>, id: Id<CampaignId>, body: Body) -> Result<HttpResponse, Problem> {
    for _attempt in 0..ATTEMPTS {
        let old = existing(&app, id.0).await?;
        let new = changed(&app, &old, &body.0)?;
        if new.definition == old.definition {
            return in_force(&app, old).await;
        }
        if keep_change(&app, &operator.key.id, &old, &new).await? {
            return in_force(&app, new).await;
        }
    }
    Err(Problem::new(Code::Overloaded).detail("Others keep changing this campaign"))
}

/// A published campaign decides by its newest definition before the change is answered; a repeat makes up for a change that broke off.
async fn in_force(app: &App, record: Record) -> Result<HttpResponse, Problem> {
    if record.state == RecordState::Draft {
        return Ok(HttpResponse::Ok().json(record));
    }
    match put_in_force(app, &record).await {
        // Read again: a raised loss budget may have ended a pause.
        Ok(decided) => Ok(decided.json(StatusCode::OK, &existing(app, record.id).await?)),
        // Another operator's later change is in force already.
        Err(problem) if problem.code() == Code::CampaignState => Ok(HttpResponse::Ok().json(record)),
        Err(problem) => Err(problem),
    }
}

/// The report on a campaign as it would be published now.
///
/// # Errors
/// When the database does not answer.
pub async fn report(app: &App, record: &Record) -> Result<CheckReport, Problem> {
    let now = app.clock.now();
    let others = records::sharing_sku(&app.store, record.id, &record.definition, now).await?;
    let mut report = check(&record.definition, now, &others);
    if record.definition.referral().is_some() && app.programmes.leave_out(record.id) {
        report.warn(
            "too_many_programmes",
            "liebian-offer",
            "kind",
            "so many referral campaigns are live that this one earns nobody anything",
        );
    }
    Ok(report)
}

/// 422 `publish_blocked` with the report's errors (field and message as in every 422, and code and rule beside them) and warnings.
#[must_use]
pub fn blocked(report: &CheckReport) -> Problem {
    Problem::new(Code::PublishBlocked).with("errors", &report.errors).with("warnings", &report.warnings)
}

/// 422 `invalid_request` with every fault.
fn invalid(faults: Vec<Fault>) -> Problem {
    faults.into_iter().fold(Problem::new(Code::InvalidRequest), |problem, fault| problem.field(fault.field, fault.message))
}

async fn keep_draft(
    app: &App,
    operator: &Operator<Editor>,
    definition: Definition,
    action: &str,
    before: Option<Value>,
) -> Result<Record, Problem> {
    let now = app.clock.now();
    let record = Record::draft(CampaignId::random(&mut rand::rng()), definition, now);
    let mut tx = app.store.begin().await?;
    records::insert(&mut tx, &record).await?;
    let target = record.id.to_string();
    let change = Change { actor: &operator.key.id, action, target: &target, before, after: to_json(&record) };
    audit(&mut tx, change, now).await?;
    tx.commit().await?;
    Ok(record)
}

/// The campaign after the patch, not yet kept.
fn changed(app: &App, old: &Record, patch: &Value) -> Result<Record, Problem> {
    let published = match old.state {
        RecordState::Draft => false,
        RecordState::Scheduled | RecordState::Live | RecordState::Paused => true,
        RecordState::Ended | RecordState::Archived => return Err(Problem::new(Code::CampaignState).detail("The campaign is over")),
    };
    let definition = patch::patch(&old.definition, patch, published).map_err(|error| match error {
        PatchError::Invalid(faults) => invalid(faults),
        PatchError::NotEditable(faults) => {
            faults.into_iter().fold(Problem::new(Code::FieldNotEditable), |problem, fault| problem.field(fault.field, fault.message))
        }
    })?;
    let now = app.clock.now();
    if published {
        stays_publishable(&old.definition, &definition, now)?;
    }
    Ok(Record { definition, version: old.version.saturating_add(1), updated_at: now, ..old.clone() })
}

/// What could not be published must not come in by the back door.
fn stays_publishable(old: &Definition, new: &Definition, now: crate::clock::UnixMs) -> Result<(), Problem> {
    let before = check(old, now, &[]);
    let mut after = check(new, now, &[]);
    after.errors.retain(|finding| !before.errors.contains(finding));
    if after.errors.is_empty() { Ok(()) } else { Err(blocked(&after)) }
}

async fn keep_change(app: &App, actor: &str, old: &Record, new: &Record) -> Result<bool, Problem> {
    let mut tx = app.store.begin().await?;
    if !records::replace(&mut tx, new).await? {
        tx.rollback().await?;
        return Ok(false);
    }
    let target = new.id.to_string();
    let change = Change { actor, action: "campaign.change", target: &target, before: to_json(old), after: to_json(new) };
    audit(&mut tx, change, new.updated_at).await?;
    tx.commit().await?;
    Ok(true)
}

fn to_json(value: &impl Serialize) -> Option<Value> {
    serde_json::to_value(value).ok()
}
