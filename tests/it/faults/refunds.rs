//! Money is sent back while server, Redis and provider fail: each refund that was asked for is executed once.

use std::time::Duration;

use futures_util::future::join_all;
use liebian::store::{execute, fetch_all};
use serde_json::json;

use super::losses::hold_sql;
use crate::support::{Db, Setup, TestApp, hot_key, served, with, within};

/// Orders that are paid and certain.
const ORDERS: usize = 12;

fn a_provider_that_bears_much() -> Setup {
    Setup { env: vec![("LIEBIAN_PROVIDER_FAILURES_PER_MINUTE", "6000".to_owned())], ..Setup::default() }
}

/// A request that died with the server holds its key for a minute of the machine's clock: let it pass.
async fn free_keys(app: &TestApp) {
    execute!(app.store(), "UPDATE idempotency_keys SET created_at = 0 WHERE status IS NULL").unwrap();
}

/// Asks for a refund until the answer is no "not now": the caller's part of exactly once.
async fn insist(app: &TestApp, order: &str, amount_fen: i64) {
    for _ in 0..200 {
        let body = json!({"amount_fen": amount_fen, "reason": "r"});
        let answer = app.operate(order, "refund", &body).key(&format!("{order}-{amount_fen}")).try_send().await;
        match answer {
            Ok(answer) if answer.status < 500 => {
                answer.expect(200);
                return;
            }
            Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    panic!("no answer to the refund of {order}");
}

const BACK: &str =
    "SELECT transaction_id, COUNT(*), CAST(SUM(amount_fen) AS BIGINT) FROM sandbox_refunds GROUP BY transaction_id LIMIT 100";

served! {
    async fn refunds_asked_for_while_everything_fails_are_executed_once(app: &mut TestApp, a_provider_that_bears_much()) {
        let campaign = app.publish_whole(&with(2, 40, &json!({}))).await;
        let mut orders = Vec::new();
        while orders.len() < ORDERS {
            orders.extend(app.formed(&campaign).await);
        }
        for fault in ["fail", "lose", "duplicate"] {
            app.spoil(&json!({"refund": fault, "times": 5})).await;
            // Of each order a part, then the rest: each under a key of its own.
            let amount = match fault { "fail" => 100, "lose" => 250, _ => 4600 };
            let here = &*app;
            let asking = join_all(orders.iter().map(|(_, seat)| insist(here, &seat.order, amount)));
            let failing = async {
                here.restart().await;
                free_keys(here).await;
            };
            tokio::join!(asking, failing);
            // While they are executed.
            app.redis.kill();
            app.redis.restart().await;
        }
        let (shopper, seat) = &orders[0];
        let found = async || app.get(&format!("/v1/orders/{}", seat.order)).session(&shopper.session).await.status == 200;
        within(15, "the campaign serves again", found).await;
        for (shopper, seat) in &orders {
            within(20, "all is back", async || {
                app.advance(3600).await;
                app.state_of(shopper, &seat.order).await == "refunded"
            })
            .await;
        }
        let back = fetch_all!(app.store(), (String, i64, i64), BACK).unwrap();
        assert_eq!(back.len(), orders.len());
        for (transaction, count, fen) in back {
            assert_eq!((count, fen), (3, 4950), "{transaction}");
        }
        assert_eq!(app.stock(&campaign).await, (40, 0, 0));
        app.audited(&campaign).await;
        app.advance(61).await;
        let books = app.post("/operator/v1/reconciliation").admin().await.expect(200);
        assert_eq!(books.json["ok"], true, "{}", books.text);
    }
}

/// Decided in Redis, but the answer died with the server: whoever insists under the same key gets the one refund, not another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partial_refund_whose_answer_died_with_the_server_is_made_once() {
    let app = TestApp::start(Db::postgres().await, Setup::default()).await;
    let campaign = app.publish_whole(&with(2, 9, &json!({}))).await;
    let [(ada, seat), _] = app.formed(&campaign).await;
    app.wait_until_projected().await;
    let mut redis = app.redis_connection().await;
    let mut seq = async || -> i64 { redis::cmd("HGET").arg(hot_key(&campaign, "meta")).arg("seq").query_async(&mut redis).await.unwrap() };
    let before = seq().await;
    let sql = hold_sql(app.store()).await;
    let refund = || app.operate(&seat.order, "refund", &json!({"amount_fen": 100, "reason": "r"})).key("once");
    let asking = tokio::spawn(refund().try_send());
    within(10, "the refund is decided", async || seq().await > before).await;
    app.kill();
    assert!(asking.await.unwrap().is_err(), "nobody was answered");
    sql.rollback().await.unwrap();
    app.restart().await;
    free_keys(&app).await;
    assert_eq!(refund().await.expect(200).at("/refund_due_fen"), "100");
    within(10, "it is executed", async || app.order(&ada, &seat.order).await["refunded_fen"] == 100).await;
    let log = app.get("/operator/v1/audit_log").admin().await.expect(200).json;
    assert_eq!(log["items"][0]["action"], "order.refund", "and it is written down");
    app.finish().await;
}
