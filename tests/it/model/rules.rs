//! The rules that campaigns of these tests play by.

use std::collections::BTreeMap;

use liebian::campaign::rules::{Item, Limits, Rules, Tier};

/// A time to count from, Unix ms. Not round: scores of timers have as many digits as in life.
pub const START: i64 = 1_795_305_600_123;

/// Two SKUs, `cherry` (rooms of `size`) and `plum` (rooms of 2); nobody is limited much.
pub fn definition(size: i64) -> Rules {
    let item = |size, price, list| {
        let tiers = vec![Tier { size, price }];
        Item { list, tiers, leader_price: None, solo_price: None, reserve_room: false }
    };
    Rules {
        version: 1,
        starts_at: START,
        ends_at: START + 7_200_000,
        room_ttl: 900_000,
        payment_ttl: 300_000,
        list_rooms: true,
        accept_from: None,
        newcomers_only: false,
        limits: Limits {
            quantity_per_order: 2,
            orders_per_user: 100,
            rooms_opened_per_user: 100,
            rooms_joined_per_user: 100,
            unpaid_per_user: 100,
            users_per_device: 100,
        },
        loss_budget: None,
        least_loss: 2475,
        items: BTreeMap::from([("cherry".to_owned(), item(size, 4950, 9900)), ("plum".to_owned(), item(2, 300, 2775))]),
    }
}
