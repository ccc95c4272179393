//! A link that was made, as whoever made it is told.

use serde::Serialize;

use super::links;
use super::token::ShareToken;
use crate::app::App;
use crate::http::problem::Problem;
use crate::id::CampaignId;

/// A link to hand on.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct MadeShare {
    /// The token, 32 characters of `0-9 A-Z a-z _ -`: fits a mini-program code's `scene`.
    #[schema(value_type = String, example = "Z2hvc3RfaW5fdGhlX3NoZWxsX2FiY2Rl")]
    token: ShareToken,
    /// The whole link.
    #[schema(example = "http://127.0.0.1:8080/s/Z2hvc3RfaW5fdGhlX3NoZWxsX2FiY2Rl")]
    url: String,
    /// Its path on this server.
    #[schema(example = "/s/Z2hvc3RfaW5fdGhlX3NoZWxsX2FiY2Rl")]
    path: String,
}

/// The answer to somebody who made a link.
#[must_use]
pub fn made(app: &App, token: ShareToken) -> MadeShare {
    let path = path(token);
    MadeShare { token, url: format!("{}{path}", app.config.public_url), path }
}

/// A link's path on this server.
#[must_use]
pub fn path(token: ShareToken) -> String {
    format!("/s/{token}")
}

/// The link somebody came by, if it is one of this campaign. A wrong one refuses nothing.
///
/// # Errors
/// When the database does not answer.
pub async fn parent(app: &App, came_by: Option<&str>, campaign: CampaignId) -> Result<Option<ShareToken>, Problem> {
    let Some(token) = came_by.and_then(|text| ShareToken::read(&app.secrets, text)) else { return Ok(None) };
    let link = links::find(&app.store, token).await?;
    Ok(link.filter(|link| link.campaign_id == campaign).map(|link| link.token))
}
