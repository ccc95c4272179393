//! The versions of a campaign's definition: 1 is the draft as it was written, each change that took effect is one more. Orders and rooms name
//! the one they were decided under (`definition_version`).

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get};
use serde::Serialize;

use super::live::existing;
use super::model::{Definition, WholeDefinition};
use crate::app::App;
use crate::clock::UnixMs;
use crate::code::Code;
use crate::http::caller::{Operator, Viewer};
use crate::http::extract::Id;
use crate::http::page::{List, Page};
use crate::http::problem::Problem;
use crate::id::CampaignId;
use crate::store::{fetch_all, fetch_optional};

/// A version, without what it says.
#[derive(Debug, Serialize, sqlx::FromRow, utoipa::ToSchema)]
struct CampaignVersion {
    /// Its number.
    #[schema(example = 2)]
    version: i64,
    /// When it was written.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: UnixMs,
}

/// A version and the whole definition as it was then.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct CampaignVersionRecord {
    /// The campaign.
    campaign_id: CampaignId,
    /// Number and time.
    #[serde(flatten)]
    version: CampaignVersion,
    /// The definition, its defaults filled in.
    #[serde(flatten)]
    #[schema(value_type = WholeDefinition)]
    definition: Definition,
}

/// A campaign's versions, newest first.
#[utoipa::path(tag = "operator: campaigns", operation_id = "list_versions", params(("id" = CampaignId, Path), Page),
    security(("operator" = ["viewer"])), responses((status = 200, description = "A page", body = List<CampaignVersion>)))]
#[get("/operator/v1/campaigns/{id}/versions")]
pub async fn list(app: Data<App>, _operator: Operator<Viewer>, id: Id<CampaignId>, page: Page) -> Result<HttpResponse, Problem> {
    const LIST: &str =
        "SELECT version, created_at FROM campaign_versions WHERE campaign_id = $1 AND version < $2 ORDER BY version DESC LIMIT $3";
    existing(&app, id.0).await?;
    let (before, _) = page.before();
    let rows = fetch_all!(&app.store, CampaignVersion, LIST, id.0, before, page.fetch())?;
    Ok(HttpResponse::Ok().json(page.list(rows, |row: &CampaignVersion| (row.version, "v".to_owned()))))
}

/// A definition as it was in one version.
#[utoipa::path(tag = "operator: campaigns", operation_id = "get_version", security(("operator" = ["viewer"])),
    params(("id" = CampaignId, Path), ("version" = i64, Path, description = "The number of a version.")),
    responses((status = 200, description = "The definition", body = CampaignVersionRecord)))]
#[get("/operator/v1/campaigns/{id}/versions/{version}")]
pub async fn read(app: Data<App>, _operator: Operator<Viewer>, path: Path<(String, String)>) -> Result<HttpResponse, Problem> {
    const FIND: &str = "SELECT created_at, definition FROM campaign_versions WHERE campaign_id = $1 AND version = $2";
    let (campaign, version) = path.into_inner();
    let (Ok(campaign_id), Ok(version)) = (campaign.parse::<CampaignId>(), version.parse::<i64>()) else {
        return Err(Code::NotFound.into());
    };
    let found = fetch_optional!(&app.store, (UnixMs, String), FIND, campaign_id, version)?;
    let (created_at, definition) = found.ok_or(Code::NotFound)?;
    let definition = serde_json::from_str(&definition).map_err(|error| Problem::defect(&error))?;
    Ok(HttpResponse::Ok().json(CampaignVersionRecord { campaign_id, version: CampaignVersion { version, created_at }, definition }))
}
