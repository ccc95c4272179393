//! What can be read afterwards of each fen that an order earned or cost: rewards, statements, sales, and the books of orders.

use std::collections::BTreeSet;

use liebian::store::{execute, fetch_all, fetch_one};
use serde_json::{Value, json};

use crate::support::{Request, Setup, Shopper, TestApp, patched, programme, served, time_of, with, within};

fn impatient() -> Setup {
    Setup { env: vec![("LIEBIAN_REFUND_TRIES", "3".to_owned())], ..Setup::default() }
}

/// The shop reports an order of 100.00 yuan under a patch.
fn outside(app: &TestApp, buyer: &Shopper, number: &str, patch: &Value) -> Request {
    let report = json!({"number": number, "user_id": buyer.user_id, "amount_fen": 10_000, "state": "paid"});
    app.post("/operator/v1/outside_orders").admin().json(patched(report, patch))
}

async fn listed(app: &TestApp, path: &str) -> Vec<Value> {
    app.get(path).admin().await.expect(200).json["items"].as_array().expect("items").clone()
}

/// All of a list, two a page.
async fn paged(app: &TestApp, path: &str) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = app.get(&format!("{path}?limit=2{cursor}")).admin().await.expect(200).json;
        items.extend(page["items"].as_array().expect("items").clone());
        let Some(next) = page["next_cursor"].as_str() else { return items };
        cursor = format!("&cursor={next}");
    }
}

async fn sale(app: &TestApp, number: &str) -> Value {
    listed(app, "/operator/v1/sales").await.into_iter().find(|sale| sale["number"] == number).expect("the sale")
}

served! {
    async fn a_reward_says_when_it_ripens_and_the_statement_when_it_moved(app: &mut TestApp) {
        let campaign = app.publish_whole(&programme(&json!({"budget_fen": 1_300}))).await;
        let line = app.line_of(&campaign, 3).await;
        let earner = &line[1];
        outside(app, &line[2], "S-1", &json!({})).await.expect(201);
        let frozen = app.mine(earner, "rewards").await.remove(0);
        assert_eq!(frozen["available_at"], Value::Null, "nobody knows when the goods will be handed over");
        let booked = app.mine(earner, "statement").await;
        assert_eq!((booked.len(), &booked[0]["kind"], &booked[0]["at"]), (1, &json!("reward_frozen"), &frozen["created_at"]));
        assert_eq!((&booked[0]["order_number"], &booked[0]["level"], &booked[0]["campaign_id"]), (&json!("S-1"), &json!(1), &json!(campaign)));
        app.advance(100).await;
        let fulfilled = outside(app, &line[2], "S-1", &json!({"state": "fulfilled"})).await.expect(200).json;
        let ripening = app.mine(earner, "rewards").await.remove(0);
        let ripe = time_of(&fulfilled["fulfilled_at"]).plus_seconds(3600);
        assert_eq!((time_of(&ripening["available_at"]), &ripening["created_at"]), (ripe, &frozen["created_at"]));
        app.advance(3601).await;
        let lines = app.mine(earner, "statement").await;
        let of = |line: &Value| (line["kind"].clone(), line["account"].clone(), line["amount_fen"].clone());
        let available = json!("reward_available");
        assert_eq!(of(&lines[0]), (available.clone(), json!("available"), json!(1000)));
        assert_eq!(of(&lines[1]), (available, json!("frozen"), json!(-1000)));
        assert!(time_of(&lines[0]["at"]) >= ripe && lines[0]["at"] == lines[1]["at"], "{lines:?}");
        let path = format!("/operator/v1/campaigns/{campaign}/rewards");
        let seen = listed(app, &format!("{path}?user_id={}", earner.user_id)).await.remove(0);
        assert_eq!((&seen["updated_at"], &seen["created_at"]), (&lines[0]["at"], &frozen["created_at"]));
        // What the budget refused never ripens.
        outside(app, &line[2], "S-2", &json!({"state": "fulfilled"})).await.expect(201);
        let refused = listed(app, &format!("{path}?state=refused")).await;
        assert_eq!((refused.len(), &refused[0]["available_at"], &refused[1]["available_at"]), (2, &Value::Null, &Value::Null));
        app.audited(&campaign).await;
    }

    async fn what_goes_back_piece_by_piece_is_booked_piece_by_piece(app: &mut TestApp) {
        let campaign = app.publish_whole(&programme(&json!({}))).await;
        let line = app.line_of(&campaign, 2).await;
        outside(app, &line[1], "S-1", &json!({"state": "fulfilled"})).await.expect(201);
        let back = async |fen: i64| outside(app, &line[1], "S-1", &json!({"state": "fulfilled", "refunded_fen": fen})).await.expect(200);
        for fen in [1_000, 2_500] {
            back(fen).await;
        }
        assert_eq!(app.balance(&line[0]).await, [0, 750, 0, 0]);
        app.advance(3601).await;
        assert_eq!(app.balance(&line[0]).await, [750, 0, 0, 0]);
        for fen in [5_000, 6_000] {
            back(fen).await;
        }
        assert_eq!(app.balance(&line[0]).await, [400, 0, 0, 0]);
        // Taken out, then lost: a debt.
        app.withdraw(&line[0], 400).await.expect(201);
        back(10_000).await;
        assert_eq!(app.balance(&line[0]).await[0], -400);
        let path = "/v1/me/statement?limit=200";
        let lines = app.get(path).session(&line[0].session).await.expect(200).json["items"].as_array().unwrap().clone();
        let of = |kind: &str, account: &str| -> Vec<i64> {
            let own = lines.iter().rev().filter(|line| line["kind"] == kind && line["account"] == account);
            own.map(|line| line["amount_fen"].as_i64().unwrap()).collect()
        };
        assert_eq!((of("reward_reversed", "frozen"), of("reward_reversed", "debt")), (vec![-100, -150], vec![-250, -100, -400]));
        assert_eq!(of("debt_settled", "available"), [-250, -100]);
        app.audited(&campaign).await;
    }

    async fn a_programmes_audit_counts_what_its_people_did_elsewhere(app: &mut TestApp) {
        let other = app.programme(&json!({})).await;
        let campaign = app.publish_whole(&programme(&json!({}))).await;
        let line = app.line_of(&campaign, 2).await;
        outside(app, &line[1], "S-1", &json!({"state": "fulfilled"})).await.expect(201);
        app.advance(3601).await;
        app.earned(&line[0], &other, 70).await;
        let id = app.withdraw(&line[0], 500).await.expect(201).at("/withdrawal/id");
        app.until_withdrawal(&id, "done").await;
        app.audited(&campaign).await;
        execute!(app.store(), "UPDATE accounts SET balance_fen = balance_fen + 1 WHERE kind = 'available'").unwrap();
        assert_eq!(app.audit_finds(&campaign).await, ["ledger_balances"]);
        execute!(app.store(), "UPDATE accounts SET balance_fen = balance_fen - 1 WHERE kind = 'available'").unwrap();
    }

    async fn an_audit_finds_bonds_and_rewards_that_sql_tells_otherwise(app: &mut TestApp) {
        let campaign = app.publish_whole(&programme(&json!({}))).await;
        let line = app.line_of(&campaign, 3).await;
        outside(app, &line[2], "S-1", &json!({"refunded_fen": 5_000})).await.expect(201);
        assert_eq!(app.rewards_of(&line[1]).await.len(), 1);
        app.audited(&campaign).await;
        // A lie, what it was, and the checks that must find it.
        let lies: &[(&str, &str, &[&str])] = &[
            ("UPDATE bonds SET bound_at = bound_at + 1", "UPDATE bonds SET bound_at = bound_at - 1", &["sql_bonds_equal_log"]),
            ("UPDATE rewards SET state = 'available'", "UPDATE rewards SET state = 'frozen'", &["sql_rewards_equal_log", "rewards_equal_ledger"]),
            (
                "UPDATE rewards SET reversed_fen = reversed_fen + 1",
                "UPDATE rewards SET reversed_fen = reversed_fen - 1",
                &["sql_rewards_equal_log", "rewards_follow_their_sales", "rewards_equal_ledger"],
            ),
            ("UPDATE sales SET refunded_fen = 5100", "UPDATE sales SET refunded_fen = 5000", &["rewards_follow_their_sales"]),
            // The same part of it, but both rewards are more than the cap of so little.
            (
                "UPDATE sales SET amount_fen = 4000, refunded_fen = 2000",
                "UPDATE sales SET amount_fen = 10000, refunded_fen = 5000",
                &["rewards_follow_their_sales"],
            ),
            ("UPDATE sales SET level1_id = level2_id, level2_id = level1_id", "UPDATE sales SET level1_id = level2_id, level2_id = level1_id", &["rewards_follow_their_sales"]),
            ("UPDATE rewards SET campaign_id = 'cmp_00000000'", "UPDATE rewards SET campaign_id = (SELECT campaign_id FROM sales)", &["sql_rewards_equal_log", "rewards_equal_ledger"]),
        ];
        for (lie, truth, found) in lies {
            execute!(app.store(), *lie).unwrap();
            let wrong: BTreeSet<String> = app.audit_finds(&campaign).await.into_iter().collect();
            assert_eq!(wrong, found.iter().map(ToString::to_string).collect(), "{lie}");
            execute!(app.store(), *truth).unwrap();
        }
        app.audited(&campaign).await;
    }

    async fn the_history_of_a_bond_names_whom_it_left(app: &mut TestApp) {
        let campaign = app.publish_whole(&programme(&json!({}))).await;
        let [ada, bob, carl, _] = app.line_of_four(&campaign).await;
        app.set_bond(&campaign, &carl.user_id, &json!(ada.user_id), "asked").await.expect(200);
        app.set_bond(&campaign, &carl.user_id, &Value::Null, "asked").await.expect(200);
        let tree = app.get(&format!("/operator/v1/campaigns/{campaign}/tree?user_id={}", carl.user_id)).admin().await.expect(200).json;
        let told: Vec<_> = tree["history"].as_array().unwrap().iter().map(|one| (one["previous_inviter_id"].clone(), one["inviter_id"].clone())).collect();
        let (ada, bob) = (json!(ada.user_id), json!(bob.user_id));
        assert_eq!(told, [(ada.clone(), Value::Null), (bob.clone(), ada), (Value::Null, bob)]);
    }

    async fn a_sale_that_cannot_be_told_is_given_to_a_person_after_so_many_tries(app: &mut TestApp, impatient()) {
        const LOSE: &str = "UPDATE campaign_versions SET version = version + 100 WHERE campaign_id = $1";
        const FIND: &str = "UPDATE campaign_versions SET version = version - 100 WHERE campaign_id = $1";
        app.expect_error("a sale is stuck");
        let campaign = app.publish_whole(&programme(&json!({}))).await;
        let line = app.line_of(&campaign, 2).await;
        execute!(app.store(), LOSE, &campaign).unwrap();
        outside(app, &line[1], "S-1", &json!({})).await.expect(201);
        within(20, "a person is asked", async || {
            app.advance(60).await;
            sale(app, "S-1").await["state"] == "stuck"
        })
        .await;
        let given = sale(app, "S-1").await;
        assert_eq!((&given["attempts"], given["note"].as_str().unwrap().contains("version 1")), (&json!(3), true), "{given}");
        app.advance(7200).await;
        assert_eq!(sale(app, "S-1").await, given, "no machine tells it any more");
        execute!(app.store(), FIND, &campaign).unwrap();
        let told = app.post("/operator/v1/sales/S-1/retry").admin().await.expect(200);
        assert_eq!((told.at("/state"), app.rewards_of(&line[0]).await.len()), ("done".to_owned(), 1));
    }

    async fn what_changes_of_a_sale_begins_its_tries_anew(app: &mut TestApp) {
        let campaign = app.publish_whole(&programme(&json!({}))).await;
        let line = app.line_of(&campaign, 2).await;
        let tea = app.publish_whole(&with(2, 9, &json!({}))).await;
        let seat = app.open(&line[1], &tea).await.expect(201).seat();
        app.pay(&line[1], &seat.order).await.expect(200);
        app.joined_and_paid(&seat.room).await;
        assert_eq!(app.rewards_of(&line[0]).await.len(), 1);
        // As after many tries of which the last succeeded.
        execute!(app.store(), "UPDATE sales SET attempts = 19").unwrap();
        app.operate(&seat.order, "refund", &json!({"amount_fen": 1000, "reason": "broken"})).await.expect(200);
        assert_eq!(app.rewards_of(&line[0]).await[0].3, 100, "it is told at once");
        assert_eq!((&sale(app, &seat.order).await["attempts"], &sale(app, &seat.order).await["state"]), (&json!(1), &json!("done")));
        execute!(app.store(), "UPDATE sales SET attempts = 19").unwrap();
        app.operate(&seat.order, "fulfil", &json!({})).await.expect(200);
        app.advance(3601).await;
        assert_eq!(app.rewards_of(&line[0]).await[0].4, "available");
        assert_eq!(sale(app, &seat.order).await["attempts"], 1);
    }

    async fn what_changes_while_a_sale_is_told_is_told_as_well(app: &mut TestApp) {
        const MORE: &str = "UPDATE sales SET refunded_fen = 5000, state = 'pending', attempts = 0 WHERE refunded_fen = 1000";
        let campaign = app.publish_whole(&programme(&json!({}))).await;
        let line = app.line_of(&campaign, 2).await;
        outside(app, &line[1], "S-1", &json!({})).await.expect(201);
        app.wait_until_projected().await;
        app.redis.stop();
        let telling = tokio::spawn(outside(app, &line[1], "S-1", &json!({"refunded_fen": 1_000})).try_send());
        let refunded = async || fetch_one!(app.store(), (i64,), "SELECT refunded_fen FROM sales").unwrap().0;
        within(10, "a tenth goes back", async || refunded().await == 1_000).await;
        for _ in 0..50 {
            app.get("/health/live").await.expect(200);
        }
        // It is being told. Now the projection of an order's refund writes what it reads of it.
        assert_eq!(execute!(app.store(), MORE).unwrap(), 1);
        app.redis.cont();
        telling.await.unwrap().unwrap().expect(200);
        within(10, "all is told", async || app.rewards_of(&line[0]).await[0].3 == 500).await;
        app.audited(&campaign).await;
    }

    async fn the_books_name_order_kind_and_time_of_each_fen(app: &mut TestApp) {
        const BOOKED: &str = "SELECT reference, kind, order_number, from_account, to_account, at FROM transfers \
                              WHERE campaign_id = $1 ORDER BY reference LIMIT 100";
        let campaign = app.publish_whole(&with(2, 20, &json!({}))).await;
        let (ada, seat) = app.opened_and_paid(&campaign).await;
        app.report_paid(&seat.order, "again", 4950).await.expect(200);
        let (_, other) = app.joined_and_paid(&seat.room).await;
        app.advance(1000).await;
        let before = time_of(&app.post("/v1/sandbox/clock").admin().json(json!({"advance_seconds": 0})).await.expect(200).json["now"]);
        app.operate(&seat.order, "refund", &json!({"amount_fen": 950, "reason": "late"})).await.expect(200);
        within(10, "it is back", async || app.order(&ada, &seat.order).await["refunded_fen"] == 950).await;
        app.wait_until_projected().await;
        let rows = fetch_all!(app.store(), (String, String, Option<String>, String, String, i64), BOOKED, &campaign).unwrap();
        let word = |account: &str| account.split(':').next().unwrap().to_owned();
        let told: Vec<_> = rows.iter().map(|(reference, kind, order, from, to, at)| {
            let order = order.as_deref().unwrap_or_default();
            let whose = if order == seat.order { "ada" } else if order == other.order { "bob" } else { "nobody" };
            assert!(reference.contains(order), "{reference} of {order}");
            assert!(*at > before.get() - 1_060_000 && *at < before.get() + 60_000, "{reference} at {at}");
            (kind.as_str(), whose, word(from), word(to), *at >= before.get())
        }).collect();
        let row = |kind, whose, from: &str, to: &str, late| (kind, whose, from.to_owned(), to.to_owned(), late);
        let mut expected = vec![
            row("order_paid", "ada", "taken", "received", false),
            row("order_paid", "bob", "taken", "received", false),
            row("order_confirmed", "ada", "received", "kept", false),
            row("order_confirmed", "bob", "received", "kept", false),
            row("payment_returned", "ada", "taken", "refunds_due", false),
            row("refund_due", "ada", "kept", "refunds_due", true),
            row("refunded", "ada", "refunds_due", "taken", true),
        ];
        let mut told = told;
        told.sort();
        expected.sort();
        assert_eq!(told, expected);
    }

    async fn lists_of_money_show_each_once_whatever_the_page(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(2, 20, &json!({}))).await;
        for _ in 0..2 {
            for (_, seat) in app.formed(&campaign).await {
                app.operate(&seat.order, "refund", &json!({"amount_fen": 100, "reason": "r"})).await.expect(200);
            }
        }
        within(10, "all refunds are made", async || listed(app, "/operator/v1/refunds?state=done").await.len() == 4).await;
        for list in ["refunds", "payments"] {
            for state in ["pending", "stuck"] {
                assert_eq!(listed(app, &format!("/operator/v1/{list}?state={state}")).await, Vec::<Value>::new(), "{list}");
            }
        }
        for (list, id) in [("refunds", "refund_no"), ("payments", "transaction_id")] {
            let path = format!("/operator/v1/{list}");
            let (whole, pages) = (listed(app, &path).await, paged(app, &path).await);
            let ids = |items: &[Value]| items.iter().map(|one| one[id].as_str().unwrap().to_owned()).collect::<Vec<_>>();
            assert_eq!((whole.len(), ids(&pages)), (4, ids(&whole)), "{list}");
            assert_eq!(ids(&whole).iter().collect::<BTreeSet<_>>().len(), 4, "{list}");
        }
    }

    async fn the_provider_tells_how_much_work_waits(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(2, 20, &json!({}))).await;
        let [(ada, seat), _] = app.formed(&campaign).await;
        app.spoil(&json!({"refund": "fail", "times": 1000})).await;
        app.operate(&seat.order, "refund", &json!({"amount_fen": 100, "reason": "r"})).await.expect(200);
        let waiting = async || {
            let told = app.get("/operator/v1/provider").admin().await.expect(200).json;
            ["refunds_pending", "refunds_stuck", "payments_pending", "payments_stuck"].map(|name| told[name].as_i64().expect(name))
        };
        within(10, "it waits", async || waiting().await == [1, 0, 0, 0]).await;
        app.spoil(&json!({"refund": "fail", "times": 0})).await;
        within(20, "it is back", async || {
            app.advance(3600).await;
            app.order(&ada, &seat.order).await["refunded_fen"] == 100
        })
        .await;
        within(10, "nothing waits", async || waiting().await == [0; 4]).await;
    }
}
