//! The real program, as a child process with a Redis and a database of its own.

use std::fs::{self, OpenOptions};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use liebian::store::{Store, fetch_all, fetch_one};
use rustix::process::Signal;
use serde_json::Value;

use super::child::{signal, spawn, tied, within};
use super::db::Db;
use super::folder::Folder;
use super::redis::Redis;

/// The admin key of every test's server.
pub const ADMIN_KEY: &str = "lbk_an_admin_key_that_only_tests_know";
/// What every test's server derives its keys from.
pub const SECRET: &str = "a secret that only the tests know, long enough";

/// How the server is started.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Sandbox login, payment and clock.
    pub sandbox: bool,
    /// Limits per address, device and user.
    pub rate_limits: bool,
    /// Further `LIEBIAN_…` variables.
    pub env: Vec<(&'static str, String)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { sandbox: true, rate_limits: false, env: Vec::new() }
    }
}

/// A server under test. [`TestApp::finish`] looks whether it did its work quietly and completely; the macro `served!` calls it.
pub struct TestApp {
    /// `http://127.0.0.1:<port>`.
    pub base: String,
    /// Keeps connections.
    pub http: reqwest::Client,
    /// Its Redis.
    pub redis: Redis,
    /// Its database.
    pub db: Db,
    setup: Setup,
    port: u16,
    folder: Folder,
    child: Mutex<Option<Child>>,
    expected: Mutex<Vec<String>>,
}

impl TestApp {
    /// Starts a server on `db` and waits until it is ready.
    pub async fn start(db: Db, setup: Setup) -> Self {
        let (redis, port) = (Redis::start().await, free_port());
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        // A server may close a connection that was idle for two seconds (in some tests) just while a request is sent into it.
        let http = http.pool_idle_timeout(Duration::from_secs(1)).build().expect("HTTP client");
        let base = format!("http://127.0.0.1:{port}");
        let (folder, expected) = (Folder::new(), Mutex::default());
        let app = Self { base, http, redis, db, setup, port, folder, child: Mutex::default(), expected };
        app.restart().await;
        app
    }

    /// The database, to look into.
    pub fn store(&self) -> &Store {
        &self.db.store
    }

    /// Kills the server as a crash would.
    pub fn kill(&self) {
        if let Some(mut child) = self.running().take() {
            signal(&child, Signal::KILL);
            child.wait().expect("wait for the server");
        }
    }

    /// Ends the server with SIGTERM; it must end by itself within ten seconds.
    pub async fn stop(&self) {
        let Some(mut child) = self.running().take() else { return };
        signal(&child, Signal::TERM);
        let since = Instant::now();
        let status = ended(&mut child, Duration::from_secs(12)).await;
        let status = status.unwrap_or_else(|| panic!("not ended 12 s after SIGTERM:\n{}", self.log()));
        assert!(since.elapsed() <= Duration::from_secs(10), "ended only {:?} after SIGTERM", since.elapsed());
        assert!(status.success(), "ended with {status}:\n{}", self.log());
    }

    /// Starts the server (killing it first if it runs) on the same port, Redis and database, and waits until it is ready.
    pub async fn restart(&self) {
        self.kill();
        *self.running() = Some(self.spawn(&["serve"]));
        self.wait_until_ready().await;
    }

    /// Starts the server again with other settings.
    pub async fn restart_with(&mut self, setup: Setup) {
        self.setup = setup;
        self.restart().await;
    }

    /// Freezes the server.
    pub fn freeze(&self) {
        signal(self.running().as_ref().expect("the server runs"), Signal::STOP);
    }

    /// Ends [`TestApp::freeze`].
    pub fn thaw(&self) {
        signal(self.running().as_ref().expect("the server runs"), Signal::CONT);
    }

    /// Waits until `/health/ready` says 200.
    pub async fn wait_until_ready(&self) {
        let (http, url, log) = (self.http.clone(), format!("{}/health/ready", self.base), self.log_path());
        within(20, "the server is ready", async || {
            let status = self.running().as_mut().expect("the server runs").try_wait();
            if let Some(status) = status.expect("look at the server") {
                panic!("the server ended ({status}):\n{}", fs::read_to_string(&log).unwrap_or_default());
            }
            http.get(&url).send().await.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
    }

    /// Everything the server has logged, one JSON object a line.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Lines at level ERROR that hold `text` are part of this test.
    pub fn expect_error(&self, text: &str) {
        self.expected.lock().expect("expected errors").push(text.to_owned());
    }

    /// Waits until SQL has the log of every campaign as far as Redis has it.
    pub async fn wait_until_projected(&self) {
        let mut redis = self.redis_connection().await;
        within(10, "SQL has the whole log", async || {
            let cursors = fetch_all!(self.store(), (String, i64), "SELECT campaign_id, seq FROM cursors LIMIT 1000").expect("cursors");
            for (campaign, seq) in cursors {
                let key = hot_key(&campaign, "meta");
                let hot: Option<i64> = redis::cmd("HGET").arg(key).arg("seq").query_async(&mut redis).await.expect("meta");
                if hot.unwrap_or(0) != seq {
                    return false;
                }
            }
            true
        })
        .await;
    }

    /// A connection to its Redis.
    pub async fn redis_connection(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.redis.url()).expect("Redis' address");
        client.get_multiplexed_async_connection().await.expect("connect to Redis")
    }

    /// Ends the test: the log is in SQL, nothing is parked, the ledger balances, the server ends when told to and has logged no error.
    pub async fn finish(self) {
        if self.running().is_none() {
            self.restart().await;
        }
        self.wait_until_projected().await;
        let (parked,) = fetch_one!(self.store(), (i64,), "SELECT COUNT(*) FROM parked_events").expect("parked events");
        assert_eq!(parked, 0, "events are parked");
        let trial = liebian::ledger::trial::of_all(self.store()).await.expect("trial balance");
        assert!(trial.holds(), "the ledger does not balance: {trial:?}");
        self.stop().await;
        let errors = self.unexpected_errors();
        assert!(errors.is_empty(), "unexpected errors in the log:\n{}", errors.join("\n"));
    }

    fn unexpected_errors(&self) -> Vec<String> {
        let expected = self.expected.lock().expect("expected errors");
        let log = self.log();
        let wrong = |line: &&str| match serde_json::from_str::<Value>(line) {
            Ok(entry) => entry["level"] == "ERROR" && !expected.iter().any(|text| line.contains(text)),
            // A panic's message is no JSON.
            Err(_) => line.contains("panicked"),
        };
        log.lines().filter(wrong).map(str::to_owned).collect()
    }

    fn running(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().expect("the server's process")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// The program with this test's settings.
    pub fn spawn(&self, arguments: &[&str]) -> Child {
        let log = OpenOptions::new().create(true).append(true).open(self.log_path()).expect("log of the server");
        let mut command = tied("KILL", &[], env!("CARGO_BIN_EXE_liebian"));
        command.args(arguments).env_clear().current_dir(self.folder.path());
        command.env("LIEBIAN_LISTEN", format!("127.0.0.1:{}", self.port));
        command.env("LIEBIAN_REDIS_URL", self.redis.url()).env("LIEBIAN_DATABASE_URL", &self.db.url);
        command.env("LIEBIAN_SECRET", SECRET).env("LIEBIAN_OPERATOR_KEY", ADMIN_KEY);
        command.env("LIEBIAN_SANDBOX", self.setup.sandbox.to_string());
        command.env("LIEBIAN_RATE_LIMITS", if self.setup.rate_limits { "default" } else { "off" });
        command.envs(self.setup.env.iter().map(|(name, value)| (*name, value.as_str())));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("log")).stderr(log);
        spawn(command)
    }
}

impl Drop for TestApp {
    #[expect(clippy::print_stderr, reason = "a failed test is the one place to say it")]
    fn drop(&mut self) {
        // The test failed: what the server said may tell why.
        if std::thread::panicking() {
            eprintln!("--- the server's log\n{}---", self.log());
        }
        self.kill();
    }
}

/// The Redis key of a campaign's table.
pub fn hot_key(campaign: &str, table: &str) -> String {
    format!("{{{}}}:{table}", campaign.trim_start_matches("cmp_"))
}

async fn ended(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let until = Instant::now() + patience;
    while Instant::now() < until {
        if let Some(status) = child.try_wait().expect("look at the server") {
            return Some(status);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    None
}

/// A port nobody listens on, below those the kernel gives to outgoing connections. Each test process begins elsewhere.
fn free_port() -> u16 {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 2_000).expect("small") * 10;
    for _ in 0..2_000 {
        let port = 10_000 + (first + TRIED.fetch_add(1, Ordering::Relaxed)) % 20_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}

/// Runs each test against a server of its own on either database: `served! { async fn the_rule(app: &mut TestApp) { … } }` makes
/// `the_rule::sqlite` and `the_rule::postgres`; `(app: &mut TestApp, setup)` starts it with another [`Setup`].
macro_rules! served {
    (@import) => {};
    (@import $setup:expr) => {
        use super::*;
    };
    (@setup) => {
        $crate::support::Setup::default()
    };
    (@setup $setup:expr) => {
        $setup
    };
    ($($(#[$meta:meta])* async fn $name:ident($app:ident: &mut TestApp $(, $setup:expr)?) $body:block)*) => {
        $(
            async fn $name($app: &mut $crate::support::TestApp) $body

            mod $name {
                $crate::support::served!(@import $($setup)?);

                $(#[$meta])*
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn sqlite() {
                    let mut app = $crate::support::TestApp::start($crate::support::Db::sqlite().await, $crate::support::served!(@setup $($setup)?)).await;
                    super::$name(&mut app).await;
                    app.finish().await;
                }

                $(#[$meta])*
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn postgres() {
                    let mut app = $crate::support::TestApp::start($crate::support::Db::postgres().await, $crate::support::served!(@setup $($setup)?)).await;
                    super::$name(&mut app).await;
                    app.finish().await;
                }
            }
        )*
    };
}

/// As [`served!`], on `SQLite` alone: for what is answered before any database is asked.
macro_rules! served_once {
    ($($(#[$meta:meta])* async fn $name:ident($app:ident: &mut TestApp $(, $setup:expr)?) $body:block)*) => {
        $(
            $(#[$meta])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                async fn test($app: &mut $crate::support::TestApp) $body
                let setup = $crate::support::served!(@setup $($setup)?);
                let mut app = $crate::support::TestApp::start($crate::support::Db::sqlite().await, setup).await;
                test(&mut app).await;
                app.finish().await;
            }
        )*
    };
}

pub(crate) use served;
pub(crate) use served_once;
