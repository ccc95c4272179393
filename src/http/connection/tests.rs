//! Connections served by small applications made for it, over real sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::dev::{Service, ServiceFactory};
use actix_web::rt;
use actix_web::web::{self, Bytes};
use actix_web::{App, HttpResponse};
use futures_util::stream;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::crowd::Crowd;
use super::service::{Terms, service};
use super::watch::Rules;
use super::{Connection, End, Phase};
use crate::config::{Patience, RateLimits};
use crate::http::cors::Cors;
use crate::http::envelope::Envelope;
use crate::http::limits::Limits;
use crate::http::traffic::Traffic;

const PATIENCE: Patience = Patience { head_seconds: 1, body_seconds: 1, idle_seconds: 1, stall_seconds: 1, connections_per_address: 10 };
/// A handler gets so long, and then the connection is closed.
const WORK_LOOKS: u32 = 2;
const RULES: Rules = Rules { head: 4, body: 3, work: 5, idle: 6, stall: 2 };

struct Served {
    address: SocketAddr,
    traffic: Arc<Traffic>,
    draining: watch::Sender<bool>,
}

/// Serves a few routes on this thread.
async fn serve() -> Served {
    let (draining, drained) = watch::channel(false);
    let traffic = Arc::new(Traffic::default());
    let limits = Arc::new(Limits::new(RateLimits::Off, Vec::new()));
    let envelope = Envelope { cors: Cors::new(&["https://shop.example".to_owned()]), limits, traffic: Arc::clone(&traffic) };
    let app = App::new()
        .route("/", web::get().to(|| async { "fine" }))
        .route("/panic", web::get().to(panic_at_once))
        .route("/panic/told", web::get().to(panic_told))
        .route("/never", web::get().to(never))
        .route("/panic/later", web::get().to(panic_later))
        .route("/panic/stream", web::get().to(panic_in_stream))
        .route("/live", web::get().to(live))
        .wrap(envelope);
    let rules = Rules { work: WORK_LOOKS, ..PATIENCE.into() };
    let terms = Terms { rules, crowd: Crowd::new(None, Vec::new()), per_worker: 100, draining: drained };
    let connections = service(&terms, app).new_service(()).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    rt::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            rt::spawn(connections.call(socket));
        }
    });
    Served { address, traffic, draining }
}

async fn panic_at_once() -> HttpResponse {
    panic!("a handler's own fault")
}

async fn panic_told() -> HttpResponse {
    panic!("told once")
}

async fn never() -> HttpResponse {
    std::future::pending().await
}

async fn panic_later() -> HttpResponse {
    rt::task::yield_now().await;
    panic!("a handler's own fault, after a wait")
}

async fn panic_in_stream() -> HttpResponse {
    HttpResponse::Ok().streaming(stream::poll_fn(|_| -> std::task::Poll<Option<Result<Bytes, actix_web::Error>>> { panic!("in a stream") }))
}

/// A word every 300 ms, ten times.
async fn live() -> HttpResponse {
    let words = stream::unfold(0, |count| async move {
        rt::time::sleep(Duration::from_millis(300)).await;
        (count < 10).then(|| (Ok::<_, actix_web::Error>(Bytes::from(format!("word {count}\n"))), count + 1))
    });
    HttpResponse::Ok().streaming(words)
}

impl Served {
    /// All that comes until the server hangs up.
    async fn all_of(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = rt::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
        let _reset = read.expect("the server hangs up");
        String::from_utf8(answer).unwrap()
    }
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n")
}

#[actix_web::test]
async fn a_panic_is_an_internal_problem_and_the_next_request_is_served() {
    let served = serve().await;
    for path in ["/panic", "/panic/later"] {
        let answer = served.all_of(&get(path, "Origin: https://shop.example\r\n")).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        assert!(head.starts_with("HTTP/1.1 500 ") && head.contains("connection: close"), "{head}");
        assert!(head.contains("access-control-allow-origin: https://shop.example"), "{head}");
        assert_eq!((&body["code"], &body["retry"]), (&"internal".into(), &"same_request".into()));
        assert!(head.contains(&format!("x-request-id: {}", body["request_id"].as_str().unwrap())), "{head}");
        assert!(!answer.contains("fault"), "{answer}");
    }
    assert!(served.all_of(&get("/", "Connection: close\r\n")).await.ends_with("\r\n\r\nfine"));
    assert!(served.traffic.render().contains("liebian_http_requests_total{route=\"none\",method=\"GET\",status=\"500\"} 2"));
}

#[actix_web::test]
async fn a_panic_in_a_stream_breaks_it_off_and_the_next_request_is_served() {
    let served = serve().await;
    let broken = served.all_of(&get("/panic/stream", "")).await;
    assert!(!broken.ends_with("0\r\n\r\n"), "it must not look whole: {broken}");
    assert!(served.all_of(&get("/", "Connection: close\r\n")).await.ends_with("fine"));
}

#[actix_web::test]
async fn a_panic_is_told_once_with_its_cause() {
    static TOLD: AtomicUsize = AtomicUsize::new(0);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(|panic| {
        if panic.payload_as_str() == Some("told once") {
            TOLD.fetch_add(1, Ordering::Relaxed);
        }
    }));
    serve().await.all_of(&get("/panic/told", "")).await;
    std::panic::set_hook(before);
    assert_eq!(TOLD.load(Ordering::Relaxed), 1);
}

#[actix_web::test]
async fn a_handler_that_hangs_is_given_up_with_an_unknown_outcome() {
    let answer = serve().await.all_of(&get("/never", "Origin: https://shop.example\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\"code\":\"outcome_unknown\""), "{answer}");
    for header in ["retry-after: 1", "connection: close", "access-control-allow-origin: https://shop.example"] {
        assert!(answer.contains(header), "{answer}");
    }
}

#[actix_web::test]
async fn who_has_no_more_to_say_may_still_hear_the_answer() {
    let served = serve().await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(get("/live", "").as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("word 9"), "{answer}");
}

#[actix_web::test]
async fn a_live_stream_outlives_every_deadline() {
    let served = serve().await;
    let all = served.all_of(&get("/live", "Connection: close\r\n")).await;
    assert!(all.contains("word 9\n") && all.ends_with("0\r\n\r\n"), "{all}");
}

#[actix_web::test]
async fn head_of_a_stream_does_not_wait_for_its_end() {
    let served = serve().await;
    let request = "HEAD /live HTTP/1.1\r\nHost: x\r\n\r\n".to_owned() + &get("/", "Connection: close\r\n");
    let since = std::time::Instant::now();
    let all = served.all_of(&request).await;
    assert!(all.ends_with("\r\n\r\nfine") && !all.contains("word"), "{all}");
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
}

#[actix_web::test]
async fn when_the_server_ends_idle_connections_close_and_answers_are_the_last_ones() {
    let served = serve().await;
    let mut idle = TcpStream::connect(served.address).await.unwrap();
    idle.write_all(get("/", "").as_bytes()).await.unwrap();
    let mut live = TcpStream::connect(served.address).await.unwrap();
    live.write_all(get("/live", "").as_bytes()).await.unwrap();
    let mut some = [0; 1024];
    let (_one, _two) = (idle.read(&mut some).await.unwrap(), live.read(&mut some).await.unwrap());
    served.draining.send_replace(true);
    let since = std::time::Instant::now();
    let _rest = idle.read_to_end(&mut Vec::new()).await;
    assert!(since.elapsed() < Duration::from_millis(900), "an idle connection was kept for {:?}", since.elapsed());
    assert!(served.all_of(&get("/", "")).await.contains("connection: close"));
    let mut rest = String::new();
    live.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("word 9"), "what is under way is finished: {rest}");
}

#[test]
fn where_places_are_few_idle_connections_and_late_heads_go_sooner() {
    let (calm, crowded) = (Rules::from(Patience { head_seconds: 10, idle_seconds: 75, ..PATIENCE }), Rules::from(PATIENCE).in_a_crowd());
    assert_eq!((calm.in_a_crowd().idle, calm.in_a_crowd().head), (2, 6));
    assert_eq!((crowded.idle, crowded.head), (2, 2), "never later than otherwise");
}

/// A connection without a server, to be looked at, and what keeps it open.
async fn connection() -> (std::rc::Rc<Connection>, (TcpStream, watch::Sender<bool>)) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (draining, drained) = watch::channel(false);
    let worker = super::watch::Worker::start(PATIENCE.into(), 10, drained);
    let ticket = Crowd::new(None, Vec::new()).enter(None).unwrap();
    (Connection::new(listener.accept().await.unwrap().0, &worker, ticket), (client, draining))
}

/// Looks until something happens; how many it took.
fn looks(connection: &Connection) -> Option<u32> {
    (1..20).find(|_| {
        connection.look(&RULES);
        connection.end.get().is_some() || connection.late.get()
    })
}

#[actix_web::test]
async fn every_phase_has_its_deadline_but_the_answer() {
    for (phase, expected, end) in [
        (Phase::Head, Some(5), Some(End::HeadLate)),
        (Phase::Body, Some(4), None),
        (Phase::Work, Some(6), None),
        (Phase::Idle, Some(7), Some(End::Idle)),
        (Phase::Answer, None, None),
    ] {
        let (connection, _client) = connection().await;
        connection.enter(phase);
        assert_eq!((looks(&connection), connection.end.get()), (expected, end), "{phase:?}");
        assert_eq!(connection.late.get(), matches!(phase, Phase::Body | Phase::Work));
    }
}

#[actix_web::test]
async fn when_the_server_ends_nobody_waits_for_a_connection_that_has_said_nothing() {
    for (bytes, expected, end) in [(0, Some(3), End::Idle), (1, Some(5), End::HeadLate)] {
        let (connection, (_client, draining)) = connection().await;
        connection.arrived(bytes);
        draining.send_replace(true);
        while !connection.worker.is_ending() {
            rt::task::yield_now().await;
        }
        connection.enter(Phase::Head);
        assert_eq!((looks(&connection), connection.end.get()), (expected, Some(end)), "{bytes} bytes");
    }
}

#[actix_web::test]
async fn a_reader_keeps_its_connection_by_taking_enough() {
    let (connection, _client) = connection().await;
    connection.enter(Phase::Answer);
    for _ in 0..10 {
        connection.written(None, 1_000_000);
        connection.look(&RULES);
        connection.written(Some(super::TAKEN), 1_000_000);
    }
    assert_eq!(connection.end.get(), None);
    connection.written(None, 1_000_000);
    for _ in 0..3 {
        connection.look(&RULES);
        connection.written(Some(10), 1_000_000);
    }
    assert_eq!(connection.end.get(), Some(End::Stalled), "a few bytes now and then are not enough");
}

#[actix_web::test]
async fn little_is_read_ahead_of_an_answer_under_way_and_a_body_is_read_whole() {
    let (connection, _client) = connection().await;
    for phase in [Phase::Work, Phase::Answer] {
        connection.ahead.set(0);
        connection.enter(phase);
        connection.arrived(super::AHEAD - 1);
        assert!(!connection.is_far_ahead());
        connection.arrived(1);
        assert!(connection.is_far_ahead(), "{phase:?}");
        connection.body_left.set(true);
        assert!(!connection.is_far_ahead(), "that is the body");
        connection.body_left.set(false);
    }
    connection.enter(Phase::Idle);
    assert!(!connection.is_far_ahead());
}

#[actix_web::test]
async fn idleness_begins_when_the_answer_is_out() {
    let (connection, _client) = connection().await;
    connection.enter(Phase::Answer);
    connection.written(None, 1_000_000);
    connection.enter(Phase::Idle);
    for _ in 0..10 {
        connection.look(&RULES);
        connection.written(Some(super::TAKEN - 1), 1_000_000);
        connection.written(Some(super::TAKEN), 1_000_000);
        connection.written(None, 1_000_000);
    }
    assert_eq!(connection.end.get(), None, "it is still being taken");
    connection.written(Some(10), 10);
    assert_eq!((looks(&connection), connection.end.get()), (Some(7), Some(End::Idle)));
}
