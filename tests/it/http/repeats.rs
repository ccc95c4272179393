//! `Idempotency-Key` and `Liebian-Seq`.

use std::future::IntoFuture;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Answer, Request, served, with};

/// The very same answer again, and said to be so.
#[track_caller]
fn same(first: &Answer, again: &Answer) {
    assert_eq!((again.status, &again.json), (first.status, &first.json));
    assert!(again.replayed() && !first.replayed(), "{:?}", again.headers);
    assert_eq!(again.header("liebian-seq"), first.header("liebian-seq"));
}

/// A request that can be made again.
type Post<'a> = Box<dyn Fn() -> Request + 'a>;

/// Without what belongs to one request only.
fn decided(mut answer: Answer) -> Answer {
    if let Some(members) = answer.json.as_object_mut() {
        members.remove("request_id");
    }
    answer
}

served! {
    async fn the_same_key_and_body_gets_the_first_answer_again_also_after_a_restart(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(3, 9, &json!({"rooms_opened_per_user": 5}))).await;
        let ada = app.shopper("Ada").await;
        let first = app.open(&ada, &campaign).key("k 1").await.refused(422, "invalid_request");
        assert_eq!(first.fields(), ["Idempotency-Key"]);
        let first = app.open(&ada, &campaign).key("k1").await.expect(201);
        same(&first, &app.open(&ada, &campaign).key("k1").await);
        app.joined(&first.seat().room).await;
        same(&first, &app.open(&ada, &campaign).key("k1").await);
        app.kill();
        app.restart().await;
        same(&first, &app.open(&ada, &campaign).key("k1").await);
        assert_eq!(app.stock(&campaign).await, (7, 2, 0));
        // Another caller, or another address, is another scope.
        let bob = app.shopper("Bob").await;
        let other = app.open(&bob, &campaign).key("k1").await.expect(201);
        assert_ne!(other.seat(), first.seat());
        app.cancel(&ada, &first.seat().order).key("k1").await.expect(200);
        app.open(&ada, &campaign).await.expect(201);
        same(&first, &app.open(&ada, &campaign).key("k1").await);
    }

    async fn a_refusal_is_repeated_too_even_when_it_would_be_granted_now(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(3, 1, &json!({}))).await;
        let (ada, seat) = app.opened(&campaign).await;
        let bob = app.shopper("Bob").await;
        let first = decided(app.join(&bob, &seat.room).key("k").await.refused(409, "sold_out"));
        app.cancel(&ada, &seat.order).await.expect(200);
        app.post(&format!("/operator/v1/campaigns/{campaign}/stock")).admin().json(json!({"sku": "tea", "add": 9})).await.expect(200);
        same(&first, &decided(app.join(&bob, &seat.room).key("k").await));
        app.kill();
        app.restart().await;
        same(&first, &decided(app.join(&bob, &seat.room).key("k").await));
        app.open(&bob, &campaign).key("k").await.expect(201);
    }

    async fn the_same_key_with_another_body_is_refused(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(3, 9, &json!({"quantity_per_order": 2}))).await;
        let ada = app.shopper("Ada").await;
        app.open(&ada, &campaign).key("k").await.expect(201);
        app.open_for(&ada, &campaign, "tea", 2).key("k").await.refused(422, "idempotency_key_reused");
        let share = |body: Value| app.post("/v1/shares").by(&ada).json(body).key("k");
        share(json!({"campaign_id": campaign})).await.expect(201);
        share(json!({"campaign_id": campaign, "channel": "x"})).await.refused(422, "idempotency_key_reused");
        app.restart().await;
        app.open_for(&ada, &campaign, "tea", 2).key("k").await.refused(422, "idempotency_key_reused");
        for key in ["", &"k".repeat(65), "ключ"] {
            let bytes = reqwest::header::HeaderValue::from_bytes(key.as_bytes()).unwrap();
            let request = app.http.post(format!("{}/v1/shares", app.base)).header("Idempotency-Key", bytes).bearer_auth(&ada.session);
            let request = request.header("X-Device-Token", &ada.device).header("Content-Type", "application/json");
            let answer = request.body(json!({"campaign_id": campaign}).to_string()).send().await.unwrap();
            assert_eq!(answer.status(), 422, "{key:?}");
        }
    }

    async fn one_key_eight_times_at_once_opens_one_room(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(3, 50, &json!({"rooms_opened_per_user": 20, "orders_per_user": 20, "unpaid_per_user": 20}))).await;
        let ada = app.shopper("Ada").await;
        let answers = join_all((0..8).map(|_| app.open(&ada, &campaign).key("k").into_future())).await;
        let first = answers.iter().find(|answer| !answer.replayed()).expect("one is the first").clone();
        assert_eq!(answers.iter().filter(|answer| answer.replayed()).count(), 7);
        for answer in &answers {
            assert_eq!((answer.status, &answer.json), (201, &first.json));
        }
        assert_eq!(app.report(&campaign).await["rooms"], json!({"open": 1}));
        assert_eq!(app.stock(&campaign).await, (49, 1, 0));
    }

    async fn posts_kept_in_sql_are_repeated_alike(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let ada = app.shopper("Ada").await;
        let share = || app.post("/v1/shares").by(&ada).json(json!({"campaign_id": campaign})).key("k");
        let answers = join_all((0..8).map(|_| share().into_future())).await;
        assert_eq!(answers.iter().filter(|answer| !answer.replayed()).count(), 1);
        assert!(answers.iter().all(|answer| answer.status == 201 && answer.json == answers[0].json));
        let draft = || app.post("/operator/v1/campaigns").admin().json(json!({"title": "x"})).key("d");
        let refused = decided(draft().await.refused(422, "invalid_request"));
        same(&refused, &decided(draft().await));
        let made = app.post("/operator/v1/campaigns").admin().json(crate::support::definition()).key("e").await.expect(201);
        // Sessions: the token of the first answer again.
        let login = || app.post("/v1/sessions").json(json!({"provider": "sandbox", "code": "c"})).key("s");
        let session = login().await.expect(201);
        same(&session, &login().await);
        app.kill();
        app.restart().await;
        let again = share().await;
        assert!(again.replayed() && again.json == answers[0].json);
        same(&session, &login().await);
        let list = app.get("/operator/v1/campaigns").admin().await.expect(200).json;
        assert_eq!((list["items"].as_array().map(Vec::len), &list["items"][0]["id"]), (Some(2), &made.json["id"]));
    }

    async fn a_repeat_names_its_device_like_the_first(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let ada = app.shopper("Ada").await;
        let programme = app.programme(&json!({})).await;
        app.earned(&ada, &programme, 300).await;
        let posts = [("/v1/shares", json!({"campaign_id": campaign})), ("/v1/me/withdrawals", json!({"amount_fen": 100}))];
        for (path, body) in &posts {
            let post = || app.post(path).json(body.clone()).key("k");
            let first = post().by(&ada).await.expect(201);
            post().session(&ada.session).await.refused(401, "device_required");
            post().session(&ada.session).header("X-Device-Token", "forged").await.refused(401, "device_invalid");
            same(&first, &post().by(&ada).await);
        }
        // Who needs none is not asked for one.
        for operation in crate::support::Document::of(app).await.operations() {
            if operation.method == "POST" && operation.path.starts_with("/v1/") {
                let address = operation.at(|_| campaign.clone());
                let answer = app.post(&address).session(&ada.session).json(json!([])).key("n").await;
                assert_eq!(answer.code() == "device_required", operation.needs("device"), "{} {}", operation.id, answer.text);
            }
        }
    }

    async fn every_post_takes_a_key(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(3, 9, &json!({"rooms_opened_per_user": 5, "orders_per_user": 5}))).await;
        let (ada, seat) = app.opened(&campaign).await;
        let (bob, second) = app.joined(&seat.room).await;
        let (eve, third) = app.joined(&seat.room).await;
        let one = format!("/operator/v1/campaigns/{campaign}");
        let admin = |path: &str, body: Value| app.post(&format!("{one}{path}")).admin().json(body).key("k");
        let payment = json!({"reference": "till-1", "amount_fen": 4950, "paid_at": "2026-11-22T00:00:00Z"});
        let paid = || app.post(&format!("/operator/v1/orders/{}/paid", third.order)).admin().json(payment.clone()).key("k");
        app.ask_payment(&bob, &second.order).await.expect(200);
        let posts: Vec<(&str, Post)> = vec![
            ("join", Box::new(|| app.join(&eve, &seat.room).key("k"))),
            ("payment", Box::new(|| app.ask_payment(&ada, &seat.order).key("k"))),
            ("sandbox pay", Box::new(|| app.pay(&ada, &seat.order).key("k"))),
            ("cancel", Box::new(|| app.cancel(&bob, &second.order).key("k"))),
            ("paid", Box::new(paid)),
            ("stock", Box::new(|| admin("/stock", json!({"sku": "tea", "add": 2})))),
            ("pause", Box::new(|| admin("/pause", json!({})))),
            ("resume", Box::new(|| admin("/resume", json!({})))),
            ("check", Box::new(|| admin("/check", json!({})))),
            ("clone", Box::new(|| admin("/clone", json!({})))),
            ("publish", Box::new(|| admin("/publish", json!({})))),
            ("session", Box::new(|| app.post("/operator/v1/sessions").admin().json(json!({"external_user_id": "e"})).key("k"))),
            ("key", Box::new(|| app.post("/operator/v1/keys").admin().json(json!({"name": "n", "role": "viewer"})).key("k"))),
            ("device", Box::new(|| app.post("/v1/devices").json(json!({"signals": {"install_id": "i"}})).key("k"))),
            ("clock", Box::new(|| app.post("/v1/sandbox/clock").admin().json(json!({"advance_seconds": 1})).key("k"))),
        ];
        let mut wrong = Vec::new();
        let mut firsts = Vec::new();
        for (name, post) in &posts {
            let first = post().await;
            assert!((200..300).contains(&first.status), "{name}: {}", first.text);
            firsts.push(first);
        }
        // All of them again, when everything has moved on.
        for ((name, post), first) in posts.iter().zip(&firsts) {
            let again = post().await;
            if (again.status, &again.json, again.replayed()) != (first.status, &first.json, true) {
                wrong.push(format!("{name}: replayed {}, {} then {}", again.replayed(), first.text, again.text));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    async fn units_of_an_item_stay_within_what_can_be_counted(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let add = |units: i64| app.post(&format!("/operator/v1/campaigns/{campaign}/stock")).admin().json(json!({"sku": "tea", "add": units}));
        assert_eq!(add(999_999_901).await.refused(422, "invalid_request").fields(), ["add"]);
        add(999_999_900).await.expect(200);
        assert_eq!(add(1).key("k").await.refused(422, "invalid_request").fields(), ["add"]);
        assert!(add(1).key("k").await.refused(422, "invalid_request").replayed());
        add(-5).await.expect(200);
        add(5).await.expect(200);
        assert_eq!(app.stock(&campaign).await.0, 1_000_000_000);
    }

    async fn operators_with_the_same_key_do_not_meet(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let editor = app.post("/operator/v1/keys").admin().json(json!({"name": "e", "role": "editor"})).await.expect(201).at("/secret");
        let path = format!("/operator/v1/campaigns/{campaign}/stock");
        let add = |units: i64| app.post(&path).json(json!({"sku": "tea", "add": units})).key("k");
        add(1).admin().await.expect(200);
        let other = add(1).session(&editor).await.expect(200);
        assert!(!other.replayed());
        assert_eq!(app.stock(&campaign).await.0, 102);
        add(2).session(&editor).await.refused(422, "idempotency_key_reused");
    }

    async fn a_key_holds_for_a_day(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(3, 9, &json!({"rooms_opened_per_user": 5, "orders_per_user": 5, "unpaid_per_user": 5}))).await;
        let ada = app.shopper("Ada").await;
        let share = || app.post("/v1/shares").by(&ada).json(json!({"campaign_id": campaign})).key("k");
        let (first, link) = (app.open(&ada, &campaign).key("k").await.expect(201), share().await.expect(201));
        app.advance(24 * 3600 - 60).await;
        assert!(app.open(&ada, &campaign).key("k").await.replayed() && share().await.replayed());
        app.advance(61).await;
        let (later, other) = (app.open(&ada, &campaign).key("k").await.expect(201), share().await.expect(201));
        assert!(!later.replayed() && !other.replayed());
        assert_ne!((later.at("/room/id"), other.at("/token")), (first.at("/room/id"), link.at("/token")));
    }

    async fn answers_to_ops_say_where_they_were_decided_and_others_do_not(app: &mut TestApp) {
        let id = app.draft(&with(3, 9, &json!({}))).await;
        let published = app.post(&format!("/operator/v1/campaigns/{id}/publish")).admin().await.expect(200);
        let (campaign, epoch, mut last) = published.seq().expect("publish is an op");
        assert_eq!(campaign, id);
        let (ada, bob) = (app.shopper("Ada").await, app.shopper("Bob").await);
        let opened = app.open(&ada, &id).await.expect(201);
        let seat = opened.seat();
        let joined = app.join(&bob, &seat.room).await.expect(201);
        let mut later = vec![opened, joined, app.ask_payment(&ada, &seat.order).await.expect(200)];
        later.push(app.pay(&ada, &seat.order).await.expect(200));
        later.push(app.cancel(&bob, &later[1].seat().order).await.expect(200));
        later.push(app.post(&format!("/operator/v1/campaigns/{id}/stock")).admin().json(json!({"sku": "tea", "add": 1})).await.expect(200));
        later.push(app.step(&id, "pause").await.expect(200));
        for (number, answer) in later.iter().enumerate() {
            let (campaign, its_epoch, seq) = answer.seq().unwrap_or_else(|| panic!("answer {number} is one to an op: {:?}", answer.headers));
            assert_eq!((campaign, its_epoch), (id.clone(), epoch));
            assert!(seq > last, "answer {number} has {seq} after {last}");
            last = seq;
        }
        let refused = app.join(&bob, &seat.room).await.refused(409, "campaign_not_live");
        assert!(refused.seq().is_none_or(|(_, _, seq)| seq == last), "a refusal changes nothing");
        let repeat = app.join(&ada, &seat.room).await.expect(200);
        assert_eq!(repeat.seq().map(|(_, _, seq)| seq), Some(last));
        for path in [format!("/v1/rooms/{}", seat.room), format!("/v1/campaigns/{id}"), "/v1/campaigns".into(), "/health/ready".into()] {
            assert_eq!(app.get(&path).await.expect(200).seq(), None, "{path}");
        }
        assert_eq!(app.post("/v1/shares").by(&ada).json(json!({"campaign_id": id})).await.expect(201).seq(), None);
    }

    async fn what_is_refused_before_the_program_is_asked_is_remembered_too(app: &mut TestApp) {
        let limits = json!({"rooms_opened_per_user": 9, "orders_per_user": 9, "unpaid_per_user": 9, "rooms_joined_per_user": 9});
        let campaign = app.publish(&json!({"items": [{"sku": "tea", "title": "Tea", "list_price_fen": 9900, "solo_price_fen": 8000, "stock": 100,
            "tiers": [{"size": 3, "price_fen": 4950}]}], "limits": limits})).await;
        let (ada, seat) = app.opened(&campaign).await;
        let bob = app.shopper("Bob").await;
        let (bargain, owner, chain) = app.chain_of(&json!({})).await;
        let stock = format!("/operator/v1/campaigns/{campaign}/stock");
        let (one, odd) = (json!({"sku": "tea", "quantity": 1}), json!({"colour": "red"}));
        // Address, who, what is refused and what is granted.
        let posts = [
            (format!("/v1/campaigns/{campaign}/rooms"), &bob, json!({"sku": "tea", "quantity": 0}), one.clone()),
            (format!("/v1/campaigns/{campaign}/rooms"), &ada, json!({"sku": 7}), one.clone()),
            (format!("/v1/campaigns/{campaign}/solo_orders"), &bob, json!({"sku": "tea"}), one),
            (format!("/v1/rooms/{}/members", seat.room), &bob, json!({"quantity": 10_001}), json!({"quantity": 1})),
            (format!("/v1/orders/{}/payment", seat.order), &ada, odd.clone(), json!({})),
            (format!("/v1/campaigns/{bargain}/chains"), &bob, json!({"sku": "tea"}), json!({"sku": "cream"})),
            (format!("/v1/chains/{chain}/cuts"), &bob, odd.clone(), json!({})),
            (format!("/v1/chains/{chain}/orders"), &owner, odd, json!({})),
            (stock, &ada, json!({"sku": "tea", "add": 0}), json!({"sku": "tea", "add": 1})),
        ];
        let send = |(path, who, ..): &(String, &crate::support::Shopper, Value, Value), body: &Value, key: &str| {
            let post = app.post(path).json(body.clone()).key(key);
            if path.starts_with("/operator") { post.admin() } else { post.by(who) }
        };
        let mut firsts = Vec::new();
        for post in &posts {
            let first = decided(send(post, &post.2, "bad").await);
            assert!([404, 422].contains(&first.status) && first.seq().is_some(), "{}: {}", post.0, first.text);
            same(&first, &decided(send(post, &post.2, "bad").await));
            send(post, &post.3, "bad").await.refused(422, "idempotency_key_reused");
            let granted = send(post, &post.3, "good").await;
            assert!((200..300).contains(&granted.status), "{}: {}", post.0, granted.text);
            send(post, &post.2, "good").await.refused(422, "idempotency_key_reused");
            assert!(send(post, &post.3, "good").await.replayed());
            firsts.push(first);
        }
        let send = |(path, who, ..): &(String, &crate::support::Shopper, Value, Value), body: String| {
            let post = app.post(path).raw(body).key("no-json");
            if path.starts_with("/operator") { post.admin() } else { post.by(who) }
        };
        for post in &posts {
            send(post, "{".into()).await.refused(400, "malformed_request");
            assert!(send(post, "{".into()).await.refused(400, "malformed_request").replayed(), "{}", post.0);
            send(post, post.3.to_string()).await.refused(422, "idempotency_key_reused");
        }
        app.kill();
        app.restart().await;
        for (post, first) in posts.iter().zip(&firsts) {
            let (path, who, bad, good) = post;
            let send = |body: &Value| {
                let post = app.post(path).json(body.clone()).key("bad");
                if path.starts_with("/operator") { post.admin() } else { post.by(who) }
            };
            send(good).await.refused(422, "idempotency_key_reused");
            same(first, &decided(send(bad).await));
        }
        // Who was not known is not remembered.
        app.post(&posts[0].0).session(&bob.session).json(posts[0].3.clone()).key("later").await.refused(401, "device_required");
        assert!(!app.post(&posts[0].0).by(&bob).json(posts[0].3.clone()).key("later").await.expect(201).replayed());
    }

    async fn one_key_with_a_good_and_a_bad_body_at_once_has_one_answer(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(3, 50, &json!({"rooms_opened_per_user": 20, "orders_per_user": 20, "unpaid_per_user": 20}))).await;
        let ada = app.shopper("Ada").await;
        for round in 0..10 {
            let key = format!("k{round}");
            let answers = join_all((0..8).map(|n| app.open_for(&ada, &campaign, "tea", n % 2).key(&key).into_future())).await;
            let reused = answers.iter().filter(|answer| answer.code() == "idempotency_key_reused").count();
            let decided: Vec<u16> = answers.iter().filter(|answer| answer.code() != "idempotency_key_reused").map(|answer| answer.status).collect();
            assert_eq!((reused, decided.len()), (4, 4), "{decided:?}");
            assert!(decided.iter().all(|status| *status == decided[0]), "{decided:?}");
        }
    }

    async fn what_no_campaign_could_decide_is_remembered_in_sql(app: &mut TestApp) {
        let draft = app.draft(&with(3, 9, &json!({}))).await;
        let ada = app.shopper("Ada").await;
        for campaign in [&*draft, "cmp_00000000"] {
            let first = decided(app.open(&ada, campaign).key("k").await.refused(404, "not_found"));
            assert_eq!(first.seq(), None);
            same(&first, &decided(app.open(&ada, campaign).key("k").await));
            app.open_for(&ada, campaign, "tea", 2).key("k").await.refused(422, "idempotency_key_reused");
        }
        let stock = |add: i64| {
            app.post(&format!("/operator/v1/campaigns/{draft}/stock")).admin().json(json!({"sku": "tea", "add": add})).key("s")
        };
        let first = decided(stock(1).await.refused(409, "campaign_state"));
        app.step(&draft, "publish").await.expect(200);
        same(&first, &decided(stock(1).await));
        stock(2).await.refused(422, "idempotency_key_reused");
        assert_eq!(app.stock(&draft).await, (9, 0, 0));
    }
}
