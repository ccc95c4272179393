//! Floods and forgeries.

use std::time::Duration;

use serde_json::json;

use crate::support::{Setup, TestApp, served_once, within};

/// What counts against the limit that is reached soonest, and costs nothing: a login without a word.
fn login(headers: &str) -> String {
    format!("POST /v1/sessions HTTP/1.1\r\nHost: x\r\n{headers}\r\n")
}

/// Sends requests as fast as they are answered, at most `most`: how many passed before one was refused for its rate.
async fn passed(app: &TestApp, most: usize, headers: impl Fn(usize) -> String) -> usize {
    let mut wire = app.wire().await;
    for first in (0..most).step_by(200) {
        wire.send((first..first + 200).map(|number| login(&headers(number))).collect::<String>()).await;
        for number in first..first + 200 {
            let answer = wire.answer().await;
            if answer.status != 422 {
                answer.refused(429, "rate_limited");
                return number;
            }
        }
    }
    most
}

fn limited(proxies: &str, per_address: u32) -> Setup {
    let env = vec![("LIEBIAN_TRUSTED_PROXIES", proxies.to_owned()), ("LIEBIAN_CONNECTIONS_PER_ADDRESS", per_address.to_string())];
    Setup { rate_limits: true, env, ..Setup::default() }
}

served_once! {
    async fn an_address_holds_no_more_connections_than_allowed(app: &mut TestApp, limited("", 20)) {
        let mut held = Vec::new();
        let refused = loop {
            let mut wire = app.wire().await;
            wire.send("GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").await;
            let answer = wire.answer().await;
            if answer.status != 200 {
                break answer.refused(429, "rate_limited");
            }
            held.push(wire);
            assert!(held.len() <= 20, "no end of connections");
        };
        // The test's own client holds one or more as well.
        assert!((10..20).contains(&held.len()), "only {}", held.len());
        assert!(refused.header("retry-after").is_some() && refused.header("connection") == Some("close"));
        // Who is in is served on; who leaves makes room.
        for wire in &mut held {
            wire.send("GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").await;
            wire.answer().await.expect(200);
        }
        held.truncate(5);
        within(5, "there is room again", async || {
            let mut wire = app.wire().await;
            wire.send("GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").await;
            wire.answer().await.status == 200
        })
        .await;
        let figures = app.get("/metrics").await.text;
        assert!(figures.contains("liebian_connections_ended_total{why=\"crowded\"}"), "{figures}");
    }

    async fn a_trusted_proxy_holds_as_many_as_it_needs(app: &mut TestApp, limited("127.0.0.1", 5)) {
        let mut held = Vec::new();
        for _ in 0..50 {
            let mut wire = app.wire().await;
            wire.send("GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").await;
            wire.answer().await.expect(200);
            held.push(wire);
        }
    }

    async fn a_flood_of_idle_connections_does_not_keep_others_out(app: &mut TestApp) {
        let mut held = Vec::new();
        for _ in 0..500 {
            held.push(app.wire().await);
        }
        tokio::time::timeout(Duration::from_secs(5), async { app.get("/health/ready").await.expect(200) }).await.expect("an answer in time");
    }

    async fn a_flood_from_one_address_is_slowed_down_whatever_it_says_of_itself(app: &mut TestApp, limited("", 100)) {
        let spoofed = |number: usize| format!("X-Forwarded-For: 198.51.100.{0}\r\nForwarded: for=198.51.100.{0}\r\n", number % 250);
        let passed = passed(app, 20_000, spoofed).await;
        assert!((2_000..20_000).contains(&passed), "{passed} passed");
        app.get("/health/live").await.expect(200);
    }

    async fn behind_a_proxy_each_caller_counts_and_none_can_pass_for_others(app: &mut TestApp, limited("127.0.0.0/8, 10.0.0.0/8", 100)) {
        // The proxies write what they see behind what they were told.
        let one = |number: usize| format!("X-Forwarded-For: 192.0.2.{}, 203.0.113.5\r\n", number % 250);
        let enough = passed(app, 20_000, one).await;
        assert!((2_000..20_000).contains(&enough), "{enough} passed of one caller under many names");
        let neighbour = |_| "X-Forwarded-For: 203.0.113.6\r\n".to_owned();
        assert_eq!(passed(app, 200, neighbour).await, 200);
        let many = |number: usize| format!("X-Forwarded-For: 198.51.{}.{}, 10.0.0.7\r\n", number / 250, number % 250);
        assert_eq!(passed(app, enough + 1_000, many).await, enough + 1_000, "as many callers, once each");
        let network = |number: usize| format!("X-Forwarded-For: 2001:db8:1:1::{number:x}\r\n");
        let passed = passed(app, 20_000, network).await;
        assert!((2_000..20_000).contains(&passed), "{passed} passed of one customer with IPv6");
    }

    async fn refusals_say_to_known_origins_what_they_are(app: &mut TestApp, Setup { env: vec![("LIEBIAN_CORS_ORIGINS", "https://shop.example".into())], rate_limits: true, ..Setup::default() }) {
        let mut wire = app.wire().await;
        let refused = 'asking: loop {
            wire.send(login("Origin: https://shop.example\r\n").repeat(200)).await;
            for _ in 0..200 {
                match wire.answer().await {
                    answer if answer.status == 422 => assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example")),
                    answer => break 'asking answer.refused(429, "rate_limited"),
                }
            }
        };
        assert_eq!(refused.header("access-control-allow-origin"), Some("https://shop.example"));
        assert!(refused.header("retry-after").is_some());
        for name in ["liebian-seq", "idempotent-replay", "retry-after", "etag", "x-request-id"] {
            assert!(refused.header("access-control-expose-headers").unwrap().split(", ").any(|exposed| exposed == name), "{name}");
        }
        assert_eq!(refused.header("vary"), Some("Origin"));
    }

    async fn trouble_says_so_to_known_origins_too(app: &mut TestApp, Setup { env: vec![("LIEBIAN_CORS_ORIGINS", "https://shop.example,https://b.example".into())], ..Setup::default() }) {
        let campaign = app.publish(&json!({})).await;
        let ada = app.shopper("Ada").await;
        app.redis.kill();
        let down = app.open(&ada, &campaign).header("Origin", "https://b.example").await;
        assert_eq!((down.status, down.header("access-control-allow-origin")), (503, Some("https://b.example")), "{}", down.text);
        assert!(down.header("retry-after").is_some());
        app.redis.restart().await;
        app.wait_until_ready().await;
    }

    async fn an_id_names_a_campaign_and_not_its_kind(app: &mut TestApp) {
        let programme = app.programme(&json!({})).await;
        let tag = programme.trim_start_matches("cmp_");
        let ada = app.shopper("Ada").await;
        let order = format!("ord_{tag}00000000000000");
        for path in [format!("/v1/orders/{order}"), format!("/v1/rooms/room_{tag}00000000000000"), format!("/v1/chains/chain_{tag}00000000000000")] {
            app.get(&path).by(&ada).await.refused(404, "not_found");
        }
        for path in [format!("/v1/orders/{order}/payment"), format!("/v1/orders/{order}/cancel"), format!("/v1/sandbox/orders/{order}/pay")] {
            app.post(&path).by(&ada).json(json!({})).await.refused(404, "not_found");
        }
        assert!(!app.log().contains("WARN"), "{}", app.log());
    }
}
