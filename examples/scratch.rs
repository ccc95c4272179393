use liebian::{
    campaign::{self, rules::*},
    clock::Clock,
    group_buy::{self, ops::*},
    hot::{Engine, Read, engine::Claimed, lane::Place},
    id::*,
    order,
};
use std::collections::BTreeMap;
use std::sync::Arc;
#[tokio::main]
async fn main() {
    let clock = Arc::new(Clock::default());
    let e = Arc::new(Engine::new("redis://127.0.0.1:7799", clock.clone()).unwrap());
    let c = CampaignId::random(&mut rand::rng());
    e.open(c, &group_buy::PROGRAM);
    let cl = e.claim(c, &group_buy::PROGRAM, 1).await.unwrap();
    println!("{cl:?}");
    assert_eq!(cl, Claimed::Empty);
    assert!(e.wipe(c, &group_buy::PROGRAM, 1).await.unwrap());
    assert!(e.release(c, &group_buy::PROGRAM, 1, (0, "", 0)).await.unwrap());
    e.serve(c, Place { epoch: 1, seq: 0 });
    let now = clock.now().get();
    let stock: i64 = 1000000;
    let rules = Rules {
        version: 1,
        starts_at: now - 1000,
        ends_at: now + 86400000,
        room_ttl: 3600000,
        payment_ttl: 900000,
        list_rooms: true,
        limits: Limits {
            quantity_per_order: 1,
            orders_per_user: 2,
            rooms_opened_per_user: 1,
            rooms_joined_per_user: 2,
            unpaid_per_user: 1,
            users_per_device: 2,
        },
        items: BTreeMap::from([("cherry".to_owned(), Item { tiers: vec![Tier { size: 3, price: 4950 }] })]),
    };
    println!("{:?}", campaign::ops::publish(&e, c, &rules, &[("cherry".into(), stock)], None).await);
    let sh = || Shopper { user: UserId::random(&mut rand::rng()), device: DeviceId::random(&mut rand::rng()) };
    let a = sh();
    let d = open_room(&e, c, a, ("cherry", 1), None).await.unwrap();
    println!("{d:?}");
    let room = d.decision.unwrap().room_id;
    let b = sh();
    let d = join_room(&e, room, b, 1, None).await.unwrap();
    println!("{d:?}");
    let d = join_room(&e, room, b, 1, None).await.unwrap();
    println!("again {d:?}");
    let d3 = join_room(&e, room, sh(), 1, None).await.unwrap();
    let d4 = join_room(&e, room, sh(), 1, None).await.unwrap();
    println!("full {d4:?}");
    for s in [&d3] {
        let s = s.decision.as_ref().unwrap();
        for m in &s.room.members {
            let o = OrderId::from_hot(c, &m.1).unwrap();
            println!("{:?}", order::ops::pay(&e, o, &format!("t{}", m.1), 4950, now).await.unwrap());
        }
    }
    println!(
        "{:?}",
        e.read(c, &[Read::Row("rooms", room.hot()), Read::First("joinable", 10, "rooms"), Read::Row("stock", "cherry")]).await
    );
    for x in e.log_after(c, 0, 10).await.unwrap() {
        println!("{} {:?}", x.hash, x.body.events);
    }
    // throughput
    let n = 200_000usize;
    let t = std::time::Instant::now();
    let rooms: Vec<_> = futures_util::future::join_all((0..20000).map(|_| {
        let e = e.clone();
        async move {
            open_room(
                &e,
                c,
                Shopper { user: UserId::random(&mut rand::rng()), device: DeviceId::random(&mut rand::rng()) },
                ("cherry", 1),
                None,
            )
            .await
        }
    }))
    .await
    .into_iter()
    .filter_map(|d| d.ok()?.decision.ok())
    .map(|s| s.room_id)
    .collect();
    println!("opened {} in {:?}", rooms.len(), t.elapsed());
    let t = std::time::Instant::now();
    let mut hs = vec![];
    let w = 512;
    let rooms = Arc::new(rooms);
    for k in 0..w {
        let e = e.clone();
        let rooms = rooms.clone();
        hs.push(tokio::spawn(async move {
            let mut ok = 0;
            let mut i = k;
            while i < rooms.len() * 2 {
                let s = mk();
                let d = join_room(&e, rooms[i / 2], s, 1, None).await;
                if let Ok(d) = d
                    && d.decision.is_ok()
                {
                    ok += 1;
                }
                i += w;
            }
            ok
        }));
    }
    let mut ok = 0;
    for h in hs {
        ok += h.await.unwrap();
    }
    println!("joined {ok} of {n} {:?} -> {:.0}/s", t.elapsed(), ok as f64 / t.elapsed().as_secs_f64());
}

fn mk() -> Shopper {
    Shopper { user: UserId::random(&mut rand::rng()), device: DeviceId::random(&mut rand::rng()) }
}
