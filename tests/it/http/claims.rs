//! What rewards and withdrawals say is in the ledger, or the audit finds it.

use liebian::ledger::trial;
use liebian::store::execute;
use serde_json::{Value, json};

use crate::support::{TestApp, programme, served};

async fn change(app: &TestApp, statements: &[String]) {
    for statement in statements {
        execute!(app.store(), sqlx::AssertSqlSafe(statement.clone())).unwrap();
    }
}

/// What is changed behind everybody's back, how it is undone, and the checks that find it.
struct Tampered {
    what: &'static str,
    tamper: Vec<String>,
    mend: Vec<String>,
    found: &'static [&'static str],
}

fn tampered(user: &str, open: &str) -> [Tampered; 6] {
    let of = |what, tamper, mend, found| Tampered { what, tamper, mend, found };
    let shift = |from: &str, to: &str| {
        [(from, "-"), (to, "+")]
            .map(|(kind, sign)| format!("UPDATE accounts SET balance_fen = balance_fen {sign} 1000 WHERE id = '{kind}:{user}'"))
    };
    let ripened = "order_number = 'ripe' AND level = 1 AND kind = 'reward_available'";
    let took = format!("kind = 'withdrawal_held' AND withdrawal_id = '{open}'");
    let forged = format!(
        "INSERT INTO transfers (reference, from_account, to_account, amount_fen, kind, at, user_id, line, from_after_fen, to_after_fen) \
         VALUES ('forged', 'debt:{user}', 'available:{user}', 7, 'debt_settled', 1, '{user}', 1000000, 0, 0)"
    );
    let sql = |text: &str| text.to_owned();
    [
        of(
            "a reward's transfer is gone, and both balances are made to fit",
            [
                vec![
                    format!("CREATE TABLE put_by AS SELECT * FROM transfers WHERE {ripened}"),
                    format!("DELETE FROM transfers WHERE {ripened}"),
                ],
                shift("available", "frozen").to_vec(),
            ]
            .concat(),
            [vec![sql("INSERT INTO transfers SELECT * FROM put_by"), sql("DROP TABLE put_by")], shift("frozen", "available").to_vec()]
                .concat(),
            &["rewards_equal_ledger"],
        ),
        of(
            "a transfer's order is another",
            vec![sql("UPDATE transfers SET order_number = 'nobodys' WHERE order_number = 'frozen' AND level = 2")],
            vec![sql("UPDATE transfers SET order_number = 'frozen' WHERE order_number = 'nobodys'")],
            &["rewards_equal_ledger"],
        ),
        of(
            "what went back is less than the row says",
            vec![sql("UPDATE transfers SET kind = 'reward_available' WHERE order_number = 'gone' AND kind = 'reward_reversed'")],
            vec![sql("UPDATE transfers SET kind = 'reward_reversed' WHERE order_number = 'gone' AND kind = 'reward_available'")],
            &["rewards_equal_ledger"],
        ),
        of(
            "a withdrawal says that it is paid out",
            vec![format!("UPDATE withdrawals SET state = 'done' WHERE id = '{open}'")],
            vec![format!("UPDATE withdrawals SET state = 'pending' WHERE id = '{open}'")],
            &["withdrawals_equal_ledger", "wallets_fit_together"],
        ),
        of(
            "what a withdrawal took is booked for nothing",
            vec![format!("UPDATE transfers SET withdrawal_id = 'wd_nothing' WHERE {took}")],
            vec![format!("UPDATE transfers SET withdrawal_id = '{open}' WHERE withdrawal_id = 'wd_nothing'")],
            &["withdrawals_equal_ledger"],
        ),
        of(
            "somebody has and owes at once",
            vec![
                forged,
                format!("UPDATE accounts SET balance_fen = balance_fen - 7 WHERE id = 'debt:{user}'"),
                format!("UPDATE accounts SET balance_fen = balance_fen + 7 WHERE id = 'available:{user}'"),
            ],
            vec![
                sql("DELETE FROM transfers WHERE reference = 'forged'"),
                format!("UPDATE accounts SET balance_fen = balance_fen + 7 WHERE id = 'debt:{user}'"),
                format!("UPDATE accounts SET balance_fen = balance_fen - 7 WHERE id = 'available:{user}'"),
            ],
            &["wallets_fit_together"],
        ),
    ]
}

served! {
    async fn rewards_and_withdrawals_that_the_ledger_contradicts_are_found(app: &mut TestApp) {
        let rules = json!({"withdrawal": {"min_fen": 1, "max_fen": 10_000, "per_day": 9, "auto_approve_max_fen": 0}});
        let campaign = app.publish_whole(&programme(&rules)).await;
        let line = app.line_of(&campaign, 3).await;
        let told = async |number: &str, state: &str, back: i64| {
            let report = json!({"number": number, "user_id": line[2].user_id, "amount_fen": 10_000, "state": state, "refunded_fen": back});
            app.post("/operator/v1/outside_orders").admin().json(report).await
        };
        for (number, state) in [("ripe", "fulfilled"), ("then back", "fulfilled"), ("part", "fulfilled")] {
            told(&number.replace(' ', "-"), state, 0).await.expect(201);
        }
        told("part", "refunded", 1_000).await.expect(200);
        app.advance(3_700).await;
        told("then-back", "refunded", 10_000).await.expect(200);
        told("frozen", "fulfilled", 3_000).await.expect(201);
        told("gone", "refunded", 10_000).await.expect(201);
        app.rewards_of(&line[1]).await;
        let [paid, back, open] = [30, 20, 10].map(|fen| app.withdraw(&line[1], fen));
        let [paid, back, open] = [paid.await, back.await, open.await].map(|answer| answer.expect(201).at("/withdrawal/id"));
        app.post(&format!("/operator/v1/withdrawals/{paid}/approve")).admin().await.expect(200);
        app.post(&format!("/operator/v1/withdrawals/{back}/reject")).admin().json(json!({"reason": "no"})).await.expect(200);
        app.until_withdrawal(&paid, "done").await;
        assert_eq!(app.audit_finds(&campaign).await, Vec::<String>::new());
        assert!(app.spawn(&["trial-balance"]).wait().unwrap().success());

        for Tampered { what, tamper, mend, found } in tampered(&line[1].user_id, &open) {
            change(app, &tamper).await;
            assert_eq!(app.audit_finds(&campaign).await, found, "{what}");
            let trial = trial::of_all(app.store()).await.unwrap();
            assert!(trial.balances() && !trial.holds(), "{what}: {trial:?}");
            assert_eq!(app.spawn(&["trial-balance"]).wait().unwrap().code(), Some(1), "{what}");
            change(app, &mend).await;
            assert_eq!(app.audit_finds(&campaign).await, Vec::<String>::new(), "{what}, mended");
        }
        let Value::Array(rewards) = app.get(&format!("/operator/v1/campaigns/{campaign}/rewards")).admin().await.expect(200).json["items"].take() else {
            panic!("a list")
        };
        assert_eq!(rewards.len(), 10);
    }
}
