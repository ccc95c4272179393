//! Refunds that fail, take long, lose their answer or come twice: each is executed once, and what does not get on is seen by a person.

use liebian::store::{execute, fetch_all, fetch_one};
use serde_json::{Value, json};

use crate::support::{Seat, Setup, Shopper, TestApp, served, with, within};

fn impatient() -> Setup {
    let env = vec![("LIEBIAN_REFUND_TRIES", "3".to_owned()), ("LIEBIAN_PROVIDER_FAILURES_PER_MINUTE", "1000".to_owned())];
    Setup { env, ..Setup::default() }
}

fn a_provider_that_bears_little() -> Setup {
    Setup { env: vec![("LIEBIAN_PROVIDER_FAILURES_PER_MINUTE", "2".to_owned())], ..Setup::default() }
}

/// An order that is paid and certain.
async fn certain(app: &TestApp) -> (Shopper, Seat) {
    let campaign = app.publish_whole(&with(2, 9, &json!({}))).await;
    let [first, _] = app.formed(&campaign).await;
    first
}

/// Refunds that the sandbox executed: number and fen.
async fn executed(app: &TestApp) -> Vec<(String, i64)> {
    const ALL: &str = "SELECT refund_no, amount_fen FROM sandbox_refunds ORDER BY refund_no LIMIT 100";
    fetch_all!(app.store(), (String, i64), ALL).unwrap()
}

async fn list(app: &TestApp, of: &str) -> Vec<Value> {
    app.get(&format!("/operator/v1/{of}")).admin().await.expect(200).json["items"].as_array().unwrap().clone()
}

/// Lets the pauses between tries pass until so many tries were made.
async fn until_tried(app: &TestApp, tries: i64) {
    within(10, "the refund is tried", async || {
        if list(app, "refunds").await[0]["attempts"].as_i64().unwrap() >= tries {
            return true;
        }
        app.advance(3600).await;
        false
    })
    .await;
}

async fn in_order(app: &TestApp, shopper: &Shopper, seat: &Seat) {
    app.until_state(shopper, &seat.order, "refunded").await;
    let order = app.order(shopper, &seat.order).await;
    assert_eq!((&order["paid_fen"], &order["refunded_fen"]), (&json!(4950), &json!(4950)));
    assert_eq!(executed(app).await, [(format!("{}r1", seat.order), 4950)], "once, under one number");
    app.audited(order["campaign_id"].as_str().unwrap()).await;
    app.advance(61).await;
    let books = app.post("/operator/v1/reconciliation").admin().await.expect(200);
    assert_eq!(books.json["ok"], true, "{}", books.text);
}

served! {
    async fn a_refund_that_fails_is_tried_again_under_its_number(app: &mut TestApp) {
        let (ada, seat) = certain(app).await;
        app.spoil(&json!({"refund": "fail", "times": 3})).await;
        app.operate(&seat.order, "refund", &json!({"reason": "r"})).await.expect(200);
        within(10, "it failed once", async || list(app, "refunds?state=pending").await[0]["last_error"].is_string()).await;
        assert_eq!((executed(app).await.len(), app.state_of(&ada, &seat.order).await), (0, "refund_due".to_owned()));
        until_tried(app, 4).await;
        in_order(app, &ada, &seat).await;
        let done = &list(app, "refunds?state=done").await[0];
        assert_eq!((&done["attempts"], &done["last_error"]), (&json!(4), &Value::Null));
    }

    async fn a_refund_whose_answer_is_lost_is_executed_once(app: &mut TestApp) {
        let (ada, seat) = certain(app).await;
        app.spoil(&json!({"refund": "lose", "times": 2})).await;
        app.operate(&seat.order, "refund", &json!({"reason": "r"})).await.expect(200);
        within(10, "it was executed and nobody knows", async || executed(app).await.len() == 1).await;
        assert_eq!(app.state_of(&ada, &seat.order).await, "refund_due");
        until_tried(app, 3).await;
        in_order(app, &ada, &seat).await;
    }

    async fn a_refund_that_arrives_twice_or_takes_long_is_executed_once(app: &mut TestApp) {
        let (ada, seat) = certain(app).await;
        app.spoil(&json!({"refund": "duplicate"})).await;
        app.operate(&seat.order, "refund", &json!({"amount_fen": 50, "reason": "r"})).await.expect(200);
        within(10, "it is back", async || app.order(&ada, &seat.order).await["refunded_fen"] == 50).await;
        app.spoil(&json!({"refund": "delay", "times": 2})).await;
        app.operate(&seat.order, "refund", &json!({"reason": "r"})).await.expect(200);
        until_tried(app, 3).await;
        app.until_state(&ada, &seat.order, "refunded").await;
        assert_eq!(executed(app).await.iter().map(|(_, fen)| *fen).collect::<Vec<_>>(), [50, 4900]);
    }

    async fn a_crash_between_the_provider_and_the_order_refunds_once(app: &mut TestApp) {
        let (ada, seat) = certain(app).await;
        // Executed by the provider; the server dies before it hears of it.
        app.spoil(&json!({"refund": "lose"})).await;
        app.operate(&seat.order, "refund", &json!({"reason": "r"})).await.expect(200);
        within(10, "it was executed", async || executed(app).await.len() == 1).await;
        app.restart().await;
        until_tried(app, 2).await;
        in_order(app, &ada, &seat).await;
    }

    async fn asking_again_later_is_no_failing_try(app: &mut TestApp, impatient()) {
        let (ada, seat) = certain(app).await;
        app.spoil(&json!({"refund": "delay", "times": 1000})).await;
        app.operate(&seat.order, "refund", &json!({"reason": "r"})).await.expect(200);
        until_tried(app, 4).await;
        app.spoil(&json!({"refund": "fail", "times": 2})).await;
        until_tried(app, 6).await;
        in_order(app, &ada, &seat).await;
    }

    async fn a_refund_that_fails_for_good_waits_for_a_person(app: &mut TestApp, impatient()) {
        let (ada, seat) = certain(app).await;
        app.spoil(&json!({"refund": "fail", "times": 4})).await;
        app.operate(&seat.order, "refund", &json!({"reason": "r"})).await.expect(200);
        until_tried(app, 3).await;
        within(10, "it is stuck", async || list(app, "refunds?state=stuck").await.len() == 1).await;
        let stuck = list(app, "refunds?state=stuck").await.remove(0);
        let retry = format!("/operator/v1/refunds/{}/retry", stuck["refund_no"].as_str().unwrap());
        assert!(stuck["last_error"].as_str().unwrap().contains("fail"), "{stuck}");
        app.advance(7200).await;
        assert_eq!(list(app, "refunds?state=stuck").await, [stuck], "no machine tries it any more");
        assert_eq!(app.get("/operator/v1/provider").admin().await.expect(200).json["refunds_stuck"], 1);
        // The person tries, in vain, and again.
        let tried = app.post(&retry).admin().await.expect(200).json;
        assert_eq!((&tried["state"], &tried["attempts"]), (&json!("pending"), &json!(1)));
        assert_eq!(app.post(&retry).admin().await.expect(200).at("/state"), "done");
        assert_eq!(app.post(&retry).admin().await.expect(200).at("/state"), "done");
        app.post("/operator/v1/refunds/none/retry").admin().await.refused(404, "not_found");
        in_order(app, &ada, &seat).await;
    }

    async fn what_the_provider_will_not_send_back_a_person_does(app: &mut TestApp, impatient()) {
        let (ada, seat) = certain(app).await;
        app.spoil(&json!({"refund": "lose", "times": 3})).await;
        app.operate(&seat.order, "refund", &json!({"reason": "r"})).await.expect(200);
        within(10, "it was executed, and nobody knows", async || executed(app).await.len() == 1).await;
        let done = format!("/operator/v1/refunds/{}r1/done", seat.order);
        app.post(&done).admin().await.refused(409, "not_refundable");
        until_tried(app, 3).await;
        within(10, "it is stuck", async || list(app, "refunds?state=stuck").await.len() == 1).await;
        for _ in 0..2 {
            let answer = app.post(&done).admin().await.expect(200);
            assert_eq!((answer.at("/state"), answer.at("/provider")), ("done".into(), "shop".into()));
        }
        app.post(&format!("/operator/v1/refunds/{}r1/retry", seat.order)).admin().await.refused(409, "not_refundable");
        app.until_state(&ada, &seat.order, "refunded").await;
        app.advance(61).await;
        let books = app.post("/operator/v1/reconciliation").admin().await.expect(200).json;
        assert_eq!(books["counts"], json!({"refunded_twice": 1}), "the provider had done it: a person must know");
    }

    async fn calls_pause_when_too_many_fail(app: &mut TestApp, a_provider_that_bears_little()) {
        let campaign = app.publish_whole(&with(2, 9, &json!({}))).await;
        let mut orders = Vec::new();
        for _ in 0..2 {
            orders.extend(app.formed(&campaign).await);
        }
        app.spoil(&json!({"refund": "fail", "times": 1000})).await;
        for (_, seat) in &orders {
            app.operate(&seat.order, "refund", &json!({"reason": "r"})).await.expect(200);
        }
        let provider = async || app.get("/operator/v1/provider").admin().await.expect(200).json;
        within(10, "calls pause", async || provider().await["calls"][0]["paused_until"].is_string()).await;
        let tries = async || list(app, "refunds").await.iter().map(|refund| refund["attempts"].as_i64().unwrap()).sum::<i64>();
        assert_eq!((tries().await, &provider().await["calls"][0]["failures_left"]), (2, &json!(0)));
        let health = app.get("/health/ready").await.expect(200).json;
        let check = health["checks"].as_array().unwrap().iter().find(|check| check["name"] == "provider").unwrap().clone();
        assert!(check["ok"] == true && check["detail"].as_str().unwrap().contains("refund calls pause"), "{check}");
        assert!(app.get("/metrics").await.text.contains("liebian_provider_paused{call=\"refund\"} 1"));
        // Other calls go on: a shopper's order is closed at once.
        let (eve, asked) = app.opened(&campaign).await;
        app.ask_payment(&eve, &asked.order).await.expect(200);
        assert_eq!(app.cancel(&eve, &asked.order).await.expect(200).at("/state"), "released");
        // A person's wish does not go beyond what the provider bears.
        let number = list(app, "refunds").await[0]["refund_no"].as_str().unwrap().to_owned();
        app.post(&format!("/operator/v1/refunds/{number}/retry")).admin().await.expect(200);
        app.spoil(&json!({"refund": "fail", "times": 0})).await;
        for (shopper, seat) in &orders {
            within(10, "all is back", async || {
                app.advance(60).await;
                app.state_of(shopper, &seat.order).await == "refunded"
            })
            .await;
        }
        assert_eq!(executed(app).await.len(), 4);
        app.audited(&campaign).await;
    }

    async fn a_close_that_fails_or_loses_its_answer_gives_the_seat_back_once(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(2, 9, &json!({}))).await;
        for fault in ["fail", "lose", "duplicate", "delay"] {
            let (ada, seat) = app.opened(&campaign).await;
            app.ask_payment(&ada, &seat.order).await.expect(200);
            app.spoil(&json!({"close": fault})).await;
            app.cancel(&ada, &seat.order).await.expect(200);
            within(10, "it is released", async || {
                app.advance(2).await;
                app.state_of(&ada, &seat.order).await == "released"
            })
            .await;
            app.pay(&ada, &seat.order).await.refused(409, "order_not_payable");
        }
        assert_eq!(app.stock(&campaign).await, (9, 0, 0));
        app.audited(&campaign).await;
    }

    async fn a_question_that_fails_is_asked_again(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(2, 9, &json!({}))).await;
        let (ada, seat) = app.opened(&campaign).await;
        app.spoil(&json!({"query": "fail"})).await;
        app.pay(&ada, &seat.order).json(json!({"notify": "never"})).await.expect(200);
        app.advance(6).await;
        within(10, "the question failed", async || {
            fetch_one!(app.store(), (i64,), "SELECT COUNT(*) FROM provider_failures WHERE call = 'query'").unwrap().0 == 1
        })
        .await;
        assert_eq!(app.state_of(&ada, &seat.order).await, "awaiting_payment");
        app.spoil(&json!({"query": "duplicate"})).await;
        app.advance(31).await;
        app.until_state(&ada, &seat.order, "paid").await;
        let (told,) = fetch_one!(app.store(), (i64,), "SELECT COUNT(*) FROM payments").unwrap();
        assert_eq!((told, app.order(&ada, &seat.order).await["paid_fen"].clone()), (1, json!(4950)));
        app.audited(&campaign).await;
    }

    async fn a_payment_that_is_stuck_is_acted_on_when_a_person_says_so(app: &mut TestApp) {
        const TOLD: &str = "INSERT INTO payments (transaction_id, provider, order_id, campaign_id, amount_fen, paid_at, received_at, state, \
                            attempts, next_attempt_at, note) VALUES ('inbox', 'sandbox', $1, $2, 4950, 1795000000000, 0, 'stuck', 20, 0, 'broken')";
        let campaign = app.publish(&json!({})).await;
        let (ada, seat) = app.opened(&campaign).await;
        app.ask_payment(&ada, &seat.order).await.expect(200);
        execute!(app.store(), TOLD, &seat.order, &campaign).unwrap();
        let stuck = list(app, "payments?state=stuck").await;
        assert_eq!((stuck.len(), &stuck[0]["note"], &stuck[0]["order_id"]), (1, &json!("broken"), &json!(seat.order)));
        assert_eq!(app.get("/operator/v1/provider").admin().await.expect(200).json["payments_stuck"], 1);
        for _ in 0..2 {
            assert_eq!(app.post("/operator/v1/payments/inbox/retry").admin().await.expect(200).at("/state"), "done");
        }
        assert_eq!(app.state_of(&ada, &seat.order).await, "paid");
        app.post("/operator/v1/payments/none/retry").admin().await.refused(404, "not_found");
    }

    async fn faults_are_what_the_list_says(app: &mut TestApp) {
        let spoil = |body: Value| app.post("/v1/sandbox/faults").admin().json(body);
        let all = spoil(json!({"refund": "fail", "close": "lose", "times": 2})).await.expect(200).json;
        assert_eq!(all["faults"], json!([{"call": "close", "fault": "lose", "times": 2}, {"call": "refund", "fault": "fail", "times": 2}]));
        let one = spoil(json!({"close": "lose", "times": 0})).await.expect(200).json;
        assert_eq!((&one, &spoil(json!({})).await.expect(200).json), (&json!({"faults": [{"call": "refund", "fault": "fail", "times": 2}]}), &one));
        for (field, wrong) in [("refund", json!("explode")), ("times", json!(-1)), ("times", json!(1001)), ("payment", json!("fail"))] {
            assert_eq!(spoil(json!({field: wrong})).await.refused(422, "invalid_request").fields(), [field]);
        }
        app.post("/v1/sandbox/faults").json(json!({})).await.refused(401, "unauthenticated");
    }
}
