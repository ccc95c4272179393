//! Refusals from memory: strangers are told without asking Redis, and nobody is told what is not so.

use serde_json::json;

use crate::support::{Answer, Db, Second, Setup, Shopper, TestApp, served, with};

/// Asks until the answer comes from memory: the first refusals make the server look who holds something. Bounded by the test's own time.
async fn from_memory(mut ask: impl AsyncFnMut() -> Answer, code: &str) -> Answer {
    loop {
        let answer = ask().await;
        assert_eq!(answer.code(), code, "{}", answer.text);
        if answer.seq().is_none() {
            return answer;
        }
    }
}

/// Shoppers on one phone, for a campaign that allows it.
async fn crowd(app: &TestApp, count: usize) -> Vec<Shopper> {
    let device = app.device().await;
    let mut crowd = Vec::new();
    for n in 0..count {
        crowd.push(app.login(&device, &format!("refused-{n}"), "R").await);
    }
    crowd
}

served! {
    async fn a_sold_out_campaign_tells_strangers_from_memory(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(3, 1, &json!({"users_per_device": 100}))).await;
        let crowd = crowd(app, 3).await;
        let [first, stranger, other] = &crowd[..] else { unreachable!("three shoppers") };
        let seat = app.open(first, &campaign).await.expect(201).seat();
        let told = from_memory(async || app.open(stranger, &campaign).await, "sold_out").await;
        assert_eq!((told.status, &told.json["retry"]), (409, &json!("later")));
        from_memory(async || app.join(stranger, &seat.room).await, "sold_out").await;
        // Whoever has a seat gets it, and a key is answered by the program, each time.
        app.join(first, &seat.room).await.expect(200);
        let keyed = app.open(other, &campaign).key("a-key").await.refused(409, "sold_out");
        assert!(keyed.seq().is_some());
        assert!(app.open(other, &campaign).key("a-key").await.refused(409, "sold_out").replayed());
        // What is free again is had at once.
        from_memory(async || app.open(stranger, &campaign).await, "sold_out").await;
        app.cancel(first, &seat.order).await.expect(200);
        app.open(stranger, &campaign).await.expect(201);
        from_memory(async || app.open(other, &campaign).await, "sold_out").await;
        app.post(&format!("/operator/v1/campaigns/{campaign}/stock")).admin().json(json!({"sku": "tea", "add": 1})).await.expect(200);
        app.open(other, &campaign).await.expect(201);
    }

    async fn a_refusal_given_again_for_its_key_is_no_news(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(3, 1, &json!({"users_per_device": 100}))).await;
        let crowd = crowd(app, 3).await;
        let [first, keyed, stranger] = &crowd[..] else { unreachable!("three shoppers") };
        app.open(first, &campaign).await.expect(201);
        app.open(keyed, &campaign).key("a-key").await.refused(409, "sold_out");
        from_memory(async || app.open(stranger, &campaign).await, "sold_out").await;
        app.post(&format!("/operator/v1/campaigns/{campaign}/stock")).admin().json(json!({"sku": "tea", "add": 1})).await.expect(200);
        assert!(app.open(keyed, &campaign).key("a-key").await.refused(409, "sold_out").replayed());
        app.open(stranger, &campaign).await.expect(201);
    }

    async fn a_full_room_names_another_from_memory(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(2, 100, &json!({"users_per_device": 100}))).await;
        let crowd = crowd(app, 5).await;
        let [first, second, third, stranger, late] = &crowd[..] else { unreachable!("five shoppers") };
        let full = app.open(first, &campaign).await.expect(201).seat();
        let seat = app.join(second, &full.room).await.expect(201).seat();
        let open = app.open(third, &campaign).await.expect(201).seat();
        let told = from_memory(async || app.join(stranger, &full.room).await, "room_full").await;
        assert_eq!(told.json["alternative"]["room_id"], json!(open.room));
        app.join(second, &full.room).await.expect(200);
        app.cancel(second, &seat.order).await.expect(200);
        app.join(stranger, &full.room).await.expect(201);
        from_memory(async || app.join(late, &full.room).await, "room_full").await;
    }

    async fn a_new_process_looks_who_holds_a_seat_before_it_refuses(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(3, 1, &json!({"users_per_device": 100}))).await;
        let crowd = crowd(app, 2).await;
        let [first, stranger] = &crowd[..] else { unreachable!("two shoppers") };
        let seat = app.open(first, &campaign).await.expect(201).seat();
        from_memory(async || app.open(stranger, &campaign).await, "sold_out").await;
        app.restart().await;
        // The new process knows nobody yet, so it asks.
        assert!(app.open(stranger, &campaign).await.refused(409, "sold_out").seq().is_some());
        from_memory(async || app.open(stranger, &campaign).await, "sold_out").await;
        app.join(first, &seat.room).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_another_process_served_is_no_stranger() {
    let mut app = TestApp::start(Db::postgres().await, Setup::default()).await;
    let mut second = Second::start(&app).await;
    let campaign = app.publish_whole(&with(3, 1, &json!({"users_per_device": 100}))).await;
    let crowd = crowd(&app, 3).await;
    let [early, late, stranger] = &crowd[..] else { unreachable!("three shoppers") };
    let seat = app.open(early, &campaign).await.expect(201).seat();
    from_memory(async || app.open(stranger, &campaign).await, "sold_out").await;
    // Now this process knows who holds something. Through the other one that changes.
    std::mem::swap(&mut app.base, &mut second.base);
    app.cancel(early, &seat.order).await.expect(200);
    let seat = app.open(late, &campaign).await.expect(201).seat();
    std::mem::swap(&mut app.base, &mut second.base);
    from_memory(async || app.open(stranger, &campaign).await, "sold_out").await;
    for _ in 0..20 {
        app.join(stranger, &seat.room).await.refused(409, "sold_out");
        app.join(late, &seat.room).await.expect(200);
    }
    drop(second);
    app.finish().await;
}
