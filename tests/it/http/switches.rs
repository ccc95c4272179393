//! What stops a running campaign: kill switches, and the loss budget that pauses it by itself.

use serde_json::{Value, json};

use crate::support::{Shopper, TestApp, served, with};

async fn switch(app: &TestApp, campaign: &str, body: Value) -> crate::support::Answer {
    app.post(&format!("/operator/v1/campaigns/{campaign}/switches")).admin().json(body).await
}

/// Rooms of two; each unit gives 4950 fen away; so many units fit.
async fn with_budget_for(app: &TestApp, units: i64) -> String {
    let mut definition =
        with(2, 50, &json!({"quantity_per_order": 3, "unpaid_per_user": 9, "rooms_opened_per_user": 9, "orders_per_user": 9}));
    definition["loss_budget_fen"] = json!(4950 * units);
    app.publish_whole(&definition).await
}

async fn standing(app: &TestApp, campaign: &str) -> (String, Value) {
    let record = app.get(&format!("/operator/v1/campaigns/{campaign}")).admin().await.expect(200);
    (record.at("/state"), record.json["paused_by"].clone())
}

/// What the report says that living orders give away.
async fn lost(app: &TestApp, campaign: &str) -> Value {
    app.report(campaign).await["loss_fen"].clone()
}

async fn units(app: &TestApp, shopper: &Shopper, campaign: &str, quantity: i64) -> crate::support::Answer {
    app.open_for(shopper, campaign, "tea", quantity).await
}

served! {
    async fn opening_and_joining_are_switched_off_and_on_by_themselves(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(3, 20, &json!({}))).await;
        let (ada, seat) = app.opened(&campaign).await;
        let off = switch(app, &campaign, json!({"open": false})).await.expect(200);
        assert_eq!((&off.json["switches"], off.at("/state")), (&json!({"open": false, "join": true}), "live".into()));
        let (bob, eve) = (app.shopper("Bob").await, app.shopper("Eve").await);
        assert_eq!(app.open(&bob, &campaign).await.refused(409, "campaign_not_live").json["retry"], "later");
        app.join(&bob, &seat.room).await.expect(201);
        switch(app, &campaign, json!({"open": true, "join": false})).await.expect(200);
        app.join(&eve, &seat.room).await.refused(409, "campaign_not_live");
        app.join(&bob, &seat.room).await.expect(200);
        app.pay(&ada, &seat.order).await.expect(200);
        app.open(&eve, &campaign).await.expect(201);
        let view = app.get(&format!("/v1/campaigns/{campaign}")).await.expect(200).json;
        assert_eq!(view["switches"], json!({"open": true, "join": false}));
        let seq = switch(app, &campaign, json!({"join": true})).await.expect(200).seq().unwrap().2;
        for body in [json!({"join": true}), json!({}), json!({"open": null})] {
            assert_eq!(switch(app, &campaign, body).await.expect(200).seq().unwrap().2, seq, "no change is no entry");
        }
        app.joined(&seat.room).await;
        assert_eq!(switch(app, &campaign, json!({"open": "no", "joins": true})).await.refused(422, "invalid_request").fields().len(), 1);
        app.restart().await;
        switch(app, &campaign, json!({"open": false})).await.expect(200);
        app.restart().await;
        let carl = app.shopper("Carl").await;
        app.open(&carl, &campaign).await.refused(409, "campaign_not_live");
        let draft = app.draft(&with(3, 20, &json!({}))).await;
        switch(app, &draft, json!({"open": false})).await.refused(409, "campaign_state");
        switch(app, "cmp_00000000", json!({"open": false})).await.refused(404, "not_found");
    }

    async fn the_loss_budget_is_never_overspent_and_pauses_the_campaign(app: &mut TestApp) {
        let campaign = with_budget_for(app, 4).await;
        let (ada, bob) = (app.shopper("Ada").await, app.shopper("Bob").await);
        let first = units(app, &ada, &campaign, 3).await.expect(201).seat();
        assert_eq!(lost(app, &campaign).await, 3 * 4950);
        assert_eq!(units(app, &bob, &campaign, 2).await.refused(409, "budget_exhausted").json["retry"], "later");
        assert_eq!(standing(app, &campaign).await, ("live".into(), Value::Null), "a smaller order still fits");
        app.join(&bob, &first.room).await.expect(201);
        assert_eq!(standing(app, &campaign).await, ("paused".into(), json!("loss_budget")));
        let carl = app.shopper("Carl").await;
        units(app, &carl, &campaign, 1).await.refused(409, "budget_exhausted");
        app.step(&campaign, "resume").await.refused(409, "budget_exhausted");
        // What is held may be paid; what is given up makes room again, by itself.
        app.pay(&ada, &first.order).await.expect(200);
        app.advance(901).await;
        assert_eq!(standing(app, &campaign).await, ("live".into(), Value::Null));
        assert_eq!(lost(app, &campaign).await, 3 * 4950);
        app.join(&carl, &first.room).await.expect(201);
        assert_eq!(standing(app, &campaign).await.0, "paused");
        let audit = app.post(&format!("/operator/v1/campaigns/{campaign}/audit")).admin().await.expect(200).json;
        assert_eq!(audit["ok"], true, "{audit}");
        assert!(audit["checks"].as_array().unwrap().iter().any(|check| check["name"] == "loss_budget_is_kept"), "{audit}");
        // The room fails: what is sent back costs nothing.
        app.advance(90_000).await;
        assert_eq!((lost(app, &campaign).await, standing(app, &campaign).await.0), (json!(0), "live".into()));
    }

    async fn a_raised_budget_lets_the_campaign_go_on_and_no_other_change_of_it_is_taken(app: &mut TestApp) {
        let campaign = with_budget_for(app, 1).await;
        app.opened_and_paid(&campaign).await;
        assert_eq!(standing(app, &campaign).await, ("paused".into(), json!("loss_budget")));
        let change = |fen: Value| app.patch(&format!("/operator/v1/campaigns/{campaign}")).admin().json(json!({"loss_budget_fen": fen}));
        for fen in [json!(4949), Value::Null] {
            assert_eq!(change(fen).await.refused(409, "field_not_editable").fields(), ["loss_budget_fen"]);
        }
        assert_eq!(change(json!(9899)).await.expect(200).at("/state"), "paused");
        assert_eq!(change(json!(9900)).await.expect(200).at("/state"), "live");
        assert_eq!(app.step(&campaign, "resume").await.expect(200).at("/state"), "live");
        // An operator's pause is the operator's to end.
        app.step(&campaign, "pause").await.expect(200);
        assert_eq!(change(json!(99_000)).await.expect(200).at("/state"), "paused");
        assert_eq!(standing(app, &campaign).await, ("paused".into(), json!("operator")));
        app.step(&campaign, "resume").await.expect(200);
        app.opened(&campaign).await;
        let without = app.publish(&json!({})).await;
        let path = format!("/operator/v1/campaigns/{without}");
        app.patch(&path).admin().json(json!({"loss_budget_fen": 1_000_000})).await.refused(409, "field_not_editable");
        assert_eq!(app.report(&without).await["loss_budget_fen"], Value::Null);
    }

    async fn a_late_payment_does_not_break_the_budget(app: &mut TestApp) {
        let campaign = with_budget_for(app, 1).await;
        let (ada, seat) = app.opened(&campaign).await;
        let (bob, room) = (app.shopper("Bob").await, seat.room.clone());
        app.cancel(&ada, &seat.order).await.expect(200);
        assert_eq!(app.room(&room).await["state"], "failed");
        let taken = app.open(&bob, &campaign).await.expect(201).seat();
        app.report_paid(&seat.order, "late", 4950).await.expect(200);
        assert_eq!(app.order(&ada, &seat.order).await["reason"], "late_payment");
        app.pay(&bob, &taken.order).await.expect(200);
        assert_eq!(lost(app, &campaign).await, 4950);
    }

    async fn a_ladder_counts_at_its_lowest_price_and_a_single_order_at_its_own(app: &mut TestApp) {
        let mut definition = with(2, 50, &json!({"orders_per_user": 9, "rooms_opened_per_user": 9, "unpaid_per_user": 9}));
        definition["items"][0]["tiers"] = json!([{"size": 2, "price_fen": 8000}, {"size": 3, "price_fen": 5000}]);
        definition["items"][0]["solo_price_fen"] = json!(9000);
        definition["loss_budget_fen"] = json!(3 * 4900 + 900);
        let campaign = app.publish_whole(&definition).await;
        let (_, seat) = app.opened_and_paid(&campaign).await;
        assert_eq!(lost(app, &campaign).await, 4900);
        app.joined_and_paid(&seat.room).await;
        let ada = app.shopper("Ada").await;
        let alone = json!({"sku": "tea", "quantity": 1});
        app.post(&format!("/v1/campaigns/{campaign}/solo_orders")).by(&ada).json(alone.clone()).await.expect(201);
        assert_eq!(lost(app, &campaign).await, 2 * 4900 + 900);
        app.joined_and_paid(&seat.room).await;
        assert_eq!(app.room(&seat.room).await["state"], "formed");
        assert_eq!((lost(app, &campaign).await, standing(app, &campaign).await.0), (json!(3 * 4900 + 900), "paused".into()));
        let bob = app.shopper("Bob").await;
        app.post(&format!("/v1/campaigns/{campaign}/solo_orders")).by(&bob).json(alone).await.refused(409, "budget_exhausted");
        let audit = app.post(&format!("/operator/v1/campaigns/{campaign}/audit")).admin().await.expect(200).json;
        assert_eq!(audit["ok"], true, "{audit}");
    }

    async fn a_budget_that_no_unit_fits_into_is_not_published(app: &mut TestApp) {
        let mut definition = with(2, 10, &json!({}));
        definition["loss_budget_fen"] = json!(4949);
        let draft = app.draft(&definition).await;
        let refused = app.post(&format!("/operator/v1/campaigns/{draft}/publish")).admin().await.refused(422, "publish_blocked");
        assert_eq!((refused.fields(), refused.at("/errors/0/code")), (vec!["loss_budget_fen"], "budget_too_small".into()));
    }
}
