//! The `liebian` program.

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use liebian::app::App;
use liebian::clock::Clock;
use liebian::config::{Cli, Command, Config};
use liebian::http::{server, telemetry};
use liebian::store::Store;
use liebian::{admin, dev};

type Outcome = Result<ExitCode, Box<dyn Error>>;

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { command, settings } = Cli::parse();
    telemetry::start_logging(&settings.log);
    let outcome = match command {
        // Here, on the main thread: its Redis ends with the thread that starts it.
        Command::Dev => run_dev(settings).await,
        Command::Serve => match settings.for_serve() {
            Ok(config) => run_serve(config, &[]).await,
            Err(why) => Err(why.into()),
        },
        Command::Migrate => migrate(settings.database_url).await,
        Command::Rebuild { campaign } => admin::rebuild(settings, campaign).await,
        Command::Audit { campaign } => admin::audit(settings, campaign).await,
    };
    outcome.unwrap_or_else(|why| {
        say_wrong(why.as_ref());
        ExitCode::FAILURE
    })
}

async fn run_dev(settings: liebian::config::Settings) -> Outcome {
    let (config, owned) = dev::start(settings, Clock::default().now()).await?;
    let key = config.operator_key.as_ref().map(|key| key.reveal().to_owned()).unwrap_or_default();
    let lines = [format!("docs_url={}/docs/", config.public_url), format!("operator_key={key}")];
    let outcome = run_serve(config, &lines).await;
    owned.redis.stop().await;
    outcome
}

/// Serves; prints `lines` when ready.
async fn run_serve(config: Config, lines: &[String]) -> Outcome {
    let app = App::start(config).await?;
    let chores = app.clone().into_inner().spawn_chores();
    server::serve(app.clone(), || say(lines)).await?;
    drop(chores);
    app.store.close().await;
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
