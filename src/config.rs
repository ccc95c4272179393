//! Settings: environment variables (prefix `LIEBIAN_`), each also a flag, read into types before anything starts.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};
use ipnet::IpNet;

use crate::id::CampaignId;

/// The campaign engine for group-buy rooms, bargain chains and two-level referral.
#[derive(Debug, Parser)]
#[command(name = "liebian", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How.
    #[command(flatten)]
    pub settings: Settings,
}

/// What the program can do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Everything one machine needs: its own Redis, `SQLite` in the data directory, demo campaigns
    Dev,
    /// The server, against the Redis and SQL that the settings name
    Serve,
    /// Print the OpenAPI document, then end
    Openapi,
    /// Bring the SQL schema up to date, then end
    Migrate,
    /// Rebuild a campaign's live state from the log that SQL keeps
    Rebuild {
        /// Its id, `cmp_…`
        campaign: CampaignId,
    },
    /// Do a chain's schedule again from its proof (`GET /v1/chains/{id}/proof`) and say whether it fits its commitment
    VerifyChain {
        /// A file with the proof's JSON; standard input without
        proof: Option<PathBuf>,
        /// The price at which the chain started, in fen
        #[arg(long, requires = "floor_fen")]
        start_fen: Option<i64>,
        /// The price after all steps, in fen
        #[arg(long, requires = "start_fen")]
        floor_fen: Option<i64>,
        /// The commitment as it was shown when the chain started
        #[arg(long)]
        commitment: Option<String>,
    },
    /// Check a campaign's invariants: live state, log and SQL against each other
    Audit {
        /// Its id, `cmp_…`
        campaign: CampaignId,
    },
    /// Do all accounts of the ledger together make zero, and is each the sum of its transfers? The exit code says it
    TrialBalance,
    /// Compare the payment provider's books, SQL and live orders; mend what a repeat mends, list what differs
    Reconcile {
        /// How many days back
        #[arg(long, default_value_t = 7, value_parser = value_parser!(u16).range(1..=366))]
        days: u16,
    },
}

/// The settings as given; [`Settings::for_serve`] makes a [`Config`] of them.
#[derive(Clone, Debug, Args)]
pub struct Settings {
    /// Address and port to listen on
    #[arg(long, env = "LIEBIAN_LISTEN", default_value = "127.0.0.1:8080", global = true)]
    pub listen: SocketAddr,
    /// Directory of `liebian dev`: Redis' append-only file, the `SQLite` database, secret and operator key
    #[arg(long, env = "LIEBIAN_DATA_DIR", default_value = "data", global = true)]
    pub data_dir: PathBuf,
    /// `redis://…`, `rediss://…` or `unix://…`; `serve` needs it, `dev` starts its own
    #[arg(long, env = "LIEBIAN_REDIS_URL", hide_env_values = true, value_parser = redis_url, global = true)]
    pub redis_url: Option<String>,
    /// `sqlite://path` or `postgres://…`; `serve` needs it, `dev` keeps a file in the data directory
    #[arg(long, env = "LIEBIAN_DATABASE_URL", hide_env_values = true, value_parser = database_url, global = true)]
    pub database_url: Option<String>,
    /// At least 32 characters from which all token keys are derived; `serve` needs it, `dev` makes one
    #[arg(long, env = "LIEBIAN_SECRET", hide_env_values = true, value_parser = secret, global = true)]
    pub secret: Option<Hidden>,
    /// The address shoppers see, for share links [default: `http://` and the listen address]
    #[arg(long, env = "LIEBIAN_PUBLIC_URL", value_parser = origin, global = true)]
    pub public_url: Option<String>,
    /// Networks whose X-Forwarded-For is believed, comma-separated, such as 10.0.0.0/8
    #[arg(long, env = "LIEBIAN_TRUSTED_PROXIES", default_value = "", hide_default_value = true, global = true)]
    pub trusted_proxies: Commas<Network>,
    /// Web origins that may call the API from a browser, comma-separated, such as <https://shop.example>
    #[arg(long, env = "LIEBIAN_CORS_ORIGINS", default_value = "", hide_default_value = true, global = true)]
    pub cors_origins: Commas<Origin>,
    /// Sandbox login and payment, true or false [default: true for `dev`, false for `serve`]
    #[arg(long, env = "LIEBIAN_SANDBOX", action = clap::ArgAction::Set, global = true)]
    pub sandbox: Option<bool>,
    /// 32 to 128 visible characters: an admin key made at first start, instead of the demo key
    #[arg(long, env = "LIEBIAN_OPERATOR_KEY", hide_env_values = true, value_parser = operator_key, global = true)]
    pub operator_key: Option<Hidden>,
    /// `off` lifts every limit per address, subnet, device or user that is not written in a campaign
    #[arg(long, env = "LIEBIAN_RATE_LIMITS", value_enum, default_value_t = RateLimits::Default, global = true)]
    pub rate_limits: RateLimits,
    /// How long callers are waited for.
    #[command(flatten)]
    pub patience: Patience,
    /// How work on money is tried.
    #[command(flatten)]
    pub effort: Effort,
    /// Be ready although Redis promises less than `appendfsync always`, true or false
    #[arg(long, env = "LIEBIAN_ACCEPT_WEAK_REDIS", action = clap::ArgAction::Set, default_value_t = false, global = true)]
    pub accept_weak_redis: bool,
    /// Memory for the Redis of `liebian dev`, in bytes or with kb, mb, gb
    #[arg(long, env = "LIEBIAN_REDIS_MAXMEMORY", default_value = "1gb", value_parser = memory_size, global = true)]
    pub redis_maxmemory: String,
    /// What to log: a level (error, warn, info, debug, trace) or per module, such as info,liebian=debug
    #[arg(long, env = "LIEBIAN_LOG", default_value = "info", global = true)]
    pub log: String,
}

/// How long callers are waited for, and how much of the server one address may hold. All are at least 1.
#[derive(Clone, Copy, Debug, Args)]
pub struct Patience {
    /// Seconds in which the head of a request must have arrived, on new and on kept connections
    #[arg(long, env = "LIEBIAN_HEAD_SECONDS", default_value_t = 10, value_parser = value_parser!(u16).range(1..), global = true)]
    pub head_seconds: u16,
    /// Seconds in which the body of a request must have arrived after its head
    #[arg(long, env = "LIEBIAN_BODY_SECONDS", default_value_t = 10, value_parser = value_parser!(u16).range(1..), global = true)]
    pub body_seconds: u16,
    /// Seconds for which a connection without a request is kept
    #[arg(long, env = "LIEBIAN_IDLE_SECONDS", default_value_t = 75, value_parser = value_parser!(u16).range(1..), global = true)]
    pub idle_seconds: u16,
    /// Seconds in which a caller must take at least 16 KiB of an answer that waits for it; live streams too
    #[arg(long, env = "LIEBIAN_STALL_SECONDS", default_value_t = 30, value_parser = value_parser!(u16).range(1..), global = true)]
    pub stall_seconds: u16,
    /// Connections that one address may hold, trusted proxies excepted; lifted by `--rate-limits off`
    #[arg(long, env = "LIEBIAN_CONNECTIONS_PER_ADDRESS", default_value_t = 5_000, value_parser = value_parser!(u32).range(1..), global = true)]
    pub connections_per_address: u32,
}

/// How often work on money is tried, and how often the books are compared.
#[derive(Clone, Copy, Debug, Args)]
pub struct Effort {
    /// Tries after which a refund, a payment or a withdrawal waits for a person
    #[arg(long, env = "LIEBIAN_REFUND_TRIES", default_value_t = 20, value_parser = value_parser!(u16).range(1..), global = true)]
    pub refund_tries: u16,
    /// Failing calls of one sort that the payment provider bears in a minute; then such calls pause
    #[arg(long, env = "LIEBIAN_PROVIDER_FAILURES_PER_MINUTE", default_value_t = 30, value_parser = value_parser!(u16).range(1..=6000), global = true)]
    pub provider_failures_per_minute: u16,
    /// Seconds between two reconciliations with the payment provider's books; 0: only when asked
    #[arg(long, env = "LIEBIAN_RECONCILE_SECONDS", default_value_t = 3600, global = true)]
    pub reconcile_seconds: u32,
    /// Pay out withdrawals that their campaigns let pass without anybody's approval; false: an operator approves each
    #[arg(long, env = "LIEBIAN_AUTO_APPROVE", action = clap::ArgAction::Set, default_value_t = true, global = true)]
    pub auto_approve: bool,
}

/// The settings, complete.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// Redis' address.
    pub redis_url: String,
    /// The SQL database's address.
    pub database_url: String,
    /// What token keys are derived from.
    pub secret: Hidden,
    /// `scheme://host[:port]` of share links, without a slash at the end.
    pub public_url: String,
    /// Networks whose X-Forwarded-For is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Web origins that may call the API from a browser.
    pub cors_origins: Vec<String>,
    /// Whether sandbox login and payment are on.
    pub sandbox: bool,
    /// The admin key to make at first start.
    pub operator_key: Option<Hidden>,
    /// Whether the limits per address, device and user hold.
    pub rate_limits: RateLimits,
    /// How long callers are waited for.
    pub patience: Patience,
    /// How work on money is tried.
    pub effort: Effort,
    /// Whether weaker Redis persistence is accepted.
    pub accept_weak_redis: bool,
}

/// Why the settings do not suffice.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// One that has no default is missing.
    #[error("{0} is needed (see liebian --help)")]
    Missing(&'static str),
}

impl Settings {
    /// The configuration of `liebian serve`.
    ///
    /// # Errors
    /// When Redis, database or secret is not named.
    pub fn for_serve(self) -> Result<Config, ConfigError> {
        Ok(Config {
            public_url: self.public_url.unwrap_or_else(|| format!("http://{}", self.listen)),
            listen: self.listen,
            redis_url: self.redis_url.ok_or(ConfigError::Missing("LIEBIAN_REDIS_URL"))?,
            database_url: self.database_url.ok_or(ConfigError::Missing("LIEBIAN_DATABASE_URL"))?,
            secret: self.secret.ok_or(ConfigError::Missing("LIEBIAN_SECRET"))?,
            trusted_proxies: self.trusted_proxies.0.into_iter().map(|network| network.0).collect(),
            cors_origins: self.cors_origins.0.into_iter().map(|origin| origin.0).collect(),
            sandbox: self.sandbox.unwrap_or(false),
            operator_key: self.operator_key,
            rate_limits: self.rate_limits,
            patience: self.patience,
            effort: self.effort,
            accept_weak_redis: self.accept_weak_redis,
        })
    }
}

/// Whether the limits per address, device and user hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RateLimits {
    /// They hold.
    Default,
    /// They are lifted.
    Off,
}

/// Text that debug output does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(String);

impl Hidden {
    /// Hides `text`.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// A comma-separated list; spaces and empty places do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commas<T>(pub Vec<T>);

impl<T: FromStr> FromStr for Commas<T> {
    type Err = T::Err;
    fn from_str(text: &str) -> Result<Self, T::Err> {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

/// A network (`10.0.0.0/8`) or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(pub IpNet);

impl FromStr for Network {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let network = text.parse::<IpNet>().or_else(|_no_prefix| text.parse::<std::net::IpAddr>().map(IpNet::from));
        network.map(Self).map_err(|why| format!("{text}: {why}"))
    }
}

/// `scheme://host[:port]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(pub String);

impl FromStr for Origin {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        origin(text).map(Self)
    }
}

fn origin(text: &str) -> Result<String, String> {
    let text = text.trim_end_matches('/');
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte);
    if host.is_empty() || !host.bytes().all(plain) {
        return Err("expected http(s)://host[:port] without a path".to_owned());
    }
    Ok(text.to_ascii_lowercase())
}

fn one_of(text: &str, schemes: &[&str]) -> Result<String, String> {
    let known = schemes.iter().any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
    if known { Ok(text.to_owned()) } else { Err(format!("expected one of {}", schemes.join(" "))) }
}

fn redis_url(text: &str) -> Result<String, String> {
    one_of(text, &["redis://", "rediss://", "unix://", "redis+unix://"])
}

fn database_url(text: &str) -> Result<String, String> {
    one_of(text, &["sqlite:", "postgres://", "postgresql://"])
}

fn secret(text: &str) -> Result<Hidden, String> {
    if text.chars().count() < 32 { Err("needs at least 32 characters".to_owned()) } else { Ok(Hidden(text.to_owned())) }
}

fn operator_key(text: &str) -> Result<Hidden, String> {
    let fits = (32..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(Hidden(text.to_owned())) } else { Err("needs 32 to 128 visible ASCII characters".to_owned()) }
}

fn memory_size(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    let number = ["kb", "mb", "gb"].iter().find_map(|unit| lower.strip_suffix(unit)).unwrap_or(&lower);
    let fits = number.parse::<u64>().is_ok_and(|number| number > 0);
    if fits { Ok(lower) } else { Err("expected a size such as 512mb".to_owned()) }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::{Cli, Command, Commas, Network};

    fn read(arguments: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["liebian"], arguments].concat())
    }

    #[test]
    fn the_command_line_is_sound_and_every_setting_has_its_variable() {
        let command = Cli::command();
        command.clone().debug_assert();
        for argument in command.get_arguments().filter(|argument| !["help", "version"].contains(&argument.get_id().as_str())) {
            let expected = format!("LIEBIAN_{}", argument.get_id().as_str().to_ascii_uppercase());
            assert_eq!(argument.get_env().and_then(|name| name.to_str()), Some(expected.as_str()));
            assert_eq!(argument.get_long().map(|flag| flag.replace('-', "_")).as_deref(), Some(argument.get_id().as_str()));
        }
    }

    #[test]
    fn what_is_no_setting_is_refused() {
        for wrong in [
            ["--secret", "short"],
            ["--operator-key", "has a space in it and is long enough"],
            ["--redis-url", "http://localhost"],
            ["--database-url", "mysql://x"],
            ["--cors-origins", "https://shop.example/path"],
            ["--trusted-proxies", "10.0.0.0/33"],
            ["--sandbox", "yes"],
            ["--rate-limits", "none"],
            ["--redis-maxmemory", "lots"],
            ["--head-seconds", "0"],
            ["--connections-per-address", "-1"],
        ] {
            assert!(read(&["serve", wrong[0], wrong[1]]).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn serve_needs_redis_database_and_secret_and_hides_the_secret() {
        let cli = read(&["serve"]).unwrap();
        assert!(matches!(cli.command, Command::Serve));
        let all = ["--redis-url", "redis://127.0.0.1", "--database-url", "sqlite://x.db", "--secret", "0123456789012345678901234567890123"];
        let config = read(&[&["serve"], all.as_slice()].concat()).unwrap().settings.for_serve().unwrap();
        assert_eq!(config.public_url, "http://127.0.0.1:8080");
        assert!(!config.sandbox);
        assert!(!format!("{config:?}").contains("0123456789"));
    }

    #[test]
    fn lists_take_spaces_single_addresses_and_nothing() {
        assert_eq!("".parse::<Commas<Network>>().unwrap().0, vec![]);
        assert_eq!("10.0.0.0/8, ::1,".parse::<Commas<Network>>().unwrap().0.len(), 2);
    }
}
