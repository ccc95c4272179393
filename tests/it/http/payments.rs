//! Payments: asked for, notified once, twice, late, never, wrongly; given up; sent back.

use liebian::crypto::{Purpose, Secrets, hex};
use liebian::store::{execute, fetch_all, fetch_one};
use serde_json::{Value, json};

use crate::support::{Answer, SECRET, TestApp, served, with, within};

/// The notification of a payment as the sandbox provider sends it, signed with `secret`.
async fn notify(app: &TestApp, transaction: &str, order: &str, amount_fen: i64, secret: &str) -> Answer {
    let body = json!({"transaction_id": transaction, "order_id": order, "amount_fen": amount_fen, "paid_at": 1_795_000_000_000_i64});
    let body = body.to_string();
    let signature = hex(&Secrets::new(secret).mac(Purpose::SandboxPayment, body.as_bytes()));
    app.post("/v1/payments/sandbox/notifications").header("Liebian-Signature", &signature).raw(body).await
}

async fn payments(app: &TestApp) -> i64 {
    fetch_one!(app.store(), (i64,), "SELECT COUNT(*) FROM payments").unwrap().0
}

/// The refunds the sandbox executed, once there are so many.
async fn refunds(app: &TestApp, count: usize) -> Vec<(String, i64)> {
    const REFUNDS: &str = "SELECT transaction_id, amount_fen FROM sandbox_refunds ORDER BY executed_at LIMIT 100";
    within(10, "the refunds are executed", async || fetch_all!(app.store(), (String, i64), REFUNDS).unwrap().len() >= count).await;
    fetch_all!(app.store(), (String, i64), REFUNDS).unwrap()
}

served! {
    async fn a_payment_is_known_in_sql_before_anybody_can_pay(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (ada, seat) = app.opened(&campaign).await;
        let asked = app.ask_payment(&ada, &seat.order).await.expect(200);
        assert_eq!((asked.at("/provider"), asked.json["parameters"].is_object()), ("sandbox".to_owned(), true));
        let (fen,) = fetch_one!(app.store(), (i64,), "SELECT amount_fen FROM payment_requests WHERE order_id = $1", &seat.order).unwrap();
        assert_eq!(fen, 4950);
        assert_eq!(app.ask_payment(&ada, &seat.order).await.expect(200).json, asked.json);
        app.pay(&ada, &seat.order).await.expect(200);
        app.ask_payment(&ada, &seat.order).await.refused(409, "order_not_payable");
        assert_eq!(app.pay(&ada, &seat.order).await.expect(200).at("/state"), "paid", "the pay page says it is paid");
    }

    async fn a_notification_that_comes_twice_is_one_payment(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (ada, seat) = app.opened(&campaign).await;
        let order = app.pay(&ada, &seat.order).json(json!({"notify": "twice"})).await.expect(200);
        assert_eq!((order.at("/state"), order.at("/paid_fen")), ("paid".into(), "4950".into()));
        assert_eq!(payments(app).await, 1);
        let (transaction,) = fetch_one!(app.store(), (String,), "SELECT transaction_id FROM payments").unwrap();
        notify(app, &transaction, &seat.order, 4950, SECRET).await.expect(204);
        assert_eq!(app.order(&ada, &seat.order).await["paid_fen"], 4950);
        assert_eq!((payments(app).await, app.stock(&campaign).await), (1, (99, 0, 1)));
    }

    async fn a_late_notification_arrives_when_it_is_due(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (ada, seat) = app.opened(&campaign).await;
        let late = json!({"notify": "late", "delay_seconds": 3});
        assert_eq!(app.pay(&ada, &seat.order).json(late).await.expect(200).at("/state"), "awaiting_payment");
        assert_eq!(payments(app).await, 0);
        app.advance(3).await;
        app.until_state(&ada, &seat.order, "paid").await;
        let beyond = app.pay(&ada, &seat.order).json(json!({"notify": "late", "delay_seconds": -1})).await;
        assert_eq!(beyond.refused(422, "invalid_request").fields(), ["delay_seconds"]);
    }

    async fn a_payment_nobody_tells_of_is_found_by_asking(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (ada, seat) = app.opened(&campaign).await;
        let (bob, held) = app.joined(&seat.room).await;
        app.pay(&ada, &seat.order).json(json!({"notify": "never"})).await.expect(200);
        app.advance(6).await;
        app.until_state(&ada, &seat.order, "paid").await;
        // At the latest when the hold is over: the provider is asked to close and says that it was paid.
        app.pay(&bob, &held.order).json(json!({"notify": "never"})).await.expect(200);
        execute!(app.store(), "UPDATE payment_requests SET look_at = NULL WHERE order_id = $1", &held.order).unwrap();
        app.advance(901).await;
        app.until_state(&bob, &held.order, "paid").await;
        assert_eq!(app.stock(&campaign).await, (98, 0, 2));
    }

    async fn a_payment_that_fails_leaves_the_order_payable(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (ada, seat) = app.opened(&campaign).await;
        assert_eq!(app.pay(&ada, &seat.order).json(json!({"fail": true})).await.expect(200).at("/state"), "awaiting_payment");
        assert_eq!(app.pay(&ada, &seat.order).await.expect(200).at("/state"), "paid");
    }

    async fn a_forged_notification_is_refused_and_changes_nothing(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (ada, seat) = app.opened(&campaign).await;
        notify(app, "sbx_1", &seat.order, 4950, "another secret than the provider's, long enough").await.refused(403, "forbidden");
        let body = json!({"transaction_id": "sbx_1", "order_id": seat.order, "amount_fen": 4950, "paid_at": 0}).to_string();
        for signature in ["", "00", "zz", &"0".repeat(64)] {
            let told = app.post("/v1/payments/sandbox/notifications").header("Liebian-Signature", signature).raw(body.clone());
            told.await.refused(403, "forbidden");
        }
        app.post("/v1/payments/sandbox/notifications").raw(body.clone()).await.refused(403, "forbidden");
        app.post("/v1/payments/other/notifications").raw(body).await.refused(404, "not_found");
        assert_eq!(app.state_of(&ada, &seat.order).await, "awaiting_payment");
        assert_eq!(payments(app).await, 0);
    }

    async fn a_payment_of_another_amount_goes_back_and_the_order_waits_on(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (ada, seat) = app.opened(&campaign).await;
        app.ask_payment(&ada, &seat.order).await.expect(200);
        notify(app, "too_little", &seat.order, 4949, SECRET).await.expect(204);
        assert_eq!(refunds(app, 1).await, [("too_little".to_owned(), 4949)]);
        assert_eq!(app.state_of(&ada, &seat.order).await, "awaiting_payment");
        assert_eq!(app.pay(&ada, &seat.order).await.expect(200).at("/state"), "paid");
        assert_eq!(app.stock(&campaign).await, (99, 0, 1));
    }

    async fn a_second_payment_for_one_order_goes_back(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(2, 9, &json!({}))).await;
        let (ada, seat) = app.opened_and_paid(&campaign).await;
        notify(app, "second", &seat.order, 4950, SECRET).await.expect(204);
        assert_eq!(refunds(app, 1).await, [("second".to_owned(), 4950)]);
        let order = app.order(&ada, &seat.order).await;
        assert_eq!(order["state"], "paid");
        app.joined_and_paid(&seat.room).await;
        notify(app, "third", &seat.order, 4950, SECRET).await.expect(204);
        assert_eq!(refunds(app, 2).await.len(), 2);
        within(10, "the order tells of both", async || app.order(&ada, &seat.order).await["refunded_fen"] == 9900).await;
        assert_eq!(app.state_of(&ada, &seat.order).await, "confirmed");
        assert_eq!(app.stock(&campaign).await, (7, 0, 2));
    }

    async fn a_payment_for_an_order_nobody_knows_goes_back(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (_, seat) = app.opened(&campaign).await;
        let mut unknown = seat.order.clone();
        unknown.replace_range(unknown.len() - 4.., "0000");
        for (transaction, order) in [("one", &*unknown), ("two", "ord_00000000aaaaaaaaaaaaaa"), ("three", "a shop's own number")] {
            notify(app, transaction, order, 700, SECRET).await.expect(204);
            notify(app, transaction, order, 700, SECRET).await.expect(204);
        }
        assert_eq!(refunds(app, 3).await.len(), 3);
        let done = async || app.get("/operator/v1/refunds?state=done").admin().await.expect(200).json["items"].as_array().unwrap().clone();
        within(10, "the list says so", async || done().await.len() == 3).await;
        let list = done().await;
        let reasons: Vec<&Value> = list.iter().map(|refund| &refund["reason"]).collect();
        assert_eq!(reasons, ["unknown_order"; 3]);
    }

    async fn a_payment_in_the_inbox_survives_a_restart(app: &mut TestApp) {
        const TOLD: &str = "INSERT INTO payments (transaction_id, provider, order_id, campaign_id, amount_fen, paid_at, received_at, state, \
                            attempts, next_attempt_at) VALUES ('inbox', 'sandbox', $1, $2, 4950, 1795000000000, 0, 'pending', 0, 0)";
        let campaign = app.publish(&json!({})).await;
        let (ada, seat) = app.opened(&campaign).await;
        app.ask_payment(&ada, &seat.order).await.expect(200);
        app.kill();
        execute!(app.store(), TOLD, &seat.order, &campaign).unwrap();
        app.restart().await;
        app.until_state(&ada, &seat.order, "paid").await;
        assert_eq!(refunds(app, 0).await, []);
    }

    async fn an_order_is_given_up_until_it_is_paid(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(3, 9, &json!({"rooms_opened_per_user": 3}))).await;
        let (ada, seat) = app.opened(&campaign).await;
        let (_, member) = app.joined_and_paid(&seat.room).await;
        let gone = app.cancel(&ada, &seat.order).await.expect(200);
        assert_eq!((gone.at("/state"), gone.at("/reason")), ("released".into(), "cancelled".into()));
        assert_eq!(app.cancel(&ada, &seat.order).await.expect(200).json, gone.json);
        app.pay(&ada, &seat.order).await.refused(409, "order_not_payable");
        app.ask_payment(&ada, &seat.order).await.refused(409, "order_not_payable");
        assert_eq!(app.stock(&campaign).await, (8, 0, 1));

        let asked = app.open(&ada, &campaign).await.expect(201).seat();
        app.ask_payment(&ada, &asked.order).await.expect(200);
        assert_eq!(app.cancel(&ada, &asked.order).await.expect(200).at("/state"), "released", "the provider has closed it");
        app.pay(&ada, &asked.order).await.refused(409, "order_not_payable");

        let paid = app.open(&ada, &campaign).await.expect(201).seat();
        app.pay(&ada, &paid.order).await.expect(200);
        app.cancel(&ada, &paid.order).await.refused(409, "order_not_cancellable");
        assert_eq!(app.room(&member.room).await["seats_taken"], 1);
    }

    async fn cancelling_what_was_paid_meanwhile_keeps_the_payment(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (ada, seat) = app.opened(&campaign).await;
        app.pay(&ada, &seat.order).json(json!({"notify": "never"})).await.expect(200);
        let refused = app.cancel(&ada, &seat.order).key("k").await.refused(409, "order_not_cancellable");
        assert!(refused.seq().is_some());
        assert!(app.cancel(&ada, &seat.order).key("k").await.refused(409, "order_not_cancellable").replayed());
        assert_eq!(app.state_of(&ada, &seat.order).await, "paid");
        // What was given up, and is, answers the same each time.
        let (bob, other) = app.opened(&campaign).await;
        app.ask_payment(&bob, &other.order).await.expect(200);
        for _ in 0..2 {
            assert_eq!(app.cancel(&bob, &other.order).await.expect(200).at("/state"), "released");
        }
        assert_eq!(app.stock(&campaign).await, (99, 0, 1));
    }

    async fn a_delay_is_for_late_notifications_only(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (ada, seat) = app.opened(&campaign).await;
        for notify in [json!({"notify": "once"}), json!({"notify": "twice"}), json!({"notify": "never"})] {
            let mut body = notify;
            body["delay_seconds"] = json!(5);
            assert_eq!(app.pay(&ada, &seat.order).json(body).await.refused(422, "invalid_request").fields(), ["delay_seconds"]);
        }
        assert_eq!(app.state_of(&ada, &seat.order).await, "awaiting_payment");
        app.pay(&ada, &seat.order).json(json!({"notify": "late", "delay_seconds": 5})).await.expect(200);
        app.advance(6).await;
        app.until_state(&ada, &seat.order, "paid").await;
        // A delay alone says late; null is as if it were not there.
        let (bob, seat) = app.opened(&campaign).await;
        let unpaid = app.pay(&bob, &seat.order).json(json!({"delay_seconds": 5, "notify": null})).await.expect(200);
        assert_eq!(unpaid.at("/state"), "awaiting_payment");
        app.advance(6).await;
        app.until_state(&bob, &seat.order, "paid").await;
        let (carl, seat) = app.opened(&campaign).await;
        let paid = app.pay(&carl, &seat.order).json(json!({"notify": null, "fail": null, "delay_seconds": null})).await.expect(200);
        assert_eq!(paid.at("/state"), "paid");
    }

    async fn an_order_of_somebody_else_is_not_found(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (ada, seat) = app.opened(&campaign).await;
        let eve = app.shopper("Eve").await;
        app.get(&format!("/v1/orders/{}", seat.order)).session(&eve.session).await.refused(404, "not_found");
        app.ask_payment(&eve, &seat.order).await.refused(404, "not_found");
        app.pay(&eve, &seat.order).await.refused(404, "not_found");
        app.cancel(&eve, &seat.order).await.refused(404, "not_found");
        assert_eq!(app.state_of(&ada, &seat.order).await, "awaiting_payment");
    }

    async fn a_refund_the_provider_executes_is_not_the_shops_to_report(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (_, seat) = app.opened(&campaign).await;
        notify(app, "odd", &seat.order, 1, SECRET).await.expect(204);
        let list = app.get("/operator/v1/refunds").admin().await.expect(200);
        let number = list.at("/items/0/refund_no");
        app.post(&format!("/operator/v1/refunds/{number}/done")).admin().await.refused(409, "not_refundable");
        app.post("/operator/v1/refunds/ref_none/done").admin().await.refused(404, "not_found");
        refunds(app, 1).await;
    }

    async fn money_taken_at_one_till_while_another_was_paid_goes_back(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (ada, seat) = app.opened(&campaign).await;
        app.pay(&ada, &seat.order).json(json!({"notify": "never"})).await.expect(200);
        let price = app.get(&format!("/v1/orders/{}", seat.order)).by(&ada).await.expect(200).json["amount_fen"].as_i64().unwrap();
        assert_eq!(app.report_paid(&seat.order, "till-2", price).await.expect(200).json["state"], "paid");
        within(10, "the sandbox's money comes to light and goes back", async || {
            let refunds = app.get("/operator/v1/refunds?state=done").admin().await.expect(200).json;
            refunds["items"].as_array().unwrap().iter().any(|refund| {
                refund["order_id"] == *seat.order && refund["provider"] == "sandbox" && refund["amount_fen"] == price && refund["reason"] == "paid_twice"
            })
        })
        .await;
    }
}
