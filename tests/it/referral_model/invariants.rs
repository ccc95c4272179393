//! The product's promises, read from hot state and log alone, without the model.

use std::collections::{BTreeMap, BTreeSet};

use liebian::hot::entry::Entry;
use liebian::referral::row::{LevelRow, RewardState, SaleRow};

use super::book::{Book, day};
use super::rows::{Cell, Row};
use crate::model::Cells;

type Fields = BTreeMap<String, rmpv::Value>;

fn sales(cells: &Cells<Book>) -> impl Iterator<Item = (&String, &SaleRow)> {
    cells.iter().filter_map(|((_, id), cell)| if let Cell::Row(Row::Sale(sale)) = cell { Some((id, sale)) } else { None })
}

fn levels(sale: &SaleRow) -> [(i64, &LevelRow); 2] {
    [(1, &sale.level1), (2, &sale.level2)]
}

/// Invariant 5, and that no bonds make a circle.
pub fn hold(cells: &Cells<Book>) {
    let mut granted: BTreeMap<i64, i64> = BTreeMap::new();
    let mut standing = 0;
    for (id, sale) in sales(cells) {
        for (number, level) in levels(sale) {
            assert!(0 <= level.back && level.back <= level.fen, "level {number} of sale {id}: {level:?}");
            assert_eq!(level.user.is_empty(), level.fen == 0, "level {number} of sale {id}: {level:?}");
            assert_eq!(level.state == RewardState::None, level.fen == 0, "level {number} of sale {id}: {level:?}");
            if level.state.granted() {
                standing += level.fen - level.back;
                *granted.entry(day(sale.reported_at)).or_default() += level.fen;
            } else {
                assert_eq!(level.back, 0, "nothing goes back of what was not granted: sale {id}");
            }
            assert!(
                sale.fulfilled_at > 0 || level.state != RewardState::Available,
                "available before the goods were handed over: sale {id}"
            );
        }
    }
    let spent = cells.get(&("spent", "rewards".to_owned()));
    let Some(Cell::Spent(spent)) = spent else { return assert!(granted.is_empty() && spent.is_none(), "spent nowhere") };
    assert_eq!(spent.total, standing, "fen granted and not gone back");
    assert_eq!(granted.last_key_value(), Some((&spent.day, &spent.today)), "fen of the last day");
    let Some(Cell::Rules(rules)) = cells.get(&("def", "rules".to_owned())) else { panic!("granted without rules") };
    assert!(rules.budget.is_none_or(|most| standing <= most), "overspent");
    // Budgets are raised, never lowered.
    assert!(rules.daily_budget.is_none_or(|most| granted.values().all(|fen| *fen <= most)), "overspent on a day");
}

/// What the log tells of rewards and bonds is what their rows say: the ledger is made of events alone.
pub fn told(log: &[Entry], cells: &Cells<Book>) {
    let mut rewards: BTreeMap<(String, i64), Vec<(String, Fields)>> = BTreeMap::new();
    let (mut bonds, mut inviters) = (BTreeMap::<String, String>::new(), BTreeSet::new());
    for event in log.iter().flat_map(|entry| &entry.body.events) {
        let fields: Fields = event.fields().unwrap();
        let text = |name: &str| fields.get(name).and_then(rmpv::Value::as_str).unwrap_or_default().to_owned();
        match event.1.as_str() {
            "referral.bound" => {
                bonds.insert(text("user"), text("inviter"));
                inviters.insert(text("inviter"));
            }
            "referral.unbound" => drop(bonds.remove(&text("user"))),
            name if name.starts_with("referral.reward") => {
                let place = (text("sale"), fields["level"].as_i64().unwrap());
                rewards.entry(place).or_default().push((name.to_owned(), fields));
            }
            _ => {}
        }
    }
    let rows = cells.iter().filter_map(|((table, user), cell)| match cell {
        Cell::Row(Row::Bond(bond)) if *table == "bonds" => Some((user.clone(), bond.inviter.clone())),
        Cell::Row(_) | Cell::Rules(_) | Cell::Spent(_) | Cell::Invited | Cell::Key(..) | Cell::Score(_) => None,
    });
    assert_eq!(bonds, rows.collect(), "bonds as told (left) against hot state");
    let rows = cells.keys().filter(|(table, _)| *table == "inviters").map(|(_, user)| user.clone());
    assert_eq!(inviters, rows.collect(), "who ever invited, as told (left) against hot state");
    let mut known = BTreeSet::new();
    for (id, sale) in sales(cells) {
        for (number, level) in levels(sale) {
            let place = (id.clone(), number);
            reward_told(level, rewards.get(&place).map_or(&[], Vec::as_slice), &place);
            known.insert(place);
        }
    }
    assert!(rewards.keys().all(|place| known.contains(place)), "rewards of sales that are not there");
}

/// Follows a reward from event to event, as the ledger does.
fn reward_told(level: &LevelRow, events: &[(String, Fields)], place: &(String, i64)) {
    let (mut frozen, mut available, mut granted, mut released) = (0, 0, 0, 0);
    for (name, fields) in events {
        let fen = fields["fen"].as_i64().unwrap();
        assert!(fen > 0 && fields["user"].as_str() == Some(&level.user), "{place:?}: {fields:?}");
        match name.as_str() {
            "referral.rewarded" => (granted, frozen) = (granted + 1, frozen + fen),
            "referral.reward_refused" => {
                assert!(events.len() == 1 && fen == level.fen && !level.state.granted(), "{place:?} was refused: {level:?}");
                return;
            }
            "referral.reward_available" => {
                assert_eq!(fen, frozen, "{place:?}: all that is frozen becomes available");
                (frozen, available, released) = (0, available + fen, released + 1);
            }
            "referral.reward_reversed" if fields["was"].as_str() == Some("frozen") => frozen -= fen,
            "referral.reward_reversed" => available -= fen,
            _ => panic!("an event nobody knows: {name}"),
        }
        assert!(frozen >= 0 && available >= 0, "{place:?} gave back more than there was");
    }
    assert_eq!(granted, i32::from(level.state.granted()), "{place:?} was granted {granted} times");
    assert!(released <= 1, "{place:?} became available {released} times");
    let standing = if level.state.granted() { level.fen - level.back } else { 0 };
    let expected = if level.state == RewardState::Available { (0, standing) } else { (standing, 0) };
    assert_eq!((frozen, available), expected, "{place:?}: as told (left) against its row");
}
