//! Withdrawals in SQL, for lists.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::UnixMs;
use crate::id::{UserId, WithdrawalId};
use crate::money::Fen;
use crate::store::{Store, StoreError, fetch_all, fetch_one, fetch_optional};

/// Where a withdrawal stands; the diagram is in [`super`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = WithdrawalState)]
pub enum State {
    /// It waits for an operator.
    Pending,
    /// It is being paid out.
    Approved,
    /// Its user must confirm it.
    AwaitingUser,
    /// Nobody knows whether it was paid out: an operator finds out. Its user sees `approved`.
    Stuck,
    /// It is paid out.
    Done,
    /// The money is available again.
    Returned,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Pending, Self::Approved, Self::AwaitingUser, Self::Stuck, Self::Done, Self::Returned];

    /// The word on the wire and in SQL.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::AwaitingUser => "awaiting_user",
            Self::Stuck => "stuck",
            Self::Done => "done",
            Self::Returned => "returned",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}

/// A withdrawal, as its user sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct WithdrawalView {
    /// Its id, also the payout provider's number of it.
    pub id: WithdrawalId,
    /// How much.
    pub amount_fen: Fen,
    /// Where it stands.
    pub state: State,
    /// Why the money came back; null where nobody said.
    #[schema(required = true, example = json!(null))]
    pub reason: Option<String>,
    /// While it awaits its user: what the client needs to confirm it.
    #[schema(required = true, value_type = Option<Object>, example = json!(null))]
    pub confirmation: Option<Value>,
    /// When it was asked for.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: UnixMs,
    /// When it was paid out or came back.
    #[serde(with = "crate::clock::rfc3339::option")]
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    pub done_at: Option<UnixMs>,
}

/// A withdrawal as operators see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct WithdrawalRecord {
    /// What its user sees, and `stuck`.
    #[serde(flatten)]
    pub withdrawal: WithdrawalView,
    /// Whose it is.
    pub user_id: UserId,
    /// Who pays it out; `shop`: a person of the shop.
    #[schema(example = "sandbox")]
    pub provider: String,
    /// The key of the operator who approved or rejected it; null while nobody has, and where nobody needs to.
    #[schema(required = true)]
    pub decided_by: Option<String>,
    /// When it was approved or rejected.
    #[serde(with = "crate::clock::rfc3339::option")]
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    pub decided_at: Option<UnixMs>,
    /// Tries so far, also those that were told to ask again later.
    pub attempts: i64,
    /// What the provider said last, if it failed; of one that is `returned` also that it was paid out nonetheless.
    #[schema(required = true)]
    pub last_error: Option<String>,
    /// When it is tried next, unless calls to the provider pause. Of meaning only while it is `approved` or `awaiting_user`.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub next_attempt_at: UnixMs,
    /// When it last changed.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: UnixMs,
}

/// What the operators' list shows as CSV.
pub const COLUMNS: &[&str] = &[
    "id",
    "user_id",
    "amount_fen",
    "state",
    "reason",
    "provider",
    "created_at",
    "decided_by",
    "decided_at",
    "attempts",
    "last_error",
    "next_attempt_at",
    "updated_at",
    "done_at",
    "confirmation",
];

#[derive(sqlx::FromRow)]
struct Row {
    id: WithdrawalId,
    user_id: UserId,
    amount_fen: Fen,
    state: String,
    reason: Option<String>,
    provider: String,
    confirmation: Option<String>,
    decided_by: Option<String>,
    decided_at: Option<UnixMs>,
    attempts: i64,
    next_attempt_at: UnixMs,
    last_error: Option<String>,
    created_at: UnixMs,
    updated_at: UnixMs,
    done_at: Option<UnixMs>,
}

impl Row {
    fn read(self) -> Result<WithdrawalRecord, StoreError> {
        let state = State::from_word(&self.state);
        let state = state.ok_or_else(|| crate::projector::unreadable(&format!("{} is no state of a withdrawal", self.state)))?;
        Ok(WithdrawalRecord {
            withdrawal: WithdrawalView {
                id: self.id,
                amount_fen: self.amount_fen,
                state,
                reason: self.reason,
                confirmation: self.confirmation.and_then(|text| serde_json::from_str(&text).ok()),
                created_at: self.created_at,
                done_at: self.done_at,
            },
            user_id: self.user_id,
            provider: self.provider,
            decided_by: self.decided_by,
            decided_at: self.decided_at,
            attempts: self.attempts,
            last_error: self.last_error,
            next_attempt_at: self.next_attempt_at,
            updated_at: self.updated_at,
        })
    }
}

impl WithdrawalRecord {
    /// The withdrawal as its user sees it.
    #[must_use]
    pub fn shown(self) -> WithdrawalView {
        let state = if self.withdrawal.state == State::Stuck { State::Approved } else { self.withdrawal.state };
        WithdrawalView { state, ..self.withdrawal }
    }
}

/// One withdrawal.
///
/// # Errors
/// Those of the database.
pub async fn find(store: &Store, id: WithdrawalId) -> Result<Option<WithdrawalRecord>, StoreError> {
    fetch_optional!(store, Row, "SELECT * FROM withdrawals WHERE id = $1", id)?.map(Row::read).transpose()
}

/// A user's withdrawals, newest first.
///
/// # Errors
/// Those of the database.
pub async fn of_user(store: &Store, user: UserId, (before, id): (i64, &str), fetch: i64) -> Result<Vec<WithdrawalView>, StoreError> {
    const MINE: &str =
        "SELECT * FROM withdrawals WHERE user_id = $1 AND (created_at, id) < ($2, $3) ORDER BY created_at DESC, id DESC LIMIT $4";
    let rows = fetch_all!(store, Row, MINE, user, before, id, fetch)?;
    rows.into_iter().map(|row| row.read().map(WithdrawalRecord::shown)).collect()
}

/// Which withdrawals to list; empty: any.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Their state.
    pub state: Option<State>,
    /// Whose.
    pub user: String,
    /// Asked for at or after, Unix ms.
    pub from: i64,
    /// Asked for before, Unix ms.
    pub to: i64,
}

/// Withdrawals, newest first.
///
/// # Errors
/// Those of the database.
pub async fn list(store: &Store, filter: &Filter, (before, id): (i64, &str), fetch: i64) -> Result<Vec<WithdrawalRecord>, StoreError> {
    const LIST: &str = "SELECT * FROM withdrawals WHERE ($1 = '' OR state = $1) AND ($2 = '' OR user_id = $2) \
                        AND created_at >= $3 AND created_at < $4 AND (created_at, id) < ($5, $6) \
                        ORDER BY created_at DESC, id DESC LIMIT $7";
    const OF_USER: &str = "SELECT * FROM withdrawals WHERE ($1 = '' OR state = $1) AND user_id = $2 \
                           AND created_at >= $3 AND created_at < $4 AND (created_at, id) < ($5, $6) \
                           ORDER BY created_at DESC, id DESC LIMIT $7";
    const OF_STATE: &str = "SELECT * FROM withdrawals WHERE state = $1 AND ($2 = '' OR user_id = $2) \
                            AND created_at >= $3 AND created_at < $4 AND (created_at, id) < ($5, $6) \
                            ORDER BY created_at DESC, id DESC LIMIT $7";
    let sql = match (filter.user.is_empty(), filter.state) {
        (false, _) => OF_USER,
        (true, Some(_)) => OF_STATE,
        (true, None) => LIST,
    };
    let state = filter.state.map(State::word).unwrap_or_default();
    let rows = fetch_all!(store, Row, sql, state, &filter.user, filter.from, filter.to, before, id, fetch)?;
    rows.into_iter().map(Row::read).collect()
}

/// Sets the figures of withdrawals that are under way or wait for a person.
///
/// # Errors
/// Those of the database.
pub async fn count(store: &Store) -> Result<(), StoreError> {
    const COUNT: &str = "SELECT (SELECT COUNT(*) FROM withdrawals WHERE state = 'pending') AS pending, \
                         (SELECT COUNT(*) FROM withdrawals WHERE state = 'approved') AS approved, \
                         (SELECT COUNT(*) FROM withdrawals WHERE state = 'awaiting_user') AS awaiting_user, \
                         (SELECT COUNT(*) FROM withdrawals WHERE state = 'stuck') AS stuck";
    let (pending, approved, awaiting_user, stuck) = fetch_one!(store, (i64, i64, i64, i64), COUNT)?;
    let counts = [(State::Pending, pending), (State::Approved, approved), (State::AwaitingUser, awaiting_user), (State::Stuck, stuck)];
    for (state, count) in counts {
        metrics::gauge!("liebian_money_waiting", "work" => "withdrawal", "state" => state.word())
            .set(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::State;

    #[test]
    fn the_word_is_the_same_in_json_and_sql() {
        for state in State::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.word());
            assert_eq!(State::from_word(state.word()), Some(state));
        }
    }
}
