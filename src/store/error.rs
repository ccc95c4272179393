//! What can go wrong in SQL, sorted by what the caller should do about it.

use sqlx::postgres::PgDatabaseError;
use sqlx::sqlite::SqliteError;

/// Why the database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Too much at once: a lock, a deadlock or no free connection. Nothing was changed; asking again later helps.
    #[error("the database is busy: {0}")]
    Busy(#[source] sqlx::Error),
    /// No answer: down, starting, read-only, disk full, or the connection broke. **Whether the statement took effect is unknown.**
    #[error("the database does not answer: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// A constraint or the type of a value said no. Nothing was changed; the same values will be refused again.
    #[error("the database refuses these values: {message}")]
    Rejected {
        /// A unique index or primary key said it: such a row exists.
        unique: bool,
        /// The database's own words.
        message: String,
    },
    /// The statement, the schema or a row is not what the program believes.
    #[error("defect in SQL: {0}")]
    Defect(#[source] sqlx::Error),
    /// A transaction in which a statement failed was told to commit. It was rolled back.
    #[error("defect in SQL: commit after a failed statement")]
    CommitAfterFailure,
    /// A database address that is neither `sqlite:` with a file nor `postgres:`.
    #[error("not a database address: {0}")]
    Address(String),
}

impl StoreError {
    /// Whether the same call may succeed later ("trouble", a 503) or never (a 500).
    #[must_use]
    pub const fn is_trouble(&self) -> bool {
        match self {
            Self::Busy(_) | Self::Unavailable(_) => true,
            Self::Rejected { .. } | Self::Defect(_) | Self::CommitAfterFailure | Self::Address(_) => false,
        }
    }

    /// Whether the database said no to these very values, so that it will for ever.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Rejected { .. })
    }

    /// Whether a row with this key exists already.
    #[must_use]
    pub const fn is_unique(&self) -> bool {
        matches!(self, Self::Rejected { unique: true, .. })
    }
}

/// What to do about an error of the database itself.
enum Verdict {
    Busy,
    Unavailable,
    Rejected { unique: bool },
    Defect,
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::Database(cause) = &error {
            let verdict = if let Some(cause) = cause.try_downcast_ref::<PgDatabaseError>() {
                postgres_verdict(cause.code())
            } else if cause.try_downcast_ref::<SqliteError>().is_some() {
                sqlite_verdict(cause.code().and_then(|code| code.parse().ok()).unwrap_or_default())
            } else {
                Verdict::Defect
            };
            return match verdict {
                Verdict::Busy => Self::Busy(error),
                Verdict::Unavailable => Self::Unavailable(error),
                Verdict::Rejected { unique } => Self::Rejected { unique, message: cause.message().to_owned() },
                Verdict::Defect => Self::Defect(error),
            };
        }
        if let sqlx::Error::Encode(why) = error {
            Self::Rejected { unique: false, message: why.to_string() }
        } else if matches!(error, sqlx::Error::PoolTimedOut) {
            Self::Busy(error)
        } else if matches!(
            error,
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed | sqlx::Error::BeginFailed
        ) {
            Self::Unavailable(error)
        } else {
            Self::Defect(error)
        }
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        use sqlx::migrate::MigrateError::{Execute, ExecuteMigration};
        if let Execute(cause) | ExecuteMigration(cause, _) = error {
            cause.into()
        } else {
            Self::Defect(sqlx::Error::Migrate(Box::new(error)))
        }
    }
}

/// By SQLSTATE: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn postgres_verdict(sqlstate: &str) -> Verdict {
    match sqlstate {
        "23505" => Verdict::Rejected { unique: true },
        // Serialization, deadlock, lock timeout, statement timeout, "object in use".
        "40001" | "40P01" | "55P03" | "57014" | "55006" => Verdict::Busy,
        other => match other.get(..2) {
            Some("22" | "23") => Verdict::Rejected { unique: false },
            // Connection, state of the transaction (read-only: a replica, or a primary that was demoted under us; idle for too long), resources
            // (memory, disk, connections), operator intervention (shutdown, starting up), system error, internal error.
            Some("08" | "25" | "53" | "57" | "58" | "XX") => Verdict::Unavailable,
            _ => Verdict::Defect,
        },
    }
}

/// By extended result code: <https://www.sqlite.org/rescode.html>.
fn sqlite_verdict(code: i32) -> Verdict {
    const PRIMARY_KEY: i32 = 1555;
    const UNIQUE: i32 = 2067;
    const ROWID: i32 = 2579;
    match code {
        PRIMARY_KEY | UNIQUE | ROWID => Verdict::Rejected { unique: true },
        // The low byte is the primary code.
        other => match other & 0xff {
            5 | 6 | 9 => Verdict::Busy,                        // BUSY, LOCKED, INTERRUPT
            7 | 8 | 10 | 13 | 14 | 15 => Verdict::Unavailable, // NOMEM, READONLY, IOERR, FULL, CANTOPEN, PROTOCOL
            18..=20 => Verdict::Rejected { unique: false },    // TOOBIG, CONSTRAINT, MISMATCH
            _ => Verdict::Defect,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{Verdict, postgres_verdict, sqlite_verdict};

    #[test]
    fn a_deadlock_is_busy_and_a_shutdown_unavailable() {
        assert!(matches!(postgres_verdict("40P01"), Verdict::Busy));
        assert!(matches!(postgres_verdict("57P01"), Verdict::Unavailable));
        assert!(matches!(postgres_verdict("42P01"), Verdict::Defect));
        assert!(matches!(postgres_verdict("25006"), Verdict::Unavailable), "read-only");
        assert!(matches!(postgres_verdict("25P03"), Verdict::Unavailable), "idle in a transaction for too long");
        assert!(matches!(sqlite_verdict(517), Verdict::Busy), "BUSY_SNAPSHOT");
        assert!(matches!(sqlite_verdict(275), Verdict::Rejected { unique: false }), "CONSTRAINT_CHECK");
        assert!(matches!(sqlite_verdict(1), Verdict::Defect));
    }
}
