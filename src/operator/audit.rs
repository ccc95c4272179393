//! What operators changed, and from what to what.

use serde::Serialize;
use serde_json::Value;

use crate::clock::UnixMs;
use crate::crypto::random_base62;
use crate::store::{Store, StoreError, Tx, execute, fetch_all};

/// One change.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = AuditLogEntry)]
pub struct Entry {
    /// `log_` and 16 letters and digits.
    pub id: String,
    /// When.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub at: UnixMs,
    /// The id of the operator key.
    pub actor: String,
    /// What was done, such as `campaign.publish`.
    pub action: String,
    /// The id of what it was done to.
    pub target: String,
    /// What stood there before.
    #[schema(required = true, value_type = Option<Object>)]
    pub before: Option<Value>,
    /// What stands there now.
    #[schema(required = true, value_type = Option<Object>)]
    pub after: Option<Value>,
}

/// A change to write down.
#[derive(Clone, Debug)]
pub struct Change<'a> {
    /// The id of the operator key.
    pub actor: &'a str,
    /// What is done, such as `campaign.publish`.
    pub action: &'a str,
    /// The id of what it is done to.
    pub target: &'a str,
    /// What stood there before.
    pub before: Option<Value>,
    /// What stands there now.
    pub after: Option<Value>,
}

/// Writes the change down, in the transaction that makes it.
///
/// # Errors
/// When the database does not do it; the transaction must not commit then.
pub async fn audit(tx: &mut Tx, change: Change<'_>, now: UnixMs) -> Result<(), StoreError> {
    execute!(
        tx,
        "INSERT INTO audit_log (id, at, actor, action, target, before, after) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        format!("log_{}", random_base62(16)),
        now.get(),
        change.actor,
        change.action,
        change.target,
        change.before.map(|value| value.to_string()),
        change.after.map(|value| value.to_string()),
    )?;
    Ok(())
}

/// Writes down an act that has no object before it, in a transaction of its own.
///
/// # Errors
/// When the database does not do it.
pub async fn note(store: &Store, actor: &str, action: &str, target: &str, now: UnixMs, after: Value) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    audit(&mut tx, Change { actor, action, target, before: None, after: Some(after) }, now).await?;
    tx.commit().await
}

/// Which changes to list; empty text: any.
#[derive(Clone, Debug)]
pub struct Filter {
    /// What was done.
    pub action: String,
    /// By which key.
    pub actor: String,
    /// To what.
    pub target: String,
    /// At or after, Unix ms.
    pub from: i64,
    /// Before, Unix ms.
    pub to: i64,
}

/// The statement, led by what the rows are found by.
macro_rules! list_by {
    ($lead:literal) => {
        concat!(
            "SELECT id, at, actor, action, target, before, after FROM audit_log WHERE ",
            $lead,
            " AND ($1 = '' OR action = $1) AND ($2 = '' OR actor = $2) AND ($3 = '' OR target = $3) AND at >= $4 AND at < $5 \
             AND (at, id) < ($6, $7) ORDER BY at DESC, id DESC LIMIT $8"
        )
    };
}

type Row = (String, i64, String, String, String, Option<String>, Option<String>);

/// A page of the log, newest first.
///
/// # Errors
/// When the database does not answer.
pub async fn list(store: &Store, filter: &Filter, (before, id): (i64, &str), fetch: i64) -> Result<Vec<Entry>, StoreError> {
    let sql = match (filter.target.is_empty(), filter.actor.is_empty()) {
        (false, _) => list_by!("target = $3"),
        (true, false) => list_by!("actor = $2"),
        (true, true) => list_by!("1 = 1"),
    };
    let Filter { action, actor, target, from, to } = filter;
    let rows = fetch_all!(store, Row, sql, action, actor, target, from, to, before, id, fetch)?;
    let json = |text: Option<String>| text.and_then(|text| serde_json::from_str(&text).ok());
    let entry = |(id, at, actor, action, target, before, after)| Entry {
        id,
        at: UnixMs::new(at),
        actor,
        action,
        target,
        before: json(before),
        after: json(after),
    };
    Ok(rows.into_iter().map(entry).collect())
}
