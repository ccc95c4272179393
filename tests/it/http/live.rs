//! A room as it changes: streams and waiting readers, on one server and on two, through restarts and to the end.

use std::future::IntoFuture;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{Db, Event, Second, Setup, TestApp, served, with, within};

fn rises(events: &[Event]) {
    assert!(events.iter().all(|event| event.name == "room"));
    assert!(events.is_sorted_by(|one, next| one.id < next.id), "{:?}", events.iter().map(|event| event.id).collect::<Vec<_>>());
}

/// A figure without labels.
async fn figure(app: &TestApp, name: &str) -> u64 {
    let figures = app.get("/metrics").await.expect(200).text;
    let value = figures.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().expect("a whole number"))
}

/// A reader that has asked for a room's stream and takes as little of it as the system allows.
async fn lazy_reader(app: &TestApp, room: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("socket");
    socket.set_recv_buffer_size(2_048).expect("small buffer");
    let address = app.base.trim_start_matches("http://");
    let mut stream = socket.connect(address.parse().expect("address")).await.expect("connect");
    let request = format!("GET /v1/rooms/{room}/live HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("send");
    stream
}

/// Where Redis' log of a campaign ends.
async fn sequence(app: &TestApp, campaign: &str) -> i64 {
    let mut redis = app.redis_connection().await;
    redis::cmd("HGET").arg(crate::support::hot_key(campaign, "meta")).arg("seq").query_async(&mut redis).await.expect("meta")
}

served! {
    async fn a_stream_shows_the_present_state_then_every_change_and_ends_when_the_room_forms(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(3, 10, &json!({}))).await;
        let (ada, seat) = app.opened_and_paid(&campaign).await;
        let mut live = app.live(&seat.room).await;
        let header = |name: &str| live.answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header("content-type").as_deref(), Some("text/event-stream"));
        assert_eq!((header("cache-control").as_deref(), header("x-accel-buffering").as_deref()), (Some("no-store"), Some("no")));
        assert_eq!(header("content-encoding"), None);
        let first = live.expect().await;
        assert_eq!((first.name.as_str(), &first.data), ("room", &app.room(&seat.room).await));
        assert_eq!(first.id, (1, sequence(app, &campaign).await));
        assert!((1_000..5_000).contains(&first.retry.expect("when to come back")));

        let (bob, held) = app.joined(&seat.room).await;
        let joined = live.expect().await;
        assert_eq!((&joined.data["seats_taken"], &joined.data["seats_paid"]), (&json!(2), &json!(1)));
        assert_eq!((joined.id, joined.retry), ((1, sequence(app, &campaign).await), None));
        app.cancel(&bob, &held.order).await.expect(200);
        assert_eq!(live.expect().await.data["seats_taken"], 1);
        app.opened(&campaign).await;
        app.joined_and_paid(&seat.room).await;
        app.joined_and_paid(&seat.room).await;
        let rest = live.rest().await;
        rises(&rest);
        let states: Vec<Value> = rest.iter().map(|event| json!([event.data["state"], event.data["seats_taken"], event.data["seats_paid"]])).collect();
        assert_eq!(states, [json!(["open", 2, 1]), json!(["open", 2, 2]), json!(["open", 3, 2]), json!(["formed", 3, 3])]);
        assert_eq!(rest[3].data, app.room(&seat.room).await);
        assert_eq!(app.state_of(&ada, &seat.order).await, "confirmed");

        let again = app.live(&seat.room).await.rest().await;
        assert_eq!(again.iter().map(|event| &event.data).collect::<Vec<_>>(), [&rest[3].data], "what has formed is shown once");
    }

    async fn a_stream_ends_when_the_room_fails(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (_, seat) = app.opened(&campaign).await;
        let live = app.live(&seat.room).await;
        app.advance(901).await;
        let events = live.rest().await;
        rises(&events);
        assert_eq!(events.last().unwrap().data["state"], "failed");
    }

    async fn whoever_returns_gets_the_present_state_whatever_they_saw_last(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (_, seat) = app.opened(&campaign).await;
        let seen = app.live(&seat.room).await.expect().await;
        app.joined(&seat.room).await;
        let present = app.room(&seat.room).await;
        for last in [&format!("{}-{}", seen.id.0, seen.id.1), "1-1", "9-999", "nonsense"] {
            let mut live = app.live_with(&app.base, &seat.room, &[("last-event-id", last)]).await;
            let event = live.expect().await;
            assert_eq!(event.data, present, "after {last}");
            assert!(event.id > seen.id);
        }
    }

    async fn members_see_their_own_seat_and_nobody_elses(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (ada, seat) = app.opened(&campaign).await;
        let bob = app.shopper("Bob").await;
        let (mut ada_sees, mut bob_sees, mut all_see) = (app.live_by(&ada, &seat.room).await, app.live_by(&bob, &seat.room).await, app.live(&seat.room).await);
        assert_eq!(ada_sees.expect().await.data["you"], json!({"order_id": seat.order, "leader": true}));
        assert_eq!(bob_sees.expect().await.data.get("you"), None);
        assert_eq!(all_see.expect().await.data.get("you"), None);
        let held = app.join(&bob, &seat.room).await.expect(201).seat();
        let (of_ada, of_bob, mut of_all) = (ada_sees.expect().await, bob_sees.expect().await, all_see.expect().await);
        assert_eq!(of_ada.data["you"], json!({"order_id": seat.order, "leader": true}));
        assert_eq!(of_bob.data["you"], json!({"order_id": held.order, "leader": false}));
        assert_eq!(of_all.data.get("you"), None);
        of_all.data["you"] = of_bob.data["you"].clone();
        assert_eq!(of_all, of_bob, "but for `you` all see the same event");
        app.cancel(&ada, &seat.order).await.expect(200);
        assert_eq!(ada_sees.expect().await.data.get("you"), None);
        assert_eq!(bob_sees.expect().await.data["you"], json!({"order_id": held.order, "leader": true}));
    }

    async fn streams_in_a_stampede_rise_to_the_final_state(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(20, 100, &json!({}))).await;
        let (leader, seat) = app.opened(&campaign).await;
        let (_, other) = app.opened(&campaign).await;
        let mut streams = Vec::new();
        for _ in 0..4 {
            streams.push(app.live(&seat.room).await);
        }
        let shoppers = app.shoppers(40).await;
        let rooms = [&seat.room, &other.room];
        join_all(shoppers.iter().zip(rooms.iter().cycle()).map(|(shopper, room)| app.join(shopper, room).into_future())).await;
        let (full, last) = (app.room(&seat.room).await, app.live(&seat.room).await.expect().await.id);
        assert_eq!(full["seats_taken"], 20);
        for mut live in streams {
            let events = live.until(|room| room["seats_taken"] == 20).await;
            rises(&events);
            assert_eq!(events.last().unwrap().data, full);
            assert!(events.last().unwrap().id <= last);
            let taken: Vec<i64> = events.iter().map(|event| event.data["seats_taken"].as_i64().unwrap()).collect();
            assert!(taken.is_sorted_by(|one, next| one < next), "each event is another state: {taken:?}");
        }
        app.cancel(&leader, &seat.order).await.expect(200);
    }

    async fn a_reader_that_does_not_read_is_closed_counted_and_gets_the_present_state_when_it_returns(app: &mut TestApp) {
        let limits = json!({"orders_per_user": 9, "rooms_joined_per_user": 9});
        let campaign = app.publish_whole(&with(80, 200, &limits)).await;
        let (_, seat) = app.opened(&campaign).await;
        let mut lazy = lazy_reader(app, &seat.room).await;
        let mut eager = app.live(&seat.room).await;
        for name in std::iter::repeat_n("\u{20000}", 60) {
            let shopper = app.shopper(name).await;
            app.join(&shopper, &seat.room).await.expect(201);
        }
        let fickle = app.shopper("Eve").await;
        for _ in 0..45 {
            let held = app.join(&fickle, &seat.room).await.expect(201).seat();
            app.cancel(&fickle, &held.order).await.expect(200);
        }
        let end = app.live(&seat.room).await.expect().await;
        while eager.expect().await.id < end.id {}
        assert_eq!(figure(app, "liebian_streams_lagged_total").await, 0, "whoever reads is kept");

        let mut text = String::new();
        socket2::SockRef::from(&lazy).set_recv_buffer_size(1 << 20).expect("large buffer");
        let read = tokio::time::timeout(Duration::from_secs(20), lazy.read_to_string(&mut text)).await;
        read.expect("closed").expect("closed in good order");
        let ids: Vec<i64> = text.lines().filter_map(|line| line.strip_prefix("id: 1-")?.parse().ok()).collect();
        assert!(ids.is_sorted_by(|one, next| one < next) && *ids.last().unwrap() < end.id.1, "{ids:?}");
        assert!(text.ends_with("\r\n0\r\n\r\n"), "the end is told");
        assert_eq!(figure(app, "liebian_streams_lagged_total").await, 1);
        let present = app.live(&seat.room).await.expect().await;
        assert_eq!((present.data, present.id), (end.data, end.id));
    }

    async fn streams_are_counted_and_those_whose_reader_left_are_let_go(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (_, seat) = app.opened(&campaign).await;
        let mut one = app.live(&seat.room).await;
        let mut two = app.live(&seat.room).await;
        one.expect().await;
        two.expect().await;
        assert_eq!(figure(app, "liebian_streams_open").await, 2);
        drop(two);
        // That a reader is gone shows when something is sent to it.
        let (bob, held) = app.joined(&seat.room).await;
        app.cancel(&bob, &held.order).await.expect(200);
        app.joined(&seat.room).await;
        within(10, "one stream is left", async || figure(app, "liebian_streams_open").await == 1).await;
        while one.expect().await.id.1 < sequence(app, &campaign).await {}
        assert!(figure(app, "liebian_stream_events_total").await >= 5);
        drop(one);
    }

    async fn what_is_no_room_has_no_stream(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (_, seat) = app.opened(&campaign).await;
        let tag = campaign.trim_start_matches("cmp_");
        let other_campaign = seat.room.replace(tag, "zzzzzzzz");
        for room in ["x", "room_", &format!("room_{tag}zzzzzzzzzzzzzzzz"), &other_campaign] {
            app.get(&format!("/v1/rooms/{room}/live")).await.refused(404, "not_found");
            let waiting = app.get(&format!("/v1/rooms/{room}?wait_seconds=20")).header("If-None-Match", "\"x\"");
            waiting.await.refused(404, "not_found");
        }
        app.post(&format!("/v1/rooms/{}/live", seat.room)).await.refused(405, "method_not_allowed");
    }

    async fn a_web_page_of_a_known_origin_may_read_streams(app: &mut TestApp, Setup { env: vec![("LIEBIAN_CORS_ORIGINS", "https://shop.example".to_owned())], ..Setup::default() }) {
        let campaign = app.publish(&json!({})).await;
        let (_, seat) = app.opened(&campaign).await;
        let allowed = |origin: &'static str| {
            let answer = app.http.get(format!("{}/v1/rooms/{}/live", app.base, seat.room)).header("origin", origin).send();
            async { answer.await.unwrap().headers().get("access-control-allow-origin").cloned() }
        };
        assert_eq!(allowed("https://shop.example").await.unwrap(), "https://shop.example");
        assert_eq!(allowed("https://evil.example").await, None);
    }

    async fn a_wait_ends_with_the_first_change_or_with_its_time(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(40, 100, &json!({}))).await;
        let (_, seat) = app.opened(&campaign).await;
        let path = format!("/v1/rooms/{}", seat.room);
        let etag = app.get(&path).await.expect(200).header("etag").unwrap().to_owned();
        let since = Instant::now();
        let unchanged = app.get(&format!("{path}?wait_seconds=1")).header("If-None-Match", &etag).await.expect(304);
        assert!(since.elapsed() >= Duration::from_secs(1));
        assert_eq!((unchanged.header("etag"), unchanged.text.as_str()), (Some(&*etag), ""));
        let stale = app.get(&format!("{path}?wait_seconds=20")).header("If-None-Match", "\"another\"");
        assert_eq!(stale.await.expect(200).header("etag"), Some(&*etag), "what differs already is answered at once");

        // However the two meet, no change falls between the reader's look and its wait.
        let since = Instant::now();
        for shopper in app.shoppers(20).await {
            let before = app.get(&path).await.expect(200);
            let waiting = app.get(&format!("{path}?wait_seconds=20")).header("If-None-Match", before.header("etag").unwrap());
            let (seen, joined) = tokio::join!(waiting.into_future(), app.join(&shopper, &seat.room).into_future());
            joined.expect(201);
            assert_eq!(seen.expect(200).json["seats_taken"], before.json["seats_taken"].as_i64().unwrap() + 1);
        }
        assert!(since.elapsed() < Duration::from_secs(20), "a change was missed");
    }

    async fn a_wait_tells_members_of_their_own_seat(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (ada, seat) = app.opened(&campaign).await;
        let path = format!("/v1/rooms/{}", seat.room);
        let etag = app.get(&path).by(&ada).await.expect(200).header("etag").unwrap().to_owned();
        let waiting = tokio::spawn(app.get(&format!("{path}?wait_seconds=20")).by(&ada).header("If-None-Match", &etag).into_future());
        app.joined(&seat.room).await;
        let seen = waiting.await.unwrap().expect(200);
        assert_eq!((&seen.json["seats_taken"], &seen.json["you"]["order_id"]), (&json!(2), &json!(seat.order)));
    }

    async fn after_redis_has_restarted_streams_and_waits_go_on(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (_, seat) = app.opened(&campaign).await;
        let mut live = app.live(&seat.room).await;
        let before = live.expect().await;
        app.redis.restart().await;
        within(10, "the campaign is back", async || app.get(&format!("/v1/rooms/{}", seat.room)).await.status == 200).await;
        let fresh = live.expect().await;
        assert!(fresh.id.0 > before.id.0, "a new epoch: {:?} after {:?}", fresh.id, before.id);
        assert_eq!(fresh.data, before.data);
        let path = format!("/v1/rooms/{}", seat.room);
        let etag = app.get(&path).await.expect(200).header("etag").unwrap().to_owned();
        let waiting = tokio::spawn(app.get(&format!("{path}?wait_seconds=20")).header("If-None-Match", &etag).into_future());
        app.joined(&seat.room).await;
        assert_eq!(live.expect().await.data["seats_taken"], 2);
        assert_eq!(waiting.await.unwrap().expect(200).json["seats_taken"], 2);
    }

    async fn readers_learn_by_themselves_what_is_left_when_redis_is_lost(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (_, kept) = app.opened(&campaign).await;
        app.wait_until_projected().await;
        let (bob, eve) = (app.shopper("Bob").await, app.shopper("Eve").await);
        // What is answered while SQL stands still may be lost with Redis' disk.
        let sql = crate::faults::hold_sql(app.store()).await;
        app.join(&bob, &kept.room).await.expect(201);
        let new = app.open(&eve, &campaign).await.expect(201).seat();
        let (mut of_kept, mut of_new) = (app.live(&kept.room).await, app.live(&new.room).await);
        let (before, _) = (of_kept.expect().await, of_new.expect().await);
        app.redis.kill();
        std::fs::remove_dir_all(app.redis.data_dir().join("appendonlydir")).expect("wipe");
        sql.rollback().await.expect("let go");
        app.redis.restart().await;
        // Nobody asks for anything: the reader of the log notices.
        let fresh = of_kept.expect().await;
        assert!(fresh.id.0 > before.id.0, "{:?} after {:?}", fresh.id, before.id);
        assert_eq!(fresh.data, app.room(&kept.room).await);
        let left = of_new.next().await.map(|event| event.data);
        let there = app.get(&format!("/v1/rooms/{}", new.room)).await;
        assert_eq!(left, (there.status == 200).then_some(there.json), "a stream of what is gone ends");
        app.joined(&kept.room).await;
        assert_eq!(of_kept.expect().await.data, app.room(&kept.room).await);
    }

    async fn sigterm_ends_streams_and_waits_at_once(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (_, seat) = app.opened(&campaign).await;
        let path = format!("/v1/rooms/{}", seat.room);
        let etag = app.get(&path).await.expect(200).header("etag").unwrap().to_owned();
        let waiting = tokio::spawn(app.get(&format!("{path}?wait_seconds=25")).header("If-None-Match", &etag).try_send());
        let mut streams = Vec::new();
        for _ in 0..50 {
            let mut live = app.live(&seat.room).await;
            live.expect().await;
            streams.push(live);
        }
        let lazy = lazy_reader(app, &seat.room).await;
        let since = Instant::now();
        let ends = tokio::spawn(async move {
            for live in streams {
                assert_eq!(live.rest().await, []);
            }
            since.elapsed()
        });
        app.stop().await;
        assert!(ends.await.unwrap() < Duration::from_secs(3), "streams end at once, in good order");
        assert_eq!(waiting.await.unwrap().expect("an answer before the end").status, 304);
        drop(lazy);
        app.restart().await;
        let mut live = app.live(&seat.room).await;
        assert_eq!(live.expect().await.data["seats_taken"], 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_stream_says_something_every_fifteen_seconds() {
    let app = TestApp::start(Db::sqlite().await, Setup::default()).await;
    let campaign = app.publish(&json!({})).await;
    let (_, seat) = app.opened(&campaign).await;
    let mut live = app.live(&seat.room).await;
    live.expect().await;
    let since = Instant::now();
    assert_eq!(live.block().await.as_deref(), Some(":"));
    assert!((14..=17).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_at_one_server_see_what_is_done_at_another() {
    let app = TestApp::start(Db::postgres().await, Setup::default()).await;
    let second = Second::start(&app).await;
    let campaign = app.publish_whole(&with(3, 10, &json!({}))).await;
    let (_, seat) = app.opened_and_paid(&campaign).await;
    let mut live = app.live_with(&second.base, &seat.room, &[]).await;
    assert_eq!(live.expect().await.data["seats_taken"], 1);
    let path = format!("{}/v1/rooms/{}", second.base, seat.room);
    let etag = app.http.get(&path).send().await.unwrap().headers()["etag"].clone();
    let waiting = tokio::spawn(app.http.get(format!("{path}?wait_seconds=20")).header("if-none-match", etag).send());
    let since = Instant::now();
    app.joined_and_paid(&seat.room).await;
    let seen: Value = waiting.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(seen["seats_taken"], 2);
    app.joined_and_paid(&seat.room).await;
    let rest = live.rest().await;
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    rises(&rest);
    let final_state = app.room(&seat.room).await;
    assert_eq!((&rest.last().unwrap().data, &final_state["state"]), (&final_state, &json!("formed")));
    assert_eq!(rest.last().unwrap().data["members"].as_array().unwrap().len(), 3);
    drop(second);
    app.finish().await;
}
