//! What operators did in a campaign's program, as rows of the audit log.
//!
//! An op carries the operator's key (`by`) into the log, and the event of the change names it, with what was there before (`was`). The row
//! is written in the transaction that takes the event into SQL, so no crash parts a change from its note, and each is told once.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::crypto::sha256_hex;
use crate::hot::entry::EventRef;
use crate::id::{CampaignId, OrderId, UserId};
use crate::projector::{Batch, Projection, Statements};
use crate::store::{BulkRows, StoreError, bulk_row};

/// Applies events that name an operator.
#[derive(Debug)]
pub struct AuditProjection;

bulk_row! {
    struct Row { id: String, at: i64, actor: String, action: String, target: String, before: Option<String>, after: Option<String> }
}

static ROWS: LazyLock<BulkRows<Row>> = LazyLock::new(|| BulkRows::insert("audit_log", "ON CONFLICT (id) DO NOTHING"));

impl Projection for AuditProjection {
    fn tables(&self) -> &'static [&'static str] {
        &[]
    }

    fn statements(&self, batch: &Batch<'_>, statements: &mut Statements) -> Result<(), StoreError> {
        let rows: Vec<Row> = batch.events.iter().filter_map(|(at, event)| row(batch.campaign, *at, event)).collect();
        statements.add(&ROWS, &rows)
    }
}

/// The row of an event that names an operator. An op tells each name of an event once, so sequence and name make the id.
fn row(campaign: CampaignId, at: i64, event: &EventRef<'_>) -> Option<Row> {
    let actor = event.text("by")?.to_owned();
    let mut after = event.json();
    after.remove("by");
    let mut before = after.remove("was");
    let order = after.remove("order").as_ref().and_then(Value::as_str).and_then(|hot| OrderId::from_hot(campaign, hot).ok());
    let user = after.remove("user").as_ref().and_then(Value::as_str).and_then(|hot| UserId::from_hot(hot).ok());
    if user.is_some() {
        after.insert("campaign_id".to_owned(), campaign.to_string().into());
    }
    for members in std::iter::once(&mut after).chain(before.as_mut().and_then(Value::as_object_mut)) {
        in_full(members);
    }
    let about = order.map(|order| order.to_string()).or(user.map(|user| user.to_string()));
    let hash = sha256_hex(format!("{campaign} {} {}", event.0, event.1).as_bytes());
    Some(Row {
        id: format!("log_{}", hash.get(..16)?),
        at,
        actor,
        action: event.1.to_owned(),
        target: about.unwrap_or_else(|| campaign.to_string()),
        before: before.map(|was| was.to_string()),
        after: Some(Value::Object(after).to_string()),
    })
}

/// Shoppers as the rest of the API names them; nobody is null.
fn in_full(members: &mut Map<String, Value>) {
    for (hot, full) in [("inviter", "inviter_id"), ("previous", "previous_inviter_id")] {
        if let Some(value) = members.remove(hot) {
            let user = value.as_str().and_then(|hot| UserId::from_hot(hot).ok());
            members.insert(full.to_owned(), user.map_or(Value::Null, |user| user.to_string().into()));
        }
    }
}
