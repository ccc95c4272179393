//! What the events of orders ask to be done: payment requests, closings, refunds; and what they settle.
//!
//! Events of one order are told in their order, those of different orders in bulk: they touch different rows. So a page's events are laid out
//! in rounds, an order's first event in the first round, its second in the second (and so for a payment, should two orders claim it); each
//! round is one statement a kind. Only shoppers are touched by several orders: the earliest payment counts, so that is one statement a page.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::id::{CampaignId, OrderId};
use crate::projector::{Batch, Statements, unreadable};
use crate::store::{BulkRows, StoreError, bulk_row};

/// The fields that events of orders have.
#[derive(Debug, Deserialize)]
struct Told<'a> {
    order: &'a str,
    #[serde(default)]
    number: i64,
    #[serde(default)]
    amount: i64,
    #[serde(default)]
    transaction: &'a str,
    #[serde(default)]
    reason: &'a str,
}

/// The events that ask for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Asked,
    Closing,
    Paid,
    Returned,
    Released,
    RefundDue,
    Refunded,
}

bulk_row! {
    struct Asked { order_id: OrderId, provider: &'static str, told_at: i64, look_at: i64 }
}
bulk_row! {
    struct Closing { order_id: OrderId, campaign_id: CampaignId, provider: &'static str, told_at: i64 }
}
bulk_row! {
    struct Paid { order_id: OrderId, transaction_id: String, told_at: i64 }
}
bulk_row! {
    struct Processed { transaction_id: String, note: Option<String> }
}
bulk_row! {
    struct Closed { order_id: OrderId, told_at: i64 }
}
bulk_row! {
    struct Due {
        refund_no: String,
        order_id: OrderId,
        campaign_id: CampaignId,
        provider: &'static str,
        transaction_id: String,
        amount_fen: i64,
        reason: String,
        told_at: i64,
    }
}
bulk_row! {
    struct Refunded { refund_no: String, told_at: i64 }
}

bulk_row! {
    struct Shared { order_id: OrderId, campaign_id: CampaignId, token: String }
}

/// The link that a shopper came by, if it is one of this campaign's.
static SHARED: LazyLock<BulkRows<Shared>> = LazyLock::new(|| {
    BulkRows::over(
        "UPDATE orders SET share_token = r.token FROM",
        "JOIN shares ON shares.token = r.token AND shares.campaign_id = r.campaign_id WHERE orders.id = r.order_id",
    )
});

static ASKED: LazyLock<BulkRows<Asked>> = LazyLock::new(|| {
    BulkRows::over(
        "INSERT INTO payment_requests (order_id, campaign_id, provider, amount_fen, created_at, looks, look_at) \
         SELECT orders.id, orders.campaign_id, r.provider, orders.amount_fen, r.told_at, 0, r.look_at FROM",
        "JOIN orders ON orders.id = r.order_id WHERE true ON CONFLICT (order_id) DO NOTHING",
    )
});

static CLOSING: LazyLock<BulkRows<Closing>> = LazyLock::new(|| {
    BulkRows::over(
        "INSERT INTO closings (order_id, campaign_id, provider, state, attempts, next_attempt_at, created_at) \
         SELECT r.order_id, r.campaign_id, r.provider, 'pending', 0, r.told_at, r.told_at FROM",
        "WHERE true ON CONFLICT (order_id) DO UPDATE SET state = 'pending', attempts = 0, next_attempt_at = excluded.next_attempt_at, \
         done_at = NULL",
    )
});

/// A shopper's first payment.
static BOUGHT: LazyLock<BulkRows<Paid>> = LazyLock::new(|| {
    BulkRows::over(
        "UPDATE users SET first_paid_at = buyers.told_at FROM (SELECT orders.user_id, MIN(r.told_at) AS told_at FROM",
        "JOIN orders ON orders.id = r.order_id GROUP BY orders.user_id) AS buyers \
         WHERE users.id = buyers.user_id AND users.first_paid_at IS NULL",
    )
});

/// Whoever else was asked to take this payment must not take it any more, or its money must come to light.
static ELSEWHERE: LazyLock<BulkRows<Paid>> = LazyLock::new(|| {
    BulkRows::over(
        "INSERT INTO closings (order_id, campaign_id, provider, state, attempts, next_attempt_at, created_at) \
         SELECT asked.order_id, asked.campaign_id, asked.provider, 'pending', 0, r.told_at, r.told_at FROM",
        "JOIN payment_requests AS asked ON asked.order_id = r.order_id \
         WHERE asked.provider <> COALESCE((SELECT provider FROM payments WHERE transaction_id = r.transaction_id), asked.provider) \
         ON CONFLICT (order_id) DO UPDATE SET state = 'pending', attempts = 0, next_attempt_at = excluded.next_attempt_at, done_at = NULL",
    )
});

/// The inbox's payments were acted on.
static PROCESSED: LazyLock<BulkRows<Processed>> = LazyLock::new(|| {
    BulkRows::over("UPDATE payments SET state = 'done', note = r.note FROM", "WHERE payments.transaction_id = r.transaction_id")
});

/// Nobody needs to close these payments any more.
static CLOSED: LazyLock<BulkRows<Closed>> = LazyLock::new(|| {
    BulkRows::over(
        "UPDATE closings SET state = 'done', done_at = r.told_at FROM",
        "WHERE closings.order_id = r.order_id AND closings.state <> 'done'",
    )
});

/// Nor to ask whether they were paid.
static DECIDED: LazyLock<BulkRows<Closed>> = LazyLock::new(|| {
    BulkRows::over(
        "UPDATE payment_requests SET look_at = NULL FROM",
        "WHERE payment_requests.order_id = r.order_id AND payment_requests.look_at IS NOT NULL",
    )
});

/// Whoever took the payment sends it back.
static DUE: LazyLock<BulkRows<Due>> = LazyLock::new(|| {
    BulkRows::over(
        "INSERT INTO refunds (refund_no, order_id, campaign_id, provider, transaction_id, amount_fen, reason, state, attempts, \
         next_attempt_at, created_at) SELECT r.refund_no, r.order_id, r.campaign_id, \
         COALESCE((SELECT provider FROM payments WHERE transaction_id = r.transaction_id), r.provider), r.transaction_id, r.amount_fen, \
         r.reason, 'pending', 0, r.told_at, r.told_at FROM",
        "WHERE true ON CONFLICT (refund_no) DO NOTHING",
    )
});

static REFUNDED: LazyLock<BulkRows<Refunded>> = LazyLock::new(|| {
    BulkRows::over(
        "UPDATE refunds SET state = 'done', done_at = r.told_at, last_error = NULL FROM",
        "WHERE refunds.refund_no = r.refund_no",
    )
});

/// A refund's number at the provider: the order's id and the refund's place. Every retry uses it.
#[must_use]
pub fn refund_no(order: OrderId, number: i64) -> String {
    format!("{order}r{number}")
}

/// An event, read.
struct Event<'a> {
    sort: Sort,
    order: OrderId,
    told: Told<'a>,
    at: i64,
}

/// The statements for a batch's events; new work is for `provider`.
pub(super) fn of(batch: &Batch<'_>, provider: &'static str, statements: &mut Statements) -> Result<(), StoreError> {
    let (mut events, mut shared) = (Vec::new(), Vec::new());
    for (at, event) in &batch.events {
        if event.1 == "order.held"
            && let (Some(order), Some(token)) = (event.text("order"), event.text("share"))
        {
            let order_id = OrderId::from_hot(batch.campaign, order).map_err(|error| unreadable(&error))?;
            shared.push(Shared { order_id, campaign_id: batch.campaign, token: token.to_owned() });
        }
        if let Some(sort) = sort(event.1) {
            let told: Told<'_> = event.fields().map_err(|error| unreadable(&error))?;
            let order = OrderId::from_hot(batch.campaign, told.order).map_err(|error| unreadable(&error))?;
            events.push(Event { sort, order, told, at: *at });
        }
    }
    shared.sort_by_key(|shared| shared.order_id);
    statements.add(&SHARED, &shared)?;
    statements.add(&BOUGHT, &rows(&events, &[Sort::Paid], paid))?;
    for mut round in rounds(events) {
        // Rows are locked in one order, by key.
        round.sort_by_key(|event| event.order);
        tell(&round, batch.campaign, provider, statements)?;
    }
    Ok(())
}

fn rounds(events: Vec<Event<'_>>) -> Vec<Vec<Event<'_>>> {
    let mut next: HashMap<&str, usize> = HashMap::new();
    let mut rounds: Vec<Vec<Event<'_>>> = Vec::new();
    for event in events {
        let names = [event.told.order, event.told.transaction].into_iter().filter(|name| !name.is_empty());
        let round = names.clone().filter_map(|name| next.get(name).copied()).max().unwrap_or_default();
        next.extend(names.map(|name| (name, round + 1)));
        match rounds.get_mut(round) {
            Some(events) => events.push(event),
            None => rounds.push(vec![event]),
        }
    }
    rounds
}

fn sort(name: &str) -> Option<Sort> {
    Some(match name {
        "order.payment_asked" => Sort::Asked,
        "order.closing" => Sort::Closing,
        "order.paid" => Sort::Paid,
        "order.payment_returned" => Sort::Returned,
        "order.released" => Sort::Released,
        "order.refund_due" => Sort::RefundDue,
        "order.refunded" => Sort::Refunded,
        _ => return None,
    })
}

/// One round: at most one event an order.
fn tell(round: &[Event<'_>], campaign_id: CampaignId, provider: &'static str, statements: &mut Statements) -> Result<(), StoreError> {
    let paid = rows(round, &[Sort::Paid], paid);
    let closed = rows(round, &[Sort::Paid, Sort::Released], |event| Closed { order_id: event.order, told_at: event.at });
    let asked = rows(round, &[Sort::Asked], |event| Asked {
        order_id: event.order,
        provider,
        told_at: event.at,
        look_at: event.at.saturating_add(super::cashier::first_look()),
    });
    let closing = rows(round, &[Sort::Closing], |event| Closing { order_id: event.order, campaign_id, provider, told_at: event.at });
    let processed = rows(round, &[Sort::Paid, Sort::Returned], |event| Processed {
        transaction_id: event.told.transaction.to_owned(),
        note: (event.sort == Sort::Returned).then(|| event.told.reason.to_owned()),
    });
    let due = rows(round, &[Sort::RefundDue], |event| Due {
        refund_no: refund_no(event.order, event.told.number),
        order_id: event.order,
        campaign_id,
        provider,
        transaction_id: event.told.transaction.to_owned(),
        amount_fen: event.told.amount,
        reason: event.told.reason.to_owned(),
        told_at: event.at,
    });
    let refunded =
        rows(round, &[Sort::Refunded], |event| Refunded { refund_no: refund_no(event.order, event.told.number), told_at: event.at });
    statements.add(&ASKED, &asked)?;
    statements.add(&CLOSING, &closing)?;
    statements.add(&CLOSED, &closed)?;
    statements.add(&DECIDED, &closed)?;
    statements.add(&ELSEWHERE, &paid)?;
    statements.add(&PROCESSED, &processed)?;
    statements.add(&DUE, &due)?;
    statements.add(&REFUNDED, &refunded)
}

fn paid(event: &Event<'_>) -> Paid {
    Paid { order_id: event.order, transaction_id: event.told.transaction.to_owned(), told_at: event.at }
}

fn rows<R>(round: &[Event<'_>], sorts: &[Sort], row: impl Fn(&Event<'_>) -> R) -> Vec<R> {
    round.iter().filter(|event| sorts.contains(&event.sort)).map(row).collect()
}
