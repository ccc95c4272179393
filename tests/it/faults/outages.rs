//! Redis or SQL does not answer for a while: the answers are honest, and a repeat tells what became of the op.

use std::time::Duration;

use futures_util::future::join_all;
use liebian::store::fetch_one;

use super::losses::hold_sql;
use crate::support::{served, with, within};

served! {
    async fn a_frozen_redis_leaves_the_outcome_open_and_a_repeat_tells_it(app: &mut TestApp) {
        let campaign = app.publish(&serde_json::json!({})).await;
        // A call of its own: what waits behind one that is under way was not sent, and is told that nothing happened.
        let other = app.publish(&serde_json::json!({})).await;
        let (_, seat) = app.opened(&campaign).await;
        let (joiner, opener) = (app.shopper("Joiner").await, app.shopper("Opener").await);
        app.redis.stop();
        let (join, open) = tokio::join!(app.join(&joiner, &seat.room).try_send(), app.open(&opener, &other).key("frozen").try_send());
        for answer in [join.expect("join"), open.expect("open")] {
            answer.refused(503, "outcome_unknown");
        }
        app.redis.cont();
        let mut answered = None;
        within(10, "the repeat is answered", async || {
            let answer = app.join(&joiner, &seat.room).await;
            let done = answer.status != 503;
            answered = done.then_some(answer);
            done
        })
        .await;
        let second_seat = answered.expect("answer").seat();
        assert_eq!(second_seat, app.join(&joiner, &seat.room).await.expect(200).seat());
        let own_room = app.open(&opener, &other).key("frozen").await.seat();
        assert_eq!(own_room, app.open(&opener, &other).key("frozen").await.seat());
        app.wait_until_projected().await;
        assert_eq!(app.room(&seat.room).await["seats_taken"], 2);
        let sold = (app.stock(&campaign).await, app.stock(&other).await);
        assert_eq!(sold, ((98, 2, 0), (99, 1, 0)), "three seats, none twice");
    }

    /// More than one call holds: the rest was never sent.
    async fn what_waited_for_a_frozen_redis_did_not_happen(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(3, 1000, &serde_json::json!({}))).await;
        let shoppers = app.shoppers(160).await;
        app.redis.stop();
        let answers = join_all(shoppers.iter().map(|shopper| app.open(shopper, &campaign).try_send())).await;
        app.redis.cont();
        within(10, "it serves again", async || app.get(&format!("/v1/campaigns/{campaign}/rooms")).await.status == 200).await;
        app.wait_until_projected().await;
        let (mut unknown, mut waited) = (0, 0);
        for (shopper, answer) in shoppers.iter().zip(answers) {
            let answer = answer.expect("an answer");
            assert_eq!(answer.status, 503, "{}", answer.text);
            match answer.code() {
                "outcome_unknown" => unknown += 1,
                "recovering" => {
                    waited += 1;
                    let orders = app.get("/v1/me/orders").by(shopper).await.expect(200);
                    assert_eq!(orders.json["items"], serde_json::json!([]), "told that nothing happened");
                }
                other => panic!("{other}"),
            }
        }
        assert!(unknown > 0 && waited >= 160 - 128, "{unknown} unknown, {waited} waited");
    }

    async fn idle_campaigns_recover_before_anybody_asks(app: &mut TestApp) {
        const BEHIND: &str = "SELECT COUNT(*) FROM cursors WHERE epoch < 2 OR state <> 'serving'";
        let campaign = app.publish(&serde_json::json!({})).await;
        let ada = app.shopper("Ada").await;
        app.redis.restart().await;
        within(10, "it is served again", async || fetch_one!(app.store(), (i64,), BEHIND).unwrap() == (0,)).await;
        app.wait_until_ready().await;
        app.open(&ada, &campaign).await.expect(201);
    }

    async fn without_sql_seats_go_on_for_a_while_and_money_waits(app: &mut TestApp) {
        let limits = serde_json::json!({"limits": {"orders_per_user": 50, "rooms_opened_per_user": 50, "unpaid_per_user": 50}});
        let campaign = app.publish(&limits).await;
        let (payer, seat) = app.opened(&campaign).await;
        let (joiner, late) = (app.shopper("Joiner").await, app.shopper("Late").await);
        app.open(&joiner, &campaign).await.expect(201);
        app.wait_until_projected().await;
        let sql = hold_sql(app.store()).await;
        app.join(&joiner, &seat.room).await.expect(201);
        let began = std::time::Instant::now();
        let money = app.ask_payment(&payer, &seat.order).await;
        money.refused(503, "outcome_unknown");
        assert!(began.elapsed() < Duration::from_secs(20), "an answer within the time a client waits");
        let mut refused = None;
        within(15, "no more seats are given out when SQL is too far behind", async || {
            let answer = app.open(&joiner, &campaign).await;
            let over = answer.status == 503;
            refused = over.then_some(answer);
            over
        })
        .await;
        refused.expect("answer").refused(503, "overloaded");
        sql.rollback().await.expect("let go");
        app.wait_until_projected().await;
        app.ask_payment(&payer, &seat.order).await.expect(200);
        app.pay(&payer, &seat.order).await.expect(200);
        app.open(&late, &campaign).await.expect(201);
    }

    /// Redis refuses a command in the middle of a batch's writes, after its log entry: the rows are half written, the entry is whole.
    async fn a_batch_that_breaks_off_after_its_entry_is_finished_from_the_log(app: &mut TestApp) {
        let campaign = app.publish(&serde_json::json!({})).await;
        let opener = app.shopper("Opener").await;
        let mut redis = app.redis_connection().await;
        let acl = async |redis: &mut redis::aio::MultiplexedConnection, rule: &str| {
            redis::cmd("ACL").arg("SETUSER").arg("default").arg(rule).query_async::<()>(redis).await.expect("ACL");
        };
        acl(&mut redis, "-zadd").await;
        app.open(&opener, &campaign).key("half").try_send().await.expect("answer").refused(503, "outcome_unknown");
        acl(&mut redis, "+zadd").await;
        let mut answered = None;
        within(20, "the campaign serves again", async || {
            let answer = app.open(&opener, &campaign).key("half").await;
            let done = answer.status != 503;
            answered = done.then_some(answer);
            done
        })
        .await;
        answered.expect("answer").expect(201);
        app.wait_until_projected().await;
        assert_eq!(app.stock(&campaign).await, (99, 1, 0), "one seat");
        let report = app.post(&format!("/operator/v1/campaigns/{campaign}/audit")).admin().await.expect(200);
        assert_eq!(report.json["ok"], true, "{}", report.json);
    }
}
