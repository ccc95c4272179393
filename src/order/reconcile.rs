//! Reconciliation: do the payment provider's books, SQL's payments and refunds, and the orders in hot state tell the same of all money?
//!
//! It goes back some days, a day at a time, and leaves out the last minute, in which things are on their way. What differs is a *finding*. Those
//! that come of something lost on the way are mended by taking the step again that makes it (all of them recognise their repeats): a payment
//! that nobody told us of is taken in, one that its order does not know is told to it, a refund that was executed is noted. All else is
//! for people: it means that money went where no rule sends it.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::cashier::Cashier;
use super::ops;
use super::provider::{Books, Executed, Payment};
use super::refunds::answered;
use super::row::OrderRow;
use crate::clock::UnixMs;
use crate::hot::engine::Found;
use crate::hot::{Read, Row};
use crate::id::{CampaignId, OrderId};
use crate::money::Fen;
use crate::store::{StoreError, execute, fetch_all, fetch_optional};

/// What is younger may still be on its way, in seconds.
const ON_ITS_WAY: i64 = 60;
const DAY: i64 = 24 * 3600;
/// The findings that a report holds; more are counted only.
const MOST_FINDINGS: usize = 1_000;
/// Orders asked of hot state at once.
const AT_ONCE: usize = 200;
/// Rows of one day looked at, of each sort. More in a day: the report says that it is not whole.
const MOST_ROWS: i64 = 200_000;

/// What can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
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

impl Kind {
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
    pub kind: Kind,
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

#[derive(Clone, Debug, sqlx::FromRow)]
struct Told {
    transaction_id: String,
    provider: String,
    order_id: String,
    amount_fen: i64,
    paid_at: i64,
    received_at: i64,
}

impl Told {
    fn payment(&self) -> Payment {
        Payment {
            transaction_id: self.transaction_id.clone(),
            order_id: self.order_id.clone(),
            amount_fen: Fen::new(self.amount_fen),
            paid_at: self.paid_at,
        }
    }
}

#[derive(Clone, Debug, sqlx::FromRow)]
struct Ours {
    refund_no: String,
    order_id: String,
    provider: String,
    transaction_id: String,
    amount_fen: i64,
    state: String,
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

/// A run.
struct Run<'a> {
    cashier: &'a Cashier,
    report: Report,
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
        let mut run = Run { cashier: self, report: Report::new(self.provider.name(), (from, to)) };
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
        let all = [
            Kind::PaymentMissing,
            Kind::PaymentDiffers,
            Kind::PaymentUnknownToProvider,
            Kind::PaymentNotTold,
            Kind::PaymentOfNoOrder,
            Kind::PaidDiffers,
            Kind::RefundUnknown,
            Kind::RefundDiffers,
            Kind::RefundNotNoted,
            Kind::RefundNotExecuted,
            Kind::RefundedTwice,
            Kind::RefundsDiffer,
            Kind::NotWhole,
        ];
        for kind in all {
            let count = self.counts.get(kind.word()).copied().unwrap_or_default();
            metrics::gauge!("liebian_reconciliation_findings", "kind" => kind.word())
                .set(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
        }
    }
}

impl Run<'_> {
    fn find(&mut self, kind: Kind, subject: &str, detail: String, mended: bool) {
        tracing::warn!(kind = kind.word(), subject, detail, mended, "reconciliation");
        *self.report.counts.entry(kind.word().to_owned()).or_default() += 1;
        if self.report.findings.len() < MOST_FINDINGS {
            self.report.findings.push(Finding { kind, subject: subject.to_owned(), detail, mended });
        }
    }

    async fn day(&mut self, span: (i64, i64)) -> Result<(), CannotReconcile> {
        let books = answered(self.cashier.provider.books(span.0, span.1)).await?;
        let mut told = self.told(span).await?;
        if let Some(books) = &books {
            self.report.provider_books = true;
            self.payments(books, &told).await?;
            self.refunds(books, span).await?;
            told = self.told(span).await?; // with those that were missing
        }
        self.report.payments += told.len();
        self.sums(span).await?;
        self.orders(&told, span).await
    }

    async fn told(&mut self, (from, to): (i64, i64)) -> Result<Vec<Told>, StoreError> {
        const TOLD: &str = "SELECT transaction_id, provider, order_id, amount_fen, paid_at, received_at FROM payments \
                            WHERE paid_at >= $1 AND paid_at < $2 ORDER BY paid_at LIMIT $3";
        let told = fetch_all!(&self.cashier.store, Told, TOLD, from, to, MOST_ROWS)?;
        self.whole("payments", told.len());
        Ok(told)
    }

    fn whole(&mut self, what: &str, count: usize) {
        if i64::try_from(count).unwrap_or(i64::MAX) >= MOST_ROWS {
            self.find(Kind::NotWhole, what, format!("{MOST_ROWS} in a day, and more that were not looked at"), false);
        }
    }

    /// The provider's payments against ours.
    async fn payments(&mut self, books: &Books, told: &[Told]) -> Result<(), StoreError> {
        let provider = self.cashier.provider.name();
        let mut ours: HashMap<&str, &Told> =
            told.iter().filter(|told| told.provider == provider).map(|told| (told.transaction_id.as_str(), told)).collect();
        for payment in &books.payments {
            match ours.remove(payment.transaction_id.as_str()) {
                Some(told) if told.order_id == payment.order_id && told.amount_fen == payment.amount_fen.get() => {}
                Some(told) => {
                    let detail = format!(
                        "ours: {} fen for {}; provider's: {} for {}",
                        told.amount_fen, told.order_id, payment.amount_fen, payment.order_id
                    );
                    self.find(Kind::PaymentDiffers, &payment.transaction_id, detail, false);
                }
                None => {
                    let mended = self.cashier.receive(provider, payment).await.is_ok_and(|received| received.is_settled());
                    let detail = format!("{} fen for {}", payment.amount_fen, payment.order_id);
                    self.find(Kind::PaymentMissing, &payment.transaction_id, detail, mended);
                }
            }
        }
        for (transaction, told) in ours {
            self.find(Kind::PaymentUnknownToProvider, transaction, format!("{} fen for {}", told.amount_fen, told.order_id), false);
        }
        Ok(())
    }

    /// The provider's refunds against ours.
    async fn refunds(&mut self, books: &Books, (from, to): (i64, i64)) -> Result<(), CannotReconcile> {
        const DONE: &str = "SELECT refund_no, order_id, provider, transaction_id, amount_fen, state FROM refunds \
                            WHERE provider = $1 AND done_at >= $2 AND done_at < $3 ORDER BY done_at LIMIT $4";
        const ONE: &str = "SELECT refund_no, order_id, provider, transaction_id, amount_fen, state FROM refunds WHERE refund_no = $1";
        let provider = self.cashier.provider.name();
        self.report.refunds += books.refunds.len();
        for executed in &books.refunds {
            match fetch_optional!(&self.cashier.store, Ours, ONE, &executed.refund_no)? {
                Some(refund) => self.refund(&refund, executed).await?,
                None => self.find(
                    Kind::RefundUnknown,
                    &executed.refund_no,
                    format!("{} fen of {}", executed.amount_fen, executed.transaction_id),
                    false,
                ),
            }
        }
        let known: HashMap<&str, &Executed> = books.refunds.iter().map(|executed| (executed.refund_no.as_str(), executed)).collect();
        let done = fetch_all!(&self.cashier.store, Ours, DONE, provider, from, to, MOST_ROWS)?;
        self.whole("refunds", done.len());
        for refund in done.iter().filter(|refund| !known.contains_key(refund.refund_no.as_str())) {
            // Executed on another day than we learned of it, or not at all.
            match answered(self.cashier.provider.executed(refund.refund_no.clone())).await? {
                Some(executed) => self.refund(refund, &executed).await?,
                None => self.find(
                    Kind::RefundNotExecuted,
                    &refund.refund_no,
                    format!("{} fen of {}", refund.amount_fen, refund.transaction_id),
                    false,
                ),
            }
        }
        Ok(())
    }

    /// One refund that the provider executed, against ours of that number.
    async fn refund(&mut self, ours: &Ours, executed: &Executed) -> Result<(), StoreError> {
        if ours.provider != self.cashier.provider.name() {
            // A person took it for undone.
            self.find(Kind::RefundedTwice, &ours.refund_no, format!("{} fen by the provider and by the shop", ours.amount_fen), false);
        } else if ours.amount_fen != executed.amount_fen.get() || ours.transaction_id != executed.transaction_id {
            let detail = format!(
                "ours: {} fen of {}; provider's: {} of {}",
                ours.amount_fen, ours.transaction_id, executed.amount_fen, executed.transaction_id
            );
            self.find(Kind::RefundDiffers, &ours.refund_no, detail, false);
        } else if ours.state != "done" {
            let mended = self.cashier.refunded(&ours.refund_no, &ours.order_id).await.is_ok();
            self.find(Kind::RefundNotNoted, &ours.refund_no, format!("{} fen, ours is {}", ours.amount_fen, ours.state), mended);
        }
        Ok(())
    }

    /// Of no payment more is sent back than came in; what came for no order goes back.
    async fn sums(&mut self, (from, to): (i64, i64)) -> Result<(), StoreError> {
        const MORE: &str = "SELECT payments.transaction_id, payments.amount_fen, CAST(SUM(refunds.amount_fen) AS BIGINT) FROM payments \
                            JOIN refunds ON refunds.transaction_id = payments.transaction_id \
                            WHERE payments.transaction_id IN (SELECT transaction_id FROM refunds WHERE created_at >= $1 AND created_at < $2) \
                            GROUP BY payments.transaction_id, payments.amount_fen HAVING SUM(refunds.amount_fen) > payments.amount_fen LIMIT $3";
        for (transaction, paid, back) in fetch_all!(&self.cashier.store, (String, i64, i64), MORE, from, to, MOST_ROWS)? {
            self.find(Kind::RefundedTwice, &transaction, format!("{paid} fen came in, {back} are sent back"), false);
        }
        Ok(())
    }

    /// The orders that money moved for, in hot state, against SQL.
    async fn orders(&mut self, told: &[Told], (from, to): (i64, i64)) -> Result<(), CannotReconcile> {
        const REFUNDED: &str = "SELECT DISTINCT order_id FROM refunds WHERE (created_at >= $1 AND created_at < $2) OR (done_at >= $1 AND done_at < $2) \
                                ORDER BY order_id LIMIT $3";
        let refunded = fetch_all!(&self.cashier.store, (String,), REFUNDED, from, to, MOST_ROWS)?;
        self.whole("refunded orders", refunded.len());
        let mut campaigns: BTreeMap<CampaignId, Vec<OrderId>> = BTreeMap::new();
        for text in told.iter().map(|told| &told.order_id).chain(refunded.iter().map(|(order,)| order)) {
            if let Ok(order) = text.parse::<OrderId>() {
                campaigns.entry(order.campaign()).or_default().push(order);
            }
        }
        for stray in told.iter().filter(|told| told.order_id.parse::<OrderId>().is_err()) {
            self.stray(stray).await?;
        }
        for (campaign, mut orders) in campaigns {
            orders.sort_unstable();
            orders.dedup();
            self.report.orders += orders.len();
            for some in orders.chunks(AT_ONCE) {
                self.of_campaign(campaign, some).await?;
            }
        }
        Ok(())
    }

    async fn of_campaign(&mut self, campaign: CampaignId, orders: &[OrderId]) -> Result<(), CannotReconcile> {
        let reads: Vec<Read<'_>> = orders.iter().map(|order| Read::Row("orders", order.hot())).collect();
        let Ok(snapshot) = self.cashier.engine.read(campaign, &reads).await else {
            self.report.orders_not_asked += orders.len();
            return self.gone(campaign, orders).await;
        };
        // What was decided before is in SQL by now; what is decided meanwhile is looked at once more below.
        self.cashier.projector.caught_up(campaign).await;
        for (order, found) in orders.iter().zip(snapshot.found) {
            let packed = match found {
                Found::Row(packed) => packed,
                Found::Rows(_) => None,
            };
            let row = packed.and_then(|packed| OrderRow::read(&packed).ok());
            if self.order(*order, row.as_ref(), false).await? {
                continue;
            }
            // Money may have moved between the two readings.
            let again = ops::look(&self.cashier.engine, *order).await.ok().flatten();
            self.cashier.projector.caught_up(campaign).await;
            self.order(*order, again.as_ref(), true).await?;
        }
        Ok(())
    }

    /// Of a campaign that nobody can be asked about: is it unknown?
    async fn gone(&mut self, campaign: CampaignId, orders: &[OrderId]) -> Result<(), CannotReconcile> {
        if crate::projector::cursor::Cursor::read(&self.cashier.store, campaign).await?.is_none() {
            for order in orders {
                for payment in self.payments_of(*order).await? {
                    self.stray(&payment).await?;
                }
            }
        }
        Ok(())
    }

    /// A payment that no order of ours can have: it must be on its way back.
    async fn stray(&mut self, told: &Told) -> Result<(), StoreError> {
        const BACK: &str = "SELECT refund_no FROM refunds WHERE transaction_id = $1 AND amount_fen = $2 LIMIT 1";
        let back = fetch_optional!(&self.cashier.store, (String,), BACK, &told.transaction_id, told.amount_fen)?;
        if back.is_none() && told.amount_fen > 0 {
            let mended = self.cashier.settle(&told.provider, &told.payment()).await.is_ok();
            self.find(Kind::PaymentOfNoOrder, &told.transaction_id, format!("{} fen for {}", told.amount_fen, told.order_id), mended);
        }
        Ok(())
    }

    async fn payments_of(&self, order: OrderId) -> Result<Vec<Told>, StoreError> {
        const OF: &str = "SELECT transaction_id, provider, order_id, amount_fen, paid_at, received_at FROM payments WHERE order_id = $1 ORDER BY received_at LIMIT 1000";
        fetch_all!(&self.cashier.store, Told, OF, order)
    }

    /// One order; answers whether it is in order. Only `told` findings are written down.
    async fn order(&mut self, id: OrderId, row: Option<&OrderRow>, tell: bool) -> Result<bool, StoreError> {
        const REFUNDS: &str = "SELECT refund_no, order_id, provider, transaction_id, amount_fen, state FROM refunds WHERE order_id = $1 AND reason <> 'unknown_order' \
                               ORDER BY created_at LIMIT 1000";
        let payments = self.payments_of(id).await?;
        if payments.iter().any(|told| told.received_at >= self.report.to.get()) {
            return Ok(true); // on its way
        }
        let Some(row) = row else {
            if tell {
                for payment in &payments {
                    self.stray(payment).await?;
                }
            }
            return Ok(false);
        };
        let refunds = fetch_all!(&self.cashier.store, Ours, REFUNDS, id)?;
        let sum = |refunds: &mut dyn Iterator<Item = &Ours>| refunds.map(|refund| refund.amount_fen).sum::<i64>();
        let (due, done) = (sum(&mut refunds.iter()), sum(&mut refunds.iter().filter(|refund| refund.state == "done")));
        let hot_due: i64 = row.refunds.iter().map(|refund| refund.0).sum();
        let untold: Vec<&Told> = payments.iter().filter(|told| !row.transactions.contains(&told.transaction_id)).collect();
        let paid: i64 = payments.iter().map(|told| told.amount_fen).sum();
        let right = untold.is_empty() && paid == row.paid && (due, done) == (hot_due, row.refunded) && refunds.len() == row.refunds.len();
        if right || !tell {
            return Ok(right);
        }
        for payment in &untold {
            let mended = self.cashier.settle(&payment.provider, &payment.payment()).await.is_ok();
            self.find(Kind::PaymentNotTold, &payment.transaction_id, format!("{} fen for {id}", payment.amount_fen), mended);
        }
        if untold.is_empty() && paid != row.paid {
            self.find(Kind::PaidDiffers, &id.to_string(), format!("payments: {paid} fen; the order: {}", row.paid), false);
        }
        if (due, done) != (hot_due, row.refunded) || refunds.len() != row.refunds.len() {
            let detail = format!("SQL: {done} of {due} fen executed; the order: {} of {hot_due}", row.refunded);
            let mended = self.tell_refunds(id, row, &refunds).await;
            self.find(Kind::RefundsDiffer, &id.to_string(), detail, mended);
        }
        Ok(false)
    }

    /// Tells an order of refunds that SQL knows were executed; answers whether that was all that differed.
    async fn tell_refunds(&self, id: OrderId, row: &OrderRow, refunds: &[Ours]) -> bool {
        let amounts = |numbers: &mut dyn Iterator<Item = i64>| {
            let mut amounts: Vec<i64> = numbers.collect();
            amounts.sort_unstable();
            amounts
        };
        let same = amounts(&mut refunds.iter().map(|refund| refund.amount_fen)) == amounts(&mut row.refunds.iter().map(|refund| refund.0));
        for refund in refunds.iter().filter(|refund| same && refund.state == "done") {
            if self.cashier.refunded(&refund.refund_no, &refund.order_id).await.is_err() {
                return false;
            }
        }
        let now = ops::look(&self.cashier.engine, id).await.ok().flatten();
        let done: i64 = refunds.iter().filter(|refund| refund.state == "done").map(|refund| refund.amount_fen).sum();
        same && now.is_some_and(|now| now.refunded == done)
    }
}
