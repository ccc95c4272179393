//! A person is forgotten, and the books stay whole.

use liebian::store::{execute, fetch_all, fetch_one};
use serde_json::json;

use crate::support::{Db, Second, Setup, TestApp, served, with, within};

served! {
    async fn an_erased_shopper_is_nobody_and_what_they_bought_stays(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(2, 9, &json!({}))).await;
        let device = app.device().await;
        let ada = app.login(&device, "ada@example.org", "Adelaide").await;
        let other = app.login(&device, "ada@example.org", "").await;
        let seat = app.open(&ada, &campaign).await.expect(201).seat();
        app.pay(&ada, &seat.order).await.expect(200);
        let (bob, _) = app.joined_and_paid(&seat.room).await;
        app.patch(&format!("/operator/v1/orders/{}", seat.order)).admin().json(json!({"metadata": {"phone": "13800008000"}})).await.expect(200);
        app.operate(&seat.order, "refund", &json!({"amount_fen": 50, "reason": "Adelaide rang up"})).await.expect(200);
        assert_eq!(app.room(&seat.room).await["leader"], "A**");

        let path = format!("/operator/v1/users/{}/erase", ada.user_id);
        let erased = app.post(&path).admin().await.expect(200);
        assert_eq!(erased.at("/user_id"), ada.user_id);
        assert_eq!(app.post(&path).admin().await.expect(200).json, erased.json, "a repeat changes nothing");
        app.post("/operator/v1/users/usr_0123456789abcd/erase").admin().await.refused(404, "not_found");

        // All sessions are over, on every node and after a restart; the same login is somebody new.
        for session in [&ada.session, &other.session] {
            app.get("/v1/me/orders").session(session).await.refused(401, "unauthenticated");
        }
        app.restart().await;
        app.get("/v1/me/orders").session(&ada.session).await.refused(401, "unauthenticated");
        let again = app.login(&device, "ada@example.org", "Adelaide").await;
        assert_ne!(again.user_id, ada.user_id);
        assert_eq!(app.get("/v1/me/orders").session(&again.session).await.expect(200).json["items"], json!([]));

        // The name is gone wherever it was seen; the books are as they were.
        let room = app.room(&seat.room).await;
        assert_eq!((&room["leader"], &room["members"][0]["name"], &room["members"][1]["name"]), (&json!("**"), &json!("**"), &json!("M**")));
        let record = app.get(&format!("/operator/v1/orders/{}", seat.order)).admin().await.expect(200).json;
        assert_eq!((&record["user_id"], &record["paid_fen"], &record["metadata"]), (&json!(ada.user_id), &json!(4950), &json!({})));
        let log = app.get("/operator/v1/audit_log?limit=200").admin().await.expect(200).text;
        assert!(!log.contains("Adelaide") && !log.contains("138") && log.contains("(erased)") && log.contains("user.erase"), "{log}");
        assert_eq!(log.matches("user.erase").count(), 1);
        let people = fetch_all!(app.store(), (String, String), "SELECT display_name, external_id FROM users LIMIT 100").unwrap();
        assert_eq!(people.iter().filter(|(name, id)| name.contains("Adelaide") || id.contains("ada@")).count(), 1, "only the new one: {people:?}");
        app.audited(&campaign).await;
        assert_eq!(app.get("/v1/me/orders").session(&bob.session).await.expect(200).json["items"][0]["state"], "confirmed");
    }

    async fn answers_kept_for_keys_go_with_the_person(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(2, 9, &json!({"orders_per_user": 5, "rooms_opened_per_user": 5, "unpaid_per_user": 5}))).await;
        let (ada, seat) = app.opened_and_paid(&campaign).await;
        let (bob, other) = app.joined_and_paid(&seat.room).await;
        app.patch(&format!("/operator/v1/orders/{}", seat.order)).admin().json(json!({"metadata": {"phone": "13800008000"}})).await.expect(200);
        for (order, person) in [(&seat.order, &ada), (&other.order, &bob)] {
            app.operate(order, "fulfil", &json!({})).key("k").await.expect(200);
            app.post("/v1/shares").by(person).json(json!({"campaign_id": campaign})).key("k").await.expect(201);
        }
        let kept = async || fetch_one!(app.store(), (i64,), "SELECT COUNT(*) FROM idempotency_keys").unwrap().0;
        let before = kept().await;
        app.post(&format!("/operator/v1/users/{}/erase", ada.user_id)).admin().key("e").await.expect(200);
        // Hers and the operator's on her order are gone; the erasure's own is new.
        assert_eq!(kept().await, before - 2 + 1);
        let fulfilled = app.operate(&seat.order, "fulfil", &json!({})).key("k").await.expect(200);
        assert!(!fulfilled.text.contains("138"), "{}", fulfilled.text);
        assert!(app.operate(&other.order, "fulfil", &json!({})).key("k").await.expect(200).replayed());
        assert!(app.post("/v1/shares").by(&bob).json(json!({"campaign_id": campaign})).key("k").await.expect(201).replayed());
        assert!(app.post(&format!("/operator/v1/users/{}/erase", ada.user_id)).admin().key("e").await.expect(200).replayed());
    }

    async fn words_about_withdrawals_go_with_the_person(app: &mut TestApp) {
        // What a provider may have said before a person looked at it.
        const SAID: &str = "UPDATE withdrawals SET last_error = 'no account of Adelaide', confirmation = '{\"phone\":\"13800008000\"}' WHERE id = $1";
        let programme = app.programme(&json!({"auto_approve_max_fen": 0})).await;
        let (ada, bob) = (app.shopper("Ada").await, app.shopper("Bob").await);
        for person in [&ada, &bob] {
            app.earned(person, &programme, 500).await;
            let id = app.withdraw(person, 300).await.expect(201).at("/withdrawal/id");
            execute!(app.store(), SAID, &id).unwrap();
            let reject = app.post(&format!("/operator/v1/withdrawals/{id}/reject")).admin().json(json!({"reason": "Adelaide rang up"}));
            reject.key(&person.user_id).await.expect(200);
        }
        let told = async || {
            let log = app.get("/operator/v1/audit_log?limit=200&action=withdrawal.reject").admin().await.expect(200).text;
            let rows = app.get("/operator/v1/withdrawals").admin().await.expect(200).text;
            let (kept,) = fetch_one!(app.store(), (i64,), "SELECT COUNT(*) FROM idempotency_keys WHERE about LIKE 'wd_%'").unwrap();
            (log.matches("no account of Adelaide").count(), log.matches("13800008000").count(), log.matches("rang up").count(),
                rows.matches("rang up").count(), kept)
        };
        assert_eq!(told().await, (2, 2, 2, 2, 2));
        app.post(&format!("/operator/v1/users/{}/erase", ada.user_id)).admin().await.expect(200);
        assert_eq!(told().await, (1, 1, 1, 1, 1), "Bob's stay");
        let log = app.get("/operator/v1/audit_log?limit=200&action=withdrawal.reject").admin().await.expect(200).text;
        assert_eq!(log.matches("\"amount_fen\":300").count(), 2, "figures stay: {log}");
    }

    async fn nobody_logs_in_as_somebody_erased(app: &mut TestApp) {
        let ada = app.shopper("Ada").await;
        app.post(&format!("/operator/v1/users/{}/erase", ada.user_id)).admin().await.expect(200);
        let (kept,) = fetch_one!(app.store(), (String,), "SELECT external_id FROM users WHERE id = $1", &ada.user_id).unwrap();
        for route in ["/v1/sessions", "/operator/v1/sessions"] {
            let body = if route.starts_with("/operator") { json!({"external_user_id": kept}) } else { json!({"provider": "sandbox", "code": kept}) };
            app.post(route).admin().json(body).await.refused(422, "invalid_request");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_erased_or_logs_out_is_so_on_every_server() {
    let app = TestApp::start(Db::postgres().await, Setup::default()).await;
    let second = Second::start(&app).await;
    let campaign = app.publish_whole(&with(2, 9, &json!({}))).await;
    let (ada, bob) = (app.shopper("Ada").await, app.shopper("Bob").await);
    let seat = app.open(&ada, &campaign).await.expect(201).seat();
    let there = async |path: &str, session: &str| {
        let request = app.http.get(format!("{}{path}", second.base)).header("Authorization", format!("Bearer {session}"));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let room = format!("/v1/rooms/{}", seat.room);
    within(10, "the second server knows the room", async || there(&room, &bob.session).await.1.contains("\"A**\"")).await;
    assert_eq!(there("/v1/me/orders", &ada.session).await.0, 200);
    app.post(&format!("/operator/v1/users/{}/erase", ada.user_id)).admin().await.expect(200);
    app.delete("/v1/sessions/current").session(&bob.session).await.expect(204);
    within(10, "both sessions are over there", async || {
        there("/v1/me/orders", &ada.session).await.0 == 401 && there("/v1/me/orders", &bob.session).await.0 == 401
    })
    .await;
    within(10, "the name is gone there", async || there(&room, &ada.session).await.1.contains("\"leader\":\"**\"")).await;
    drop(second);
    app.finish().await;
}
