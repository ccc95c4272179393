//! Commands that work on one campaign: rebuild and audit.

use std::error::Error;
use std::process::ExitCode;

use crate::config::Settings;
use crate::id::CampaignId;

/// Rebuilds a campaign's live state from the log that SQL keeps.
///
/// # Errors
/// When Redis or SQL does not do its part.
#[expect(clippy::unused_async, reason = "it will wait for Redis and SQL")]
pub async fn rebuild(_settings: Settings, campaign: CampaignId) -> Result<ExitCode, Box<dyn Error>> {
    Err(format!("rebuilding {campaign} is not possible yet").into())
}

/// Checks a campaign's invariants; the exit code says whether they hold.
///
/// # Errors
/// When Redis or SQL does not do its part.
#[expect(clippy::unused_async, reason = "it will wait for Redis and SQL")]
pub async fn audit(_settings: Settings, campaign: CampaignId) -> Result<ExitCode, Box<dyn Error>> {
    Err(format!("auditing {campaign} is not possible yet").into())
}
