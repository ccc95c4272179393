//! Seats for newcomers only: one live seat over all campaigns, looked at when joining and when paying.

use std::future::IntoFuture;

use liebian::store::{execute, fetch_one};
use serde_json::json;

use crate::support::{Shopper, TestApp, from_now, served, time_of, with, within};

async fn for_newcomers(app: &TestApp) -> String {
    let mut definition = with(3, 20, &json!({"orders_per_user": 5, "rooms_joined_per_user": 5, "unpaid_per_user": 5}));
    definition["newcomers_only"] = json!(true);
    app.publish_whole(&definition).await
}

async fn claims(app: &TestApp) -> i64 {
    app.wait_until_projected().await;
    fetch_one!(app.store(), (i64,), "SELECT COUNT(*) FROM newcomer_claims").unwrap().0
}

/// Somebody who has bought before.
async fn regular(app: &TestApp) -> Shopper {
    let elsewhere = app.publish(&json!({})).await;
    app.opened_and_paid(&elsewhere).await.0
}

/// A claim by a process that crashed before anything came of it.
async fn abandoned(app: &TestApp, shopper: &Shopper, room: &str) {
    const CLAIM: &str = "INSERT INTO newcomer_claims (user_id, order_id, room_id, claimed_at) VALUES ($1, $2, $3, $4)";
    let order = format!("ord_{}abandoned00000", room.get(5..13).unwrap());
    let now = time_of(&json!(from_now(0))).get();
    execute!(app.store(), CLAIM, &shopper.user_id, order, room, now).unwrap();
}

served! {
    async fn only_newcomers_join_and_anyone_leads(app: &mut TestApp) {
        let campaign = for_newcomers(app).await;
        let old = regular(app).await;
        let path = format!("/v1/campaigns/{campaign}");
        let you = app.get(&path).session(&old.session).await.expect(200).json["you"].clone();
        assert_eq!(you["newcomer"], false);
        let seat = app.open(&old, &campaign).await.expect(201).seat();
        app.pay(&old, &seat.order).await.expect(200);
        let (bob, held) = app.joined(&seat.room).await;
        assert_eq!(app.get(&path).session(&bob.session).await.expect(200).json["you"]["newcomer"], true);
        app.pay(&bob, &held.order).await.expect(200);
        assert_eq!(app.get(&path).session(&bob.session).await.expect(200).json["you"]["newcomer"], false);
        assert_eq!(app.join(&bob, &seat.room).await.expect(200).seat(), held, "who is in is in");
        let other = regular(app).await;
        let refused = app.join(&other, &seat.room).await.refused(403, "newcomers_only");
        assert_eq!((refused.json["retry"].as_str(), refused.seq().is_some()), (Some("never"), true));
        let keyed = app.join(&other, &seat.room).key("k").await.refused(403, "newcomers_only");
        assert!(app.join(&other, &seat.room).key("k").await.refused(403, "newcomers_only").replayed() && !keyed.replayed());
        app.joined_and_paid(&seat.room).await;
        assert_eq!(app.room(&seat.room).await["state"], "formed");
        assert_eq!(claims(app).await, 0);
    }

    async fn a_newcomer_holds_one_such_seat_over_all_campaigns(app: &mut TestApp) {
        let campaigns = [for_newcomers(app).await, for_newcomers(app).await];
        let rooms = [app.opened(&campaigns[0]).await.1.room, app.opened(&campaigns[0]).await.1.room, app.opened(&campaigns[1]).await.1.room];
        let ada = app.shopper("Ada").await;
        let held = app.join(&ada, &rooms[0]).await.expect(201).seat();
        for room in &rooms[1..] {
            app.join(&ada, room).await.refused(403, "newcomers_only");
        }
        assert_eq!(app.join(&ada, &rooms[0]).await.expect(200).seat(), held);
        // Opening is for anyone, and so are rooms of other campaigns.
        app.open(&ada, &campaigns[1]).await.expect(201);
        let plain = app.publish(&json!({})).await;
        let (_, seat) = app.opened(&plain).await;
        app.join(&ada, &seat.room).await.expect(201);
        // Given up, it is given up at once, though SQL hears of it a moment later.
        app.cancel(&ada, &held.order).await.expect(200);
        let second = app.join(&ada, &rooms[2]).await.expect(201).seat();
        app.advance(901).await;
        assert_eq!(app.state_of(&ada, &second.order).await, "released");
        assert_eq!(claims(app).await, 0);
        let (_, other) = app.opened(&campaigns[0]).await;
        app.join(&ada, &other.room).await.expect(201);
    }

    async fn a_refused_seat_claims_nothing(app: &mut TestApp) {
        let campaigns = [for_newcomers(app).await, for_newcomers(app).await];
        let rooms = [app.opened(&campaigns[0]).await.1.room, app.opened(&campaigns[1]).await.1.room];
        let ada = app.shopper("Ada").await;
        let two = app.post(&format!("/v1/rooms/{}/members", rooms[0])).by(&ada).json(json!({"quantity": 2}));
        two.await.refused(409, "order_limit_reached");
        assert_eq!(claims(app).await, 0);
        app.join(&ada, &rooms[1]).await.expect(201);
        assert_eq!(claims(app).await, 1);
    }

    async fn two_campaigns_at_once_seat_a_newcomer_once(app: &mut TestApp) {
        let campaigns = [for_newcomers(app).await, for_newcomers(app).await];
        let rooms = [app.opened(&campaigns[0]).await.1.room, app.opened(&campaigns[1]).await.1.room];
        for shopper in app.shoppers(8).await {
            let asked = [0, 1, 0, 1].map(|place: usize| app.join(&shopper, &rooms[place]).into_future());
            let answers = futures_util::future::join_all(asked).await;
            let seats: Vec<_> = answers.iter().filter(|answer| [200, 201].contains(&answer.status)).map(|answer| answer.seat()).collect();
            assert!(seats.iter().all(|seat| *seat == seats[0]), "{seats:?}");
            assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
            assert!(answers.iter().all(|answer| [200, 201].contains(&answer.status) || answer.code() == "newcomers_only"));
            app.cancel(&shopper, &seats[0].order).await.expect(200);
        }
        assert_eq!(claims(app).await, 0);
    }

    async fn whoever_paid_elsewhere_meanwhile_gets_the_money_back_and_the_seat_is_free(app: &mut TestApp) {
        let campaign = for_newcomers(app).await;
        let (_, seat) = app.opened_and_paid(&campaign).await;
        let (ada, held) = app.joined(&seat.room).await;
        let plain = app.publish(&json!({})).await;
        let bought = app.open(&ada, &plain).await.expect(201).seat();
        app.pay(&ada, &bought.order).await.expect(200);
        let paid = app.pay(&ada, &held.order).await.expect(200);
        assert_eq!(paid.at("/reason"), "newcomers_only");
        app.until_state(&ada, &held.order, "refunded").await;
        let room = app.room(&seat.room).await;
        assert_eq!((&room["seats_taken"], &room["seats_paid"]), (&json!(1), &json!(1)));
        assert_eq!(app.stock(&campaign).await, (19, 0, 1));
        assert_eq!(claims(app).await, 0);
        let listed = app.get(&format!("/operator/v1/campaigns/{campaign}/rooms")).admin().await.expect(200).json;
        assert_eq!(listed["items"][0]["members"].as_array().map(Vec::len), Some(1));
        let audit = app.post(&format!("/operator/v1/campaigns/{campaign}/audit")).admin().await.expect(200).json;
        assert_eq!(audit["ok"], true, "{audit}");
    }

    async fn a_late_payment_seats_a_newcomer_again_who_holds_no_other_seat(app: &mut TestApp) {
        let campaigns = [for_newcomers(app).await, for_newcomers(app).await];
        let rooms = [app.opened_and_paid(&campaigns[0]).await.1.room, app.opened_and_paid(&campaigns[1]).await.1.room];
        let (ada, first) = app.joined(&rooms[0]).await;
        let (bob, second) = app.joined(&rooms[0]).await;
        app.advance(901).await;
        app.join(&bob, &rooms[1]).await.expect(201);
        app.report_paid(&first.order, "ada", 4950).await.expect(200);
        app.report_paid(&second.order, "bob", 4950).await.expect(200);
        assert_eq!(app.state_of(&ada, &first.order).await, "paid");
        let order = app.order(&bob, &second.order).await;
        assert_eq!((&order["state"], &order["reason"]), (&json!("refund_due"), &json!("newcomers_only")));
    }

    async fn a_claim_that_nothing_came_of_locks_nobody_out(app: &mut TestApp) {
        let campaign = for_newcomers(app).await;
        let rooms = [app.opened(&campaign).await.1.room, app.opened(&campaign).await.1.room];
        let (ada, bob) = (app.shopper("Ada").await, app.shopper("Bob").await);
        abandoned(app, &ada, &rooms[0]).await;
        abandoned(app, &bob, &rooms[0]).await;
        // Asking for the same seat again is what a client does that heard nothing.
        let seat = app.join(&ada, &rooms[0]).await.expect(201).seat();
        app.join(&ada, &rooms[1]).await.refused(403, "newcomers_only");
        app.cancel(&ada, &seat.order).await.expect(200);
        assert_eq!(claims(app).await, 1, "bob's");
        app.join(&bob, &rooms[1]).await.refused(403, "newcomers_only");
        app.advance(121).await;
        app.join(&bob, &rooms[1]).await.expect(201);
    }

    async fn a_request_that_breaks_off_leaves_no_claim(app: &mut TestApp) {
        let campaigns = [for_newcomers(app).await, for_newcomers(app).await];
        let rooms = [app.opened(&campaigns[0]).await.1.room, app.opened(&campaigns[1]).await.1.room];
        let ada = app.shopper("Ada").await;
        let body = json!({"quantity": 2}).to_string();
        let head = format!(
            "POST /v1/rooms/{}/members HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nX-Device-Token: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            rooms[0], ada.session, ada.device, body.len()
        );
        app.wait_until_projected().await;
        // Between the claim and the seat, which would be refused, its sender goes.
        app.redis.stop();
        let mut wire = app.wire().await;
        wire.send(head + &body).await;
        let claimed = async || fetch_one!(app.store(), (i64,), "SELECT COUNT(*) FROM newcomer_claims").unwrap().0;
        within(5, "the seat is claimed", async || claimed().await == 1).await;
        drop(wire);
        for _ in 0..20 {
            app.get("/health/live").await.expect(200);
        }
        app.redis.cont();
        within(10, "the claim is given back", async || claimed().await == 0).await;
        app.join(&ada, &rooms[1]).await.expect(201);
    }
}
