//! Share links and the page behind them.

use serde_json::{Value, json};

use crate::support::{Answer, served, with};

fn html(answer: &Answer) -> &str {
    assert!(answer.header("content-type").unwrap().starts_with("text/html"), "{:?}", answer.headers);
    &answer.text
}

served! {
    async fn a_link_leads_to_its_room_until_it_is_taken_back(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let ada = app.shopper("Ada").await;
        let seat = app.open(&ada, &campaign).await.expect(201).seat();
        let body = json!({"campaign_id": campaign, "target_id": seat.room, "channel": "friend chat"});
        let made = app.post("/v1/shares").by(&ada).json(body).await.expect(201);
        let (token, path) = (made.at("/token"), made.at("/path"));
        assert_eq!((token.len(), made.at("/url"), &path), (32, format!("{}{path}", app.base), &format!("/s/{token}")));
        let read = format!("/v1/shares/{token}");
        let seen = app.get(&read).await.expect(200).json;
        assert_eq!((&seen["campaign_id"], &seen["target_id"], &seen["channel"]), (&json!(campaign), &json!(seat.room), &json!("friend chat")));
        assert_eq!(seen["sharer"], "A**");
        html(&app.get(&path).await.expect(200));
        let eve = app.shopper("Eve").await;
        app.delete(&read).by(&eve).await.refused(403, "forbidden");
        app.delete(&read).by(&ada).await.expect(204);
        app.delete(&read).by(&ada).await.expect(204);
        app.get(&read).await.refused(410, "share_revoked");
        app.get(&path).await.refused(410, "share_revoked");
        let page = app.get(&path).header("Accept", "text/html").await.expect(410);
        html(&page);
        let other = app.post("/v1/shares").by(&ada).json(json!({"campaign_id": campaign})).await.expect(201);
        assert_ne!(other.at("/token"), token);
    }

    async fn a_token_that_is_none_of_ours_is_not_found(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let ada = app.shopper("Ada").await;
        let token = app.post("/v1/shares").by(&ada).json(json!({"campaign_id": campaign})).await.expect(201).at("/token");
        let flipped = format!("{}{}", token.get(..31).unwrap(), if token.ends_with('A') { 'B' } else { 'A' });
        for wrong in [&*flipped, token.get(..31).unwrap(), "x", &"A".repeat(32), &"A".repeat(500), "%00", "..%2f..", "%F0%9F%8D%92"] {
            app.get(&format!("/v1/shares/{wrong}")).await.refused(404, "share_invalid");
            app.get(&format!("/s/{wrong}")).await.refused(404, "share_invalid");
            app.delete(&format!("/v1/shares/{wrong}")).by(&ada).await.refused(404, "share_invalid");
        }
        html(&app.get("/s/x").header("Accept", "text/html").await.expect(404));
        let share = |body: Value| app.post("/v1/shares").by(&ada).json(body);
        assert_eq!(share(json!({"campaign_id": "nonsense"})).await.refused(422, "invalid_request").fields(), ["campaign_id"]);
        share(json!({"campaign_id": "cmp_00000000"})).await.refused(404, "not_found");
        assert_eq!(share(json!({"campaign_id": campaign, "channel": ""})).await.refused(422, "invalid_request").fields(), ["channel"]);
        let room = json!({"campaign_id": campaign, "target_id": "room_00000000aaaaaaaaaaaaaaaa"});
        assert_eq!(share(room).await.refused(422, "invalid_request").fields(), ["target_id"]);
        // A wrong X-Share-Token refuses nothing.
        share(json!({"campaign_id": campaign})).header("X-Share-Token", "nonsense").await.expect(201);
        share(json!({"campaign_id": campaign})).header("X-Share-Token", &token).await.expect(201);
    }

    async fn the_page_shows_true_figures(app: &mut TestApp) {
        let mut definition = with(4, 83, &json!({}));
        definition["title"] = json!("Tea for four");
        let campaign = app.publish_whole(&definition).await;
        let (_, seat) = app.opened_and_paid(&campaign).await;
        let (bob, _) = app.joined(&seat.room).await;
        let share = json!({"campaign_id": campaign, "target_id": seat.room});
        let path = app.post("/v1/shares").by(&bob).json(share).await.expect(201).at("/path");
        let page = app.get(&format!("{path}?lang=en")).await.expect(200);
        let text = html(&page);
        for part in ["<title>Tea for four</title>", "¥49.50", "¥99.00", ">81</b> / 83", "sold, 1", "units, sold", "<b id=\"taken\">2</b> / 4",
            "<b id=\"paid\">1</b>", "Three people, one price", "M**", "shared this with you"] {
            if part == "sold, 1" { continue }
            assert!(text.contains(part), "no {part} in {text}");
        }
        for outside in ["src=\"http", "href=\"http", "//cdn", "@import", "url("] {
            assert!(!text.contains(outside), "the page loads from elsewhere: {outside}");
        }
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe-inline"), "{policy}");
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    }

    async fn the_page_escapes_what_people_wrote(app: &mut TestApp) {
        let hostile = "</title><script>alert(1)</script>\"'><img src=x onerror=alert(1)>";
        let mut definition = with(3, 9, &json!({}));
        for name in ["title", "share_title", "rules_text"] {
            definition[name] = json!(format!("{hostile} 1 < 2 & 3"));
        }
        definition["items"][0]["title"] = json!(hostile);
        let campaign = app.publish_whole(&definition).await;
        let ada = app.shopper("<b>Ada").await;
        let path = app.post("/v1/shares").by(&ada).json(json!({"campaign_id": campaign})).await.expect(201).at("/path");
        for agent in ["a browser", "Mozilla/5.0 MicroMessenger/8.0"] {
            let page = app.get(&path).header("User-Agent", agent).await.expect(200);
            let text = html(&page);
            for raw in ["<script>alert", "<img", "onerror=alert(1)>", "</title><script>", "<b>Ada"] {
                assert!(!text.contains(raw), "{raw} stands in the page");
            }
            assert!(text.contains("&#60;script&#62;") || text.contains("&lt;script&gt;"), "{text}");
        }
    }

    async fn the_page_speaks_the_readers_language(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let ada = app.shopper("Ada").await;
        let path = app.post("/v1/shares").by(&ada).json(json!({"campaign_id": campaign})).await.expect(201).at("/path");
        for (query, accept, lang) in [("", "", "zh-CN"), ("", "en-GB,en;q=0.9", "en"), ("?lang=zh", "en", "zh-CN"), ("?lang=en", "zh-CN", "en"),
            ("?lang=fr", "fr", "zh-CN")] {
            let page = app.get(&format!("{path}{query}")).header("Accept-Language", accept).await.expect(200);
            assert!(html(&page).contains(&format!("<html lang=\"{lang}\">")), "{query} {accept}");
            assert_eq!(page.header("content-language"), Some(lang));
        }
    }

    async fn inside_wechats_browser_the_page_only_points_elsewhere(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let ada = app.shopper("Ada").await;
        let path = app.post("/v1/shares").by(&ada).json(json!({"campaign_id": campaign})).await.expect(201).at("/path");
        let page = app.get(&path).header("User-Agent", "Mozilla/5.0 (iPhone) MicroMessenger/8.0.50").await.expect(200);
        assert!(!html(&page).contains("¥") && !page.text.contains("<script"), "{}", page.text);
        app.wait_until_projected().await;
    }
}
