//! The provider's books, SQL and live orders tell the same of all money, or it comes to light.

use liebian::store::{execute, fetch_one};
use serde_json::{Value, json};

use crate::support::{Setup, TestApp, served, with, within};

fn every_hour() -> Setup {
    Setup { env: vec![("LIEBIAN_RECONCILE_SECONDS", "3600".to_owned())], ..Setup::default() }
}

async fn reconciled(app: &TestApp) -> Value {
    app.advance(61).await;
    app.post("/operator/v1/reconciliation").admin().await.expect(200).json
}

/// Kind, subject and whether it was mended.
fn found(report: &Value) -> Vec<(String, String, bool)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let one = |finding: &Value| (text(&finding["kind"]), text(&finding["subject"]), finding["mended"] == true);
    let mut found: Vec<_> = report["findings"].as_array().unwrap().iter().map(one).collect();
    found.sort();
    assert_eq!((report["ok"] == true, found.is_empty()), (found.is_empty(), report["counts"] == json!({})), "{report}");
    found
}

served! {
    async fn books_in_order_have_no_findings(app: &mut TestApp) {
        app.get("/operator/v1/reconciliation").admin().await.refused(404, "not_found");
        let campaign = app.publish_whole(&with(2, 9, &json!({}))).await;
        let [(ada, seat), _] = app.formed(&campaign).await;
        app.operate(&seat.order, "refund", &json!({"amount_fen": 50, "reason": "r"})).await.expect(200);
        within(10, "it is back", async || app.order(&ada, &seat.order).await["refunded_fen"] == 50).await;
        let report = reconciled(app).await;
        assert_eq!(found(&report), []);
        let counts = ["payments", "refunds", "orders", "orders_not_asked"].map(|name| report[name].as_i64().unwrap());
        assert_eq!((counts, &report["provider_books"]), ([2, 1, 2, 0], &json!(true)));
        assert_eq!(app.get("/operator/v1/reconciliation").admin().await.expect(200).json, report);
        assert_eq!(app.post("/operator/v1/reconciliation").admin().json(json!({"days": 0})).await.refused(422, "invalid_request").fields(), ["days"]);
    }

    async fn an_order_that_cannot_be_read_is_not_taken_for_missing(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(2, 9, &json!({}))).await;
        let (_, seat) = app.opened_and_paid(&campaign).await;
        app.wait_until_projected().await;
        let mut redis = app.redis_connection().await;
        let tables: Vec<String> = redis::cmd("KEYS").arg("*:orders").query_async(&mut redis).await.unwrap();
        let rows: Vec<(String, Vec<u8>)> = redis::cmd("HGETALL").arg(&tables[0]).query_async(&mut redis).await.unwrap();
        let put = async |redis: &mut redis::aio::MultiplexedConnection, value: &[u8]| {
            let _: i64 = redis::cmd("HSET").arg(&tables[0]).arg(&rows[0].0).arg(value).query_async(redis).await.unwrap();
        };
        put(&mut redis, b"x").await;
        let report = reconciled(app).await;
        assert_eq!((found(&report), &report["orders_not_asked"]), (vec![], &json!(1)), "{report}");
        put(&mut redis, &rows[0].1).await;
        let report = reconciled(app).await;
        assert_eq!((found(&report), &report["orders_not_asked"]), (vec![], &json!(0)), "{report}");
        assert_eq!(app.get(&format!("/operator/v1/orders/{}", seat.order)).admin().await.expect(200).json["state"], "paid");
    }

    async fn a_payment_nobody_told_us_of_is_taken_in(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(2, 9, &json!({}))).await;
        let (ada, seat) = app.opened(&campaign).await;
        app.pay(&ada, &seat.order).json(json!({"notify": "never"})).await.expect(200);
        execute!(app.store(), "UPDATE payment_requests SET look_at = NULL").unwrap();
        let report = reconciled(app).await;
        let (transaction,) = fetch_one!(app.store(), (String,), "SELECT transaction_id FROM sandbox_trades").unwrap();
        assert_eq!(found(&report), [("payment_missing".to_owned(), transaction, true)]);
        assert_eq!(app.state_of(&ada, &seat.order).await, "paid");
        assert_eq!(found(&reconciled(app).await), []);
        app.audited(&campaign).await;
    }

    async fn what_got_lost_on_the_way_is_mended_and_what_was_never_asked_for_is_told(app: &mut TestApp) {
        const ROGUE: &str = "INSERT INTO sandbox_refunds (refund_no, transaction_id, amount_fen, executed_at) SELECT 'rogue', transaction_id, 7, paid_at \
                             FROM sandbox_trades WHERE order_id = $1";
        const INBOX: &str = "INSERT INTO payments (transaction_id, provider, order_id, amount_fen, paid_at, received_at, state, attempts, next_attempt_at) \
                             SELECT $1, 'shop', $2, $3, paid_at, paid_at, 'stuck', 0, 0 FROM sandbox_trades WHERE order_id = $4";
        let campaign = app.publish_whole(&with(2, 9, &json!({}))).await;
        let [(ada, seat), (bob, other)] = app.formed(&campaign).await;
        // Executed, but the answer is lost, and nobody asks again.
        app.spoil(&json!({"refund": "lose"})).await;
        app.operate(&seat.order, "refund", &json!({"amount_fen": 50, "reason": "r"})).await.expect(200);
        within(10, "the answer is lost", async || {
            fetch_one!(app.store(), (i64,), "SELECT COUNT(*) FROM refunds WHERE last_error IS NOT NULL").unwrap().0 == 1
        })
        .await;
        execute!(app.store(), "UPDATE refunds SET state = 'stuck'").unwrap();
        execute!(app.store(), ROGUE, &other.order).unwrap();
        execute!(app.store(), INBOX, "shop:second", &other.order, 4950_i64, &other.order).unwrap();
        execute!(app.store(), INBOX, "shop:stray", "a shop's own number", 300_i64, &other.order).unwrap();
        let expected = [
            ("payment_not_told".to_owned(), "shop:second".to_owned(), true),
            ("payment_of_no_order".to_owned(), "shop:stray".to_owned(), true),
            ("refund_not_noted".to_owned(), format!("{}r1", seat.order), true),
            ("refund_unknown".to_owned(), "rogue".to_owned(), false),
        ];
        assert_eq!(found(&reconciled(app).await), expected);
        assert!(app.get("/metrics").await.text.contains("liebian_reconciliation_findings{kind=\"refund_unknown\"} 1"));
        assert_eq!(app.order(&ada, &seat.order).await["refunded_fen"], 50);
        // The second payment of the order is one too many: it goes back, by the shop.
        assert_eq!(app.order(&bob, &other.order).await["paid_fen"], 9900);
        assert_eq!(found(&reconciled(app).await), expected[3..]);
        app.audited(&campaign).await;
    }

    async fn what_the_books_do_not_have_is_told(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(2, 9, &json!({}))).await;
        let [(ada, seat), (_, other)] = app.formed(&campaign).await;
        app.operate(&seat.order, "refund", &json!({"reason": "r"})).await.expect(200);
        app.until_state(&ada, &seat.order, "refunded").await;
        app.wait_until_projected().await;
        execute!(app.store(), "DELETE FROM sandbox_refunds").unwrap();
        execute!(app.store(), "UPDATE sandbox_trades SET amount_fen = 4949 WHERE order_id = $1", &seat.order).unwrap();
        execute!(app.store(), "UPDATE sandbox_trades SET state = 'closed', paid_at = NULL WHERE order_id = $1", &other.order).unwrap();
        let report = reconciled(app).await;
        let kinds: Vec<String> = found(&report).into_iter().map(|(kind, _, mended)| format!("{kind} {mended}")).collect();
        assert_eq!(kinds, ["payment_differs false", "payment_unknown_to_provider false", "refund_not_executed false"]);
    }

    async fn money_sent_back_twice_is_told(app: &mut TestApp) {
        const TWICE: &str = "INSERT INTO refunds (refund_no, order_id, provider, transaction_id, amount_fen, reason, state, attempts, next_attempt_at, \
                             created_at) SELECT 'twice', 'none', 'other', transaction_id, 4950, 'twice', 'pending', 0, created_at, created_at FROM refunds";
        let campaign = app.publish_whole(&with(2, 9, &json!({}))).await;
        let [(ada, seat), _] = app.formed(&campaign).await;
        app.operate(&seat.order, "refund", &json!({"reason": "r"})).await.expect(200);
        app.until_state(&ada, &seat.order, "refunded").await;
        app.wait_until_projected().await;
        execute!(app.store(), TWICE).unwrap();
        let kinds: Vec<String> = found(&reconciled(app).await).into_iter().map(|(kind, ..)| kind).collect();
        assert_eq!(kinds, ["refunded_twice"]);
    }

    async fn the_command_says_what_it_found_and_mended(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(2, 9, &json!({}))).await;
        let (ada, seat) = app.opened(&campaign).await;
        app.pay(&ada, &seat.order).json(json!({"notify": "never"})).await.expect(200);
        execute!(app.store(), "UPDATE payment_requests SET look_at = NULL").unwrap();
        app.advance(61).await;
        // With and without a server beside it.
        assert_eq!(app.spawn(&["reconcile"]).wait().unwrap().code(), Some(1), "something differed");
        assert!(app.log().contains("mended payment_missing"), "{}", app.log());
        assert_eq!(app.state_of(&ada, &seat.order).await, "paid");
        app.stop().await;
        let status = app.spawn(&["reconcile", "--days", "2"]).wait().unwrap();
        assert!(status.success(), "{}", app.log());
        app.restart().await;
    }

    async fn the_books_are_compared_by_schedule(app: &mut TestApp, every_hour()) {
        let report = async || app.get("/operator/v1/reconciliation").admin().await;
        within(10, "a turn is set", async || fetch_one!(app.store(), (i64,), "SELECT COUNT(*) FROM settings WHERE name = 'reconcile_at'").unwrap().0 == 1)
            .await;
        report().await.refused(404, "not_found");
        app.advance(3601).await;
        within(10, "they are compared", async || report().await.status == 200).await;
        let first = report().await.json;
        app.advance(3601).await;
        within(10, "and again", async || report().await.json["finished_at"] != first["finished_at"]).await;
    }
}
