//! The servers under test: children of this process on free loopback ports, with data in a directory that goes with them.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::Outcome;

/// From which both servers derive their token keys.
pub const SECRET: &str = "a secret of the benchmark, known to all";
const OPERATOR_KEY: &str = "an_admin_key_of_the_benchmark_only_0";

/// A running server; killed when dropped.
pub struct Server {
    /// `http://127.0.0.1:<port>`.
    pub base: String,
    child: Child,
}

impl Server {
    async fn start(mut command: Command, port: u16, path: &str) -> Outcome<Self> {
        let child = command.kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let server = Self { base: format!("http://127.0.0.1:{port}"), child };
        let begin = Instant::now();
        while reqwest::get(format!("{}{path}", server.base)).await.is_err() {
            if begin.elapsed() > Duration::from_secs(20) {
                return Err("a server did not start".into());
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(server)
    }

    /// The empty handler.
    pub async fn noop() -> Outcome<Self> {
        let port = free_port()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["noop", &port.to_string()]);
        Self::start(command, port, "/").await
    }

    /// The usual way.
    pub async fn usual(redis_url: &str) -> Outcome<Self> {
        let port = free_port()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["usual", &port.to_string(), redis_url, SECRET]);
        Self::start(command, port, "/").await
    }

    /// Memory it holds, in MiB.
    pub fn memory_mib(&self) -> f64 {
        let status =
            self.child.id().and_then(|process| std::fs::read_to_string(format!("/proc/{process}/status")).ok()).unwrap_or_default();
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
        kib.unwrap_or_default() / 1024.0
    }

    /// CPU seconds it has used.
    pub fn cpu_seconds(&self) -> f64 {
        self.child.id().map_or(0.0, cpu_seconds)
    }
}

/// The real server with its Redis and SQLite.
pub struct Liebian {
    /// The server.
    pub server: Server,
    /// Its data.
    pub data: PathBuf,
    http: reqwest::Client,
}

impl Liebian {
    /// Starts `program dev` with data in `data`.
    pub async fn start(program: &Path, data: &Path) -> Outcome<Self> {
        let port = free_port()?;
        let mut command = Command::new(program);
        command
            .arg("dev")
            .env("LIEBIAN_LISTEN", format!("127.0.0.1:{port}"))
            .env("LIEBIAN_DATA_DIR", data)
            .env("LIEBIAN_SECRET", SECRET)
            .env("LIEBIAN_OPERATOR_KEY", OPERATOR_KEY)
            .env("LIEBIAN_RATE_LIMITS", "off")
            .env("LIEBIAN_REDIS_MAXMEMORY", "4gb")
            .env("LIEBIAN_LOG", "warn");
        let server = Server::start(command, port, "/health/live").await?;
        Ok(Self { server, data: data.to_owned(), http: reqwest::Client::new() })
    }

    /// The address of its Redis.
    pub fn redis_url(&self) -> Outcome<String> {
        Ok(liebian::dev::redis_url(&self.data.join("redis"))?)
    }

    /// Its database.
    pub fn database_url(&self) -> String {
        format!("sqlite://{}", self.data.join("liebian.db").display())
    }

    /// Waits for the demo's referral programme, and ends it: the demo is loaded while the server serves already.
    pub async fn end_demo_programme(&self) -> Outcome<()> {
        let begin = Instant::now();
        while self.end_programmes().await? == 0 {
            if begin.elapsed() > Duration::from_secs(20) {
                return Err("the demo has no referral programme".into());
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Ends the referral programmes that are live: while there is one, every order asks who earns by it. Answers how many there were.
    pub async fn end_programmes(&self) -> Outcome<usize> {
        let all = self.operate(self.http.get(format!("{}/operator/v1/campaigns?limit=200", self.server.base))).await?;
        let is_live = |campaign: &&Value| campaign["kind"] == "referral" && campaign["state"] == "live";
        let live: Vec<_> = all["items"].as_array().ok_or("no campaigns")?.iter().filter(is_live).collect();
        for campaign in &live {
            let id = campaign["id"].as_str().ok_or("no id")?;
            self.post(&format!("/operator/v1/campaigns/{id}/end"), &Value::Object(serde_json::Map::new())).await?;
        }
        Ok(live.len())
    }

    /// A counter of the server's.
    pub async fn counter(&self, name: &str) -> Outcome<f64> {
        let figures = self.http.get(format!("{}/metrics", self.server.base)).send().await?.error_for_status()?.text().await?;
        let value = figures.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(value.ok_or_else(|| format!("no figure {name}"))?.parse()?)
    }

    /// An operator's POST.
    pub async fn post(&self, path: &str, body: &Value) -> Outcome<Value> {
        self.operate(self.http.post(format!("{}{path}", self.server.base)).json(body)).await
    }

    async fn operate(&self, request: reqwest::RequestBuilder) -> Outcome<Value> {
        let answer = request.bearer_auth(OPERATOR_KEY).send().await?;
        let (status, path) = (answer.status(), answer.url().path().to_owned());
        let body: Value = answer.json().await?;
        if status.is_success() { Ok(body) } else { Err(format!("{path}: {status} {body}").into()) }
    }
}

fn free_port() -> Outcome<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// CPU seconds (user and system) of a process, as `/proc` counts them in hundredths.
pub fn cpu_seconds(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / 100.0
}
