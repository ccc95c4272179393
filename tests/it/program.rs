//! How a program stands up to errors, stale callers, lost claims and a full Redis. What its ops decide is held against the model.

use std::sync::Arc;

use liebian::campaign::rules::Rules;
use liebian::group_buy::row::RoomRow;
use liebian::hot::engine::Claimed;
use liebian::hot::entry::Change;
use liebian::hot::redis::CallError;
use liebian::hot::{Class, Decided, Engine, Found, Place, RawAnswer, Read, Row as _};
use liebian::id::CampaignId;

use crate::model::{Book, Campaign, Cell, EPOCH, Kind, Op, Reference, Row, START, Sent, definition, engine};
use crate::support::Redis;

async fn published(engine: &Arc<Engine>) -> Campaign {
    let campaign = Campaign::fresh(engine).await;
    let stock = vec![("cherry".to_owned(), 1000), ("plum".to_owned(), 1000)];
    yes(&campaign, START, Op::Publish { definition: definition(3), stock }).await;
    campaign
}

fn open(room: &str, order: &str, user: &str) -> Op {
    let text = str::to_owned;
    Op::OpenRoom { room: text(room), order: text(order), user: text(user), device: text(user), sku: text("cherry"), quantity: 1 }
}

fn join(room: &str, order: &str, user: &str) -> Op {
    let text = str::to_owned;
    Op::JoinRoom { room: text(room), order: text(order), user: text(user), device: text(user), quantity: 1, newcomer: false }
}

fn pay(order: &str) -> Op {
    Op::Pay { order: order.to_owned(), transaction: format!("transaction of {order}"), amount: 4950, paid_at: START, barred: None }
}

fn answers(decided: Decided) -> Vec<RawAnswer> {
    match decided {
        Decided::Answers { answers, .. } => answers,
        Decided::Fenced(reason) => panic!("fenced: {reason}"),
    }
}

async fn yes(campaign: &Campaign, at: i64, op: Op) {
    let answers = answers(campaign.send(Class::Drain, at, &[op.into()]).await);
    assert_eq!(answers[0].yes, 1, "{}", answers[0].word);
}

/// One op under an epoch, as the engine hears it.
async fn under(engine: &Engine, campaign: CampaignId, epoch: i64, class: Class, op: Op) -> Result<Decided, CallError> {
    engine.decide_batch(campaign, &liebian::group_buy::PROGRAM, class, (epoch, START), &[Sent::from(op).packed()]).await
}

/// A shopper's row (orders, opened, joined, unpaid) that the program could never make: its next change raises an error.
async fn spoil_user(campaign: &Campaign, user: &str, row: [u8; 4]) {
    campaign.tamper("users", user, &row).await;
}

#[tokio::test]
async fn an_op_that_meets_an_id_of_somebody_else_breaks_and_changes_nothing() {
    let redis = Redis::start().await;
    let campaign = published(&engine(&redis.url())).await;
    let first =
        answers(campaign.send(Class::Admit, START, &[open("room", "one", "anna").into(), open("other", "two", "berta").into()]).await);
    assert!(first.iter().all(|answer| answer.yes == 1));
    let before = campaign.hot().await;
    // The order of another, as a leader and as a member; the room of another with an order of its own; one's own order in another room.
    let ops = [open("third", "one", "carla"), join("room", "two", "carla"), open("room", "three", "carla"), open("third", "one", "anna")];
    let words: Vec<_> = answers(campaign.send(Class::Admit, START, &ops.map(Sent::from)).await)
        .into_iter()
        .map(|answer| (answer.yes, answer.word))
        .collect();
    for ((yes, word), told) in words.iter().zip(["id of somebody else", "id of somebody else", "id of another room", "opened"]) {
        assert!(*yes == if told == "opened" { 1 } else { -1 } && word.contains(told), "{words:?}");
    }
    assert_eq!(campaign.hot().await, before);
}

#[tokio::test]
async fn an_op_that_raises_an_error_is_undone_and_its_neighbours_stand() {
    let redis = Redis::start().await;
    let engine = engine(&redis.url());
    let mut after = Vec::new();
    for with_error in [true, false] {
        let campaign = published(&engine).await;
        let mut batch = vec![open("room", "one", "anna").into(), join("room", "two", "berta").into()];
        if with_error {
            // The units are moved before it is seen that there are none.
            let (room, order, user) = ("room".to_owned(), "bad".to_owned(), "carla".to_owned());
            batch.insert(1, Op::JoinRoom { room, order, device: user.clone(), user, quantity: -1, newcomer: false }.into());
        }
        let answers = answers(campaign.send(Class::Admit, START, &batch).await);
        let yes: Vec<_> = answers.iter().map(|answer| answer.yes).collect();
        if with_error {
            assert_eq!(yes, [1, -1, 1]);
            assert!(answers[1].word.contains("cherry lacks -1 left"), "{}", answers[1].word);
        }
        let log = campaign.log().await;
        let events: Vec<_> = log.into_iter().flat_map(|entry| entry.body.events).collect();
        let hot = campaign.hot().await;
        after.push((hot.fields, hot.meta["seq"].clone(), events));
    }
    assert_eq!(after[0], after[1], "with the op that raised an error (left) and without it");
}

#[tokio::test]
async fn a_stale_sequence_is_refused_before_anything_has_changed() {
    let redis = Redis::start().await;
    let engine = engine(&redis.url());
    let campaign = published(&engine).await;
    yes(&campaign, START, open("room", "one", "anna")).await;
    campaign.tamper("meta", "seq", b"1").await;
    let before = campaign.hot().await;
    let batch: Vec<_> = [join("room", "two", "berta"), join("room", "three", "carla")].map(|op| Sent::from(op).packed()).into();
    // The longer batch ends after the log's head: only its first sequence is stale.
    let refused = engine.decide_batch(campaign.id, campaign.program, Class::Admit, (EPOCH, START + 9), &batch).await;
    assert!(matches!(&refused, Err(CallError::Failed(text)) if text.contains("XADD")), "{refused:?}");
    assert_eq!(campaign.hot().await, before);
    assert_eq!(campaign.log().await.len(), 2);
}

#[tokio::test]
async fn nothing_is_decided_behind_the_fence() {
    let mut redis = Redis::start().await;
    let first = engine(&redis.url());
    let campaign = published(&first).await;
    let before = campaign.hot().await;
    let fenced = |decided: Result<Decided, CallError>| match decided {
        Ok(Decided::Fenced(reason)) => reason,
        other => panic!("not fenced: {other:?}"),
    };
    let nobodys = CampaignId::random(&mut rand::rng());
    assert_eq!(fenced(under(&first, nobodys, EPOCH, Class::Drain, Op::Tick).await), "missing");
    for epoch in [EPOCH - 1, EPOCH + 1] {
        assert_eq!(fenced(under(&first, campaign.id, epoch, Class::Admit, open("room", "one", "anna")).await), "epoch");
    }
    assert_eq!(campaign.hot().await, before);

    redis.restart().await;
    let second = engine(&redis.url());
    let campaign = Campaign { engine: Arc::clone(&second), ..campaign };
    assert_eq!(fenced(under(&second, campaign.id, EPOCH, Class::Admit, open("room", "one", "anna")).await), "restarted");
    assert_eq!(campaign.hot().await, before);
    assert_eq!(second.stands(campaign.id, campaign.program, EPOCH).await.unwrap(), None);

    let claimed = second.claim(campaign.id, campaign.program, EPOCH + 1).await.unwrap();
    assert!(matches!(claimed, Claimed::Holds { seq: 1, .. }), "{claimed:?}");
    for epoch in [EPOCH, EPOCH + 1] {
        assert_eq!(fenced(under(&second, campaign.id, epoch, Class::Drain, Op::Tick).await), "fenced");
    }
    let hash = before.meta["hash"].clone();
    assert!(second.release(campaign.id, campaign.program, EPOCH + 1, (1, &hash, 0)).await.unwrap());
    assert_eq!(fenced(under(&second, campaign.id, EPOCH, Class::Drain, Op::Tick).await), "epoch");
    let decided = under(&second, campaign.id, EPOCH + 1, Class::Admit, open("room", "one", "anna")).await.unwrap();
    assert_eq!(answers(decided)[0].seq, 2);
    assert_eq!(campaign.log().await.len(), 2, "the log goes on, chained");
}

#[tokio::test]
async fn a_recovery_that_lost_its_claim_changes_nothing() {
    let redis = Redis::start().await;
    let engine = engine(&redis.url());
    let campaign = published(&engine).await;
    let (id, program) = (campaign.id, campaign.program);
    engine.claim(id, program, 2).await.unwrap();
    engine.claim(id, program, 3).await.unwrap();
    let change = [Change("stock".into(), "cherry".into(), serde_bytes::ByteBuf::from("x"))];
    for served in [false, true] {
        let before = campaign.hot().await;
        let entries = campaign.log().await.len();
        assert!(!engine.wipe(id, program, 2).await.unwrap());
        assert!(!engine.write(id, program, 2, &change).await.unwrap());
        assert!(!engine.release(id, program, 2, (0, "", 0)).await.unwrap());
        assert_eq!(engine.claim(id, program, 2).await.unwrap(), Claimed::Lost(3));
        assert_eq!(engine.claim(id, program, 3).await.unwrap(), Claimed::Lost(3));
        assert_eq!(campaign.hot().await, before);
        assert_eq!(campaign.log().await.len(), entries);
        if !served {
            let hash = before.meta["hash"].clone();
            assert!(engine.release(id, program, 3, (1, &hash, 0)).await.unwrap());
        }
    }
    assert!(engine.stands(id, program, 3).await.unwrap().is_some());
}

#[tokio::test]
async fn a_timer_that_breaks_is_put_off_and_told_while_the_others_fire() {
    let redis = Redis::start().await;
    let campaign = published(&engine(&redis.url())).await;
    // One member of the sorted set holds both deadlines.
    campaign.send(Class::Admit, START, &[open("broken", "one", "anna").into(), open("sound", "two", "berta").into()]).await;
    for order in ["one", "two"] {
        yes(&campaign, START, pay(order)).await;
    }
    // Failing the room gives back the allowance for opening it, and there is none: an error after much was changed.
    spoil_user(&campaign, "anna", [1, 0, 0, 0]).await;
    campaign.tamper_timer("nokind x", START + 1).await;
    let deadline = START + definition(3).room_ttl;
    let row = |hot: &crate::model::Hot, table: &'static str, field: &str| hot.cells()[&(table, field.to_owned())].clone();
    let before = campaign.hot().await;
    yes(&campaign, deadline, Op::Tick).await;
    let hot = campaign.hot().await;
    assert_eq!(row(&hot, "rooms", "broken"), row(&before, "rooms", "broken"));
    assert_eq!(row(&hot, "orders", "one"), row(&before, "orders", "one"));
    for timer in ["room broken", "nokind x"] {
        assert_eq!(row(&hot, "timers", timer), Cell::Score(deadline + 60_000));
    }
    let Cell::Row(Row::Room(sound)) = row(&hot, "rooms", "sound") else { panic!() };
    assert_eq!(sound.closed_at, deadline);
    let told: Vec<_> = campaign.log().await.pop().unwrap().body.events.into_iter().map(|event| event.1).collect();
    assert_eq!(told, ["timer.broken", "timer.broken", "group_buy.room_failed", "order.refund_due"]);

    spoil_user(&campaign, "anna", [1, 1, 0, 0]).await;
    yes(&campaign, deadline + 59_999, Op::Tick).await;
    assert_eq!(row(&campaign.hot().await, "rooms", "broken"), row(&before, "rooms", "broken"));
    yes(&campaign, deadline + 60_000, Op::Tick).await;
    let Cell::Row(Row::Room(mended)) = row(&campaign.hot().await, "rooms", "broken") else { panic!() };
    assert_eq!(mended.closed_at, deadline + 60_000);
}

#[tokio::test]
async fn a_tick_fires_a_hundred_timers_and_the_next_one_goes_on() {
    let redis = Redis::start().await;
    let campaign = Campaign::fresh(&engine(&redis.url())).await;
    let mut model = Reference::<Book>::default();
    let stock = vec![("cherry".to_owned(), 1000)];
    let mut batches = vec![(START, vec![Sent::from(Op::Publish { definition: definition(2), stock })])];
    // Two batches of one moment: the second has more holds than one timer may.
    for orders in [0..90, 90..250] {
        let opening = orders.map(|n| open(&format!("room{n}"), &format!("order{n}"), &format!("user{}", n % 50)).into()).collect();
        batches.push((START + 1, opening));
    }
    // Two ticks of one batch see the same timers.
    let due = START + 1 + definition(2).payment_ttl;
    batches.extend([(due, vec![Op::Tick.into()]), (due, vec![Op::Tick.into(), Op::Tick.into()]), (due, vec![Op::Tick.into()])]);
    let mut held = Vec::new();
    for (at, batch) in batches {
        let said: Vec<_> = answers(campaign.send(Class::Drain, at, &batch).await).iter().map(crate::model::Said::read).collect();
        assert_eq!(said, model.batch(at, &batch));
        let cells = campaign.hot().await.cells();
        assert_eq!(cells, model.book.cells());
        let holds = cells.keys().filter_map(|(table, field)| (*table == "timers").then(|| field.strip_prefix("hold "))?);
        held.push(holds.flat_map(|ids| ids.split(' ')).count());
    }
    assert_eq!(held, [0, 90, 250, 150, 50, 0]);
}

#[tokio::test]
async fn a_full_redis_admits_nobody_and_still_follows_money() {
    let redis = Redis::start().await;
    let engine = engine(&redis.url());
    let campaign = published(&engine).await;
    for order in ["one", "two", "three"] {
        yes(&campaign, START, open(&format!("room-{order}"), order, order)).await;
    }
    let _: String = engine.redis().command("CONFIG", &[b"SET", b"maxmemory", b"1"]).await.unwrap();
    let before = campaign.hot().await;
    let full = under(&engine, campaign.id, EPOCH, Class::Admit, open("room", "four", "dora")).await;
    assert!(matches!(&full, Err(CallError::Refused(_))), "{full:?}");
    assert_eq!(campaign.hot().await, before);
    yes(&campaign, START + 1, pay("one")).await;
    yes(&campaign, START + 1, Op::Cancel { order: "two".into(), user: "two".into() }).await;
    yes(&campaign, START + 900_000, Op::Tick).await;
    let Cell::Row(Row::Stock(stock)) = campaign.hot().await.cells()[&("stock", "cherry".to_owned())].clone() else { panic!() };
    assert_eq!((stock.left, stock.held, stock.sold), (1000, 0, 0), "paid and failed, cancelled, expired");
    assert_eq!(campaign.log().await.last().unwrap().body.last, campaign.hot().await.number("seq"));

    let _: String = engine.redis().command("CONFIG", &[b"SET", b"maxmemory", b"0"]).await.unwrap();
    let again = under(&engine, campaign.id, EPOCH, Class::Admit, open("room", "four", "dora")).await.unwrap();
    assert_eq!(answers(again)[0].yes, 1);
}

/// How many scripts Redis has run.
async fn scripts_run(engine: &Engine) -> u64 {
    let stats: String = engine.redis().command("INFO", &[b"commandstats"]).await.unwrap();
    let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")?.split(',').next()?.parse().ok());
    calls.unwrap_or(0)
}

#[tokio::test]
async fn reads_that_meet_go_together_and_each_gets_its_own() {
    let redis = Redis::start().await;
    let engine = engine(&redis.url());
    let campaign = Campaign::fresh(&engine).await;
    // A lane lives by Redis' clock: nothing is due by it.
    let now = engine.clock().now().get();
    let rules = Rules { starts_at: now, ends_at: now + 7_200_000, ..definition(3) };
    yes(&campaign, now, Op::Publish { definition: rules, stock: vec![("cherry".to_owned(), 1000)] }).await;
    let rooms: Vec<String> = (0..100).map(|number| format!("room{number}")).collect();
    for room in &rooms {
        yes(&campaign, now, open(room, &format!("order of {room}"), room)).await;
    }
    let place = Place { epoch: EPOCH, seq: 101 };
    engine.open(campaign.id, campaign.program);
    engine.serve(campaign.id, place, place);
    let before = scripts_run(&engine).await;
    let reads = rooms.iter().enumerate().map(async |(number, room)| {
        let asked = [Read::First("joinable", number, "rooms", "-inf"), Read::Row("rooms", room), Read::Row("users", "nobody")];
        let snapshot = engine.read(campaign.id, &asked[..number % 4]).await.unwrap();
        assert_eq!((snapshot.place, snapshot.found.len()), (place, number % 4));
        let mut found = snapshot.found.into_iter();
        if let Some(first) = found.next() {
            assert!(matches!(first, Found::Rows(rows) if rows.len() == number), "{number}");
        }
        if let Some(row) = found.next() {
            let Found::Row(Some(packed)) = row else { panic!("{room} is not there") };
            assert_eq!(RoomRow::read(&packed).unwrap().leader, format!("order of {room}"));
        }
        assert!(found.all(|nobody| matches!(nobody, Found::Row(None))));
    });
    futures_util::future::join_all(reads).await;
    let calls = scripts_run(&engine).await - before;
    assert!(calls <= 5, "{calls} calls");
}
