//! Sessions, devices, operator keys and their roles.

use serde_json::{Value, json};

use crate::support::{ADMIN_KEY, Shopper, TestApp, served, unique};

/// A new key of this role: its secret and its id.
async fn key(app: &TestApp, role: &str) -> (String, String) {
    let made = app.post("/operator/v1/keys").admin().json(json!({"name": format!("a {role}"), "role": role})).await.expect(201);
    assert_eq!(made.at("/role"), role);
    (made.at("/secret"), made.at("/id"))
}

served! {
    async fn who_calls_must_have_a_session_and_a_device(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let ada = app.shopper("Ada").await;
        let path = format!("/v1/campaigns/{campaign}/rooms");
        let open = || app.post(&path).json(json!({"sku": "tea", "quantity": 1}));
        open().await.refused(401, "unauthenticated");
        open().header("X-Device-Token", &ada.device).await.refused(401, "unauthenticated");
        open().session(&ada.session).await.refused(401, "device_required");
        for wrong in ["", "nonsense", ada.device.split_at(ada.device.len() - 1).0, &ada.session] {
            open().session(&ada.session).header("X-Device-Token", wrong).await.refused(401, "device_invalid");
        }
        for wrong in ["", "nonsense", ada.session.split_at(1).1, &ada.device, ADMIN_KEY] {
            open().session(wrong).header("X-Device-Token", &ada.device).await.refused(401, "unauthenticated");
        }
        open().header("Authorization", &ada.session).header("X-Device-Token", &ada.device).await.refused(401, "unauthenticated");
        open().by(&ada).await.expect(201);
        app.get("/v1/me/orders").await.refused(401, "unauthenticated");
        app.get("/v1/me/orders").session(&ada.session).await.expect(200);
    }

    async fn the_same_login_is_the_same_shopper_and_a_newcomer_until_the_first_payment(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (device, code) = (app.device().await, format!("code {}", unique()));
        let login = || app.post("/v1/sessions").json(json!({"provider": "sandbox", "code": code, "display_name": "Ada"}));
        let first = login().await.expect(201);
        assert_eq!(first.json["newcomer"], true);
        let ada = Shopper { session: first.at("/session_token"), device, user_id: first.at("/user_id") };
        let seat = app.open(&ada, &campaign).await.expect(201).seat();
        assert_eq!(login().await.expect(201).json["newcomer"], true, "an unpaid order changes nothing");
        app.pay(&ada, &seat.order).await.expect(200);
        let second = login().await.expect(201);
        assert_eq!((second.at("/user_id"), &second.json["newcomer"]), (ada.user_id.clone(), &json!(false)));
        assert_ne!(second.at("/session_token"), ada.session);
    }

    async fn an_ended_session_is_refused_from_then_on(app: &mut TestApp) {
        let (ada, bob) = (app.shopper("Ada").await, app.shopper("Bob").await);
        app.delete("/v1/sessions/current").session(&ada.session).await.expect(204);
        app.get("/v1/me/orders").session(&ada.session).await.refused(401, "unauthenticated");
        app.delete("/v1/sessions/current").session(&ada.session).await.refused(401, "unauthenticated");
        app.get("/v1/me/orders").session(&bob.session).await.expect(200);
        app.restart().await;
        app.get("/v1/me/orders").session(&ada.session).await.refused(401, "unauthenticated");
        app.get("/v1/me/orders").session(&bob.session).await.expect(200);
    }

    async fn tokens_hold_for_thirty_days(app: &mut TestApp) {
        let ada = app.shopper("Ada").await;
        app.advance(30 * 86_400 - 60).await;
        app.get("/v1/me/orders").session(&ada.session).await.expect(200);
        app.advance(61).await;
        app.get("/v1/me/orders").session(&ada.session).await.refused(401, "unauthenticated");
        let again = app.login(&ada.device, &format!("code {}", unique()), "Ada").await;
        let share = app.post("/v1/shares").by(&again).json(json!({"campaign_id": "cmp_00000000"}));
        share.await.refused(401, "device_invalid");
    }

    async fn what_a_login_or_a_device_says_is_checked(app: &mut TestApp) {
        for (field, body) in [
            ("provider", json!({"provider": "nobody", "code": "c"})), ("provider", json!({"code": "c"})),
            ("code", json!({"provider": "sandbox"})), ("code", json!({"provider": "sandbox", "code": ""})),
            ("code", json!({"provider": "sandbox", "code": "c".repeat(129)})), ("code", json!({"provider": "sandbox", "code": 7})),
            ("display_name", json!({"provider": "sandbox", "code": "c", "display_name": "n".repeat(65)})),
            ("colour", json!({"provider": "sandbox", "code": "c", "colour": "red"})),
        ] {
            assert_eq!(app.post("/v1/sessions").json(body).await.refused(422, "invalid_request").fields(), [field]);
        }
        let many: serde_json::Map<String, Value> = (0..33).map(|n| (format!("n{n}"), json!(n))).collect();
        for signals in [json!({}), json!({"a": {}}), json!({"a": "x".repeat(257)}), json!({"n".repeat(33): 1}), json!(many), json!([1])] {
            app.post("/v1/devices").json(json!({"signals": signals})).await.refused(422, "invalid_request");
        }
        assert_eq!(app.post("/v1/devices").await.refused(422, "invalid_request").fields(), ["signals"]);
    }

    async fn each_role_may_do_its_own_work_and_what_those_before_it_may(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (_, seat) = app.opened(&campaign).await;
        let one = format!("/operator/v1/campaigns/{campaign}");
        let (read, pause, resume) = (one.clone(), format!("{one}/pause"), format!("{one}/resume"));
        let (stock, paid) = (format!("{one}/stock"), format!("/operator/v1/orders/{}/paid", seat.order));
        let payment = json!({"reference": "till-1", "amount_fen": 4950, "paid_at": "2026-11-22T00:00:00Z"});
        let acts = [
            ("viewer", "GET", &*read, Value::Null),
            ("viewer", "GET", "/operator/v1/campaigns", Value::Null),
            ("viewer", "GET", "/operator/v1/refunds", Value::Null),
            ("viewer", "GET", "/operator/v1/audit_log", Value::Null),
            ("editor", "POST", &*pause, json!({})),
            ("editor", "POST", &*resume, json!({})),
            ("editor", "POST", &*stock, json!({"sku": "tea", "add": 1})),
            ("editor", "PATCH", &*read, json!({"title": "Another"})),
            ("editor", "POST", "/operator/v1/campaigns", crate::support::definition()),
            ("editor", "POST", "/operator/v1/sessions", json!({"external_user_id": "e-1"})),
            ("finance", "POST", &*paid, payment),
            ("admin", "GET", "/operator/v1/keys", Value::Null),
            ("admin", "POST", "/operator/v1/keys", json!({"name": "n", "role": "viewer"})),
        ];
        let roles = ["viewer", "editor", "finance", "admin"];
        for (rank, role) in roles.iter().enumerate() {
            let (secret, _) = key(app, role).await;
            for (least, method, path, body) in &acts {
                let request = app.request(method.parse().unwrap(), path).session(&secret);
                let answer = if body.is_null() { request.await } else { request.json(body.clone()).await };
                if roles.iter().position(|role| role == least).unwrap() <= rank {
                    assert!((200..300).contains(&answer.status), "{role} {method} {path}: {}", answer.text);
                } else {
                    answer.refused(403, "forbidden");
                }
            }
        }
    }

    async fn operators_need_a_key_of_their_own(app: &mut TestApp) {
        let ada = app.shopper("Ada").await;
        for path in ["/operator/v1/campaigns", "/operator/v1/keys", "/operator/v1/audit_log", "/operator/v1/refunds"] {
            app.get(path).await.refused(401, "unauthenticated");
            app.get(path).session(&ada.session).await.refused(401, "unauthenticated");
            app.get(path).session(&format!("{ADMIN_KEY}x")).await.refused(401, "unauthenticated");
        }
        app.post("/operator/v1/campaigns").by(&ada).json(crate::support::definition()).await.refused(401, "unauthenticated");
    }

    async fn a_revoked_key_is_refused_at_once_and_the_last_admin_key_stays(app: &mut TestApp) {
        let (secret, id) = key(app, "admin").await;
        app.get("/operator/v1/keys").session(&secret).await.expect(200);
        let path = format!("/operator/v1/keys/{id}");
        app.delete(&path).admin().await.expect(204);
        app.delete(&path).admin().await.expect(204);
        app.get("/operator/v1/keys").session(&secret).await.refused(401, "unauthenticated");
        let list = app.get("/operator/v1/keys").admin().await.expect(200);
        assert!(!list.text.contains(&secret) && !list.text.contains(ADMIN_KEY), "secrets are shown once");
        let keys = list.json["items"].as_array().unwrap().clone();
        assert_eq!((&keys[0]["id"], keys[0]["revoked_at"].is_string(), keys.len()), (&json!(id), true, 2));
        let first = keys[1]["id"].as_str().unwrap();
        app.delete(&format!("/operator/v1/keys/{first}")).admin().await.refused(403, "forbidden");
        app.delete("/operator/v1/keys/key_none").admin().await.refused(404, "not_found");
        for (field, body) in [("name", json!({"name": " ", "role": "viewer"})), ("role", json!({"name": "n", "role": "owner"}))] {
            assert_eq!(app.post("/operator/v1/keys").admin().json(body).await.refused(422, "invalid_request").fields(), [field]);
        }
    }

    async fn what_operators_do_is_written_down(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        app.step(&campaign, "pause").await.expect(200);
        let entries = app.get("/operator/v1/audit_log").admin().await.expect(200).json;
        let actions: Vec<_> = entries["items"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
        assert_eq!(actions, ["campaign.status", "campaign.publish", "campaign.create"]);
        assert_eq!(entries["items"][0]["target"], campaign);
        let page = app.get("/operator/v1/audit_log?limit=2").admin().await.expect(200);
        let rest = app.get(&format!("/operator/v1/audit_log?limit=2&cursor={}", page.at("/next_cursor"))).admin().await.expect(200).json;
        assert_eq!((&rest["items"][0]["action"], &rest["next_cursor"]), (&json!("campaign.create"), &Value::Null));
    }

    async fn every_change_is_written_down_once_with_what_was_before(app: &mut TestApp) {
        let campaign = app.publish(&json!({"title": "First"})).await;
        let path = format!("/operator/v1/campaigns/{campaign}");
        let post = |what: &str, body: Value| app.post(&format!("{path}/{what}")).admin().json(body);
        app.patch(&path).admin().json(json!({"title": "Second"})).await.expect(200);
        post("stock", json!({"sku": "tea", "add": 5})).key("once").await.expect(200);
        assert!(post("stock", json!({"sku": "tea", "add": 5})).key("once").await.expect(200).replayed());
        post("stock", json!({"sku": "tea", "add": -1000})).await.refused(409, "sold_out");
        post("switches", json!({"open": false})).await.expect(200);
        post("switches", json!({"open": false})).await.expect(200);
        app.step(&campaign, "pause").await.expect(200);
        app.step(&campaign, "pause").await.expect(200);
        app.step(&campaign, "resume").await.expect(200);
        app.step(&campaign, "end").await.expect(200);
        app.restart().await;
        let list = app.get(&format!("/operator/v1/audit_log?target={campaign}")).admin().await.expect(200).json;
        let told: Vec<_> = list["items"].as_array().unwrap().iter().rev().collect();
        let actions: Vec<_> = told.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
        assert_eq!(actions, ["campaign.create", "campaign.publish", "campaign.change", "campaign.stock", "campaign.switches", "campaign.status",
            "campaign.status", "campaign.status"]);
        assert_eq!((&told[2]["before"]["title"], &told[2]["after"]["title"]), (&json!("First"), &json!("Second")));
        assert_eq!((&told[3]["before"], &told[3]["after"]), (&json!({"left": 100}), &json!({"sku": "tea", "units": 5, "left": 105})));
        assert_eq!((&told[4]["before"], &told[4]["after"]), (&json!({"open": true, "join": true}), &json!({"open": false, "join": true})));
        let status: Vec<_> = told[5..].iter().map(|entry| (entry["before"]["status"].clone(), entry["after"]["status"].clone())).collect();
        assert_eq!(status, [(json!("live"), json!("paused")), (json!("paused"), json!("live")), (json!("live"), json!("ended"))]);
        let (_, id) = key(app, "viewer").await;
        app.delete(&format!("/operator/v1/keys/{id}")).admin().await.expect(204);
        app.delete(&format!("/operator/v1/keys/{id}")).admin().await.expect(204);
        let keys = app.get(&format!("/operator/v1/audit_log?target={id}")).admin().await.expect(200).json["items"].clone();
        assert_eq!((keys.as_array().unwrap().len(), &keys[0]["action"], &keys[0]["before"]["role"]), (2, &json!("key.revoke"), &json!("viewer")));
    }

    async fn the_log_of_changes_is_narrowed_by_who_what_and_when(app: &mut TestApp) {
        let (secret, id) = key(app, "editor").await;
        let campaign = app.publish(&json!({})).await;
        app.post(&format!("/operator/v1/campaigns/{campaign}/pause")).session(&secret).await.expect(200);
        for (query, expected) in [
            (format!("actor={id}"), vec!["campaign.status"]),
            (format!("target={campaign}&action=campaign.publish"), vec!["campaign.publish"]),
            (format!("actor={id}&target={id}"), vec![]),
            ("action=key.create".to_owned(), vec!["key.create"]),
            ("from=2099-01-01T00:00:00Z".to_owned(), vec![]),
            ("to=2020-01-01T00:00:00Z".to_owned(), vec![]),
            (format!("target={campaign}&limit=1"), vec!["campaign.status"]),
        ] {
            let list = app.get(&format!("/operator/v1/audit_log?{query}")).admin().await.expect(200).json;
            let actions: Vec<_> = list["items"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
            assert_eq!(actions, expected, "{query}");
        }
    }

    async fn two_admins_who_revoke_each_other_leave_one(app: &mut TestApp) {
        let (mut secret, mut id) = key(app, "admin").await;
        let first = app.get("/operator/v1/keys").admin().await.expect(200).json["items"][1]["id"].as_str().unwrap().to_owned();
        app.delete(&format!("/operator/v1/keys/{first}")).session(&secret).await.expect(204);
        for _ in 0..12 {
            let made = app.post("/operator/v1/keys").session(&secret).json(json!({"name": "other", "role": "admin"})).await.expect(201);
            let (other, other_id) = (made.at("/secret"), made.at("/id"));
            let (paths, both) = ([format!("/operator/v1/keys/{other_id}"), format!("/operator/v1/keys/{id}")], [&secret, &other]);
            let (one, two) = tokio::join!(app.delete(&paths[0]).session(both[0]), app.delete(&paths[1]).session(both[1]));
            assert_ne!((one.status, two.status), (204, 204), "nobody is left");
            assert!(one.status == 204 || two.status == 204, "{} {}", one.text, two.text);
            if two.status == 204 {
                (secret, id) = (other, other_id);
            }
        }
    }
}
