//! Two servers on one Redis and one Postgres.

use std::time::{Duration, Instant};

use super::ledger::{Losses, counted, epochs, missing, settle};
use super::load::Fair;
use super::losses::ahead_of_sql;
use crate::support::{Db, Second, Setup, TestApp};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_frozen_while_another_recovers_breaks_nothing_when_it_wakes() {
    let mut app = TestApp::start(Db::postgres().await, Setup::default()).await;
    let second = Second::start(&app).await;
    let fair = Fair::open(&app).await.at(&second.base);
    let load = fair.start(true);
    for round in [0, 2, 3] {
        load.until_promised(60).await;
        if round < 2 {
            // In the middle of traffic.
            app.freeze();
            app.redis.restart().await;
        } else {
            // Somewhere in its recovery.
            app.redis.restart().await;
            tokio::time::sleep(Duration::from_millis(rand::random_range(0..40) + 200 * (round - 2))).await;
            app.freeze();
        }
        // What a frozen process holds in Postgres is let go of after some seconds, and its recovery is taken over after some more.
        load.until_served_within(25, Instant::now(), &fair.campaigns).await;
        app.thaw();
        load.until_promised(40).await;
    }
    let promises = load.finish().await;
    settle(&app, &fair, &promises).await;
    for (campaign, epoch) in epochs(app.store()).await {
        assert!(epoch > 3, "{campaign} is in epoch {epoch}");
    }
    for base in [&app.base, &second.base] {
        let answer = app.http.get(format!("{base}/v1/campaigns/{}", fair.campaigns[0])).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "both serve");
    }
    drop(second);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_either_server_answered_and_redis_lost_is_listed() {
    let mut app = TestApp::start(Db::postgres().await, Setup::default()).await;
    let second = Second::start(&app).await;
    let fair = Fair::open(&app).await.at(&second.base);
    let before = fair.warm_up().await;
    app.wait_until_projected().await;
    let (sql, load) = ahead_of_sql(&app, &fair, 80).await;
    app.redis.kill();
    let held = load.abandon().await;
    std::fs::remove_dir_all(app.redis.data_dir().join("appendonlydir")).expect("wipe");
    sql.rollback().await.expect("let go");
    app.redis.restart().await;
    let load = fair.start(true);
    load.until_promised(120).await;
    let after = load.finish().await;
    assert!(missing(&app, &fair, &before).await.is_empty());
    assert!(missing(&app, &fair, &after).await.is_empty());
    let lost = missing(&app, &fair, &held).await;
    assert!(!lost.is_empty(), "SQL lagged, so something must be lost");
    let known = Losses::read(app.store()).await;
    for promise in lost {
        assert!(known.tell_of(&promise), "lost and not listed: {promise:?}");
    }
    assert_eq!(counted(app.store()).await, known.count());
    drop(second);
    app.finish().await;
}
