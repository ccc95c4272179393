//! Changing a definition: RFC 7396 merge patches, and what may still change once it is published.

use serde_json::{Map, Value};

use super::model::{Definition, Rules};
use super::read::Fault;

/// What may change once shoppers can see it: text, more time, and what no promise hangs on.
pub(super) const EDITABLE: &[&str] =
    &["title", "share_title", "rules_text", "metadata", "ends_at", "list_rooms", "loss_budget_fen", "budget_fen", "daily_budget_fen"];

/// Why a patch was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patched definition would not be valid: 422 `invalid_request`.
    #[error("the patched definition is not valid")]
    Invalid(Vec<Fault>),
    /// These fields cannot change any more, each with what would be possible: 409 `field_not_editable`.
    #[error("some fields cannot change any more")]
    NotEditable(Vec<Fault>),
}

/// The definition after a merge patch. A field set to what it already is counts as unchanged.
///
/// # Errors
/// When the result is not valid, or when a field that may not change did: the kind always; once `published` everything that is
/// not harmless to shoppers, `ends_at` to an earlier time, and budgets but to a larger sum.
pub fn patch(old: &Definition, patch: &Value, published: bool) -> Result<Definition, PatchError> {
    let Value::Object(changes) = patch else {
        return Err(PatchError::Invalid(vec![Fault { field: String::new(), message: "must be an object".into() }]));
    };
    let before = as_object(old);
    if changes.get("kind").is_some_and(|kind| before.get("kind") != Some(kind)) {
        return Err(PatchError::NotEditable(vec![fixed("kind", "make another campaign")]));
    }
    let mut after = Value::Object(before.clone());
    merge(&mut after, patch);
    let new = Definition::read(&after).map_err(PatchError::Invalid)?;
    if published {
        let after = as_object(&new);
        let differs = |name: &&String| before.get(*name) != after.get(*name);
        let refused: Vec<Fault> = after.keys().filter(differs).filter_map(|name| why_fixed(name, old, &new)).collect();
        if !refused.is_empty() {
            return Err(PatchError::NotEditable(refused));
        }
    }
    Ok(new)
}

fn fixed(field: &str, message: &str) -> Fault {
    Fault { field: field.to_owned(), message: message.to_owned() }
}

/// Why a field of a published definition may not change in this way.
fn why_fixed(field: &str, old: &Definition, new: &Definition) -> Option<Fault> {
    let budget = |definition: &Definition| match &definition.rules {
        Rules::GroupBuy(own) => own.loss_budget_fen,
        Rules::Referral(own) if field == "daily_budget_fen" => own.daily_budget_fen,
        Rules::Referral(own) => own.budget_fen,
        Rules::Bargain(_) => None,
    };
    match field {
        "ends_at" => (new.head.ends_at < old.head.ends_at).then(|| fixed(field, "can only become later")),
        // What living orders give away is counted from the first one on, or not at all.
        "loss_budget_fen" | "budget_fen" | "daily_budget_fen" => match (budget(old), budget(new)) {
            (Some(before), Some(after)) if before <= after => None,
            (Some(_) | None, Some(_) | None) => Some(fixed(field, "can only be raised where there is one")),
        },
        "items" => Some(fixed(field, "cannot change once published; units are added by POST …/stock")),
        name if EDITABLE.contains(&name) => None,
        name => Some(fixed(name, "cannot change once published")),
    }
}

fn as_object(definition: &Definition) -> Map<String, Value> {
    match serde_json::to_value(definition) {
        Ok(Value::Object(object)) => object,
        Ok(_) | Err(_) => Map::new(),
    }
}

/// RFC 7396: objects merge, null removes, all else replaces. A body's depth is bounded by its parser (128).
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(object) = target else { return };
    for (name, change) in changes {
        if change.is_null() {
            object.remove(name);
        } else {
            merge(object.entry(name.clone()).or_insert(Value::Null), change);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{PatchError, patch};
    use crate::campaign::model::{Definition, tests::cherries};

    fn old() -> Definition {
        Definition::read(&cherries()).unwrap()
    }

    fn refused(change: &serde_json::Value, published: bool) -> Vec<String> {
        let Err(PatchError::NotEditable(faults)) = patch(&old(), change, published) else { panic!("{change} was taken") };
        faults.into_iter().map(|fault| fault.field).collect()
    }

    #[test]
    fn a_draft_may_change_in_everything_but_its_kind() {
        let new = patch(&old(), &json!({"title": "Plums", "limits": {"orders_per_user": 9}, "surface": "web"}), false).unwrap();
        let group_buy = new.group_buy().unwrap();
        assert_eq!((new.head.title.as_str(), group_buy.limits.orders_per_user), ("Plums", 9));
        assert_eq!(group_buy.limits.users_per_device, 2, "objects merge");
        assert_eq!(refused(&json!({"kind": "bargain"}), false), ["kind"]);
        assert_eq!(patch(&old(), &json!({"kind": "group_buy"}), true), Ok(old()));
    }

    #[test]
    fn null_brings_the_default_back_and_lists_are_replaced() {
        let with = patch(&old(), &json!({"share_title": "Come", "room_ttl_seconds": 60}), false).unwrap();
        let without = patch(&with, &json!({"share_title": null, "room_ttl_seconds": null}), false).unwrap();
        assert_eq!(without, old());
        let Err(PatchError::Invalid(faults)) = patch(&old(), &json!({"items": [], "title": null, "colour": 1}), false) else { panic!() };
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["colour", "title", "items"]);
    }

    #[test]
    fn once_published_only_harmless_fields_change() {
        let harmless = json!({"title": "Plums", "share_title": "Come", "rules_text": "New", "metadata": {"a": 1}, "list_rooms": false,
            "ends_at": "2026-12-02T00:00:00Z"});
        assert!(patch(&old(), &harmless, true).is_ok());
        for (change, field) in [
            (json!({"limits": {"orders_per_user": 9}}), "limits"),
            (json!({"surface": "web"}), "surface"),
            (json!({"loss_budget_fen": 1_000_000}), "loss_budget_fen"),
            (json!({"starts_at": "2026-11-21T00:00:00Z"}), "starts_at"),
            (json!({"ends_at": "2026-11-30T00:00:00Z"}), "ends_at"),
            (
                json!({"items": [{"sku": "a", "title": "A", "list_price_fen": 2, "stock": 1, "tiers": [{"size": 2, "price_fen": 1}]}]}),
                "items",
            ),
        ] {
            assert_eq!(refused(&change, true), [field]);
            assert!(patch(&old(), &change, false).is_ok());
        }
    }

    #[test]
    fn every_field_that_cannot_change_is_named() {
        assert_eq!(refused(&json!({"surface": "web", "title": "Plums", "room_ttl_seconds": 60}), true), ["room_ttl_seconds", "surface"]);
    }

    #[test]
    fn a_patch_is_an_object() {
        assert!(matches!(patch(&old(), &json!([1]), false), Err(PatchError::Invalid(_))));
    }
}
