//! Money on its way out: what neither operators nor races nor late answers may do to it.

use futures_util::future::join_all;
use liebian::store::{fetch_all, fetch_one};
use serde_json::{Value, json};

use crate::support::{Answer, Db, Request, Second, Setup, Shopper, TestApp, served, within};

fn impatient() -> Setup {
    let env = vec![("LIEBIAN_REFUND_TRIES", "3".to_owned()), ("LIEBIAN_PROVIDER_FAILURES_PER_MINUTE", "1000".to_owned())];
    Setup { env, ..Setup::default() }
}

fn a_provider_that_bears_little() -> Setup {
    Setup { env: vec![("LIEBIAN_PROVIDER_FAILURES_PER_MINUTE", "2".to_owned())], ..Setup::default() }
}

/// Ada, who has earned ten yuan, and the programme she earned them in.
async fn ada_with(app: &TestApp, rules: &Value) -> (Shopper, String) {
    let (ada, programme) = (app.shopper("Ada").await, app.programme(rules).await);
    app.earned(&ada, &programme, 1000).await;
    (ada, programme)
}

async fn asked(app: &TestApp, shopper: &Shopper, fen: i64) -> String {
    app.withdraw(shopper, fen).await.expect(201).at("/withdrawal/id")
}

fn decide(app: &TestApp, id: &str, step: &str) -> Request {
    let body = if step == "reject" { json!({"reason": "r"}) } else { json!({}) };
    app.post(&format!("/operator/v1/withdrawals/{id}/{step}")).json(body)
}

/// Another key that may move money: its id and itself.
async fn another_key(app: &TestApp) -> (String, String) {
    let made = app.post("/operator/v1/keys").admin().json(json!({"name": "Fay", "role": "finance"})).await.expect(201);
    (made.at("/id"), made.at("/secret"))
}

async fn stuck(app: &TestApp, id: &str) -> Value {
    let record = app.until_withdrawal(id, "stuck").await;
    assert_eq!(record["attempts"], 3, "{record}");
    record
}

/// A withdrawal's place in the sandbox's books: how often, and fen.
async fn paid_out(app: &TestApp) -> (i64, i64) {
    const PAID: &str = "SELECT COUNT(*), CAST(COALESCE(SUM(amount_fen), 0) AS BIGINT) FROM sandbox_payouts WHERE state = 'done'";
    fetch_all!(app.store(), (i64, i64), PAID).unwrap()[0]
}

/// 64 withdrawals of 90 at servers in turn, while half of what was earned is taken back.
async fn raced_by_a_reversal(app: &TestApp, servers: &[&str]) {
    let (ada, programme) = ada_with(app, &json!({})).await;
    let withdraw = |number: usize| {
        let url = format!("{}/v1/me/withdrawals", servers[number % servers.len()]);
        Request::from(app.http.post(url)).by(&ada).json(json!({"amount_fen": 90}))
    };
    let asking = join_all((0..64).map(|number| async move { withdraw(number).await }));
    let (answers, ()) = tokio::join!(asking, app.reversed(&ada, &programme, 500));
    let held = answers.iter().filter(|answer| answer.status == 201).count();
    for answer in answers.into_iter().filter(|answer| answer.status != 201) {
        answer.refused(409, "balance_too_low");
    }
    assert!((5..=11).contains(&held), "{held}: what was taken back before cannot be taken out");
    let out = i64::try_from(held).unwrap() * 90;
    within(20, "all are paid out", async || app.balance(&ada).await == [500 - out, 0, 0, out]).await;
    assert_eq!(paid_out(app).await, (i64::try_from(held).unwrap(), out));
}

served! {
    async fn sixty_four_at_once_and_a_reversal_between_them(app: &mut TestApp) {
        raced_by_a_reversal(app, &[&app.base]).await;
    }

    async fn what_the_provider_is_paying_out_is_no_persons_to_decide(app: &mut TestApp) {
        let (ada, _) = ada_with(app, &json!({})).await;
        app.spoil(&json!({"payout": "delay", "times": 1000})).await;
        let id = asked(app, &ada, 400).await;
        within(10, "the provider has it", async || app.withdrawal(&id).await["attempts"] != 0).await;
        for step in ["reject", "done", "approve"] {
            let answer: Answer = decide(app, &id, step).admin().await;
            if step == "approve" {
                assert_eq!(answer.expect(200).at("/state"), "approved", "it is already");
            } else {
                answer.refused(409, "withdrawal_state");
            }
        }
        assert_eq!(app.balance(&ada).await, [600, 0, 400, 0]);
        app.spoil(&json!({"payout": "delay", "times": 0})).await;
        let done = app.until_withdrawal(&id, "done").await;
        assert_eq!((&done["provider"], &done["decided_by"], &done["last_error"]), (&json!("sandbox"), &Value::Null, &Value::Null));
        assert_eq!((app.balance(&ada).await, paid_out(app).await), ([600, 0, 0, 400], (1, 400)));
        let log = app.get(&format!("/operator/v1/audit_log?target={id}")).admin().await.expect(200).json;
        assert_eq!(log["items"], json!([]));
    }

    async fn a_retry_waits_while_calls_pause(app: &mut TestApp, a_provider_that_bears_little()) {
        let (ada, _) = ada_with(app, &json!({})).await;
        app.spoil(&json!({"payout": "fail", "times": 1000})).await;
        let mut ids = Vec::new();
        for _ in 0..4 {
            ids.push(asked(app, &ada, 10).await);
        }
        let paused = async || {
            let provider = app.get("/operator/v1/provider").admin().await.expect(200).json;
            let calls = provider["calls"].as_array().unwrap().clone();
            calls.iter().any(|call| call["call"] == "payout" && call["paused_until"].is_string())
        };
        within(10, "calls pause", paused).await;
        app.spoil(&json!({"payout": "fail", "times": 0})).await;
        let after = decide(app, &ids[3], "retry").admin().await.expect(200);
        assert_eq!((after.at("/state"), paid_out(app).await), ("approved".to_owned(), (0, 0)));
        let due = fetch_one!(app.store(), (i64, i64), "SELECT next_attempt_at, updated_at FROM withdrawals WHERE id = $1", &ids[3]).unwrap();
        assert_eq!(due.0, due.1, "it is its turn as soon as calls are made again");
        assert!(paused().await);
        for id in ids {
            app.until_withdrawal(&id, "done").await;
        }
    }

    async fn whoever_retries_gives_it_all_its_tries_again(app: &mut TestApp, impatient()) {
        let (ada, _) = ada_with(app, &json!({})).await;
        app.spoil(&json!({"payout": "fail", "times": 4})).await;
        let id = asked(app, &ada, 100).await;
        stuck(app, &id).await;
        let again = decide(app, &id, "retry").admin().await.expect(200);
        assert_eq!((again.at("/state"), again.at("/attempts")), ("approved".to_owned(), "1".to_owned()));
        app.until_withdrawal(&id, "done").await;
    }

    async fn whoever_decided_stands_beside_it(app: &mut TestApp, impatient()) {
        let (ada, _) = ada_with(app, &json!({"auto_approve_max_fen": 100})).await;
        let (fay, key) = another_key(app).await;
        app.spoil(&json!({"payout": "fail", "times": 6})).await;
        // Approved by one, paid by hand by another.
        let first = asked(app, &ada, 200).await;
        let approver = decide(app, &first, "approve").admin().await.expect(200).at("/decided_by");
        assert_ne!(approver, fay);
        stuck(app, &first).await;
        let paid = decide(app, &first, "done").session(&key).await.expect(200);
        assert_eq!((paid.at("/decided_by"), paid.json["decided_at"].is_string()), (approver, true));
        // Approved by nobody.
        let second = asked(app, &ada, 100).await;
        stuck(app, &second).await;
        assert_eq!(decide(app, &second, "done").session(&key).await.expect(200).at("/decided_by"), fay);
        let third = asked(app, &ada, 300).await;
        let back = decide(app, &third, "reject").session(&key).await.expect(200);
        assert_eq!((back.at("/decided_by"), back.json["decided_at"].is_string(), back.json["done_at"].is_string()), (fay, true, true));
        assert_eq!(app.balance(&ada).await, [700, 0, 0, 300]);
    }

    async fn what_came_back_asks_nothing_of_its_user_any_more(app: &mut TestApp, impatient()) {
        let (ada, _) = ada_with(app, &json!({})).await;
        app.spoil(&json!({"payout": "confirm"})).await;
        let id = asked(app, &ada, 100).await;
        within(10, "it waits for Ada", async || app.withdrawal(&id).await["state"] == "awaiting_user").await;
        app.spoil(&json!({"payout": "fail", "times": 3})).await;
        app.until_withdrawal(&id, "stuck").await;
        let back = decide(app, &id, "reject").admin().await.expect(200);
        assert_eq!((back.at("/state"), &back.json["confirmation"]), ("returned".to_owned(), &Value::Null));
        assert_eq!(app.balance(&ada).await, [1000, 0, 0, 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_take_out_what_there_is_and_no_more() {
    let app = TestApp::start(Db::postgres().await, Setup::default()).await;
    let second = Second::start(&app).await;
    raced_by_a_reversal(&app, &[&app.base, &second.base]).await;
    drop(second);
    app.finish().await;
}
