//! The load generator: Debian's `wrk`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::Outcome;

/// Its threads. On a machine of two cores more would only take from the server.
const THREADS: usize = 1;
const REPLAY: &str = include_str!("../../wrk/replay.lua");

/// What a run of `wrk` saw.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Answers.
    pub answers: u64,
    /// Of those, with another status than 2xx or 3xx.
    pub refused: u64,
    /// A second.
    pub per_second: f64,
    /// Whether the requests ran out.
    pub ended: bool,
}

/// `GET url` over and over.
pub async fn get(url: &str, connections: u32, seconds: u32, headers: &[&str]) -> Outcome<Seen> {
    let mut command = Command::new("wrk");
    for header in headers {
        command.args(["-H", header]);
    }
    run(command.args(options(connections, seconds)).arg(url)).await
}

/// Sends requests of `requests`, each once, for so long; they must not run out.
pub async fn replay(base: &str, requests: &Requests, connections: u32, seconds: u32) -> Outcome<Seen> {
    let seen = replay_all(base, requests, connections, seconds).await?;
    if seen.ended { Err("too few requests were prepared".into()) } else { Ok(seen) }
}

/// Likewise, until the time is over or they run out.
pub async fn replay_all(base: &str, requests: &Requests, connections: u32, seconds: u32) -> Outcome<Seen> {
    let script = requests.stem.with_extension("lua");
    std::fs::write(&script, REPLAY)?;
    let mut command = Command::new("wrk");
    command.args(options(connections, seconds)).arg("-s").arg(&script).arg(base).arg("--").arg(&requests.stem);
    run(&mut command).await
}

fn options(connections: u32, seconds: u32) -> Vec<String> {
    vec![format!("-t{THREADS}"), format!("-c{connections}"), format!("-d{seconds}s")]
}

async fn run(command: &mut Command) -> Outcome<Seen> {
    let output =
        command.kill_on_drop(true).output().await.map_err(|why| format!("wrk does not start ({why}); Debian's package is `wrk`"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("wrk failed: {text}{}", String::from_utf8_lossy(&output.stderr)).into());
    }
    read(&text).ok_or_else(|| format!("wrk's answer does not read: {text}").into())
}

fn read(text: &str) -> Option<Seen> {
    if let Some(line) = text.lines().find_map(|line| line.strip_prefix("REPLAY ")) {
        let mut words = line.split_whitespace();
        let mut number = || words.next()?.parse::<u64>().ok();
        let (answers, micros, refused, broken) = (number()?, number()?, number()?, number()?);
        let ended = words.next()? == "true";
        // With a lost connection the figure would be of something else.
        return (broken == 0).then(|| Seen { answers, refused, per_second: answers as f64 * 1e6 / micros as f64, ended });
    }
    let after = |label: &str| text.lines().find_map(|line| line.trim().strip_prefix(label))?.trim().parse().ok();
    let answers = text.lines().find(|line| line.contains(" requests in "))?.split_whitespace().next()?.parse().ok()?;
    let refused = after("Non-2xx or 3xx responses:").map_or(0, |number: f64| number as u64);
    Some(Seen { answers, refused, per_second: after("Requests/sec:")?, ended: false })
}

/// A file of requests, each to be sent once.
pub struct Requests {
    stem: PathBuf,
    files: Vec<BufWriter<File>>,
    written: usize,
}

impl Requests {
    /// An empty file (one a thread) in `directory`.
    pub fn new(directory: &Path, name: &str) -> Outcome<Self> {
        let stem = directory.join(name);
        let files = (0..THREADS).map(|thread| File::create(directory.join(format!("{name}.{thread}"))).map(BufWriter::new));
        Ok(Self { files: files.collect::<Result<_, _>>()?, stem, written: 0 })
    }

    /// Adds a POST.
    pub fn post(&mut self, path: &str, headers: &str, body: &str) -> Outcome<()> {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let place = self.written % THREADS;
        self.written += 1;
        write!(self.files[place], "{:08}{request}", request.len())?;
        Ok(())
    }

    /// Ready to be sent.
    pub fn finish(mut self) -> Outcome<Self> {
        for file in &mut self.files {
            file.flush()?;
        }
        Ok(self)
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        for thread in 0..THREADS {
            // They are large; what cannot be removed goes with the directory.
            let _gone = std::fs::remove_file(format!("{}.{thread}", self.stem.display()));
        }
    }
}
