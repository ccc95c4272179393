//! `liebian dev`: what one machine needs, in one directory.
//!
//! ```text
//! data/lock          held while the program runs: one program per directory
//! data/secret        made at first start, 0600
//! data/operator_key  the demo admin key, made at first start, 0600
//! data/liebian.db    SQLite
//! data/redis/        Redis' settings, log, pid and append-only files
//! ```

pub mod demo;
mod own_redis;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::UnixMs;
use crate::config::{Config, ConfigError, Hidden, Settings};
use crate::crypto::random_base62;
use crate::operator::keys::new_secret;

pub use own_redis::{Redis, url_of as redis_url};

/// How long a start waits for the directory's lock.
const LOCK_WAIT: Duration = Duration::from_secs(2);
const LOCK_LOOK: Duration = Duration::from_millis(50);

/// Why the directory or its Redis could not be taken into use.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// Another process holds the directory.
    #[error("{} is in use by another liebian; end it, or choose another directory with LIEBIAN_DATA_DIR", .0.display())]
    InUse(PathBuf),
    /// A file or directory could not be read or made.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A kept file holds something else than was written to it.
    #[error("{} is damaged: {why}", path.display())]
    Kept {
        /// Which.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// Redis could not be started at all.
    #[error("redis-server could not be started: {0} (`make setup` installs it)")]
    NoRedis(io::Error),
    /// Redis ended instead of answering.
    #[error("redis-server does not start. The end of its log:\n{0}")]
    RedisRefuses(String),
    /// A Redis of an earlier run cannot be ended.
    #[error("a redis-server (process {0}) still lives on this directory and cannot be ended")]
    RedisStays(i32),
    /// The settings do not suffice.
    #[error(transparent)]
    Settings(#[from] ConfigError),
}

/// The directory, locked, with its Redis running.
#[derive(Debug)]
pub struct Dev {
    /// Its Redis.
    pub redis: Redis,
    /// Never read: the lock goes with it.
    _lock: File,
}

/// Takes the directory into use and starts its Redis. Call it on the thread that lives as long as the process: Redis ends with that
/// thread.
///
/// # Errors
/// When the directory is in use, or Redis does not start.
pub async fn start(mut settings: Settings, now: UnixMs) -> Result<(Config, Dev), DevError> {
    make_directory(&settings.data_dir)?;
    let data = settings.data_dir.canonicalize().map_err(|source| at(&settings.data_dir, source))?;
    let lock = lock_soon(&data).await?;
    if settings.secret.is_none() {
        settings.secret = Some(kept(&data.join("secret"), 32, || random_base62(48))?);
    }
    if settings.operator_key.is_none() {
        settings.operator_key = Some(kept(&data.join("operator_key"), 32, new_secret)?);
    }
    if settings.database_url.is_none() {
        settings.database_url = Some(file_url("sqlite", &data.join("liebian.db")));
    }
    settings.sandbox = settings.sandbox.or(Some(true));
    let redis = Redis::start(&data.join("redis"), &settings.redis_maxmemory, now).await?;
    // Its own Redis, whatever the environment says: `dev` owns what it runs on.
    settings.redis_url = Some(redis.url());
    Ok((settings.for_serve()?, Dev { redis, _lock: lock }))
}

/// The settings for a command beside a running `liebian dev`: what they do not name is taken from the data directory.
///
/// # Errors
/// When there is no such directory.
pub fn attach(mut settings: Settings) -> Result<Settings, DevError> {
    if settings.redis_url.is_some() && settings.database_url.is_some() {
        // A command makes no tokens.
        settings.secret = settings.secret.or_else(|| Some(Hidden::new(random_base62(48))));
        return Ok(settings);
    }
    let data = settings.data_dir.canonicalize().map_err(|source| at(&settings.data_dir, source))?;
    settings.secret = Some(kept(&data.join("secret"), 32, || random_base62(48))?);
    settings.database_url = settings.database_url.or_else(|| Some(file_url("sqlite", &data.join("liebian.db"))));
    settings.redis_url = settings.redis_url.or(Some(own_redis::url_of(&data.join("redis"))?));
    settings.sandbox = settings.sandbox.or(Some(true));
    Ok(settings)
}

fn at(path: &Path, source: io::Error) -> DevError {
    DevError::File { path: path.to_owned(), source }
}

fn make_directory(path: &Path) -> Result<(), DevError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| at(path, source))
}

/// Takes the lock; a process that was just killed may hold it for a moment yet.
async fn lock_soon(data: &Path) -> Result<File, DevError> {
    let until = tokio::time::Instant::now() + LOCK_WAIT;
    loop {
        match lock(data) {
            Err(DevError::InUse(_)) if tokio::time::Instant::now() < until => tokio::time::sleep(LOCK_LOOK).await,
            done => return done,
        }
    }
}

fn lock(data: &Path) -> Result<File, DevError> {
    let path = data.join("lock");
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(|source| at(&path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DevError::InUse(data.to_owned())),
        Err(TryLockError::Error(source)) => Err(at(&path, source)),
    }
}

/// The text kept in `path`; the first time it is made. Written whole or not at all.
fn kept(path: &Path, shortest: usize, make: impl FnOnce() -> String) -> Result<Hidden, DevError> {
    match fs::read_to_string(path) {
        Ok(text) if text.trim().len() >= shortest => Ok(Hidden::new(text.trim().to_owned())),
        Ok(_) => Err(DevError::Kept { path: path.to_owned(), why: "it is too short" }),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
            let text = make();
            write_private(path, &text).map_err(|source| at(path, source))?;
            Ok(Hidden::new(text))
        }
        Err(source) => Err(at(path, source)),
    }
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let half = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&half)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    fs::rename(&half, path)?;
    // The name itself must be on disk too, or a power cut takes all sessions with it.
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// `scheme:///path`, with what would end or change the path escaped.
fn file_url(scheme: &str, path: &Path) -> String {
    let escaped = path.to_string_lossy().replace('%', "%25").replace('?', "%3F").replace('#', "%23").replace(' ', "%20");
    format!("{scheme}://{escaped}")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::{DevError, kept, lock, make_directory};
    use crate::crypto::random_base62;

    fn directory() -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("liebian-test-{}", random_base62(12)));
        make_directory(&path).unwrap();
        path
    }

    #[test]
    fn a_secret_is_made_once_and_read_by_its_owner_only() {
        let data = directory();
        let path = data.join("secret");
        let first = kept(&path, 32, || random_base62(48)).unwrap();
        assert_eq!(kept(&path, 32, || random_base62(48)).unwrap().reveal(), first.reveal());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "").unwrap();
        assert!(matches!(kept(&path, 32, || random_base62(48)), Err(DevError::Kept { .. })));
        fs::remove_dir_all(data).unwrap();
    }

    #[test]
    fn a_directory_has_one_owner() {
        let data = directory();
        let held = lock(&data).unwrap();
        assert!(matches!(lock(&data), Err(DevError::InUse(_))));
        drop(held);
        assert!(lock(&data).is_ok());
        fs::remove_dir_all(data).unwrap();
    }
}
