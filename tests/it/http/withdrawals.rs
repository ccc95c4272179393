//! Taking earned money out: no race takes more than there is, and whatever the provider does, it is paid once or comes back.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use liebian::store::{execute, fetch_all, fetch_one};
use serde_json::{Value, json};

use crate::support::{Setup, Shopper, TestApp, served, within};

fn impatient() -> Setup {
    let env = vec![("LIEBIAN_REFUND_TRIES", "3".to_owned()), ("LIEBIAN_PROVIDER_FAILURES_PER_MINUTE", "1000".to_owned())];
    Setup { env, ..Setup::default() }
}

fn a_provider_that_bears_little() -> Setup {
    Setup { env: vec![("LIEBIAN_PROVIDER_FAILURES_PER_MINUTE", "2".to_owned())], ..Setup::default() }
}

fn by_hand() -> Setup {
    Setup { env: vec![("LIEBIAN_AUTO_APPROVE", "false".to_owned())], ..Setup::default() }
}

fn without_sandbox() -> Setup {
    Setup { sandbox: false, ..Setup::default() }
}

/// Ada, who has earned so much.
async fn ada_with(app: &TestApp, fen: i64, rules: &Value) -> Shopper {
    let (ada, programme) = (app.shopper("Ada").await, app.programme(rules).await);
    app.earned(&ada, &programme, fen).await;
    ada
}

/// What the sandbox paid out in all: how often, how much.
const PAID: &str = "SELECT COUNT(*), CAST(COALESCE(SUM(amount_fen), 0) AS BIGINT) FROM sandbox_payouts WHERE state = 'done'";

/// What the sandbox paid out: fen by number.
async fn paid_out(app: &TestApp) -> Vec<(String, i64)> {
    const ALL: &str = "SELECT number, amount_fen FROM sandbox_payouts WHERE state = 'done' ORDER BY number LIMIT 100";
    fetch_all!(app.store(), (String, i64), ALL).unwrap()
}

async fn asked(app: &TestApp, shopper: &Shopper, fen: i64) -> String {
    app.withdraw(shopper, fen).await.expect(201).at("/withdrawal/id")
}

async fn decide(app: &TestApp, id: &str, step: &str, body: Value) -> crate::support::Answer {
    app.post(&format!("/operator/v1/withdrawals/{id}/{step}")).admin().json(body).await
}

async fn mine(app: &TestApp, shopper: &Shopper) -> Vec<Value> {
    app.get("/v1/me/withdrawals").session(&shopper.session).await.expect(200).json["items"].as_array().unwrap().clone()
}

/// What operators did, newest first.
async fn acts(app: &TestApp, id: &str) -> Vec<String> {
    let log = app.get(&format!("/operator/v1/audit_log?target={id}")).admin().await.expect(200).json;
    log["items"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap().to_owned()).collect()
}

served! {
    async fn sixty_four_at_once_take_out_what_there_is_and_no_more(app: &mut TestApp) {
        let ada = ada_with(app, 1000, &json!({})).await;
        let answers = join_all((0..64).map(|_| async { app.withdraw(&ada, 90).await })).await;
        let held = answers.iter().filter(|answer| answer.status == 201).count();
        for answer in answers.into_iter().filter(|answer| answer.status != 201) {
            answer.refused(409, "balance_too_low");
        }
        assert_eq!(held, 11);
        within(20, "all are paid out", async || app.balance(&ada).await == [10, 0, 0, 990]).await;
        assert_eq!(paid_out(app).await.len(), 11);
        assert_eq!(mine(app, &ada).await.len(), 11);
    }

    async fn the_strictest_rules_of_all_programmes_hold(app: &mut TestApp) {
        let ada = ada_with(app, 5000, &json!({"min_fen": 100, "max_fen": 900, "per_day": 4, "auto_approve_max_fen": 500})).await;
        let other = app.programme(&json!({"min_fen": 50, "max_fen": 800, "per_day": 3, "auto_approve_max_fen": 600})).await;
        assert_eq!(app.withdraw(&ada, 900).await.expect(201).at("/withdrawal/state"), "pending");
        app.earned(&ada, &other, 1).await;
        for wrong in [99, 801, 0, -5] {
            assert_eq!(app.withdraw(&ada, wrong).await.refused(422, "invalid_request").fields(), ["amount_fen"]);
        }
        // What the provider takes long over is seen before it is done.
        app.spoil(&json!({"payout": "delay", "times": 1000})).await;
        assert_eq!(app.withdraw(&ada, 500).await.expect(201).at("/withdrawal/state"), "approved");
        let third = app.withdraw(&ada, 501).await.expect(201);
        assert_eq!(third.at("/withdrawal/state"), "pending", "nobody has looked at it");
        let full = app.withdraw(&ada, 100).await.refused(429, "rate_limited");
        let wait: i64 = full.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=86_400).contains(&wait), "{wait}");
        // What came back does not count; and a new day does.
        decide(app, &third.at("/withdrawal/id"), "reject", json!({"reason": "wrong name"})).await.expect(200);
        app.withdraw(&ada, 100).await.expect(201);
        app.withdraw(&ada, 100).await.refused(429, "rate_limited");
        app.advance(wait).await;
        app.withdraw(&ada, 100).await.expect(201);
    }

    async fn a_balance_that_is_too_low_is_said(app: &mut TestApp) {
        let ada = app.shopper("Ada").await;
        app.withdraw(&ada, 1).await.refused(409, "balance_too_low");
        let programme = app.programme(&json!({})).await;
        app.rewarded(&ada, &programme, 500).await;
        app.withdraw(&ada, 500).await.refused(409, "balance_too_low");
        assert_eq!(app.balance(&ada).await, [0, 500, 0, 0], "what is frozen stays frozen");
        app.post("/v1/me/withdrawals").session(&ada.session).json(json!({"amount_fen": 1})).await.refused(401, "device_required");
    }

    async fn the_same_key_takes_out_once(app: &mut TestApp) {
        let ada = ada_with(app, 1000, &json!({})).await;
        let answers = join_all((0..8).map(|_| async { app.withdraw(&ada, 400).key("k").await.expect(201).at("/withdrawal/id") })).await;
        assert!(answers.iter().all(|id| *id == answers[0]));
        app.until_withdrawal(&answers[0], "done").await;
        assert_eq!(app.balance(&ada).await, [600, 0, 0, 400]);
        assert!(app.withdraw(&ada, 400).key("k").await.expect(201).replayed());
    }

    async fn a_key_takes_out_once_though_its_answer_was_never_kept(app: &mut TestApp) {
        let ada = ada_with(app, 1000, &json!({"per_day": 2})).await;
        let first = app.withdraw(&ada, 900).key("k").await.expect(201).at("/withdrawal/id");
        app.until_withdrawal(&first, "done").await;
        // The server died before it wrote the answer down, a minute ago; or it did not learn whether its work holds, and forgot the key.
        let died = "UPDATE idempotency_keys SET status = NULL, content = NULL, created_at = 0";
        for lost in [died, "DELETE FROM idempotency_keys"] {
            execute!(app.store(), lost).unwrap();
            let again = app.withdraw(&ada, 900).key("k").await.expect(201);
            assert_eq!((again.at("/withdrawal/id"), again.at("/withdrawal/state")), (first.clone(), "done".to_owned()));
            assert!(again.replayed());
        }
        execute!(app.store(), "DELETE FROM idempotency_keys").unwrap();
        app.withdraw(&ada, 50).key("k").await.refused(422, "idempotency_key_reused");
        assert_eq!((app.balance(&ada).await, paid_out(app).await.len()), ([100, 0, 0, 900], 1));
        // Of others, and after its time, the same key is another.
        let programme = app.programme(&json!({})).await;
        let bob = app.shopper("Bob").await;
        app.earned(&bob, &programme, 100).await;
        assert_ne!(app.withdraw(&bob, 100).key("k").await.expect(201).at("/withdrawal/id"), first);
        app.advance(86_401).await;
        let next = app.withdraw(&ada, 50).key("k").await.expect(201).at("/withdrawal/id");
        assert_ne!(next, first);
        execute!(app.store(), "DELETE FROM idempotency_keys").unwrap();
        assert_eq!(app.withdraw(&ada, 50).key("k").await.expect(201).at("/withdrawal/id"), next);
    }

    async fn what_its_user_turns_down_counts_in_the_day(app: &mut TestApp) {
        let ada = ada_with(app, 1000, &json!({"per_day": 2})).await;
        app.spoil(&json!({"payout": "refuse"})).await;
        let refused = asked(app, &ada, 100).await;
        app.until_withdrawal(&refused, "returned").await;
        for _ in 0..2 {
            app.spoil(&json!({"payout": "confirm"})).await;
            let id = asked(app, &ada, 100).await;
            within(10, "it waits for Ada", async || app.withdrawal(&id).await["state"] == "awaiting_user").await;
            let down = app.post(&format!("/v1/sandbox/withdrawals/{id}/confirm")).by(&ada).json(json!({"accept": false})).await.expect(200);
            assert_eq!((down.at("/state"), down.at("/reason")), ("returned".to_owned(), "turned down by its user".to_owned()));
        }
        app.withdraw(&ada, 100).await.refused(429, "rate_limited");
        assert_eq!(app.balance(&ada).await, [1000, 0, 0, 0]);
    }

    async fn a_server_may_leave_every_approval_to_people(app: &mut TestApp, by_hand()) {
        let ada = ada_with(app, 1000, &json!({})).await;
        let id = asked(app, &ada, 1).await;
        assert_eq!(app.withdrawal(&id).await["state"], "pending");
        decide(app, &id, "approve", json!({})).await.expect(200);
        app.until_withdrawal(&id, "done").await;
    }

    async fn waiting_is_no_failing_try(app: &mut TestApp, impatient()) {
        let ada = ada_with(app, 1000, &json!({})).await;
        let tried = async |id: &str, times: i64| {
            within(20, "it is tried", async || {
                app.advance(150).await;
                app.withdrawal(id).await["attempts"].as_i64().unwrap() >= times
            })
            .await;
        };
        app.spoil(&json!({"payout": "delay", "times": 1000})).await;
        let id = asked(app, &ada, 100).await;
        tried(&id, 4).await;
        app.spoil(&json!({"payout": "fail", "times": 2})).await;
        tried(&id, 6).await;
        app.until_withdrawal(&id, "done").await;
        // Its user takes a while, asked after again and again.
        app.spoil(&json!({"payout": "confirm"})).await;
        let waits = asked(app, &ada, 100).await;
        tried(&waits, 5).await;
        app.spoil(&json!({"payout": "fail", "times": 2})).await;
        tried(&waits, 7).await;
        assert_eq!(app.withdrawal(&waits).await["state"], "awaiting_user");
        app.post(&format!("/v1/sandbox/withdrawals/{waits}/confirm")).by(&ada).await.expect(200);
        app.until_withdrawal(&waits, "done").await;
    }

    async fn what_a_former_provider_was_to_pay_is_seen_to_by_a_person(app: &mut TestApp) {
        let ada = ada_with(app, 1000, &json!({"auto_approve_max_fen": 100})).await;
        let waiting = asked(app, &ada, 300).await;
        app.spoil(&json!({"payout": "confirm"})).await;
        let unconfirmed = asked(app, &ada, 90).await;
        app.until_withdrawal(&unconfirmed, "awaiting_user").await;
        app.spoil(&json!({"payout": "delay", "times": 1000})).await;
        let (paid, unpaid) = (asked(app, &ada, 60).await, asked(app, &ada, 50).await);
        // While the provider may be at work nobody else decides.
        for id in [&unconfirmed, &paid, &unpaid] {
            decide(app, id, "done", json!({})).await.refused(409, "withdrawal_state");
            decide(app, id, "reject", json!({})).await.refused(409, "withdrawal_state");
        }
        app.restart_with(without_sandbox()).await;
        let approved = decide(app, &waiting, "approve", json!({})).await.expect(200);
        assert_eq!((approved.at("/state"), approved.at("/provider")), ("approved".to_owned(), "shop".to_owned()));
        assert_eq!(decide(app, &waiting, "done", json!({})).await.expect(200).at("/state"), "done");
        decide(app, &paid, "retry", json!({})).await.refused(409, "withdrawal_state");
        assert_eq!(decide(app, &paid, "done", json!({})).await.expect(200).at("/state"), "done");
        decide(app, &paid, "reject", json!({})).await.refused(409, "withdrawal_state");
        for id in [&unpaid, &unconfirmed] {
            let back = decide(app, id, "reject", json!({})).await.expect(200);
            assert_eq!((back.at("/state"), &back.json["reason"]), ("returned".to_owned(), &Value::Null), "nobody said why");
        }
        assert_eq!(app.balance(&ada).await, [640, 0, 0, 360]);
    }

    async fn a_large_one_waits_for_an_operator(app: &mut TestApp) {
        let ada = ada_with(app, 1000, &json!({"auto_approve_max_fen": 100})).await;
        let (first, second) = (asked(app, &ada, 300).await, asked(app, &ada, 400).await);
        app.advance(7200).await;
        assert_eq!((app.balance(&ada).await, paid_out(app).await), ([300, 0, 700, 0], vec![]));
        let waiting = app.get("/operator/v1/withdrawals?state=pending").admin().await.expect(200).json;
        assert_eq!(waiting["items"].as_array().unwrap().len(), 2);
        decide(app, &first, "retry", json!({})).await.refused(409, "withdrawal_state");
        decide(app, &first, "done", json!({})).await.refused(409, "withdrawal_state");
        for _ in 0..2 {
            decide(app, &first, "approve", json!({})).await.expect(200);
        }
        let done = app.until_withdrawal(&first, "done").await;
        assert!(done["decided_by"].is_string() && done["done_at"].is_string(), "{done}");
        assert_eq!(decide(app, &second, "reject", json!({"reason": " "})).await.refused(422, "invalid_request").fields(), ["reason"]);
        for _ in 0..2 {
            assert_eq!(decide(app, &second, "reject", json!({"reason": "wrong name"})).await.expect(200).at("/state"), "returned");
        }
        decide(app, &second, "approve", json!({})).await.refused(409, "withdrawal_state");
        decide(app, &first, "reject", json!({"reason": "too late"})).await.refused(409, "withdrawal_state");
        assert_eq!(app.balance(&ada).await, [700, 0, 0, 300]);
        assert_eq!((acts(app, &first).await, acts(app, &second).await), (vec!["withdrawal.approve".to_owned()], vec!["withdrawal.reject".to_owned()]));
        let seen = mine(app, &ada).await.into_iter().find(|one| one["id"] == json!(second)).unwrap();
        assert_eq!((&seen["state"], &seen["reason"]), (&json!("returned"), &json!("wrong name")));
        decide(app, "wd_00000000000000", "approve", json!({})).await.refused(404, "not_found");
    }

    async fn approving_and_rejecting_at_once_do_one_of_both(app: &mut TestApp) {
        let ada = ada_with(app, 1000, &json!({"auto_approve_max_fen": 0})).await;
        for _ in 0..5 {
            let id = asked(app, &ada, 100).await;
            let (yes, no) = tokio::join!(decide(app, &id, "approve", json!({})), decide(app, &id, "reject", json!({"reason": "r"})));
            let state = if yes.status == 200 { "done" } else { "returned" };
            assert_ne!(yes.status, no.status, "{} {}", yes.text, no.text);
            app.until_withdrawal(&id, state).await;
            assert_eq!(acts(app, &id).await.len(), 1);
        }
        let [available, _, withdrawing, withdrawn] = app.balance(&ada).await;
        assert_eq!((available + withdrawn, withdrawing), (1000, 0));
    }

    async fn what_fails_takes_long_loses_its_answer_or_comes_twice_is_paid_once(app: &mut TestApp) {
        let ada = ada_with(app, 1000, &json!({})).await;
        for (place, fault) in ["fail", "delay", "lose", "duplicate"].iter().enumerate() {
            app.spoil(&json!({"payout": fault, "times": 2})).await;
            let id = asked(app, &ada, 100).await;
            let done = app.until_withdrawal(&id, "done").await;
            assert_eq!((&done["last_error"], done["attempts"].as_i64().unwrap() > 1), (&Value::Null, *fault != "duplicate"), "{fault}");
            assert_eq!(paid_out(app).await.len(), place + 1, "{fault}");
            app.spoil(&json!({"payout": fault, "times": 0})).await;
        }
        assert_eq!(app.balance(&ada).await, [600, 0, 0, 400]);
        assert!(paid_out(app).await.iter().all(|(_, fen)| *fen == 100));
    }

    async fn a_crash_after_the_provider_paid_and_before_we_know_pays_once(app: &mut TestApp) {
        let ada = ada_with(app, 1000, &json!({})).await;
        app.spoil(&json!({"payout": "lose"})).await;
        let id = asked(app, &ada, 100).await;
        within(10, "it was paid", async || paid_out(app).await.len() == 1).await;
        app.restart().await;
        app.until_withdrawal(&id, "done").await;
        assert_eq!((app.balance(&ada).await, paid_out(app).await), ([900, 0, 0, 100], vec![(id, 100)]));
    }

    async fn crashes_at_any_moment_neither_lose_nor_double(app: &mut TestApp) {
        let ada = ada_with(app, 10_000, &json!({})).await;
        let mut ids = BTreeSet::new();
        let mut next = 0;
        for fault in ["lose", "duplicate", "delay", "fail", "lose", "duplicate"] {
            app.spoil(&json!({"payout": fault, "times": 3})).await;
            // Five ask one after the other until the server dies, and then whoever got no answer asks the very same again.
            let from = next;
            let asking = join_all((0..5).map(|lane| {
                let (app, ada) = (&*app, &ada);
                async move {
                    let (mut key, mut answered) = (from + lane, BTreeSet::new());
                    while let Ok(answer) = app.withdraw(ada, 10).key(&format!("k{key}")).try_send().await {
                        answered.insert(answer.expect(201).at("/withdrawal/id"));
                        key += 5;
                    }
                    (key, answered)
                }
            }));
            let crash = async {
                tokio::time::sleep(Duration::from_millis(rand::random_range(1..=50))).await;
                app.kill();
            };
            let (lanes, ()) = tokio::join!(asking, crash);
            app.restart().await;
            // A minute goes by for those that were at work.
            execute!(app.store(), "UPDATE idempotency_keys SET created_at = 0 WHERE status IS NULL").unwrap();
            for (key, answered) in lanes {
                ids.extend(answered);
                ids.insert(app.withdraw(&ada, 10).key(&format!("k{key}")).await.expect(201).at("/withdrawal/id"));
                next = next.max(key + 1);
            }
            let (rows,) = fetch_one!(app.store(), (i64,), "SELECT COUNT(*) FROM withdrawals").unwrap();
            assert_eq!(usize::try_from(rows).unwrap(), ids.len(), "one withdrawal for each key, and nobody was answered with another");
        }
        execute!(app.store(), "DELETE FROM sandbox_faults").unwrap();
        within(20, "all are paid out", async || {
            app.advance(60).await;
            app.balance(&ada).await[2] == 0
        })
        .await;
        let (payouts, paid) = fetch_one!(app.store(), (i64, i64), PAID).unwrap();
        assert!(payouts >= 30 && usize::try_from(payouts).unwrap() == ids.len(), "{payouts} payouts of {}", ids.len());
        assert_eq!(app.balance(&ada).await, [10_000 - paid, 0, 0, paid]);
        assert!(mine(app, &ada).await.iter().all(|one| one["state"] == "done"));
    }

    async fn what_the_provider_refuses_for_good_comes_back(app: &mut TestApp) {
        let ada = ada_with(app, 1000, &json!({})).await;
        app.spoil(&json!({"payout": "refuse"})).await;
        let id = asked(app, &ada, 400).await;
        let back = app.until_withdrawal(&id, "returned").await;
        assert_eq!(back["reason"], "refused by the sandbox");
        assert_eq!((app.balance(&ada).await, paid_out(app).await), ([1000, 0, 0, 0], vec![]));
        decide(app, &id, "retry", json!({})).await.refused(409, "withdrawal_state");
    }

    async fn a_payout_that_waits_for_its_user_is_confirmed_turned_down_or_runs_out(app: &mut TestApp) {
        let (ada, eve) = (ada_with(app, 1000, &json!({})).await, app.shopper("Eve").await);
        app.spoil(&json!({"payout": "confirm", "times": 3})).await;
        let mut waiting = Vec::new();
        for _ in 0..3 {
            let id = asked(app, &ada, 100).await;
            within(10, "it waits for Ada", async || app.withdrawal(&id).await["state"] == "awaiting_user").await;
            waiting.push(id);
        }
        let shown = mine(app, &ada).await.remove(0);
        let path = shown["confirmation"]["confirm_path"].as_str().unwrap().to_owned();
        assert_eq!(path, format!("/v1/sandbox/withdrawals/{}/confirm", waiting[2]));
        app.post(&path).by(&eve).await.refused(404, "not_found");
        for _ in 0..2 {
            let done = app.post(&path).by(&ada).await.expect(200);
            assert_eq!((done.at("/state"), &done.json["confirmation"]), ("done".to_owned(), &Value::Null));
        }
        let down = app.post(&format!("/v1/sandbox/withdrawals/{}/confirm", waiting[1])).by(&ada).json(json!({"accept": false})).await;
        assert_eq!(down.expect(200).at("/state"), "returned");
        assert_eq!(app.balance(&ada).await, [800, 0, 100, 100]);
        app.advance(90_000).await;
        let late = app.until_withdrawal(&waiting[0], "returned").await;
        assert_eq!(late["reason"], "not confirmed in time");
        assert_eq!(app.balance(&ada).await, [900, 0, 0, 100]);
    }

    async fn what_nobody_knows_of_waits_for_a_person(app: &mut TestApp, impatient()) {
        let ada = ada_with(app, 1000, &json!({})).await;
        let stuck = async |fault: &str, times: i64| {
            app.spoil(&json!({"payout": fault, "times": times})).await;
            let id = asked(app, &ada, 100).await;
            let record = app.until_withdrawal(&id, "stuck").await;
            assert!(record["last_error"].is_string() && record["attempts"] == 3, "{record}");
            id
        };
        let first = stuck("lose", 3).await;
        let seen = mine(app, &ada).await.remove(0);
        assert_eq!((&seen["state"], app.balance(&ada).await), (&json!("approved"), [900, 0, 100, 0]), "its user waits");
        app.advance(7200).await;
        assert_eq!(app.withdrawal(&first).await["attempts"], 3, "no machine tries it any more");
        assert_eq!(decide(app, &first, "retry", json!({})).await.expect(200).at("/state"), "done", "it had been paid");
        assert_eq!(decide(app, &first, "retry", json!({})).await.expect(200).at("/state"), "done");
        let second = stuck("fail", 3).await;
        assert_eq!(decide(app, &second, "reject", json!({"reason": "it never arrived"})).await.expect(200).at("/state"), "returned");
        let third = stuck("fail", 3).await;
        for _ in 0..2 {
            let done = decide(app, &third, "done", json!({})).await.expect(200);
            assert_eq!((done.at("/state"), done.at("/provider")), ("done".to_owned(), "shop".to_owned()));
        }
        assert_eq!((app.balance(&ada).await, paid_out(app).await.len()), ([800, 0, 0, 200], 1));
        assert_eq!(acts(app, &third).await, ["withdrawal.done"]);
    }

    async fn calls_pause_when_too_many_fail(app: &mut TestApp, a_provider_that_bears_little()) {
        let ada = ada_with(app, 1000, &json!({})).await;
        app.spoil(&json!({"payout": "fail", "times": 1000})).await;
        for _ in 0..6 {
            asked(app, &ada, 10).await;
        }
        let payouts = async || {
            let provider = app.get("/operator/v1/provider").admin().await.expect(200).json;
            provider["calls"].as_array().unwrap().iter().find(|call| call["call"] == "payout").unwrap().clone()
        };
        within(10, "calls pause", async || payouts().await["paused_until"].is_string()).await;
        let tried = fetch_all!(app.store(), (i64,), "SELECT CAST(SUM(attempts) AS BIGINT) FROM withdrawals").unwrap()[0].0;
        assert_eq!(tried, 2);
        app.spoil(&json!({"payout": "fail", "times": 0})).await;
        within(20, "then all are paid out", async || {
            app.advance(60).await;
            app.balance(&ada).await == [940, 0, 0, 60]
        })
        .await;
    }

    async fn a_debt_stands_against_later_rewards_and_blocks_withdrawals(app: &mut TestApp) {
        let (ada, programme) = (app.shopper("Ada").await, app.programme(&json!({})).await);
        app.earned(&ada, &programme, 500).await;
        let id = asked(app, &ada, 500).await;
        app.until_withdrawal(&id, "done").await;
        app.reversed(&ada, &programme, 300).await;
        assert_eq!(app.balance(&ada).await, [-300, 0, 0, 500]);
        app.withdraw(&ada, 1).await.refused(409, "balance_too_low");
        app.earned(&ada, &programme, 200).await;
        assert_eq!(app.balance(&ada).await, [-100, 0, 0, 500]);
        app.withdraw(&ada, 1).await.refused(409, "balance_too_low");
        app.earned(&ada, &programme, 150).await;
        assert_eq!(app.balance(&ada).await, [50, 0, 0, 500]);
        app.withdraw(&ada, 51).await.refused(409, "balance_too_low");
        let rest = asked(app, &ada, 50).await;
        app.until_withdrawal(&rest, "done").await;
    }

    async fn without_a_provider_the_shop_pays_by_hand(app: &mut TestApp, without_sandbox()) {
        let (ada, programme) = (app.shop_shopper("Ada").await, app.programme(&json!({})).await);
        app.earned(&ada, &programme, 500).await;
        let (first, second) = (asked(app, &ada, 100).await, asked(app, &ada, 100).await);
        app.post(&format!("/v1/sandbox/withdrawals/{first}/confirm")).by(&ada).await.refused(404, "not_found");
        assert_eq!(app.withdrawal(&first).await["provider"], "shop");
        assert_eq!(decide(app, &first, "done", json!({})).await.expect(200).at("/state"), "done");
        assert_eq!(decide(app, &second, "reject", json!({"reason": "no account"})).await.expect(200).at("/state"), "returned");
        assert_eq!(app.balance(&ada).await, [400, 0, 0, 100]);
    }

    async fn operators_filter_the_list_and_take_it_as_csv(app: &mut TestApp) {
        let rules = json!({"auto_approve_max_fen": 0});
        let (ada, bob) = (ada_with(app, 500, &rules).await, ada_with(app, 500, &rules).await);
        let first = asked(app, &ada, 100).await;
        asked(app, &bob, 200).await;
        let listed = async |query: &str| {
            let list = app.get(&format!("/operator/v1/withdrawals?{query}")).admin().await.expect(200).json;
            list["items"].as_array().unwrap().iter().map(|one| one["amount_fen"].as_i64().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(listed("").await, [200, 100]);
        assert_eq!(listed(&format!("user_id={}", ada.user_id)).await, [100]);
        assert_eq!(listed("state=done").await, Vec::<i64>::new());
        assert_eq!(listed("state=pending&from=2020-01-01T00:00:00Z").await, [200, 100]);
        assert_eq!(listed("to=2020-01-01T00:00:00Z").await, Vec::<i64>::new());
        let csv = app.get("/operator/v1/withdrawals").admin().header("Accept", "text/csv").await.expect(200).text;
        assert!(csv.starts_with("id,user_id,amount_fen,state,") && csv.contains(&format!("{first},{},100,pending,", ada.user_id)), "{csv}");
        assert_eq!(csv.lines().count(), 3);
    }
}
