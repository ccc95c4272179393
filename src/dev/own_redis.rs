//! The Redis of `liebian dev`: a child process on a private socket that never outlives its owner and is never one of two.

use std::fs;
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::{DevError, at, file_url, make_directory};
use crate::clock::UnixMs;
use crate::crypto::sha256_hex;

/// Unix socket paths hold no more bytes (108 with the zero at the end).
const LONGEST_SOCKET_PATH: usize = 107;
/// Loading a large append-only file takes seconds (100 MB: 2.3 s).
const START_WITHIN: Duration = Duration::from_mins(2);
/// How long a Redis may take to end by itself.
const END_WITHIN: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(10);
/// Between a Redis that died and the next one.
const RESTART_AFTER: Duration = Duration::from_millis(200);
/// So much of the log's end is shown.
const LOG_SHOWN: usize = 2_000;

/// The running Redis. Dropped, it is killed.
#[derive(Debug)]
pub struct Redis {
    socket: PathBuf,
    stop: mpsc::Sender<oneshot::Sender<()>>,
}

/// Where everything of one Redis is.
#[derive(Clone, Debug)]
struct Home {
    directory: PathBuf,
    socket: PathBuf,
}

impl Redis {
    /// Starts Redis in `directory` and waits until it has loaded its data. One that lives there still is ended first; one that dies is
    /// started again.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(directory: &Path, maxmemory: &str, now: UnixMs) -> Result<Self, DevError> {
        make_directory(directory)?;
        let home = Home { directory: directory.to_owned(), socket: socket_path(directory)? };
        let conf = directory.join("redis.conf");
        fs::write(&conf, settings(&home, maxmemory)).map_err(|source| at(&conf, source))?;
        home.end_survivor().await?;
        let child = match home.launch().await {
            Err(DevError::RedisRefuses(log)) if is_damage(&log) => {
                home.set_aside(&log, now)?;
                home.launch().await?
            }
            other => other?,
        };
        let (stop, stopped) = mpsc::channel(1);
        tokio::spawn(home.clone().keep_alive(child, stopped));
        Ok(Self { socket: home.socket, stop })
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        file_url("unix", &self.socket)
    }

    /// Ends it. With `appendfsync always` everything answered is on disk already, so nothing needs saving.
    pub async fn stop(self) {
        let (done, wait) = oneshot::channel();
        if self.stop.send(done).await.is_ok() {
            // An error means that the keeper is gone, and its child with it.
            wait.await.ok();
        }
    }
}

impl Home {
    /// Starts the process and waits for its first answer.
    async fn launch(&self) -> Result<Child, DevError> {
        let log_before = self.log().len();
        let mut child = self.spawn().map_err(DevError::NoRedis)?;
        let started = Instant::now();
        loop {
            if let Ok(Some(_status)) = child.try_wait() {
                return Err(DevError::RedisRefuses(self.log_since(log_before)));
            }
            // While it loads it answers -LOADING.
            if ask(&self.socket, "PING").await.is_ok_and(|answer| answer.starts_with("+PONG")) {
                tracing::info!(socket = %self.socket.display(), ms = started.elapsed().as_millis(), "redis is up");
                return Ok(child);
            }
            if started.elapsed() > START_WITHIN {
                return Err(DevError::RedisRefuses(format!("no answer within {START_WITHIN:?}\n{}", self.log_since(log_before))));
            }
            sleep(POLL).await;
        }
    }

    /// `setpriv` (util-linux) asks the kernel to kill Redis when the thread that started it ends, also by SIGKILL. Without it a survivor is
    /// found by its pid file at the next start. Its own process group keeps the terminal's Ctrl-C away from it: the server drains first.
    fn spawn(&self) -> io::Result<Child> {
        let conf = self.directory.join("redis.conf");
        let start = |command: &mut Command| {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).process_group(0).spawn()
        };
        let mut tied = Command::new("setpriv");
        match start(tied.args(["--pdeathsig", "KILL", "redis-server"]).arg(&conf)) {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => start(Command::new("redis-server").arg(&conf)),
            other => other,
        }
    }

    /// Waits for the child's end or the owner's word.
    async fn keep_alive(self, mut child: Child, mut stopped: mpsc::Receiver<oneshot::Sender<()>>) {
        loop {
            tokio::select! {
                told = stopped.recv() => {
                    self.end(&mut child).await;
                    // Nobody waiting for the word any more is fine.
                    if let Some(done) = told {
                        done.send(()).ok();
                    }
                    return;
                }
                status = child.wait() => tracing::error!(?status, "redis died; it is started again"),
            }
            child = loop {
                sleep(RESTART_AFTER).await;
                match self.launch().await {
                    Ok(child) => break child,
                    Err(why) => tracing::error!(%why, "redis does not come back"),
                }
            };
        }
    }

    async fn end(&self, child: &mut Child) {
        // Its answer to SHUTDOWN is the closed connection.
        ask(&self.socket, "SHUTDOWN NOSAVE").await.ok();
        if timeout(END_WITHIN, child.wait()).await.is_err() {
            tracing::warn!("redis does not end by itself and is killed");
            child.kill().await.ok();
        }
    }

    /// Ends a Redis of an earlier run: the lock on the directory says that its owner is gone.
    async fn end_survivor(&self) -> Result<(), DevError> {
        let Some(pid) = self.survivor() else { return Ok(()) };
        tracing::warn!(pid = pid.as_raw_nonzero().get(), "a redis of an earlier run lives on; it is ended");
        ask(&self.socket, "SHUTDOWN NOSAVE").await.ok();
        for signal in [None, Some(Signal::TERM), Some(Signal::KILL)] {
            if let Some(signal) = signal {
                // Should it be gone by now, the loop below sees it.
                kill_process(pid, signal).ok();
            }
            let deadline = Instant::now() + END_WITHIN;
            while Instant::now() < deadline {
                if !self.lives(pid) {
                    return Ok(());
                }
                sleep(POLL).await;
            }
        }
        Err(DevError::RedisStays(pid.as_raw_nonzero().get()))
    }

    /// The process of the pid file, if it still lives and works in this directory.
    fn survivor(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.directory.join("redis.pid")).ok()?;
        Pid::from_raw(text.trim().parse().ok()?).filter(|pid| self.lives(*pid))
    }

    /// The number may have gone to another program since: Redis works in its data directory. A process that ended but was not collected
    /// yet works nowhere. Without /proc the socket tells.
    fn lives(&self, pid: Pid) -> bool {
        if test_kill_process(pid).is_err() {
            return false;
        }
        match fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero())) {
            Ok(cwd) => cwd == self.directory,
            Err(_) if Path::new("/proc/self").exists() => false,
            Err(_) => std::os::unix::net::UnixStream::connect(&self.socket).is_ok(),
        }
    }

    /// Keeps what cannot be loaded, under another name. The engine then rebuilds every campaign from SQL.
    fn set_aside(&self, log: &str, now: UnixMs) -> Result<(), DevError> {
        let files = self.directory.join("appendonlydir");
        let aside = self.directory.join(format!("appendonlydir.damaged-{}", now.get()));
        fs::rename(&files, &aside).map_err(|source| at(&files, source))?;
        tracing::error!(kept_as = %aside.display(), log, "redis cannot load its append-only file; starting empty, campaigns are rebuilt from SQL");
        Ok(())
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.directory.join("redis.log")).unwrap_or_default()).into_owned()
    }

    fn log_since(&self, length: usize) -> String {
        let log = self.log();
        let new = log.get(length..).unwrap_or(&log);
        let from = new.len().saturating_sub(LOG_SHOWN);
        new.char_indices().find(|(place, _)| *place >= from).and_then(|(place, _)| new.get(place..)).unwrap_or_default().to_owned()
    }
}

/// What Redis 7 says of append-only files it cannot read. Anything else (memory, rights, a wrong setting) must not cost the data.
fn is_damage(log: &str) -> bool {
    [
        "Bad file format reading the append only file",
        "Unexpected end of file reading the append only file",
        "Error reading the RDB preamble",
    ]
    .iter()
    .any(|sign| log.contains(sign))
}

fn settings(home: &Home, maxmemory: &str) -> String {
    let quoted = |path: &Path| format!("\"{}\"", path.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\""));
    let (dir, socket) = (quoted(&home.directory), quoted(&home.socket));
    let (log, pid) = (quoted(&home.directory.join("redis.log")), quoted(&home.directory.join("redis.pid")));
    // An answer is sent after its batch is on disk: appendfsync always. A torn tail is cut at a batch's border; the log's hash chain
    // decides whether what is left is whole. Nothing is ever evicted.
    format!(
        "port 0\nunixsocket {socket}\nunixsocketperm 700\ndir {dir}\nlogfile {log}\npidfile {pid}\ndaemonize no\nsupervised no\n\
         appendonly yes\nappendfsync always\nno-appendfsync-on-rewrite no\naof-load-truncated yes\nsave \"\"\n\
         auto-aof-rewrite-percentage 100\nauto-aof-rewrite-min-size 256mb\n\
         maxmemory {maxmemory}\nmaxmemory-policy noeviction\nbusy-reply-threshold 1000\n"
    )
}

/// The address of the Redis of a directory, whether it runs or not.
///
/// # Errors
/// When a place for its socket cannot be made.
pub fn url_of(directory: &Path) -> Result<String, DevError> {
    Ok(file_url("unix", &socket_path(directory)?))
}

/// In the directory; where that path is too long, in a private directory under the temporary one, named after the long path.
fn socket_path(directory: &Path) -> Result<PathBuf, DevError> {
    let here = directory.join("redis.sock");
    if here.as_os_str().len() <= LONGEST_SOCKET_PATH {
        return Ok(here);
    }
    let hash = sha256_hex(directory.as_os_str().as_encoded_bytes());
    let short = std::env::temp_dir().join(format!("liebian-{}", hash.get(..16).unwrap_or(&hash)));
    make_directory(&short)?;
    // Somebody else may have made it first, to get at the socket in it.
    let probe = short.join("owner");
    fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&probe).map_err(|source| at(&probe, source))?;
    let mode = fs::metadata(&short).map_err(|source| at(&short, source))?;
    if mode.permissions().mode() & 0o077 != 0 {
        return Err(DevError::Kept { path: short, why: "others may enter it" });
    }
    Ok(short.join("redis.sock"))
}

/// Sends one command and returns the first line of the answer. All this module needs of Redis' protocol.
async fn ask(socket: &Path, command: &str) -> io::Result<String> {
    let talk = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(format!("{command}\r\n").as_bytes()).await?;
        let mut answer = vec![0; 512];
        let length = stream.read(&mut answer).await?;
        Ok(String::from_utf8_lossy(answer.get(..length).unwrap_or_default()).lines().next().unwrap_or_default().to_owned())
    };
    timeout(Duration::from_secs(1), talk).await.unwrap_or_else(|_late| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::{Redis, ask, socket_path};
    use crate::clock::UnixMs;
    use crate::crypto::random_base62;

    const NOW: UnixMs = UnixMs::new(7);

    fn directory() -> PathBuf {
        let path = std::env::temp_dir().join(format!("liebian-test-{}", random_base62(12)));
        super::make_directory(&path).unwrap();
        path.canonicalize().unwrap()
    }

    async fn info(redis: &Redis) -> i32 {
        let home = redis.socket.parent().unwrap();
        assert!(ask(&redis.socket, "PING").await.unwrap().starts_with("+PONG"));
        fs::read_to_string(home.join("redis.pid")).unwrap().trim().parse().unwrap()
    }

    #[tokio::test]
    async fn what_redis_keeps_survives_a_stop() {
        let home = directory();
        let redis = Redis::start(&home, "64mb", NOW).await.unwrap();
        assert_eq!(ask(&redis.socket, "SET a 1").await.unwrap(), "+OK");
        redis.stop().await;
        let redis = Redis::start(&home, "64mb", NOW).await.unwrap();
        assert_eq!(ask(&redis.socket, "EXISTS a").await.unwrap(), ":1");
        redis.stop().await;
        fs::remove_dir_all(home).unwrap();
    }

    #[tokio::test]
    async fn a_redis_that_dies_comes_back_with_what_it_kept() {
        let home = directory();
        let redis = Redis::start(&home, "64mb", NOW).await.unwrap();
        let first = info(&redis).await;
        ask(&redis.socket, "SET a 1").await.unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(first).unwrap(), rustix::process::Signal::KILL).unwrap();
        let comes_back = async {
            while !ask(&redis.socket, "EXISTS a").await.is_ok_and(|answer| answer == ":1") {
                tokio::time::sleep(super::POLL).await;
            }
        };
        tokio::time::timeout(super::START_WITHIN, comes_back).await.unwrap();
        assert_ne!(info(&redis).await, first);
        redis.stop().await;
        fs::remove_dir_all(home).unwrap();
    }

    #[tokio::test]
    async fn a_damaged_tail_is_set_aside_and_kept() {
        let home = directory();
        let redis = Redis::start(&home, "64mb", NOW).await.unwrap();
        ask(&redis.socket, "SET a 1").await.unwrap();
        redis.stop().await;
        let files: Vec<_> = fs::read_dir(home.join("appendonlydir")).unwrap().map(|file| file.unwrap().path()).collect();
        let tail = files.iter().find(|file| file.to_string_lossy().ends_with(".incr.aof")).unwrap();
        let mut bytes = fs::read(tail).unwrap();
        bytes.extend([0; 64]);
        fs::write(tail, bytes).unwrap();
        let redis = Redis::start(&home, "64mb", NOW).await.unwrap();
        assert_eq!(ask(&redis.socket, "EXISTS a").await.unwrap(), ":0");
        assert!(home.join("appendonlydir.damaged-7").is_dir());
        redis.stop().await;
        fs::remove_dir_all(home).unwrap();
    }

    #[tokio::test]
    async fn a_survivor_is_ended_before_the_next_one_starts() {
        let home = directory();
        let first = Redis::start(&home, "64mb", NOW).await.unwrap();
        ask(&first.socket, "SET a 1").await.unwrap();
        first.stop().await;
        let mut survivor = tokio::process::Command::new("redis-server").arg(home.join("redis.conf")).spawn().unwrap();
        while !ask(&home.join("redis.sock"), "PING").await.is_ok_and(|answer| answer.starts_with("+PONG")) {
            tokio::time::sleep(super::POLL).await;
        }
        let second = Redis::start(&home, "64mb", NOW).await.unwrap();
        assert!(survivor.wait().await.unwrap().success());
        assert_eq!(ask(&second.socket, "EXISTS a").await.unwrap(), ":1");
        second.stop().await;
        fs::remove_dir_all(home).unwrap();
    }

    #[test]
    fn a_long_path_gets_a_short_socket() {
        let long = Path::new("/tmp").join("x".repeat(200));
        let socket = socket_path(&long).unwrap();
        assert!(socket.as_os_str().len() <= super::LONGEST_SOCKET_PATH);
        fs::remove_dir_all(socket.parent().unwrap()).unwrap();
    }
}
