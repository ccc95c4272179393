//! Bonds: who was invited by whom, and what stands against it.

use serde_json::{Value, json};

use crate::support::{Shopper, TestApp, programme, served};

async fn you(app: &TestApp, shopper: &Shopper, campaign: &str) -> Value {
    app.get(&format!("/v1/campaigns/{campaign}")).session(&shopper.session).await.expect(200).json["you"].clone()
}

/// Names and levels, in the order of the list.
fn named(invitees: &[Value]) -> Vec<(&str, i64)> {
    invitees.iter().map(|one| (one["name"].as_str().unwrap(), one["level"].as_i64().unwrap())).collect()
}

served! {
    async fn a_code_binds_once_and_the_same_again_changes_nothing(app: &mut TestApp) {
        let campaign = app.publish_whole(&programme(&json!({}))).await;
        let (ada, bob) = (app.shopper("Ada").await, app.shopper("Bob").await);
        let code = app.code_of(&ada, &campaign).await;
        let first = app.bind(&bob, &campaign, &code).await.expect(201);
        assert_eq!((first.at("/bond/inviter"), first.at("/bond/campaign_id")), ("A**".to_owned(), campaign.clone()));
        assert!(first.seq().is_some() && first.json["bond"]["expires_at"].is_null());
        let (head, tail) = code.split_at(4);
        let typed = format!("{}-{tail}", head.to_lowercase());
        assert_eq!(app.bind(&bob, &campaign, &typed).await.expect(200).json, first.json, "as people type it");
        assert_eq!(you(app, &bob, &campaign).await["bond"], first.json["bond"]);
        assert!(you(app, &ada, &campaign).await["bond"].is_null());
        app.is_sound(&campaign).await;
    }

    async fn what_stands_against_a_bond_is_told(app: &mut TestApp) {
        let campaign = app.publish_whole(&programme(&json!({}))).await;
        let other = app.publish_whole(&programme(&json!({}))).await;
        let [ada, bob, carl, _] = app.line_of_four(&campaign).await;
        let code = async |shopper: &Shopper| app.code_of(shopper, &campaign).await;
        app.bind(&ada, &campaign, &code(&ada).await).await.refused(403, "self_invite");
        app.bind(&ada, &campaign, &code(&carl).await).await.refused(409, "bond_cycle");
        app.bind(&carl, &campaign, &code(&ada).await).await.refused(409, "already_bound");
        app.bind(&bob, &campaign, "ZZZZZZZZ").await.refused(404, "not_found");
        app.bind(&bob, &campaign, "no code at all").await.refused(404, "not_found");
        app.bind(&bob, &other, &code(&ada).await).await.refused(404, "not_found");
        let eve = app.shopper("Eve").await;
        app.step(&campaign, "pause").await.expect(200);
        app.bind(&eve, &campaign, &code(&ada).await).await.refused(409, "campaign_not_live");
        app.bind(&bob, &campaign, &code(&ada).await).await.expect(200);
        app.step(&campaign, "end").await.expect(200);
        app.bind(&eve, &campaign, &code(&ada).await).await.refused(410, "campaign_ended");
        app.bind(&bob, &campaign, &code(&ada).await).await.expect(200);
        let empty = app.publish_whole(&programme(&json!({"budget_fen": 1}))).await;
        let theirs = app.code_of(&ada, &empty).await;
        app.bind(&eve, &empty, &theirs).await.expect(201);
        app.is_sound(&campaign).await;
    }

    async fn newcomers_are_those_who_have_never_paid(app: &mut TestApp) {
        let campaign = app.publish_whole(&programme(&json!({"bond": {"newcomers_only": true}}))).await;
        let shop = app.publish(&json!({})).await;
        let ada = app.shopper("Ada").await;
        let code = app.code_of(&ada, &campaign).await;
        let (regular, _) = app.opened_and_paid(&shop).await;
        app.bind(&regular, &campaign, &code).await.refused(403, "newcomers_only");
        let (held, _) = app.opened(&shop).await;
        app.bind(&held, &campaign, &code).await.expect(201);
    }

    async fn the_last_touch_binds_once_the_protection_is_over(app: &mut TestApp) {
        let bond = json!({"bond": {"touch": "last", "protected_seconds": 600, "expires_after_seconds": 2_000}});
        let campaign = app.publish_whole(&programme(&bond)).await;
        let (ada, bob, carl) = (app.shopper("Ada").await, app.shopper("Bob").await, app.shopper("Carl").await);
        let (by_ada, by_bob) = (app.code_of(&ada, &campaign).await, app.code_of(&bob, &campaign).await);
        app.bind(&carl, &campaign, &by_ada).await.expect(201);
        app.advance(500).await;
        app.bind(&carl, &campaign, &by_bob).await.refused(409, "already_bound");
        app.advance(100).await;
        assert_eq!(app.bind(&carl, &campaign, &by_bob).await.expect(201).at("/bond/inviter"), "B**");
        assert_eq!((app.mine(&ada, "invitees").await.len(), app.mine(&bob, "invitees").await.len()), (0, 1));
        app.advance(2_000).await;
        assert_eq!(app.mine(&bob, "invitees").await.len(), 0, "a bond past its time is none");
        assert!(you(app, &carl, &campaign).await["bond"].is_null());
        app.bind(&bob, &campaign, &app.code_of(&carl, &campaign).await).await.expect(201);
        app.is_sound(&campaign).await;
    }

    async fn ones_invitees_are_told_by_their_first_letters(app: &mut TestApp) {
        let campaign = app.publish_whole(&programme(&json!({}))).await;
        let [ada, bob, carl, dora] = app.line_of_four(&campaign).await;
        let one_level = app.publish_whole(&programme(&json!({"levels": [{"basis_points": 500}]}))).await;
        app.line_of_four(&one_level).await;
        assert_eq!(named(&app.mine(&ada, "invitees").await), [("C**", 2), ("B**", 1)], "two levels deep and no further");
        assert_eq!(named(&app.mine(&bob, "invitees").await), [("D**", 2), ("C**", 1)]);
        assert_eq!(named(&app.mine(&dora, "invitees").await), []);
        app.bind(&carl, &one_level, &app.code_of(&ada, &one_level).await).await.expect(201);
        app.bind(&bob, &one_level, &app.code_of(&carl, &one_level).await).await.expect(201);
        assert_eq!(named(&app.mine(&ada, &format!("invitees?campaign_id={one_level}")).await), [("C**", 1)], "there is no second level");
        assert_eq!(app.mine(&ada, "invitees").await.len(), 3);
        let first = app.get("/v1/me/invitees?limit=2").session(&ada.session).await.expect(200);
        let rest = format!("/v1/me/invitees?limit=2&cursor={}", first.at("/next_cursor"));
        let rest = app.get(&rest).session(&ada.session).await.expect(200);
        assert_eq!(rest.json["items"].as_array().map(Vec::len), Some(1));
        app.get("/v1/me/invitees?campaign_id=x").session(&ada.session).await.refused(422, "invalid_request");
    }

    async fn an_operator_ties_and_cuts_bonds_with_a_reason(app: &mut TestApp) {
        let campaign = app.publish_whole(&programme(&json!({}))).await;
        let [ada, bob, carl, dora] = app.line_of_four(&campaign).await;
        let set = |user: &Shopper, inviter: Value| app.set_bond(&campaign, &user.user_id, &inviter, "Asked by phone");
        let moved = set(&dora, json!(ada.user_id)).await.expect(200);
        assert_eq!((moved.at("/bond/inviter_id"), moved.at("/bond/user_id")), (ada.user_id.clone(), dora.user_id.clone()));
        assert_eq!(set(&dora, json!(ada.user_id)).await.expect(200).json, moved.json);
        set(&ada, json!(dora.user_id)).await.refused(409, "bond_cycle");
        set(&ada, json!(ada.user_id)).await.refused(403, "self_invite");
        set(&carl, json!(null)).await.expect(200);
        assert!(set(&carl, json!(null)).await.expect(200).json["bond"].is_null());
        assert_eq!(named(&app.mine(&ada, "invitees").await), [("D**", 1), ("B**", 1)]);
        let nobody = json!("usr_00000000000000");
        set(&carl, nobody).await.refused(404, "not_found");
        for reason in ["", "  ", "a\u{7}", &"x".repeat(201)] {
            let refused = app.set_bond(&campaign, &carl.user_id, &json!(null), reason).await.refused(422, "invalid_request");
            assert_eq!(refused.fields(), ["reason"]);
        }
        let forgotten = json!({"user_id": dora.user_id, "reason": "Asked by phone"});
        let refused = app.post(&format!("/operator/v1/campaigns/{campaign}/bonds")).admin().json(forgotten).await;
        assert_eq!(refused.refused(422, "invalid_request").fields(), ["inviter_id"]);
        assert_eq!(you(app, &dora, &campaign).await["bond"]["inviter"], "A**", "nothing was cut");
        let draft = app.draft(&programme(&json!({}))).await;
        app.set_bond(&draft, &bob.user_id, &json!(null), "x").await.refused(409, "campaign_state");

        let log = app.get(&format!("/operator/v1/audit_log?target={}", dora.user_id)).admin().await.expect(200);
        let [noted] = log.json["items"].as_array().unwrap().as_slice() else { panic!("{}", log.text) };
        assert_eq!((&noted["action"], &noted["before"]), (&json!("referral.bound"), &json!({"inviter_id": carl.user_id})));
        let after = json!({"campaign_id": campaign, "inviter_id": ada.user_id, "previous_inviter_id": carl.user_id, "reason": "Asked by phone"});
        assert_eq!(noted["after"], after);

        let tree = app.get(&format!("/operator/v1/campaigns/{campaign}/tree?user_id={}", ada.user_id)).admin().await.expect(200).json;
        let first: Vec<(&str, i64)> =
            tree["items"].as_array().unwrap().iter().map(|one| (one["name"].as_str().unwrap(), one["invited"].as_i64().unwrap())).collect();
        assert_eq!((first, &tree["bond"]), (vec![("D**", 0), ("B**", 0)], &Value::Null));
        let of_carl = app.get(&format!("/operator/v1/campaigns/{campaign}/tree?user_id={}", carl.user_id)).admin().await.expect(200).json;
        let history = of_carl["history"].as_array().unwrap();
        assert_eq!((history.len(), &history[0]["inviter_id"], &history[0]["reason"]), (2, &Value::Null, &json!("Asked by phone")));
        assert_eq!((&history[1]["inviter_id"], &history[1]["actor"]), (&json!(bob.user_id), &Value::Null));
        app.is_sound(&campaign).await;
    }

    async fn operators_see_the_bonds_and_the_tree_two_levels_deep(app: &mut TestApp) {
        let campaign = app.publish_whole(&programme(&json!({}))).await;
        let [ada, bob, carl, dora] = app.line_of_four(&campaign).await;
        let list = async |query: &str| {
            let path = format!("/operator/v1/campaigns/{campaign}/bonds{query}");
            app.get(&path).admin().await.expect(200).json["items"].as_array().unwrap().clone()
        };
        let all = list("").await;
        let pairs: Vec<_> = all.iter().map(|bond| (bond["user_id"].clone(), bond["inviter_id"].clone())).collect();
        let expected = [(&dora, &carl), (&carl, &bob), (&bob, &ada)].map(|(user, inviter)| (json!(user.user_id), json!(inviter.user_id)));
        assert_eq!(pairs, expected);
        assert_eq!(list(&format!("?user_id={}", carl.user_id)).await, [all[1].clone()]);
        assert_eq!(list(&format!("?inviter_id={}", ada.user_id)).await, [all[2].clone()]);
        let csv = app.get(&format!("/operator/v1/campaigns/{campaign}/bonds")).admin().header("Accept", "text/csv").await.expect(200);
        assert_eq!(csv.text.lines().count(), 4);
        let tree = app.get(&format!("/operator/v1/campaigns/{campaign}/tree?user_id={}", bob.user_id)).admin().await.expect(200).json;
        assert_eq!((&tree["bond"]["inviter_id"], &tree["inviters_bond"]), (&json!(ada.user_id), &Value::Null));
        assert_eq!((&tree["items"][0]["user_id"], &tree["items"][0]["invitees"][0]["user_id"]), (&json!(carl.user_id), &json!(dora.user_id)));
        let of_dora = app.get(&format!("/operator/v1/campaigns/{campaign}/tree?user_id={}", dora.user_id)).admin().await.expect(200).json;
        assert_eq!((&of_dora["bond"]["inviter_id"], &of_dora["inviters_bond"]["inviter_id"]), (&json!(carl.user_id), &json!(bob.user_id)));
        let figures = app.report(&campaign).await["referral"].clone();
        assert_eq!((&figures["inviters"], &figures["bonds"], &figures["orders"]), (&json!(3), &json!(3), &json!(0)));
        app.get(&format!("/operator/v1/campaigns/{campaign}/tree?user_id=usr_00000000000000")).admin().await.refused(404, "not_found");
        let events = app.get("/operator/v1/events?limit=200").admin().await.expect(200).json;
        let told: Vec<&Value> = events["items"].as_array().unwrap().iter().filter(|event| event["event"] == "referral.bound").collect();
        assert_eq!((told.len(), &told[0]["data"]), (3, &json!({"user_id": bob.user_id, "inviter_id": ada.user_id})));
    }
}
