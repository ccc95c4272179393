//! Spikes and benchmarks. Bounded in time and count, and only against this machine. The last line of each is one JSON object.

mod bench;
mod spike;
mod tree;
mod usual;

use std::error::Error;

use clap::{Parser, Subcommand};

/// The server's, so that what is compared has the same.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a run gives, or why it ended.
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Load tests for a Liebian server on this machine.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Throws a spike at a running server (sandbox on, `LIEBIAN_RATE_LIMITS=off`), then audits it
    Spike(spike::Args),
    /// Starts its own servers and measures them against each other
    Bench(bench::Args),
    /// Grows an invitation tree to a million users in a Redis of its own, and measures what binds and sales cost on the way
    Tree(tree::Args),
    /// An empty handler, as `bench` compares with
    #[command(hide = true)]
    Noop { port: u16 },
    /// The usual way to do it, as `bench` compares with
    #[command(hide = true)]
    Usual { port: u16, redis_url: String, secret: String },
}

fn main() -> Outcome<()> {
    match Cli::parse().command {
        Command::Noop { port } => Ok(actix_web::rt::System::new().block_on(usual::noop(port))?),
        Command::Usual { port, redis_url, secret } => actix_web::rt::System::new().block_on(usual::serve(port, &redis_url, &secret)),
        Command::Spike(args) => runtime()?.block_on(spike::main(args)),
        Command::Tree(args) => runtime()?.block_on(tree::main(args)),
        Command::Bench(args) => runtime()?.block_on(bench::main(args)),
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
