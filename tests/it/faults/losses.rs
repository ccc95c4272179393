//! When Redis' disk is lost, SQL wins: what it had is there, nothing is sold twice, and what is gone is counted and listed.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use liebian::store::{Store, Tx, execute};
use serde_json::json;

use super::crashes::{cut, length, tail};
use super::ledger::{Losses, counted, epochs, missing};
use super::load::{Fair, Load, Promise};
use crate::support::{Redis, Setup, TestApp, served, valkey_server, within};

/// Keeps SQL from moving on, so that Redis alone has what is answered meanwhile. Dropped, it lets go.
pub async fn hold_sql(store: &Store) -> Tx {
    let mut tx = store.begin().await.expect("the writer");
    if matches!(store, Store::Postgres(_)) {
        execute!(&mut tx, "SET LOCAL idle_in_transaction_session_timeout = 0").expect("set");
        execute!(&mut tx, "LOCK TABLE cursors, log_entries IN EXCLUSIVE MODE").expect("lock");
    }
    tx
}

/// A load of which SQL lacks at least so many answers: each projector waits for SQL with the page that it read first, and what is answered
/// after that only Redis has.
pub async fn ahead_of_sql(app: &TestApp, fair: &Arc<Fair>, answers: usize) -> (Tx, Load) {
    let sql = hold_sql(app.store()).await;
    let load = fair.start(false);
    load.until_promised(answers).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    load.until_promised(answers).await;
    (sql, load)
}

/// What was answered before must be there; what was answered while SQL stood still may be lost, but not silently.
async fn look(app: &TestApp, fair: &Fair, before: &[Promise], held: &[Promise]) -> usize {
    let gone = missing(app, fair, before).await;
    assert!(gone.is_empty(), "lost though SQL had it: {gone:?}");
    let lost = missing(app, fair, held).await;
    let known = Losses::read(app.store()).await;
    for promise in &lost {
        assert!(known.tell_of(promise), "lost and not listed: {promise:?}");
    }
    assert_eq!(counted(app.store()).await, known.count(), "counted and listed");
    lost.len()
}

/// Wipes Redis while SQL lags behind.
async fn wiped(app: &mut TestApp) {
    let fair = Fair::open(app).await;
    let before = fair.warm_up().await;
    app.wait_until_projected().await;
    let epochs_before = epochs(app.store()).await;
    let (sql, load) = ahead_of_sql(app, &fair, 60).await;
    app.redis.kill();
    let held = load.abandon().await;
    fs::remove_dir_all(app.redis.data_dir().join("appendonlydir")).expect("wipe");
    sql.rollback().await.expect("let go");
    app.redis.restart().await;
    let load = fair.start(true);
    load.until_served_after(Instant::now(), &fair.campaigns).await;
    let after = load.finish().await;
    let lost = look(app, &fair, &before, &held).await;
    assert!(lost > 0, "SQL lagged, so something must be lost");
    assert!(missing(app, &fair, &after).await.is_empty());
    for (campaign, epoch) in epochs(app.store()).await {
        assert!(epoch > epochs_before[&campaign]);
    }
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp");
    assert!(status.success());
}

/// Redis comes back with files from earlier.
async fn restored(app: &mut TestApp) {
    let fair = Fair::open(app).await;
    let mut before = fair.warm_up().await;
    app.redis.kill();
    let (files, kept) = (app.redis.data_dir().join("appendonlydir"), app.redis.data_dir().join("kept"));
    copy(&files, &kept);
    app.redis.restart().await;
    before.extend(fair.warm_up().await);
    app.wait_until_projected().await;
    let (sql, load) = ahead_of_sql(app, &fair, 40).await;
    app.redis.kill();
    let held = load.abandon().await;
    fs::remove_dir_all(&files).expect("remove");
    fs::rename(&kept, &files).expect("put back");
    sql.rollback().await.expect("let go");
    app.redis.restart().await;
    before.extend(fair.warm_up().await);
    assert!(look(app, &fair, &before, &held).await > 0, "SQL lagged, so something must be lost");
}

served! {
    async fn a_wiped_redis_is_rebuilt_from_sql(app: &mut TestApp) {
        wiped(app).await;
    }

    async fn an_old_copy_of_redis_is_brought_up_to_sql(app: &mut TestApp) {
        restored(app).await;
    }

    async fn a_redis_that_fsyncs_late_loses_at_most_what_sql_lacks(app: &mut TestApp) {
        app.redis = Redis::start_with(Path::new("redis-server"), &[("appendfsync", "everysec")]).await;
        app.restart_with(Setup { env: vec![("LIEBIAN_ACCEPT_WEAK_REDIS", "true".to_owned())], ..Setup::default() }).await;
        let fair = Fair::open(app).await;
        let early = length(&app.redis);
        let before = fair.warm_up().await;
        app.wait_until_projected().await;
        let (sql, load) = ahead_of_sql(app, &fair, 60).await;
        app.redis.kill();
        let held = load.abandon().await;
        cut(&app.redis, rand::random_range(early..length(&app.redis)));
        sql.rollback().await.expect("let go");
        app.redis.restart().await;
        let after = fair.warm_up().await;
        look(app, &fair, &before, &held).await;
        assert!(missing(app, &fair, &after).await.is_empty());
    }

    /// Redis 7.0 keeps the beginning of a torn transaction in its file, and the start after next would run it.
    async fn a_torn_transaction_does_not_come_back(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (first, lost, other) = (app.shopper("First").await, app.shopper("Lost").await, app.shopper("Other").await);
        app.wait_until_projected().await;
        let sql = hold_sql(app.store()).await;
        // The projector has read this one, and waits for SQL with it; what follows only Redis has.
        app.open(&first, &campaign).await.expect(201);
        tokio::time::sleep(Duration::from_millis(500)).await;
        app.open(&lost, &campaign).await.expect(201);
        app.redis.kill();
        // Into the last row of the transaction, past the end of its first ones.
        let bytes = fs::read(tail(&app.redis)).expect("append-only file");
        let end = bytes.windows(14).rposition(|window| window == b"*1\r\n$4\r\nEXEC\r\n").expect("a transaction");
        cut(&app.redis, u64::try_from(end).expect("small") - 5);
        sql.rollback().await.expect("let go");
        for _ in 0..2 {
            app.redis.restart().await;
            within(15, "the campaign serves again", async || app.open(&other, &campaign).key("other").await.status == 201).await;
            app.wait_until_projected().await;
        }
        let report = app.post(&format!("/operator/v1/campaigns/{campaign}/audit")).admin().await.expect(200);
        assert_eq!(report.json["ok"], true, "{}", report.text);
        assert_eq!(counted(app.store()).await, 1, "the lost room is counted");
    }

    async fn a_wiped_valkey_is_rebuilt_from_sql(app: &mut TestApp) {
        app.redis = Redis::start_with(&valkey_server(), &[]).await;
        app.restart().await;
        wiped(app).await;
    }
}
