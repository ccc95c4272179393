//! A campaign that is not started, paused, ended, over; its stock while it runs.

use serde_json::json;

use crate::support::{from_now, served, with};

served! {
    async fn a_pause_stops_new_seats_while_payments_and_deadlines_go_on(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(3, 20, &json!({}))).await;
        let (ada, seat) = app.opened(&campaign).await;
        let (bob, held) = app.joined(&seat.room).await;
        assert_eq!(app.step(&campaign, "pause").await.expect(200).at("/state"), "paused");
        app.step(&campaign, "pause").await.expect(200);
        let eve = app.shopper("Eve").await;
        assert_eq!(app.open(&eve, &campaign).await.refused(409, "campaign_not_live").json["retry"], "later");
        app.join(&eve, &seat.room).await.refused(409, "campaign_not_live");
        app.join(&bob, &seat.room).await.expect(200);
        assert_eq!(app.get(&format!("/v1/campaigns/{campaign}")).await.expect(200).at("/state"), "paused");
        app.pay(&ada, &seat.order).await.expect(200);
        app.advance(901).await;
        assert_eq!(app.state_of(&bob, &held.order).await, "released");
        assert_eq!(app.step(&campaign, "resume").await.expect(200).at("/state"), "live");
        app.join(&eve, &seat.room).await.expect(201);
    }

    async fn an_ended_campaign_opens_nothing_and_lets_open_rooms_fill(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(2, 20, &json!({}))).await;
        let (ada, seat) = app.opened_and_paid(&campaign).await;
        assert_eq!(app.step(&campaign, "end").await.expect(200).at("/state"), "ended");
        let eve = app.shopper("Eve").await;
        app.open(&eve, &campaign).await.refused(410, "campaign_ended");
        app.joined_and_paid(&seat.room).await;
        assert_eq!(app.state_of(&ada, &seat.order).await, "confirmed");
        app.step(&campaign, "resume").await.refused(409, "campaign_state");
        app.step(&campaign, "pause").await.refused(409, "campaign_state");
        app.step(&campaign, "end").await.expect(200);
    }

    async fn a_campaign_is_seen_before_it_starts_and_refuses_until_then(app: &mut TestApp) {
        let campaign = app.publish(&json!({"starts_at": from_now(3600)})).await;
        let path = format!("/v1/campaigns/{campaign}");
        assert_eq!(app.get(&path).await.expect(200).at("/state"), "scheduled");
        let list = app.get("/v1/campaigns").await.expect(200).json;
        assert_eq!(list["items"][0]["id"], campaign);
        let ada = app.shopper("Ada").await;
        app.open(&ada, &campaign).await.refused(409, "campaign_not_live");
        app.advance(3601).await;
        assert_eq!(app.get(&path).await.expect(200).at("/state"), "live");
        app.open(&ada, &campaign).await.expect(201);
    }

    async fn a_campaign_ends_by_itself_when_its_time_is_over(app: &mut TestApp) {
        let campaign = app.publish(&json!({"ends_at": from_now(3600)})).await;
        let (ada, seat) = app.opened_and_paid(&campaign).await;
        app.advance(3601).await;
        assert_eq!(app.get(&format!("/v1/campaigns/{campaign}")).await.expect(200).at("/state"), "ended");
        let list = app.get("/v1/campaigns").await.expect(200).json;
        assert_eq!(list["items"], json!([]));
        app.open(&ada, &campaign).await.refused(410, "campaign_ended");
        app.step(&campaign, "publish").await.refused(409, "campaign_state");
        assert_eq!(app.room(&seat.room).await["state"], "failed");
        app.until_state(&ada, &seat.order, "refunded").await;
    }

    async fn stock_is_added_and_what_nobody_holds_is_taken_back(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(3, 2, &json!({}))).await;
        let path = format!("/operator/v1/campaigns/{campaign}/stock");
        let (_, seat) = app.opened(&campaign).await;
        app.joined(&seat.room).await;
        let eve = app.shopper("Eve").await;
        assert_eq!(app.join(&eve, &seat.room).await.refused(409, "sold_out").json["retry"], "later");
        app.open(&eve, &campaign).await.refused(409, "sold_out");
        let added = app.post(&path).admin().json(json!({"sku": "tea", "add": 5})).await.expect(200);
        assert_eq!((added.at("/put_in"), added.at("/stock_left"), added.at("/held")), ("7".into(), "5".into(), "2".into()));
        app.join(&eve, &seat.room).await.expect(201);
        app.post(&path).admin().json(json!({"sku": "tea", "add": -5})).await.refused(409, "sold_out");
        let taken = app.post(&path).admin().json(json!({"sku": "tea", "add": -4})).await.expect(200);
        assert_eq!((taken.at("/stock_left"), taken.at("/returned")), ("0".into(), "4".into()));
        app.post(&path).admin().json(json!({"sku": "coffee", "add": 1})).await.refused(404, "not_found");
        for add in [json!(0), json!(1.5), json!("1"), json!(1_000_000_001)] {
            let answer = app.post(&path).admin().json(json!({"sku": "tea", "add": add})).await;
            assert_eq!(answer.refused(422, "invalid_request").fields(), ["add"]);
        }
        let view = app.get(&format!("/v1/campaigns/{campaign}")).await.expect(200).json;
        assert_eq!((&view["items"][0]["stock"], &view["items"][0]["stock_left"]), (&json!(3), &json!(0)));
    }
}
