//! Loads the demo campaigns once, each with a share link of its own. That of the referral programme is an invite, of a shopper who is made
//! with it: log in as `demo_inviter` in the sandbox to be that shopper.

use std::time::Duration;

use crate::app::App;
use crate::campaign::demo;
use crate::campaign::desk::put_in_force;
use crate::campaign::records::{self, Record};
use crate::code::Code;
use crate::http::problem::Problem;
use crate::id::CampaignId;
use crate::identity::users::{Login, sign_in};
use crate::referral::invites;
use crate::share::links::{self, Link};
use crate::share::token::ShareToken;
use crate::store::{execute, fetch_optional};

/// How long the start waits for the demo campaigns to be brought back.
const PATIENCE: Duration = Duration::from_secs(13);

/// Who invites in the demo's referral programme.
const INVITER: Login<'_> = Login { provider: "sandbox", external_id: "demo_inviter", display_name: Some("林老师") };

/// The demo campaigns' share links; those not loaded yet are loaded first. A load that broke off goes on where it was.
///
/// # Errors
/// Trouble of Redis or SQL.
pub async fn load(app: &App) -> Result<Vec<String>, Problem> {
    let now = app.clock.now();
    let mut urls = Vec::new();
    for (place, definition) in demo::campaigns(now).into_iter().enumerate() {
        let name = format!("demo_{place}");
        let record = match kept(app, &name).await? {
            Some(record) => record,
            None => keep(app, &name, Record::draft(CampaignId::random(&mut rand::rng()), definition, now)).await?,
        };
        in_force(app, &record).await?;
        let token = match record.definition.referral() {
            Some(_programme) => invite(app, record.id).await?,
            None => link(app, record.id).await?,
        };
        urls.push(format!("{}/s/{token}", app.config.public_url));
    }
    Ok(urls)
}

/// Puts a demo campaign in force. After a kill its recovery may take a while: whoever was at it is given up only after seconds.
async fn in_force(app: &App, record: &Record) -> Result<(), Problem> {
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        match put_in_force(app, record).await {
            Err(problem) if matches!(problem.code(), Code::Recovering | Code::OutcomeUnknown) && tokio::time::Instant::now() < until => {}
            // Whatever the demo shop became meanwhile, it is there.
            Err(problem) if problem.code() == Code::CampaignState => return Ok(()),
            done => return done.map(|_decided| ()),
        }
    }
}

async fn kept(app: &App, name: &str) -> Result<Option<Record>, Problem> {
    let Some((id,)) = fetch_optional!(&app.store, (CampaignId,), "SELECT value FROM settings WHERE name = $1", name)? else {
        return Ok(None);
    };
    Ok(records::find(&app.store, id).await?)
}

async fn keep(app: &App, name: &str, record: Record) -> Result<Record, Problem> {
    let mut tx = app.store.begin().await?;
    records::insert(&mut tx, &record).await?;
    execute!(&mut tx, "INSERT INTO settings (name, value) VALUES ($1, $2)", name, record.id)?;
    tx.commit().await?;
    tracing::info!(campaign = %record.id, title = record.definition.head.title, "demo campaign loaded");
    Ok(record)
}

/// The inviter's own link, which carries their code.
async fn invite(app: &App, campaign: CampaignId) -> Result<ShareToken, Problem> {
    let now = app.clock.now();
    let inviter = sign_in(&app.store, &INVITER, now).await?.user_id;
    let known = async || {
        let standing = invites::standing(&app.store, campaign, inviter).await?;
        Ok::<_, Problem>(standing.and_then(|(_code, text)| ShareToken::read(&app.secrets, &text)))
    };
    if let Some(token) = known().await? {
        return Ok(token);
    }
    invites::keep(&app.store, &invites::link(ShareToken::random(&app.secrets), (campaign, inviter), None, now), inviter).await?;
    known().await?.ok_or_else(|| Problem::defect(&"the demo's invite has no link of ours"))
}

/// The campaign's own link.
async fn link(app: &App, campaign: CampaignId) -> Result<ShareToken, Problem> {
    const OWN: &str =
        "SELECT token FROM shares WHERE campaign_id = $1 AND sharer_user_id IS NULL AND revoked_at IS NULL ORDER BY created_at LIMIT 1";
    let known = fetch_optional!(&app.store, (String,), OWN, campaign)?;
    if let Some(token) = known.and_then(|(text,)| ShareToken::read(&app.secrets, &text)) {
        return Ok(token);
    }
    let token = ShareToken::random(&app.secrets);
    let created_at = app.clock.now();
    let link = Link {
        token,
        campaign_id: campaign,
        sharer: None,
        target: None,
        parent: None,
        channel: None,
        invite_code: None,
        created_at,
        revoked_at: None,
    };
    links::keep(&app.store, &link).await?;
    Ok(token)
}
