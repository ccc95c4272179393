//! Whoever takes too long: with a head, with a body, with reading the answer, with asking at all.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Setup, TestApp, Wire, served_once, within};

const SLOWLY: Duration = Duration::from_millis(150);
const LIVE: &str = "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n";
/// The largest thing the server has, more than a megabyte.
const LARGE: &str = "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n";

fn impatient() -> Setup {
    let seconds = |name, seconds: u32| (name, seconds.to_string());
    Setup {
        env: vec![
            seconds("LIEBIAN_HEAD_SECONDS", 1),
            seconds("LIEBIAN_BODY_SECONDS", 1),
            seconds("LIEBIAN_IDLE_SECONDS", 2),
            seconds("LIEBIAN_STALL_SECONDS", 1),
        ],
        ..Setup::default()
    }
}

/// The connection ends with a 408 in due time.
async fn timed_out(wire: Wire, since: Instant) {
    let answer = wire.last_answer().await.refused(408, "request_timeout");
    assert_eq!(answer.json["retry"], "same_request");
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(answer.header("x-request-id"), Some(&*answer.at("/request_id")));
    // A second, half a second between two looks, and what a busy machine takes.
    let took = since.elapsed();
    assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(6), "cut after {took:?}");
}

async fn ended(app: &TestApp, why: &str) -> bool {
    let figures = app.get("/metrics").await.expect(200).text;
    figures.lines().any(|line| line.starts_with("liebian_connections_ended_total") && line.contains(&format!("why=\"{why}\"")))
}

served_once! {
    async fn a_head_that_trickles_is_cut_off(app: &mut TestApp, impatient()) {
        let (since, mut wire) = (Instant::now(), app.wire().await);
        wire.trickle(format!("GET /health/live HTTP/1.1\r\nX: {}", "x".repeat(1000)).as_bytes(), SLOWLY).await;
        timed_out(wire, since).await;
    }

    async fn so_is_a_later_head_on_the_same_connection(app: &mut TestApp, impatient()) {
        let mut wire = app.wire().await;
        for _ in 0..3 {
            wire.send(LIVE).await;
            wire.answer().await.expect(200);
        }
        let since = Instant::now();
        wire.trickle(format!("GET /health/live HTTP/1.1\r\nX: {}", "x".repeat(1000)).as_bytes(), SLOWLY).await;
        timed_out(wire, since).await;
    }

    async fn and_one_that_stops_half_way_or_never_begins(app: &mut TestApp, impatient()) {
        for beginning in ["", "\r\n", "G", "GET / HTTP/1.1\r\nHost: x\r\n"] {
            let (since, mut wire) = (Instant::now(), app.wire().await);
            wire.send(beginning).await;
            timed_out(wire, since).await;
        }
    }

    async fn after_a_post_a_later_head_has_its_deadline_too(app: &mut TestApp, impatient()) {
        let mut wire = app.wire().await;
        let body = json!({"signals": {"install_id": "slow"}}).to_string();
        let head = format!("POST /v1/devices HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        wire.send(head + &body).await;
        wire.answer().await.expect(201);
        let since = Instant::now();
        wire.trickle("X".repeat(1000).as_bytes(), SLOWLY).await;
        timed_out(wire, since).await;
    }

    async fn a_body_that_trickles_is_cut_off(app: &mut TestApp, impatient()) {
        let head = "POST /v1/devices HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
        for (rest, trickled) in [("Content-Length: 1000\r\n\r\n{", " ".repeat(999)), ("Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", "1\r\n \r\n".repeat(200))] {
            let (since, mut wire) = (Instant::now(), app.wire().await);
            wire.send(format!("{head}{rest}")).await;
            wire.trickle(trickled.as_bytes(), SLOWLY).await;
            timed_out(wire, since).await;
        }
        // Also one that does not come at all after it was asked for.
        let (mut wire, since) = (app.wire().await, Instant::now());
        wire.send(format!("{head}Content-Length: 10\r\nExpect: 100-continue\r\n\r\n")).await;
        assert_eq!(wire.answer().await.status, 100);
        wire.last_answer().await.refused(408, "request_timeout");
        assert!(since.elapsed() < Duration::from_secs(6), "cut after {:?}", since.elapsed());
    }

    async fn a_body_nobody_reads_holds_the_connection_no_longer(app: &mut TestApp, impatient()) {
        for length in ["Transfer-Encoding: chunked", "Content-Length: 100000"] {
            let mut wire = app.wire().await;
            wire.send(format!("POST /nowhere HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n")).await;
            wire.answer().await.refused(404, "not_found");
            let since = Instant::now();
            wire.trickle("1\r\nx\r\n".repeat(500).as_bytes(), SLOWLY).await;
            assert_eq!(wire.rest().await, "");
            assert!(since.elapsed() < Duration::from_secs(6), "kept for {:?}", since.elapsed());
        }
    }

    async fn a_connection_that_asks_nothing_is_closed_without_a_word(app: &mut TestApp, impatient()) {
        let mut wire = app.wire().await;
        // Before the server's own clock begins: this side may wake late for the answer, which makes the wait no shorter.
        let since = Instant::now();
        wire.send(LIVE).await;
        wire.answer().await.expect(200);
        assert_eq!(wire.rest().await, "");
        let took = since.elapsed();
        assert!(took >= Duration::from_millis(1900) && took < Duration::from_secs(6), "closed after {took:?}");
        assert!(ended(app, "idle").await);
    }

    async fn who_does_not_read_the_answer_is_cut_off(app: &mut TestApp, impatient()) {
        let mut wire = app.narrow_wire().await;
        // Enough to fill every buffer between the two.
        wire.send(LARGE.repeat(16)).await;
        within(10, "the connection is cut", async || ended(app, "stalled").await).await;
        let mut got = wire.read_on().await;
        while wire.read_on().await > 0 {
            got = wire.unread();
        }
        assert!(got < 16_000_000, "everything came");
    }

    async fn who_reads_slowly_gets_all_of_it(app: &mut TestApp, impatient()) {
        let mut wire = app.narrow_wire().await;
        // More than the buffers between the two hold, so that the server has to wait.
        wire.send(LARGE.repeat(8)).await;
        let since = Instant::now();
        for _ in 0..8 {
            while wire.unread() < 1_000_000 {
                let before = wire.unread();
                while wire.unread() < before + 128 * 1024 && wire.read_on().await > 0 {}
                tokio::time::sleep(Duration::from_millis(60)).await;
            }
            assert!(wire.answer().await.expect(200).text.len() > 1_000_000);
        }
        assert!(since.elapsed() > Duration::from_secs(3), "too fast to show anything: {:?}", since.elapsed());
    }
}
