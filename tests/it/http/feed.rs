//! The feed of events: stable order, nothing missed, nothing before a place already told.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use liebian::store::fetch_all;
use serde_json::{Value, json};

use crate::support::{Answer, TestApp, served, with};

async fn events(app: &TestApp, query: &str) -> Answer {
    app.get(&format!("/operator/v1/events?{query}")).admin().await.expect(200)
}

fn items(answer: &Answer) -> Vec<Value> {
    answer.json["items"].as_array().unwrap().clone()
}

fn names(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["event"].as_str().unwrap()).collect()
}

/// Everything that follows a place, page by page.
async fn all(app: &TestApp, mut after: String, limit: usize) -> (Vec<Value>, String) {
    let mut found = Vec::new();
    loop {
        let from = if after.is_empty() { String::new() } else { format!("after={after}&") };
        let page = events(app, &format!("{from}limit={limit}")).await;
        after = page.at("/next_cursor");
        if items(&page).is_empty() {
            return (found, after);
        }
        found.extend(items(&page));
    }
}

served! {
    async fn what_happens_is_told_in_order_with_the_ids_of_the_api(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(2, 10, &json!({}))).await;
        let (ada, seat) = app.opened_and_paid(&campaign).await;
        app.joined_and_paid(&seat.room).await;
        let told = items(&events(app, "").await);
        assert_eq!(names(&told), ["campaign.published", "group_buy.room_opened", "order.held", "order.payment_asked", "order.paid", "order.held",
            "order.payment_asked", "order.paid", "group_buy.room_formed", "order.confirmed", "order.confirmed"]);
        let paid = &told[4];
        assert_eq!(paid["campaign_id"], campaign);
        assert_eq!(paid["definition_version"], 1);
        let data = &paid["data"];
        assert_eq!((&data["order_id"], &data["user_id"], &data["room_id"]), (&json!(seat.order), &json!(ada.user_id), &json!(seat.room)));
        assert_eq!((&data["sku"], &data["quantity"], &data["amount_fen"]), (&json!("tea"), &json!(1), &json!(4950)));
        let seqs: Vec<i64> = told.iter().map(|event| event["seq"].as_i64().unwrap()).collect();
        assert!(seqs.is_sorted(), "{seqs:?}");
        app.step(&campaign, "pause").await.expect(200);
        let rest = items(&events(app, &format!("after={}", told.last().unwrap()["id"].as_str().unwrap())).await);
        assert_eq!((names(&rest), &rest[0]["data"]), (vec!["campaign.status"], &json!({"status": "paused", "paused_by": "operator"})),
            "who did it is not told here");
    }

    async fn any_page_size_tells_the_same_and_a_place_is_good_for_ever(app: &mut TestApp) {
        let (one, two) = (app.publish(&json!({})).await, app.publish(&json!({})).await);
        let (_, seat) = app.opened(&one).await;
        app.opened(&two).await;
        let (before, end) = all(app, String::new(), 200).await;
        app.joined(&seat.room).await;
        app.opened(&two).await;
        app.joined(&seat.room).await;
        let (after, _) = all(app, end, 200).await;
        let whole: Vec<Value> = before.iter().chain(&after).cloned().collect();
        for limit in [1, 2, 3, 7] {
            assert_eq!(all(app, String::new(), limit).await.0, whole, "pages of {limit}");
        }
        app.restart().await;
        for (place, event) in whole.iter().enumerate() {
            let rest = all(app, event["id"].as_str().unwrap().to_owned(), 200).await.0;
            assert_eq!(rest, whole[place + 1..], "after {}", event["id"]);
        }
        for campaign in [&one, &two] {
            let own: Vec<&Value> = whole.iter().filter(|event| event["campaign_id"] == **campaign).collect();
            let told = items(&events(app, &format!("campaign_id={campaign}")).await);
            assert_eq!(told.iter().collect::<Vec<_>>(), own);
        }
        assert_eq!(items(&events(app, "campaign_id=cmp_00000000").await), Vec::<Value>::new());
    }

    async fn a_reader_who_follows_many_campaigns_misses_nothing_and_hears_nothing_twice(app: &mut TestApp) {
        let mut campaigns = Vec::new();
        for _ in 0..4 {
            campaigns.push(app.publish_whole(&with(3, 1000, &json!({"rooms_opened_per_user": 50, "orders_per_user": 50, "unpaid_per_user": 50}))).await);
        }
        let shoppers = app.shoppers(4).await;
        let (mut heard, mut after) = all(app, String::new(), 200).await;
        let acting = async {
            for _ in 0..12 {
                futures_util::future::join_all(shoppers.iter().flat_map(|shopper| {
                    campaigns.iter().map(|campaign| async { app.open(shopper, campaign).await.expect(201) })
                })).await;
            }
        };
        let mut acting = std::pin::pin!(acting);
        let mut acted = false;
        // Each reader goes on where the one before ended, while everything goes on.
        loop {
            let query = format!("after={after}&limit=7");
            // Two others lay out the feed at the same moment.
            let three = async { tokio::join!(events(app, &query), events(app, "limit=1"), events(app, "limit=1")).0 };
            let mut reading = std::pin::pin!(three);
            let page = tokio::select! {
                page = &mut reading => page,
                () = &mut acting, if !acted => {
                    acted = true;
                    reading.await
                }
            };
            after = page.at("/next_cursor");
            heard.extend(items(&page));
            if acted && items(&page).is_empty() {
                break;
            }
        }
        app.wait_until_projected().await;
        heard.extend(all(app, after, 200).await.0);
        let mut told: BTreeMap<&str, Vec<(i64, &str)>> = BTreeMap::new();
        for event in &heard {
            told.entry(event["campaign_id"].as_str().unwrap()).or_default().push((event["seq"].as_i64().unwrap(), event["event"].as_str().unwrap()));
        }
        for campaign in &campaigns {
            let told = &told[campaign.as_str()];
            assert!(told.is_sorted_by_key(|(seq, _)| *seq), "{campaign}: its own order");
            assert_eq!(told.iter().filter(|(_, name)| *name == "order.held").count(), 48, "{campaign}: each once");
            assert_eq!(told.len(), 1 + 2 * 48);
        }
        let spans = fetch_all!(app.store(), (i64,), "SELECT position FROM feed_spans ORDER BY position").unwrap();
        assert!(spans.iter().map(|(position,)| *position).eq(1..=i64::try_from(spans.len()).unwrap()), "no gap, none twice");
        assert!(spans.len() > 4, "the reader was never alone");
    }

    async fn a_reader_waits_for_the_next_event_and_not_longer(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (_, end) = all(app, String::new(), 200).await;
        let since = Instant::now();
        let none = events(app, &format!("after={end}&wait_seconds=1")).await;
        assert!(items(&none).is_empty() && since.elapsed() >= Duration::from_secs(1));
        assert_eq!(none.at("/next_cursor"), end);
        let query = format!("after={end}&wait_seconds=25");
        let (told, _) = tokio::join!(events(app, &query), app.opened(&campaign));
        assert!(!items(&told).is_empty() && since.elapsed() < Duration::from_secs(20));
        let (_, end) = all(app, end, 200).await;
        let (addressed, other) = (format!("after={end}&wait_seconds=25&campaign_id={campaign}"), app.publish(&json!({})).await);
        let (told, ()) = tokio::join!(events(app, &addressed), async {
            app.opened(&other).await;
            app.opened(&campaign).await;
        });
        assert!(items(&told).iter().all(|event| event["campaign_id"] == *campaign) && !items(&told).is_empty());
    }

    async fn a_place_that_is_none_of_ours_is_refused(app: &mut TestApp) {
        let get = |query: &str| app.get(&format!("/operator/v1/events?{query}")).admin();
        for after in ["", "x", "1.2", "9.0.0", "1.0.0.0", "-1.0.0"] {
            get(&format!("after={after}")).await.refused(400, "malformed_request");
        }
        for (query, field) in [("wait_seconds=26", "wait_seconds"), ("limit=0", "limit"), ("limit=201", "limit"), ("campaign_id=x", "campaign_id")] {
            assert_eq!(get(query).await.refused(422, "invalid_request").fields(), [field]);
        }
    }
}
