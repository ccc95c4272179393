//! An event as it is told: the log's short names and ids in the form that the rest of the API has.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::names::EVENTS;
use crate::clock::UnixMs;
use crate::hot::Row;
use crate::hot::entry::{BodyRef, EventRef};
use crate::id::{CampaignId, ChainId, OrderId, RoomId, UserId};
use crate::order::row::OrderRow;

/// One event.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = FeedEvent)]
pub struct Told {
    /// Its place in the feed: as `after` it asks for what follows. An event that is told again has the same.
    #[schema(example = "7.1041.3")]
    pub id: String,
    /// What happened.
    #[schema(value_type = EventName)]
    pub event: &'static str,
    /// In which campaign.
    pub campaign_id: CampaignId,
    /// The op that decided it: its number in the campaign's own order.
    #[schema(example = 1041)]
    pub seq: i64,
    /// The version of the definition it was decided under.
    #[schema(example = 1)]
    pub definition_version: i64,
    /// When.
    #[serde(with = "crate::clock::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub at: UnixMs,
    /// What it is about; which fields there are depends on the name.
    #[schema(value_type = Object, example = json!({"order_id": "ord_4kfQz2Lm8vTbN1xYcD5hJw", "user_id": "usr_0123456789abcd",
        "sku": "cherry-1kg", "quantity": 1, "room_id": "room_4kfQz2Lm8vTbN1xYcD5hJw"}))]
    pub data: Map<String, Value>,
}

/// The names of events, in the OpenAPI document.
#[derive(Debug)]
pub struct EventName;

impl PartialSchema for EventName {
    fn schema() -> RefOr<Schema> {
        let row = |(name, about, fields): &super::names::About| {
            let fields: Vec<String> = fields.split_whitespace().map(|field| format!("`{field}`")).collect();
            format!("* `{name}`: {about} {}", fields.join(" ")).trim().to_owned()
        };
        let rows: Vec<String> = EVENTS.iter().map(row).collect();
        let about = format!(
            "The name of an event, when it is told, and what its `data` holds. Those of orders hold `order_id` `user_id` `sku` `quantity` \
             `room_id` besides (`chain_id` if of a chain), those of rooms `room_id`, those of chains `chain_id`. More names and fields may come.\n{}",
            rows.join("\n")
        );
        ObjectBuilder::new().schema_type(Type::String).description(Some(about)).examples(["order.paid"]).into()
    }
}

impl ToSchema for EventName {}

/// The event of an entry, at this place of the feed; `None` for one that has no name here.
#[must_use]
pub fn told(campaign: CampaignId, body: &BodyRef<'_>, event: &EventRef<'_>, id: String) -> Option<Told> {
    let (name, ..) = EVENTS.iter().find(|(name, ..)| *name == event.1)?;
    let mut data = Map::new();
    if let Some(hot) = event.text("order") {
        data = order(campaign, body, hot);
    }
    for (field, value) in event.json() {
        let hot = value.as_str().unwrap_or_default();
        let (field, value) = match field.as_str() {
            // Who did it stands in the audit log, and what was there before.
            "by" => continue,
            "was" if !value.is_string() => continue,
            "inviter" => ("inviter_id", written(UserId::from_hot(hot).ok())),
            "previous" => ("previous_inviter_id", written(UserId::from_hot(hot).ok())),
            "sale" => ("order_number", value),
            "order" => ("order_id", written(OrderId::from_hot(campaign, hot).ok())),
            "leader" => ("leader_order_id", written(OrderId::from_hot(campaign, hot).ok())),
            "room" => ("room_id", written(RoomId::from_hot(campaign, hot).ok())),
            "chain" => ("chain_id", written(ChainId::from_hot(campaign, hot).ok())),
            "user" => ("user_id", written(UserId::from_hot(hot).ok())),
            "expires_at" => ("expires_at", value.as_i64().map_or(Value::Null, |at| UnixMs::new(at).rfc3339().into())),
            "amount" | "fen" => ("amount_fen", value),
            other => (other, value),
        };
        data.insert(field.to_owned(), if value == "" { Value::Null } else { value });
    }
    Some(Told { id, event: name, campaign_id: campaign, seq: event.0, definition_version: body.version, at: UnixMs::new(body.at), data })
}

fn written(id: Option<impl ToString>) -> Value {
    id.map_or(Value::Null, |id| id.to_string().into())
}

/// What never changes of an order: an event of one comes with a change of its row.
fn order(campaign: CampaignId, body: &BodyRef<'_>, hot: &str) -> Map<String, Value> {
    let change = body.changes.iter().find(|change| change.0 == "orders" && change.1 == hot);
    let Some(row) = change.and_then(|change| OrderRow::read(change.2).ok()) else { return Map::new() };
    let fields = [
        ("user_id", written(UserId::from_hot(&row.user).ok())),
        ("sku", row.sku.into()),
        ("quantity", row.quantity.into()),
        ("room_id", written(RoomId::from_hot(campaign, &row.room).ok())),
    ];
    let of_chain = (!row.chain.is_empty()).then(|| ("chain_id", written(ChainId::from_hot(campaign, &row.chain).ok())));
    fields.into_iter().chain(of_chain).map(|(name, value)| (name.to_owned(), value)).collect()
}
