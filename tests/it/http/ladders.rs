//! Ladders, the leader's price, and rooms that are accepted with fewer.

use std::future::IntoFuture;

use serde_json::{Value, json};

use crate::support::{Seat, Shopper, TestApp, served, with, within};

/// Rooms of `tea` on these tiers, ten minutes to fill and five to pay.
fn ladder(tiers: &[(i64, i64)]) -> Value {
    let limits = json!({"quantity_per_order": 2, "orders_per_user": 5, "rooms_opened_per_user": 5, "users_per_device": 100});
    let mut definition = with(3, 100, &limits);
    definition["items"][0]["tiers"] = tiers.iter().map(|(size, fen)| json!({"size": size, "price_fen": fen})).collect();
    (definition["room_ttl_seconds"], definition["payment_ttl_seconds"]) = (json!(600), json!(300));
    definition
}

/// A room with so many paid seats, the opener's first.
async fn paid_room(app: &TestApp, campaign: &str, paid: usize) -> Vec<(Shopper, Seat)> {
    let mut seats = vec![app.opened_and_paid(campaign).await];
    let room = seats[0].1.room.clone();
    while seats.len() < paid {
        seats.push(app.joined_and_paid(&room).await);
    }
    seats
}

/// State, paid and given back of each order, once all refunds are executed.
async fn settled(app: &TestApp, seats: &[(Shopper, Seat)]) -> Vec<(String, i64, i64)> {
    within(10, "all refunds are executed", async || {
        let refunds = app.get("/operator/v1/refunds?state=pending").admin().await.expect(200).json;
        refunds["items"] == json!([])
    })
    .await;
    let mut orders = Vec::new();
    for (shopper, seat) in seats {
        let order = app.order(shopper, &seat.order).await;
        let fen = |name: &str| order[name].as_i64().unwrap();
        assert_eq!(order["amount_fen"], order["paid_fen"], "the amount asked for stays what it was: {order}");
        orders.push((order["state"].as_str().unwrap().to_owned(), fen("paid_fen"), fen("refunded_fen")));
    }
    orders
}

fn confirmed(paid: i64, back: i64) -> (String, i64, i64) {
    ("confirmed".to_owned(), paid, back)
}

async fn audited(app: &TestApp, campaign: &str) {
    let audit = app.post(&format!("/operator/v1/campaigns/{campaign}/audit")).admin().await.expect(200).json;
    assert_eq!(audit["ok"], true, "{audit}");
}

served! {
    async fn a_ladder_forms_when_its_largest_tier_is_paid_and_gives_the_difference_back(app: &mut TestApp) {
        let campaign = app.publish_whole(&ladder(&[(2, 5000), (3, 4000), (4, 3500)])).await;
        let seats = paid_room(app, &campaign, 3).await;
        let room = app.room(&seats[0].1.room).await;
        let steps = json!([{"size": 2, "price_fen": 5000}, {"size": 3, "price_fen": 4000}, {"size": 4, "price_fen": 3500}]);
        assert_eq!((&room["state"], &room["size"], &room["price_fen"]), (&json!("open"), &json!(4), &json!(5000)));
        assert_eq!((&room["tiers"], &room["final_price_fen"], &room["seats_left"]), (&steps, &Value::Null, &json!(1)));
        let ada = app.shopper("Ada").await;
        let joined = app.post(&format!("/v1/rooms/{}/members", seats[0].1.room)).by(&ada).json(json!({"quantity": 2})).await.expect(201);
        assert_eq!(joined.json["order"]["amount_fen"], 10_000);
        app.pay(&ada, &joined.at("/order/id")).await.expect(200);
        let room = app.room(&seats[0].1.room).await;
        assert_eq!((&room["state"], &room["price_fen"], &room["final_price_fen"]), (&json!("formed"), &json!(5000), &json!(3500)));
        assert_eq!(settled(app, &seats).await, [(); 3].map(|()| confirmed(5000, 1500)));
        assert_eq!(settled(app, &[(ada, joined.seat())]).await, [confirmed(10_000, 3000)], "for each unit");
        let list = app.get("/operator/v1/refunds").admin().await.expect(200).json;
        let refund = |refund: &Value| (refund["reason"].as_str().unwrap().to_owned(), refund["amount_fen"].as_i64().unwrap());
        let mut refunds: Vec<_> = list["items"].as_array().unwrap().iter().map(refund).collect();
        refunds.sort();
        assert_eq!(refunds, [1500, 1500, 1500, 3000].map(|fen| ("tier_reached".to_owned(), fen)));
        let rooms = app.get(&format!("/operator/v1/campaigns/{campaign}/rooms")).admin().await.expect(200).json;
        assert_eq!((&rooms["items"][0]["tiers"], &rooms["items"][0]["final_price_fen"]), (&steps, &json!(3500)));
        assert_eq!(app.stock(&campaign).await, (95, 0, 5));
        audited(app, &campaign).await;
    }

    async fn at_its_deadline_a_ladder_forms_at_the_highest_tier_reached_or_fails(app: &mut TestApp) {
        let campaign = app.publish_whole(&ladder(&[(2, 5000), (3, 4000), (5, 3000)])).await;
        let (one, two, three) = (paid_room(app, &campaign, 1).await, paid_room(app, &campaign, 2).await, paid_room(app, &campaign, 3).await);
        app.advance(590).await;
        // A seat that is still held at the deadline is waited for.
        let (bob, held) = app.joined(&two[0].1.room).await;
        app.advance(20).await;
        assert_eq!(app.room(&one[0].1.room).await["state"], "failed");
        assert_eq!(app.room(&two[0].1.room).await["state"], "open");
        assert_eq!(app.room(&three[0].1.room).await["final_price_fen"], 4000);
        app.cancel(&bob, &held.order).await.expect(200);
        let room = app.room(&two[0].1.room).await;
        assert_eq!((&room["state"], &room["final_price_fen"], &room["seats_paid"]), (&json!("formed"), &json!(5000), &json!(2)));
        assert_eq!(settled(app, &one).await, [("refunded".to_owned(), 5000, 5000)]);
        assert_eq!(settled(app, &two).await, [(); 2].map(|()| confirmed(5000, 0)));
        assert_eq!(settled(app, &three).await, [(); 3].map(|()| confirmed(5000, 1000)));
        assert_eq!(app.stock(&campaign).await, (95, 0, 5));
        audited(app, &campaign).await;
    }

    async fn the_leaders_price_is_fixed_with_the_order_whoever_leads_later(app: &mut TestApp) {
        let mut definition = ladder(&[(2, 5000), (3, 3000)]);
        definition["items"][0]["leader_price_fen"] = json!(3200);
        let campaign = app.publish_whole(&definition).await;
        let (ada, first) = app.opened(&campaign).await;
        assert_eq!(app.order(&ada, &first.order).await["amount_fen"], 3200);
        assert_eq!(app.room(&first.room).await["price_fen"], 5000);
        let (bob, second) = app.joined_and_paid(&first.room).await;
        app.cancel(&ada, &first.order).await.expect(200);
        assert_eq!(app.room(&first.room).await["leader"], "M**");
        let third = app.joined_and_paid(&first.room).await;
        // Who opened the room comes back as a member.
        let again = app.join(&ada, &first.room).await.expect(201);
        assert_eq!(again.json["order"]["amount_fen"], 5000);
        app.pay(&ada, &again.seat().order).await.expect(200);
        let seats = [(bob, second), third, (ada, again.seat())];
        assert_eq!(settled(app, &seats).await, [(); 3].map(|()| confirmed(5000, 2000)));

        // Whoever paid less than the tier costs pays no more; whoever paid more gets the difference.
        let (full, short) = (paid_room(app, &campaign, 3).await, paid_room(app, &campaign, 2).await);
        app.advance(601).await;
        assert_eq!(settled(app, &full).await, [confirmed(3200, 200), confirmed(5000, 2000), confirmed(5000, 2000)]);
        assert_eq!(settled(app, &short).await, [confirmed(3200, 0), confirmed(5000, 0)]);
        audited(app, &campaign).await;
    }

    async fn at_its_deadline_a_room_is_accepted_with_fewer_at_the_first_price(app: &mut TestApp) {
        let mut definition = ladder(&[(4, 5000), (5, 3000)]);
        definition["accept_from"] = json!(2);
        let campaign = app.publish_whole(&definition).await;
        let (one, two) = (paid_room(app, &campaign, 1).await, paid_room(app, &campaign, 2).await);
        assert_eq!(app.room(&two[0].1.room).await["accept_from"], 2);
        let (bob, held) = app.joined(&one[0].1.room).await;
        app.advance(599).await;
        assert_eq!(app.room(&two[0].1.room).await["state"], "open");
        app.advance(2).await;
        assert_eq!(app.state_of(&bob, &held.order).await, "released");
        assert_eq!(app.room(&one[0].1.room).await["state"], "failed");
        let room = app.room(&two[0].1.room).await;
        assert_eq!((&room["state"], &room["final_price_fen"]), (&json!("formed"), &json!(5000)));
        assert_eq!(settled(app, &one).await, [("refunded".to_owned(), 5000, 5000)]);
        assert_eq!(settled(app, &two).await, [confirmed(5000, 0), confirmed(5000, 0)]);
        audited(app, &campaign).await;
    }

    async fn a_rooms_terms_are_its_own_from_its_opening_on(app: &mut TestApp) {
        let campaign = app.publish_whole(&ladder(&[(2, 5000), (3, 4000)])).await;
        let seats = paid_room(app, &campaign, 2).await;
        let path = format!("/operator/v1/campaigns/{campaign}");
        app.patch(&path).admin().json(json!({"title": "Other words"})).await.expect(200);
        let prices = json!({"items": [{"sku": "tea", "title": "Green tea", "list_price_fen": 9900, "stock": 100, "tiers": [{"size": 3, "price_fen": 1}]}]});
        app.patch(&path).admin().json(prices).await.refused(409, "field_not_editable");
        app.advance(601).await;
        assert_eq!(app.room(&seats[0].1.room).await["final_price_fen"], 5000);
        assert_eq!(settled(app, &seats).await, [(); 2].map(|()| confirmed(5000, 0)));
    }

    async fn the_last_payment_of_a_ladder_against_its_deadline_makes_one_price_for_all(app: &mut TestApp) {
        let mut definition = ladder(&[(2, 5000), (3, 4000)]);
        definition["payment_ttl_seconds"] = json!(600);
        let campaign = app.publish_whole(&definition).await;
        let mut rooms = Vec::new();
        for _ in 0..6 {
            let seats = paid_room(app, &campaign, 2).await;
            let last = app.joined(&seats[0].1.room).await;
            rooms.push((seats, last));
        }
        let pays = rooms.iter().map(|(_, (shopper, seat))| app.pay(shopper, &seat.order).into_future());
        let ((), _paid) = tokio::join!(app.advance(601), futures_util::future::join_all(pays));
        let mut sold = 0;
        for (seats, (shopper, seat)) in rooms {
            within(10, "the room is decided", async || app.room(&seat.room).await["state"] != "open").await;
            let room = app.room(&seat.room).await;
            assert_eq!(room["state"], "formed");
            within(10, "the payment is decided", async || app.state_of(&shopper, &seat.order).await != "awaiting_payment").await;
            let last = app.order(&shopper, &seat.order).await;
            let in_time = last["state"] == "confirmed";
            assert_eq!(room["final_price_fen"], if in_time { 4000 } else { 5000 });
            assert_eq!(settled(app, &seats).await, [(); 2].map(|()| confirmed(5000, if in_time { 1000 } else { 0 })));
            let last = app.order(&shopper, &seat.order).await;
            let kept = last["paid_fen"].as_i64().unwrap() - last["refunded_fen"].as_i64().unwrap();
            assert_eq!(kept, if in_time { 4000 } else { 0 }, "{last}");
            sold += if in_time { 3 } else { 2 };
        }
        assert_eq!(app.stock(&campaign).await, (100 - sold, 0, sold));
        audited(app, &campaign).await;
    }
}
