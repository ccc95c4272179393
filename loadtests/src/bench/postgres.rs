//! A Postgres of the benchmark's own: durable as it comes, on a private socket, gone at the end.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::Outcome;

/// A running server; killed when dropped, and when this process ends.
pub struct Postgres {
    folder: tempfile::TempDir,
    _child: Child,
}

impl Postgres {
    /// Starts one with an empty database.
    pub async fn start() -> Outcome<Self> {
        let binaries = binaries().ok_or("no PostgreSQL under /usr/lib/postgresql: run `make setup`")?;
        let folder = tempfile::Builder::new().prefix("liebian-bench-").tempdir_in("/tmp")?;
        let owner = Owner::find().await?;
        owner.give(folder.path())?;
        let data = folder.path().join("data");
        let mut initdb = owner.command(&binaries.join("initdb"));
        initdb.arg("-D").arg(&data).args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"]).current_dir("/tmp");
        let made = initdb.stdin(Stdio::null()).output().await?;
        if !made.status.success() {
            return Err(format!("initdb: {}", String::from_utf8_lossy(&made.stderr)).into());
        }
        let mut command = owner.command(&binaries.join("postgres"));
        command.arg("-D").arg(&data).arg("-k").arg(folder.path()).args(["-c", "listen_addresses="]);
        let child = command.kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let server = Self { folder, _child: child };
        let begin = Instant::now();
        while liebian::store::Store::connect(&server.url()).await.is_err() {
            if begin.elapsed() > Duration::from_secs(20) {
                return Err("Postgres did not start".into());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(server)
    }

    /// Its database.
    pub fn url(&self) -> String {
        format!("postgres://postgres@localhost/postgres?host={}", self.folder.path().display())
    }
}

/// The folder of the newest version.
fn binaries() -> Option<PathBuf> {
    let found = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|version| version.path().join("bin"));
    found.filter(|bin| bin.join("initdb").exists()).max()
}

/// Postgres refuses to run as root: then it runs as the user its package made.
struct Owner(Option<(u32, u32)>);

impl Owner {
    async fn find() -> Outcome<Self> {
        let id = async |words: &[&str]| -> Outcome<u32> {
            let output = Command::new("id").args(words).output().await?;
            Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
        };
        if id(&["-u"]).await? != 0 {
            return Ok(Self(None));
        }
        Ok(Self(Some((id(&["-u", "postgres"]).await?, id(&["-g", "postgres"]).await?))))
    }

    fn give(&self, folder: &Path) -> std::io::Result<()> {
        self.0.map_or(Ok(()), |(user, group)| chown(folder, Some(user), Some(group)))
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if self.0.is_some() {
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
        }
        command.arg("--").arg(program);
        command
    }
}
