//! What operators do to one order: fulfil it, send money back, call it off, write on it.

use liebian::store::fetch_all;
use serde_json::{Value, json};

use crate::support::{TestApp, served, with, within};

/// What the sandbox sent back in all, by refund number.
async fn sent_back(app: &TestApp) -> Vec<i64> {
    const ALL: &str = "SELECT amount_fen FROM sandbox_refunds ORDER BY refund_no LIMIT 100";
    fetch_all!(app.store(), (i64,), ALL).unwrap().into_iter().map(|(fen,)| fen).collect()
}

/// What the audit log tells of a thing, oldest first: action, before, after.
async fn noted(app: &TestApp, target: &str) -> Vec<(String, Value, Value)> {
    let log = app.get("/operator/v1/audit_log?limit=200").admin().await.expect(200).json;
    let about = log["items"].as_array().unwrap().iter().rev().filter(|row| row["target"] == *target);
    about.map(|row| (row["action"].as_str().unwrap().to_owned(), row["before"].clone(), row["after"].clone())).collect()
}

async fn pair_shop(app: &TestApp) -> String {
    app.publish_whole(&with(2, 20, &json!({"rooms_opened_per_user": 5, "orders_per_user": 5}))).await
}

served! {
    async fn the_goods_of_a_certain_order_are_handed_over_once(app: &mut TestApp) {
        let campaign = pair_shop(app).await;
        let (ada, open) = app.opened(&campaign).await;
        app.operate(&open.order, "fulfil", &json!({})).await.refused(409, "order_not_fulfillable");
        app.pay(&ada, &open.order).await.expect(200);
        app.operate(&open.order, "fulfil", &json!({})).await.refused(409, "order_not_fulfillable");
        app.joined_and_paid(&open.room).await;
        for _ in 0..2 {
            let done = app.operate(&open.order, "fulfil", &json!({})).await.expect(200);
            assert_eq!((done.at("/state"), done.at("/user_id")), ("fulfilled".into(), ada.user_id.clone()));
        }
        assert_eq!(app.state_of(&ada, &open.order).await, "fulfilled");
        app.operate(&open.order, "cancel", &json!({"reason": "too late"})).await.refused(409, "order_not_cancellable");
        let noted = noted(app, &open.order).await;
        assert_eq!(noted.len(), 1, "a repeat changes nothing: {noted:?}");
        assert_eq!((&noted[0].1["order"]["state"], &noted[0].2["order"]["state"]), (&json!("confirmed"), &json!("fulfilled")));
        app.operate("ord_00000000aaaaaaaaaaaaaa", "fulfil", &json!({})).await.refused(404, "not_found");
        assert_eq!(app.stock(&campaign).await, (18, 0, 2));
        app.audited(&campaign).await;
    }

    async fn a_part_goes_back_and_never_more_than_was_paid(app: &mut TestApp) {
        let campaign = pair_shop(app).await;
        let [(ada, seat), _] = app.formed(&campaign).await;
        let part = app.operate(&seat.order, "refund", &json!({"amount_fen": 950, "reason": "one box broken"})).key("first").await.expect(200);
        assert_eq!((part.at("/state"), part.at("/refund_due_fen"), &part.json["reason"]), ("confirmed".into(), "950".into(), &Value::Null));
        let again = app.operate(&seat.order, "refund", &json!({"amount_fen": 950, "reason": "one box broken"})).key("first").await.expect(200);
        assert!(again.replayed() && again.json == part.json);
        within(10, "a part is back", async || app.order(&ada, &seat.order).await["refunded_fen"] == 950).await;
        assert_eq!(app.state_of(&ada, &seat.order).await, "confirmed");
        app.operate(&seat.order, "refund", &json!({"amount_fen": 4001, "reason": "too much"})).await.refused(409, "not_refundable");
        app.operate(&seat.order, "fulfil", &json!({})).await.expect(200);
        // The goods are out of the house: the units come back to the shop, not to what is for sale.
        let rest = app.operate(&seat.order, "refund", &json!({"reason": "the others as well"})).await.expect(200);
        assert!(["refund_due", "refunded"].contains(&&*rest.at("/state")), "{}", rest.text);
        assert_eq!(rest.at("/reason"), "the others as well");
        app.until_state(&ada, &seat.order, "refunded").await;
        for body in [json!({"reason": "again"}), json!({"amount_fen": 4000, "reason": "again"})] {
            assert_eq!(app.operate(&seat.order, "refund", &body).await.expect(200).at("/refunded_fen"), "4950");
        }
        app.operate(&seat.order, "refund", &json!({"amount_fen": 1, "reason": "one more"})).await.refused(409, "not_refundable");
        assert_eq!(sent_back(app).await, [950, 4000]);
        assert_eq!(app.stock(&campaign).await, (18, 0, 1));
        assert_eq!(app.report(&campaign).await["stock"][0]["returned"], 1);
        assert_eq!(app.room(&seat.room).await["state"], "formed");
        let list = app.get("/operator/v1/refunds").admin().await.expect(200).json;
        assert_eq!(list["items"][1]["reason"], "one box broken");
        let actions: Vec<String> = noted(app, &seat.order).await.into_iter().map(|(action, ..)| action).collect();
        assert_eq!(actions, ["order.refund", "order.fulfil", "order.refund"]);
        app.audited(&campaign).await;
    }

    async fn what_was_not_paid_or_is_not_certain_is_not_refunded_in_part(app: &mut TestApp) {
        let campaign = pair_shop(app).await;
        let (ada, seat) = app.opened(&campaign).await;
        app.operate(&seat.order, "refund", &json!({"reason": "nothing came in"})).await.refused(409, "not_refundable");
        app.pay(&ada, &seat.order).await.expect(200);
        app.operate(&seat.order, "refund", &json!({"amount_fen": 5, "reason": "a part"})).await.refused(409, "not_refundable");
        app.operate(&seat.order, "refund", &json!({"amount_fen": 4950, "reason": "all of it"})).await.expect(200);
        app.until_state(&ada, &seat.order, "refunded").await;
        assert_eq!(app.room(&seat.room).await["state"], "failed", "nobody is left in it");
        for (field, wrong) in [
            ("amount_fen", json!(0)), ("amount_fen", json!(-1)), ("amount_fen", json!(1.5)), ("amount_fen", json!(10_000_000_001_i64)),
            ("reason", json!("")), ("reason", json!("  ")), ("reason", json!("x".repeat(201))), ("reason", json!("a\nb")),
            ("reason", Value::Null), ("colour", json!("red")),
        ] {
            let mut body = json!({"amount_fen": 1, "reason": "r"});
            body[field] = wrong;
            assert_eq!(app.operate(&seat.order, "refund", &body).await.refused(422, "invalid_request").fields(), [field]);
        }
        app.operate("ord_00000000aaaaaaaaaaaaaa", "refund", &json!({"reason": "r"})).await.refused(404, "not_found");
        app.audited(&campaign).await;
    }

    async fn a_paid_seat_that_is_called_off_is_free_and_the_room_goes_on(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(3, 9, &json!({"rooms_opened_per_user": 5}))).await;
        let (ada, seat) = app.opened_and_paid(&campaign).await;
        let (bob, held) = app.joined(&seat.room).await;
        let (carl, paid) = app.joined_and_paid(&seat.room).await;
        let gone = app.operate(&seat.order, "cancel", &json!({"reason": "fraud"})).await.expect(200);
        assert_eq!(gone.at("/reason"), "fraud");
        app.until_state(&ada, &seat.order, "refunded").await;
        let room = app.room(&seat.room).await;
        assert_eq!((&room["state"], &room["seats_taken"], &room["seats_paid"]), (&json!("open"), &json!(2), &json!(1)));
        let leads = app.get(&format!("/v1/rooms/{}", seat.room)).session(&carl.session).await.expect(200).json;
        assert_eq!(leads["you"]["leader"], true, "who paid leads");
        assert_eq!(app.stock(&campaign).await, (7, 1, 1));
        // The shopper has the allowance back, and the seat is for anybody.
        app.join(&ada, &seat.room).await.expect(201);
        app.pay(&bob, &held.order).await.expect(200);
        assert_eq!(app.state_of(&carl, &paid.order).await, "paid");
        let again = app.operate(&seat.order, "cancel", &json!({"reason": "other words"})).await.expect(200);
        assert_eq!((again.at("/state"), again.at("/reason")), ("refunded".into(), "fraud".into()));
        assert_eq!(sent_back(app).await, [4950]);
        app.audited(&campaign).await;
    }

    async fn a_formed_room_stays_formed_when_an_order_of_it_is_called_off(app: &mut TestApp) {
        let campaign = pair_shop(app).await;
        let [(ada, seat), (bob, other)] = app.formed(&campaign).await;
        let before = app.room(&seat.room).await;
        app.operate(&seat.order, "cancel", &json!({"reason": "out of stock"})).await.expect(200);
        app.until_state(&ada, &seat.order, "refunded").await;
        assert_eq!(app.room(&seat.room).await, before);
        assert_eq!((app.state_of(&bob, &other.order).await.as_str(), app.stock(&campaign).await), ("confirmed", (19, 0, 1)));
        app.audited(&campaign).await;
    }

    async fn an_unpaid_order_that_is_called_off_is_released_for_good(app: &mut TestApp) {
        let campaign = pair_shop(app).await;
        let (ada, seat) = app.opened(&campaign).await;
        let gone = app.operate(&seat.order, "cancel", &json!({"reason": "a test order"})).await.expect(200);
        assert_eq!((gone.at("/state"), gone.at("/reason")), ("released".into(), "a test order".into()));
        app.ask_payment(&ada, &seat.order).await.refused(409, "order_not_payable");

        // The provider is asked to close what was asked for.
        let (bob, asked) = app.opened(&campaign).await;
        app.ask_payment(&bob, &asked.order).await.expect(200);
        assert_eq!(app.operate(&asked.order, "cancel", &json!({"reason": "no"})).await.expect(200).at("/state"), "released");
        app.pay(&bob, &asked.order).await.refused(409, "order_not_payable");

        // Paid meanwhile: the money goes back, though room and units would have been there.
        let (carl, late) = app.opened(&campaign).await;
        app.pay(&carl, &late.order).json(json!({"notify": "never"})).await.expect(200);
        app.operate(&late.order, "cancel", &json!({"reason": "no"})).await.expect(200);
        app.until_state(&carl, &late.order, "refunded").await;
        assert_eq!(sent_back(app).await, [4950]);

        // Given up by its shopper first: an operator's word still keeps a late payment out.
        let (dora, own) = app.opened(&campaign).await;
        app.ask_payment(&dora, &own.order).await.expect(200);
        app.cancel(&dora, &own.order).await.expect(200);
        assert_eq!(app.operate(&own.order, "cancel", &json!({"reason": "and for good"})).await.expect(200).at("/reason"), "and for good");
        assert_eq!(app.stock(&campaign).await, (20, 0, 0));
        assert_eq!(app.operate(&own.order, "cancel", &json!({})).await.expect(200).at("/reason"), "and for good", "the first words stand");

        // Nobody needs to say why; what is said must be words.
        let (_, silent) = app.opened(&campaign).await;
        for (wrong, body) in [json!(" "), json!("a\nb"), json!(7)].into_iter().map(|reason| (reason.clone(), json!({"reason": reason}))) {
            let refused = app.operate(&silent.order, "cancel", &body).await.refused(422, "invalid_request");
            assert_eq!(refused.fields(), ["reason"], "{wrong}");
        }
        let path = format!("/operator/v1/orders/{}/cancel", silent.order);
        let gone = app.post(&path).admin().await.expect(200);
        assert_eq!((gone.at("/state"), gone.at("/reason")), ("released".into(), "called_off".into()));
        assert_eq!(app.post(&path).admin().await.expect(200).json, gone.json);
        app.audited(&campaign).await;
    }

    async fn a_payment_that_lingers_does_not_bring_a_called_off_order_back(app: &mut TestApp) {
        let campaign = pair_shop(app).await;
        let (ada, seat) = app.opened(&campaign).await;
        app.spoil(&json!({"close": "delay", "times": 1000})).await;
        app.spoil(&json!({"query": "delay", "times": 1000})).await;
        app.pay(&ada, &seat.order).json(json!({"notify": "late", "delay_seconds": 900})).await.expect(200);
        let waits = app.operate(&seat.order, "cancel", &json!({"reason": "no"})).await.expect(200);
        assert_eq!((waits.at("/state"), app.stock(&campaign).await), ("awaiting_payment".into(), (19, 1, 0)));
        app.advance(601).await;
        let given_up = app.until_state(&ada, &seat.order, "released").await;
        assert_eq!(given_up["reason"], "no", "nobody answered, but the operator's word stands");
        app.spoil(&json!({"close": "delay", "times": 0})).await;
        app.advance(300).await;
        app.until_state(&ada, &seat.order, "refunded").await;
        assert_eq!((sent_back(app).await, app.stock(&campaign).await), (vec![4950], (20, 0, 0)));
        app.audited(&campaign).await;
    }

    async fn operators_write_on_orders_what_shoppers_do_not_see(app: &mut TestApp) {
        let campaign = pair_shop(app).await;
        let (ada, seat) = app.opened(&campaign).await;
        let path = format!("/operator/v1/orders/{}", seat.order);
        let write = |metadata: Value| app.patch(&path).admin().json(json!({"metadata": metadata}));
        assert_eq!(app.get(&path).admin().await.expect(200).json["metadata"], json!({}));
        write(json!({"parcel": "SF1", "notes": {"a": 1, "b": 2.5}})).await.expect(200);
        let merged = write(json!({"notes": {"a": null}, "gift": true})).await.expect(200).json;
        assert_eq!(merged["metadata"], json!({"parcel": "SF1", "notes": {"b": 2.5}, "gift": true}));
        assert_eq!(write(json!({})).await.expect(200).json, merged, "nothing changes nothing");
        // It stays when the order changes.
        app.pay(&ada, &seat.order).await.expect(200);
        let list = app.get(&format!("/operator/v1/campaigns/{campaign}/orders")).admin().await.expect(200).json;
        assert_eq!((&list["items"][0]["metadata"], &list["items"][0]["state"]), (&merged["metadata"], &json!("paid")));
        assert!(app.order(&ada, &seat.order).await.get("metadata").is_none());
        let long = json!({"long": "x".repeat(16 * 1024)});
        assert_eq!(write(long).await.refused(422, "invalid_request").fields(), ["metadata"]);
        assert_eq!(write(json!("text")).await.refused(422, "invalid_request").fields(), ["metadata"]);
        app.patch("/operator/v1/orders/ord_00000000aaaaaaaaaaaaaa").admin().json(json!({"metadata": {}})).await.refused(404, "not_found");
        let noted = noted(app, &seat.order).await;
        assert_eq!((noted.len(), &noted[1].1["metadata"]["notes"]["a"]), (2, &json!(1)));
    }

    async fn an_order_tells_the_link_its_shopper_came_by(app: &mut TestApp) {
        let (campaign, other) = (pair_shop(app).await, pair_shop(app).await);
        let ada = app.shopper("Ada").await;
        let share = async |campaign: &str| {
            app.post("/v1/shares").by(&ada).json(json!({"campaign_id": campaign})).await.expect(201).at("/token")
        };
        let (link, foreign) = (share(&campaign).await, share(&other).await);
        let seat = app.open(&ada, &campaign).header("X-Share-Token", &link).await.expect(201).seat();
        let mut came = vec![(seat.order, json!(link))];
        for token in [foreign.as_str(), "nonsense", &"A".repeat(32)] {
            let bob = app.shopper("Bob").await;
            let seat = app.open(&bob, &campaign).header("X-Share-Token", token).await.expect(201).seat();
            came.push((seat.order, Value::Null));
        }
        let bob = app.shopper("Bob").await;
        let joined = app.join(&bob, &seat.room).header("X-Share-Token", &link).await.expect(201).seat();
        came.push((joined.order, json!(link)));
        let list = app.get(&format!("/operator/v1/campaigns/{campaign}/orders")).admin().await.expect(200).json;
        for (order, token) in &came {
            let found = list["items"].as_array().unwrap().iter().find(|item| item["id"] == **order).unwrap();
            assert_eq!(found["share_token"], *token, "{order}");
        }
    }
}
