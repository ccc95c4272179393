//! Seats that wait for their payment, deadlines, refunds, and payments that come late.

use liebian::store::{fetch_all, fetch_one};
use serde_json::{Value, json};

use crate::support::{Setup, Shopper, TestApp, served, time_of, with, within};

/// A room's deadline and a hold's, in seconds.
fn timed(size: i64, stock: i64, room_ttl: i64, payment_ttl: i64) -> Value {
    let mut definition = with(size, stock, &json!({"unpaid_per_user": 2, "rooms_opened_per_user": 5, "orders_per_user": 5}));
    definition["room_ttl_seconds"] = json!(room_ttl);
    definition["payment_ttl_seconds"] = json!(payment_ttl);
    definition
}

async fn refunds_executed(app: &TestApp) -> Vec<i64> {
    let rows = fetch_all!(app.store(), (i64,), "SELECT amount_fen FROM sandbox_refunds LIMIT 100").unwrap();
    rows.into_iter().map(|(fen,)| fen).collect()
}

/// The refunds of an order: state, fen, reason.
async fn refunds_of(app: &TestApp, order: &str) -> Vec<(String, i64, String)> {
    let list = app.get("/operator/v1/refunds").admin().await.expect(200).json;
    let text = |refund: &Value, name: &str| refund[name].as_str().unwrap().to_owned();
    let mine = list["items"].as_array().unwrap().iter().filter(|refund| refund["order_id"] == order);
    mine.map(|refund| (text(refund, "state"), refund["amount_fen"].as_i64().unwrap(), text(refund, "reason"))).collect()
}

/// A late payment that finds no place: due back whole, with its reason.
async fn goes_back(app: &TestApp, shopper: &Shopper, order: &str, reference: &str) {
    let answer = app.report_paid(order, reference, 4950).await.expect(200);
    assert_eq!((answer.at("/state"), answer.at("/reason")), ("refund_due".to_owned(), "late_payment".to_owned()));
    assert_eq!(refunds_of(app, order).await, [("pending".to_owned(), 4950, "late_payment".to_owned())]);
    assert_eq!(app.order(shopper, order).await["paid_fen"], 4950);
}

served! {
    async fn a_hold_that_runs_out_gives_seat_and_stock_back(app: &mut TestApp) {
        let campaign = app.publish_whole(&timed(3, 10, 86_400, 900)).await;
        let (_, seat) = app.opened_and_paid(&campaign).await;
        let (bob, held) = app.joined(&seat.room).await;
        assert_eq!(app.stock(&campaign).await, (8, 1, 1));
        app.advance(899).await;
        assert_eq!(app.state_of(&bob, &held.order).await, "awaiting_payment");
        app.advance(2).await;
        let order = app.order(&bob, &held.order).await;
        assert_eq!((&order["state"], &order["reason"], &order["pay_by"]), (&json!("released"), &json!("hold_expired"), &Value::Null));
        assert_eq!(app.room(&seat.room).await["seats_left"], 2);
        assert_eq!(app.stock(&campaign).await, (9, 0, 1));
        app.pay(&bob, &held.order).await.refused(410, "order_expired");
        app.ask_payment(&bob, &held.order).await.refused(410, "order_expired");
        assert_ne!(app.join(&bob, &seat.room).await.expect(201).seat().order, held.order);
    }

    async fn a_payment_that_was_asked_for_is_closed_before_the_seat_is_released(app: &mut TestApp) {
        let campaign = app.publish_whole(&timed(3, 10, 86_400, 900)).await;
        let (_, seat) = app.opened_and_paid(&campaign).await;
        let (bob, held) = app.joined(&seat.room).await;
        app.ask_payment(&bob, &held.order).await.expect(200);
        app.advance(901).await;
        let order = app.until_state(&bob, &held.order, "released").await;
        assert_eq!(order["reason"], "hold_expired");
        let (trade,) = fetch_one!(app.store(), (String,), "SELECT state FROM sandbox_trades WHERE order_id = $1", &held.order).unwrap();
        assert_eq!(trade, "closed");
        app.pay(&bob, &held.order).await.refused(410, "order_expired");
        assert_eq!(app.stock(&campaign).await, (9, 0, 1));
    }

    async fn a_seat_whose_payment_is_being_closed_stays_taken(app: &mut TestApp, Setup { sandbox: false, ..Setup::default() }) {
        // The shop's cashier never says "closed", so the seat waits out the provider's patience.
        let campaign = app.publish_whole(&timed(2, 10, 86_400, 1)).await;
        let ada = app.shop_shopper("Ada").await;
        let seat = app.open(&ada, &campaign).await.expect(201).seat();
        app.ask_payment(&ada, &seat.order).await.expect(200);
        within(10, "the closing is under way", async || {
            fetch_one!(app.store(), (i64,), "SELECT COUNT(*) FROM closings WHERE state = 'pending'").unwrap() == (1,)
        })
        .await;
        assert_eq!(app.state_of(&ada, &seat.order).await, "awaiting_payment");
        assert_eq!(app.room(&seat.room).await["seats_taken"], 1);
        assert_eq!(app.stock(&campaign).await, (9, 1, 0));
        let paid = app.report_paid(&seat.order, "in-time", 4950).await.expect(200);
        assert_eq!(paid.at("/state"), "paid");
        assert_eq!(app.stock(&campaign).await, (9, 0, 1));
    }

    async fn a_room_that_does_not_fill_refunds_each_paid_member_exactly_once(app: &mut TestApp) {
        let campaign = app.publish_whole(&timed(3, 10, 600, 900)).await;
        let (ada, seat) = app.opened_and_paid(&campaign).await;
        let (bob, second) = app.joined_and_paid(&seat.room).await;
        app.advance(601).await;
        let room = app.room(&seat.room).await;
        assert_eq!((&room["state"], &room["seats_paid"]), (&json!("failed"), &json!(2)));
        for (shopper, order) in [(&ada, &seat.order), (&bob, &second.order)] {
            let order = app.until_state(shopper, order, "refunded").await;
            assert_eq!((&order["refunded_fen"], &order["paid_fen"], &order["reason"]), (&json!(4950), &json!(4950), &json!("room_failed")));
        }
        assert_eq!(app.stock(&campaign).await, (10, 0, 0));
        app.advance(86_400).await;
        assert_eq!(refunds_executed(app).await, [4950, 4950]);
        let report = app.report(&campaign).await;
        assert_eq!((&report["paid_fen"], &report["refunded_fen"], &report["rooms"]), (&json!(9900), &json!(9900), &json!({"failed": 1})));
        let you = app.get(&format!("/v1/campaigns/{campaign}")).session(&ada.session).await.expect(200).json["you"].clone();
        assert_eq!((&you["orders_left"], &you["rooms_left"]), (&json!(5), &json!(5)), "the allowance is back");
    }

    async fn a_held_seat_at_the_deadline_is_waited_for(app: &mut TestApp) {
        let campaign = app.publish_whole(&timed(2, 10, 600, 900)).await;
        let (ada, seat) = app.opened_and_paid(&campaign).await;
        let (bob, held) = app.joined(&seat.room).await;
        let (eve, unlucky) = app.opened_and_paid(&campaign).await;
        let (dan, never) = app.joined(&unlucky.room).await;
        app.advance(601).await;
        assert_eq!(app.room(&seat.room).await["state"], "open");
        app.pay(&bob, &held.order).await.expect(200);
        assert_eq!(app.room(&seat.room).await["state"], "formed");
        assert_eq!(app.state_of(&ada, &seat.order).await, "confirmed");
        app.advance(300).await;
        assert_eq!(app.room(&unlucky.room).await["state"], "failed");
        assert_eq!(app.state_of(&dan, &never.order).await, "released");
        app.until_state(&eve, &unlucky.order, "refunded").await;
        assert_eq!(refunds_executed(app).await, [4950]);
        assert_eq!(app.stock(&campaign).await, (8, 0, 2));
    }

    async fn a_late_payment_is_seated_again_where_that_is_allowed(app: &mut TestApp) {
        let campaign = app.publish_whole(&timed(3, 10, 86_400, 900)).await;
        let (_, seat) = app.opened_and_paid(&campaign).await;
        let (bob, held) = app.joined(&seat.room).await;
        app.advance(901).await;
        assert_eq!(app.state_of(&bob, &held.order).await, "released");
        let answer = app.report_paid(&held.order, "late", 4950).await.expect(200);
        assert_eq!((answer.at("/state"), answer.at("/reason")), ("paid".to_owned(), "null".to_owned()));
        let room = app.room(&seat.room).await;
        assert_eq!((&room["seats_taken"], &room["seats_paid"]), (&json!(2), &json!(2)));
        assert_eq!(app.stock(&campaign).await, (8, 0, 2));
        app.joined_and_paid(&seat.room).await;
        assert_eq!(app.state_of(&bob, &held.order).await, "confirmed");
        assert_eq!(refunds_of(app, &held.order).await, []);
    }

    async fn a_late_payment_that_finds_no_seat_goes_back(app: &mut TestApp) {
        let campaign = app.publish_whole(&timed(2, 10, 86_400, 900)).await;
        let (_, seat) = app.opened_and_paid(&campaign).await;
        let (bob, held) = app.joined(&seat.room).await;
        let (dan, alone) = app.opened(&campaign).await;
        app.advance(901).await;
        assert_eq!(app.room(&alone.room).await["state"], "failed");
        goes_back(app, &dan, &alone.order, "room-failed").await;
        app.joined(&seat.room).await;
        goes_back(app, &bob, &held.order, "room-full").await;
        assert_eq!(app.stock(&campaign).await, (8, 1, 1));
        // A second report of the same payment changes nothing.
        app.report_paid(&held.order, "room-full", 4950).await.expect(200);
        assert_eq!(refunds_of(app, &held.order).await.len(), 1);
    }

    async fn a_late_payment_that_finds_no_unit_or_no_allowance_goes_back(app: &mut TestApp) {
        let campaign = app.publish_whole(&timed(3, 2, 86_400, 900)).await;
        let (_, seat) = app.opened_and_paid(&campaign).await;
        let (bob, held) = app.joined(&seat.room).await;
        app.advance(901).await;
        app.joined(&seat.room).await;
        assert_eq!(app.stock(&campaign).await.0, 0);
        goes_back(app, &bob, &held.order, "sold-out").await;

        let mut definition = timed(3, 10, 86_400, 900);
        definition["limits"] = json!({"orders_per_user": 1});
        let strict = app.publish_whole(&definition).await;
        let (_, first) = app.opened_and_paid(&strict).await;
        let (eve, held) = app.joined(&first.room).await;
        app.advance(901).await;
        let (_, other) = app.opened_and_paid(&strict).await;
        app.join(&eve, &other.room).await.expect(201);
        goes_back(app, &eve, &held.order, "no-allowance").await;
    }

    async fn a_room_never_outlives_its_campaign(app: &mut TestApp) {
        let ends_at = crate::support::from_now(3600);
        let campaign = app.publish(&json!({"ends_at": ends_at, "room_ttl_seconds": 86_400})).await;
        let (_, seat) = app.opened(&campaign).await;
        assert_eq!(time_of(&app.room(&seat.room).await["expires_at"]), time_of(&json!(ends_at)));
        let short = app.publish(&json!({"ends_at": ends_at, "room_ttl_seconds": 60})).await;
        let (_, seat) = app.opened(&short).await;
        assert!(time_of(&app.room(&seat.room).await["expires_at"]) < time_of(&json!(ends_at)));
    }
}
