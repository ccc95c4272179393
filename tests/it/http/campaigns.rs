//! Definitions: written down, checked, published, changed, cloned; what shoppers see of them.

use serde_json::{Value, json};

use crate::support::{TestApp, definition, from_now, patched, served, with};

async fn checked(app: &TestApp, id: &str) -> Value {
    app.post(&format!("/operator/v1/campaigns/{id}/check")).admin().await.expect(200).json
}

fn codes(findings: &Value) -> Vec<&str> {
    findings.as_array().unwrap().iter().map(|finding| finding["code"].as_str().unwrap()).collect()
}

served! {
    async fn every_wrong_field_of_a_definition_is_named_at_once(app: &mut TestApp) {
        let wrong = json!({
            "kind": "group_buy", "title": "", "surface": "paper", "starts_at": "2026-12-02T00:00:00Z", "ends_at": "2026-12-01T00:00:00Z",
            "colour": "red", "room_ttl_seconds": 0, "list_rooms": "yes", "limits": {"orders_per_user": 0, "dreams_per_user": 1},
            "items": [{"sku": "a", "title": "A", "list_price_fen": -1, "stock": 1_000_000_001, "tiers": [{"size": 1, "price_fen": 1.5}]},
                      {"title": "B", "list_price_fen": 10_000_000_001_i64, "stock": 1, "tiers": []}],
        });
        let answer = app.post("/operator/v1/campaigns").admin().json(wrong).await.refused(422, "invalid_request");
        let fields = answer.fields();
        for field in ["title", "surface", "rules_text", "colour", "room_ttl_seconds", "list_rooms", "limits.orders_per_user",
            "limits.dreams_per_user", "items[0].list_price_fen", "items[0].stock", "items[0].tiers[0].size", "items[0].tiers[0].price_fen",
            "items[1].sku", "items[1].list_price_fen", "items[1].tiers"] {
            assert!(fields.contains(&field), "{field} is not among {fields:?}");
        }
        let turned = patched(definition(), &json!({"starts_at": "2026-12-02T00:00:00Z", "ends_at": "2026-12-01T00:00:00Z"}));
        assert_eq!(app.post("/operator/v1/campaigns").admin().json(turned).await.refused(422, "invalid_request").fields(), ["ends_at"]);
        for (patch, field) in [
            (json!({"kind": null}), "kind"), (json!({"kind": "raffle"}), "kind"), (json!({"items": []}), "items"),
            (json!({"rules_text": ""}), "rules_text"), (json!({"ends_at": "soon"}), "ends_at"),
        ] {
            let answer = app.post("/operator/v1/campaigns").admin().json(patched(definition(), &patch)).await.refused(422, "invalid_request");
            assert!(answer.fields().contains(&field), "{field}: {:?}", answer.fields());
        }
        assert_eq!(app.get("/operator/v1/campaigns").admin().await.expect(200).json["items"], json!([]));
    }

    async fn a_time_nobody_lives_to_see_is_refused_by_its_true_bound(app: &mut TestApp) {
        let at = async |ends_at: &str| app.post("/operator/v1/campaigns").admin().json(patched(definition(), &json!({"ends_at": ends_at}))).await;
        at("2099-12-31T23:59:59Z").await.expect(201);
        for (ends_at, words) in [("2100-01-01T00:00:00Z", "1970 to 2099"), ("9999-12-31T23:59:59Z", "1970 to 2099"), ("soon", "such as")] {
            let refused = at(ends_at).await.refused(422, "invalid_request");
            assert!(refused.fields() == ["ends_at"] && refused.at("/errors/0/message").contains(words), "{}", refused.text);
        }
    }

    async fn what_a_definition_leaves_out_has_its_default(app: &mut TestApp) {
        let mut least = definition();
        least.as_object_mut().unwrap().remove("limits");
        let made = app.post("/operator/v1/campaigns").admin().json(least).await.expect(201).json;
        assert_eq!((&made["state"], &made["version"]), (&json!("draft"), &json!(1)));
        let limits = json!({"quantity_per_order": 1, "orders_per_user": 2, "rooms_opened_per_user": 1, "rooms_joined_per_user": 2,
            "unpaid_per_user": 1, "users_per_device": 2});
        assert_eq!(made["limits"], limits);
        for (name, value) in [("room_ttl_seconds", json!(86_400)), ("payment_ttl_seconds", json!(900)), ("newcomers_only", json!(false)),
            ("list_rooms", json!(true)), ("accept_from", Value::Null), ("loss_budget_fen", Value::Null), ("share_title", Value::Null),
            ("metadata", json!({}))] {
            assert_eq!(made[name], value, "{name}");
        }
        assert_eq!((&made["items"][0]["reserve"], &made["items"][0]["cost_price_fen"]), (&json!("seat"), &Value::Null));
        let id = made["id"].as_str().unwrap();
        assert_eq!(app.get(&format!("/operator/v1/campaigns/{id}")).admin().await.expect(200).json, made);
        let list = app.get("/operator/v1/campaigns").admin().await.expect(200).json;
        assert_eq!(list["items"], json!([made]));
    }

    async fn a_draft_is_nothing_to_shoppers(app: &mut TestApp) {
        let id = app.draft(&definition()).await;
        let ada = app.shopper("Ada").await;
        app.get(&format!("/v1/campaigns/{id}")).await.refused(404, "not_found");
        app.get(&format!("/v1/campaigns/{id}/rooms")).await.refused(404, "not_found");
        app.open(&ada, &id).await.refused(404, "not_found");
        app.post("/v1/shares").by(&ada).json(json!({"campaign_id": id})).await.refused(404, "not_found");
        assert_eq!(app.get("/v1/campaigns").await.expect(200).json["items"], json!([]));
        for step in ["pause", "resume", "end"] {
            app.step(&id, step).await.refused(409, "campaign_state");
        }
        app.post(&format!("/operator/v1/campaigns/{id}/stock")).admin().json(json!({"sku": "tea", "add": 1})).await.refused(409, "campaign_state");
    }

    async fn check_tells_what_blocks_what_to_know_and_what_it_may_cost(app: &mut TestApp) {
        let clean = app.draft(&patched(with(3, 10, &json!({})), &json!({"starts_at": from_now(60)}))).await;
        let report = checked(app, &clean).await;
        assert_eq!(report["errors"], json!([]), "{report}");
        assert_eq!(report["forecast"]["worst_case_discount_fen"], 10 * (9900 - 4950));
        let shared = app.draft(&patched(definition(), &json!({"title": "The same tea"}))).await;
        app.post(&format!("/operator/v1/campaigns/{clean}/publish")).admin().await.expect(200);
        let report = checked(app, &shared).await;
        assert_eq!(report["errors"], json!([]));
        let warnings = codes(&report["warnings"]);
        assert!(warnings.contains(&"starts_now") && warnings.contains(&"shared_sku"), "{warnings:?}");
        for finding in report["warnings"].as_array().unwrap() {
            assert!(["code", "rule", "field", "message"].iter().all(|member| finding[member].is_string()), "{finding}");
        }
    }

    async fn what_breaks_the_rules_of_its_surface_is_not_published(app: &mut TestApp) {
        let mut large = with(6, 10, &json!({}));
        large["surface"] = json!("mini_program");
        let id = app.draft(&large).await;
        assert_eq!(codes(&checked(app, &id).await["errors"]), ["room_too_large"]);
        let publish = format!("/operator/v1/campaigns/{id}/publish");
        let refused = app.post(&publish).admin().await.refused(422, "publish_blocked");
        assert_eq!(refused.fields(), ["items[0].tiers[0].size"]);
        assert_eq!(app.get(&format!("/operator/v1/campaigns/{id}")).admin().await.expect(200).at("/state"), "draft");
        app.patch(&format!("/operator/v1/campaigns/{id}")).admin().json(json!({"surface": "web"})).await.expect(200);
        app.post(&publish).admin().await.expect(200);
        let over = app.draft(&patched(definition(), &json!({"starts_at": from_now(-100), "ends_at": from_now(-50)}))).await;
        app.post(&format!("/operator/v1/campaigns/{over}/publish")).admin().await.refused(422, "publish_blocked");
        app.post("/operator/v1/campaigns/cmp_00000000/publish").admin().await.refused(404, "not_found");
    }

    async fn publishing_twice_is_publishing_once(app: &mut TestApp) {
        let id = app.draft(&with(3, 10, &json!({}))).await;
        let publish = || app.post(&format!("/operator/v1/campaigns/{id}/publish")).admin();
        let (first, again) = tokio::join!(publish(), publish());
        assert_eq!((first.status, again.status), (200, 200), "{} {}", first.text, again.text);
        assert_eq!((first.at("/state"), app.stock(&id).await), ("live".into(), (10, 0, 0)));
        app.step(&id, "end").await.expect(200);
        publish().await.refused(409, "campaign_state");
        assert_eq!(app.get(&format!("/operator/v1/campaigns/{id}")).admin().await.expect(200).at("/state"), "ended");
    }

    async fn a_live_campaign_changes_in_harmless_fields_only_and_at_once(app: &mut TestApp) {
        let id = app.publish(&json!({"ends_at": from_now(7200)})).await;
        let address = format!("/operator/v1/campaigns/{id}");
        let (ada, _) = app.opened(&id).await;
        let patch = |change: Value| app.patch(&address).admin().json(change);
        for (body, field) in [
            (json!({"limits": {"orders_per_user": 9}}), "limits"), (json!({"surface": "mini_program"}), "surface"),
            (json!({"payment_ttl_seconds": 60}), "payment_ttl_seconds"), (json!({"ends_at": from_now(3600)}), "ends_at"),
            (json!({"kind": "bargain"}), "kind"),
        ] {
            assert_eq!(patch(body).await.refused(409, "field_not_editable").fields(), [field]);
        }
        patch(json!({"title": ""})).await.refused(422, "invalid_request");
        let ends_at = from_now(20_000);
        let changed = patch(json!({"title": "Tea, longer", "ends_at": ends_at, "share_title": "Come"})).await.expect(200);
        assert_eq!((changed.at("/title"), changed.at("/version"), changed.at("/state")), ("Tea, longer".into(), "2".into(), "live".into()));
        assert_eq!(patch(json!({"title": "Tea, longer"})).await.expect(200).at("/version"), "2", "no change is no version");
        let view = app.get(&format!("/v1/campaigns/{id}")).await.expect(200);
        assert_eq!((view.at("/title"), view.at("/share_title")), ("Tea, longer".into(), "Come".into()));
        assert_eq!(crate::support::time_of(&view.json["ends_at"]), crate::support::time_of(&json!(ends_at)));
        app.advance(7201).await;
        assert_eq!(app.get(&format!("/v1/campaigns/{id}")).await.expect(200).at("/state"), "live");
        app.opened(&id).await;
        app.restart().await;
        assert_eq!(app.get(&format!("/v1/campaigns/{id}")).await.expect(200).at("/title"), "Tea, longer");
        app.step(&id, "end").await.expect(200);
        patch(json!({"title": "Over"})).await.refused(409, "campaign_state");
        drop(ada);
    }

    async fn a_draft_changes_in_everything_but_its_kind(app: &mut TestApp) {
        let id = app.draft(&definition()).await;
        let path = format!("/operator/v1/campaigns/{id}");
        let items = json!([{"sku": "jam", "title": "Jam", "list_price_fen": 500, "stock": 3, "tiers": [{"size": 2, "price_fen": 300}]}]);
        let changed = app.patch(&path).admin().json(json!({"items": items, "limits": {"orders_per_user": 7}, "title": "Jam"})).await.expect(200);
        assert_eq!((changed.at("/items/0/sku"), changed.at("/limits/orders_per_user"), changed.at("/limits/users_per_device")),
            ("jam".into(), "7".into(), "2".into()));
        assert_eq!(app.patch(&path).admin().json(json!({"limits": null})).await.expect(200).at("/limits/orders_per_user"), "2");
        assert_eq!(app.patch(&path).admin().json(json!({"colour": 1, "title": 7})).await.refused(422, "invalid_request").fields(), ["colour", "title"]);
        app.patch(&path).admin().json(json!({"kind": "referral"})).await.refused(409, "field_not_editable");
        app.patch("/operator/v1/campaigns/cmp_00000000").admin().json(json!({})).await.refused(404, "not_found");
    }

    async fn each_change_that_takes_effect_is_a_version_and_orders_and_rooms_name_theirs(app: &mut TestApp) {
        let id = app.publish(&json!({"title": "First"})).await;
        let path = format!("/operator/v1/campaigns/{id}");
        let (_, before) = app.opened(&id).await;
        app.patch(&path).admin().json(json!({"title": "Second"})).await.expect(200);
        app.patch(&path).admin().json(json!({"title": "Second"})).await.expect(200);
        app.patch(&path).admin().json(json!({"limits": {}, "surface": "mini_program"})).await.refused(409, "field_not_editable");
        let (_, after) = app.opened(&id).await;
        let list = app.get(&format!("{path}/versions?limit=1")).admin().await.expect(200);
        assert_eq!(list.at("/items/0/version"), "2");
        let rest = app.get(&format!("{path}/versions?limit=1&cursor={}", list.at("/next_cursor"))).admin().await.expect(200);
        assert_eq!((rest.at("/items/0/version"), &rest.json["next_cursor"]), ("1".into(), &Value::Null));
        let version = |number: &str| app.get(&format!("{path}/versions/{number}")).admin();
        for (number, title) in [("1", "First"), ("2", "Second")] {
            let whole = version(number).await.expect(200);
            assert_eq!((whole.at("/title"), whole.at("/campaign_id"), whole.at("/version")), (title.into(), id.clone(), number.into()));
            assert_eq!(whole.json["items"][0]["sku"], "tea");
        }
        for number in ["0", "3", "x", "99999999999999999999"] {
            version(number).await.refused(404, "not_found");
        }
        app.get("/operator/v1/campaigns/cmp_00000000/versions").admin().await.refused(404, "not_found");
        for (list, id_of) in [("orders", [&after.order, &before.order]), ("rooms", [&after.room, &before.room])] {
            let items = app.get(&format!("{path}/{list}")).admin().await.expect(200).json["items"].clone();
            let told: Vec<_> = items.as_array().unwrap().iter().map(|item| (item["id"].as_str().unwrap(), item["definition_version"].as_i64())).collect();
            assert_eq!(told, [(id_of[0].as_str(), Some(2)), (id_of[1].as_str(), Some(1))], "{list}");
        }
    }

    async fn a_clone_is_a_draft_of_its_own(app: &mut TestApp) {
        let id = app.publish(&json!({"title": "First"})).await;
        let copy = app.post(&format!("/operator/v1/campaigns/{id}/clone")).admin().await.expect(201);
        assert_eq!((copy.at("/title"), copy.at("/state"), copy.at("/version")), ("First".into(), "draft".into(), "1".into()));
        assert_ne!(copy.at("/id"), id);
        app.patch(&format!("/operator/v1/campaigns/{}", copy.at("/id"))).admin().json(json!({"title": "Second"})).await.expect(200);
        assert_eq!(app.get(&format!("/v1/campaigns/{id}")).await.expect(200).at("/title"), "First");
        app.post("/operator/v1/campaigns/cmp_00000000/clone").admin().await.refused(404, "not_found");
    }

    async fn shoppers_see_the_offer_and_not_what_it_costs(app: &mut TestApp) {
        let mut definition = with(3, 10, &json!({}));
        definition["items"][0]["cost_price_fen"] = json!(4242);
        definition["metadata"] = json!({"note": "a secret note"});
        let id = app.publish_whole(&definition).await;
        let view = app.get(&format!("/v1/campaigns/{id}")).await.expect(200);
        assert!(!view.text.contains("4242") && !view.text.contains("secret note"), "{}", view.text);
        for member in ["id", "kind", "title", "state", "starts_at", "ends_at", "now", "rules_text", "items", "limits", "rooms_open", "rooms_formed"] {
            assert!(!view.json[member].is_null(), "no {member} in {}", view.text);
        }
        assert!(view.json.get("you").is_none_or(Value::is_null));
        assert_eq!((&view.json["items"][0]["stock_left"], &view.json["items"][0]["sold"]), (&json!(10), &json!(0)));
    }

    async fn an_unchanged_campaign_is_304(app: &mut TestApp) {
        let id = app.publish(&json!({})).await;
        let path = format!("/v1/campaigns/{id}");
        let etag = app.get(&path).await.expect(200).header("etag").expect("ETag").to_owned();
        let unchanged = app.get(&path).header("If-None-Match", &etag).await.expect(304);
        assert_eq!((unchanged.text.as_str(), unchanged.header("etag")), ("", Some(&*etag)));
        let (ada, _) = app.opened(&id).await;
        let changed = app.get(&path).header("If-None-Match", &etag).await.expect(200);
        assert_ne!(changed.header("etag"), Some(&*etag));
        let own = app.get(&path).session(&ada.session).header("If-None-Match", changed.header("etag").unwrap()).await.expect(200);
        assert_eq!(own.at("/you/orders_left"), "1", "what depends on the caller has another tag");
    }

    async fn an_unknown_campaign_or_sku_is_not_found(app: &mut TestApp) {
        let id = app.publish(&json!({})).await;
        let ada = app.shopper("Ada").await;
        app.open_for(&ada, &id, "coffee", 1).await.refused(404, "not_found");
        for unknown in ["cmp_00000000", "cmp_", "nonsense", "room_1"] {
            app.get(&format!("/v1/campaigns/{unknown}")).await.refused(404, "not_found");
            app.open(&ada, unknown).await.refused(404, "not_found");
            app.get(&format!("/operator/v1/campaigns/{unknown}")).admin().await.refused(404, "not_found");
        }
        for room in ["room_00000000aaaaaaaaaaaaaa", &format!("room_{}aaaaaaaaaaaaaa", id.split_at(4).1), "nonsense"] {
            app.get(&format!("/v1/rooms/{room}")).await.refused(404, "not_found");
            app.join(&ada, room).await.refused(404, "not_found");
        }
        for quantity in [json!(0), json!(-1), json!(10_001), json!(1.0), json!("1"), Value::Null] {
            let body = json!({"sku": "tea", "quantity": quantity});
            let answer = app.post(&format!("/v1/campaigns/{id}/rooms")).by(&ada).json(body).await.refused(422, "invalid_request");
            assert_eq!(answer.fields(), ["quantity"]);
        }
    }

    async fn lists_of_a_campaigns_orders_are_filtered_and_paged(app: &mut TestApp) {
        let id = app.publish(&json!({})).await;
        let (ada, seat) = app.opened_and_paid(&id).await;
        let (_, second) = app.joined(&seat.room).await;
        let (_, third) = app.opened(&id).await;
        let path = format!("/operator/v1/campaigns/{id}/orders");
        let ids = |answer: &crate::support::Answer| -> Vec<String> {
            answer.json["items"].as_array().unwrap().iter().map(|order| order["id"].as_str().unwrap().to_owned()).collect()
        };
        let all = app.get(&path).admin().await.expect(200);
        assert_eq!(ids(&all), [&*third.order, &*second.order, &*seat.order]);
        assert!(all.json["items"][0]["user_id"].is_string() && all.json["items"][0]["updated_at"].is_string());
        for (query, expected) in [
            ("state=paid".to_owned(), vec![&seat.order]), (format!("user_id={}", ada.user_id), vec![&seat.order]),
            (format!("room_id={}", seat.room), vec![&second.order, &seat.order]), ("sku=coffee".to_owned(), vec![]),
            ("from=2099-01-01T00:00:00Z".to_owned(), vec![]), ("to=2020-01-01T00:00:00Z".to_owned(), vec![]),
        ] {
            assert_eq!(ids(&app.get(&format!("{path}?{query}")).admin().await.expect(200)).iter().collect::<Vec<_>>(), expected, "{query}");
        }
        let page = app.get(&format!("{path}?limit=2")).admin().await.expect(200);
        assert_eq!(ids(&page), [&*third.order, &*second.order]);
        let rest = app.get(&format!("{path}?limit=2&cursor={}", page.at("/next_cursor"))).admin().await.expect(200);
        assert_eq!((ids(&rest), &rest.json["next_cursor"]), (vec![seat.order.clone()], &Value::Null));
        for (query, field) in [("state=lost", "state"), ("from=soon", "from"), ("limit=0", "limit"), ("limit=201", "limit")] {
            let answer = app.get(&format!("{path}?{query}")).admin().await.refused(422, "invalid_request");
            assert_eq!(answer.fields(), [field]);
        }
        app.get(&format!("{path}?cursor=nonsense")).admin().await.refused(400, "malformed_request");
    }
}
