//! How many failing calls a provider is asked to bear. Providers throttle, and at last lock out, whoever keeps on failing.
//!
//! Each sort of call has a budget of so many failing calls a minute, for all processes together: each failure uses up its share of a minute,
//! and a minute used up is a pause, which ends as time goes on. Kept as one number in SQL, until when what failed uses the budget up, it needs
//! no row a failure and no sweeping. Successful calls cost nothing.

use serde::{Deserialize, Serialize};

use crate::clock::UnixMs;
use crate::store::{Store, StoreError, execute, fetch_optional};

const MINUTE: i64 = 60_000;

/// The sorts of calls to a provider that a worker repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// "Send this money back."
    Refund,
    /// "This payment must not happen any more."
    Close,
    /// "Was this paid?"
    Query,
    /// "Pay this withdrawal out."
    Payout,
}

impl Call {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Refund, Self::Close, Self::Query, Self::Payout];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Refund => "refund",
            Self::Close => "close",
            Self::Query => "query",
            Self::Payout => "payout",
        }
    }
}

/// The budget of one provider.
#[derive(Debug)]
pub struct Budget {
    store: Store,
    provider: &'static str,
    per_minute: i64,
}

/// What is left of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = ProviderCall)]
pub struct Left {
    /// The sort of call.
    pub call: Call,
    /// How many more may fail now.
    #[schema(example = 30)]
    pub failures_left: i64,
    /// Until when no such call is made; null: they are made.
    #[serde(with = "crate::clock::rfc3339::option")]
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    pub paused_until: Option<UnixMs>,
}

impl Budget {
    /// `per_minute` failing calls of each sort; at least one.
    #[must_use]
    pub fn new(store: Store, provider: &'static str, per_minute: u16) -> Self {
        Self { store, provider, per_minute: i64::from(per_minute.max(1)) }
    }

    /// What is left for a sort of call.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn left(&self, call: Call, now: UnixMs) -> Result<Left, StoreError> {
        const USED: &str = "SELECT used_until FROM provider_failures WHERE provider = $1 AND call = $2";
        let used = fetch_optional!(&self.store, (i64,), USED, self.provider, call.word())?;
        let left = self.left_at(call, used.map_or(0, |(until,)| until), now);
        metrics::gauge!("liebian_provider_paused", "call" => call.word()).set(if left.paused_until.is_some() { 1.0 } else { 0.0 });
        Ok(left)
    }

    fn left_at(&self, call: Call, used_until: i64, now: UnixMs) -> Left {
        // So far the failures reach into the time to come; there is room for one more share of the minute, or not.
        let used = used_until.saturating_sub(now.get()).clamp(0, MINUTE);
        let failures_left = (MINUTE - used).div_euclid(self.share());
        let again = used_until.saturating_sub(MINUTE - self.share());
        Left { call, failures_left, paused_until: (failures_left == 0).then_some(UnixMs::new(again)) }
    }

    /// Milliseconds of the minute that one failure uses up.
    const fn share(&self) -> i64 {
        MINUTE.div_euclid(self.per_minute)
    }

    /// A call has failed.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn failed(&self, call: Call, now: UnixMs) -> Result<(), StoreError> {
        const USE: &str = "INSERT INTO provider_failures (provider, call, used_until) VALUES ($1, $2, $3) ON CONFLICT (provider, call) DO UPDATE \
                           SET used_until = CASE WHEN provider_failures.used_until > $4 THEN provider_failures.used_until ELSE $4 END + $5";
        metrics::counter!("liebian_provider_failures_total", "call" => call.word()).increment(1);
        let until = now.get().saturating_add(self.share());
        execute!(&self.store, USE, self.provider, call.word(), until, now, self.share())?;
        let left = self.left(call, now).await?;
        if let Some(until) = left.paused_until {
            tracing::warn!(
                provider = self.provider,
                call = call.word(),
                until = until.rfc3339(),
                "calls to the provider pause: too many have failed"
            );
        }
        Ok(())
    }
}
