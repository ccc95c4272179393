//! Orders of chains: what they cost, what becomes of the chain, and of money that comes late.

use serde_json::{Value, json};

use crate::support::{TestApp, served};

served! {
    async fn the_owner_buys_on_the_way_and_the_order_keeps_its_price(app: &mut TestApp) {
        let (campaign, owner, chain) = app.chain_of(&json!({})).await;
        app.helped(&chain).await;
        let placed = app.order_chain(&owner, &chain).await.expect(201);
        let order = placed.at("/order/id");
        assert_eq!(placed.header("location"), Some(format!("/v1/orders/{order}").as_str()));
        let shown = &placed.json["order"];
        assert_eq!((&shown["amount_fen"], &shown["state"], &shown["quantity"]), (&json!(21_900), &json!("awaiting_payment"), &json!(1)));
        assert_eq!((&shown["chain_id"], &shown["room_id"]), (&json!(chain), &Value::Null));
        assert_eq!(app.order_chain(&owner, &chain).await.expect(200).at("/order/id"), order);
        // Friends go on cutting; the order stays as it is.
        app.helped(&chain).await;
        assert_eq!(app.chain(&chain).await["price_fen"], 15_900);
        assert_eq!(app.order(&owner, &order).await["amount_fen"], 21_900);
        let paid = app.pay(&owner, &order).await.expect(200);
        assert_eq!((paid.at("/state"), paid.at("/paid_fen")), ("confirmed".into(), "21900".into()));
        assert_eq!(app.chain(&chain).await["state"], "bought");
        assert_eq!(app.stock(&campaign).await, (99, 0, 1));
        let late = app.shopper("Late").await;
        app.cut(&late, &chain).await.refused(409, "chain_complete");
        app.order_chain(&owner, &chain).await.refused(409, "chain_complete");
        let orders = app.get("/v1/me/orders").session(&owner.session).await.expect(200).json;
        assert_eq!(orders["items"][0]["chain_id"], json!(chain));
        let own = app.get(&format!("/v1/chains/{chain}")).session(&owner.session).await.expect(200).json;
        assert_eq!(own["you"]["order_id"], json!(order));
        app.is_sound(&campaign).await;
    }

    async fn operators_do_with_orders_of_chains_what_they_do_with_any(app: &mut TestApp) {
        let bought = async |app: &TestApp| {
            let (campaign, owner, chain) = app.chain_of(&json!({})).await;
            let order = app.order_chain(&owner, &chain).await.expect(201).at("/order/id");
            app.pay(&owner, &order).await.expect(200);
            (campaign, owner, order)
        };
        let act = async |app: &TestApp, order: &str, act: &str, body: Value| {
            app.post(&format!("/operator/v1/orders/{order}/{act}")).admin().json(body).await.expect(200)
        };
        let (campaign, owner, order) = bought(app).await;
        assert_eq!(act(app, &order, "fulfil", json!({})).await.at("/state"), "fulfilled");
        act(app, &order, "refund", json!({"amount_fen": 100, "reason": "a scratch"})).await;
        app.until_state(&owner, &order, "fulfilled").await;
        act(app, &order, "refund", json!({"reason": "broken jar"})).await;
        app.until_state(&owner, &order, "refunded").await;
        app.is_sound(&campaign).await;
        let (campaign, owner, order) = bought(app).await;
        act(app, &order, "cancel", json!({"reason": "no stock"})).await;
        app.until_state(&owner, &order, "refunded").await;
        app.is_sound(&campaign).await;
        // Unpaid, and in words that are the engine's own.
        let (campaign, owner, chain) = app.chain_of(&json!({})).await;
        let order = app.order_chain(&owner, &chain).await.expect(201).at("/order/id");
        let path = format!("/operator/v1/orders/{order}/cancel");
        let gone = app.post(&path).admin().json(json!({"reason": "cancelled"})).await.expect(200);
        assert_eq!(gone.at("/reason"), "operator: cancelled");
        assert_eq!(app.state_of(&owner, &order).await, "released");
        assert_eq!(app.chain(&chain).await["state"], "open");
        app.is_sound(&campaign).await;
    }

    async fn only_the_owner_orders(app: &mut TestApp) {
        let (campaign, owner, chain) = app.chain_of(&json!({"limits": {"users_per_device": 1}})).await;
        let bob = app.helped(&chain).await;
        app.order_chain(&bob, &chain).await.refused(403, "forbidden");
        // On a phone that serves another shopper.
        let elsewhere = crate::support::Shopper { device: bob.device.clone(), ..owner.clone() };
        app.order_chain(&elsewhere, &chain).await.refused(409, "device_limit_reached");
        app.order_chain(&owner, &chain).await.expect(201);
        app.is_sound(&campaign).await;
    }

    async fn where_only_the_floor_price_buys_the_way_there_does_not(app: &mut TestApp) {
        let (campaign, owner, chain) = app.chain_of(&json!({"buy_at": "floor_price", "cuts": {"helpers": 2}})).await;
        app.helped(&chain).await;
        let refused = app.order_chain(&owner, &chain).await.refused(409, "floor_not_reached");
        assert_eq!(refused.json["retry"], "later");
        app.helped(&chain).await;
        assert_eq!(app.order_chain(&owner, &chain).await.expect(201).json["order"]["amount_fen"], 9_900);
        app.is_sound(&campaign).await;
    }

    async fn a_chain_outlives_its_order_while_its_deadline_stands(app: &mut TestApp) {
        for reserve in ["at_start", "at_order"] {
            let patch = json!({"reserve_stock": reserve, "payment_ttl_seconds": 300, "chain_ttl_seconds": 3_600, "cuts": {"self_cuts": 1}});
            let (campaign, owner, chain) = app.chain_of(&patch).await;
            let idle = if reserve == "at_start" { (99, 1, 0) } else { (100, 0, 0) };
            let first = app.order_chain(&owner, &chain).await.expect(201).at("/order/id");
            assert_eq!(app.stock(&campaign).await, (99, 1, 0));
            app.cancel(&owner, &first).await.expect(200);
            assert_eq!(app.stock(&campaign).await, idle, "{reserve}");
            app.helped(&chain).await;
            let second = app.order_chain(&owner, &chain).await.expect(201);
            assert_ne!(second.at("/order/id"), first);
            assert_eq!(second.json["order"]["amount_fen"], 15_900);
            app.advance(301).await;
            assert_eq!(app.order(&owner, &second.at("/order/id")).await["reason"], "hold_expired");
            let own = app.get(&format!("/v1/chains/{chain}")).session(&owner.session).await.expect(200).json;
            assert_eq!((&own["state"], &own["you"]["order_id"]), (&json!("open"), &Value::Null));
            assert_eq!(app.stock(&campaign).await, idle, "{reserve}");
            let third = app.order_chain(&owner, &chain).await.expect(201).at("/order/id");
            app.pay(&owner, &third).await.expect(200);
            assert_eq!(app.stock(&campaign).await, (99, 0, 1), "{reserve}");
            app.is_sound(&campaign).await;
        }
    }

    async fn a_deadline_waits_for_the_order_that_is_undecided(app: &mut TestApp) {
        let patch = json!({"reserve_stock": "at_start", "chain_ttl_seconds": 600, "payment_ttl_seconds": 300});
        let (campaign, owner, chain) = app.chain_of(&patch).await;
        app.advance(590).await;
        let order = app.order_chain(&owner, &chain).await.expect(201).at("/order/id");
        app.advance(20).await;
        let late = app.shopper("Late").await;
        app.cut(&late, &chain).await.refused(410, "chain_expired");
        assert_eq!(app.chain(&chain).await["state"], "open", "not decided");
        app.pay(&owner, &order).await.expect(200);
        let bought = app.chain(&chain).await;
        assert_eq!((&bought["state"], &bought["next_cut_fen"]), (&json!("bought"), &Value::Null), "nothing follows");
        let listed = app.get(&format!("/operator/v1/campaigns/{campaign}/chains")).admin();
        assert_eq!(listed.await.expect(200).json["items"][0]["next_cut_fen"], Value::Null);
        assert_eq!(app.stock(&campaign).await, (99, 0, 1));
        // And one whose order dies after it is over.
        let other = app.shopper("Other").await;
        let second = app.start_chain(&other, &campaign).await.expect(201).at("/chain/id");
        app.advance(590).await;
        let order = app.order_chain(&other, &second).await.expect(201).at("/order/id");
        app.advance(20).await;
        app.cancel(&other, &order).await.expect(200);
        let expired = app.chain(&second).await;
        assert_eq!((&expired["state"], &expired["next_cut_fen"]), (&json!("expired"), &Value::Null));
        let mine = app.get("/v1/me/chains").session(&other.session).await.expect(200).json;
        assert_eq!(mine["items"][0]["next_cut_fen"], Value::Null);
        assert_eq!(app.stock(&campaign).await, (99, 0, 1));
        app.is_sound(&campaign).await;
    }

    async fn late_money_buys_while_the_chain_stands_and_goes_back_after(app: &mut TestApp) {
        for reserve in ["at_start", "at_order"] {
            let patch = json!({"reserve_stock": reserve, "payment_ttl_seconds": 300, "chain_ttl_seconds": 3_600, "items": [{"sku": "cream",
                "title": "Cream", "list_price_fen": 29_900, "floor_price_fen": 9_900, "stock": 2}]});
            let (campaign, owner, chain) = app.chain_of(&patch).await;
            let order = app.order_chain(&owner, &chain).await.expect(201).at("/order/id");
            app.advance(301).await;
            app.helped(&chain).await;
            app.report_paid(&order, &format!("late-{reserve}"), 29_900).await.expect(200);
            assert_eq!(app.state_of(&owner, &order).await, "confirmed", "at the price it was placed at");
            assert_eq!((app.chain(&chain).await["state"].clone(), app.stock(&campaign).await), (json!("bought"), (1, 0, 1)));
            // Another order has taken the place, or the chain is over: the money goes back.
            let other = app.shopper("Other").await;
            let second = app.start_chain(&other, &campaign).await.expect(201).at("/chain/id");
            let first = app.order_chain(&other, &second).await.expect(201).at("/order/id");
            app.advance(301).await;
            let next = app.order_chain(&other, &second).await.expect(201).at("/order/id");
            app.report_paid(&first, &format!("taken-{reserve}"), 29_900).await.expect(200);
            assert_eq!(app.order(&other, &first).await["reason"], "late_payment");
            app.advance(3_600).await;
            app.report_paid(&next, &format!("over-{reserve}"), 29_900).await.expect(200);
            let order = app.order(&other, &next).await;
            assert_eq!((&order["state"], &order["reason"]), (&json!("refund_due"), &json!("late_payment")));
            assert_eq!((app.chain(&second).await["state"].clone(), app.stock(&campaign).await), (json!("expired"), (1, 0, 1)));
            app.is_sound(&campaign).await;
        }
    }

    async fn units_run_out_at_the_order_or_at_the_start(app: &mut TestApp) {
        let one = json!([{"sku": "cream", "title": "Cream", "list_price_fen": 29_900, "floor_price_fen": 9_900, "stock": 1}]);
        let (campaign, ada, first) = app.chain_of(&json!({"items": one})).await;
        let bob = app.shopper("Bob").await;
        let second = app.start_chain(&bob, &campaign).await.expect(201).at("/chain/id");
        let order = app.order_chain(&ada, &first).await.expect(201).at("/order/id");
        app.order_chain(&bob, &second).await.refused(409, "sold_out");
        app.cancel(&ada, &order).await.expect(200);
        app.order_chain(&bob, &second).await.expect(201);
        app.order_chain(&ada, &first).await.refused(409, "sold_out");
        let (campaign, _, _) = app.chain_of(&json!({"items": one, "reserve_stock": "at_start"})).await;
        app.start_chain(&bob, &campaign).await.refused(409, "sold_out");
        app.is_sound(&campaign).await;
    }
}
