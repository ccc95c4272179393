//! Invite codes and the links that carry them.

use serde_json::{Value, json};

use crate::support::{TestApp, programme, served};

async fn you(app: &TestApp, session: &str, campaign: &str) -> Value {
    app.get(&format!("/v1/campaigns/{campaign}")).session(session).await.expect(200).json["you"].clone()
}

served! {
    async fn a_shopper_has_one_code_in_a_campaign_and_a_link_that_carries_it(app: &mut TestApp) {
        let campaign = app.publish_whole(&programme(&json!({}))).await;
        let other = app.publish_whole(&programme(&json!({}))).await;
        let (ada, bob) = (app.shopper("Ada").await, app.shopper("Bob").await);
        assert!(you(app, &ada.session, &campaign).await["invite_code"].is_null());
        let first = app.invite(&ada, &campaign).await.expect(201);
        let code = first.at("/invite_code");
        assert!(code.len() == 8 && code.bytes().all(|byte| b"0123456789ABCDEFGHJKMNPQRSTVWXYZ".contains(&byte)), "{code}");
        assert_eq!(app.invite(&ada, &campaign).await.expect(200).json, first.json);
        assert_eq!(you(app, &ada.session, &campaign).await["invite_code"], code);
        assert_ne!(app.invite(&bob, &campaign).await.expect(201).at("/invite_code"), code);
        assert_ne!(app.invite(&ada, &other).await.expect(201).at("/invite_code"), code);
        let token = first.at("/share/token");
        let link = app.get(&format!("/v1/shares/{token}")).await.expect(200);
        assert_eq!((link.at("/invite_code"), link.at("/campaign_id"), link.at("/sharer")), (code.clone(), campaign.clone(), "A**".to_owned()));
        assert!(app.get(&first.at("/share/path")).await.expect(200).text.contains("Bring friends"));
        // Any link of hers to the campaign carries it, a stranger's and the campaign's own do not.
        let share = json!({"campaign_id": campaign});
        let hers = app.post("/v1/shares").by(&ada).json(share.clone()).await.expect(201).at("/token");
        assert_eq!(app.get(&format!("/v1/shares/{hers}")).await.expect(200).at("/invite_code"), code);
        let carl = app.shopper("Carl").await;
        let strangers = app.post("/v1/shares").by(&carl).json(share).await.expect(201).at("/token");
        assert!(app.get(&format!("/v1/shares/{strangers}")).await.expect(200).json["invite_code"].is_null());
    }

    async fn the_page_tells_what_other_goods_earn(app: &mut TestApp) {
        let mut overrides: Vec<Value> = (0..23).map(|number| json!({"sku": format!("sku-{number}"), "levels": [{"basis_points": 250}]})).collect();
        overrides[0]["levels"] = json!([{"fixed_fen": 500}, {"basis_points": 100}]);
        let mut definition = programme(&json!({"acknowledge_level_two": true}));
        definition["sku_overrides"] = json!(overrides);
        let campaign = app.publish_whole(&definition).await;
        let path = app.invite(&app.shopper("Ada").await, &campaign).await.expect(201).at("/share/path");
        let page = async |lang: &str| app.get(&format!("{path}?lang={lang}")).await.expect(200).text;
        let (zh, en) = (page("zh").await, page("en").await);
        for line in ["sku-0：第一级 ¥5.00，第二级 1%", "sku-1：2.5%", "sku-19：2.5%", "还有 3 种"] {
            assert!(zh.contains(line), "{line}: {zh}");
        }
        for line in ["sku-0: ¥5.00 at level 1, 1% at level 2", "sku-1: 2.5%", "3 more are not listed"] {
            assert!(en.contains(line), "{line}: {en}");
        }
        assert!(!zh.contains("sku-20") && !en.contains("sku-20"));
    }

    async fn a_link_that_was_taken_back_is_replaced_and_the_code_stays(app: &mut TestApp) {
        let campaign = app.publish_whole(&programme(&json!({}))).await;
        let ada = app.shopper("Ada").await;
        let first = app.invite(&ada, &campaign).await.expect(201);
        app.request("DELETE".parse().unwrap(), &format!("/v1/shares/{}", first.at("/share/token"))).by(&ada).await.expect(204);
        let second = app.invite(&ada, &campaign).await.expect(200);
        assert_eq!(second.at("/invite_code"), first.at("/invite_code"));
        assert_ne!(second.at("/share/token"), first.at("/share/token"));
        assert_eq!(app.invite(&ada, &campaign).await.expect(200).json, second.json);
    }

    async fn codes_are_given_out_while_the_campaign_runs(app: &mut TestApp) {
        let campaign = app.publish_whole(&programme(&json!({}))).await;
        let (ada, bob) = (app.shopper("Ada").await, app.shopper("Bob").await);
        let code = app.code_of(&ada, &campaign).await;
        let switches = async |open: bool| {
            app.post(&format!("/operator/v1/campaigns/{campaign}/switches")).admin().json(json!({"open": open})).await.expect(200);
        };
        switches(false).await;
        app.invite(&bob, &campaign).await.refused(409, "campaign_not_live");
        switches(true).await;
        app.step(&campaign, "pause").await.expect(200);
        app.invite(&bob, &campaign).await.refused(409, "campaign_not_live");
        app.step(&campaign, "end").await.expect(200);
        app.invite(&bob, &campaign).await.refused(410, "campaign_ended");
        assert_eq!(app.invite(&ada, &campaign).await.expect(200).at("/invite_code"), code, "what one has one keeps");
        let scheduled = app.publish_whole(&programme(&json!({"starts_at": crate::support::from_now(5_000)}))).await;
        app.invite(&bob, &scheduled).await.refused(409, "campaign_not_live");
        let rooms = app.publish(&json!({})).await;
        app.invite(&bob, &rooms).await.refused(404, "not_found");
        app.invite(&bob, "cmp_00000000").await.refused(404, "not_found");
    }

    async fn sixteen_askers_at_once_get_one_code(app: &mut TestApp) {
        let campaign = app.publish_whole(&programme(&json!({}))).await;
        let ada = app.shopper("Ada").await;
        let answers = futures_util::future::join_all((0..16).map(async |_| app.invite(&ada, &campaign).await)).await;
        let first = &answers[0].json;
        assert!(answers.iter().all(|answer| [200, 201].contains(&answer.status) && answer.json == *first), "{answers:?}");
    }

    async fn a_programme_tells_when_nothing_is_left_of_its_budget(app: &mut TestApp) {
        let campaign = app.publish_whole(&programme(&json!({"budget_fen": 1000, "levels": [{"basis_points": 1000}]}))).await;
        let ada = app.shopper("Ada").await;
        let bob = app.invited(&campaign, &ada, "Bob").await;
        let invite = app.invite(&ada, &campaign).await.expect(200);
        let stands = async |state: &str, exhausted: bool| {
            app.mine(&ada, "rewards").await;
            let told = app.get(&format!("/v1/campaigns/{campaign}")).await.expect(200).json;
            assert_eq!(told["referral"]["budget_exhausted"], exhausted, "{told}");
            let page = app.get(&invite.at("/share/path")).await.expect(200).text;
            assert!(page.contains(&format!("data-state=\"{state}\"")), "{page}");
        };
        let report = async |state: &str| {
            let order = json!({"number": "SO-1", "user_id": bob.user_id, "amount_fen": 10_000, "state": state});
            app.post("/operator/v1/outside_orders").admin().json(order).await
        };
        stands("live", false).await;
        report("paid").await.expect(201);
        stands("exhausted", true).await;
        let carl = app.shopper("Carl").await;
        app.bind(&carl, &campaign, &invite.at("/invite_code")).await.refused(409, "budget_exhausted");
        report("refunded").await.expect(200);
        stands("live", false).await;
        app.bind(&carl, &campaign, &invite.at("/invite_code")).await.expect(201);
    }
}
