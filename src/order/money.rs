//! The money of orders, as transfers between a campaign's accounts. Every fen that came in is `received`, `kept` or in `refunds_due`; what was sent
//! back is out again. A page of the log in which no money moves books nothing.

use serde::Deserialize;

use super::errands::refund_no;
use crate::clock::UnixMs;
use crate::hot::entry::EventRef;
use crate::id::{CampaignId, OrderId};
use crate::ledger::{Account, Kind, Transfer, post};
use crate::money::Fen;
use crate::projector::{Batch, Statements, unreadable};
use crate::store::StoreError;

/// What the events of orders say about money.
#[derive(Deserialize)]
struct Told<'a> {
    order: &'a str,
    amount: i64,
    #[serde(default)]
    number: i64,
    #[serde(default)]
    from: &'a str,
}

/// Books what a batch's events move.
pub(super) fn of(batch: &Batch<'_>, statements: &mut Statements) -> Result<(), StoreError> {
    let transfers = batch.events.iter().filter_map(|(at, event)| transfer(batch.campaign, *at, event).transpose());
    post(statements, &transfers.collect::<Result<Vec<_>, _>>()?)
}

fn transfer(campaign: CampaignId, at: i64, event: &EventRef<'_>) -> Result<Option<Transfer>, StoreError> {
    let kind = match event.1 {
        "order.paid" => Kind::OrderPaid,
        "order.confirmed" => Kind::OrderConfirmed,
        "order.refund_due" => Kind::RefundDue,
        "order.refunded" => Kind::Refunded,
        _ => return Ok(None),
    };
    let told: Told<'_> = event.fields().map_err(|error| unreadable(&error))?;
    let order = OrderId::from_hot(campaign, told.order).map_err(|error| unreadable(&error))?;
    let (taken, received, kept) = (Account::Taken(campaign), Account::Received(campaign), Account::Kept(campaign));
    let refunds_due = Account::RefundsDue(campaign);
    let refund = || refund_no(order, told.number);
    let (reference, kind, from, to) = match (kind, told.from) {
        (Kind::OrderPaid, _) => (format!("paid:{order}"), kind, taken, received),
        (Kind::OrderConfirmed, _) => (format!("confirmed:{order}"), kind, received, kept),
        (Kind::RefundDue, "taken") => (format!("refund_due:{}", refund()), Kind::PaymentReturned, taken, refunds_due),
        (Kind::RefundDue, "received") => (format!("refund_due:{}", refund()), kind, received, refunds_due),
        (Kind::RefundDue, "kept") => (format!("refund_due:{}", refund()), kind, kept, refunds_due),
        (Kind::Refunded, _) => (format!("refunded:{}", refund()), kind, refunds_due, taken),
        _ => return Err(unreadable(&format!("{} from {}", event.1, told.from))),
    };
    Ok(Some(Transfer {
        reference,
        from,
        to,
        amount: Fen::new(told.amount),
        kind,
        at: UnixMs::new(at),
        campaign: Some(campaign),
        order_number: Some(order.to_string()),
        level: None,
        withdrawal: None,
    }))
}
