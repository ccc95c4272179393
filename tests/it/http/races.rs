//! Many at once: what must be right whatever the order.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::IntoFuture;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Answer, Seat, Shopper, all, crowd, served, with};

fn with_status(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

fn roomy(size: i64, stock: i64) -> Value {
    with(size, stock, &json!({"users_per_device": 100_000}))
}

served! {
    async fn a_thousand_buyers_of_a_hundred_units_make_a_hundred_orders(app: &mut TestApp) {
        let campaign = app.publish_whole(&roomy(2, 100)).await;
        let buyers = crowd(app, 1000).await;
        let answers = all(buyers.iter().map(|buyer| app.open(buyer, &campaign)).collect()).await;
        assert_eq!(with_status(&answers, 201), 100);
        let refused = answers.iter().filter(|answer| (answer.status, answer.code()) == (409, "sold_out")).count();
        assert_eq!(refused, 900);
        assert_eq!(app.stock(&campaign).await, (0, 100, 0));
        assert_eq!(app.report(&campaign).await["orders"], json!({"awaiting_payment": 100}));
        let seqs: BTreeSet<i64> = answers.iter().filter(|answer| answer.status == 201).map(|answer| answer.seq().unwrap().2).collect();
        assert_eq!((seqs.len(), seqs.last().unwrap() - seqs.first().unwrap()), (100, 99), "one after the other, nothing between");
    }

    async fn twenty_joiners_of_two_seats_are_two(app: &mut TestApp) {
        let campaign = app.publish_whole(&roomy(3, 100)).await;
        let (_, seat) = app.opened(&campaign).await;
        let (_, other) = app.opened(&campaign).await;
        let joiners = crowd(app, 20).await;
        let answers = join_all(joiners.iter().map(|joiner| app.join(joiner, &seat.room).into_future())).await;
        assert_eq!(with_status(&answers, 201), 2);
        let refused: Vec<&Answer> = answers.iter().filter(|answer| answer.code() == "room_full").collect();
        assert_eq!(refused.len(), 18);
        assert!(refused.iter().all(|answer| answer.json["alternative"]["room_id"] == other.room));
        let room = app.room(&seat.room).await;
        assert_eq!((&room["seats_taken"], &room["seats_left"]), (&json!(3), &json!(0)));
        assert_eq!(app.stock(&campaign).await, (96, 4, 0));
    }

    async fn one_shopper_on_eight_connections_has_one_seat(app: &mut TestApp) {
        let campaign = app.publish_whole(&roomy(5, 100)).await;
        let (_, seat) = app.opened(&campaign).await;
        let ada = app.shopper("Ada").await;
        let clients: Vec<_> = (0..8).map(|_| reqwest::Client::builder().no_proxy().build().unwrap()).collect();
        let join = async |client: &reqwest::Client| {
            let request = client.post(format!("{}/v1/rooms/{}/members", app.base, seat.room)).bearer_auth(&ada.session);
            let answer = request.header("X-Device-Token", &ada.device).json(&json!({"quantity": 1})).send().await.unwrap();
            (answer.status().as_u16(), answer.json::<Value>().await.unwrap()["order"]["id"].clone())
        };
        let answers = join_all(clients.iter().map(join)).await;
        assert_eq!(answers.iter().filter(|(status, _)| *status == 201).count(), 1);
        assert_eq!(answers.iter().filter(|(status, _)| *status == 200).count(), 7);
        assert!(answers.iter().all(|(_, order)| *order == answers[0].1));
        assert_eq!(app.stock(&campaign).await, (98, 2, 0));
    }

    async fn payments_of_all_seats_at_once_form_each_room_once(app: &mut TestApp) {
        let campaign = app.publish_whole(&roomy(3, 100)).await;
        let mut seats: Vec<(Shopper, Seat)> = Vec::new();
        for _ in 0..5 {
            let first = app.opened(&campaign).await;
            let room = first.1.room.clone();
            seats.push(first);
            seats.push(app.joined(&room).await);
            seats.push(app.joined(&room).await);
        }
        let twice = seats.iter().chain(&seats).map(|(shopper, seat)| app.pay(shopper, &seat.order)).collect();
        let answers = all(twice).await;
        for answer in &answers {
            assert_eq!(answer.status, 200, "{}", answer.text);
        }
        let report = app.report(&campaign).await;
        assert_eq!((&report["rooms"], &report["orders"], &report["paid_fen"]), (&json!({"formed": 5}), &json!({"confirmed": 15}), &json!(15 * 4950)));
        let view = app.get(&format!("/v1/campaigns/{campaign}")).await.expect(200).json;
        assert_eq!((&view["rooms_formed"], &view["rooms_open"]), (&json!(5), &json!(0)));
        assert_eq!(app.stock(&campaign).await, (85, 0, 15));
    }

    async fn the_last_payment_against_the_deadline_is_in_time_or_given_back(app: &mut TestApp) {
        let mut definition = roomy(2, 100);
        (definition["room_ttl_seconds"], definition["payment_ttl_seconds"]) = (json!(600), json!(600));
        let campaign = app.publish_whole(&definition).await;
        let mut rooms = Vec::new();
        for _ in 0..6 {
            let first = app.opened_and_paid(&campaign).await;
            let second = app.joined(&first.1.room).await;
            rooms.push((first, second));
        }
        let pays = all(rooms.iter().map(|(_, (shopper, seat))| app.pay(shopper, &seat.order)).collect());
        let ((), paid) = tokio::join!(app.advance(601), pays);
        let mut formed = 0;
        for ((first, second), answer) in rooms.iter().zip(&paid) {
            crate::support::within(10, "the room is decided", async || app.room(&first.1.room).await["state"] != "open").await;
            if app.room(&first.1.room).await["state"] == "formed" {
                formed += 1;
                assert_eq!(answer.status, 200, "{}", answer.text);
                assert_eq!(app.state_of(&first.0, &first.1.order).await, "confirmed");
                assert_eq!(app.state_of(&second.0, &second.1.order).await, "confirmed");
            } else {
                app.until_state(&first.0, &first.1.order, "refunded").await;
                let late = app.order(&second.0, &second.1.order).await;
                let state = late["state"].as_str().unwrap();
                assert!(["released", "refund_due", "refunded"].contains(&state), "{late}");
                assert_eq!(late["paid_fen"] != 0, state != "released", "{late}");
            }
        }
        assert_eq!(app.stock(&campaign).await, (100 - 2 * formed, 0, 2 * formed));
    }

    async fn the_order_of_answers_is_one_history(app: &mut TestApp) {
        const PEOPLE: usize = 60;
        let campaign = app.publish_whole(&with(3, 50, &json!({"users_per_device": 1000, "unpaid_per_user": 9, "orders_per_user": 9}))).await;
        let (_, first) = app.opened(&campaign).await;
        let (_, second) = app.opened(&campaign).await;
        let people = crowd(app, PEOPLE).await;
        // Each opens a room, joins one of two, gives its own room up or asks for the payment, joins again.
        let walk = async |number: usize, shopper: &Shopper| {
            let mut told = Vec::new();
            let opened = app.open(shopper, &campaign).await;
            let own = (opened.status == 201).then(|| opened.seat());
            told.push((Act::Open, opened));
            let room = if number.is_multiple_of(2) { &first.room } else { &second.room };
            told.push((Act::Join(room.clone(), shopper.user_id.clone()), app.join(shopper, room).await));
            if let Some(own) = own {
                let answer = if number.is_multiple_of(3) { app.cancel(shopper, &own.order).await } else { app.ask_payment(shopper, &own.order).await };
                told.push((if number.is_multiple_of(3) { Act::Cancel(own.room) } else { Act::Ask }, answer));
            }
            told.push((Act::Join(room.clone(), shopper.user_id.clone()), app.join(shopper, room).await));
            told
        };
        let told = join_all(people.iter().enumerate().map(|(number, shopper)| walk(number, shopper))).await;
        History::new(48, [(first.room.clone(), 1), (second.room.clone(), 1)]).replay(told.into_iter().flatten().collect());
    }
}

/// What was asked.
#[derive(Clone, Debug)]
enum Act {
    Open,
    Join(String, String),
    Cancel(String),
    Ask,
}

/// A model of the campaign, moved by answers in the order of their sequence numbers.
struct History {
    left: i64,
    taken: BTreeMap<String, i64>,
    members: BTreeSet<(String, String)>,
}

impl History {
    fn new(left: i64, rooms: [(String, i64); 2]) -> Self {
        Self { left, taken: rooms.into(), members: BTreeSet::new() }
    }

    /// Every accepted op has a sequence number of its own and none is missing; what was refused or repeated was right at its place.
    fn replay(mut self, mut told: Vec<(Act, Answer)>) {
        let changed = |act: &Act, answer: &Answer| answer.status == 201 || (answer.status == 200 && !matches!(act, Act::Join(..)));
        told.retain(|(_, answer)| answer.seq().is_some());
        told.sort_by_key(|(act, answer)| (answer.seq().unwrap().2, !changed(act, answer)));
        let seqs: Vec<i64> = told.iter().filter(|(act, answer)| changed(act, answer)).map(|(_, answer)| answer.seq().unwrap().2).collect();
        let expected: Vec<i64> = (seqs[0]..).take(seqs.len()).collect();
        assert_eq!(seqs, expected, "unique and without a gap");
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for (act, answer) in &told {
            self.step(act, answer);
            *seen.entry(answer.code()).or_default() += 1;
        }
        assert!(seen.len() > 1, "refusals are part of it: {seen:?}");
        assert!(self.left >= 0);
    }

    fn step(&mut self, act: &Act, answer: &Answer) {
        let room_of = |answer: &Answer| answer.at("/room/id");
        let seats = |answer: &Answer| answer.json["room"]["seats_taken"].as_i64().unwrap();
        match (act, answer.status, answer.code()) {
            (Act::Open, 201, _) => {
                self.left -= 1;
                self.taken.insert(room_of(answer), 1);
            }
            (Act::Join(room, user), 201, _) => {
                self.left -= 1;
                let taken = self.taken.get_mut(room).unwrap();
                *taken += 1;
                assert_eq!(*taken, seats(answer), "{}", answer.text);
                assert!(self.members.insert((room.clone(), user.clone())), "seated twice: {}", answer.text);
            }
            (Act::Join(room, user), 200, _) => {
                assert!(self.members.contains(&(room.clone(), user.clone())), "{}", answer.text);
                assert_eq!(self.taken[room], seats(answer), "{}", answer.text);
            }
            (Act::Cancel(room), 200, _) => {
                self.left += 1;
                *self.taken.get_mut(room).unwrap() -= 1;
            }
            (Act::Ask, 200, _) => {}
            (Act::Open | Act::Join(..), 409, "sold_out") => assert_eq!(self.left, 0, "{}", answer.text),
            (Act::Join(room, _), 409, "room_full") => assert_eq!(self.taken[room], 3, "{}", answer.text),
            (act, status, _) => panic!("{act:?} was answered {status} {}", answer.text),
        }
    }
}
