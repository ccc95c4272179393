//! Limits: those of a campaign per order, shopper and device, and those of the server against floods.

use std::future::IntoFuture;

use serde_json::json;

use crate::support::{Setup, served, unique, with};

served! {
    async fn an_order_and_a_shopper_have_no_more_than_the_campaign_allows(app: &mut TestApp) {
        let limits = json!({"quantity_per_order": 2, "orders_per_user": 2, "rooms_opened_per_user": 9, "unpaid_per_user": 9});
        let campaign = app.publish_whole(&with(3, 50, &limits)).await;
        let ada = app.shopper("Ada").await;
        app.open_for(&ada, &campaign, "tea", 3).await.refused(409, "order_limit_reached");
        let first = app.open_for(&ada, &campaign, "tea", 2).await.expect(201).seat();
        app.open(&ada, &campaign).await.expect(201);
        app.open(&ada, &campaign).await.refused(409, "order_limit_reached");
        app.cancel(&ada, &first.order).await.expect(200);
        app.open(&ada, &campaign).await.expect(201);
    }

    async fn a_shopper_opens_and_joins_no_more_rooms_than_allowed(app: &mut TestApp) {
        let limits = json!({"orders_per_user": 9, "rooms_opened_per_user": 1, "rooms_joined_per_user": 1, "unpaid_per_user": 9});
        let campaign = app.publish_whole(&with(3, 50, &limits)).await;
        let ada = app.shopper("Ada").await;
        app.open(&ada, &campaign).await.expect(201);
        app.open(&ada, &campaign).await.refused(409, "room_limit_reached");
        let (_, one) = app.opened(&campaign).await;
        let (_, two) = app.opened(&campaign).await;
        let joined = app.join(&ada, &one.room).await.expect(201).seat();
        app.join(&ada, &two.room).await.refused(409, "room_limit_reached");
        app.cancel(&ada, &joined.order).await.expect(200);
        app.join(&ada, &two.room).await.expect(201);
    }

    async fn open_orders_are_paid_or_cancelled_before_the_next(app: &mut TestApp) {
        let limits = json!({"orders_per_user": 9, "rooms_opened_per_user": 9, "unpaid_per_user": 1});
        let campaign = app.publish_whole(&with(3, 50, &limits)).await;
        let ada = app.shopper("Ada").await;
        let first = app.open(&ada, &campaign).await.expect(201).seat();
        let refused = app.open(&ada, &campaign).await.refused(409, "unpaid_limit_reached");
        assert_eq!(refused.json["retry"], "later");
        app.pay(&ada, &first.order).await.expect(200);
        let second = app.open(&ada, &campaign).await.expect(201).seat();
        app.cancel(&ada, &second.order).await.expect(200);
        app.open(&ada, &campaign).await.expect(201);
    }

    async fn a_device_serves_no_more_shoppers_than_allowed(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(5, 50, &json!({"users_per_device": 2}))).await;
        let device = app.device().await;
        let (_, room) = app.opened(&campaign).await;
        for name in ["Ada", "Bob"] {
            let shopper = app.shopper_on(&device, name).await;
            let seat = app.join(&shopper, &room.room).await.expect(201).seat();
            app.cancel(&shopper, &seat.order).await.expect(200);
        }
        let third = app.shopper_on(&device, "Eve").await;
        app.join(&third, &room.room).await.refused(409, "device_limit_reached");
        app.open(&third, &campaign).await.refused(409, "device_limit_reached");
        let elsewhere = app.device().await;
        app.join(&crate::support::Shopper { device: elsewhere, ..third }, &room.room).await.expect(201);
    }

    async fn every_limit_holds_whether_one_opens_joins_or_buys_alone(app: &mut TestApp) {
        const ROOMY: i64 = 9;
        for (limit, word, quantity) in [
            ("quantity_per_order", "order_limit_reached", 2),
            ("orders_per_user", "order_limit_reached", 1),
            ("unpaid_per_user", "unpaid_limit_reached", 1),
            ("users_per_device", "device_limit_reached", 1),
            ("stock", "sold_out", 1),
        ] {
            let mut limits = json!({"quantity_per_order": ROOMY, "orders_per_user": ROOMY, "rooms_opened_per_user": ROOMY,
                "rooms_joined_per_user": ROOMY, "unpaid_per_user": ROOMY, "users_per_device": ROOMY});
            let mut definition = with(3, 2, &json!({}));
            if limit != "stock" {
                (limits[limit], definition["items"][0]["stock"]) = (json!(1), json!(50));
            }
            definition["limits"] = limits;
            definition["items"][0]["solo_price_fen"] = json!(8000);
            let campaign = app.publish_whole(&definition).await;
            let (_, seat) = app.opened(&campaign).await;
            let ada = app.shopper("Ada").await;
            let first = app.open(&ada, &campaign).await.expect(201).seat();
            let asks = if limit == "users_per_device" { app.shopper_on(&ada.device, "Bob").await } else { ada.clone() };
            if limit != "unpaid_per_user" {
                app.pay(&ada, &first.order).await.expect(200);
            }
            let path = format!("/v1/campaigns/{campaign}/solo_orders");
            for request in [
                app.open_for(&asks, &campaign, "tea", quantity),
                app.post(&format!("/v1/rooms/{}/members", seat.room)).by(&asks).json(json!({"quantity": quantity})),
                app.post(&path).by(&asks).json(json!({"sku": "tea", "quantity": quantity})),
            ] {
                assert_eq!(request.await.refused(409, word).code(), word, "{limit}");
            }
        }
    }

    async fn the_same_signals_are_the_same_device(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(5, 50, &json!({"users_per_device": 1}))).await;
        let (_, room) = app.opened(&campaign).await;
        let signals = json!({"signals": {"model": "a phone", "install_id": unique(), "dark": true}});
        let mut devices = Vec::new();
        for _ in 0..2 {
            devices.push(app.post("/v1/devices").json(signals.clone()).await.expect(201).at("/device_token"));
        }
        let ada = app.shopper_on(&devices[0], "Ada").await;
        let bob = app.shopper_on(&devices[1], "Bob").await;
        app.join(&ada, &room.room).await.expect(201);
        app.join(&bob, &room.room).await.refused(409, "device_limit_reached");
    }

    async fn a_flood_from_one_shopper_is_slowed_down(app: &mut TestApp, Setup { rate_limits: true, ..Setup::default() }) {
        let ada = app.shopper("Ada").await;
        let mut refused = None;
        let asked = (0..700).map(|_| app.get("/v1/me/orders").session(&ada.session).into_future());
        for answer in futures_util::future::join_all(asked).await {
            match answer.status {
                200 => {}
                _ => refused = Some(answer.refused(429, "rate_limited")),
            }
        }
        let refused = refused.expect("700 requests at once are too many");
        assert!(refused.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
        assert_eq!(refused.json["retry"], "later");
        let bob = app.shopper("Bob").await;
        app.get("/v1/me/orders").session(&bob.session).await.expect(200);
        app.get("/health/live").await.expect(200);
    }
}
