//! Opening, joining, paying, forming; who leads; which rooms are offered.

use std::future::IntoFuture;

use serde_json::{Value, json};

use crate::support::{Seat, TestApp, served, with};

fn state(room: &Value) -> (&str, i64, i64, i64) {
    let count = |name: &str| room[name].as_i64().unwrap_or(-1);
    (room["state"].as_str().unwrap_or_default(), count("seats_taken"), count("seats_paid"), count("seats_left"))
}

/// Ids in the list of joinable rooms, in its order.
async fn joinable(app: &TestApp, campaign: &str) -> Vec<String> {
    let list = app.get(&format!("/v1/campaigns/{campaign}/rooms")).await.expect(200).json;
    list["items"].as_array().unwrap().iter().map(|room| room["id"].as_str().unwrap().to_owned()).collect()
}

served! {
    async fn the_last_paid_seat_forms_the_room_once(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(3, 10, &json!({}))).await;
        let (ada, seat) = app.opened_and_paid(&campaign).await;
        assert_eq!(state(&app.room(&seat.room).await), ("open", 1, 1, 2));
        let (bob, second) = app.joined_and_paid(&seat.room).await;
        let (eve, third) = app.joined(&seat.room).await;
        assert_eq!(state(&app.room(&seat.room).await), ("open", 3, 2, 0));
        assert_eq!(app.state_of(&ada, &seat.order).await, "paid");
        let paid = app.pay(&eve, &third.order).await.expect(200);
        assert_eq!(paid.at("/state"), "confirmed");
        app.pay(&eve, &third.order).await.expect(200);
        assert_eq!(state(&app.room(&seat.room).await), ("formed", 3, 3, 0));
        for (shopper, order) in [(&ada, &seat.order), (&bob, &second.order), (&eve, &third.order)] {
            assert_eq!(app.state_of(shopper, order).await, "confirmed");
        }
        assert_eq!(app.stock(&campaign).await, (7, 0, 3));
        let report = app.report(&campaign).await;
        assert_eq!((&report["rooms"], &report["orders"]), (&json!({"formed": 1}), &json!({"confirmed": 3})));
        let view = app.get(&format!("/v1/campaigns/{campaign}")).await.expect(200).json;
        assert_eq!((&view["rooms_open"], &view["rooms_formed"]), (&json!(0), &json!(1)));
        app.advance(900_000).await;
        assert_eq!(state(&app.room(&seat.room).await), ("formed", 3, 3, 0));
    }

    async fn a_seat_shows_the_price_the_deadlines_and_who_you_are(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(3, 10, &json!({"quantity_per_order": 2}))).await;
        let ada = app.shopper("张三丰").await;
        let answer = app.open_for(&ada, &campaign, "tea", 2).await.expect(201);
        let (room, order) = (&answer.json["room"], &answer.json["order"]);
        assert_eq!((&order["quantity"], &order["amount_fen"], &order["paid_fen"]), (&json!(2), &json!(9900), &json!(0)));
        assert_eq!((&order["state"], &order["room_id"], &order["sku"]), (&json!("awaiting_payment"), &room["id"], &json!("tea")));
        assert_eq!((&room["price_fen"], &room["size"], &room["leader"]), (&json!(4950), &json!(3), &json!("张**")));
        assert_eq!(room["members"], json!([{"name": "张**", "leader": true, "paid": false, "you": true}]));
        assert_eq!(room["you"], json!({"order_id": order["id"], "leader": true}));
        assert_eq!(app.stock(&campaign).await, (8, 2, 0));
        let seen = app.room(room["id"].as_str().unwrap()).await;
        assert!(seen["you"].is_null(), "strangers are nobody: {seen}");
        let bob = app.shopper("Bob").await;
        let joined = app.join(&bob, room["id"].as_str().unwrap()).await.expect(201);
        assert_eq!(joined.json["room"]["you"]["leader"], false);
        assert_eq!(app.stock(&campaign).await, (7, 3, 0));
        let you = app.get(&format!("/v1/campaigns/{campaign}")).session(&ada.session).await.expect(200).json["you"].clone();
        assert_eq!(you, json!({"newcomer": true, "orders_left": 1, "rooms_left": 0}));
        let mine = app.get("/v1/me/orders").session(&bob.session).await.expect(200).json;
        assert_eq!(mine["items"].as_array().map(Vec::len), Some(1));
        assert_eq!(mine["items"][0]["id"], joined.json["order"]["id"]);
    }

    async fn whoever_is_in_already_gets_the_same_seat_again(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(3, 10, &json!({}))).await;
        let (ada, seat) = app.opened(&campaign).await;
        let again = app.join(&ada, &seat.room).await.expect(200);
        assert_eq!(again.seat(), seat);
        let (bob, second) = app.joined(&seat.room).await;
        let on_another_phone = crate::support::Shopper { device: app.device().await, ..bob.clone() };
        assert_eq!(app.join(&on_another_phone, &seat.room).await.expect(200).seat(), second);
        assert_eq!(state(&app.room(&seat.room).await), ("open", 2, 0, 1));
        let (eve, third) = app.joined(&seat.room).await;
        for (shopper, seat) in [(&ada, &seat), (&bob, &second), (&eve, &third)] {
            app.pay(shopper, &seat.order).await.expect(200);
        }
        assert_eq!(app.join(&bob, &seat.room).await.expect(200).seat(), second, "also when the room has formed");
        assert_eq!(app.stock(&campaign).await, (7, 0, 3));
    }

    async fn when_the_leader_leaves_the_next_paid_leads_else_the_next_held_else_the_room_fails(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(4, 10, &json!({"rooms_opened_per_user": 2}))).await;
        let (ada, bob, eve) = (app.shopper("Ada").await, app.shopper("Bob").await, app.shopper("Eve").await);
        let seat = app.open(&ada, &campaign).await.expect(201).seat();
        let held = app.join(&bob, &seat.room).await.expect(201).seat();
        let paid = app.join(&eve, &seat.room).await.expect(201).seat();
        app.pay(&eve, &paid.order).await.expect(200);
        app.cancel(&ada, &seat.order).await.expect(200);
        let room = app.room(&seat.room).await;
        assert_eq!((room["leader"].as_str(), state(&room)), (Some("E**"), ("open", 2, 1, 2)));
        app.cancel(&bob, &held.order).await.expect(200);

        let second = app.open(&ada, &campaign).await.expect(201).seat();
        let held = app.join(&bob, &second.room).await.expect(201).seat();
        app.cancel(&ada, &second.order).await.expect(200);
        assert_eq!(app.room(&second.room).await["leader"], "B**");
        app.cancel(&bob, &held.order).await.expect(200);
        assert_eq!(state(&app.room(&second.room).await), ("failed", 0, 0, 4));
        assert_eq!(app.stock(&campaign).await, (9, 0, 1));
        app.join(&ada, &second.room).await.refused(409, "room_closed");
    }

    async fn joinable_rooms_come_page_by_page(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        for _ in 0..5 {
            app.opened(&campaign).await;
        }
        let all = joinable(app, &campaign).await;
        assert_eq!(all.len(), 5);
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        for items in [2, 2, 1] {
            let page = app.get(&format!("/v1/campaigns/{campaign}/rooms?limit=2{cursor}")).await.expect(200);
            let ids: Vec<String> = page.json["items"].as_array().unwrap().iter().map(|room| room["id"].as_str().unwrap().to_owned()).collect();
            assert_eq!(ids.len(), items);
            seen.extend(ids);
            cursor = page.json["next_cursor"].as_str().map(|next| format!("&cursor={next}")).unwrap_or_default();
        }
        assert_eq!((seen, cursor), (all, String::new()));
    }

    async fn joinable_rooms_are_listed_nearly_full_first(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(3, 50, &json!({}))).await;
        let (_, one) = app.opened(&campaign).await;
        let (_, two) = app.opened(&campaign).await;
        app.joined(&two.room).await;
        let (_, three) = app.opened(&campaign).await;
        assert_eq!(joinable(app, &campaign).await, [&*two.room, &*one.room, &*three.room]);
        app.joined(&two.room).await;
        assert_eq!(joinable(app, &campaign).await, [&*one.room, &*three.room], "a full room is not joinable");
        let limited = app.get(&format!("/v1/campaigns/{campaign}/rooms?limit=1")).await.expect(200).json;
        assert_eq!(limited["items"].as_array().map(Vec::len), Some(1));
        let hidden = app.publish(&json!({"list_rooms": false})).await;
        app.opened(&hidden).await;
        assert_eq!(joinable(app, &hidden).await, Vec::<String>::new());
    }

    async fn a_room_that_takes_nobody_names_another_that_does(app: &mut TestApp) {
        let mut definition = with(2, 50, &json!({}));
        definition["room_ttl_seconds"] = json!(600);
        let campaign = app.publish_whole(&definition).await;
        let (ada, full) = app.opened(&campaign).await;
        let (bob, member) = app.joined(&full.room).await;
        let eve = app.shopper("Eve").await;
        let alone = app.join(&eve, &full.room).await.refused(409, "room_full");
        assert_eq!(alone.json["alternative"], Value::Null);
        assert!(alone.json.as_object().unwrap().contains_key("alternative"));
        let (_, other) = app.opened(&campaign).await;
        let names = |answer: &crate::support::Answer, other: &Seat| {
            let alternative = answer.json["alternative"].clone();
            assert_eq!((&alternative["room_id"], &alternative["seats_left"]), (&json!(other.room), &json!(1)), "{alternative}");
            assert!(alternative["expires_at"].is_string());
        };
        names(&app.join(&eve, &full.room).await.refused(409, "room_full"), &other);
        app.pay(&ada, &full.order).await.expect(200);
        app.pay(&bob, &member.order).await.expect(200);
        names(&app.join(&eve, &full.room).await.refused(409, "room_closed"), &other);
        app.advance(601).await;
        // The other room's seat may still be paid, so the room is not decided: its time is over all the same.
        let late = app.join(&eve, &other.room).await.refused(410, "room_expired");
        assert_eq!((&late.json["alternative"], &late.json["retry"]), (&Value::Null, &json!("never")));
        let (_, fresh) = app.opened(&campaign).await;
        names(&app.join(&eve, &other.room).await.refused(410, "room_expired"), &fresh);
        assert_eq!(joinable(app, &campaign).await, [&*fresh.room]);
    }

    async fn a_waiting_reader_learns_of_a_change(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (_, seat) = app.opened(&campaign).await;
        let path = format!("/v1/rooms/{}", seat.room);
        let etag = app.get(&path).await.expect(200).header("etag").unwrap().to_owned();
        app.get(&path).header("If-None-Match", &etag).await.expect(304);
        let waiting = tokio::spawn(app.get(&format!("{path}?wait_seconds=10")).header("If-None-Match", &etag).into_future());
        app.joined(&seat.room).await;
        let seen = waiting.await.unwrap().expect(200);
        assert_eq!(seen.json["seats_taken"], 2);
        assert_ne!(seen.header("etag"), Some(&*etag));
        assert_eq!(app.get(&format!("{path}?wait_seconds=26")).await.refused(422, "invalid_request").fields(), ["wait_seconds"]);
    }
}
