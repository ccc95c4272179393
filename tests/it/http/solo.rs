//! Buying alone, and units that a room keeps for its free seats.

use std::future::IntoFuture;

use futures_util::future::join_all;
use liebian::store::fetch_all;
use serde_json::{Value, json};

use crate::support::{Answer, Request, Shopper, TestApp, from_now, served, within};

/// Tea in rooms of three at 49.50, alone at 80.
fn alone(stock: i64, limits: &Value) -> Value {
    json!({"items": [{"sku": "tea", "title": "Green tea", "list_price_fen": 9900, "solo_price_fen": 8000, "stock": stock,
        "tiers": [{"size": 3, "price_fen": 4950}]}], "limits": limits})
}

fn buy(app: &TestApp, shopper: &Shopper, campaign: &str, quantity: i64) -> Request {
    app.post(&format!("/v1/campaigns/{campaign}/solo_orders")).by(shopper).json(json!({"sku": "tea", "quantity": quantity}))
}

async fn bought(app: &TestApp, campaign: &str) -> (Shopper, String) {
    let shopper = app.shopper("Solo").await;
    let order = buy(app, &shopper, campaign, 1).await.expect(201).at("/order/id");
    (shopper, order)
}

async fn audited(app: &TestApp, campaign: &str) {
    let audit = app.post(&format!("/operator/v1/campaigns/{campaign}/audit")).admin().await.expect(200).json;
    assert_eq!(audit["ok"], true, "{audit}");
}

/// The same item where opening a room keeps units for the smallest tier.
fn keeping(stock: i64, tiers: &Value) -> Value {
    json!({"items": [{"sku": "tea", "title": "Green tea", "list_price_fen": 9900, "solo_price_fen": 8000, "stock": stock, "reserve": "room",
        "tiers": tiers}], "limits": {"quantity_per_order": 2, "rooms_opened_per_user": 3}, "room_ttl_seconds": 600, "payment_ttl_seconds": 300})
}

/// Orders, one after the other, until it is dropped.
async fn go_on_buying(app: &TestApp, campaign: &str) {
    let shopper = app.shopper("Solo").await;
    loop {
        buy(app, &shopper, campaign, 1).await.expect(201);
    }
}

served! {
    async fn the_audit_of_a_campaign_in_full_swing_finds_nothing(app: &mut TestApp) {
        let campaign = app.publish(&alone(100_000, &json!({"orders_per_user": 10_000, "unpaid_per_user": 10_000}))).await;
        let audits = async {
            for _ in 0..12 {
                audited(app, &campaign).await;
            }
        };
        let load = join_all((0..6).map(|_| go_on_buying(app, &campaign)));
        tokio::select! {
            () = audits => {}
            _never = load => unreachable!("it goes on"),
        }
    }

    async fn what_is_bought_alone_is_certain_as_soon_as_it_is_paid(app: &mut TestApp) {
        let campaign = app.publish(&alone(10, &json!({"quantity_per_order": 3}))).await;
        let ada = app.shopper("Ada").await;
        let answer = buy(app, &ada, &campaign, 2).await.expect(201);
        let order = &answer.json["order"];
        assert_eq!((&order["amount_fen"], &order["state"], &order["room_id"]), (&json!(16_000), &json!("awaiting_payment"), &Value::Null));
        assert_eq!(answer.header("location"), Some(format!("/v1/orders/{}", answer.at("/order/id")).as_str()));
        assert!(answer.seq().is_some());
        assert_eq!(app.stock(&campaign).await, (8, 2, 0));
        let paid = app.pay(&ada, &answer.at("/order/id")).await.expect(200);
        assert_eq!((paid.at("/state"), paid.at("/paid_fen"), paid.at("/refunded_fen")), ("confirmed".into(), "16000".into(), "0".into()));
        app.pay(&ada, &answer.at("/order/id")).await.expect(200);
        assert_eq!(app.stock(&campaign).await, (8, 0, 2));
        let mine = app.get("/v1/me/orders").session(&ada.session).await.expect(200).json;
        assert_eq!((&mine["items"][0]["id"], &mine["items"][0]["state"]), (&order["id"], &json!("confirmed")));
        app.cancel(&ada, &answer.at("/order/id")).await.refused(409, "order_not_cancellable");
        audited(app, &campaign).await;
    }

    async fn what_is_not_sold_alone_is_not_found(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let ada = app.shopper("Ada").await;
        buy(app, &ada, &campaign, 1).await.refused(404, "not_found");
        let alone = app.publish(&alone(10, &json!({}))).await;
        app.post(&format!("/v1/campaigns/{alone}/solo_orders")).by(&ada).json(json!({"sku": "coffee", "quantity": 1})).await.refused(404, "not_found");
        buy(app, &ada, &alone, 0).await.refused(422, "invalid_request");
        buy(app, &ada, "cmp_00000000", 1).await.refused(404, "not_found");
    }

    async fn an_order_without_a_room_ends_as_others_do(app: &mut TestApp) {
        let campaign = app.publish(&alone(3, &json!({}))).await;
        let (ada, given_up) = bought(app, &campaign).await;
        assert_eq!(app.cancel(&ada, &given_up).await.expect(200).at("/state"), "released");
        let (bob, run_out) = bought(app, &campaign).await;
        app.advance(901).await;
        assert_eq!(app.order(&bob, &run_out).await["reason"], "hold_expired");
        assert_eq!(app.stock(&campaign).await, (3, 0, 0));
        // Late money buys the unit as long as there is one,
        app.report_paid(&run_out, "late", 8000).await.expect(200);
        assert_eq!(app.state_of(&bob, &run_out).await, "confirmed");
        assert_eq!(app.stock(&campaign).await, (2, 0, 1));
        let (eve, other) = bought(app, &campaign).await;
        app.advance(901).await;
        for _ in 0..2 {
            bought(app, &campaign).await;
        }
        // and goes back when there is none,
        app.report_paid(&other, "too-late", 8000).await.expect(200);
        let order = app.order(&eve, &other).await;
        assert_eq!((&order["state"], &order["reason"]), (&json!("refund_due"), &json!("late_payment")));
        // or the campaign is over.
        app.advance(901).await;
        app.step(&campaign, "end").await.expect(200);
        app.report_paid(&given_up, "after-the-end", 8000).await.expect(200);
        assert_eq!(app.order(&ada, &given_up).await["reason"], "late_payment");
        assert_eq!(app.stock(&campaign).await, (2, 0, 1));
        audited(app, &campaign).await;
    }

    async fn the_limits_hold_for_what_is_bought_alone(app: &mut TestApp) {
        let limits = json!({"quantity_per_order": 2, "orders_per_user": 2, "rooms_opened_per_user": 1, "unpaid_per_user": 1, "users_per_device": 1});
        let campaign = app.publish(&alone(4, &limits)).await;
        let ada = app.shopper("Ada").await;
        buy(app, &ada, &campaign, 3).await.refused(409, "order_limit_reached");
        let first = buy(app, &ada, &campaign, 1).await.expect(201).at("/order/id");
        buy(app, &ada, &campaign, 1).await.refused(409, "unpaid_limit_reached");
        app.pay(&ada, &first).await.expect(200);
        // It takes no allowance for rooms, but one for orders.
        let room = app.open(&ada, &campaign).await.expect(201).seat();
        app.pay(&ada, &room.order).await.expect(200);
        buy(app, &ada, &campaign, 1).await.refused(409, "order_limit_reached");
        app.open(&ada, &campaign).await.refused(409, "order_limit_reached");
        let bob = app.shopper_on(&ada.device, "Bob").await;
        buy(app, &bob, &campaign, 1).await.refused(409, "device_limit_reached");
        let eve = app.shopper("Eve").await;
        buy(app, &eve, &campaign, 2).await.expect(201);
        let dan = app.shopper("Dan").await;
        let refused = buy(app, &dan, &campaign, 1).await.refused(409, "sold_out");
        assert_eq!(refused.json["retry"], "later");
        app.open(&dan, &campaign).await.refused(409, "sold_out");
    }

    async fn nothing_is_sold_alone_before_the_start_in_a_pause_or_after_the_end(app: &mut TestApp) {
        let mut patch = alone(10, &json!({}));
        patch["starts_at"] = json!(from_now(3600));
        let campaign = app.publish(&patch).await;
        let ada = app.shopper("Ada").await;
        buy(app, &ada, &campaign, 1).await.refused(409, "campaign_not_live");
        app.advance(3601).await;
        let order = buy(app, &ada, &campaign, 1).await.expect(201).at("/order/id");
        app.step(&campaign, "pause").await.expect(200);
        let bob = app.shopper("Bob").await;
        buy(app, &bob, &campaign, 1).await.refused(409, "campaign_not_live");
        assert_eq!(app.pay(&ada, &order).await.expect(200).at("/state"), "confirmed", "payments go on");
        app.step(&campaign, "resume").await.expect(200);
        app.step(&campaign, "end").await.expect(200);
        buy(app, &bob, &campaign, 1).await.refused(410, "campaign_ended");
    }

    async fn a_repeat_under_a_key_buys_once(app: &mut TestApp) {
        let campaign = app.publish(&alone(10, &json!({"orders_per_user": 5, "unpaid_per_user": 5}))).await;
        let ada = app.shopper("Ada").await;
        let first = buy(app, &ada, &campaign, 1).key("k").await.expect(201);
        let again = buy(app, &ada, &campaign, 1).key("k").await.expect(201);
        assert_eq!((again.replayed(), &again.json), (true, &first.json));
        buy(app, &ada, &campaign, 2).key("k").await.refused(422, "idempotency_key_reused");
        assert_ne!(buy(app, &ada, &campaign, 1).await.expect(201).at("/order/id"), first.at("/order/id"));
        assert_eq!(app.stock(&campaign).await, (8, 2, 0));
    }

    async fn the_last_units_go_to_rooms_or_to_single_buyers_and_to_nobody_twice(app: &mut TestApp) {
        let campaign = app.publish(&alone(7, &json!({"users_per_device": 100}))).await;
        let (_, seat) = app.opened(&campaign).await;
        let (_, other) = app.opened(&campaign).await;
        let buyers = app.shoppers(12).await;
        let asked = buyers.iter().enumerate().map(|(number, buyer)| match number % 3 {
            0 => app.join(buyer, if number % 2 == 0 { &seat.room } else { &other.room }),
            1 => app.open(buyer, &campaign),
            _ => buy(app, buyer, &campaign, 1),
        });
        let answers = join_all(asked.map(IntoFuture::into_future)).await;
        let taken = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(taken, 5);
        assert!(answers.iter().all(|answer| answer.status == 201 || answer.code() == "sold_out"));
        assert_eq!(app.stock(&campaign).await, (0, 7, 0));
        let paid = buyers.iter().zip(&answers).filter(|(_, answer)| answer.status == 201);
        let pays: Vec<Answer> = join_all(paid.map(|(buyer, answer)| app.pay(buyer, &answer.at("/order/id")).into_future())).await;
        assert!(pays.iter().all(|answer| answer.status == 200));
        assert_eq!(app.stock(&campaign).await, (0, 2, 5));
        audited(app, &campaign).await;
    }

    async fn a_room_keeps_units_for_its_smallest_tier(app: &mut TestApp) {
        let campaign = app.publish(&keeping(5, &json!([{"size": 3, "price_fen": 4950}, {"size": 4, "price_fen": 4000}]))).await;
        let (ada, first) = app.opened(&campaign).await;
        assert_eq!(app.stock(&campaign).await, (2, 3, 0), "one unit for each seat of the smallest tier");
        let bob = app.shopper("Bob").await;
        app.open(&bob, &campaign).await.refused(409, "sold_out");
        buy(app, &bob, &campaign, 2).await.expect(201);
        assert_eq!(app.stock(&campaign).await, (0, 5, 0));
        let stock = format!("/operator/v1/campaigns/{campaign}/stock");
        app.post(&stock).admin().json(json!({"sku": "tea", "add": -1})).await.refused(409, "sold_out");
        // Members take what is kept, and no more than that is kept for a seat.
        let eve = app.shopper("Eve").await;
        let join = |quantity: i64| app.post(&format!("/v1/rooms/{}/members", first.room)).by(&eve).json(json!({"quantity": quantity}));
        join(2).await.refused(409, "sold_out");
        let seat = join(1).await.expect(201).seat();
        assert_eq!(app.stock(&campaign).await, (0, 5, 0));
        app.cancel(&eve, &seat.order).await.expect(200);
        assert_eq!(app.stock(&campaign).await, (0, 5, 0), "a seat that is given up keeps its unit");
        let (dan, second) = app.joined_and_paid(&first.room).await;
        let (_, third) = app.joined_and_paid(&first.room).await;
        // The fourth seat is of the larger tier: nothing is kept for it.
        app.join(&eve, &first.room).await.refused(409, "sold_out");
        app.pay(&ada, &first.order).await.expect(200);
        app.advance(601).await;
        for (shopper, order) in [(&ada, &first.order), (&dan, &second.order)] {
            assert_eq!(app.state_of(shopper, order).await, "confirmed");
        }
        assert_eq!(app.room(&third.room).await["final_price_fen"], 4950);
        assert_eq!(app.stock(&campaign).await, (2, 0, 3));
        audited(app, &campaign).await;
    }

    async fn what_a_room_kept_is_free_when_it_ends(app: &mut TestApp) {
        let campaign = app.publish(&keeping(6, &json!([{"size": 3, "price_fen": 4950}]))).await;
        let (ada, first) = app.opened_and_paid(&campaign).await;
        let bob = app.shopper("Bob").await;
        let second = app.open_for(&bob, &campaign, "tea", 1).await.expect(201).seat();
        assert_eq!(app.stock(&campaign).await, (0, 5, 1));
        app.cancel(&bob, &second.order).await.expect(200);
        assert_eq!((&app.room(&second.room).await["state"], app.stock(&campaign).await), (&json!("failed"), (3, 2, 1)));
        // The opener's own units come beside those for the other seats.
        app.open_for(&bob, &campaign, "tea", 2).await.refused(409, "sold_out");
        app.post(&format!("/operator/v1/campaigns/{campaign}/stock")).admin().json(json!({"sku": "tea", "add": 1})).await.expect(200);
        let third = app.open_for(&bob, &campaign, "tea", 2).await.expect(201).seat();
        assert_eq!(app.stock(&campaign).await, (0, 6, 1));
        app.advance(601).await;
        assert_eq!(app.room(&third.room).await["state"], "failed");
        app.until_state(&ada, &first.order, "refunded").await;
        assert_eq!(app.stock(&campaign).await, (7, 0, 0));
        audited(app, &campaign).await;
    }

    async fn a_late_payment_takes_the_unit_that_is_kept(app: &mut TestApp) {
        let campaign = app.publish(&keeping(3, &json!([{"size": 3, "price_fen": 4950}]))).await;
        let (_, first) = app.opened_and_paid(&campaign).await;
        let (eve, seat) = app.joined(&first.room).await;
        app.advance(301).await;
        assert_eq!((app.state_of(&eve, &seat.order).await.as_str(), app.stock(&campaign).await), ("released", (0, 2, 1)));
        app.report_paid(&seat.order, "late", 4950).await.expect(200);
        assert_eq!((app.state_of(&eve, &seat.order).await.as_str(), app.stock(&campaign).await), ("paid", (0, 1, 2)));
        let (dan, last) = app.joined(&first.room).await;
        app.pay(&dan, &last.order).await.expect(200);
        assert_eq!(app.room(&first.room).await["state"], "formed");
        assert_eq!(app.stock(&campaign).await, (0, 0, 3));
        audited(app, &campaign).await;
        within(10, "nothing is to be closed any more", async || {
            fetch_all!(app.store(), (String,), "SELECT order_id FROM closings WHERE state = 'pending'").unwrap().is_empty()
        })
        .await;
    }
}
