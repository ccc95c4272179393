//! Reconciliation: do the payment provider's books, SQL's payments and refunds, and the orders in hot state tell the same of all money?
//!
//! It goes back some days, a day at a time, and leaves out the last minute, in which things are on their way. What differs is a *finding*. Those
//! that come of something lost on the way are mended by taking the step again that makes it (all of them recognise their repeats): a payment
//! that nobody told us of is taken in, one that its order does not know is told to it, a refund that was executed is noted. All else is
//! for people: it means that money went where no rule sends it.

mod run;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cashier::Cashier;
use crate::clock::UnixMs;
use crate::store::{StoreError, execute, fetch_optional};
use run::Run;

/// What is younger may still be on its way, in seconds.
const ON_ITS_WAY: i64 = 60;
const DAY: i64 = 24 * 3600;

/// What can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// The provider has a payment that we were not told of. Mended: it is taken in.
    PaymentMissing,
    /// The provider has it of another order or amount than we.
    PaymentDiffers,
    /// We have a payment of this provider that is not in its books.
    PaymentUnknownToProvider,
    /// Its order does not know a payment. Mended: the order is told.
    PaymentNotTold,
    /// A payment of no order of ours that was not sent back. Mended: it is.
    PaymentOfNoOrder,
    /// An order counts more or less money than its payments are.
    PaidDiffers,
    /// The provider executed a refund that we did not ask for.
    RefundUnknown,
    /// The provider executed a refund of another amount or payment.
    RefundDiffers,
    /// A refund was executed, and we do not know yet. Mended: it is noted.
    RefundNotNoted,
    /// A refund counts as executed, and the provider does not know it.
    RefundNotExecuted,
    /// More was sent back than was paid.
    RefundedTwice,
    /// An order counts other refunds than SQL has.
    RefundsDiffer,
    /// There is more in a day than is looked at.
    NotWhole,
}

impl FindingKind {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::PaymentMissing,
        Self::PaymentDiffers,
        Self::PaymentUnknownToProvider,
        Self::PaymentNotTold,
        Self::PaymentOfNoOrder,
        Self::PaidDiffers,
        Self::RefundUnknown,
        Self::RefundDiffers,
        Self::RefundNotNoted,
        Self::RefundNotExecuted,
        Self::RefundedTwice,
        Self::RefundsDiffer,
        Self::NotWhole,
    ];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::PaymentMissing => "payment_missing",
            Self::PaymentDiffers => "payment_differs",
            Self::PaymentUnknownToProvider => "payment_unknown_to_provider",
            Self::PaymentNotTold => "payment_not_told",
            Self::PaymentOfNoOrder => "payment_of_no_order",
            Self::PaidDiffers => "paid_differs",
            Self::RefundUnknown => "refund_unknown",
            Self::RefundDiffers => "refund_differs",
            Self::RefundNotNoted => "refund_not_noted",
            Self::RefundNotExecuted => "refund_not_executed",
            Self::RefundedTwice => "refunded_twice",
            Self::RefundsDiffer => "refunds_differ",
            Self::NotWhole => "not_whole",
        }
    }
}

/// Something that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = ReconciliationFinding)]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// The payment, refund or order.
    pub subject: String,
    /// What each side says.
    pub detail: String,
    /// Whether it was mended in this run.
    pub mended: bool,
}

/// What a reconciliation found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = Reconciliation)]
pub struct Report {
    /// Nothing differs.
    pub ok: bool,
    /// The provider.
    #[schema(example = "sandbox")]
    pub provider: String,
    /// Whether it keeps books that could be compared.
    pub provider_books: bool,
    /// From when.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub from: UnixMs,
    /// Until when.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub to: UnixMs,
    /// When it was done.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub finished_at: UnixMs,
    /// Payments compared.
    pub payments: usize,
    /// Refunds compared.
    pub refunds: usize,
    /// Orders compared.
    pub orders: usize,
    /// Orders that could not be asked: their campaign is archived or being brought back.
    pub orders_not_asked: usize,
    /// Findings by their kind.
    pub counts: BTreeMap<String, usize>,
    /// The findings, at most a thousand.
    pub findings: Vec<Finding>,
}

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
pub enum CannotReconcile {
    /// SQL does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The provider does not show its books.
    #[error(transparent)]
    Provider(#[from] super::provider::ProviderError),
}

impl Cashier {
    /// Compares the last `days` days, mends what can be mended, keeps and answers the report.
    ///
    /// # Errors
    /// When SQL or the provider does not do its part.
    pub async fn reconcile(&self, days: u16) -> Result<Report, CannotReconcile> {
        const KEEP: &str =
            "INSERT INTO settings (name, value) VALUES ('reconciliation', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        let to = self.clock.now().plus_seconds(-ON_ITS_WAY);
        let from = to.plus_seconds(-DAY * i64::from(days));
        let mut run = Run::new(self, Report::new(self.provider.name(), (from, to)));
        let mut begin = from;
        while begin < to {
            let end = begin.plus_seconds(DAY).min(to);
            run.day((begin.get(), end.get())).await?;
            begin = end;
        }
        let mut report = run.report;
        report.finished_at = self.clock.now();
        report.ok = report.counts.is_empty();
        report.count();
        execute!(&self.store, KEEP, serde_json::to_string(&report).unwrap_or_default())?;
        Ok(report)
    }

    /// The last report of any process.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn last_reconciliation(&self) -> Result<Option<Report>, StoreError> {
        const LAST: &str = "SELECT value FROM settings WHERE name = 'reconciliation'";
        let last = fetch_optional!(&self.store, (String,), LAST)?;
        Ok(last.and_then(|(text,)| serde_json::from_str(&text).ok()))
    }

    /// Whether the time has come for the next one, and it is this process that does it: the turn is moved by compare-and-set.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn takes_turn_to_reconcile(&self, every_seconds: u32) -> Result<bool, StoreError> {
        const TURN: &str = "SELECT CAST(value AS BIGINT) FROM settings WHERE name = 'reconcile_at'";
        const FIRST: &str = "INSERT INTO settings (name, value) VALUES ('reconcile_at', $1) ON CONFLICT (name) DO NOTHING";
        const TAKE: &str = "UPDATE settings SET value = $1 WHERE name = 'reconcile_at' AND value = $2";
        let now = self.clock.now();
        let next = now.plus_seconds(every_seconds.into()).get().to_string();
        match fetch_optional!(&self.store, (i64,), TURN)? {
            None => execute!(&self.store, FIRST, next).map(|_first| false),
            Some((at,)) if at <= now.get() => Ok(execute!(&self.store, TAKE, next, at.to_string())? == 1),
            Some(_later) => Ok(false),
        }
    }
}

impl Report {
    fn new(provider: &str, (from, to): (UnixMs, UnixMs)) -> Self {
        Self {
            ok: false,
            provider: provider.to_owned(),
            provider_books: false,
            from,
            to,
            finished_at: to,
            payments: 0,
            refunds: 0,
            orders: 0,
            orders_not_asked: 0,
            counts: BTreeMap::new(),
            findings: Vec::new(),
        }
    }

    /// Sets the figures of the metrics.
    fn count(&self) {
        for kind in FindingKind::ALL {
            let count = self.counts.get(kind.word()).copied().unwrap_or_default();
            metrics::gauge!("liebian_reconciliation_findings", "kind" => kind.word())
                .set(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
        }
    }
}
