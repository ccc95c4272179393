//! Many at one chain: whatever the order, the schedule holds and nobody loses or doubles a cut.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Answer, all, crowd, served, within};

fn sum(list: &Value, name: &str) -> i64 {
    list.as_array().unwrap().iter().map(|one| one[name].as_i64().unwrap()).sum()
}

served! {
    async fn two_hundred_helpers_for_the_last_three_cuts_are_three(app: &mut TestApp) {
        let (campaign, _, chain) = app.chain_of(&json!({"cuts": {"helpers": 5, "curve": "random"}})).await;
        app.helped(&chain).await;
        app.helped(&chain).await;
        let helpers = crowd(app, 200).await;
        let answers = all(helpers.iter().map(|helper| app.cut(helper, &chain)).collect()).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 3);
        assert_eq!(answers.iter().filter(|answer| (answer.status, answer.code()) == (409, "chain_complete")).count(), 197);
        let done = app.chain(&chain).await;
        assert_eq!((&done["state"], &done["price_fen"]), (&json!("floor_reached"), &json!(9_900)));
        let (cuts, proof) = (&done["cuts"], app.proof(&chain).await);
        let amounts: Vec<&Value> = cuts.as_array().unwrap().iter().map(|cut| &cut["amount_fen"]).collect();
        assert_eq!(json!(amounts), proof["schedule_fen"]);
        assert_eq!((sum(cuts, "amount_fen"), sum(cuts, "steps")), (20_000, 5));
        app.is_sound(&campaign).await;
    }

    async fn one_helper_on_eight_connections_cuts_once(app: &mut TestApp) {
        let (campaign, _, chain) = app.chain_of(&json!({"limits": {"helps_per_day": 1}})).await;
        let bob = app.shopper("Bob").await;
        let clients: Vec<_> = (0..8).map(|_| reqwest::Client::builder().no_proxy().build().unwrap()).collect();
        let cut = async |client: &reqwest::Client| {
            let request = client.post(format!("{}/v1/chains/{chain}/cuts", app.base)).bearer_auth(&bob.session);
            let answer = request.header("X-Device-Token", &bob.device).send().await.unwrap();
            (answer.status().as_u16(), answer.json::<Value>().await.unwrap()["cut"].clone())
        };
        let answers = join_all(clients.iter().map(cut)).await;
        assert_eq!(answers.iter().filter(|(status, _)| *status == 201).count(), 1);
        assert!(answers.iter().all(|(status, cut)| [200, 201].contains(status) && *cut == answers[0].1));
        assert_eq!(app.chain(&chain).await["cuts_taken"], 1);
        app.is_sound(&campaign).await;
    }

    async fn one_owner_on_eight_connections_starts_one_chain_and_places_one_order(app: &mut TestApp) {
        let (campaign, ada, _) = app.chain_of(&json!({})).await;
        let bob = app.shopper("Bob").await;
        let started = all((0..8).map(|_| app.start_chain(&bob, &campaign)).collect()).await;
        let chain = started[0].at("/chain/id");
        assert_eq!(started.iter().filter(|answer| answer.status == 201).count(), 1);
        assert!(started.iter().all(|answer| answer.at("/chain/id") == chain));
        let ordered = all((0..8).map(|_| app.order_chain(&bob, &chain)).collect()).await;
        assert_eq!(ordered.iter().filter(|answer| answer.status == 201).count(), 1);
        assert!(ordered.iter().all(|answer| answer.at("/order/id") == ordered[0].at("/order/id")));
        assert_eq!(app.stock(&campaign).await, (99, 1, 0));
        app.order_chain(&ada, &chain).await.refused(403, "forbidden");
        app.is_sound(&campaign).await;
    }

    async fn an_owner_who_buys_while_cuts_arrive_pays_one_price_of_the_way(app: &mut TestApp) {
        let (campaign, owner, chain) = app.chain_of(&json!({"cuts": {"helpers": 40, "curve": "even"}})).await;
        let helpers = crowd(app, 30).await;
        let cuts = all(helpers.iter().map(|helper| app.cut(helper, &chain)).collect());
        let buying = async {
            let order = app.order_chain(&owner, &chain).await.expect(201);
            app.pay(&owner, &order.at("/order/id")).await.expect(200)
        };
        let (cuts, paid) = tokio::join!(cuts, buying);
        let amount: i64 = paid.at("/amount_fen").parse().unwrap();
        assert_eq!((29_900 - amount) % 500, 0, "a whole number of cuts");
        assert_eq!((paid.at("/state"), paid.at("/paid_fen")), ("confirmed".into(), amount.to_string()));
        let bought = app.chain(&chain).await;
        let taken = bought["cuts_taken"].as_i64().unwrap();
        let (done, refused): (Vec<&Answer>, Vec<&Answer>) = cuts.iter().partition(|answer| answer.status == 201);
        assert_eq!((bought["state"].clone(), done.len()), (json!("bought"), usize::try_from(taken).unwrap()));
        assert!(refused.iter().all(|answer| answer.code() == "chain_complete"));
        assert!(bought["price_fen"].as_i64().unwrap() <= amount);
        app.is_sound(&campaign).await;
    }

    async fn the_last_cut_against_the_deadline_is_in_time_or_refused(app: &mut TestApp) {
        let (campaign, _, first) = app.chain_of(&json!({"cuts": {"helpers": 1}, "chain_ttl_seconds": 600, "buy_ttl_seconds": 6_000})).await;
        let mut chains = vec![first];
        for _ in 0..7 {
            let owner = app.shopper("Owner").await;
            chains.push(app.start_chain(&owner, &campaign).await.expect(201).at("/chain/id"));
        }
        let helpers = crowd(app, 8).await;
        let cuts = all(helpers.iter().zip(&chains).map(|(helper, chain)| app.cut(helper, chain)).collect());
        let ((), cuts) = tokio::join!(app.advance(601), cuts);
        for (chain, answer) in chains.iter().zip(&cuts) {
            within(10, "the chain is decided", async || app.chain(chain).await["state"] != "open").await;
            let (state, taken) = (app.chain(chain).await["state"].clone(), app.chain(chain).await["cuts_taken"].clone());
            match answer.status {
                201 => assert_eq!((state, taken), (json!("floor_reached"), json!(1))),
                _ => assert_eq!((answer.code(), state, taken), ("chain_expired", json!("expired"), json!(0))),
            }
        }
        app.is_sound(&campaign).await;
    }
}
