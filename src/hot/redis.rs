//! Connections to Redis: a pool for reads and recovery, a small ring of shared connections for the lanes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::redis as redis_rs;
use deadpool::managed::{self, Metrics, RecycleResult};
use redis_rs::aio::MultiplexedConnection;
use redis_rs::{AsyncConnectionConfig, Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind};
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use super::lane::Trouble;
use super::program::{Script, key};
use super::shelf;
use crate::id::CampaignId;

/// How long Redis may take to answer. Past it an op's outcome is unknown: the call may still run.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long recovery waits for a new append-only file (100 MB take a second), and how often it looks.
const RENEW_WITHIN: Duration = Duration::from_secs(8);
const LOOK: Duration = Duration::from_millis(10);
/// Connections for reads and recovery.
const POOL_SIZE: usize = 16;
/// Connections that lanes share: Redis decides one call at a time anyway; several spread the parsing over this side's threads.
const LANE_CONNECTIONS: usize = 4;

/// With these Redis refuses a call before it starts, and may accept it later.
const PASSING: [&str; 8] = ["LOADING", "MASTERDOWN", "READONLY", "CLUSTERDOWN", "OOM", "BUSY", "MISCONF", "NOREPLICAS"];

/// `deadpool-redis`' manager, but recycling asks Redis nothing (it would send UNWATCH and PING at every checkout): a broken connection is
/// found by its next use, and thrown away then. And what drives a connection does not live on the thread of whichever request needed it first.
#[derive(Debug)]
struct Manager {
    inner: Arc<deadpool_redis::Manager>,
    home: Handle,
}

impl managed::Manager for Manager {
    type Type = MultiplexedConnection;
    type Error = RedisError;

    async fn create(&self) -> Result<MultiplexedConnection, RedisError> {
        let inner = Arc::clone(&self.inner);
        let made = self.home.spawn(async move { managed::Manager::create(&*inner).await });
        made.await.map_err(|ended| RedisError::from(std::io::Error::other(ended)))?
    }

    async fn recycle(&self, _: &mut MultiplexedConnection, _: &Metrics) -> RecycleResult<RedisError> {
        Ok(())
    }
}

/// One shared connection of the lanes, made when it is first needed and again when it broke.
type LaneConnection = Mutex<Option<MultiplexedConnection>>;

/// The way to Redis.
#[derive(Debug)]
pub struct Redis {
    pool: managed::Pool<Manager>,
    lanes: Vec<LaneConnection>,
    next_lane: AtomicUsize,
    /// The replication id of the Redis whose append-only file was written anew.
    renewed: Mutex<String>,
}

/// Where a call did not get to, or what Redis said instead of an answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Redis cannot be reached; nothing was sent.
    #[error("Redis cannot be reached: {0}")]
    Unreachable(String),
    /// Sent, but no answer came: it may have run or may yet run.
    #[error("Redis did not answer: {0}")]
    NoAnswer(String),
    /// Redis refused the call before it started, and may not for long: loading, out of memory, busy, read-only.
    #[error("Redis refuses for now: {0}")]
    Refused(String),
    /// The call failed half way or does not fit; somebody must look.
    #[error("Redis: {0}")]
    Failed(String),
}

impl CallError {
    fn from_redis(error: &RedisError) -> Self {
        let text = error.to_string();
        if error.is_io_error() || error.is_timeout() || error.is_connection_dropped() {
            return Self::NoAnswer(text);
        }
        if error.code().is_some_and(|code| PASSING.contains(&code)) { Self::Refused(text) } else { Self::Failed(text) }
    }

    /// What the caller of an op is told.
    #[must_use]
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Unreachable(_) | Self::Failed(_) => Trouble::Recovering,
            Self::NoAnswer(_) => Trouble::OutcomeUnknown,
            Self::Refused(_) => Trouble::Overloaded,
        }
    }
}

impl Redis {
    /// A way to the Redis at `url` (`redis://…` or `redis+unix:///path`), driven by `home`. Connects when first used.
    ///
    /// # Errors
    /// When the URL does not read.
    pub fn new(url: &str, home: Handle) -> Result<Self, CallError> {
        let settings =
            AsyncConnectionConfig::new().set_response_timeout(Some(RESPONSE_TIMEOUT)).set_connection_timeout(Some(CONNECT_TIMEOUT));
        let manager = deadpool_redis::Manager::new_with_config(url, settings).map_err(|error| CallError::Failed(error.to_string()))?;
        let pool = managed::Pool::builder(Manager { inner: Arc::new(manager), home })
            .max_size(POOL_SIZE)
            .runtime(deadpool::Runtime::Tokio1)
            .wait_timeout(Some(RESPONSE_TIMEOUT))
            .build()
            .map_err(|error| CallError::Failed(error.to_string()))?;
        let lanes = (0..LANE_CONNECTIONS).map(|_| Mutex::new(None)).collect();
        Ok(Self { pool, lanes, next_lane: AtomicUsize::new(0), renewed: Mutex::default() })
    }

    /// A place in the ring of shared connections.
    pub(super) fn lane_slot(&self) -> usize {
        self.next_lane.fetch_add(1, Ordering::Relaxed)
    }

    /// The shared connection of a ring place, connecting if there is none.
    pub(super) async fn lane_connection(&self, slot: usize) -> Result<MultiplexedConnection, CallError> {
        let place = self.lanes.get(slot % LANE_CONNECTIONS).ok_or_else(|| CallError::Failed("no lane connections".into()))?;
        let mut place = place.lock().await;
        if let Some(connection) = place.as_ref() {
            return Ok(connection.clone());
        }
        let connection = self.pooled().await.map(managed::Object::take)?;
        *place = Some(connection.clone());
        Ok(connection)
    }

    /// A connection broke, so the idle ones from before are most likely dead too: without this each of them would cost a call after a restart.
    fn forget_idle(&self) {
        let _forgotten = self.pool.retain(|_, _| false);
    }

    /// Forgets a shared connection that broke.
    pub(super) async fn drop_lane_connection(&self, slot: usize) {
        self.forget_idle();
        if let Some(place) = self.lanes.get(slot % LANE_CONNECTIONS) {
            *place.lock().await = None;
        }
    }

    async fn pooled(&self) -> Result<managed::Object<Manager>, CallError> {
        self.pool.get().await.map_err(|error| CallError::Unreachable(error.to_string()))
    }

    /// Calls a script on a pooled connection.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn script<T: FromRedisValue>(&self, script: &Script, keys: &[String], args: &[&[u8]]) -> Result<T, CallError> {
        let call = evalsha(script, keys, args);
        match self.query(&call).await {
            Err(Failure { error: Some(error), .. }) if is_no_script(&error) => {
                self.query::<String>(&script_load(script)).await.map_err(|failure| failure.told)?;
                self.query(&call).await.map_err(|failure| failure.told)
            }
            answer => answer.map_err(|failure| failure.told),
        }
    }

    /// Sends one command on a pooled connection.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn command<T: FromRedisValue>(&self, name: &str, args: &[&[u8]]) -> Result<T, CallError> {
        let mut command = redis_rs::cmd(name);
        for arg in args {
            command.arg(*arg);
        }
        self.query(&command).await.map_err(|failure| failure.told)
    }

    async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Failure> {
        let mut connection = self.pooled().await.map_err(|told| Failure { error: None, told })?;
        match command.query_async(&mut *connection).await {
            Ok(value) => Ok(value),
            Err(error) => {
                if error.is_unrecoverable_error() || error.is_timeout() {
                    drop(managed::Object::take(connection));
                    self.forget_idle();
                }
                Err(Failure { told: CallError::from_redis(&error), error: Some(error) })
            }
        }
    }

    /// A whole table, read piece by piece while others write: hashes as they are, sorted sets with their scores as text.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn table(&self, campaign: CampaignId, table: &str) -> Result<HashMap<String, Vec<u8>>, CallError> {
        let mut rows = HashMap::new();
        self.scan(campaign, table, |field, row| drop(rows.insert(field, row))).await?;
        Ok(rows)
    }

    /// The names of a table's rows, read likewise; some may come twice.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn fields(&self, campaign: CampaignId, table: &str) -> Result<Vec<String>, CallError> {
        let mut fields = Vec::new();
        self.scan(campaign, table, |field, _row| fields.push(field)).await?;
        Ok(fields)
    }

    async fn scan(&self, campaign: CampaignId, table: &str, mut take: impl FnMut(String, Vec<u8>)) -> Result<(), CallError> {
        let key = key(campaign, table);
        let kind: String = self.command("TYPE", &[key.as_bytes()]).await?;
        let command = if kind == "zset" { "ZSCAN" } else { "HSCAN" };
        let mut place = "0".to_owned();
        loop {
            let (next, page): (String, Vec<(String, Vec<u8>)>) =
                self.command(command, &[key.as_bytes(), place.as_bytes(), b"COUNT", b"1000"]).await?;
            for (field, row) in page {
                if shelf::has_shelves(table) {
                    let rows = shelf::rows(&row).map_err(|error| CallError::Failed(format!("{key} {field}: {error}")))?;
                    for (field, row) in rows {
                        take(field, row);
                    }
                } else {
                    take(field, row);
                }
            }
            if next == "0" {
                return Ok(());
            }
            place = next;
        }
    }

    /// Has Redis write its append-only file anew, once after each of its starts, and waits for that.
    ///
    /// Redis 7 cuts a torn tail in the middle of its last transaction and leaves the beginning there. It does not run, but the next start
    /// reads on into what was appended since and runs both: rows of a batch that was lost come back, under a hash chain that says nothing of
    /// them. The new file is made from memory, where that beginning never was. Where this is not allowed, a warning says so.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn renew_log(&self) -> Result<(), CallError> {
        let mut renewed = self.renewed.lock().await;
        let id = self.replication_id().await?;
        if *renewed == id {
            return Ok(());
        }
        match self.command::<String>("BGREWRITEAOF", &[]).await {
            Ok(_started) => {}
            // One that is under way began after the start, too.
            Err(CallError::Failed(why)) if why.contains("in progress") => {}
            Err(CallError::Failed(why)) => tracing::warn!(why, "the append-only file is not written anew"),
            Err(error) => return Err(error),
        }
        let until = tokio::time::Instant::now() + RENEW_WITHIN;
        while self.info("persistence", "aof_rewrite_in_progress").await? != "0"
            || self.info("persistence", "aof_rewrite_scheduled").await? != "0"
        {
            if tokio::time::Instant::now() > until {
                tracing::warn!("the append-only file is still being written anew; the campaigns go on");
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        *renewed = id;
        Ok(())
    }

    async fn info(&self, section: &str, name: &str) -> Result<String, CallError> {
        let text: String = self.command("INFO", &[section.as_bytes()]).await?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        Ok(value.unwrap_or_default().trim().to_owned())
    }

    /// What changes whenever Redis restarts or another one takes over.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn replication_id(&self) -> Result<String, CallError> {
        self.info("replication", "master_replid").await
    }

    /// Whether Redis answers at all.
    pub async fn answers(&self) -> bool {
        self.command::<String>("PING", &[]).await.is_ok()
    }

    /// Where Redis' settings promise less than that an answered op survives; empty when they promise it.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn weaknesses(&self) -> Result<Vec<String>, CallError> {
        const WANTED: [(&str, &str); 4] =
            [("appendonly", "yes"), ("appendfsync", "always"), ("no-appendfsync-on-rewrite", "no"), ("maxmemory-policy", "noeviction")];
        let mut weak = Vec::new();
        for (name, wanted) in WANTED {
            let found: Vec<String> = self.command("CONFIG", &[b"GET", name.as_bytes()]).await?;
            if found.get(1).is_none_or(|value| value != wanted) {
                weak.push(format!("{name} is {}, not {wanted}", found.get(1).map_or("unknown", String::as_str)));
            }
        }
        Ok(weak)
    }

    /// Log entries of a campaign after a sequence: `(first sequence, hash, packed body)`, at most `count`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn log_after(&self, log_key: &str, seq: i64, count: usize) -> Result<Vec<LogRow>, CallError> {
        let start = format!("({seq}-0");
        let start = if seq == 0 { "-" } else { start.as_str() };
        let rows: Vec<(String, StreamFields)> =
            self.command("XRANGE", &[log_key.as_bytes(), start.as_bytes(), b"+", b"COUNT", count.to_string().as_bytes()]).await?;
        Ok(rows.into_iter().filter_map(|(id, fields)| LogRow::from_fields(&id, fields)).collect())
    }
}

/// Names and values of a stream entry.
type StreamFields = Vec<(String, Vec<u8>)>;

/// A log entry as the stream holds it.
#[derive(Debug)]
pub struct LogRow {
    /// Sequence of its first op.
    pub first: i64,
    /// Chained hash.
    pub hash: String,
    /// The packed body.
    pub packed: Vec<u8>,
}

impl LogRow {
    fn from_fields(id: &str, fields: StreamFields) -> Option<Self> {
        let first = id.split('-').next()?.parse().ok()?;
        let (mut hash, mut packed) = (None, None);
        for (name, value) in fields {
            match name.as_str() {
                "h" => hash = String::from_utf8(value).ok(),
                "b" => packed = Some(value),
                _ => {}
            }
        }
        Some(Self { first, hash: hash?, packed: packed? })
    }
}

struct Failure {
    error: Option<RedisError>,
    told: CallError,
}

/// Whether Redis does not know the script: it did not run, loading it and calling again is safe.
pub(super) fn is_no_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// Whether the connection is of no more use.
pub(super) fn is_broken(error: &RedisError) -> bool {
    error.is_unrecoverable_error() || error.is_timeout()
}

/// What became of a call that failed.
pub(super) fn told(error: &RedisError) -> CallError {
    CallError::from_redis(error)
}

/// The command that calls a script by its SHA-1.
pub(super) fn evalsha(script: &Script, keys: &[String], args: &[&[u8]]) -> Cmd {
    let mut command = redis_rs::cmd("EVALSHA");
    command.arg(&script.sha1).arg(keys.len()).arg(keys);
    for arg in args {
        command.arg(*arg);
    }
    command
}

/// The command that makes Redis know a script.
pub(super) fn script_load(script: &Script) -> Cmd {
    let mut command = redis_rs::cmd("SCRIPT");
    command.arg("LOAD").arg(&script.text);
    command
}
