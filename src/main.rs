//! The `liebian` program.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use liebian::app::App;
use liebian::bargain::verify::Known;
use liebian::clock::Clock;
use liebian::config::{Cli, Command, Config};
use liebian::http::{server, telemetry};
use liebian::store::Store;
use liebian::{admin, dev};

/// How long the end waits for SQL to get what was answered; with the drain before it the end takes less than ten seconds.
const LAST_WORK: Duration = Duration::from_secs(2);

/// Thousands of small answers a second, made on one thread and dropped on another: the system's allocator took a tenth of the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How the program ends when it could not do what it was asked; 1 means that it did, and that what it looked at is wrong.
const TROUBLE: u8 = 2;

type Outcome = Result<ExitCode, Box<dyn Error>>;

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { command, settings } = Cli::parse();
    telemetry::start_logging(&settings.log);
    let outcome = match command {
        // Here, on the main thread: its Redis ends with the thread that starts it.
        Command::Dev => run_dev(settings).await,
        Command::Serve => match settings.for_serve() {
            Ok(config) => run_serve(config, false).await,
            Err(why) => Err(why.into()),
        },
        Command::Openapi => openapi(),
        Command::Migrate => migrate(settings.database_url).await,
        Command::Rebuild { campaign } => admin::rebuild(settings, campaign).await,
        Command::VerifyChain { proof, start_fen, floor_fen, commitment } => {
            admin::verify_chain(proof.as_deref(), &Known { start_fen, floor_fen, commitment })
        }
        Command::Audit { campaign } => admin::audit(settings, campaign).await,
        Command::TrialBalance => admin::trial_balance(settings).await,
        Command::Reconcile { days } => admin::reconcile(settings, days).await,
    };
    outcome.unwrap_or_else(|why| {
        say_wrong(why.as_ref());
        ExitCode::from(TROUBLE)
    })
}

async fn run_dev(settings: liebian::config::Settings) -> Outcome {
    let (config, owned) = dev::start(settings, Clock::default().now()).await?;
    let outcome = run_serve(config, true).await;
    owned.redis.stop().await;
    outcome
}

/// Serves until told to end. `demo`: loads the demo campaigns and says where everything is when ready.
async fn run_serve(config: Config, demo: bool) -> Outcome {
    let app = App::start(config).await?;
    let (stop, mut writers) = app.spawn_writers();
    let chores = app.spawn_chores();
    let lines = if demo { demo_lines(&app).await? } else { Vec::new() };
    server::serve(app.clone(), || say(&lines)).await?;
    drop(chores);
    // What was answered is projected before the end, as far as SQL goes along; the next start does the rest. Visits are written.
    let last = async {
        let _gone = stop.send(true);
        while writers.join_next().await.is_some() {}
        app.engine.close();
        app.store.close().await;
    };
    let _late = tokio::time::timeout(LAST_WORK, last).await;
    Ok(ExitCode::SUCCESS)
}

async fn demo_lines(app: &App) -> Result<Vec<String>, Box<dyn Error>> {
    let mut lines: Vec<String> = dev::demo::load(app).await?.into_iter().map(|url| format!("share_url={url}")).collect();
    let key = app.config.operator_key.as_ref().map(|key| key.reveal().to_owned()).unwrap_or_default();
    lines.push(format!("docs_url={}/docs/", app.config.public_url));
    lines.push(format!("operator_key={key}"));
    Ok(lines)
}

fn openapi() -> Outcome {
    say(&[serde_json::to_string_pretty(&server::document())?]);
    Ok(ExitCode::SUCCESS)
}

async fn migrate(database_url: Option<String>) -> Outcome {
    let url = database_url.ok_or("LIEBIAN_DATABASE_URL is needed (see liebian --help)")?;
    let store = Store::connect(&url).await?;
    store.migrate().await?;
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "what the program prints is its interface to the person who starts it")]
fn say(lines: &[String]) {
    for line in lines {
        println!("{line}");
    }
}

#[expect(clippy::print_stderr, reason = "the last word of a program that could not do what it was asked")]
fn say_wrong(why: &dyn Error) {
    eprintln!("liebian: {why}");
}
