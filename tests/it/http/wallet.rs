//! What a shopper has earned, and where the money of orders is.

use std::process::Stdio;

use liebian::store::{execute, fetch_all};
use serde_json::{Value, json};

use crate::support::{Folder, TestApp, served, spawn, tied, with, within};

/// The balances of a campaign's accounts: taken, received, kept, to be sent back.
async fn books(app: &TestApp, campaign: &str) -> [i64; 4] {
    const ACCOUNTS: &str = "SELECT kind, balance_fen FROM accounts WHERE owner = $1";
    app.wait_until_projected().await;
    let rows = fetch_all!(app.store(), (String, i64), ACCOUNTS, campaign).unwrap();
    ["taken", "received", "kept", "refunds_due"].map(|kind| rows.iter().find(|row| row.0 == kind).map_or(0, |row| row.1))
}

served! {
    async fn the_balance_and_the_statement_tell_the_same(app: &mut TestApp) {
        let ada = app.shopper("Ada").await;
        assert_eq!(app.balance(&ada).await, [0; 4]);
        let programme = app.programme(&json!({"auto_approve_max_fen": 0})).await;
        app.rewarded(&ada, &programme, 300).await;
        app.earned(&ada, &programme, 500).await;
        let withdrawal = app.withdraw(&ada, 200).await.expect(201).at("/withdrawal/id");
        assert_eq!(app.balance(&ada).await, [300, 300, 200, 0]);
        let (mut lines, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = app.get(&format!("/v1/me/statement?limit=2{cursor}")).session(&ada.session).await.expect(200).json;
            lines.extend(page["items"].as_array().unwrap().clone());
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        let told: Vec<_> = lines.iter().map(|line| (line["account"].as_str().unwrap(), line["amount_fen"].as_i64().unwrap())).collect();
        let all = [("withdrawing", 200), ("available", -200), ("available", 500), ("frozen", -500), ("frozen", 500), ("frozen", 300)];
        assert_eq!(told, all);
        assert_eq!((&lines[0]["kind"], &lines[0]["withdrawal_id"], &lines[0]["campaign_id"]), (&json!("withdrawal_held"), &json!(withdrawal), &Value::Null));
        let reward = (&lines[5]["kind"], &lines[5]["campaign_id"], &lines[5]["level"], &lines[5]["balance_fen"]);
        assert_eq!(reward, (&json!("reward_frozen"), &json!(programme), &json!(1), &json!(300)));
        assert!(lines[5]["order_number"].is_string());
    }

    async fn every_fen_of_an_order_is_in_the_ledger(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(2, 20, &json!({}))).await;
        let (ada, seat) = app.opened(&campaign).await;
        assert_eq!(books(app, &campaign).await, [0; 4], "nothing is paid");
        app.pay(&ada, &seat.order).await.expect(200);
        assert_eq!(books(app, &campaign).await, [-4950, 4950, 0, 0]);
        // Paid once more by the shop: it buys nothing and goes back.
        app.report_paid(&seat.order, "again", 4950).await.expect(200);
        assert_eq!(books(app, &campaign).await, [-9900, 4950, 0, 4950]);
        app.post(&format!("/operator/v1/refunds/{}r1/done", seat.order)).admin().await.expect(200);
        assert_eq!(books(app, &campaign).await, [-4950, 4950, 0, 0]);
        let (bob, other) = app.joined_and_paid(&seat.room).await;
        assert_eq!(books(app, &campaign).await, [-9900, 0, 9900, 0], "the room has formed");
        app.operate(&seat.order, "refund", &json!({"amount_fen": 950, "reason": "late"})).await.expect(200);
        within(10, "it is back", async || app.order(&ada, &seat.order).await["refunded_fen"] == 5900).await;
        assert_eq!(books(app, &campaign).await, [-8950, 0, 8950, 0]);
        app.operate(&other.order, "cancel", &json!({"reason": "out of tea"})).await.expect(200);
        app.until_state(&bob, &other.order, "refunded").await;
        assert_eq!(books(app, &campaign).await, [-4000, 0, 4000, 0]);
        // Whoever pays after the time is over, and whose room fails.
        let (carl, late) = app.opened_and_paid(&campaign).await;
        assert_eq!(books(app, &campaign).await, [-8950, 4950, 4000, 0]);
        app.advance(90_000).await;
        app.until_state(&carl, &late.order, "refunded").await;
        assert_eq!(books(app, &campaign).await, [-4000, 0, 4000, 0]);
        app.audited(&campaign).await;
        assert!(app.spawn(&["trial-balance"]).wait().unwrap().success());
        execute!(app.store(), "UPDATE accounts SET balance_fen = balance_fen + 1 WHERE kind = 'kept'").unwrap();
        assert_eq!(app.spawn(&["trial-balance"]).wait().unwrap().code(), Some(1));
        // It needs the database's address and nothing else; trouble is not the same as wrong books.
        let folder = Folder::new();
        let alone = |url: &str| {
            let mut command = tied("KILL", &[], env!("CARGO_BIN_EXE_liebian"));
            command.arg("trial-balance").env_clear().env("LIEBIAN_DATABASE_URL", url).current_dir(folder.path()).stdout(Stdio::null());
            spawn(command).wait().unwrap().code()
        };
        assert_eq!((alone(&app.db.url), alone("sqlite:///nowhere/at/all.db")), (Some(1), Some(2)));
        assert_eq!(app.audit_finds(&campaign).await, ["ledger_balances"]);
        execute!(app.store(), "UPDATE accounts SET balance_fen = balance_fen - 1 WHERE kind = 'kept'").unwrap();
    }
}
