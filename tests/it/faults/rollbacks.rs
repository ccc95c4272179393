//! SQL is rolled back to an older copy while Redis went on.

use std::time::Duration;

use liebian::store::{Store, execute, fetch_all};

use super::ledger::{epochs, missing, settle};
use super::load::Fair;
use crate::support::{hot_key, served, within};

/// Runs a statement on each table that the log moves.
macro_rules! on_every_table {
    ($tx:expr, $before:literal, $between:literal, $after:literal) => {
        on_every_table!(@ $tx, $before, $between, $after, cursors log_entries epochs lost_ops parked_events rooms orders stock
                        payment_requests payments refunds closings)
    };
    (@ $tx:expr, $before:literal, $between:literal, $after:literal, $($table:ident)*) => {
        $(execute!($tx, concat!($before, stringify!($table), $between, stringify!($table), $after)).expect(stringify!($table));)*
    };
}

/// Copies the tables aside.
async fn back_up(store: &Store) {
    let mut tx = store.begin().await.expect("begin");
    on_every_table!(&mut tx, "CREATE TABLE kept_", " AS SELECT * FROM ", "");
    tx.commit().await.expect("commit");
}

/// Makes the tables what they were.
async fn roll_back(store: &Store) {
    let mut tx = store.begin().await.expect("begin");
    on_every_table!(&mut tx, "DELETE FROM ", " WHERE 'no alias of ' <> '", "'");
    on_every_table!(&mut tx, "INSERT INTO ", " SELECT * FROM kept_", "");
    tx.commit().await.expect("commit");
}

async fn state(store: &Store, campaign: &str) -> (String, i64) {
    fetch_all!(store, (String, i64), "SELECT state, seq FROM cursors WHERE campaign_id = $1", campaign).expect("cursor")[0].clone()
}

served! {
    async fn sql_rolled_back_gets_the_log_again(app: &mut TestApp) {
        let fair = Fair::open(app).await;
        let mut promises = fair.warm_up().await;
        app.wait_until_projected().await;
        app.stop().await;
        back_up(app.store()).await;
        app.restart().await;
        let load = fair.start(false);
        load.until_promised(60).await;
        promises.extend(load.finish().await);
        app.wait_until_projected().await;
        app.kill();
        roll_back(app.store()).await;
        app.restart().await;
        let load = fair.start(true);
        load.until_promised(40).await;
        promises.extend(load.finish().await);
        settle(app, &fair, &promises).await;
    }

    async fn sql_rolled_back_behind_a_cut_log_freezes_the_campaign_until_it_is_rebuilt(app: &mut TestApp) {
        app.expect_error("campaign is frozen");
        app.expect_error("does not follow from SQL");
        let fair = Fair::open(app).await;
        let before = fair.warm_up().await;
        app.wait_until_projected().await;
        app.stop().await;
        back_up(app.store()).await;
        app.restart().await;
        let load = fair.start(false);
        load.until_promised(60).await;
        load.finish().await;
        app.wait_until_projected().await;
        app.kill();
        let mut redis = app.redis_connection().await;
        let mut heads = Vec::new();
        for campaign in &fair.campaigns {
            let head: i64 = redis::cmd("HGET").arg(hot_key(campaign, "meta")).arg("seq").query_async(&mut redis).await.expect("head");
            let _: i64 = redis::cmd("XTRIM").arg(hot_key(campaign, "log")).arg("MAXLEN").arg(1).query_async(&mut redis).await.expect("trim");
            heads.push(head);
        }
        roll_back(app.store()).await;
        app.restart().await;
        for (campaign, head) in fair.campaigns.iter().zip(heads) {
            within(15, "the campaign is frozen", async || state(app.store(), campaign).await.0 == "frozen").await;
            app.open(&app.shopper("Late").await, campaign).await.refused(503, "recovering");
            let kept: i64 = redis::cmd("HGET").arg(hot_key(campaign, "meta")).arg("seq").query_async(&mut redis).await.expect("head");
            assert_eq!(kept, head, "nothing was wiped");
            let mut command = app.spawn(&["rebuild", campaign]);
            let done = tokio::task::spawn_blocking(move || command.wait()).await.expect("join").expect("rebuild");
            assert!(done.success(), "rebuild: {done}");
        }
        let load = fair.start(true);
        load.until_served_after(std::time::Instant::now(), &fair.campaigns).await;
        let after = load.finish().await;
        assert!(missing(app, &fair, &before).await.is_empty());
        assert!(missing(app, &fair, &after).await.is_empty());
        tokio::time::sleep(Duration::from_millis(1)).await;
        epochs(app.store()).await;
    }
}
