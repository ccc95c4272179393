//! Commands: rebuild and audit one campaign, balance the ledger, reconcile all money, check a chain's proof. All may run beside a server: cursor,
//! claim and fence keep them apart.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use crate::app::{App, engine_and_projector, program_of};
use crate::audit;
use crate::bargain::verify::{Known, verify};
use crate::clock::Clock;
use crate::config::Settings;
use crate::dev;
use crate::hot::Engine;
use crate::id::CampaignId;
use crate::ledger;
use crate::order::provider::SHOP;
use crate::order::sandbox::SANDBOX;
use crate::projector::cursor::Cursor;
use crate::projector::recovery::{Mode, Outcome};
use crate::projector::{Halt, Projector, Tail};
use crate::store::Store;

/// How long campaigns may take to open.
const OPENING: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(50);

/// What a command works with.
struct Tools {
    store: Store,
    engine: Arc<Engine>,
    projector: Arc<Projector>,
}

impl Tools {
    async fn new(settings: Settings) -> Result<Self, Box<dyn Error>> {
        let config = dev::attach(settings)?.for_serve()?;
        let store = Store::connect(&config.database_url).await?;
        store.migrate().await?;
        let provider = if config.sandbox { SANDBOX } else { SHOP };
        let (engine, projector) = engine_and_projector(&config, &store, &Arc::new(Clock::default()), provider)?;
        Ok(Self { store, engine, projector })
    }

    /// Brings SQL up to the end of the campaign's log, whoever else is at it.
    async fn catch_up(&self, campaign: CampaignId) -> Result<(), Box<dyn Error>> {
        loop {
            let cursor = Cursor::read(&self.store, campaign).await?.ok_or("there is no such campaign")?;
            match Tail::new(campaign, cursor).run_to_end(&self.projector).await {
                Ok(()) => return Ok(()),
                Err(Halt::Overtaken) => {}
                Err(halt) => return Err(halt.into()),
            }
        }
    }
}

/// Rebuilds a campaign's live state from the log that SQL keeps; also one that is frozen. What SQL does not have is lost.
///
/// # Errors
/// When Redis or SQL does not do its part.
pub async fn rebuild(settings: Settings, campaign: CampaignId) -> Result<ExitCode, Box<dyn Error>> {
    let tools = Tools::new(settings).await?;
    match tools.projector.recover(campaign, Mode::Rebuild, "liebian rebuild").await? {
        Outcome::Serving(report) => {
            say(&format!("{campaign} rebuilt up to sequence {}, serves epoch {}", report.seq, report.epoch));
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Frozen | Outcome::Gone => Err(format!("{campaign} has no live state to rebuild").into()),
    }
}

/// Checks a chain's proof, of a file or of standard input; the exit code says whether it holds.
///
/// # Errors
/// When there is no such file.
pub fn verify_chain(proof: Option<&Path>, known: &Known) -> Result<ExitCode, Box<dyn Error>> {
    let text = match proof {
        Some(path) => std::fs::read_to_string(path)?,
        None => std::io::read_to_string(std::io::stdin())?,
    };
    Ok(match verify(&text, known) {
        Ok(found) => {
            say(&found);
            ExitCode::SUCCESS
        }
        Err(wrong) => {
            say(&format!("WRONG  {wrong}"));
            ExitCode::FAILURE
        }
    })
}

/// Checks a campaign's invariants; the exit code says whether they hold.
///
/// # Errors
/// When Redis or SQL does not do its part.
pub async fn audit(settings: Settings, campaign: CampaignId) -> Result<ExitCode, Box<dyn Error>> {
    let tools = Tools::new(settings).await?;
    match tools.projector.recover(campaign, Mode::Careful, "liebian audit").await? {
        Outcome::Serving(_) => {}
        Outcome::Frozen => return Err(format!("{campaign} is frozen: see liebian rebuild").into()),
        Outcome::Gone => return Err(format!("{campaign} was never published, or is archived").into()),
    }
    tools.catch_up(campaign).await?;
    let kind = Cursor::read(&tools.store, campaign).await?.map(|cursor| cursor.kind).unwrap_or_default();
    let program = program_of(&kind).ok_or("a campaign kind without a program")?;
    let report = audit::run(&tools.store, &tools.engine, &tools.projector, program, campaign).await?;
    for check in &report.checks {
        say(&format!("{} {:28} {}", if check.ok { "ok   " } else { "WRONG" }, check.name, check.detail));
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Balances the ledger and holds rewards and withdrawals against it; the exit code says whether it does. Needs SQL alone.
///
/// # Errors
/// When SQL does not do its part.
pub async fn trial_balance(settings: Settings) -> Result<ExitCode, Box<dyn Error>> {
    let url = match settings.database_url {
        Some(url) => url,
        None => dev::attach(settings)?.database_url.ok_or("LIEBIAN_DATABASE_URL is needed (see liebian --help)")?,
    };
    let store = Store::connect(&url).await?;
    store.migrate().await?;
    let trial = ledger::trial::of_all(&store).await?;
    store.close().await;
    for total in &trial.totals {
        say(&format!("{:12} {:>8} accounts {:>16} fen", total.kind, total.accounts, total.balance_fen.get()));
    }
    for wrong in trial.wrong.iter().chain(&trial.contradicted) {
        say(&format!("WRONG  {wrong}"));
    }
    say(&format!("{} transfers; all accounts together: {} fen", trial.transfers, trial.sum().get()));
    Ok(if trial.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Compares the payment provider's books, SQL and live orders of some days; the exit code says whether anything differed, mended or not.
///
/// # Errors
/// When Redis, SQL or the provider does not do its part.
pub async fn reconcile(settings: Settings, days: u16) -> Result<ExitCode, Box<dyn Error>> {
    let app = App::start(dev::attach(settings)?.for_serve()?).await?;
    // What is mended must come into SQL, whether a server runs beside this or not.
    let (stop, mut writers) = app.spawn_writers();
    let opened = async {
        while !app.opened().await? {
            tokio::time::sleep(LOOK).await;
        }
        Ok::<_, Box<dyn Error>>(())
    };
    tokio::time::timeout(OPENING, opened).await.map_err(|_late| "not all campaigns could be opened")??;
    let report = app.cashier.reconcile(days).await?;
    let _gone = stop.send(true);
    while let Some(ended) = writers.join_next().await {
        ended?;
    }
    for finding in &report.findings {
        say(&format!(
            "{:6} {:27} {} {}",
            if finding.mended { "mended" } else { "WRONG" },
            finding.kind.word(),
            finding.subject,
            finding.detail
        ));
    }
    let told: usize = report.counts.values().sum();
    let unasked =
        if report.orders_not_asked == 0 { String::new() } else { format!(", {} orders could not be asked", report.orders_not_asked) };
    say(&format!(
        "{} payments, {} refunds, {} orders of {days} days compared: {told} differ{unasked}",
        report.payments, report.refunds, report.orders
    ));
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[expect(clippy::print_stdout, reason = "the command's result, for the person who gave it")]
fn say(line: &str) {
    println!("{line}");
}
