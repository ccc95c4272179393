//! Whom somebody has invited, of both levels and in several campaigns, page by page.

use serde_json::{Value, json};

use crate::support::{Shopper, TestApp, one_level, programme, served, time_of};

async fn page(app: &TestApp, shopper: &Shopper, query: &str) -> Value {
    app.get(&format!("/v1/me/invitees?{query}")).session(&shopper.session).await.expect(200).json
}

/// Level, campaign, earned, newest first; pages of `limit`.
async fn all(app: &TestApp, shopper: &Shopper, limit: usize, filter: &str) -> Vec<(i64, Value, i64, Value)> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = page(app, shopper, &format!("limit={limit}{filter}{cursor}")).await;
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= limit);
        let row = |one: &Value| {
            (one["level"].as_i64().unwrap(), one["campaign_id"].clone(), one["earned_fen"].as_i64().unwrap(), one["bound_at"].clone())
        };
        rows.extend(items.iter().map(row));
        let Some(next) = page["next_cursor"].as_str() else { return rows };
        cursor = format!("&cursor={next}");
    }
}

served! {
    async fn invitees_of_both_levels_are_listed_page_by_page(app: &mut TestApp) {
        let bond = json!({"newcomers_only": false, "expires_after_seconds": 1000});
        let (two, one) = (app.publish_whole(&programme(&json!({"bond": bond}))).await, app.publish_whole(&one_level(&json!({"bond": bond}))).await);
        // An item's own rates have a second level, the general ones have not.
        let own = json!({"bond": bond, "sku_overrides": [{"sku": "tea", "levels": [{"basis_points": 500}, {"basis_points": 200}]}]});
        let by_item = app.publish_whole(&one_level(&own)).await;
        let ada = app.shopper("Ada").await;
        app.invited(&two, &ada, "Gone").await;
        app.advance(1_001).await;
        let mut expected = Vec::new();
        for campaign in [&two, &one, &by_item] {
            for first in 0..2 {
                let bob = app.invited(campaign, &ada, "Bob").await;
                expected.push((1, json!(campaign), 0));
                for second in 0..3 {
                    let carl = app.invited(campaign, &bob, "Carl").await;
                    if campaign != &one {
                        let fen = if second == first { 10_000 } else { 0 };
                        let report = json!({"number": format!("{campaign}-{first}-{second}"), "user_id": carl.user_id, "amount_fen": fen,
                            "state": "paid", "sku": "tea"});
                        app.post("/operator/v1/outside_orders").admin().json(report).await.expect(201);
                        let rate = if campaign == &two { 300 } else { 200 };
                        expected.push((2, json!(campaign), fen * rate / 10_000));
                    }
                }
            }
        }
        expected.reverse();
        let plain = |rows: &[(i64, Value, i64, Value)]| rows.iter().map(|(level, campaign, fen, _)| (*level, campaign.clone(), *fen)).collect::<Vec<_>>();
        for limit in [1, 3, 7, 200] {
            let rows = all(app, &ada, limit, "").await;
            assert_eq!(plain(&rows), expected, "pages of {limit}");
            assert!(rows.is_sorted_by(|one, other| time_of(&one.3) >= time_of(&other.3)), "newest first");
            for campaign in [&two, &one, &by_item] {
                let of_one: Vec<_> = expected.iter().filter(|row| row.1 == **campaign).cloned().collect();
                assert_eq!(plain(&all(app, &ada, limit, &format!("&campaign_id={campaign}")).await), of_one, "pages of {limit} of {campaign}");
            }
        }
    }
}
