//! Payments that the shop takes itself: no sandbox, no provider.

use serde_json::{Value, json};

use crate::support::{Setup, TestApp, served, with};

fn no_sandbox() -> Setup {
    Setup { sandbox: false, ..Setup::default() }
}

async fn pending(app: &TestApp) -> Vec<Value> {
    app.get("/operator/v1/refunds?state=pending").admin().await.expect(200).json["items"].as_array().unwrap().clone()
}

served! {
    async fn payments_reported_by_the_shop_form_the_room(app: &mut TestApp, no_sandbox()) {
        let campaign = app.publish_whole(&with(2, 9, &json!({}))).await;
        let (ada, bob) = (app.shop_shopper("Ada").await, app.shop_shopper("Bob").await);
        let seat = app.open(&ada, &campaign).await.expect(201).seat();
        let held = app.join(&bob, &seat.room).await.expect(201).seat();
        let asked = app.ask_payment(&ada, &seat.order).await.expect(200);
        assert_eq!(asked.at("/provider"), "shop");
        let paid = app.report_paid(&seat.order, "till 1", 4950).await;
        assert_eq!(paid.refused(422, "invalid_request").fields(), ["reference"], "a space is no visible character");
        let paid = app.report_paid(&seat.order, "till-1", 4950).await.expect(200);
        assert_eq!((paid.at("/state"), paid.at("/user_id")), ("paid".into(), ada.user_id.clone()));
        app.report_paid(&seat.order, "till-1", 4950).await.expect(200);
        let other = app.report_paid(&held.order, "till-1", 4950).await.refused(422, "invalid_request");
        assert_eq!(other.fields(), ["reference"], "one payment pays one order");
        app.report_paid(&held.order, "till-2", 4950).await.expect(200);
        assert_eq!(app.room(&seat.room).await["state"], "formed");
        assert_eq!(app.report(&campaign).await["paid_fen"], 9900);
        assert_eq!(pending(app).await, Vec::<Value>::new());
    }

    async fn the_shop_works_through_the_list_of_refunds(app: &mut TestApp, no_sandbox()) {
        let campaign = app.publish_whole(&with(2, 9, &json!({}))).await;
        let ada = app.shop_shopper("Ada").await;
        let seat = app.open(&ada, &campaign).await.expect(201).seat();
        app.report_paid(&seat.order, "till-1", 4950).await.expect(200);
        app.report_paid(&seat.order, "till-2", 4950).await.expect(200);
        let due = pending(app).await;
        assert_eq!(due.len(), 1);
        assert_eq!((&due[0]["amount_fen"], &due[0]["reason"], &due[0]["provider"]), (&json!(4950), &json!("paid_twice"), &json!("shop")));
        let path = format!("/operator/v1/refunds/{}/done", due[0]["refund_no"].as_str().unwrap());
        for _ in 0..2 {
            assert_eq!(app.post(&path).admin().await.expect(200).at("/state"), "done");
        }
        assert_eq!(pending(app).await, Vec::<Value>::new());
        let order = app.order(&ada, &seat.order).await;
        assert_eq!((&order["state"], &order["refunded_fen"]), (&json!("paid"), &json!(4950)));
        let answer = app.get("/operator/v1/refunds?state=lost").admin().await;
        assert_eq!(answer.refused(422, "invalid_request").fields(), ["state"]);
    }

    async fn without_the_sandbox_its_doors_are_shut(app: &mut TestApp, no_sandbox()) {
        let campaign = app.publish(&json!({})).await;
        let ada = app.shop_shopper("Ada").await;
        let seat = app.open(&ada, &campaign).await.expect(201).seat();
        let login = app.post("/v1/sessions").json(json!({"provider": "sandbox", "code": "c"})).await;
        assert_eq!(login.refused(422, "invalid_request").fields(), ["provider"]);
        app.pay(&ada, &seat.order).await.refused(404, "not_found");
        app.post("/v1/sandbox/clock").by(&ada).json(json!({"advance_seconds": 1})).await.refused(404, "not_found");
        app.post("/v1/payments/sandbox/notifications").raw("{}").await.refused(404, "not_found");
    }

    async fn a_report_of_a_payment_is_checked(app: &mut TestApp, no_sandbox()) {
        let campaign = app.publish(&json!({})).await;
        let ada = app.shop_shopper("Ada").await;
        let seat = app.open(&ada, &campaign).await.expect(201).seat();
        let path = format!("/operator/v1/orders/{}/paid", seat.order);
        let good = json!({"reference": "r", "amount_fen": 1, "paid_at": "2026-11-22T00:00:00Z"});
        for (field, wrong) in [
            ("reference", json!("")), ("reference", json!("r".repeat(65))), ("amount_fen", json!(-1)), ("amount_fen", json!(1.5)),
            ("amount_fen", json!(10_000_000_001_i64)), ("paid_at", json!("yesterday")), ("paid_at", Value::Null), ("colour", json!("red")),
        ] {
            let mut body = good.clone();
            body[field] = wrong;
            assert_eq!(app.post(&path).admin().json(body).await.refused(422, "invalid_request").fields(), [field]);
        }
        let mut unknown = seat.order.clone();
        unknown.replace_range(unknown.len() - 4.., "0000");
        for order in [&*unknown, "ord_00000000aaaaaaaaaaaaaa", "nonsense"] {
            app.report_paid(order, "r", 1).await.refused(404, "not_found");
        }
    }
}
