//! By which bond an order earns: clocks that differ, bonds that were replaced or cut since, people who were erased.

use liebian::store::execute;
use redis::AsyncCommands;
use serde_json::{Value, json};

use crate::support::{Shopper, TestApp, from_now, hot_key, one_level, patched, programme, served, served_once, with};

/// The shop reports a new order; who earns by it, level 1 and level 2.
async fn earners(app: &TestApp, buyer: &Shopper, number: &str, patch: &Value) -> (Value, Value) {
    let report = patched(json!({"number": number, "user_id": buyer.user_id, "amount_fen": 10_000, "state": "paid"}), patch);
    let order = app.post("/operator/v1/outside_orders").admin().json(report).await.expect(201).json;
    (order["referral"]["level1_user_id"].clone(), order["referral"]["level2_user_id"].clone())
}

fn hot(shopper: &Shopper) -> &str {
    shopper.user_id.trim_start_matches("usr_")
}

/// Changes a bond in hot state, behind everybody's back.
async fn meddle(app: &TestApp, campaign: &str, (from, to): (&Shopper, &Shopper), change: impl FnOnce(&mut Vec<u8>)) {
    let (mut redis, bonds) = (app.redis_connection().await, hot_key(campaign, "bonds"));
    let mut row: Vec<u8> = redis.hget(&bonds, hot(from)).await.unwrap();
    change(&mut row);
    let _new: i64 = redis.hset(&bonds, hot(to), row).await.unwrap();
}

async fn erase(app: &TestApp, shopper: &Shopper) {
    app.post(&format!("/operator/v1/users/{}/erase", shopper.user_id)).admin().await.expect(200);
}

served! {
    async fn a_bond_counts_though_redis_clock_is_ahead(app: &mut TestApp) {
        let campaign = app.publish_whole(&programme(&json!({}))).await;
        let tea = app.publish_whole(&with(2, 50, &json!({"orders_per_user": 9}))).await;
        let line = app.line_of(&campaign, 3).await;
        // As if Redis' clock were a minute ahead of this node's: the first number of a bond is when it was made, in six bytes.
        for bound in &line[1..] {
            meddle(app, &campaign, (bound, bound), |row| {
                let at = row[..6].iter().fold(0_u64, |at, byte| at * 256 + u64::from(*byte)) + 60_000;
                row[..6].copy_from_slice(&at.to_be_bytes()[2..]);
            })
            .await;
        }
        let both = (json!(line[1].user_id), json!(line[0].user_id));
        let seat = app.open(&line[2], &tea).await.expect(201).seat();
        app.pay(&line[2], &seat.order).await.expect(200);
        assert_eq!((app.rewards_of(&line[1]).await.len(), app.rewards_of(&line[0]).await.len()), (1, 1));
        assert_eq!(earners(app, &line[2], "now", &json!({})).await, both);
        assert_eq!(earners(app, &line[2], "soon", &json!({"occurred_at": from_now(100)})).await, both, "a time ahead is now");
    }

    async fn an_order_made_elsewhere_earns_by_the_bond_that_stood_then(app: &mut TestApp) {
        let rules = json!({"bond": {"newcomers_only": false, "touch": "last"}});
        let campaign = app.publish_whole(&programme(&rules)).await;
        let [ada, bob, carl, dora] = [app.shopper("Ada").await, app.shopper("Bob").await, app.shopper("Carl").await, app.shopper("Dora").await];
        app.bound(&campaign, &dora, &ada).await;
        app.bound(&campaign, &ada, &carl).await;
        app.advance(1_000).await;
        app.bound(&campaign, &bob, &carl).await;
        app.advance(1_000).await;
        app.set_bond(&campaign, &carl.user_id, &Value::Null, "asked").await.expect(200);
        app.set_bond(&campaign, &ada.user_id, &Value::Null, "asked").await.expect(200);
        app.advance(1_000).await;
        app.bound(&campaign, &dora, &carl).await;
        let at = async |seconds: i64| earners(app, &carl, &format!("at {seconds}").replace(' ', "-"), &json!({"occurred_at": from_now(seconds)})).await;
        assert_eq!(at(-10).await, (Value::Null, Value::Null), "before any");
        assert_eq!(at(500).await, (json!(ada.user_id), json!(dora.user_id)), "replaced since");
        assert_eq!(at(1_500).await, (json!(bob.user_id), Value::Null), "cut since");
        assert_eq!(at(2_500).await, (Value::Null, Value::Null), "none stood");
        assert_eq!(earners(app, &carl, "now", &json!({})).await, (json!(dora.user_id), Value::Null));
        app.is_sound(&campaign).await;
    }

    async fn a_bond_that_had_run_out_counts_up_to_then(app: &mut TestApp) {
        let rules = json!({"bond": {"newcomers_only": false, "touch": "last", "expires_after_seconds": 600}});
        let campaign = app.publish_whole(&one_level(&rules)).await;
        let [ada, bob, carl] = [app.shopper("Ada").await, app.shopper("Bob").await, app.shopper("Carl").await];
        app.bound(&campaign, &ada, &carl).await;
        app.advance(1_000).await;
        app.bound(&campaign, &bob, &carl).await;
        let at = async |seconds: i64| earners(app, &carl, &format!("at-{seconds}"), &json!({"occurred_at": from_now(seconds)})).await.0;
        assert_eq!((at(300).await, at(800).await), (json!(ada.user_id), Value::Null));
        app.advance(1_000).await;
        assert_eq!((at(1_300).await, at(1_800).await), (json!(bob.user_id), Value::Null));
        let events = app.get("/operator/v1/events?limit=200").admin().await.expect(200).json;
        let bound = events["items"].as_array().unwrap().iter().find(|event| event["event"] == "referral.bound").unwrap();
        let lasts = crate::support::time_of(&bound["data"]["expires_at"]).get() - crate::support::time_of(&bound["at"]).get();
        assert_eq!(lasts, 600_000);
    }

    async fn who_was_erased_binds_nobody_and_earns_nothing(app: &mut TestApp) {
        let campaign = app.publish_whole(&programme(&json!({}))).await;
        let [ada, bob, carl, dora] = app.line_of_four(&campaign).await;
        let code = app.code_of(&bob, &campaign).await;
        erase(app, &bob).await;
        let late = app.shopper("Late").await;
        for _again in 0..2 {
            app.bind(&late, &campaign, &code).await.refused(404, "not_found");
            app.set_bond(&campaign, &late.user_id, &json!(bob.user_id), "why not").await.refused(404, "not_found");
            let number = fresh_number();
            assert_eq!(earners(app, &dora, &number, &json!({})).await, (json!(carl.user_id), Value::Null), "level 2 is gone");
            assert_eq!(earners(app, &carl, &format!("{number}-1"), &json!({})).await, (Value::Null, Value::Null), "and so is level 1");
            app.restart().await;
        }
        assert_eq!(app.rewards_of(&ada).await, [], "nobody takes their place");
        app.set_bond(&campaign, &bob.user_id, &Value::Null, "erased").await.expect(200);
        app.is_sound(&campaign).await;
    }

    async fn nobody_earns_by_their_own_order(app: &mut TestApp) {
        let campaign = app.publish_whole(&programme(&json!({}))).await;
        let line = app.line_of(&campaign, 2).await;
        // As if both bonds were read while they changed: the buyer's inviter is bound to the buyer.
        meddle(app, &campaign, (&line[1], &line[0]), |row| {
            let inviter = hot(&line[0]).as_bytes();
            let place = row.windows(inviter.len()).position(|part| part == inviter).unwrap();
            row[place..place + inviter.len()].copy_from_slice(hot(&line[1]).as_bytes());
        })
        .await;
        assert_eq!(earners(app, &line[1], "1", &json!({})).await, (json!(line[0].user_id), Value::Null));
    }
}

/// A number that no order has yet.
fn fresh_number() -> String {
    format!("SO-{}", crate::support::unique())
}

served_once! {
    async fn programmes_beyond_those_looked_through_are_warned_of(app: &mut TestApp) {
        const MORE: &str = "INSERT INTO campaigns (id, kind, title, state, definition, version, starts_at, ends_at, created_at, updated_at) \
                            SELECT $1, kind, title, state, definition, version, starts_at, ends_at, created_at, updated_at FROM campaigns WHERE id = $2";
        let first = app.publish_whole(&one_level(&json!({}))).await;
        let draft = app.draft(&one_level(&json!({}))).await;
        let warned = async || {
            let report = app.post(&format!("/operator/v1/campaigns/{draft}/check")).admin().await.expect(200).json;
            report["warnings"].as_array().unwrap().iter().any(|warning| warning["code"] == "too_many_programmes")
        };
        assert!(!warned().await);
        for number in 0..98 {
            execute!(app.store(), MORE, format!("cmp_zzzzzz{number:02}"), &first).unwrap();
        }
        let said = || app.log().matches("more referral campaigns are live").count();
        app.step(&first, "pause").await.expect(200);
        app.step(&first, "resume").await.expect(200);
        assert!(!warned().await, "99 are live");
        execute!(app.store(), MORE, "cmp_zzzzzz98", &first).unwrap();
        app.step(&first, "pause").await.expect(200);
        app.step(&first, "resume").await.expect(200);
        assert!(warned().await);
        assert_eq!(said(), 0, "100 are looked through");
        for number in 0..2 {
            execute!(app.store(), MORE, format!("cmp_yyyyyy{number:02}"), &first).unwrap();
            app.step(&first, "pause").await.expect(200);
            app.step(&first, "resume").await.expect(200);
        }
        crate::support::within(5, "it is said once", async || said() == 1).await;
        execute!(app.store(), "UPDATE campaigns SET state = 'ended' WHERE id LIKE 'cmp_zzzzzz%' OR id LIKE 'cmp_yyyyyy%'").unwrap();
    }
}
