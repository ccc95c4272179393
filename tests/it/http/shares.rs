//! Share links and the page behind them.

use std::io::Read;

use serde_json::{Value, json};

use crate::support::{Answer, Shopper, served, with};

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

    async fn a_link_leads_to_a_chain_and_its_page_says_what_is_left(app: &mut TestApp) {
        let (campaign, owner, chain) = app.chain_of(&json!({"title": "面霜砍价"})).await;
        app.helped(&chain).await;
        let other = app.publish(&json!({})).await;
        let share = |campaign: &str| app.post("/v1/shares").by(&owner).json(json!({"campaign_id": campaign, "target_id": chain}));
        assert_eq!(share(&other).await.refused(422, "invalid_request").fields(), ["target_id"]);
        let made = share(&campaign).await.expect(201);
        let seen = app.get(&format!("/v1/shares/{}", made.at("/token"))).await.expect(200).json;
        assert_eq!((&seen["target_id"], &seen["target_kind"]), (&json!(chain), &json!("chain")));
        let page = app.get(&made.at("/path")).await.expect(200);
        for told in ["<h2 id=\"head\">还差 ¥120.00</h2>", "还需 3 刀，下一刀正好 ¥60.00", "<small>¥</small>219.00</b> 现价", "H**", "−¥80.00"] {
            assert!(html(&page).contains(told), "{told}\n{}", page.text);
        }
        assert!(page.text.contains(app.chain(&chain).await["commitment"].as_str().unwrap()));
        let before = page.header("etag").unwrap().to_owned();
        app.helped(&chain).await;
        let after = app.get(&made.at("/path")).header("Accept-Language", "en").await.expect(200);
        assert!(html(&after).contains("2 cuts left, the next is exactly ¥40.00"), "{}", after.text);
        assert_ne!(after.header("etag").unwrap(), before);
        let wechat = app.get(&made.at("/path")).header("User-Agent", "Mozilla/5.0 MicroMessenger/8.0").await.expect(200);
        assert!(html(&wechat).contains("面霜砍价") && !wechat.text.contains("¥"), "{}", wechat.text);
        let whole = app.post("/v1/shares").by(&owner).json(json!({"campaign_id": campaign})).await.expect(201).at("/path");
        assert!(html(&app.get(&whole).await.expect(200)).contains("4 刀砍到底价 ¥99.00"));
        let list = app.get(&format!("/operator/v1/campaigns/{campaign}/shares")).admin().await.expect(200).json;
        assert_eq!(list["items"][1]["target_id"], json!(chain));
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
        let room = json!({"campaign_id": campaign, "target_id": "room_00000000aaaaaaaaaaaaaa"});
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
        for part in ["<title>Tea for four</title>", "<small>¥</small>49.50</b> each, group of 4", "<s>¥99.00</s>", "81 of 83 left",
            "2 of 4 seats taken, 1 paid", "2 more to go", "Three people, one price", "<bdi>M**</bdi> shared this"] {
            assert!(text.contains(part), "no {part} in {text}");
        }
        let kinds = ["paid", "held", "free"].map(|kind| text.matches(&format!("<li class=\"{kind}\">")).count());
        assert_eq!(kinds, [1, 1, 2]);
        for outside in ["src=\"http", "//cdn", "@import", "url("] {
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
            for raw in ["<script>alert", "<img src=x", "onerror=alert(1)>", "</title><script>", "<b>Ada"] {
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

    async fn the_page_is_never_older_than_what_was_answered(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (ada, seat) = app.opened(&campaign).await;
        let path = app.post("/v1/shares").by(&ada).json(json!({"campaign_id": campaign, "target_id": seat.room})).await.expect(201).at("/path");
        let state = async |expected: &str| {
            let page = app.get(&path).await.expect(200);
            assert!(page.text.contains(&format!("data-state=\"{expected}\"")), "not {expected}: {}", page.text);
            page.text
        };
        assert!(state("open").await.contains("<li class=\"held\">"));
        app.pay(&ada, &seat.order).await.expect(200);
        assert!(state("open").await.contains("<li class=\"paid\">"));
        app.step(&campaign, "pause").await.expect(200);
        state("paused").await;
        app.step(&campaign, "resume").await.expect(200);
        app.joined_and_paid(&seat.room).await;
        app.joined(&seat.room).await;
        state("full").await;
        app.post(&format!("/operator/v1/campaigns/{campaign}/stock")).admin().json(json!({"sku": "tea", "add": 900})).await.expect(200);
        assert!(state("full").await.contains("997 份，共 1000 份"));
    }

    async fn a_link_can_show_another_room_of_its_campaign(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (ada, seat) = app.opened(&campaign).await;
        let (_, other) = app.opened(&campaign).await;
        let foreign = app.publish(&json!({})).await;
        let (_, elsewhere) = app.opened(&foreign).await;
        let path = app.post("/v1/shares").by(&ada).json(json!({"campaign_id": campaign, "target_id": seat.room})).await.expect(201).at("/path");
        let shown = async |query: &str| {
            let page = app.get(&format!("{path}{query}")).await.expect(200).text;
            page.split_once("data-room=\"").and_then(|(_, rest)| rest.split_once('"')).map(|(room, _)| room.to_owned()).unwrap()
        };
        assert_eq!(shown(&format!("?room={}", other.room)).await, other.room);
        for own in [String::new(), format!("?room={}", elsewhere.room), "?room=nonsense".into(), "?room=%00".into()] {
            assert_eq!(shown(&own).await, seat.room, "{own}");
        }
        let page = app.get(&path).await.expect(200).text;
        assert!(page.contains(&format!("href=\"?room={}\"", other.room)), "{page}");
    }

    async fn the_page_and_its_files_are_kept_and_compressed(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(2, 9, &json!({}))).await;
        let (ada, seat) = app.opened_and_paid(&campaign).await;
        app.joined_and_paid(&seat.room).await;
        let path = app.post("/v1/shares").by(&ada).json(json!({"campaign_id": campaign, "target_id": seat.room})).await.expect(201).at("/path");
        let page = app.get(&path).await.expect(200);
        assert_eq!(page.header("cache-control"), Some("private, no-cache"));
        assert_eq!(page.header("vary"), Some("Accept, Accept-Encoding, Accept-Language, User-Agent"));
        // Nothing of a room that has formed changes with time.
        let known = app.get(&path).header("If-None-Match", page.header("etag").unwrap()).await.expect(304);
        assert_eq!((known.text.as_str(), known.header("etag")), ("", page.header("etag")));
        app.get(&path).header("If-None-Match", "W/\"0\"").await.expect(200);
        let files: Vec<&str> = page.text.split("\"/assets/").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        assert_eq!(files.len(), 3, "{files:?}");
        for address in files.iter().map(|file| format!("/assets/{file}")).chain([path.clone()]) {
            let plain = app.get(&address).await.expect(200);
            assert_eq!(plain.header("content-encoding"), None);
            assert!(plain.header("vary").unwrap().contains("Accept-Encoding"), "{address}");
            assert_eq!(plain.header("x-content-type-options"), Some("nosniff"));
            if address != path {
                assert_eq!(plain.header("cache-control"), Some("public, max-age=31536000, immutable"));
            }
            let small = app.http.get(format!("{}{address}", app.base)).header("accept-encoding", "gzip").send().await.unwrap();
            assert_eq!(small.headers()["content-encoding"], "gzip");
            let packed = small.bytes().await.unwrap();
            let mut text = String::new();
            flate2::read::GzDecoder::new(&*packed).read_to_string(&mut text).unwrap();
            assert_eq!(text.len(), plain.text.len(), "{address}");
        }
        app.get("/assets/page.0000000000000000.js").await.refused(404, "not_found");
        let code = app.get(&format!("{path}/qr.svg")).await.expect(200);
        assert!(code.header("content-type") == Some("image/svg+xml") && code.text.starts_with("<svg "), "{}", code.text);
        app.get(&format!("/s/{}/qr.svg", "A".repeat(32))).await.refused(404, "share_invalid");
    }

    async fn operators_list_links_by_what_they_lead_to(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let (ada, seat) = app.opened(&campaign).await;
        let bob = app.shopper("Bob").await;
        let (bargains, owner, chain) = app.chain_of(&json!({})).await;
        let share = async |by: &Shopper, campaign: &str, target: Option<&str>| {
            let body = json!({"campaign_id": campaign, "target_id": target});
            app.post("/v1/shares").by(by).json(body).await.expect(201).at("/token")
        };
        let to_room = share(&ada, &campaign, Some(&seat.room)).await;
        let to_all = share(&bob, &campaign, None).await;
        let to_chain = share(&owner, &bargains, Some(&chain)).await;
        let listed = async |campaign: &str, query: &str| {
            let list = app.get(&format!("/operator/v1/campaigns/{campaign}/shares?{query}")).admin().await.expect(200).json;
            let tokens = list["items"].as_array().unwrap().iter().map(|share| share["token"].as_str().unwrap().to_owned());
            tokens.filter(|token| [&to_room, &to_all, &to_chain].contains(&token)).collect::<Vec<_>>()
        };
        assert_eq!(listed(&campaign, "").await.len(), 2);
        assert_eq!(listed(&campaign, "sku=tea").await, [&*to_room]);
        assert_eq!(listed(&campaign, "sku=coffee").await, Vec::<String>::new());
        assert_eq!(listed(&campaign, &format!("room_id={}", seat.room)).await, [&*to_room]);
        assert_eq!(listed(&campaign, &format!("user_id={}", bob.user_id)).await, [&*to_all]);
        let sku = app.chain(&chain).await["sku"].as_str().unwrap().to_owned();
        assert_eq!(listed(&bargains, &format!("sku={sku}")).await, [&*to_chain]);
        assert_eq!(listed(&bargains, &format!("sku={sku}&room_id={}", seat.room)).await, Vec::<String>::new());
        for (query, field) in [("sku=%20", "sku"), ("state=open", "state"), ("from=soon", "from")] {
            let refused = app.get(&format!("/operator/v1/campaigns/{campaign}/shares?{query}")).admin().await.refused(422, "invalid_request");
            assert_eq!(refused.fields(), [field]);
        }
    }

    async fn every_visit_is_counted(app: &mut TestApp) {
        let campaign = app.publish(&json!({})).await;
        let ada = app.shopper("Ada").await;
        let path = app.post("/v1/shares").by(&ada).json(json!({"campaign_id": campaign})).await.expect(201).at("/path");
        for _ in 0..30 {
            app.get(&path).await.expect(200);
        }
        app.get("/s/nonsense").await.expect(404);
        let list = format!("/operator/v1/campaigns/{campaign}/shares");
        crate::support::within(5, "30 visits are written", async || app.get(&list).admin().await.json["items"][0]["visits"] == 30).await;
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
