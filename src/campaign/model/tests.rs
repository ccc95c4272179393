use serde_json::{Value, json};

use super::{Definition, Kind};
use crate::campaign::read::Fault;

/// A valid group-buy, fields with defaults left out.
pub fn cherries() -> Value {
    json!({
        "kind": "group_buy", "title": "Cherries, half price for three", "surface": "mini_program",
        "starts_at": "2026-11-22T00:00:00Z", "ends_at": "2026-12-01T00:00:00Z",
        "rules_text": "Three people in one room pay half the list price, which is the price in our shop. Rooms stay open for a day.",
        "items": [{"sku": "cherry-1kg", "title": "Cherries 1 kg", "list_price_fen": 9900, "stock": 1000,
                   "tiers": [{"size": 3, "price_fen": 4950}]}],
    })
}

/// A valid bargain.
pub fn cream() -> Value {
    json!({
        "kind": "bargain", "title": "Face cream", "surface": "mini_program",
        "starts_at": "2026-11-22T00:00:00Z", "ends_at": "2026-12-01T00:00:00Z",
        "rules_text": "Twelve friends cut the list price, which is the price in our shop, down to the floor price. Each cuts once.",
        "items": [{"sku": "cream", "title": "Face cream", "list_price_fen": 29900, "floor_price_fen": 9900, "stock": 100}],
        "cuts": {"helpers": 12, "curve": "front_loaded", "newcomer_cuts": 2, "self_cuts": 1},
    })
}

/// A valid two-level referral programme.
pub fn friends() -> Value {
    json!({
        "kind": "referral", "title": "Friends", "surface": "web",
        "starts_at": "2026-11-22T00:00:00Z", "ends_at": "2026-12-01T00:00:00Z",
        "rules_text": "Who invites a friend earns a tenth of what the friend buys, seven days after the goods have arrived.",
        "items": [], "levels": [{"basis_points": 1000}, {"basis_points": 300}], "acknowledge_level_two": true,
        "sku_overrides": [{"sku": "cream", "levels": [{"fixed_fen": 500}]}],
    })
}

fn with(mut base: Value, changes: &[(&str, Value)]) -> Value {
    for (pointer, value) in changes {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        base.pointer_mut(parent).unwrap()[name] = value.clone();
    }
    base
}

fn fields(value: &Value) -> Vec<String> {
    Definition::read(value).unwrap_err().into_iter().map(|fault| fault.field).collect()
}

#[test]
fn the_contracts_examples_are_read_and_written_back_with_their_defaults() {
    for (given, kind) in [(cherries(), Kind::GroupBuy), (cream(), Kind::Bargain), (friends(), Kind::Referral)] {
        let definition = Definition::read(&given).unwrap();
        assert_eq!(definition.kind(), kind);
        let written = serde_json::to_value(&definition).unwrap();
        for (name, value) in given.as_object().unwrap().iter().filter(|(name, _)| *name != "items") {
            assert_eq!(written.get(name), Some(value), "{name}");
        }
        assert_eq!(serde_json::from_value::<Definition>(written.clone()).unwrap(), definition, "SQL gives back what it got");
        assert_eq!(Definition::read(&written), Ok(definition), "what is written can be sent again");
    }
    let written = serde_json::to_value(Definition::read(&cherries()).unwrap()).unwrap();
    let filled = json!({"quantity_per_order": 1, "orders_per_user": 2, "rooms_opened_per_user": 1, "rooms_joined_per_user": 2,
        "unpaid_per_user": 1, "users_per_device": 2});
    assert_eq!(written["limits"], filled);
    assert_eq!(written["room_ttl_seconds"], 86400);
    assert_eq!(written["items"][0]["reserve"], "seat");
    assert_eq!(written["items"][0]["cost_price_fen"], Value::Null);
}

#[test]
fn every_fault_is_named_at_once() {
    let broken = with(
        cherries(),
        &[
            ("/title", json!("  ")),
            ("/colour", json!("red")),
            ("/surface", json!("paper")),
            ("/starts_at", json!("tomorrow")),
            ("/items/0/stock", json!(1.5)),
            ("/items/0/tiers", json!([{"size": 1, "price_fen": -1}, {"size": 201, "price_fen": 10_000_000_001_i64, "x": 1}, 7])),
            ("/limits", json!({"orders_per_user": 0, "unpaid_per_user": "1", "y": null})),
            ("/newcomers_only", json!("no")),
            ("/metadata", json!([])),
        ],
    );
    let mut found = fields(&broken);
    found.sort();
    assert_eq!(
        found,
        [
            "colour",
            "items[0].stock",
            "items[0].tiers[0].price_fen",
            "items[0].tiers[0].size",
            "items[0].tiers[1].price_fen",
            "items[0].tiers[1].size",
            "items[0].tiers[1].x",
            "items[0].tiers[2]",
            "limits.orders_per_user",
            "limits.unpaid_per_user",
            "limits.y",
            "metadata",
            "newcomers_only",
            "starts_at",
            "surface",
            "title",
        ]
    );
}

#[test]
fn what_is_required_is_named_and_null_is_absent() {
    assert_eq!(fields(&json!({})), ["kind", "title", "surface", "starts_at", "ends_at", "rules_text"]);
    let nulls = json!({"kind": "group_buy", "title": null, "items": [{"sku": null}], "limits": null});
    let expected = [
        "title",
        "surface",
        "starts_at",
        "ends_at",
        "rules_text",
        "items[0].sku",
        "items[0].title",
        "items[0].list_price_fen",
        "items[0].stock",
        "items[0].tiers",
    ];
    assert_eq!(fields(&nulls), expected);
    assert_eq!(fields(&json!({"kind": "lottery"}))[0], "kind");
    assert_eq!(fields(&json!([])), [""]);
}

#[test]
fn rules_between_fields_hold() {
    let tiers = |tiers: Value| with(cherries(), &[("/items/0/tiers", tiers)]);
    for (value, field) in [
        (with(cherries(), &[("/ends_at", json!("2026-11-22T00:00:00Z"))]), "ends_at"),
        (tiers(json!([{"size": 3, "price_fen": 9}, {"size": 3, "price_fen": 8}])), "items[0].tiers[1].size"),
        (tiers(json!([{"size": 3, "price_fen": 9}, {"size": 4, "price_fen": 9}])), "items[0].tiers[1].price_fen"),
        (tiers(json!([])), "items[0].tiers"),
        (with(cherries(), &[("/items", json!([]))]), "items"),
        (with(cherries(), &[("/accept_from", json!(4))]), "accept_from"),
        (
            with(tiers(json!([{"size": 3, "price_fen": 10_000_000_000_i64}])), &[("/limits", json!({"quantity_per_order": 2}))]),
            "limits.quantity_per_order",
        ),
        (with(cream(), &[("/items/0/floor_price_fen", json!(29889))]), "items[0].floor_price_fen"),
        (with(cream(), &[("/cuts/self_cuts", json!(13))]), "cuts.self_cuts"),
        (with(cream(), &[("/room_ttl_seconds", json!(5))]), "room_ttl_seconds"),
        (with(friends(), &[("/levels", json!([{"basis_points": 1}, {"basis_points": 1}, {"basis_points": 1}]))]), "levels"),
        (with(friends(), &[("/levels", json!([{"basis_points": 1, "fixed_fen": 1}]))]), "levels[0]"),
        (with(friends(), &[("/levels", json!([{"basis_points": 9000}, {"basis_points": 2000}]))]), "levels"),
        (with(friends(), &[("/orders_from", json!(["outside", "outside"]))]), "orders_from[1]"),
        (with(friends(), &[("/withdrawal", json!({"min_fen": 30_000}))]), "withdrawal.max_fen"),
    ] {
        assert_eq!(fields(&value), [field], "{value}");
    }
}

#[test]
fn skus_are_safe_and_unique() {
    for bad in ["", "a b", "樱桃", "a\u{0}", "a/b", &"x".repeat(65)] {
        assert_eq!(fields(&with(cherries(), &[("/items/0/sku", json!(bad))])), ["items[0].sku"]);
    }
    let item = cherries()["items"][0].clone();
    assert_eq!(fields(&with(cherries(), &[("/items", json!([item, item]))])), ["items[1].sku"]);
}

#[test]
fn freezing_may_be_nothing_but_other_spans_may_not() {
    assert!(Definition::read(&with(friends(), &[("/freeze_seconds", json!(0))])).is_ok());
    assert_eq!(fields(&with(cherries(), &[("/payment_ttl_seconds", json!(0))])), ["payment_ttl_seconds"]);
    assert_eq!(fields(&with(friends(), &[("/bond", json!({"expires_after_seconds": 0}))])), ["bond.expires_after_seconds"]);
}

#[test]
fn a_hostile_body_gets_a_bounded_answer() {
    let many: serde_json::Map<String, Value> = (0..10_000).map(|i| (format!("f{i}"), json!(1))).collect();
    let faults: Vec<Fault> = Definition::read(&with(Value::Object(many), &[("/kind", json!("bargain"))])).unwrap_err();
    assert_eq!(faults.len(), 100);
}
