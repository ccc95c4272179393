//! One Postgres for the whole test process, and a fresh database in it for each test.
//!
//! `initdb` takes a second or more, so it runs once: its result is kept in the target folder and copied.

use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use rustix::process::{Signal, geteuid};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tokio::sync::Mutex;

use super::child::{signal, spawn, tied, within};
use super::folder::Folder;

/// Fast, and small: the machine that holds the tests may die with their data.
const SETTINGS: &[&str] = &[
    "listen_addresses=",
    "fsync=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_connections=200",
    "shared_buffers=32MB",
    "dynamic_shared_memory_type=mmap",
    "autovacuum=off",
    "jit=off",
    "lc_messages=C",
];

/// A running server; it ends when the last test that uses it does.
pub struct Postgres {
    folder: Folder,
    child: Child,
}

impl Postgres {
    /// The server of this process, started if nobody uses it.
    pub async fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Postgres>> = Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Self::start().await);
        *shared = Arc::downgrade(&server);
        server
    }

    /// A new empty database's URL.
    pub async fn new_database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let options: sqlx::postgres::PgConnectOptions = self.url("postgres").parse().expect("own url");
        let mut connection = options.connect().await.expect("connect to the test server");
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await.expect("create a database");
        connection.close().await.expect("close");
        self.url(&name)
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@localhost/{database}?host={}", self.folder.path().display())
    }

    async fn start() -> Self {
        let binaries = binaries();
        let folder = Folder::new();
        let data = folder.path().join("data");
        run(Command::new("cp").arg("-a").arg(template(&binaries)).arg(&data));
        let owner = Owner::find();
        owner.give(folder.path());
        let log_path = folder.path().join("log");
        let log = File::create(&log_path).expect("log of the test server");
        // QUIT, not KILL: at once as well, but it gives back its System V shared memory, of which a machine has few.
        let mut command = tied("QUIT", &owner.drop_to(), path(&binaries.join("postgres")));
        command.arg("-D").arg(&data).arg("-k").arg(folder.path());
        for setting in SETTINGS {
            command.arg("-c").arg(setting);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("log")).stderr(log);
        let mut server = Self { folder, child: spawn(command) };
        let options: sqlx::postgres::PgConnectOptions = server.url("postgres").parse().expect("own url");
        let options = options.disable_statement_logging();
        within(30, "postgres answers", async || {
            if let Some(status) = server.child.try_wait().expect("look at postgres") {
                panic!("postgres ended ({status}): {}", fs::read_to_string(&log_path).unwrap_or_default());
            }
            options.connect().await.is_ok()
        })
        .await;
        server
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        signal(&self.child, Signal::QUIT);
        let _ = self.child.wait();
    }
}

/// The folder with `initdb` and `postgres`: the newest under `/usr/lib/postgresql`.
fn binaries() -> PathBuf {
    let found = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|version| version.path().join("bin"));
    let version = |path: &PathBuf| path.iter().rev().nth(1).and_then(|name| name.to_str()?.parse::<f32>().ok()).map(f32::to_bits);
    found.filter(|bin| bin.join("initdb").exists()).max_by_key(version).expect("no PostgreSQL under /usr/lib/postgresql: run `make setup`")
}

/// A data folder fresh from `initdb`, made by the first test process that needs it.
fn template(binaries: &Path) -> PathBuf {
    let version = Command::new(binaries.join("postgres")).arg("--version").output().expect("postgres --version").stdout;
    let version = String::from_utf8_lossy(&version).split_whitespace().nth(2).unwrap_or("unknown").to_owned();
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let template = kept.join(format!("postgres-{}-{}", version.replace('.', "_"), geteuid().as_raw()));
    let lock = File::create(template.with_extension("lock")).expect("lock file");
    lock.lock().expect("lock");
    if !template.exists() {
        // Made outside, because the user it runs as may not be allowed into the target folder.
        let (folder, owner) = (Folder::new(), Owner::find());
        owner.give(folder.path());
        let data = folder.path().join("data");
        let mut initdb = tied("KILL", &owner.drop_to(), path(&binaries.join("initdb")));
        initdb.arg("-D").arg(&data).args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--wal-segsize=1"]);
        run(initdb.current_dir("/tmp"));
        let half_done = template.with_extension("half");
        let _ = fs::remove_dir_all(&half_done);
        run(Command::new("cp").arg("-a").arg(&data).arg(&half_done));
        fs::rename(&half_done, &template).expect("keep the template");
    }
    template
}

/// Postgres refuses to run as root: then it runs as the user its package made.
struct Owner(Option<(u32, u32)>);

impl Owner {
    fn find() -> Self {
        if !geteuid().is_root() {
            return Self(None);
        }
        let id = |what: &str| {
            let output = Command::new("id").args([what, "postgres"]).output().expect("id");
            String::from_utf8_lossy(&output.stdout).trim().parse().expect("a user named postgres")
        };
        Self(Some((id("-u"), id("-g"))))
    }

    fn give(&self, folder: &Path) {
        if let Some((user, group)) = self.0 {
            chown(folder, Some(user), Some(group)).expect("give the folder away");
        }
    }

    fn drop_to(&self) -> Vec<&'static str> {
        self.0.map(|_| vec!["--reuid=postgres", "--regid=postgres", "--clear-groups"]).unwrap_or_default()
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("path in UTF-8")
}

/// Runs a command that must succeed.
fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().expect("start a command");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
