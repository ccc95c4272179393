//! Orders that the shop took elsewhere, as it reports them.

use futures_util::future::join_all;
use liebian::store::{fetch_all, fetch_one};
use serde_json::{Value, json};

use crate::support::{Answer, Shopper, TestApp, from_now, patched, served, time_of};

/// A report of an order of 99.00 yuan under a patch.
fn report(user: &Shopper, number: &str, patch: &Value) -> Value {
    patched(json!({"number": number, "user_id": user.user_id, "amount_fen": 9900, "state": "paid"}), patch)
}

async fn told(app: &TestApp, report: &Value) -> Answer {
    app.post("/operator/v1/outside_orders").admin().json(report.clone()).await
}

async fn purchases(app: &TestApp, user: &Shopper) -> Option<i64> {
    fetch_one!(app.store(), (Option<i64>,), "SELECT first_paid_at FROM users WHERE id = $1", &user.user_id).unwrap().0
}

served! {
    async fn an_order_goes_on_and_never_back(app: &mut TestApp) {
        let ada = app.shopper("Ada").await;
        let first = told(app, &report(&ada, "SO/1", &json!({"sku": "tea"}))).await.expect(201).json;
        assert_eq!(
            (&first["number"], &first["user_id"], &first["amount_fen"], &first["refunded_fen"], &first["state"], &first["sku"]),
            (&json!("SO/1"), &json!(ada.user_id), &json!(9900), &json!(0), &json!("paid"), &json!("tea"))
        );
        assert_eq!((&first["fulfilled_at"], &first["referral"]), (&Value::Null, &Value::Null), "no referral campaign");
        assert_eq!(told(app, &report(&ada, "SO/1", &json!({"sku": "tea"}))).await.expect(200).json, first, "a repeat changes nothing");
        let fulfilled = told(app, &report(&ada, "SO/1", &json!({"state": "fulfilled"}))).await.expect(200).json;
        assert_eq!((&fulfilled["state"], fulfilled["fulfilled_at"].is_string(), &fulfilled["sku"]), (&json!("fulfilled"), true, &json!("tea")));
        let part = told(app, &report(&ada, "SO/1", &json!({"state": "fulfilled", "refunded_fen": 900}))).await.expect(200).json;
        assert_eq!((&part["state"], &part["refunded_fen"], &part["fulfilled_at"]), (&json!("fulfilled"), &json!(900), &fulfilled["fulfilled_at"]));
        let more = told(app, &report(&ada, "SO/1", &json!({"state": "refunded", "refunded_fen": 1000}))).await.expect(200).json;
        assert_eq!((&more["state"], &more["refunded_fen"]), (&json!("refunded"), &json!(1000)));
        for older in [json!({}), json!({"state": "fulfilled"}), json!({"state": "refunded", "refunded_fen": 999}), json!({"refunded_fen": 0})] {
            assert_eq!(told(app, &report(&ada, "SO/1", &older)).await.expect(200).json, more, "{older}");
        }
        let all = told(app, &report(&ada, "SO/1", &json!({"state": "refunded"}))).await.expect(200).json;
        assert_eq!((&all["state"], &all["refunded_fen"], &all["created_at"]), (&json!("refunded"), &json!(9900), &first["created_at"]));
        let log = app.get("/operator/v1/audit_log?action=outside_order.report").admin().await.expect(200).json;
        let noted: Vec<_> = log["items"].as_array().unwrap().iter().rev().map(|row| row["before"]["state"].clone()).collect();
        assert_eq!(noted, [json!(null), json!("paid"), json!("fulfilled"), json!("fulfilled"), json!("refunded")], "what told nothing new is not noted");
    }

    async fn what_an_order_is_stands_with_its_first_report(app: &mut TestApp) {
        let (ada, bob) = (app.shopper("Ada").await, app.shopper("Bob").await);
        told(app, &report(&ada, "1", &json!({}))).await.expect(201);
        told(app, &report(&ada, "1", &json!({"amount_fen": 9901}))).await.refused(409, "outside_order_conflict");
        told(app, &report(&bob, "1", &json!({}))).await.refused(409, "outside_order_conflict");
        told(app, &report(&bob, "1", &json!({"state": "refunded"}))).await.refused(409, "outside_order_conflict");
        assert_eq!(told(app, &report(&ada, "1", &json!({"sku": "other"}))).await.expect(200).json["sku"], Value::Null);
        let nobody = json!({"user_id": "usr_0123456789abcd"});
        told(app, &report(&ada, "2", &nobody)).await.refused(404, "not_found");
        // First told when all is over already.
        let late = told(app, &report(&ada, "3", &json!({"state": "refunded", "occurred_at": from_now(-86_400)}))).await.expect(201).json;
        assert_eq!((&late["refunded_fen"], &late["fulfilled_at"]), (&json!(9900), &Value::Null));
        let fulfilled = json!({"state": "fulfilled", "occurred_at": from_now(-3600)});
        let fulfilled = told(app, &report(&ada, "4", &fulfilled)).await.expect(201).json;
        assert_eq!(fulfilled["fulfilled_at"], fulfilled["occurred_at"]);
        // Case counts.
        told(app, &report(&bob, "a", &json!({}))).await.expect(201);
        told(app, &report(&ada, "A", &json!({}))).await.expect(201);
    }

    async fn what_makes_no_sense_is_refused_by_name(app: &mut TestApp) {
        let ada = app.shopper("Ada").await;
        for (field, wrong) in [
            ("number", json!("")), ("number", json!("x".repeat(65))), ("number", json!("a b")), ("number", json!("a\nb")), ("number", json!("单号")),
            ("number", json!("ord_00000000aaaaaaaaaaaaaa")), ("number", json!(7)), ("user_id", json!("Ada")), ("user_id", Value::Null),
            ("amount_fen", json!(-1)), ("amount_fen", json!(10_000_000_001_i64)), ("amount_fen", json!(1.5)), ("state", json!("shipped")),
            ("refunded_fen", json!(9901)), ("refunded_fen", json!(-1)), ("sku", json!("a b")), ("sku", json!("")),
            ("occurred_at", json!(from_now(400))), ("occurred_at", json!("1999-12-31T23:59:59Z")), ("occurred_at", json!("yesterday")),
            ("colour", json!("red")),
        ] {
            let mut body = report(&ada, "1", &json!({}));
            body[field] = wrong.clone();
            assert_eq!(told(app, &body).await.refused(422, "invalid_request").fields(), [field], "{wrong}");
        }
        assert_eq!(told(app, &report(&ada, "1", &json!({"state": "refunded", "refunded_fen": 9901}))).await.fields(), ["refunded_fen"]);
        let longest = "~".repeat(64);
        assert_eq!(told(app, &report(&ada, &longest, &json!({}))).await.expect(201).at("/number"), longest);
        assert_eq!(fetch_all!(app.store(), (String,), "SELECT number FROM outside_orders LIMIT 10").unwrap(), [(longest,)]);
        // The sandbox's clock is the one that counts.
        app.advance(7200).await;
        told(app, &report(&ada, "later", &json!({"occurred_at": from_now(3600)}))).await.expect(201);
    }

    async fn a_hand_over_counts_also_after_a_part_was_refunded(app: &mut TestApp) {
        let ada = app.shopper("Ada").await;
        told(app, &report(&ada, "1", &json!({"occurred_at": from_now(-600)}))).await.expect(201);
        let part = json!({"state": "refunded", "refunded_fen": 100, "occurred_at": from_now(-500)});
        let part = told(app, &report(&ada, "1", &part)).await.expect(200).json;
        assert_eq!(part["fulfilled_at"], Value::Null);
        let handed_over = json!({"state": "fulfilled", "occurred_at": from_now(-400)});
        let whole = told(app, &report(&ada, "1", &handed_over)).await.expect(200).json;
        assert_eq!((&whole["state"], &whole["refunded_fen"]), (&json!("refunded"), &json!(100)), "it does not go back");
        assert!(time_of(&whole["fulfilled_at"]) > time_of(&part["occurred_at"]), "{whole}");
        assert_eq!(told(app, &report(&ada, "1", &json!({"state": "fulfilled"}))).await.expect(200).json, whole, "handed over once");
    }

    async fn a_clock_of_the_shop_that_is_a_little_ahead_means_now(app: &mut TestApp) {
        let ada = app.shopper("Ada").await;
        let order = told(app, &report(&ada, "1", &json!({"occurred_at": from_now(200), "state": "fulfilled"}))).await.expect(201).json;
        assert_eq!(order["fulfilled_at"], order["occurred_at"]);
        assert!(time_of(&order["occurred_at"]) <= time_of(&json!(from_now(0))), "{order}");
    }

    async fn reports_at_once_are_one_order(app: &mut TestApp) {
        let (ada, bob) = (app.shopper("Ada").await, app.shopper("Bob").await);
        let app = &*app;
        let answers = join_all((0..32).map(async |turn| {
            let refunded = turn * 100;
            told(app, &report(&ada, "one", &json!({"state": if turn % 2 == 0 { "paid" } else { "fulfilled" }, "refunded_fen": refunded}))).await
        }))
        .await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 31);
        let end = told(app, &report(&ada, "one", &json!({}))).await.expect(200).json;
        assert_eq!((&end["state"], &end["refunded_fen"]), (&json!("fulfilled"), &json!(3100)), "the furthest of all");
        // Two who claim one number: one of them has it.
        let who = [&ada, &bob];
        let claims = join_all((0..16).map(async |turn| told(app, &report(who[turn % 2], "two", &json!({}))).await)).await;
        let count = |status| claims.iter().filter(|answer| answer.status == status).count();
        assert_eq!((count(201), count(200), count(409)), (1, 7, 8));
    }

    async fn a_purchase_elsewhere_ends_being_a_newcomer_once(app: &mut TestApp) {
        let ada = app.shopper("Ada").await;
        assert_eq!(purchases(app, &ada).await, None);
        told(app, &report(&ada, "1", &json!({"occurred_at": "2026-01-02T03:04:05Z"}))).await.expect(201);
        let first = purchases(app, &ada).await;
        assert_eq!(first, Some(1_767_323_045_000));
        told(app, &report(&ada, "2", &json!({"occurred_at": "2025-01-02T03:04:05Z"}))).await.expect(201);
        assert_eq!(purchases(app, &ada).await, first);
        let campaign = app.publish(&json!({"newcomers_only": true})).await;
        let (_, seat) = app.opened(&campaign).await;
        app.join(&ada, &seat.room).await.refused(403, "newcomers_only");
    }

    async fn operators_list_them(app: &mut TestApp) {
        let (ada, bob) = (app.shopper("Ada").await, app.shopper("Bob").await);
        for (number, who, state) in [("1", &ada, "paid"), ("2", &bob, "fulfilled"), ("3", &ada, "refunded"), ("4", &ada, "paid")] {
            told(app, &report(who, number, &json!({"state": state}))).await.expect(201);
        }
        let listed = async |query: &str| -> Vec<String> {
            let list = app.get(&format!("/operator/v1/outside_orders?{query}")).admin().await.expect(200).json;
            list["items"].as_array().unwrap().iter().map(|order| order["number"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(listed("").await, ["4", "3", "2", "1"]);
        assert_eq!(listed("state=paid").await, ["4", "1"]);
        assert_eq!(listed(&format!("user_id={}", bob.user_id)).await, ["2"]);
        assert_eq!(listed(&format!("state=refunded&user_id={}", ada.user_id)).await, ["3"]);
        let page = app.get("/operator/v1/outside_orders?limit=3").admin().await.expect(200);
        assert_eq!(listed(&format!("cursor={}", page.at("/next_cursor"))).await, ["1"]);
        assert_eq!(app.get("/operator/v1/sales").admin().await.expect(200).json["items"], json!([]), "nobody earns by any of them");
        let keyed = || app.post("/operator/v1/outside_orders").admin().json(report(&ada, "5", &json!({}))).key("k");
        keyed().await.expect(201);
        let again = keyed().await.expect(201);
        assert!(again.replayed());
    }
}
