//! Requests that are none, and those that are unusual and fine.

use crate::support::{Setup, served_once};

const END: &str = " HTTP/1.1\r\nHost: x\r\n\r\n";

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n")
}

served_once! {
    async fn what_is_no_request_is_malformed_and_the_last_on_its_connection(app: &mut TestApp) {
        for bytes in [
            "GET\r\n\r\n".to_owned(),
            "GET /\r\n\r\n".to_owned(),
            "G\u{0}T / HTTP/1.1\r\n\r\n".to_owned(),
            "GET / HTTP/3.0\r\nHost: x\r\n\r\n".to_owned(),
            "GET / HTTQ/1.1\r\nHost: x\r\n\r\n".to_owned(),
            "GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            "GET /\u{7f} HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            // What a client says that speaks HTTP/2 or TLS.
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
            "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\u{3}\u{3}".to_owned(),
            "GET / HTTP/1.1\r\n\r\n".to_owned(),
            get("/", "Host: y\r\n"),
            get("/", "No colon\r\n"),
            get("/", "Space : 1\r\n"),
            get("/", "X: a\r\n folded\r\n"),
            get("/", "X: \u{0}\r\n"),
            get("/", "Content-Length: 1\r\nContent-Length: 2\r\n"),
            get("/", "Content-Length: +1\r\n"),
            get("/", "Content-Length: -1\r\n"),
            get("/", "Content-Length: 1e3\r\n"),
            get("/", "Content-Length: 99999999999999999999\r\n"),
            get("/", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
            get("/", "Transfer-Encoding: gzip\r\n"),
            get("/", "Transfer-Encoding: chunked, chunked\r\n"),
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
        ] {
            let mut wire = app.wire().await;
            wire.send(&bytes).await;
            let answer = wire.last_answer().await;
            assert_eq!((answer.status, answer.code()), (400, "malformed_request"), "{bytes:?}: {}", answer.text);
            let answer = answer.refused(400, "malformed_request");
            assert_eq!(answer.header("connection"), Some("close"), "{bytes:?}");
            assert_eq!(answer.header("x-request-id"), Some(&*answer.at("/request_id")));
            assert!(answer.header("date").is_some());
        }
        // It is counted, and the log is not theirs to fill.
        assert!(app.get("/metrics").await.text.contains("liebian_connections_ended_total{why=\"unreadable\"}"));
        assert!(!app.log().contains("actix_http"), "{}", app.log());
    }

    async fn a_bad_request_behind_good_ones_comes_after_their_answers(app: &mut TestApp) {
        let mut wire = app.wire().await;
        wire.send(get("/health/live", "").repeat(3) + "nonsense\r\n\r\n").await;
        for _ in 0..3 {
            assert_eq!(wire.answer().await.expect(200).text, "live\n");
        }
        wire.last_answer().await.refused(400, "malformed_request");
    }

    async fn however_many_requests_come_at_once_each_is_answered_in_its_turn(app: &mut TestApp) {
        // More than is taken in ahead of the answers.
        const MANY: usize = 2_000;
        let mut wire = app.wire().await;
        let one = get("/health/live", "");
        let mut sent = 0;
        while sent < MANY {
            wire.send(one.repeat(100)).await;
            sent += 100;
        }
        for _ in 0..MANY {
            assert_eq!(wire.answer().await.expect(200).text, "live\n");
        }
    }

    async fn a_path_is_to_every_rule_what_it_is_to_the_routes(app: &mut TestApp) {
        app.get("/%6fperator/v1/keys").await.refused(401, "unauthenticated");
        app.get("/%6fperator/v1/keys").admin().await.expect(200);
    }

    async fn a_chunk_that_is_none_is_malformed(app: &mut TestApp) {
        let mut wire = app.wire().await;
        let head = "POST /v1/devices HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        wire.send(format!("{head}ZZ\r\n{{}}\r\n")).await;
        wire.last_answer().await.refused(400, "malformed_request");
    }

    async fn a_head_too_large_is_refused_before_it_takes_room(app: &mut TestApp) {
        let long = get("/health/live", &format!("X: {}\r\n", "x".repeat(40_000)));
        let many = get("/health/live", &"X: 1\r\n".repeat(97));
        let endless = format!("GET /health/live HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(400_000));
        for head in [long, many, endless] {
            let mut wire = app.wire().await;
            wire.send(&head).await;
            let answer = wire.last_answer().await.refused(431, "malformed_request");
            assert_eq!(answer.header("connection"), Some("close"));
        }
        for length in [9_000, 30_000] {
            let mut wire = app.wire().await;
            wire.send(format!("GET /v1/campaigns?x={}{END}", "x".repeat(length))).await;
            wire.answer().await.refused(414, "malformed_request");
        }
        let mut wire = app.wire().await;
        wire.send(format!("GET /{}{END}", "x".repeat(70_000))).await;
        wire.last_answer().await.refused(431, "malformed_request");
        // Just below is fine.
        let mut wire = app.wire().await;
        wire.send(get("/health/live", &format!("X: {}\r\n", "x".repeat(30_000)))).await;
        wire.answer().await.expect(200);
    }

    async fn a_body_announced_too_long_is_refused_before_it_comes(app: &mut TestApp) {
        for length in ["20000", "99999999999"] {
            let mut wire = app.wire().await;
            let head = format!("POST /v1/devices HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
            wire.send(head).await;
            wire.last_answer().await.refused(413, "payload_too_large");
        }
        // One that is sent all the same may be sent, and the answer is still there to be read.
        let mut wire = app.wire().await;
        let head = "POST /v1/devices HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900000\r\n\r\n";
        wire.send(format!("{head}{}", " ".repeat(900_000))).await;
        wire.last_answer().await.refused(413, "payload_too_large");
        // A large body right behind its head is not taken for a head.
        let huge = "x".repeat(300_000);
        let definition = crate::support::patched(crate::support::definition(), &serde_json::json!({"metadata": {"x": huge}}));
        let answer = app.post("/operator/v1/campaigns").admin().json(definition).await;
        assert_ne!(answer.status, 431, "{}", answer.text);
    }

    async fn head_answers_what_get_answers_without_the_body(app: &mut TestApp) {
        let campaign = app.publish(&serde_json::json!({})).await;
        let mut wire = app.wire().await;
        for path in ["/health/live", "/metrics", "/openapi.json", "/docs/", "/v1/campaigns", &format!("/v1/campaigns/{campaign}"), "/nowhere"] {
            wire.send(get(path, "")).await;
            let got = wire.answer().await;
            wire.send(format!("HEAD {path}{END}")).await;
            let head = wire.bodiless_answer().await;
            assert_eq!(head.status, got.status, "{path}");
            assert_eq!(head.header("content-type"), got.header("content-type"), "{path}");
            assert!(head.header("content-length").is_some(), "{path}");
            // The others tell the time or count requests.
            if ["/health/live", "/openapi.json", "/docs/"].contains(&path) {
                assert_eq!(head.header("content-length"), got.header("content-length"), "{path}");
            }
        }
        let etag = app.get(&format!("/v1/campaigns/{campaign}")).await.header("etag").unwrap().to_owned();
        wire.send(format!("HEAD /v1/campaigns/{campaign} HTTP/1.1\r\nHost: x\r\nIf-None-Match: {etag}\r\n\r\n")).await;
        assert_eq!(wire.bodiless_answer().await.status, 304);
        wire.send(format!("HEAD /v1/devices{END}")).await;
        assert_eq!(wire.bodiless_answer().await.expect(405).header("allow"), Some("POST"));
        wire.send(get("/health/live", "")).await;
        assert_eq!(wire.answer().await.text, "live\n");
        assert!(app.get("/metrics").await.text.contains("route=\"/health/live\",method=\"HEAD\",status=\"200\""));
    }

    async fn unusual_requests_are_answered_like_any_other(app: &mut TestApp) {
        for (request, status) in [
            (format!("GET http://shop.example/health/live{END}"), 200),
            ("GET /health/live HTTP/1.0\r\n\r\n".to_owned(), 200),
            ("\r\n\r\nGET /health/live HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 200),
            ("GET /health/live HTTP/1.1\nHost: x\n\n".to_owned(), 200),
            (get("/health/live", "Connection: Upgrade\r\nUpgrade: websocket\r\n"), 200),
            (format!("OPTIONS *{END}"), 404),
            (format!("OPTIONS /v1/devices{END}"), 405),
            (format!("TRACE /health/live{END}"), 405),
            (format!("BREW /health/live{END}"), 405),
            (format!("CONNECT shop.example:443{END}"), 404),
            (get("/%00", ""), 404),
            (get("/%ff/..%2f", ""), 404),
            (get("/health/live", "Content-Length: 0\r\n"), 200),
            (get("/health/live", "Cookie: x=\u{fc}\r\n"), 200),
        ] {
            let mut wire = app.wire().await;
            wire.send(&request).await;
            let answer = wire.answer().await;
            assert_eq!(answer.status, status, "{request:?}: {}", answer.text);
            if status >= 400 {
                let code = answer.code().to_owned();
                answer.refused(status, &code);
            }
        }
    }

    async fn a_thousand_requests_in_one_go_are_answered_in_order(app: &mut TestApp, Setup { rate_limits: true, ..Setup::default() }) {
        let mut wire = app.wire().await;
        let asked = (0..1000).map(|number| if number % 3 == 0 { get("/health/live", "") } else { get(&format!("/x{number}"), "") });
        wire.send(asked.collect::<String>()).await;
        for number in 0..1000 {
            wire.answer().await.expect(if number % 3 == 0 { 200 } else { 404 });
        }
    }
}
