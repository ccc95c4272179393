//! How the books are compared.

use std::collections::{BTreeMap, HashMap};

use super::{CannotReconcile, Finding, FindingKind, Report};
use crate::hot::{Found, Read, Row};
use crate::id::{CampaignId, OrderId};
use crate::money::Fen;
use crate::order::cashier::Cashier;
use crate::order::ops;
use crate::order::provider::{Books, Executed, Payment};
use crate::order::refunds::answered;
use crate::order::row::OrderRow;
use crate::store::{StoreError, fetch_all, fetch_optional};

/// The findings that a report holds; more are counted only.
const MOST_FINDINGS: usize = 1_000;
/// Orders asked of hot state at once.
const AT_ONCE: usize = 200;
/// Rows of one day looked at, of each sort. More in a day: the report says that it is not whole.
const MOST_ROWS: i64 = 200_000;

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

/// A run of a reconciliation.
pub(super) struct Run<'a> {
    cashier: &'a Cashier,
    pub(super) report: Report,
}

impl<'a> Run<'a> {
    /// A run that writes into `report`.
    pub(super) const fn new(cashier: &'a Cashier, report: Report) -> Self {
        Self { cashier, report }
    }

    fn find(&mut self, kind: FindingKind, subject: &str, detail: String, mended: bool) {
        tracing::warn!(kind = kind.word(), subject, detail, mended, "reconciliation");
        *self.report.counts.entry(kind.word().to_owned()).or_default() += 1;
        if self.report.findings.len() < MOST_FINDINGS {
            self.report.findings.push(Finding { kind, subject: subject.to_owned(), detail, mended });
        }
    }

    /// Compares what was paid and sent back in a span of time.
    pub(super) async fn day(&mut self, span: (i64, i64)) -> Result<(), CannotReconcile> {
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
            self.find(FindingKind::NotWhole, what, format!("{MOST_ROWS} in a day, and more that were not looked at"), false);
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
                    self.find(FindingKind::PaymentDiffers, &payment.transaction_id, detail, false);
                }
                None => {
                    let mended = self.cashier.receive(provider, payment).await.is_ok_and(|received| received.is_settled());
                    let detail = format!("{} fen for {}", payment.amount_fen, payment.order_id);
                    self.find(FindingKind::PaymentMissing, &payment.transaction_id, detail, mended);
                }
            }
        }
        for (transaction, told) in ours {
            self.find(FindingKind::PaymentUnknownToProvider, transaction, format!("{} fen for {}", told.amount_fen, told.order_id), false);
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
                    FindingKind::RefundUnknown,
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
                    FindingKind::RefundNotExecuted,
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
            self.find(
                FindingKind::RefundedTwice,
                &ours.refund_no,
                format!("{} fen by the provider and by the shop", ours.amount_fen),
                false,
            );
        } else if ours.amount_fen != executed.amount_fen.get() || ours.transaction_id != executed.transaction_id {
            let detail = format!(
                "ours: {} fen of {}; provider's: {} of {}",
                ours.amount_fen, ours.transaction_id, executed.amount_fen, executed.transaction_id
            );
            self.find(FindingKind::RefundDiffers, &ours.refund_no, detail, false);
        } else if ours.state != "done" {
            let mended = self.cashier.refunded(&ours.refund_no, &ours.order_id).await.is_ok();
            self.find(FindingKind::RefundNotNoted, &ours.refund_no, format!("{} fen, ours is {}", ours.amount_fen, ours.state), mended);
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
            self.find(FindingKind::RefundedTwice, &transaction, format!("{paid} fen came in, {back} are sent back"), false);
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
            let Ok(row) = packed.map(|packed| OrderRow::read(&packed)).transpose() else {
                self.report.orders_not_asked += 1;
                continue;
            };
            if self.order(*order, row.as_ref(), false).await? {
                continue;
            }
            // Money may have moved between the two readings.
            let Ok(again) = ops::look(&self.cashier.engine, *order).await else {
                // What cannot be read now is not missing.
                self.report.orders_not_asked += 1;
                continue;
            };
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
            self.find(
                FindingKind::PaymentOfNoOrder,
                &told.transaction_id,
                format!("{} fen for {}", told.amount_fen, told.order_id),
                mended,
            );
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
            self.find(FindingKind::PaymentNotTold, &payment.transaction_id, format!("{} fen for {id}", payment.amount_fen), mended);
        }
        if untold.is_empty() && paid != row.paid {
            self.find(FindingKind::PaidDiffers, &id.to_string(), format!("payments: {paid} fen; the order: {}", row.paid), false);
        }
        if (due, done) != (hot_due, row.refunded) || refunds.len() != row.refunds.len() {
            let detail = format!("SQL: {done} of {due} fen executed; the order: {} of {hot_due}", row.refunded);
            let mended = self.tell_refunds(id, row, &refunds).await;
            self.find(FindingKind::RefundsDiffer, &id.to_string(), detail, mended);
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
