//! Bonds and rewards as the referral program decides them, with a clock of its own, and what SQL and the ledger make of its log.

use std::collections::BTreeMap;
use std::sync::Arc;

use liebian::app::program_of;
use liebian::campaign::rules::ReferralRules;
use liebian::clock::{Clock, UnixMs};
use liebian::hot::{Class, Decided, RawAnswer, Row};
use liebian::projector::cursor::Cursor;
use liebian::projector::{Projector, Tail};
use liebian::referral::PROGRAM;
use liebian::referral::projection::ReferralProjection;
use liebian::referral::row::{BondRow, RewardState, SaleRow, SpentRow};
use liebian::store::{execute, fetch_all, fetch_one};
use serde_json::{Value, json};

use crate::model::{Campaign, EPOCH, START, engine};
use crate::support::{Db, Redis};

const DAY: i64 = 86_400_000;
/// A freeze of an hour.
const FREEZE: i64 = 3_600_000;

fn rules() -> ReferralRules {
    ReferralRules {
        version: 1,
        starts_at: START,
        ends_at: START + 100 * DAY,
        newcomers_only: false,
        first_touch: true,
        expires_after: None,
        protected: None,
        budget: None,
        daily_budget: None,
        items: BTreeMap::new(),
    }
}

struct Desk {
    campaign: Campaign,
    _redis: Redis,
}

impl Desk {
    async fn open(rules: ReferralRules) -> Self {
        let redis = Redis::start().await;
        let campaign = Campaign::with(&engine(&redis.url()), &PROGRAM).await;
        let desk = Self { campaign, _redis: redis };
        let no_stock: [(&str, i64); 0] = [];
        let published = desk.ask(START, &json!({"op": "publish", "definition": rules, "stock": no_stock})).await;
        assert_eq!(published.word, "published");
        desk
    }

    async fn ask(&self, at: i64, op: &Value) -> RawAnswer {
        self.ask_all(at, std::slice::from_ref(op)).await.remove(0)
    }

    /// Ops in one batch.
    async fn ask_all(&self, at: i64, ops: &[Value]) -> Vec<RawAnswer> {
        let packed: Vec<_> = ops.iter().map(|op| rmp_serde::to_vec_named(op).unwrap()).collect();
        let class = if ops[0]["op"] == "bind" { Class::Admit } else { Class::Drain };
        match self.campaign.engine.decide_batch(self.campaign.id, &PROGRAM, class, (EPOCH, at), &packed).await.unwrap() {
            Decided::Answers { answers, .. } => answers,
            Decided::Fenced(reason) => panic!("fenced: {reason}"),
        }
    }

    async fn bind(&self, at: i64, user: &str, inviter: &str) -> String {
        self.ask(at, &bind(user, inviter)).await.word
    }

    /// Binds in one batch: each with its inviter.
    async fn bind_all(&self, pairs: &[(&str, &str)]) -> Vec<String> {
        let ops: Vec<_> = pairs.iter().map(|(user, inviter)| bind(user, inviter)).collect();
        self.ask_all(START, &ops).await.into_iter().map(|answer| answer.word).collect()
    }

    async fn report(&self, at: i64, sale: &Value) -> SaleRow {
        let answer = self.ask(at, sale).await;
        assert_eq!((answer.yes, answer.word.as_str()), (1, "reported"), "{}", answer.word);
        SaleRow::read(&answer.payload[0]).unwrap()
    }

    async fn row<T: Row>(&self, table: &str, field: &str) -> Option<T> {
        let table = self.campaign.engine.table(self.campaign.id, table).await.unwrap();
        table.get(field).map(|packed| T::read(packed).unwrap())
    }

    async fn spent(&self) -> SpentRow {
        self.row("spent", "rewards").await.unwrap_or_default()
    }

    async fn events(&self) -> Vec<String> {
        self.campaign.log().await.into_iter().flat_map(|entry| entry.body.events).map(|event| event.1).collect()
    }

    /// How far the log is.
    async fn seq(&self) -> i64 {
        self.campaign.log().await.last().map_or(0, |entry| entry.body.last)
    }
}

/// An id as hot state has it.
fn hot(name: &str) -> String {
    format!("{name:0>14}")
}

fn bind(user: &str, inviter: &str) -> Value {
    json!({"op": "bind", "user": hot(user), "inviter": hot(inviter), "newcomer": true})
}

/// A sale of `d`, whose inviter is `c` and whose inviter's inviter is `b`.
fn sale(number: &str, fens: (i64, i64), backs: (i64, i64), fulfilled_at: i64) -> Value {
    json!({"op": "report_sale", "sale": number, "buyer": hot("d"), "level1": hot("c"), "level2": hot("b"), "fen1": fens.0, "fen2": fens.1,
        "back1": backs.0, "back2": backs.1, "freeze": FREEZE, "fulfilled_at": fulfilled_at})
}

const fn states(sale: &SaleRow) -> (RewardState, RewardState) {
    (sale.level1.state, sale.level2.state)
}

#[tokio::test]
async fn a_reward_is_frozen_until_its_order_has_been_fulfilled_long_enough() {
    let desk = Desk::open(rules()).await;
    let placed = desk.report(START, &sale("one", (100, 30), (0, 0), 0)).await;
    assert_eq!((states(&placed), placed.level1.fen, placed.level2.fen), ((RewardState::Frozen, RewardState::Frozen), 100, 30));
    assert_eq!(desk.spent().await.total, 130);
    let at = START + 10;
    desk.report(at, &sale("one", (100, 30), (0, 0), at)).await;
    for (now, state) in [(at + FREEZE - 1, RewardState::Frozen), (at + FREEZE, RewardState::Available)] {
        desk.ask(now, &json!({"op": "tick"})).await;
        let row: SaleRow = desk.row("sales", "one").await.unwrap();
        assert_eq!(states(&row), (state, state));
    }
    // Reported late, when the freeze is over already.
    let late = desk.report(START + DAY, &sale("late", (100, 0), (0, 0), START)).await;
    assert_eq!(states(&late), (RewardState::Available, RewardState::None));
    let told = [
        "campaign.published",
        "referral.rewarded",
        "referral.rewarded",
        "referral.reward_available",
        "referral.reward_available",
        "referral.rewarded",
        "referral.reward_available",
    ];
    assert_eq!(desk.events().await, told);
}

#[tokio::test]
async fn a_repeat_of_a_report_changes_nothing_and_none_leads_back() {
    let desk = Desk::open(rules()).await;
    let at = START + 5;
    let whole = sale("one", (100, 30), (40, 12), at);
    let first = desk.report(at, &whole).await;
    let seq = desk.seq().await;
    let back = [sale("one", (100, 30), (0, 0), 0), sale("one", (999, 999), (40, 12), at + 9), sale("one", (100, 30), (10, 30 - 30), at)];
    for repeat in [&whole].into_iter().chain(&back) {
        assert_eq!(desk.report(at + 50, repeat).await, first);
    }
    assert_eq!((desk.seq().await, desk.spent().await.total), (seq, 78));
}

#[tokio::test]
async fn what_goes_back_is_told_with_the_state_it_was_in_and_is_never_more_than_was_granted() {
    let desk = Desk::open(ReferralRules { budget: Some(130), daily_budget: Some(200), ..rules() }).await;
    let at = START + 5;
    desk.report(at, &sale("one", (100, 30), (0, 0), at)).await;
    desk.report(at, &sale("one", (100, 30), (25, 7), at)).await;
    desk.ask(at + FREEZE, &json!({"op": "tick"})).await;
    let all = desk.report(at + FREEZE, &sale("one", (100, 30), (900, 30), at)).await;
    assert_eq!((all.level1.back, all.level2.back), (100, 30));
    let spent = desk.spent().await;
    assert_eq!((spent.total, spent.today), (0, 130), "back in the whole budget, not in the day's");
    let log = desk.campaign.log().await;
    let told: Vec<_> = log.iter().flat_map(|entry| &entry.body.events).filter(|event| event.1.ends_with("reversed")).collect();
    let told: Vec<(i64, i64, String)> = told
        .iter()
        .map(|event| {
            let fields: BTreeMap<String, rmpv::Value> = event.fields().unwrap();
            (fields["level"].as_i64().unwrap(), fields["fen"].as_i64().unwrap(), fields["was"].as_str().unwrap().to_owned())
        })
        .collect();
    let (frozen, available) = ("frozen".to_owned(), "available".to_owned());
    assert_eq!(told, [(1, 25, frozen.clone()), (2, 7, frozen), (1, 75, available.clone()), (2, 23, available)]);
    // 130 of the 200 of this day are gone, though all of it came back.
    let next = desk.report(at + FREEZE, &sale("two", (71, 70), (0, 0), 0)).await;
    assert_eq!(states(&next), (RewardState::OverDailyBudget, RewardState::Frozen));
}

#[tokio::test]
async fn a_level_is_granted_whole_or_not_at_all_and_level_one_first() {
    let desk = Desk::open(ReferralRules { budget: Some(150), ..rules() }).await;
    assert_eq!(states(&desk.report(START, &sale("one", (100, 60), (0, 0), 0)).await), (RewardState::Frozen, RewardState::OverBudget));
    assert_eq!(states(&desk.report(START, &sale("two", (51, 50), (0, 0), 0)).await), (RewardState::OverBudget, RewardState::Frozen));
    assert_eq!(desk.spent().await.total, 150);
    assert_eq!(desk.bind(START, "x", "y").await, "budget_exhausted");
    // What was refused stays refused, also when there is room again.
    desk.report(START, &sale("one", (100, 60), (100, 0), 0)).await;
    let refused = desk.report(START, &sale("one", (100, 60), (100, 60), START)).await;
    assert_eq!((states(&refused), refused.level2.back), ((RewardState::Frozen, RewardState::OverBudget), 0));
    assert_eq!(desk.bind(START, "x", "y").await, "bound");
}

#[tokio::test]
async fn the_days_budget_is_that_of_a_day_in_china() {
    // START is a moment of some day; the next midnight of UTC+8 begins a new one.
    let midnight = (START + 8 * 3_600_000) / DAY * DAY + DAY - 8 * 3_600_000;
    let desk = Desk::open(ReferralRules { daily_budget: Some(100), ..rules() }).await;
    assert_eq!(states(&desk.report(midnight - 1, &sale("one", (100, 0), (0, 0), 0)).await).0, RewardState::Frozen);
    assert_eq!(states(&desk.report(midnight - 1, &sale("two", (1, 0), (0, 0), 0)).await).0, RewardState::OverDailyBudget);
    assert_eq!(states(&desk.report(midnight, &sale("three", (100, 0), (0, 0), 0)).await).0, RewardState::Frozen);
    assert_eq!(desk.spent().await.total, 200);
}

#[tokio::test]
async fn sixty_four_reports_at_once_never_overspend() {
    let desk = Arc::new(Desk::open(ReferralRules { budget: Some(1_000), daily_budget: Some(900), ..rules() }).await);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..64 {
        let desk = Arc::clone(&desk);
        tasks.spawn(async move { desk.report(START, &sale(&format!("sale{number}"), (70, 30), (0, 0), 0)).await });
    }
    let sales = tasks.join_all().await;
    let standing: i64 =
        sales.iter().flat_map(|sale| [&sale.level1, &sale.level2]).filter(|level| level.state.granted()).map(|level| level.fen).sum();
    let spent = desk.spent().await;
    assert_eq!((spent.total, spent.today), (standing, standing));
    assert!((871..=900).contains(&standing), "{standing}: as much as fits and no more");
}

#[tokio::test]
async fn no_bond_closes_a_circle_of_any_length() {
    let desk = Desk::open(rules()).await;
    assert_eq!(desk.bind(START, "p0", "p0").await, "self_invite");
    for number in 1..=64 {
        assert_eq!(desk.bind(START, &format!("p{number}"), &format!("p{}", number - 1)).await, "bound", "{number}");
        let top = desk.bind(START, "p0", &format!("p{number}")).await;
        assert_eq!(top, "bond_cycle", "a circle of {}", number + 1);
    }
}

#[tokio::test]
async fn a_tree_is_at_most_64_levels_deep() {
    let desk = Desk::open(ReferralRules { expires_after: Some(1_000), ..rules() }).await;
    for number in 1..=64 {
        let at = if number == 1 { START } else { START + 500 };
        assert_eq!(desk.bind(at, &format!("p{number}"), &format!("p{}", number - 1)).await, "bound", "{number}");
    }
    assert_eq!(desk.bind(START + 999, "leaf", "p64").await, "bond_cycle");
    // One bond less above.
    assert_eq!(desk.bind(START + 1_000, "leaf", "p64").await, "bound");
    let row: BondRow = desk.row("bonds", &hot("leaf")).await.unwrap();
    assert_eq!((row.inviter, row.above), (hot("p64"), 64));
    assert_eq!(desk.bind(START + 1_000, "other", "leaf").await, "bond_cycle");
}

#[tokio::test]
async fn a_line_that_grew_from_below_is_no_deeper() {
    let desk = Desk::open(rules()).await;
    for number in (1..=64).rev() {
        assert_eq!(desk.bind(START, &format!("p{number}"), &format!("p{}", number - 1)).await, "bound", "{number}");
    }
    assert_eq!(desk.bind(START, "leaf", "p64").await, "bond_cycle");
    assert_eq!([desk.bind(START + 5, "leaf", "p63").await, desk.bind(START + 9, "other", "p64").await], ["bound", "bond_cycle"]);
    // Who was bound since knows.
    let row: BondRow = desk.row("bonds", &hot("leaf")).await.unwrap();
    assert_eq!((row.inviter, row.above), (hot("p63"), 64));
    assert_eq!(desk.bind(START + 9, "other", "leaf").await, "bond_cycle");
    assert_eq!(desk.bind(START + 9, "p0", "top").await, "bound", "who closes no circle may be bound however deep others lie");
    assert_eq!(desk.bind(START + 99, "other", "p63").await, "bond_cycle");
    assert_eq!(desk.bind(START + 99, "other", "p62").await, "bound");
}

#[tokio::test]
async fn who_was_bound_before_and_who_invited_before_is_looked_at_again() {
    let desk = Desk::open(rules()).await;
    for number in 1..=64 {
        assert_eq!(desk.bind(START, &format!("p{number}"), &format!("p{}", number - 1)).await, "bound", "{number}");
    }
    assert_eq!(desk.bind(START, "leaf", "p62").await, "bound");
    assert_eq!(desk.bind_all(&[("child", "mother"), ("mother", "p64")]).await, ["bound", "bond_cycle"], "p64 and 64 above");
    assert_eq!(desk.bind(START, "mother", "p63").await, "bound");
    // What was cut or is over counts all the same.
    let cut = json!({"op": "set_bond", "user": hot("leaf"), "inviter": "", "by": "key_x", "reason": "asked"});
    assert_eq!((desk.bind(START, "leaf2", "leaf").await, desk.ask(START, &cut).await.word.as_str()), ("bound".to_owned(), "unbound"));
    assert_eq!(desk.bind(START, "leaf", "leaf2").await, "bond_cycle");
    let cut = json!({"op": "set_bond", "user": hot("leaf2"), "inviter": "", "by": "key_x", "reason": "asked"});
    assert_eq!(desk.ask(START, &cut).await.word, "unbound");
    assert_eq!(desk.bind(START, "leaf", "p64").await, "bond_cycle");
    assert_eq!(desk.bind(START, "leaf", "leaf2").await, "bound");
}

#[tokio::test]
async fn a_circle_is_seen_that_begins_and_ends_in_one_batch() {
    let desk = Desk::open(rules()).await;
    assert_eq!(desk.bind_all(&[("b", "a"), ("a", "b")]).await, ["bound", "bond_cycle"]);
    // Nothing of the second batch names y: who is above z is read when it matters.
    assert_eq!(desk.bind_all(&[("y", "x"), ("z", "y")]).await, ["bound", "bound"]);
    assert_eq!(desk.bind_all(&[("x", "u"), ("u", "z")]).await, ["bound", "bond_cycle"]);
    // Whoever is refused has invited nobody by it.
    assert_eq!(desk.bind_all(&[("x", "v"), ("v", "z")]).await, ["already_bound", "bound"]);
}

#[tokio::test]
async fn the_first_touch_stays_and_the_last_one_replaces_it_after_its_protection() {
    let desk = Desk::open(rules()).await;
    assert_eq!([desk.bind(START, "u", "a").await, desk.bind(START, "u", "a").await], ["bound", "had"]);
    assert_eq!(desk.bind(START + 50 * DAY, "u", "b").await, "already_bound");
    let desk = Desk::open(ReferralRules { first_touch: false, protected: Some(1_000), ..rules() }).await;
    desk.bind(START, "u", "a").await;
    assert_eq!(desk.bind(START + 999, "u", "b").await, "already_bound");
    assert_eq!(desk.bind(START + 1_000, "u", "b").await, "bound");
    assert_eq!(desk.bind(START + 1_999, "u", "a").await, "already_bound", "protected anew");
    let row: BondRow = desk.row("bonds", &hot("u")).await.unwrap();
    assert_eq!((row.inviter, row.bound_at, row.expires_at), (hot("b"), START + 1_000, 0));
}

#[tokio::test]
async fn a_bond_past_its_time_counts_as_none() {
    let desk = Desk::open(ReferralRules { expires_after: Some(1_000), ..rules() }).await;
    desk.bind(START, "u", "a").await;
    assert_eq!(desk.bind(START + 999, "u", "b").await, "already_bound");
    assert_eq!(desk.bind(START + 999, "a", "u").await, "bond_cycle");
    assert_eq!(desk.bind(START + 1_000, "a", "u").await, "bound", "there is nothing to close any more");
    assert_eq!(desk.bind(START + 1_000, "u", "b").await, "bound");
    assert_eq!(desk.bind(START + 1_500, "b", "a").await, "bond_cycle", "a, u, b");
}

#[tokio::test]
async fn what_the_operator_ties_or_cuts_looks_at_circles_only() {
    let desk = Desk::open(ReferralRules { newcomers_only: true, budget: Some(0), ..rules() }).await;
    let set = async |at, user: &str, inviter: &str| {
        let inviter = if inviter.is_empty() { String::new() } else { hot(inviter) };
        desk.ask(at, &json!({"op": "set_bond", "user": hot(user), "inviter": inviter, "by": "key_x", "reason": "asked"})).await.word
    };
    assert_eq!(set(START, "u", "").await, "had");
    assert_eq!(set(START, "u", "a").await, "bound");
    assert_eq!(set(START, "u", "a").await, "had");
    assert_eq!(set(START, "a", "u").await, "bond_cycle");
    assert_eq!(set(START, "u", "u").await, "self_invite");
    assert_eq!(set(START, "u", "b").await, "bound");
    assert_eq!(set(START, "u", "").await, "unbound");
    assert_eq!(desk.row::<BondRow>("bonds", &hot("u")).await, None);
    assert_eq!(desk.events().await, ["campaign.published", "referral.bound", "referral.bound", "referral.unbound"]);
}

#[tokio::test]
async fn nobody_is_bound_outside_the_campaigns_time_or_while_it_rests() {
    let desk = Desk::open(rules()).await;
    let step = async |step: &str| desk.ask(START, &json!({"op": "set_status", "step": step, "by": "key_x"})).await.word;
    let switch = async |join: bool| desk.ask(START, &json!({"op": "set_switches", "join": join, "by": "key_x"})).await.word;
    assert_eq!(desk.bind(START, "u", "a").await, "bound");
    step("pause").await;
    assert_eq!([desk.bind(START, "v", "a").await, desk.bind(START, "u", "a").await], ["campaign_not_live", "had"]);
    step("resume").await;
    switch(false).await;
    assert_eq!(desk.bind(START, "v", "a").await, "campaign_not_live");
    switch(true).await;
    assert_eq!(desk.bind(START, "v", "a").await, "bound");
    step("end").await;
    assert_eq!([desk.bind(START, "w", "a").await, desk.bind(START, "u", "a").await], ["campaign_ended", "had"]);
    // What was attributed goes on.
    let sold = desk.report(START, &sale("one", (100, 0), (0, 0), START)).await;
    assert_eq!(states(&sold).0, RewardState::Frozen);
    desk.ask(START + FREEZE, &json!({"op": "tick"})).await;
    assert_eq!(states(&desk.row("sales", "one").await.unwrap()).0, RewardState::Available);
}

/// Brings the log into SQL, so many ops a transaction.
async fn project(desk: &Desk, db: &Db, ops_in_a_page: i64) {
    let campaign = &desk.campaign;
    Cursor::create(&db.store, campaign.id, "referral", UnixMs::new(0)).await.unwrap();
    execute!(&db.store, "UPDATE cursors SET epoch = $1, state = 'serving' WHERE campaign_id = $2", EPOCH, campaign.id).unwrap();
    let cursor = Cursor::read(&db.store, campaign.id).await.unwrap().unwrap();
    let (engine, clock) = (Arc::clone(&campaign.engine), Arc::new(Clock::default()));
    let projector = Arc::new(Projector::new(db.store.clone(), engine, clock, vec![Box::new(ReferralProjection)], program_of));
    Tail::new(campaign.id, cursor).with_pages_of(ops_in_a_page).run_to_end(&projector).await.unwrap();
}

type Told = (Vec<(String, i64, String, i64, i64)>, Vec<(String, i64)>, Vec<(String, String)>, i64);

/// Rewards, balances, bonds and the length of their history.
async fn told(db: &Db) -> Told {
    const REWARDS: &str = "SELECT order_number, level, state, amount_fen, reversed_fen FROM rewards ORDER BY order_number, level LIMIT 100";
    const BALANCES: &str = "SELECT kind, CAST(SUM(balance_fen) AS BIGINT) FROM accounts GROUP BY kind ORDER BY kind LIMIT 100";
    const BONDS: &str = "SELECT user_id, inviter_id FROM bonds ORDER BY user_id LIMIT 100";
    let (changes,) = fetch_one!(&db.store, (i64,), "SELECT COUNT(*) FROM bond_history").unwrap();
    (
        fetch_all!(&db.store, (String, i64, String, i64, i64), REWARDS).unwrap(),
        fetch_all!(&db.store, (String, i64), BALANCES).unwrap().into_iter().filter(|(_, fen)| *fen != 0).collect(),
        fetch_all!(&db.store, (String, String), BONDS).unwrap(),
        changes,
    )
}

async fn comes_into_sql(db: &Db, ops_in_a_page: i64) {
    let desk = Desk::open(ReferralRules { budget: Some(1_000), ..rules() }).await;
    let at = START + 5;
    desk.bind(at, "d", "c").await;
    desk.bind(at, "c", "b").await;
    desk.ask(at, &json!({"op": "set_bond", "user": hot("c"), "inviter": "", "by": "key_x", "reason": "asked"})).await;
    desk.report(at, &sale("part", (100, 30), (0, 0), 0)).await;
    desk.report(at, &sale("part", (100, 30), (50, 15), at)).await;
    desk.report(at, &sale("gone", (200, 60), (0, 0), at)).await;
    desk.report(at, &sale("dear", (900, 0), (0, 0), 0)).await;
    desk.report(at, &sale("waits", (10, 0), (0, 0), 0)).await;
    desk.ask(at + FREEZE, &json!({"op": "tick"})).await;
    desk.report(at + FREEZE, &sale("gone", (200, 60), (200, 60), at)).await;
    desk.report(at + FREEZE, &sale("owes", (40, 0), (40, 0), at)).await;
    project(&desk, db, ops_in_a_page).await;
    let text = str::to_owned;
    let (rewards, balances, bonds, changes) = told(db).await;
    let row = |order: &str, level, state: &str, fen, back| (text(order), level, text(state), fen, back);
    let expected = [
        row("dear", 1, "refused", 900, 0),
        row("gone", 1, "reversed", 200, 200),
        row("gone", 2, "reversed", 60, 60),
        row("owes", 1, "reversed", 40, 40),
        row("part", 1, "available", 100, 50),
        row("part", 2, "available", 30, 15),
        row("waits", 1, "frozen", 10, 0),
    ];
    assert_eq!(rewards, expected);
    // Of the 250 that level 1 had available, 200 went back, and of the 75 of level 2, 60.
    assert_eq!(balances, [(text("available"), 65), (text("frozen"), 10), (text("rewards"), -75)]);
    assert_eq!((bonds, changes), (vec![(format!("usr_{}", hot("d")), format!("usr_{}", hot("c")))], 3));
    project(&desk, db, ops_in_a_page).await;
    assert_eq!(told(db).await.0, expected, "a second time brings nothing");
}

#[tokio::test]
async fn rewards_and_their_money_come_into_sql_whatever_the_page() {
    for ops_in_a_page in [1, i64::MAX] {
        comes_into_sql(&Db::sqlite().await, ops_in_a_page).await;
        comes_into_sql(&Db::postgres().await, ops_in_a_page).await;
    }
}
