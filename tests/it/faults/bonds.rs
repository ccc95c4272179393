//! Who was invited by whom, and who ever invited, is known again after Redis has lost it: no bond closes a circle then.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Shopper, TestApp, programme, served, within};

/// The answer to a bind, once the campaign is served again.
async fn bound(app: &TestApp, campaign: &str, shopper: &Shopper, code: &str) -> (u16, Value) {
    let mut last = None;
    within(20, "it is served again", async || match app.bind(shopper, campaign, code).try_send().await {
        Ok(answer) if answer.status < 500 => {
            last = Some((answer.status, answer.json["code"].clone()));
            true
        }
        Ok(_) | Err(_) => false,
    })
    .await;
    last.expect("an answer")
}

/// Ada invited Bob, whose bond was cut since, and Carl; `lose` then does something to Redis' files.
async fn circles_are_seen_after(app: &mut TestApp, lose: impl FnOnce(&Path)) {
    let campaign = app.publish_whole(&programme(&json!({}))).await;
    let [ada, bob, carl] = [app.shopper("Ada").await, app.shopper("Bob").await, app.shopper("Carl").await];
    let code = async |shopper: &Shopper| app.code_of(shopper, &campaign).await;
    let (by_ada, by_bob, by_carl) = (code(&ada).await, code(&bob).await, code(&carl).await);
    app.wait_until_projected().await;
    let files = app.redis.data_dir().join("appendonlydir");
    let early = files.with_file_name("early");
    let copied = Command::new("cp").arg("-a").arg(&files).arg(&early).status().expect("cp");
    assert!(copied.success());
    app.bind(&bob, &campaign, &by_ada).await.expect(201);
    app.bind(&carl, &campaign, &by_bob).await.expect(201);
    app.set_bond(&campaign, &bob.user_id, &Value::Null, "Asked by phone").await.expect(200);
    app.wait_until_projected().await;
    app.redis.kill();
    fs::remove_dir_all(&files).expect("wipe");
    lose(&early);
    app.redis.restart().await;
    assert_eq!(bound(app, &campaign, &bob, &by_carl).await, (409, json!("bond_cycle")));
    app.is_sound(&campaign).await;
    app.bind(&bob, &campaign, &by_ada).await.expect(201);
    app.bind(&ada, &campaign, &by_carl).await.refused(409, "bond_cycle");
    app.is_sound(&campaign).await;
}

served! {
    async fn no_bond_closes_a_circle_in_a_campaign_rebuilt_from_sql(app: &mut TestApp) {
        circles_are_seen_after(app, |_early| ()).await;
    }

    async fn no_bond_closes_a_circle_in_a_campaign_brought_up_to_sql(app: &mut TestApp) {
        circles_are_seen_after(app, |early| fs::rename(early, early.with_file_name("appendonlydir")).expect("put back")).await;
    }
}
