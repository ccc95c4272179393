//! Bonds made at once: whoever asks first, no circle is ever closed.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::support::{Answer, Db, Request, Second, Setup, Shopper, TestApp, all, crowd, programme, served, within};

/// Rings of each size.
const RINGS: usize = 8;
/// Shoppers who are bound anew in every round, and the rounds.
const PEOPLE: usize = 7;
const ROUNDS: usize = 24;

/// Shoppers, each with a code that binds others, in a campaign that every server serves.
async fn with_codes(app: &TestApp, servers: &[&str], campaign: &str, count: usize) -> Vec<(Shopper, String)> {
    let people = crowd(app, count).await;
    let codes = all(people.iter().map(|shopper| app.invite(shopper, campaign)).collect()).await;
    let people: Vec<_> = people.into_iter().zip(codes.iter().map(|answer| answer.at("/invite_code"))).collect();
    let (shopper, own) = &people[0];
    for server in servers {
        within(10, "the server serves it", async || bind(app, server, campaign, shopper, own).await.code() == "self_invite").await;
    }
    people
}

/// The request to be bound, at one of the servers.
fn bind(app: &TestApp, server: &str, campaign: &str, shopper: &Shopper, code: &str) -> Request {
    let url = format!("{server}/v1/campaigns/{campaign}/bonds");
    Request::from(app.http.post(url)).by(shopper).json(json!({"invite_code": code}))
}

/// Everybody's inviter. What another server answered stands in lists once SQL has it.
async fn inviters(app: &TestApp, servers: &[&str], campaign: &str) -> BTreeMap<String, String> {
    if servers.len() > 1 {
        app.wait_until_projected().await;
    }
    let list = app.get(&format!("/operator/v1/campaigns/{campaign}/bonds?limit=200")).admin().await.expect(200).json;
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    list["items"].as_array().expect("items").iter().map(|bond| (text(&bond["user_id"]), text(&bond["inviter_id"]))).collect()
}

/// Whoever goes up comes to an end.
fn no_circle(inviters: &BTreeMap<String, String>) {
    for start in inviters.keys() {
        let (mut seen, mut at) = (BTreeSet::from([start]), start);
        while let Some(above) = inviters.get(at) {
            assert!(seen.insert(above), "{start} is in or below a circle: {inviters:#?}");
            at = above;
        }
    }
}

/// Rings of two to five, all of whose bonds are asked for at once at servers in turn: of each exactly one bond is refused.
async fn each_ring_lacks_one(app: &TestApp, servers: &[&str]) {
    for size in 2..=5 {
        let campaign = app.publish_whole(&programme(&json!({}))).await;
        let people = with_codes(app, servers, &campaign, size * RINGS).await;
        let mut asked: Vec<Request> = Vec::new();
        for place in 0..size {
            // The bonds of one ring lie apart, so that many rings are under way with them.
            for ring in people.chunks(size) {
                let ((shopper, _), (_, code)) = (&ring[place], &ring[(place + 1) % size]);
                asked.push(bind(app, servers[asked.len() % servers.len()], &campaign, shopper, code));
            }
        }
        let answers = all(asked).await;
        for ring in 0..RINGS {
            let of_ring: Vec<&Answer> = answers.iter().skip(ring).step_by(RINGS).collect();
            let refused: Vec<&&Answer> = of_ring.iter().filter(|answer| answer.status != 201).collect();
            assert_eq!(refused.len(), 1, "of a ring of {size}: {refused:?}");
            (**refused[0]).clone().refused(409, "bond_cycle");
        }
        let bonds = inviters(app, servers, &campaign).await;
        no_circle(&bonds);
        assert_eq!(bonds.len(), (size - 1) * RINGS);
        app.is_sound(&campaign).await;
    }
}

/// By the last touch, each is bound to anybody else, over and over, while an operator ties and cuts bonds.
async fn nobody_is_ever_in_a_circle(app: &TestApp, servers: &[&str]) {
    let campaign = app.publish_whole(&programme(&json!({"bond": {"newcomers_only": false, "touch": "last"}}))).await;
    let people = with_codes(app, servers, &campaign, PEOPLE).await;
    let (mut rng, mut seen) = (StdRng::seed_from_u64(5), BTreeMap::<String, usize>::new());
    for round in 0..ROUNDS {
        let mut asked = Vec::new();
        for (place, (shopper, _)) in people.iter().enumerate() {
            let (other, code) = &people[(place + rng.random_range(1..PEOPLE)) % PEOPLE];
            asked.push(match rng.random_range(0..10) {
                0 => app.set_bond(&campaign, &shopper.user_id, &json!(other.user_id), "asked by phone"),
                1 => app.set_bond(&campaign, &shopper.user_id, &Value::Null, "asked by phone"),
                _ => bind(app, servers[asked.len() % servers.len()], &campaign, shopper, code),
            });
        }
        for answer in all(asked).await {
            let word = if answer.status < 300 { answer.status.to_string() } else { answer.code().to_owned() };
            *seen.entry(word).or_default() += 1;
        }
        no_circle(&inviters(app, servers, &campaign).await);
        if round % 8 == 7 {
            app.is_sound(&campaign).await;
        }
    }
    let words: Vec<&str> = seen.keys().map(String::as_str).collect();
    assert_eq!(words, ["200", "201", "bond_cycle"], "{seen:?}");
}

served! {
    async fn of_every_ring_that_is_asked_for_at_once_one_bond_is_refused(app: &mut TestApp) {
        each_ring_lacks_one(app, &[&app.base]).await;
    }

    async fn bonds_that_move_at_once_never_close_a_circle(app: &mut TestApp) {
        nobody_is_ever_in_a_circle(app, &[&app.base]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_close_no_circle_together() {
    let app = TestApp::start(Db::postgres().await, Setup::default()).await;
    let second = Second::start(&app).await;
    let servers = [app.base.as_str(), second.base.as_str()];
    each_ring_lacks_one(&app, &servers).await;
    nobody_is_ever_in_a_circle(&app, &servers).await;
    drop(second);
    app.finish().await;
}
