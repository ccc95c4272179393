//! Changing a definition: RFC 7396 merge patches, and what may still change once it is published.

use serde_json::{Map, Value};

use super::model::Definition;
use super::read::Fault;

/// What may change once shoppers can see it: text, more time, and what no promise hangs on.
pub(super) const EDITABLE: &[&str] = &["title", "share_title", "rules_text", "metadata", "ends_at", "list_rooms"];

/// Why a patch was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patched definition would not be valid: 422 `invalid_request`.
    #[error("the patched definition is not valid")]
    Invalid(Vec<Fault>),
    /// This field cannot change any more: 409 `field_not_editable`.
    #[error("{0} cannot change")]
    NotEditable(String),
}

/// The definition after a merge patch. A field set to what it already is counts as unchanged.
///
/// # Errors
/// When the result is not valid, or when a field that may not change did: the kind always; once `published` everything that is
/// not harmless to shoppers, and `ends_at` to an earlier time.
pub fn patch(old: &Definition, patch: &Value, published: bool) -> Result<Definition, PatchError> {
    let Value::Object(changes) = patch else {
        return Err(PatchError::Invalid(vec![Fault { field: String::new(), message: "must be an object".into() }]));
    };
    let before = as_object(old);
    if changes.get("kind").is_some_and(|kind| before.get("kind") != Some(kind)) {
        return Err(PatchError::NotEditable("kind".into()));
    }
    let mut after = Value::Object(before.clone());
    merge(&mut after, patch);
    let new = Definition::read(&after).map_err(PatchError::Invalid)?;
    if published {
        let after = as_object(&new);
        let differs = |name: &&String| before.get(*name) != after.get(*name);
        if let Some(name) = after.keys().filter(differs).find(|name| !EDITABLE.contains(&name.as_str())) {
            return Err(PatchError::NotEditable(name.clone()));
        }
        if new.head.ends_at < old.head.ends_at {
            return Err(PatchError::NotEditable("ends_at".into()));
        }
    }
    Ok(new)
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

    #[test]
    fn a_draft_may_change_in_everything_but_its_kind() {
        let new = patch(&old(), &json!({"title": "Plums", "limits": {"orders_per_user": 9}, "surface": "web"}), false).unwrap();
        let group_buy = new.group_buy().unwrap();
        assert_eq!((new.head.title.as_str(), group_buy.limits.orders_per_user), ("Plums", 9));
        assert_eq!(group_buy.limits.users_per_device, 2, "objects merge");
        assert_eq!(patch(&old(), &json!({"kind": "bargain"}), false), Err(PatchError::NotEditable("kind".into())));
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
            (json!({"starts_at": "2026-11-21T00:00:00Z"}), "starts_at"),
            (json!({"ends_at": "2026-11-30T00:00:00Z"}), "ends_at"),
            (
                json!({"items": [{"sku": "a", "title": "A", "list_price_fen": 2, "stock": 1, "tiers": [{"size": 2, "price_fen": 1}]}]}),
                "items",
            ),
        ] {
            assert_eq!(patch(&old(), &change, true), Err(PatchError::NotEditable(field.into())));
            assert!(patch(&old(), &change, false).is_ok());
        }
    }

    #[test]
    fn a_patch_is_an_object() {
        assert!(matches!(patch(&old(), &json!([1]), false), Err(PatchError::Invalid(_))));
    }
}
