//! The operator's desk: lists that are exported, and the numbers of a campaign.

use std::collections::BTreeSet;

use liebian::store::{execute, fetch_one};
use serde_json::{Value, json};

use crate::support::{Answer, TestApp, served, with};

async fn csv(app: &TestApp, path: &str) -> Answer {
    app.get(path).admin().header("Accept", "text/csv").await
}

/// Rows of cells, as RFC 4180 has them.
fn cells(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => cell.extend(letters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted => {
                assert_eq!(letters.next(), Some('\n'), "a row ends with CRLF");
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            _ => cell.push(letter),
        }
    }
    assert!(row.is_empty() && cell.is_empty() && !quoted, "the last row is whole");
    rows
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => other.to_string(),
    }
}

served! {
    async fn a_list_is_exported_whole_with_the_fields_that_its_pages_have(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(3, 50, &json!({}))).await;
        let (ada, seat) = app.opened_and_paid(&campaign).await;
        app.joined(&seat.room).await;
        app.opened(&campaign).await;
        let share = json!({"campaign_id": campaign, "target_id": seat.room, "channel": "=HYPERLINK(\"x\",1)"});
        app.post("/v1/shares").by(&ada).json(share).await.expect(201);
        for (list, rows) in [("orders", 3), ("rooms", 2), ("shares", 1)] {
            let path = format!("/operator/v1/campaigns/{campaign}/{list}");
            let answer = csv(app, &format!("{path}?limit=1")).await.expect(200);
            assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8"));
            assert!(answer.header("content-disposition").unwrap().contains(&format!("{list}.csv")));
            let told = cells(&answer.text);
            let items = app.get(&path).admin().await.expect(200).json["items"].as_array().unwrap().clone();
            assert_eq!((told.len(), items.len()), (rows + 1, rows), "{list}: all rows, whatever the limit");
            let names: BTreeSet<&str> = items.iter().flat_map(|item| item.as_object().unwrap().keys()).map(String::as_str).collect();
            assert_eq!(told[0].iter().map(String::as_str).collect::<BTreeSet<_>>(), names, "{list}");
            for (row, item) in told[1..].iter().zip(&items) {
                for (name, cell) in told[0].iter().zip(row) {
                    let expected = plain(&item[name]);
                    assert_eq!(*cell, if name == "channel" { format!("'{expected}") } else { expected }, "{list} {name}");
                }
            }
        }
        let path = format!("/operator/v1/campaigns/{campaign}/orders");
        assert_eq!(cells(&csv(app, &format!("{path}?state=paid")).await.expect(200).text).len(), 2, "filters hold");
        let none = csv(app, &format!("{path}?sku=coffee")).await.expect(200);
        assert_eq!((cells(&none.text).len(), none.text.starts_with("id,")), (1, true), "no mark stands before the header");
        csv(app, &format!("{path}?state=lost")).await.refused(422, "invalid_request");
        csv(app, "/operator/v1/campaigns/cmp_00000000/orders").await.refused(404, "not_found");
    }

    async fn every_filter_of_a_list_leaves_what_it_says(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(3, 50, &json!({}))).await;
        let other = app.publish(&json!({})).await;
        let (ada, seat) = app.opened_and_paid(&campaign).await;
        let (bob, second) = app.joined(&seat.room).await;
        let elsewhere = app.open(&bob, &other).await.expect(201).seat();
        let share = |target: &str| json!({"campaign_id": campaign, "target_id": target});
        let standing = app.post("/v1/shares").by(&ada).json(share(&seat.room)).await.expect(201).at("/token");
        let gone = app.post("/v1/shares").by(&bob).json(share(&seat.room)).await.expect(201).at("/token");
        app.delete(&format!("/v1/shares/{gone}")).by(&bob).await.expect(204);
        app.advance(1).await;
        let (eve, third) = app.joined(&seat.room).await;
        app.post(&format!("/v1/orders/{}/cancel", third.order)).by(&eve).await.expect(200);
        app.wait_until_projected().await;
        for (list, query, expected) in [
            ("orders", format!("room_id={}&state=released", seat.room), vec![&third.order]),
            ("orders", format!("room_id={}&state=awaiting_payment", seat.room), vec![&second.order]),
            ("orders", format!("user_id={}", bob.user_id), vec![&second.order]),
            ("orders", format!("room_id={}", elsewhere.room), vec![]),
            ("orders", format!("room_id={}&state=paid", seat.room), vec![&seat.order]),
            ("orders", format!("user_id={}&state=paid", bob.user_id), vec![]),
            ("orders", "state=awaiting_payment".to_owned(), vec![&second.order]),
            ("orders", "state=paid".to_owned(), vec![&seat.order]),
            ("rooms", format!("user_id={}", bob.user_id), vec![&seat.room]),
            ("rooms", "state=formed".to_owned(), vec![]),
            ("rooms", "sku=tea".to_owned(), vec![&seat.room]),
            ("shares", "state=standing".to_owned(), vec![&standing]),
            ("shares", "state=revoked".to_owned(), vec![&gone]),
            ("shares", format!("user_id={}", ada.user_id), vec![&standing]),
            ("shares", format!("room_id={}&state=revoked", seat.room), vec![&gone]),
        ] {
            let items = app.get(&format!("/operator/v1/campaigns/{campaign}/{list}?{query}")).admin().await.expect(200).json["items"].clone();
            let name = if list == "shares" { "token" } else { "id" };
            let found: Vec<&str> = items.as_array().unwrap().iter().map(|item| item[name].as_str().unwrap()).collect();
            assert_eq!(found, expected, "{list}?{query}");
            for item in items.as_array().unwrap() {
                assert!(["user_id", "created_at", "updated_at"].iter().all(|member| item[member].is_string()), "{item}");
            }
        }
    }

    async fn operators_see_of_a_room_what_shoppers_see(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(3, 50, &json!({}))).await;
        let (_, formed) = app.opened_and_paid(&campaign).await;
        for _ in 0..2 {
            app.joined_and_paid(&formed.room).await;
        }
        let (_, failed) = app.opened_and_paid(&campaign).await;
        app.joined_and_paid(&failed.room).await;
        app.advance(86_400).await;
        let (_, open) = app.opened_and_paid(&campaign).await;
        app.joined(&open.room).await;
        let (leader, left) = app.opened(&campaign).await;
        app.joined(&left.room).await;
        app.post(&format!("/v1/orders/{}/cancel", left.order)).by(&leader).await.expect(200);
        app.wait_until_projected().await;
        let items = app.get(&format!("/operator/v1/campaigns/{campaign}/rooms")).admin().await.expect(200).json["items"].clone();
        let mut seen = Vec::new();
        for item in items.as_array().unwrap() {
            let room = app.get(&format!("/v1/rooms/{}", item["id"].as_str().unwrap())).await.expect(200).json;
            for member in ["state", "members", "leader", "seats_taken", "seats_paid", "seats_left", "units_kept", "price_fen", "final_price_fen"] {
                assert_eq!(item[member], room[member], "{member} of {item}");
            }
            let paid: Vec<bool> = room["members"].as_array().unwrap().iter().map(|member| member["paid"] == true).collect();
            seen.push((room["state"].as_str().unwrap().to_owned(), paid));
        }
        let expected = [("open", vec![false]), ("open", vec![true, false]), ("failed", vec![true; 2]), ("formed", vec![true; 3])];
        assert_eq!(seen, expected.map(|(state, paid)| (state.to_owned(), paid)));
        // SQL alone says it, so the audit looks there.
        let (truth,) = fetch_one!(app.store(), (String,), "SELECT members FROM rooms WHERE state = 'formed'").unwrap();
        let lie = truth.replacen("true", "false", 1);
        for (members, wrong) in [(lie, vec!["sql_rooms_equal_log"]), (truth, vec![])] {
            execute!(app.store(), "UPDATE rooms SET members = $1 WHERE state = 'formed'", members).unwrap();
            assert_eq!(app.audit_finds(&campaign).await, wrong);
        }
    }

    async fn the_report_counts_what_happened(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(2, 20, &json!({"rooms_opened_per_user": 5, "orders_per_user": 5}))).await;
        let before = app.publish(&json!({})).await;
        let (ada, earlier) = app.opened_and_paid(&before).await;
        app.advance(10).await;
        let seat = app.open(&ada, &campaign).await.expect(201).seat();
        app.pay(&ada, &seat.order).await.expect(200);
        app.advance(50).await;
        app.joined_and_paid(&seat.room).await;
        let (carl, failing) = app.opened_and_paid(&campaign).await;
        app.opened(&campaign).await;
        let link = app.post("/v1/shares").by(&ada).json(json!({"campaign_id": campaign})).await.expect(201);
        for _ in 0..4 {
            app.get(&format!("/v1/shares/{}", link.at("/token"))).await.expect(200);
        }
        let report = app.report(&campaign).await;
        assert_eq!(report["rooms"], json!({"formed": 1, "open": 2}), "{report}");
        assert_eq!(report["orders"], json!({"confirmed": 2, "paid": 1, "awaiting_payment": 1}));
        assert_eq!((&report["shoppers"], &report["buyers"], &report["newcomers"]), (&json!(4), &json!(3), &json!(2)), "Ada has bought before");
        assert_eq!((&report["paid_fen"], &report["kept_fen"], &report["units_sold"]), (&json!(14_850), &json!(14_850), &json!(3)));
        assert_eq!(report["discount_fen"], 3 * 4950);
        let seconds = report["average_fill_seconds"].as_i64().unwrap();
        assert!((50..60).contains(&seconds), "{seconds}");
        assert_eq!((&report["funnel"]["shares"], &report["funnel"]["sharers"], &report["funnel"]["orders"], &report["funnel"]["paid_orders"]),
            (&json!(1), &json!(1), &json!(4), &json!(3)));
        app.advance(90_000).await;
        app.until_state(&carl, &failing.order, "refunded").await;
        // Visits are written now and then, and at the end.
        app.stop().await;
        app.restart().await;
        let report = app.report(&campaign).await;
        assert_eq!((&report["refunded_fen"], &report["kept_fen"], &report["discount_fen"]), (&json!(4950), &json!(9900), &json!(9900)));
        assert_eq!((&report["funnel"]["visits"], &report["funnel"]["conversion_basis_points"]), (&json!(4), &json!(7500)));
        drop(earlier);
        let empty = app.publish(&json!({})).await;
        let report = app.report(&empty).await;
        assert_eq!((&report["average_fill_seconds"], &report["funnel"]["conversion_basis_points"], &report["discount_fen"]),
            (&Value::Null, &Value::Null, &json!(0)));
    }
}
