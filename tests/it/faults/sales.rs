//! What crosses campaigns survives whatever breaks on the way: each order that earns is told once, and nobody waits for a campaign that stands still.

use std::fs;
use std::time::Duration;

use futures_util::future::join_all;
use liebian::store::{execute, fetch_all, fetch_one};
use serde_json::{Value, json};

use super::losses::hold_sql;
use crate::support::{Db, Setup, Shopper, TestApp, hot_key, one_level, programme, served, with, within};

/// Orders of one buyer, here and made elsewhere.
const ORDERS: usize = 12;

/// Sends a request until it is answered and not with "not now".
async fn insist(request: impl Fn() -> crate::support::Request) -> Value {
    for _ in 0..400 {
        match request().try_send().await {
            Ok(answer) if answer.status < 500 => {
                assert!(answer.status < 300, "{}", answer.text);
                return answer.json;
            }
            Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    panic!("no answer");
}

/// A shop where one buys alone, at 80.00 yuan.
async fn shop(app: &TestApp) -> String {
    let mut definition = with(2, 500, &json!({"orders_per_user": 99, "unpaid_per_user": 99, "users_per_device": 99}));
    definition["items"][0]["solo_price_fen"] = json!(8000);
    app.publish_whole(&definition).await
}

async fn solo(app: &TestApp, buyer: &Shopper, campaign: &str) -> String {
    let path = format!("/v1/campaigns/{campaign}/solo_orders");
    app.post(&path).by(buyer).json(json!({"sku": "tea", "quantity": 1})).await.expect(201).at("/order/id")
}

fn outside(app: &TestApp, buyer: &Shopper, number: usize, state: &str) -> crate::support::Request {
    let body = json!({"number": format!("S-{number}"), "user_id": buyer.user_id, "amount_fen": 10_000, "state": state});
    app.post("/operator/v1/outside_orders").admin().json(body)
}

async fn untold(app: &TestApp) -> i64 {
    fetch_one!(app.store(), (i64,), "SELECT COUNT(*) FROM sales WHERE state <> 'done'").unwrap().0
}

served! {
    async fn a_server_that_is_killed_over_and_over_tells_every_sale_once(app: &mut TestApp) {
        let (campaign, tea) = (app.publish_whole(&programme(&json!({}))).await, shop(app).await);
        let line = app.line_of(&campaign, 3).await;
        let mut orders = Vec::new();
        for _ in 0..ORDERS {
            orders.push(solo(app, &line[2], &tea).await);
        }
        let (here, orders, buyer) = (&*app, &orders, &line[2]);
        let crashes = async |times: usize| {
            for _ in 0..times {
                tokio::time::sleep(Duration::from_millis(rand::random_range(5..200))).await;
                here.restart().await;
            }
        };
        let paying = join_all(orders.iter().map(async |order| {
            // A payment page that was killed is opened again: what is paid stays paid.
            let seen = || here.get(&format!("/v1/orders/{order}")).session(&buyer.session);
            while insist(seen).await["state"] != "confirmed" {
                let _killed = here.pay(buyer, order).try_send().await;
            }
        }));
        let reporting = join_all((0..ORDERS).map(|number| insist(move || outside(here, buyer, number, "paid"))));
        tokio::join!(paying, reporting, crashes(4));
        for order in orders {
            here.until_state(buyer, order, "confirmed").await;
        }
        let fulfilling = join_all(orders.iter().map(|order| insist(move || here.operate(order, "fulfil", &json!({})))));
        let reporting = join_all((0..ORDERS).map(|number| insist(move || outside(here, buyer, number, "fulfilled"))));
        tokio::join!(fulfilling, reporting, crashes(3));
        within(20, "every sale is told", async || untold(here).await == 0).await;
        here.advance(3601).await;
        for (place, (level, fen)) in [(1, (1, [800, 1000])), (0, (2, [240, 300]))] {
            let rewards = here.rewards_of(&line[place]).await;
            assert_eq!(rewards.len(), 2 * ORDERS, "{rewards:?}");
            for (number, own, amount, back, state) in &rewards {
                let expected = if number.starts_with("ord_") { fen[0] } else { fen[1] };
                assert_eq!((*own, *amount, *back, state.as_str()), (level, expected, 0, "available"), "{number}");
            }
        }
        here.audited(&campaign).await;
        here.audited(&tea).await;
    }

    async fn a_frozen_referral_campaign_delays_its_own_sales_and_nobody_elses(app: &mut TestApp) {
        app.expect_error("campaign is frozen");
        app.expect_error("does not follow from SQL");
        let tea = shop(app).await;
        let [frozen, other] = [app.publish_whole(&one_level(&json!({}))).await, app.publish_whole(&one_level(&json!({}))).await];
        let [mine, theirs] = [app.line_of(&frozen, 2).await, app.line_of(&other, 2).await];
        let before = solo(app, &mine[1], &tea).await;
        // SQL goes back to before this, and Redis no longer has the log that leads on.
        app.wait_until_projected().await;
        let cursor = fetch_all!(app.store(), (i64, String), "SELECT seq, hash FROM cursors WHERE campaign_id = $1", &frozen).unwrap().remove(0);
        for step in ["pause", "resume", "pause", "resume"] {
            app.step(&frozen, step).await.expect(200);
        }
        app.wait_until_projected().await;
        app.stop().await;
        let mut redis = app.redis_connection().await;
        let _: i64 = redis::cmd("XTRIM").arg(hot_key(&frozen, "log")).arg("MAXLEN").arg(1).query_async(&mut redis).await.unwrap();
        execute!(app.store(), "DELETE FROM log_entries WHERE campaign_id = $1 AND first_seq > $2", &frozen, cursor.0).unwrap();
        execute!(app.store(), "UPDATE cursors SET seq = $1, hash = $2 WHERE campaign_id = $3", cursor.0, &cursor.1, &frozen).unwrap();
        app.restart().await;
        let state = async || fetch_one!(app.store(), (String,), "SELECT state FROM cursors WHERE campaign_id = $1", &frozen).unwrap().0;
        within(15, "it is frozen", async || state().await == "frozen").await;

        // Orders are placed and paid all the same; SQL knows the bonds.
        let during = solo(app, &mine[1], &tea).await;
        let elsewhere = solo(app, &theirs[1], &tea).await;
        for (shopper, order) in [(&mine[1], &before), (&mine[1], &during), (&theirs[1], &elsewhere)] {
            app.pay(shopper, order).await.expect(200);
        }
        outside(app, &mine[1], 1, "paid").await.expect(201);
        assert_eq!(app.rewards_of(&theirs[0]).await.len(), 1);
        assert_eq!((app.rewards_of(&mine[0]).await.len(), untold(app).await), (0, 3));
        let mut command = app.spawn(&["rebuild", &frozen]);
        let done = tokio::task::spawn_blocking(move || command.wait()).await.unwrap().unwrap();
        assert!(done.success(), "rebuild: {done}");
        within(15, "every sale is told", async || untold(app).await == 0).await;
        let told: Vec<String> = app.rewards_of(&mine[0]).await.into_iter().map(|(number, ..)| number).collect();
        assert_eq!(told.len(), 3, "{told:?}");
    }
}

/// A sale is told once SQL has what was decided of it, not before: else the reward would go with Redis' disk, for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_that_only_a_lost_redis_heard_of_is_told_again() {
    let mut app = TestApp::start(Db::postgres().await, Setup::default()).await;
    let campaign = app.publish_whole(&one_level(&json!({}))).await;
    let line = app.line_of(&campaign, 2).await;
    app.wait_until_projected().await;
    let mut redis = app.redis_connection().await;
    let mut seq = async || -> i64 { redis::cmd("HGET").arg(hot_key(&campaign, "meta")).arg("seq").query_async(&mut redis).await.unwrap() };
    let before = seq().await;
    let sql = hold_sql(app.store()).await;
    let telling = tokio::spawn(outside(&app, &line[1], 1, "paid").try_send());
    within(10, "the reward is decided", async || seq().await > before).await;
    // Time enough to note that it was told, for whoever does not wait for SQL.
    for _ in 0..50 {
        app.get("/health/live").await.expect(200);
    }
    app.kill();
    app.redis.kill();
    assert!(telling.await.unwrap().is_err(), "nobody was answered");
    fs::remove_dir_all(app.redis.data_dir().join("appendonlydir")).expect("wipe");
    sql.rollback().await.unwrap();
    app.redis.restart().await;
    app.restart().await;
    within(20, "it is told again", async || app.rewards_of(&line[0]).await.len() == 1).await;
    app.audited(&campaign).await;
    app.finish().await;
}
