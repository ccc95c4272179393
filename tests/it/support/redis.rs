//! A Redis (or Valkey) of one's own, as durable as the engine asks for.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::child::{signal, spawn, tied, within};
use super::folder::Folder;

/// What the engine demands of its Redis; `extra` settings of a test come after these and win.
const SETTINGS: &[(&str, &str)] = &[
    ("port", "0"),
    ("save", ""),
    ("appendonly", "yes"),
    ("appendfsync", "always"),
    ("no-appendfsync-on-rewrite", "no"),
    ("maxmemory-policy", "noeviction"),
    ("daemonize", "no"),
];

/// A running server. Dropped: killed, its folder removed.
pub struct Redis {
    folder: Folder,
    binary: PathBuf,
    extra: Vec<(String, String)>,
    child: Option<Child>,
}

/// The Valkey binary that `make test` installed. Tests that use it have `valkey` in their name: runs without it leave them out by name.
pub fn valkey_server() -> PathBuf {
    std::env::var_os("VALKEY_SERVER").map(PathBuf::from).expect("VALKEY_SERVER names no valkey-server: run `make test`")
}

impl Redis {
    /// A `redis-server` with `appendfsync always` and no eviction.
    pub async fn start() -> Self {
        Self::start_with(Path::new("redis-server"), &[]).await
    }

    /// Another binary, or other settings (`("appendfsync", "everysec")`).
    pub async fn start_with(binary: &Path, extra: &[(&str, &str)]) -> Self {
        let extra = extra.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut redis = Self { folder: Folder::new(), binary: binary.to_owned(), extra, child: None };
        redis.restart().await;
        redis
    }

    /// Its address for the engine.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// Where its append-only file lives.
    pub fn data_dir(&self) -> &Path {
        self.folder.path()
    }

    /// Kills it as a crash would; what it had fsynced stays.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal(&child, Signal::KILL);
            child.wait().expect("wait for redis");
        }
    }

    /// Starts it again on the same folder (killing it first if it runs) and waits until it has loaded its data.
    pub async fn restart(&mut self) {
        self.kill();
        let _ = std::fs::remove_file(self.socket());
        self.child = Some(spawn(self.command()));
        let socket = self.socket();
        within(20, "redis-server answers", async || {
            if let Some(child) = &mut self.child
                && let Some(status) = child.try_wait().expect("look at redis")
            {
                panic!("redis-server ended ({status}): {}", self.log());
            }
            answers_ping(&socket).await.unwrap_or(false)
        })
        .await;
    }

    /// Freezes it: connections stay open, nothing answers.
    pub fn stop(&self) {
        signal(self.child.as_ref().expect("redis runs"), Signal::STOP);
    }

    /// Ends [`Redis::stop`].
    pub fn cont(&self) {
        signal(self.child.as_ref().expect("redis runs"), Signal::CONT);
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("redis.log")
    }

    fn command(&self) -> std::process::Command {
        let log: File = OpenOptions::new().create(true).append(true).open(self.log_path()).expect("redis log");
        let mut command = tied("KILL", &[], self.binary.to_str().expect("path in UTF-8"));
        command.arg("--dir").arg(self.folder.path()).arg("--unixsocket").arg(self.socket());
        let extra = self.extra.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in SETTINGS.iter().copied().chain(extra) {
            command.arg(format!("--{name}")).arg(value);
        }
        command.stdout(log.try_clone().expect("redis log")).stderr(log).stdin(std::process::Stdio::null());
        command
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether it is there and has loaded its data (until then it answers LOADING).
async fn answers_ping(socket: &Path) -> std::io::Result<bool> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(b"PING\r\n").await?;
    let mut answer = [0; 5];
    match tokio::time::timeout(Duration::from_secs(1), stream.read_exact(&mut answer)).await {
        Ok(read) => read.map(|_| &answer == b"+PONG"),
        Err(_silent) => Ok(false),
    }
}
