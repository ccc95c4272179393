//! What crosses campaigns: who earns by an order, from the moment it is placed to the reward.

use futures_util::future::join_all;
use liebian::store::{execute, fetch_all, fetch_one};
use serde_json::{Value, json};

use crate::support::{Seat, Shopper, TestApp, bargain, one_level, patched, programme, served, served_once, with};

/// Pairs of `tea` at 49.50 yuan a seat.
async fn pairs(app: &TestApp) -> String {
    app.publish_whole(&with(
        2,
        50,
        &json!({"rooms_opened_per_user": 9, "orders_per_user": 9, "unpaid_per_user": 9, "users_per_device": 99}),
    ))
    .await
}

/// This shopper leads a room for two that has formed.
async fn formed_by(app: &TestApp, shopper: &Shopper, campaign: &str) -> Seat {
    let seat = app.open(shopper, campaign).await.expect(201).seat();
    app.pay(shopper, &seat.order).await.expect(200);
    app.joined_and_paid(&seat.room).await;
    seat
}

fn reward(order: &str, level: i64, fen: i64, back: i64, state: &str) -> (String, i64, i64, i64, String) {
    (order.to_owned(), level, fen, back, state.to_owned())
}

async fn fulfil(app: &TestApp, order: &str) {
    app.operate(order, "fulfil", &json!({})).await.expect(200);
}

async fn outside(app: &TestApp, user: &Shopper, number: &str, patch: &Value) -> Value {
    let body = patched(json!({"number": number, "user_id": user.user_id, "amount_fen": 10_000, "state": "paid"}), patch);
    let answer = app.post("/operator/v1/outside_orders").admin().json(body).await;
    assert!([200, 201].contains(&answer.status), "{}", answer.text);
    answer.json
}

/// How many bonds this server has looked up for orders; 0 while none.
async fn looked_up(app: &TestApp) -> u64 {
    let figures = app.get("/metrics").await.expect(200).text;
    let line = figures.lines().find(|line| line.starts_with("liebian_bonds_looked_up_total "));
    line.map_or(0, |line| line.split(' ').nth(1).unwrap().parse().unwrap())
}

/// Number, refunded, state of every sale.
async fn sales(app: &TestApp) -> Vec<(String, i64, String)> {
    fetch_all!(app.store(), (String, i64, String), "SELECT number, refunded_fen, state FROM sales ORDER BY placed_at, number LIMIT 100")
        .unwrap()
}

served! {
    async fn an_order_pays_two_levels_after_fulfilment_and_freeze_and_never_a_third(app: &mut TestApp) {
        let (campaign, tea) = (app.publish_whole(&programme(&json!({}))).await, pairs(app).await);
        let line = app.line_of(&campaign, 4).await;
        let [a, b, c, d] = &line[..] else { panic!("four") };
        let seat = app.open(d, &tea).await.expect(201).seat();
        assert_eq!(app.rewards_of(c).await, [], "nothing is earned by an order that is not paid");
        app.pay(d, &seat.order).json(json!({"notify": "twice"})).await.expect(200);
        assert_eq!(app.rewards_of(c).await, [reward(&seat.order, 1, 495, 0, "frozen")]);
        assert_eq!(app.rewards_of(b).await, [reward(&seat.order, 2, 148, 0, "frozen")]);
        app.joined_and_paid(&seat.room).await;
        app.advance(7200).await;
        assert_eq!(app.rewards_of(c).await, [reward(&seat.order, 1, 495, 0, "frozen")], "nothing ripens before the goods are handed over");
        fulfil(app, &seat.order).await;
        app.advance(3590).await;
        assert_eq!(app.rewards_of(c).await, [reward(&seat.order, 1, 495, 0, "frozen")]);
        app.advance(11).await;
        assert_eq!(app.rewards_of(c).await, [reward(&seat.order, 1, 495, 0, "available")]);
        assert_eq!(app.rewards_of(b).await, [reward(&seat.order, 2, 148, 0, "available")]);
        assert_eq!((app.rewards_of(a).await, app.rewards_of(d).await), (vec![], vec![]));

        // Operators see by what; the shopper who bought does not.
        let path = format!("/operator/v1/campaigns/{tea}/orders?user_id={}", d.user_id);
        assert_eq!(app.get(&path).admin().await.expect(200).at("/items/0/referral_campaign_id"), campaign);
        assert!(app.order(d, &seat.order).await.get("referral_campaign_id").is_none());
        let list = app.get("/operator/v1/sales").admin().await.expect(200).json;
        assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
        let sale = &list["items"][0];
        assert_eq!((&sale["number"], &sale["state"], &sale["buyer_id"]), (&json!(seat.order), &json!("done"), &json!(d.user_id)));
        assert_eq!((&sale["level1_user_id"], &sale["level2_user_id"]), (&json!(c.user_id), &json!(b.user_id)));
        let feed = app.get("/operator/v1/events").admin().await.expect(200).json;
        let told = feed["items"].as_array().unwrap().iter().find(|event| event["event"] == "order.held" && event["data"]["order_id"] == *seat.order);
        let referral = json!({"campaign_id": campaign, "definition_version": 1, "level1_user_id": c.user_id, "level2_user_id": b.user_id});
        assert_eq!(told.unwrap()["data"]["referral"], referral);
        app.audited(&tea).await;
        app.audited(&campaign).await;
    }

    async fn who_earns_does_not_move_once_the_order_is_placed(app: &mut TestApp) {
        let rules = json!({"levels": [{"fixed_fen": 300}], "bond": {"newcomers_only": false, "touch": "last"}});
        let (campaign, tea) = (app.publish_whole(&one_level(&rules)).await, pairs(app).await);
        let [ada, bob, carl] = [app.shopper("Ada").await, app.shopper("Bob").await, app.shopper("Carl").await];
        let before = app.open(&carl, &tea).await.expect(201).seat();
        app.bound(&campaign, &ada, &carl).await;
        let seat = app.open(&carl, &tea).await.expect(201).seat();
        app.bound(&campaign, &bob, &carl).await;
        let later = app.open(&carl, &tea).await.expect(201).seat();
        app.step(&campaign, "end").await.expect(200);
        let ended = app.open(&carl, &tea).await.expect(201).seat();
        for order in [&before, &seat, &later, &ended] {
            app.pay(&carl, &order.order).await.expect(200);
            app.joined_and_paid(&order.room).await;
            fulfil(app, &order.order).await;
        }
        app.advance(3601).await;
        assert_eq!(app.rewards_of(&ada).await, [reward(&seat.order, 1, 300, 0, "available")]);
        assert_eq!(app.rewards_of(&bob).await, [reward(&later.order, 1, 300, 0, "available")]);
        assert_eq!(sales(app).await.len(), 2, "neither the order before the bond nor the one after the end");
    }

    async fn what_goes_back_takes_its_part_of_the_reward_along(app: &mut TestApp) {
        let (campaign, tea) = (app.publish_whole(&one_level(&json!({}))).await, pairs(app).await);
        let line = app.line_of(&campaign, 2).await;
        let seat = formed_by(app, &line[1], &tea).await;
        app.operate(&seat.order, "refund", &json!({"amount_fen": 990, "reason": "broken"})).await.expect(200);
        assert_eq!(app.rewards_of(&line[0]).await, [reward(&seat.order, 1, 495, 99, "frozen")]);
        app.operate(&seat.order, "refund", &json!({"amount_fen": 1, "reason": "rounding"})).await.expect(200);
        assert_eq!(app.rewards_of(&line[0]).await, [reward(&seat.order, 1, 495, 99, "frozen")]);
        fulfil(app, &seat.order).await;
        app.advance(3601).await;
        assert_eq!(app.rewards_of(&line[0]).await, [reward(&seat.order, 1, 495, 99, "available")]);
        app.operate(&seat.order, "refund", &json!({"reason": "all of it"})).await.expect(200);
        assert_eq!(app.rewards_of(&line[0]).await, [reward(&seat.order, 1, 495, 495, "reversed")]);
        app.audited(&campaign).await;
    }

    async fn a_room_that_fails_and_a_ladder_take_back_what_they_cost(app: &mut TestApp) {
        let campaign = app.publish_whole(&one_level(&json!({}))).await;
        let line = app.line_of(&campaign, 2).await;
        let mut ladder = with(3, 50, &json!({"rooms_opened_per_user": 9, "orders_per_user": 9, "users_per_device": 99}));
        ladder["items"][0]["tiers"] = json!([{"size": 2, "price_fen": 5000}, {"size": 3, "price_fen": 4000}]);
        ladder["room_ttl_seconds"] = json!(600);
        let tea = app.publish_whole(&ladder).await;
        let alone = app.open(&line[1], &tea).await.expect(201).seat();
        app.pay(&line[1], &alone.order).await.expect(200);
        app.advance(601).await;
        app.until_state(&line[1], &alone.order, "refunded").await;
        let failed = reward(&alone.order, 1, 500, 500, "reversed");
        assert_eq!(app.rewards_of(&line[0]).await, std::slice::from_ref(&failed));
        let seat = app.open(&line[1], &tea).await.expect(201).seat();
        app.pay(&line[1], &seat.order).await.expect(200);
        for _ in 0..2 {
            app.joined_and_paid(&seat.room).await;
        }
        assert_eq!(app.rewards_of(&line[0]).await, [failed, reward(&seat.order, 1, 500, 100, "frozen")], "a fifth of the price went back");
        app.audited(&campaign).await;
        app.audited(&tea).await;
    }

    async fn every_kind_of_order_earns_and_rates_may_be_an_items_own(app: &mut TestApp) {
        let rules = json!({"sku_overrides": [{"sku": "cream", "levels": [{"fixed_fen": 50}, {"fixed_fen": 20}]}], "acknowledge_level_two": true});
        let campaign = app.publish_whole(&one_level(&rules)).await;
        let line = app.line_of(&campaign, 3).await;
        let mut definition = with(2, 50, &json!({"orders_per_user": 9}));
        definition["items"][0]["solo_price_fen"] = json!(8000);
        let tea = app.publish_whole(&definition).await;
        let solo = app.post(&format!("/v1/campaigns/{tea}/solo_orders")).by(&line[2]).json(json!({"sku": "tea", "quantity": 1})).await.expect(201);
        let solo = solo.at("/order/id");
        app.pay(&line[2], &solo).await.expect(200);
        let (_, seat) = app.opened(&tea).await;
        let joined = app.join(&line[2], &seat.room).await.expect(201).seat();
        app.pay(&line[2], &joined.order).await.expect(200);
        let creams = app.publish_whole(&bargain(&json!({}))).await;
        let chain = app.start_chain(&line[2], &creams).await.expect(201).at("/chain/id");
        let bought = app.order_chain(&line[2], &chain).await.expect(201).at("/order/id");
        app.order_chain(&line[2], &chain).await.expect(200);
        app.pay(&line[2], &bought).await.expect(200);
        outside(app, &line[2], "S-1", &json!({"sku": "cream"})).await;
        let mut earned = vec![
            reward(&solo, 1, 800, 0, "frozen"),
            reward(&joined.order, 1, 495, 0, "frozen"),
            reward(&bought, 1, 50, 0, "frozen"),
            reward("S-1", 1, 50, 0, "frozen"),
        ];
        // Sales that are told at once are told in any order.
        let mut told = app.rewards_of(&line[1]).await;
        told.sort();
        earned.sort();
        assert_eq!(told, earned);
        let mut second = app.rewards_of(&line[0]).await;
        second.sort();
        assert_eq!(second, [reward("S-1", 2, 20, 0, "frozen"), reward(&bought, 2, 20, 0, "frozen")]);
    }

    async fn an_order_pays_in_the_campaign_of_its_buyers_oldest_bond(app: &mut TestApp) {
        let tea = pairs(app).await;
        let young = app.publish_whole(&one_level(&json!({}))).await;
        let old = app.publish_whole(&one_level(&json!({"levels": [{"basis_points": 500}]}))).await;
        let elsewhere = app.publish_whole(&one_level(&json!({"orders_from": ["outside"], "levels": [{"basis_points": 100}]}))).await;
        let [ada, bob, carl, buyer] =
            [app.shopper("Ada").await, app.shopper("Bob").await, app.shopper("Carl").await, app.shopper("Dora").await];
        app.bound(&elsewhere, &carl, &buyer).await;
        app.bound(&old, &ada, &buyer).await;
        app.bound(&young, &bob, &buyer).await;
        let first = formed_by(app, &buyer, &tea).await;
        outside(app, &buyer, "S-1", &json!({})).await;
        app.step(&old, "pause").await.expect(200);
        let second = formed_by(app, &buyer, &tea).await;
        app.step(&old, "resume").await.expect(200);
        let third = formed_by(app, &buyer, &tea).await;
        let mine = [reward(&first.order, 1, 247, 0, "frozen"), reward(&third.order, 1, 247, 0, "frozen")];
        assert_eq!(app.rewards_of(&ada).await, mine, "the oldest of those that take such orders");
        assert_eq!(app.rewards_of(&bob).await, [reward(&second.order, 1, 495, 0, "frozen")], "while the other was paused");
        assert_eq!(app.rewards_of(&carl).await, [reward("S-1", 1, 100, 0, "frozen")]);
    }

    async fn a_bond_past_its_time_earns_nothing(app: &mut TestApp) {
        let rules = json!({"bond": {"newcomers_only": false, "expires_after_seconds": 600}});
        let (campaign, tea) = (app.publish_whole(&one_level(&rules)).await, pairs(app).await);
        let line = app.line_of(&campaign, 2).await;
        let within = formed_by(app, &line[1], &tea).await;
        app.advance(601).await;
        formed_by(app, &line[1], &tea).await;
        outside(app, &line[1], "now", &json!({})).await;
        outside(app, &line[1], "then", &json!({"occurred_at": crate::support::from_now(30)})).await;
        outside(app, &line[1], "before", &json!({"occurred_at": crate::support::from_now(-3600)})).await;
        let earned = [reward(&within.order, 1, 495, 0, "frozen"), reward("then", 1, 1000, 0, "frozen")];
        assert_eq!(app.rewards_of(&line[0]).await, earned, "the bond must have stood when the order was made");
    }

    async fn orders_made_elsewhere_earn_by_the_same_rules(app: &mut TestApp) {
        let campaign = app.publish_whole(&programme(&json!({}))).await;
        let line = app.line_of(&campaign, 3).await;
        let order = outside(app, &line[2], "S-1", &json!({})).await;
        assert_eq!(order["referral"], json!({"campaign_id": campaign, "definition_version": 1, "level1_user_id": line[1].user_id,
            "level2_user_id": line[0].user_id}));
        assert_eq!(app.rewards_of(&line[1]).await, [reward("S-1", 1, 1000, 0, "frozen")]);
        outside(app, &line[2], "S-1", &json!({"state": "fulfilled", "refunded_fen": 2500})).await;
        assert_eq!(app.rewards_of(&line[0]).await, [reward("S-1", 2, 300, 75, "frozen")]);
        app.advance(3601).await;
        assert_eq!(app.rewards_of(&line[0]).await, [reward("S-1", 2, 300, 75, "available")]);
        outside(app, &line[2], "S-1", &json!({"state": "refunded"})).await;
        outside(app, &line[2], "S-1", &json!({"state": "paid"})).await;
        assert_eq!(app.rewards_of(&line[1]).await, [reward("S-1", 1, 1000, 1000, "reversed")]);
        assert_eq!(app.rewards_of(&line[0]).await, [reward("S-1", 2, 300, 300, "reversed")]);
        // All at once, and a repeat of each.
        let here = &*app;
        join_all((0..32).map(async |_| outside(here, &line[2], "S-2", &json!({"state": "fulfilled"})).await)).await;
        assert_eq!(app.rewards_of(&line[1]).await.len(), 2);
        assert_eq!(app.rewards_of(&line[1]).await[1], reward("S-2", 1, 1000, 0, "frozen"));
        // Handed over long ago.
        let long_ago = json!({"state": "fulfilled", "occurred_at": crate::support::from_now(3590)});
        outside(app, &line[2], "S-3", &long_ago).await;
        app.advance(3600).await;
        assert_eq!(app.rewards_of(&line[1]).await[2].4, "available");
        app.audited(&campaign).await;
    }

    async fn a_sale_that_is_told_again_is_told_once(app: &mut TestApp) {
        let (campaign, tea) = (app.publish_whole(&one_level(&json!({}))).await, pairs(app).await);
        let line = app.line_of(&campaign, 2).await;
        let seat = formed_by(app, &line[1], &tea).await;
        let earned = app.rewards_of(&line[0]).await;
        let place = |app: &TestApp| {
            let path = format!("/v1/campaigns/{campaign}");
            app.get(&path)
        };
        place(app).await.expect(200);
        // As if each step had been cut off before it was noted.
        execute!(app.store(), "UPDATE sales SET state = 'pending', attempts = 0, next_attempt_at = 0").unwrap();
        assert_eq!(app.rewards_of(&line[0]).await, earned);
        assert_eq!(sales(app).await, [(seat.order.clone(), 0, "done".to_owned())]);
        let (told,) = fetch_one!(app.store(), (i64,), "SELECT seq FROM cursors WHERE campaign_id = $1", &campaign).unwrap();
        let retry = format!("/operator/v1/sales/{}/retry", seat.order);
        execute!(app.store(), "UPDATE sales SET state = 'stuck', note = 'why'").unwrap();
        let stuck = app.get("/operator/v1/sales?state=stuck").admin().await.expect(200).json;
        assert_eq!(stuck["items"][0]["note"], "why");
        let after = app.post(&retry).admin().await.expect(200).json;
        assert_eq!((&after["state"], &after["note"]), (&json!("done"), &Value::Null));
        app.post("/operator/v1/sales/nothing/retry").admin().await.refused(404, "not_found");
        app.wait_until_projected().await;
        let (again,) = fetch_one!(app.store(), (i64,), "SELECT seq FROM cursors WHERE campaign_id = $1", &campaign).unwrap();
        assert_eq!((told, app.rewards_of(&line[0]).await), (again, earned), "nothing was decided by the repeats");
    }
}

served_once! {
    async fn without_a_referral_campaign_an_order_costs_nothing_more(app: &mut TestApp) {
        let tea = pairs(app).await;
        app.opened_and_paid(&tea).await;
        // One that takes no such orders, one that has not begun, and a draft.
        app.publish_whole(&one_level(&json!({"orders_from": ["outside"]}))).await;
        app.publish_whole(&one_level(&json!({"starts_at": crate::support::from_now(3600)}))).await;
        app.draft(&one_level(&json!({}))).await;
        let (ada, _) = app.opened_and_paid(&tea).await;
        assert_eq!(looked_up(app).await, 0);
        let campaign = app.publish_whole(&one_level(&json!({}))).await;
        app.open(&ada, &tea).await.expect(201);
        assert_eq!(looked_up(app).await, 1, "known at once, and one look-up for somebody nobody invited");
        app.step(&campaign, "pause").await.expect(200);
        app.open(&ada, &tea).await.expect(201);
        assert_eq!(looked_up(app).await, 1);
        app.step(&campaign, "resume").await.expect(200);
        app.restart().await;
        app.open(&ada, &tea).await.expect(201);
        assert_eq!(looked_up(app).await, 1, "after a start as well");
    }
}
