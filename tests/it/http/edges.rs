//! What no client should send, and what it gets for it.

use serde_json::json;

use crate::support::{Setup, hot_key, served};

served! {
    async fn a_body_that_is_no_json_is_malformed_and_one_of_wrong_fields_invalid(app: &mut TestApp) {
        for body in [b"{".as_slice(), b"{\"signals\": {\"a\": 1},}", b"hello", b"\xff\xfe", b"{} {}", b" ", b"\xef\xbb\xbf{}"] {
            app.post("/v1/devices").raw(body).await.refused(400, "malformed_request");
        }
        for (body, field) in [("[]", ""), ("7", ""), ("null", ""), ("{}", "signals"), ("{\"signals\": 7}", "signals"),
            ("{\"signals\": {\"a\": 1}, \"colour\": 1}", "colour"), ("{\"signals\": {\"a\": \"\\u0000\"}}", "signals.a")] {
            assert_eq!(app.post("/v1/devices").raw(body).await.refused(422, "invalid_request").fields(), [field], "{body}");
        }
        let deep = format!("{{\"signals\": {{\"a\": {}1{}}}}}", "[".repeat(5000), "]".repeat(5000));
        app.post("/v1/devices").raw(deep).await.refused(400, "malformed_request");
        app.get("/v1/campaigns?cursor=%21").await.refused(400, "malformed_request");
        assert_eq!(app.get("/v1/campaigns?limit=many").await.refused(422, "invalid_request").fields(), ["limit"]);
    }

    async fn a_body_of_another_type_or_too_long_is_refused(app: &mut TestApp) {
        let body = json!({"signals": {"a": 1}}).to_string();
        for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "multipart/form-data"] {
            app.post("/v1/devices").body(kind, body.clone()).await.refused(415, "unsupported_media_type");
        }
        app.post("/v1/devices").header("Content-Encoding", "gzip").raw(body.clone()).await.refused(415, "unsupported_media_type");
        app.post("/v1/devices").body("application/json; charset=utf-8", body).await.expect(201);
        // A PATCH is a merge patch by either name; nothing else is.
        app.post("/v1/devices").body("application/merge-patch+json", json!({"signals": {"a": 1}}).to_string()).await.refused(415, "unsupported_media_type");
        let draft = app.draft(&crate::support::definition()).await;
        for (kind, title) in [("application/merge-patch+json", "One"), ("application/json", "Two")] {
            let patch = app.patch(&format!("/operator/v1/campaigns/{draft}")).admin().body(kind, json!({"title": title}).to_string());
            assert_eq!(patch.await.expect(200).at("/title"), title);
        }
        let patch = app.patch(&format!("/operator/v1/campaigns/{draft}")).admin().body("application/json-patch+json", "{}");
        patch.await.refused(415, "unsupported_media_type");
        let long = json!({"signals": {"a": "x".repeat(20_000)}}).to_string();
        app.post("/v1/devices").raw(long).await.refused(413, "payload_too_large");
        let huge = "x".repeat(600_000);
        let definition = crate::support::patched(crate::support::definition(), &json!({"rules_text": huge}));
        app.post("/operator/v1/campaigns").admin().json(definition).await.refused(413, "payload_too_large");
    }

    async fn an_address_that_is_none_or_takes_another_method_says_so(app: &mut TestApp) {
        for path in ["/", "/v1", "/v1/nothing", "/v2/campaigns", "/v1/campaigns/", "/operator/v1", "/v1/rooms", "//v1/campaigns",
            "/docs/nope", "/docs/nope/index.html", "/openapi.json/"] {
            app.get(path).await.refused(404, "not_found");
        }
        for (method, path, allow) in [("PUT", "/v1/campaigns", "GET, HEAD"), ("POST", "/v1/campaigns/cmp_00000000", "GET, HEAD"),
            ("DELETE", "/v1/devices", "POST"), ("GET", "/v1/devices", "POST"), ("DELETE", "/operator/v1/campaigns/cmp_00000000", "GET, HEAD, PATCH"),
            ("POST", "/health/live", "GET, HEAD"), ("POST", "/openapi.json", "GET, HEAD"), ("POST", "/docs", "GET, HEAD"),
            ("POST", "/docs/", "GET, HEAD"), ("DELETE", "/docs/index.html", "GET, HEAD")] {
            let answer = app.request(method.parse().unwrap(), path).await.refused(405, "method_not_allowed");
            assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
        }
    }

    async fn what_is_one_persons_is_kept_by_nobody_on_the_way(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (ada, seat) = app.opened(&campaign).await;
        let login = app.post("/v1/sessions").json(json!({"provider": "sandbox", "code": "c"})).key("k");
        let mut answers = vec![login.await, app.post("/v1/sessions").json(json!({"provider": "sandbox", "code": "c"})).key("k").await];
        answers.push(app.post("/v1/devices").json(json!({"signals": {"install_id": "i"}})).await);
        for path in ["me/orders", "me/balance", "me/statement", &format!("orders/{}", seat.order)] {
            answers.push(app.get(&format!("/v1/{path}")).session(&ada.session).await.expect(200));
        }
        answers.push(app.post("/operator/v1/keys").admin().json(json!({"name": "n", "role": "viewer"})).await.expect(201));
        assert!(answers.iter().all(|answer| answer.header("cache-control") == Some("no-store")));
        assert_eq!(app.get("/v1/campaigns").await.expect(200).header("cache-control"), None);
    }

    async fn every_answer_names_its_request(app: &mut TestApp) {
        let refused = app.get("/v1/campaigns/nonsense").await.refused(404, "not_found");
        assert_eq!(refused.header("x-request-id"), Some(&*refused.at("/request_id")));
        assert_eq!(refused.at("/type"), "urn:liebian:problem:not_found");
        let (one, two) = (app.get("/health/live").await, app.get("/health/live").await);
        assert!(one.header("x-request-id").is_some() && one.header("x-request-id") != two.header("x-request-id"));
        for answer in [app.get("/nowhere").await, app.post("/v1/devices").raw("{").await, app.request("PUT".parse().unwrap(), "/v1/devices").await] {
            assert_eq!(answer.header("x-request-id"), Some(&*answer.at("/request_id")), "{}", answer.text);
        }
    }

    async fn only_known_origins_may_read_answers(app: &mut TestApp, Setup { env: vec![("LIEBIAN_CORS_ORIGINS", "https://shop.example".into())], ..Setup::default() }) {
        let known = app.get("/v1/campaigns").header("Origin", "https://shop.example").await.expect(200);
        assert_eq!(known.header("access-control-allow-origin"), Some("https://shop.example"));
        assert!(known.header("access-control-expose-headers").unwrap().contains("liebian-seq"));
        assert_eq!(known.header("access-control-allow-credentials"), None);
        for foreign in ["https://evil.example", "http://shop.example", "https://shop.example:8443", "https://shop.example.evil.example", "https://x.shop.example", "null", "*"] {
            let other = app.get("/v1/campaigns").header("Origin", foreign).await.expect(200);
            assert_eq!((other.header("access-control-allow-origin"), other.header("vary")), (None, Some("Origin")), "{foreign}");
            let preflight = app.request("OPTIONS".parse().unwrap(), "/v1/devices").header("Origin", foreign);
            let refused = preflight.header("Access-Control-Request-Method", "POST").await.refused(405, "method_not_allowed");
            assert_eq!(refused.header("access-control-allow-methods"), None);
        }
        assert_eq!(app.get("/v1/campaigns").await.header("vary"), Some("Origin"), "for caches");
        let preflight = app.request("OPTIONS".parse().unwrap(), "/v1/devices").header("Origin", "https://shop.example");
        let allowed = preflight.header("Access-Control-Request-Method", "POST").await.expect(204);
        assert!(allowed.header("access-control-allow-headers").unwrap().contains("idempotency-key"));
        assert_eq!(allowed.header("access-control-allow-origin"), Some("https://shop.example"));
        for answer in [app.get("/nowhere"), app.post("/v1/devices").raw("{"), app.post("/v1/sessions").body("text/plain", "x"), app.post("/v1/campaigns")] {
            let answer = answer.header("Origin", "https://shop.example").await;
            assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example"), "{}", answer.text);
        }
    }

    async fn every_answer_says_that_its_type_is_meant(app: &mut TestApp) {
        for path in ["/health/live", "/v1/campaigns", "/nowhere", "/docs/", "/openapi.json", "/metrics"] {
            assert_eq!(app.get(path).await.header("x-content-type-options"), Some("nosniff"), "{path}");
        }
    }

    async fn what_breaks_inside_is_internal_and_logged(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (_, seat) = app.opened(&campaign).await;
        app.expect_error("defect");
        app.wait_until_projected().await;
        let mut redis = app.redis_connection().await;
        let (key, room) = (hot_key(&campaign, "rooms"), seat.room.clone());
        let field = room.split_at(room.len() - 14).1;
        let row: Vec<u8> = redis::cmd("HGET").arg(&key).arg(field).query_async(&mut redis).await.unwrap();
        let () = redis::cmd("HSET").arg(&key).arg(field).arg("nonsense").query_async(&mut redis).await.unwrap();
        let broken = app.get(&format!("/v1/rooms/{room}")).await.refused(500, "internal");
        assert_eq!(broken.json["retry"], "same_request");
        assert!(!broken.text.contains("nonsense") && app.log().contains(&broken.at("/request_id")));
        let () = redis::cmd("HSET").arg(&key).arg(field).arg(row).query_async(&mut redis).await.unwrap();
        app.get(&format!("/v1/rooms/{room}")).await.expect(200);
    }

    async fn without_redis_ops_are_refused_for_now_and_the_same_request_succeeds_later(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let ada = app.shopper("Ada").await;
        app.redis.kill();
        let down = app.open(&ada, &campaign).key("k").await;
        assert!(["recovering", "outcome_unknown"].contains(&down.code()), "{}", down.text);
        let down = down.clone().refused(503, down.code());
        assert!(down.header("retry-after").is_some());
        let ready = app.get("/health/ready").await.expect(503).json;
        assert_eq!(ready["ready"], false);
        app.redis.restart().await;
        crate::support::within(10, "the campaign is back", async || app.open(&ada, &campaign).key("k").await.status == 201).await;
        app.wait_until_ready().await;
        assert_eq!(app.report(&campaign).await["rooms"], json!({"open": 1}));
    }
}
