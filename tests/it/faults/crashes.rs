//! Nothing that was answered is lost by a crash or a power cut, and nothing happens twice.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::ledger::{Losses, counted, epochs, missing, settle};
use super::load::Fair;
use crate::support::{Redis, TestApp, served, valkey_server};

/// The file that Redis appends to.
pub fn tail(redis: &Redis) -> PathBuf {
    let files = fs::read_dir(redis.data_dir().join("appendonlydir")).expect("append-only files").flatten().map(|file| file.path());
    files.filter(|path| path.to_string_lossy().ends_with(".incr.aof")).max().expect("an incremental file")
}

/// How long that file is.
pub fn length(redis: &Redis) -> u64 {
    fs::metadata(tail(redis)).expect("append-only file").len()
}

/// What a power cut leaves of it.
pub fn cut(redis: &Redis, at: u64) {
    File::options().write(true).open(tail(redis)).expect("append-only file").set_len(at).expect("cut the append-only file");
}

/// Waits until timers and workers have nothing more to write.
async fn quiet(redis: &Redis) -> u64 {
    let mut before = length(redis);
    loop {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let now = length(redis);
        if now == before {
            return now;
        }
        before = now;
    }
}

async fn redis_dies_under_load(app: &mut TestApp) {
    let fair = Fair::open(app).await;
    let load = fair.start(true);
    for _ in 0..2 {
        load.until_promised(80).await;
        let before = epochs(app.store()).await;
        app.redis.kill();
        tokio::time::sleep(Duration::from_millis(100)).await;
        app.redis.restart().await;
        load.until_served_after(Instant::now(), &fair.campaigns).await;
        for (campaign, epoch) in epochs(app.store()).await {
            assert!(epoch > before[&campaign], "{campaign} goes on in epoch {epoch} though Redis was restarted");
        }
    }
    settle(app, &fair, &load.finish().await).await;
    assert_eq!(counted(app.store()).await, 0);
}

/// What is answered is on disk: whatever the file holds beyond it may vanish, also in the middle of a record.
async fn power_fails(app: &mut TestApp) {
    let fair = Fair::open(app).await;
    for round in 0..3 {
        let kept = fair.warm_up().await;
        let fsynced = quiet(&app.redis).await;
        let load = fair.start(round != 1);
        load.until_promised(40).await;
        app.redis.kill();
        let written = length(&app.redis);
        let at = if round == 0 { written - 1 } else { rand::random_range(fsynced..written) };
        cut(&app.redis, at);
        app.redis.restart().await;
        load.until_served_after(Instant::now(), &fair.campaigns).await;
        let after = load.finish().await;
        settle(app, &fair, &kept).await;
        // Beyond the cut: what SQL lacks is written down, each op by its place.
        let lost = missing(app, &fair, &after).await;
        let known = Losses::read(app.store()).await;
        for promise in lost {
            assert!(promise.op == "pay" || known.tell_of(&promise), "lost and not listed: {promise:?}");
            assert!(promise.op != "pay", "a payment is lost: {promise:?}");
        }
    }
}

served! {
    async fn the_server_killed_under_load_has_lost_nothing(app: &mut TestApp) {
        let fair = Fair::open(app).await;
        let load = fair.start(true);
        for _ in 0..2 {
            load.until_promised(80).await;
            app.restart().await;
            load.until_served_after(Instant::now(), &fair.campaigns).await;
        }
        settle(app, &fair, &load.finish().await).await;
        assert_eq!(counted(app.store()).await, 0);
    }

    async fn redis_killed_under_load_has_lost_nothing(app: &mut TestApp) {
        redis_dies_under_load(app).await;
    }

    async fn a_power_cut_takes_nothing_that_was_answered(app: &mut TestApp) {
        power_fails(app).await;
    }

    async fn both_killed_at_once_have_lost_nothing(app: &mut TestApp) {
        let fair = Fair::open(app).await;
        let load = fair.start(true);
        load.until_promised(80).await;
        app.redis.kill();
        app.kill();
        app.redis.restart().await;
        app.restart().await;
        load.until_served_after(Instant::now(), &fair.campaigns).await;
        settle(app, &fair, &load.finish().await).await;
    }

    async fn valkey_killed_under_load_has_lost_nothing(app: &mut TestApp) {
        app.redis = Redis::start_with(&valkey_server(), &[]).await;
        app.restart().await;
        redis_dies_under_load(app).await;
    }

    async fn a_power_cut_of_valkey_takes_nothing_that_was_answered(app: &mut TestApp) {
        app.redis = Redis::start_with(&valkey_server(), &[]).await;
        app.restart().await;
        power_fails(app).await;
    }
}
