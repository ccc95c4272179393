//! Chains: started, cut by friends, kept to their schedule, shown to be so.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Event, bargain, served, time_of, within};

const RANDOM: &str = "random";

fn fen(list: &Value) -> Vec<i64> {
    list.as_array().unwrap().iter().map(|fen| fen.as_i64().unwrap()).collect()
}

/// What a program says of a proof on its standard input: whether it is content, and its words.
fn checked(program: &str, arguments: &[&str], proof: &Value) -> (bool, String) {
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start the checker");
    child.stdin.take().expect("its input").write_all(proof.to_string().as_bytes()).expect("hand it the proof");
    let output = child.wait_with_output().expect("its words");
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// The Python that docs/verify-chain.md shows.
fn python() -> String {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/verify-chain.md")).expect("the page");
    page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).expect("its Python").to_owned()
}

fn shows(event: &Event, chain: &Value) {
    assert_eq!((event.name.as_str(), &event.data), ("chain", chain));
}

served! {
    async fn every_friend_takes_the_next_step_of_the_schedule(app: &mut TestApp) {
        let campaign = app.publish_whole(&bargain(&json!({}))).await;
        let ada = app.shopper("Ada Byron").await;
        let started = app.start_chain(&ada, &campaign).await.expect(201);
        let chain = started.at("/chain/id");
        assert!(started.seq().is_some());
        assert_eq!(started.header("location"), Some(format!("/v1/chains/{chain}").as_str()));
        let own = &started.json["chain"];
        assert_eq!((&own["state"], &own["price_fen"], &own["remaining_fen"]), (&json!("open"), &json!(29_900), &json!(20_000)));
        assert_eq!((&own["cuts_taken"], &own["cuts_needed"], &own["next_cut_fen"]), (&json!(0), &json!(4), &json!(8_000)));
        assert_eq!((&own["owner"], &own["buy_by"], &own["campaign_id"]), (&json!("A**"), &Value::Null, &json!(campaign)));
        assert_eq!(time_of(&own["expires_at"]).get() - time_of(&own["created_at"]).get(), 86_400_000);
        assert_eq!(own["you"], json!({"your_cut_fen": null, "helped": false, "owner": true, "order_id": null}));
        let schedule = fen(&app.proof(&chain).await["schedule_fen"]);
        assert_eq!(schedule, [8_000, 6_000, 4_000, 2_000]);

        let bob = app.shopper("Bob").await;
        let helped = app.cut(&bob, &chain).await.expect(201);
        assert_eq!(helped.json["cut"], json!({"amount_fen": 8_000, "steps": 1, "helper": "B**", "own": false, "you": true}));
        assert_eq!(helped.json["chain"]["you"], json!({"your_cut_fen": 8_000, "helped": true, "owner": false, "order_id": null}));
        app.helped(&chain).await;
        let now = app.chain(&chain).await;
        assert_eq!((&now["price_fen"], &now["remaining_fen"], &now["next_cut_fen"]), (&json!(15_900), &json!(6_000), &json!(4_000)));
        assert_eq!(now["cuts"].as_array().unwrap().len(), 2);
        assert_eq!(now.get("you"), None, "nobody is asking");
        let mine = app.get("/v1/me/chains").session(&ada.session).await.expect(200).json;
        assert_eq!((&mine["items"][0]["id"], &mine["items"][0]["price_fen"]), (&json!(chain), &json!(15_900)));
        assert_eq!(app.get("/v1/me/chains").session(&bob.session).await.expect(200).json["items"], json!([]));
        let you = app.get(&format!("/v1/campaigns/{campaign}")).session(&bob.session).await.expect(200).json["you"].clone();
        assert_eq!((&you["chains_left"], &you["helps_left"]), (&json!(5), &json!(49)));
        app.is_sound(&campaign).await;
    }

    async fn the_last_cut_reaches_the_floor_and_nobody_cuts_further(app: &mut TestApp) {
        let (campaign, _, chain) = app.chain_of(&json!({"buy_ttl_seconds": 600})).await;
        let mut live = app.live_at(&format!("/v1/chains/{chain}/live")).await;
        shows(&live.expect().await, &app.chain(&chain).await);
        for _ in 0..4 {
            app.helped(&chain).await;
        }
        let done = app.chain(&chain).await;
        assert_eq!((&done["state"], &done["price_fen"], &done["remaining_fen"]), (&json!("floor_reached"), &json!(9_900), &json!(0)));
        assert_eq!((&done["next_cut_fen"], &done["cuts_taken"]), (&Value::Null, &json!(4)));
        let mut last = live.expect().await;
        while last.data["state"] == "open" {
            last = live.expect().await;
        }
        shows(&last, &done);
        let late = app.shopper("Late").await;
        let refused = app.cut(&late, &chain).await.refused(409, "chain_complete");
        assert_eq!(refused.json["retry"], "never");
        // The window to buy is over: the stream ends with it.
        app.advance(601).await;
        assert_eq!(live.rest().await.last().unwrap().data["state"], "expired");
        app.cut(&late, &chain).await.refused(410, "chain_expired");
        app.is_sound(&campaign).await;
    }

    async fn a_chain_ends_at_its_deadline(app: &mut TestApp) {
        let (campaign, owner, chain) = app.chain_of(&json!({"chain_ttl_seconds": 600, "reserve_stock": "at_start"})).await;
        assert_eq!(app.stock(&campaign).await, (99, 1, 0));
        let helper = app.helped(&chain).await;
        app.advance(599).await;
        app.helped(&chain).await;
        app.advance(2).await;
        let late = app.shopper("Late").await;
        app.cut(&late, &chain).await.refused(410, "chain_expired");
        app.order_chain(&owner, &chain).await.refused(410, "chain_expired");
        assert_eq!(app.cut(&helper, &chain).await.expect(200).at("/cut/amount_fen"), "8000", "who helped before is told so");
        assert_eq!((app.chain(&chain).await["state"].clone(), app.stock(&campaign).await), (json!("expired"), (100, 0, 0)));
        // What has ended makes room for another of the same item.
        let again = app.start_chain(&owner, &campaign).await.expect(201);
        assert_ne!(again.at("/chain/id"), chain);
        app.is_sound(&campaign).await;
    }

    async fn nobody_helps_their_own_chain_or_one_twice(app: &mut TestApp) {
        let (_, owner, chain) = app.chain_of(&json!({"cuts": {"self_cuts": 1}})).await;
        let own = app.get(&format!("/v1/chains/{chain}")).session(&owner.session).await.expect(200).json;
        assert_eq!((&own["price_fen"], &own["cuts_taken"]), (&json!(21_900), &json!(1)));
        assert_eq!(own["you"], json!({"your_cut_fen": 8_000, "helped": false, "owner": true, "order_id": null}));
        assert_eq!((&own["cuts"][0]["own"], &own["cuts"][0]["you"]), (&json!(true), &json!(true)));
        app.cut(&owner, &chain).await.refused(403, "own_chain");
        let bob = app.helped(&chain).await;
        let again = app.cut(&bob, &chain).await.expect(200);
        assert_eq!((again.at("/cut/amount_fen"), again.at("/chain/cuts_taken")), ("6000".into(), "2".into()));
        for _ in 0..2 {
            app.helped(&chain).await;
        }
        assert_eq!(app.cut(&bob, &chain).await.expect(200).at("/chain/state"), "floor_reached");
        app.cut(&bob, "chain_00000000aaaaaaaaaaaaaa").await.refused(404, "not_found");
    }

    async fn a_shopper_has_one_chain_of_an_item_and_so_many_in_all(app: &mut TestApp) {
        let two = json!([{"sku": "cream", "title": "Cream", "list_price_fen": 100, "floor_price_fen": 50, "stock": 2},
            {"sku": "soap", "title": "Soap", "list_price_fen": 100, "floor_price_fen": 50, "stock": 1},
            {"sku": "oil", "title": "Oil", "list_price_fen": 100, "floor_price_fen": 50, "stock": 1}]);
        let (campaign, owner, chain) =
            app.chain_of(&json!({"items": two, "limits": {"chains_per_user": 2}, "reserve_stock": "at_start", "chain_ttl_seconds": 600})).await;
        assert_eq!(app.start_chain(&owner, &campaign).await.expect(200).at("/chain/id"), chain);
        let start = |shopper: &_, sku: &str| app.post(&format!("/v1/campaigns/{campaign}/chains")).by(shopper).json(json!({"sku": sku}));
        start(&owner, "soap").await.expect(201);
        start(&owner, "oil").await.refused(409, "chain_limit_reached");
        start(&owner, "dust").await.refused(404, "not_found");
        let other = app.shopper("Other").await;
        start(&other, "soap").await.refused(409, "sold_out");
        // What ran out was a chain all the same.
        app.advance(601).await;
        start(&owner, "oil").await.refused(409, "chain_limit_reached");
        start(&other, "soap").await.expect(201);
        app.is_sound(&campaign).await;
    }

    async fn helps_are_limited_by_the_day_in_china_and_in_all(app: &mut TestApp) {
        let limits = json!({"limits": {"helps_per_day": 2, "helps_per_campaign": 3}, "chain_ttl_seconds": 700_000});
        let (campaign, _, first) = app.chain_of(&limits).await;
        let mut chains = vec![first];
        for _ in 0..4 {
            let owner = app.shopper("Another").await;
            chains.push(app.start_chain(&owner, &campaign).await.expect(201).at("/chain/id"));
        }
        // To shortly before midnight in China.
        let now = time_of(&app.post("/v1/sandbox/clock").admin().json(json!({"advance_seconds": 0})).await.expect(200).json["now"]).get();
        let midnight = (now + 8 * 3_600_000).div_euclid(86_400_000) * 86_400_000 + 57_600_000;
        app.advance((midnight - now) / 1000 - 60).await;
        let bob = app.shopper("Bob").await;
        app.cut(&bob, &chains[0]).await.expect(201);
        app.cut(&bob, &chains[1]).await.expect(201);
        let refused = app.cut(&bob, &chains[2]).await.refused(409, "help_limit_reached");
        assert_eq!(refused.json["retry"], "later");
        app.cut(&bob, &chains[1]).await.expect(200);
        app.advance(120).await;
        app.cut(&bob, &chains[2]).await.expect(201);
        let you = app.get(&format!("/v1/campaigns/{campaign}")).session(&bob.session).await.expect(200).json["you"].clone();
        assert_eq!(you["helps_left"], 0);
        app.cut(&bob, &chains[3]).await.refused(409, "help_limit_reached");
    }

    async fn a_device_helps_for_no_more_shoppers_than_allowed(app: &mut TestApp) {
        let (_, owner, chain) = app.chain_of(&json!({"limits": {"users_per_device": 2}})).await;
        let bob = app.shopper_on(&owner.device, "Bob").await;
        app.cut(&bob, &chain).await.expect(201);
        let eve = app.shopper_on(&owner.device, "Eve").await;
        app.cut(&eve, &chain).await.refused(409, "device_limit_reached");
        app.cut(&bob, &chain).await.expect(200);
    }

    async fn a_newcomers_help_takes_several_steps(app: &mut TestApp) {
        let (campaign, _, chain) = app.chain_of(&json!({"cuts": {"newcomer_cuts": 3}})).await;
        let bob = app.shopper("Bob").await;
        let tea = app.publish(&json!({})).await;
        let seat = app.open(&bob, &tea).await.expect(201).seat();
        app.pay(&bob, &seat.order).await.expect(200);
        let old = app.cut(&bob, &chain).await.expect(201).json;
        assert_eq!((&old["cut"]["steps"], &old["cut"]["amount_fen"]), (&json!(1), &json!(8_000)));
        let eve = app.shopper("Eve").await;
        let new = app.cut(&eve, &chain).await.expect(201).json;
        assert_eq!((&new["cut"]["steps"], &new["cut"]["amount_fen"]), (&json!(3), &json!(12_000)));
        assert_eq!(new["chain"]["state"], "floor_reached");
        let (_, _, short) = app.chain_of(&json!({"cuts": {"newcomer_cuts": 3}})).await;
        app.helped(&short).await;
        let last = app.shopper("Last").await;
        assert_eq!(app.cut(&last, &short).await.expect(201).json["cut"]["steps"], 1, "no more than are left");
        app.is_sound(&campaign).await;
    }

    async fn a_pause_stops_cuts_and_the_end_lets_open_chains_go_on(app: &mut TestApp) {
        let (campaign, owner, chain) = app.chain_of(&json!({})).await;
        let bob = app.shopper("Bob").await;
        app.step(&campaign, "pause").await.expect(200);
        app.cut(&bob, &chain).await.refused(409, "campaign_not_live");
        app.start_chain(&bob, &campaign).await.refused(409, "campaign_not_live");
        assert_eq!(app.start_chain(&owner, &campaign).await.expect(200).at("/chain/id"), chain);
        app.order_chain(&owner, &chain).await.expect(201);
        app.step(&campaign, "resume").await.expect(200);
        app.cut(&bob, &chain).await.expect(201);
        app.step(&campaign, "end").await.expect(200);
        app.start_chain(&bob, &campaign).await.refused(410, "campaign_ended");
        app.helped(&chain).await;
    }

    async fn what_one_kind_has_is_nothing_to_another(app: &mut TestApp) {
        let (campaign, ada, chain) = app.chain_of(&json!({})).await;
        let tea = app.publish(&json!({})).await;
        let seat = app.open(&ada, &tea).await.expect(201).seat();
        app.start_chain(&ada, &tea).await.refused(404, "not_found");
        app.open_for(&ada, &campaign, "cream", 1).await.refused(404, "not_found");
        app.post(&format!("/v1/campaigns/{campaign}/solo_orders")).by(&ada).json(json!({"sku": "cream", "quantity": 1})).await.refused(404, "not_found");
        let as_chain = seat.room.replace("room_", "chain_");
        for path in ["", "/proof", "/live"] {
            app.get(&format!("/v1/chains/{as_chain}{path}")).await.refused(404, "not_found");
        }
        app.cut(&ada, &as_chain).await.refused(404, "not_found");
        app.order_chain(&ada, &as_chain).await.refused(404, "not_found");
        let as_room = chain.replace("chain_", "room_");
        app.get(&format!("/v1/rooms/{as_room}")).await.refused(404, "not_found");
        app.get(&format!("/v1/rooms/{as_room}/live")).await.refused(404, "not_found");
        app.join(&ada, &as_room).await.refused(404, "not_found");
        let rooms = app.get(&format!("/v1/campaigns/{campaign}/rooms")).await.expect(200).json;
        assert_eq!(rooms["items"], json!([]));
        let campaigns = app.get("/v1/campaigns").await.expect(200).json;
        let kinds: Vec<&Value> = campaigns["items"].as_array().unwrap().iter().map(|campaign| &campaign["kind"]).collect();
        assert_eq!(kinds, ["group_buy", "bargain"]);
        let shown = &campaigns["items"][1];
        assert_eq!((&shown["items"][0]["floor_price_fen"], &shown["bargain"]["helpers"]), (&json!(9_900), &json!(4)));
        assert_eq!(shown["limits"]["helps_per_day"], 50);
    }

    async fn a_proof_is_checked_by_our_program_and_by_anybodys(app: &mut TestApp) {
        let liebian = env!("CARGO_BIN_EXE_liebian");
        for curve in ["even", "front_loaded", RANDOM] {
            let (campaign, owner, chain) = app.chain_of(&json!({"cuts": {"curve": curve, "helpers": 7}})).await;
            let first = app.proof(&chain).await;
            let open = app.chain(&chain).await;
            assert_eq!(first["commitment"], open["commitment"]);
            app.helped(&chain).await;
            let order = app.order_chain(&owner, &chain).await.expect(201);
            app.pay(&owner, &order.at("/order/id")).await.expect(200);
            let last = app.proof(&chain).await;
            assert_eq!(last["commitment"], first["commitment"], "it never moves");
            let floor = ["--start-fen", "29900", "--floor-fen", "9900", "--commitment", first["commitment"].as_str().unwrap()];
            let arguments = [&["verify-chain"], &floor[..]].concat();
            assert!(checked(liebian, &arguments, &last).0);
            assert!(checked("python3", &["-c", &python()], &last).0, "{curve}");
            let mut forged = last.clone();
            let schedule = fen(&last["schedule_fen"]);
            forged["schedule_fen"][0] = json!(schedule[0] + 1);
            forged["schedule_fen"][6] = json!(schedule[6] - 1);
            assert!(!checked(liebian, &["verify-chain"], &forged).0 && !checked("python3", &["-c", &python()], &forged).0, "{curve}");
            assert_eq!(app.chain(&chain).await["cuts"][0]["amount_fen"], schedule[0]);
            app.is_sound(&campaign).await;
        }
    }

    async fn the_seed_of_an_open_chain_is_nowhere_to_be_seen(app: &mut TestApp) {
        let (campaign, owner, chain) = app.chain_of(&json!({"cuts": {"curve": RANDOM}})).await;
        app.helped(&chain).await;
        let proof = app.proof(&chain).await;
        let told: Vec<bool> = proof["schedule_fen"].as_array().unwrap().iter().map(Value::is_i64).collect();
        assert_eq!((told, &proof["seed"]), (vec![true, true, false, false], &Value::Null));
        assert_eq!(proof["schedule_fen"][1], app.chain(&chain).await["next_cut_fen"]);
        assert!(!checked(env!("CARGO_BIN_EXE_liebian"), &["verify-chain"], &proof).0, "nothing to check yet");
        let live = app.live_at(&format!("/v1/chains/{chain}/live")).await.expect().await.data.to_string();
        let mut seen = vec![live];
        for path in [format!("/v1/chains/{chain}"), format!("/v1/chains/{chain}/proof"), format!("/v1/campaigns/{campaign}"), "/v1/me/chains".to_owned()] {
            seen.push(app.get(&path).session(&owner.session).await.expect(200).text);
        }
        for path in ["chains", "report", "orders"] {
            seen.push(app.get(&format!("/operator/v1/campaigns/{campaign}/{path}")).admin().await.expect(200).text);
        }
        for _ in 0..3 {
            app.helped(&chain).await;
        }
        let revealed = app.proof(&chain).await;
        let secret = revealed["seed"].as_str().unwrap().to_owned();
        assert!(seen.iter().all(|text| !text.contains(&secret)) && !app.log().contains(&secret));
        assert_eq!(revealed["schedule_fen"].as_array().unwrap().iter().filter(|step| step.is_i64()).count(), 4);
        app.wait_until_projected().await;
    }

    async fn a_key_gives_the_first_answer_again(app: &mut TestApp) {
        let (campaign, _, chain) = app.chain_of(&json!({})).await;
        let bob = app.shopper("Bob").await;
        let first = app.start_chain(&bob, &campaign).key("start").await.expect(201);
        let again = app.start_chain(&bob, &campaign).key("start").await.expect(201);
        assert_eq!((again.replayed(), again.at("/chain/id")), (true, first.at("/chain/id")));
        assert_eq!(app.start_chain(&bob, &campaign).await.expect(200).at("/chain/id"), first.at("/chain/id"), "without one: the chain there is");
        let cut = app.cut(&bob, &chain).key("cut").await.expect(201);
        app.helped(&chain).await;
        let again = app.cut(&bob, &chain).key("cut").await.expect(201);
        assert_eq!((again.replayed(), &again.json["chain"]["cuts_taken"]), (true, &cut.json["chain"]["cuts_taken"]));
        let own = app.cut(&bob, &first.at("/chain/id")).key("own").await.refused(403, "own_chain");
        assert!(!own.replayed() && app.cut(&bob, &first.at("/chain/id")).key("own").await.refused(403, "own_chain").replayed());
        let order = app.order_chain(&bob, &first.at("/chain/id")).key("order").await.expect(201);
        assert_eq!(app.order_chain(&bob, &first.at("/chain/id")).key("order").await.expect(201).at("/order/id"), order.at("/order/id"));
    }

    async fn a_chain_is_the_same_after_redis_has_lost_everything(app: &mut TestApp) {
        let (campaign, owner, chain) = app.chain_of(&json!({"cuts": {"curve": RANDOM}, "reserve_stock": "at_start"})).await;
        let bob = app.helped(&chain).await;
        let (before, proof) = (app.chain(&chain).await, app.proof(&chain).await);
        app.wait_until_projected().await;
        app.redis.kill();
        std::fs::remove_dir_all(app.redis.data_dir().join("appendonlydir")).expect("lose it");
        app.redis.restart().await;
        within(10, "the campaign is brought back", async || app.get(&format!("/v1/chains/{chain}")).await.status == 200).await;
        assert_eq!((app.chain(&chain).await, app.proof(&chain).await), (before, proof));
        assert_eq!(app.cut(&bob, &chain).await.expect(200).json["chain"]["cuts_taken"], 1);
        assert_eq!(app.start_chain(&owner, &campaign).await.expect(200).at("/chain/id"), chain);
        for _ in 0..3 {
            app.helped(&chain).await;
        }
        let order = app.order_chain(&owner, &chain).await.expect(201).at("/order/id");
        app.pay(&owner, &order).await.expect(200);
        assert!(checked(env!("CARGO_BIN_EXE_liebian"), &["verify-chain"], &app.proof(&chain).await).0);
        app.is_sound(&campaign).await;
    }

    async fn operators_see_chains_and_their_figures(app: &mut TestApp) {
        let (campaign, owner, chain) = app.chain_of(&json!({})).await;
        let bob = app.helped(&chain).await;
        let other = app.shopper("Other").await;
        let second = app.start_chain(&other, &campaign).await.expect(201).at("/chain/id");
        let order = app.order_chain(&owner, &chain).await.expect(201).at("/order/id");
        app.pay(&owner, &order).await.expect(200);
        let ids = async |query: &str| -> Vec<String> {
            let list = app.get(&format!("/operator/v1/campaigns/{campaign}/chains{query}")).admin().await.expect(200).json;
            list["items"].as_array().unwrap().iter().map(|chain| chain["id"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(ids("").await, [second.clone(), chain.clone()]);
        assert_eq!(ids("?state=bought").await, std::slice::from_ref(&chain));
        assert_eq!(ids("?state=open&sku=cream").await, std::slice::from_ref(&second));
        assert_eq!(ids("?sku=soap").await, Vec::<String>::new());
        assert_eq!(ids(&format!("?user_id={}", bob.user_id)).await, std::slice::from_ref(&chain), "helped");
        assert_eq!(ids(&format!("?user_id={}", other.user_id)).await, [second]);
        assert_eq!(ids("?from=2099-01-01T00:00:00Z").await, Vec::<String>::new());
        let list = app.get(&format!("/operator/v1/campaigns/{campaign}/chains?state=bought")).admin().await.expect(200).json;
        assert_eq!((&list["items"][0]["user_id"], &list["items"][0]["order_id"]), (&json!(owner.user_id), &json!(order)));
        let figures = app.report(&campaign).await["chains"].clone();
        assert_eq!(figures, json!({"started": 2, "completed": 0, "bought": 1, "expired": 0, "helps": 1, "helps_per_chain_hundredths": 50,
            "discount_fen": 8_000}));
    }
}
