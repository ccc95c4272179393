//! What orders earn, from the order to the reward: attribution, levels, freeze, refunds, budgets.

use serde_json::{Value, json};

use crate::support::{Answer, Shopper, TestApp, from_now, patched, programme, served, with};

/// The shop reports an order of 100.00 yuan under a patch.
async fn outside(app: &TestApp, user: &Shopper, number: &str, patch: &Value) -> Answer {
    let report = patched(json!({"number": number, "user_id": user.user_id, "amount_fen": 10_000, "state": "paid"}), patch);
    app.post("/operator/v1/outside_orders").admin().json(report).await
}

/// Order, level, amount, what went back, state: newest first.
async fn rewards(app: &TestApp, shopper: &Shopper) -> Vec<(String, i64, i64, i64, String)> {
    let number = |value: &Value| value.as_i64().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let row = |one: &Value| {
        (text(&one["order_number"]), number(&one["level"]), number(&one["amount_fen"]), number(&one["reversed_fen"]), text(&one["state"]))
    };
    app.mine(shopper, "rewards").await.iter().map(row).collect()
}

fn one(number: &str, level: i64, fen: i64, back: i64, state: &str) -> Vec<(String, i64, i64, i64, String)> {
    vec![(number.to_owned(), level, fen, back, state.to_owned())]
}

async fn listed(app: &TestApp, campaign: &str, query: &str) -> Vec<Value> {
    let path = format!("/operator/v1/campaigns/{campaign}/rewards{query}");
    app.get(&path).admin().await.expect(200).json["items"].as_array().unwrap().clone()
}

served! {
    async fn an_order_rewards_two_levels_and_never_a_third(app: &mut TestApp) {
        let campaign = app.publish_whole(&programme(&json!({}))).await;
        let [ada, bob, carl, dora] = app.line_of_four(&campaign).await;
        outside(app, &dora, "SO-1", &json!({})).await.expect(201);
        assert_eq!(rewards(app, &carl).await, one("SO-1", 1, 1_000, 0, "frozen"));
        assert_eq!(rewards(app, &bob).await, one("SO-1", 2, 300, 0, "frozen"));
        assert_eq!((rewards(app, &ada).await, rewards(app, &dora).await), (vec![], vec![]));
        // The same of an order placed here.
        let shop = app.publish_whole(&with(2, 50, &json!({}))).await;
        let seat = app.open(&dora, &shop).await.expect(201).seat();
        app.pay(&dora, &seat.order).await.expect(200);
        let (_, levels) = (app.pay(&dora, &seat.order).await, (rewards(app, &carl).await, rewards(app, &bob).await));
        assert_eq!((levels.0[0].clone(), levels.1[0].clone()), (one(&seat.order, 1, 495, 0, "frozen").remove(0), one(&seat.order, 2, 148, 0, "frozen").remove(0)));
        assert_eq!(rewards(app, &ada).await, vec![]);
        let invitees = app.mine(&bob, "invitees").await;
        assert_eq!((&invitees[0]["name"], &invitees[0]["earned_fen"]), (&json!("D**"), &json!(448)));
        app.is_sound(&campaign).await;
        app.is_sound(&shop).await;
    }

    async fn a_reward_is_frozen_until_the_goods_have_stayed(app: &mut TestApp) {
        let campaign = app.publish_whole(&programme(&json!({}))).await;
        let [_, bob, carl, dora] = app.line_of_four(&campaign).await;
        outside(app, &dora, "SO-1", &json!({})).await.expect(201);
        app.advance(10_000).await;
        assert_eq!(rewards(app, &carl).await, one("SO-1", 1, 1_000, 0, "frozen"), "never fulfilled, never available");
        outside(app, &dora, "SO-1", &json!({"state": "fulfilled"})).await.expect(200);
        app.advance(3_500).await;
        assert_eq!(rewards(app, &carl).await, one("SO-1", 1, 1_000, 0, "frozen"));
        app.advance(200).await;
        assert_eq!(rewards(app, &carl).await, one("SO-1", 1, 1_000, 0, "available"));
        assert_eq!(rewards(app, &bob).await, one("SO-1", 2, 300, 0, "available"));
        app.is_sound(&campaign).await;
    }

    async fn what_a_partial_refund_leaves_ripens_once_the_goods_are_handed_over(app: &mut TestApp) {
        let campaign = app.publish_whole(&programme(&json!({}))).await;
        let [_, _, carl, dora] = app.line_of_four(&campaign).await;
        outside(app, &dora, "SO-1", &json!({})).await.expect(201);
        outside(app, &dora, "SO-1", &json!({"state": "refunded", "refunded_fen": 100})).await.expect(200);
        outside(app, &dora, "SO-1", &json!({"state": "fulfilled"})).await.expect(200);
        app.advance(3_700).await;
        assert_eq!(rewards(app, &carl).await, one("SO-1", 1, 1_000, 10, "available"));
        app.is_sound(&campaign).await;
    }

    async fn refunds_take_back_the_same_part_before_and_after(app: &mut TestApp) {
        let campaign = app.publish_whole(&programme(&json!({}))).await;
        let [_, bob, carl, dora] = app.line_of_four(&campaign).await;
        outside(app, &dora, "SO-1", &json!({"state": "fulfilled"})).await.expect(201);
        let back = async |fen: i64| outside(app, &dora, "SO-1", &json!({"state": "refunded", "refunded_fen": fen})).await.expect(200);
        back(3_333).await;
        assert_eq!(rewards(app, &carl).await, one("SO-1", 1, 1_000, 333, "frozen"));
        assert_eq!(rewards(app, &bob).await, one("SO-1", 2, 300, 99, "frozen"));
        app.advance(3_700).await;
        back(6_666).await;
        back(6_666).await;
        back(1).await;
        assert_eq!(rewards(app, &carl).await, one("SO-1", 1, 1_000, 666, "available"));
        app.is_sound(&campaign).await;
        back(10_000).await;
        assert_eq!(rewards(app, &carl).await, one("SO-1", 1, 1_000, 1_000, "reversed"));
        assert_eq!(rewards(app, &bob).await, one("SO-1", 2, 300, 300, "reversed"));
        let figures = app.report(&campaign).await["referral"].clone();
        assert_eq!((&figures["rewarded_fen"], &figures["rewards"]["reversed"]), (&json!(0), &json!({"count": 2, "fen": 1_300})));
        app.is_sound(&campaign).await;
    }

    async fn budgets_are_never_overspent_and_what_was_refused_is_told(app: &mut TestApp) {
        let campaign = app.publish_whole(&programme(&json!({"budget_fen": 10_000, "daily_budget_fen": 4_000}))).await;
        let [_, bob, carl, dora] = app.line_of_four(&campaign).await;
        let app = &*app;
        let numbers: Vec<String> = (0..16).map(|number| format!("SO-{number}")).collect();
        let none = json!({});
        futures_util::future::join_all(numbers.iter().map(async |number| outside(app, &dora, number, &none).await.expect(201))).await;
        let sum = |rewards: &[Value]| rewards.iter().map(|one| one["amount_fen"].as_i64().unwrap() - one["reversed_fen"].as_i64().unwrap()).sum::<i64>();
        let granted = listed(app, &campaign, "").await;
        assert!((3_701..=4_000).contains(&sum(&granted)), "{}", sum(&granted));
        let refused = listed(app, &campaign, "?state=refused").await;
        assert_eq!(granted.len() + refused.len(), 32);
        assert!(refused.iter().all(|one| one["reason"] == "over_daily_budget"), "{refused:?}");
        for day in 0..4 {
            app.advance(86_400).await;
            for number in 0..4 {
                outside(app, &dora, &format!("D{day}-{number}"), &json!({})).await.expect(201);
            }
        }
        let granted = listed(app, &campaign, "").await;
        assert!((9_701..=10_000).contains(&sum(&granted)), "{}", sum(&granted));
        assert!(listed(app, &campaign, "?state=refused").await.iter().any(|one| one["reason"] == "over_budget"));
        let report = app.report(&campaign).await["referral"].clone();
        assert_eq!((report["rewarded_fen"].as_i64(), &report["budget_fen"]), (Some(sum(&granted)), &json!(10_000)));
        let [best, second] = report["top_inviters"].as_array().unwrap().as_slice() else { panic!("{report}") };
        assert_eq!((&best["user_id"], &second["user_id"], &best["invitees"]), (&json!(carl.user_id), &json!(bob.user_id), &json!(1)));
        assert_eq!((&report["new_customers"], report["cost_per_new_customer_fen"].as_i64()), (&json!(1), Some(sum(&granted))));
        // A raised budget goes on.
        let raised = app.request("PATCH".parse().unwrap(), &format!("/operator/v1/campaigns/{campaign}")).admin();
        raised.json(json!({"budget_fen": 50_000, "daily_budget_fen": 50_000})).await.expect(200);
        outside(app, &dora, "after", &json!({})).await.expect(201);
        assert_eq!(listed(app, &campaign, "?order_number=after").await.len(), 2);
        let lowered = app.request("PATCH".parse().unwrap(), &format!("/operator/v1/campaigns/{campaign}")).admin();
        lowered.json(json!({"budget_fen": 49_999})).await.refused(409, "field_not_editable");
        app.is_sound(&campaign).await;
    }

    async fn operators_list_rewards_by_what_they_ask(app: &mut TestApp) {
        let campaign = app.publish_whole(&programme(&json!({}))).await;
        let [_, bob, carl, dora] = app.line_of_four(&campaign).await;
        outside(app, &dora, "SO-1", &json!({"state": "fulfilled"})).await.expect(201);
        app.advance(3_700).await;
        outside(app, &dora, "SO-2", &json!({})).await.expect(201);
        let all = listed(app, &campaign, "").await;
        assert_eq!(all.len(), 4);
        assert_eq!(listed(app, &campaign, "?state=available").await.len(), 2);
        assert_eq!(listed(app, &campaign, &format!("?user_id={}", bob.user_id)).await.len(), 2);
        assert_eq!(listed(app, &campaign, &format!("?user_id={}&state=frozen", carl.user_id)).await[0]["order_number"], "SO-2");
        assert_eq!(listed(app, &campaign, "?state=held").await.len(), 0);
        let path = format!("/operator/v1/campaigns/{campaign}/rewards");
        let csv = app.get(&path).admin().header("Accept", "text/csv").await.expect(200);
        let columns: Vec<&str> = csv.text.lines().next().unwrap().split(',').collect();
        let names: Vec<&str> = all[0].as_object().unwrap().keys().map(String::as_str).collect();
        assert!(csv.text.lines().count() == 5 && columns.len() == names.len() && names.iter().all(|name| columns.contains(name)), "{}", csv.text);
        let first = app.get(&format!("{path}?limit=3")).admin().await.expect(200);
        let rest = app.get(&format!("{path}?limit=3&cursor={}", first.at("/next_cursor"))).admin().await.expect(200);
        assert_eq!((rest.json["items"].as_array().map(Vec::len), &rest.json["next_cursor"]), (Some(1), &Value::Null));
        app.get(&format!("{path}?state=lost")).admin().await.refused(422, "invalid_request");
        app.get("/operator/v1/campaigns/cmp_00000000/rewards").admin().await.refused(404, "not_found");
    }

    async fn operators_list_the_rewards_of_an_item_and_of_a_time(app: &mut TestApp) {
        let campaign = app.publish_whole(&programme(&json!({}))).await;
        let [ada, bob, _, dora] = app.line_of_four(&campaign).await;
        outside(app, &dora, "SO-1", &json!({"sku": "milk"})).await.expect(201);
        app.advance(3_700).await;
        outside(app, &dora, "SO-2", &json!({})).await.expect(201);
        outside(app, &dora, "SO-3", &json!({"sku": "tea"})).await.expect(201);
        let tea = listed(app, &campaign, "?sku=tea").await;
        assert_eq!(tea.iter().map(|one| one["order_number"].clone()).collect::<Vec<_>>(), [json!("SO-3"), json!("SO-3")]);
        assert_eq!(listed(app, &campaign, &format!("?sku=tea&user_id={}", bob.user_id)).await.len(), 1);
        assert_eq!(listed(app, &campaign, &format!("?sku=tea&order_number=SO-3&user_id={}", ada.user_id)).await.len(), 0);
        assert_eq!(listed(app, &campaign, "?sku=bread").await.len(), 0);
        let path = format!("/operator/v1/campaigns/{campaign}/rewards");
        app.get(&format!("{path}?sku=a%20b")).admin().await.refused(422, "invalid_request");
        let (before, after) = (from_now(3_000), from_now(4_000));
        assert_eq!(listed(app, &campaign, &format!("?to={before}")).await.len(), 2);
        assert_eq!(listed(app, &campaign, &format!("?from={before}&to={after}")).await.len(), 4);
    }

    async fn rates_of_an_item_win_and_the_cap_holds(app: &mut TestApp) {
        let own = json!({"levels": [{"basis_points": 2_500}, {"basis_points": 2_500}], "cap_basis_points": 3_000,
            "sku_overrides": [{"sku": "tea", "levels": [{"fixed_fen": 123}]}]});
        let campaign = app.publish_whole(&programme(&own)).await;
        let [_, bob, carl, dora] = app.line_of_four(&campaign).await;
        outside(app, &dora, "SO-1", &json!({"amount_fen": 9_999})).await.expect(201);
        assert_eq!((rewards(app, &carl).await, rewards(app, &bob).await), (one("SO-1", 1, 2_499, 0, "frozen"), one("SO-1", 2, 500, 0, "frozen")));
        outside(app, &dora, "SO-2", &json!({"sku": "tea"})).await.expect(201);
        assert_eq!(rewards(app, &carl).await[0], one("SO-2", 1, 123, 0, "frozen").remove(0));
        assert_eq!(rewards(app, &bob).await.len(), 1, "tea has one level");
        app.is_sound(&campaign).await;
    }

    async fn what_was_attributed_stays_when_bonds_change(app: &mut TestApp) {
        let campaign = app.publish_whole(&programme(&json!({}))).await;
        let [ada, bob, carl, dora] = app.line_of_four(&campaign).await;
        let shop = app.publish_whole(&with(2, 50, &json!({}))).await;
        let seat = app.open(&dora, &shop).await.expect(201).seat();
        app.set_bond(&campaign, &dora.user_id, &json!(ada.user_id), "moved").await.expect(200);
        app.step(&campaign, "end").await.expect(200);
        app.pay(&dora, &seat.order).await.expect(200);
        assert_eq!((rewards(app, &carl).await.len(), rewards(app, &bob).await.len(), rewards(app, &ada).await.len()), (1, 1, 0));
        outside(app, &dora, "SO-1", &json!({})).await.expect(201);
        assert_eq!(rewards(app, &ada).await.len(), 0, "an ended campaign attributes nothing new");
        app.is_sound(&campaign).await;
    }
}
