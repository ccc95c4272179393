//! Invariant 4, counted on a campaign's state: cuts are a prefix of the schedule that was committed to, the price is the start less their
//! sum and never below the floor, one cut per helper, and orders and chains say the same of each other.

use std::collections::{BTreeMap, BTreeSet};

use super::row::{ChainRow, ScheduleRow, State};
use super::schedule::{Schedule, Seed};
use crate::order::row::{OrderRow, State as OrderState};

/// What is wrong with a campaign's chains.
#[must_use]
pub fn wrongs(
    chains: &BTreeMap<String, ChainRow>,
    schedules: &BTreeMap<String, ScheduleRow>,
    orders: &BTreeMap<String, OrderRow>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for (id, chain) in chains {
        match schedules.get(id) {
            Some(schedule) => wrong.extend(cuts(chain, schedule).map(|why| format!("chain {id} {why}"))),
            None => wrong.push(format!("chain {id} has no schedule")),
        }
        wrong.extend(state(chain, orders).map(|why| format!("chain {id} {why}")));
    }
    for (id, order) in orders.iter().filter(|(_, order)| !order.chain.is_empty()) {
        let Some(chain) = chains.get(&order.chain) else {
            wrong.push(format!("order {id} is of no chain"));
            continue;
        };
        let holds = matches!(order.state, OrderState::Held | OrderState::Closing | OrderState::Paid);
        if holds && chain.order != *id || order.user != chain.user || order.quantity != 1 {
            wrong.push(format!("order {id} does not fit chain {}", order.chain));
        }
        if !prices(chain).contains(&order.unit) {
            wrong.push(format!("order {id} has a price that chain {} never had", order.chain));
        }
    }
    wrong
}

/// Every price the chain had that an order could take.
fn prices(chain: &ChainRow) -> BTreeSet<i64> {
    let cuts = chain.cuts.iter().scan(chain.start, |price, cut| {
        *price -= cut.2;
        Some(*price)
    });
    std::iter::once(chain.start).chain(cuts).collect()
}

fn cuts(chain: &ChainRow, schedule: &ScheduleRow) -> Option<String> {
    let way = chain.start - chain.floor;
    let seed = Seed::read(&schedule.seed);
    let made = Schedule { steps: schedule.steps.clone(), seed: seed.clone() };
    if schedule.algorithm.schedule(way, chain.needed, seed.as_ref()).as_ref() != Some(&schedule.steps) {
        return Some("has another schedule than its algorithm makes".into());
    }
    if made.commitment() != chain.commitment {
        return Some("has another schedule than was committed to".into());
    }
    let mut steps = schedule.steps.iter();
    let mut taken = 0;
    for cut in &chain.cuts {
        let planned: i64 = usize::try_from(cut.1).map_or(-1, |count| steps.by_ref().take(count).sum());
        taken += cut.1;
        if cut.1 < 1 || planned != cut.2 {
            return Some(format!("has a cut of {} fen over {} steps, planned were {planned}", cut.2, cut.1));
        }
    }
    let next = steps.next().copied().unwrap_or(0);
    let sum: i64 = chain.cuts.iter().map(|cut| cut.2).sum();
    let helpers: BTreeSet<&String> = chain.cuts.iter().map(|cut| &cut.0).collect();
    if taken != chain.taken || chain.next != next || chain.price != chain.start - sum || chain.price < chain.floor {
        return Some(format!("says {} steps down to {} fen, its cuts say {taken} down to {}", chain.taken, chain.price, chain.start - sum));
    }
    (helpers.len() != chain.cuts.len()).then(|| "was cut twice by one helper".into())
}

fn state(chain: &ChainRow, orders: &BTreeMap<String, OrderRow>) -> Option<String> {
    let complete = chain.taken == chain.needed;
    let order = orders.get(&chain.order).map(|order| order.state);
    let right = match chain.state {
        State::Open => !complete && chain.buy_by == 0,
        State::FloorReached => complete && chain.buy_by > 0,
        State::Bought | State::Expired => (chain.buy_by > 0) == complete && chain.closed_at > 0,
    };
    let ordered = match (chain.state, order) {
        (State::Open | State::FloorReached, None) | (State::Expired, _) => chain.order.is_empty(),
        (State::Open | State::FloorReached, Some(order)) => matches!(order, OrderState::Held | OrderState::Closing),
        (State::Bought, Some(order)) => {
            matches!(order, OrderState::Confirmed | OrderState::Fulfilled | OrderState::RefundDue | OrderState::Refunded)
        }
        (State::Bought, None) => false,
    };
    (!right || !ordered).then(|| format!("is {:?} with {} of {} steps taken and order {order:?}", chain.state, chain.taken, chain.needed))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::wrongs;
    use crate::bargain::row::{ChainRow, CutRow, ScheduleRow, State};
    use crate::bargain::schedule::{Algorithm, Schedule};

    fn sound() -> (ChainRow, ScheduleRow) {
        let steps = vec![34, 33, 33];
        let commitment = Schedule { steps: steps.clone(), seed: None }.commitment();
        let chain = ChainRow {
            state: State::Open,
            reserve: 0,
            needed: 3,
            taken: 2,
            start: 200,
            floor: 100,
            price: 133,
            next: 33,
            started_at: 1,
            expires_at: 9,
            buy_by: 0,
            closed_at: 0,
            version: 1,
            sku: "a".into(),
            user: "u".into(),
            order: String::new(),
            commitment,
            cuts: vec![CutRow("u".into(), 1, 34), CutRow("v".into(), 1, 33)],
        };
        (chain, ScheduleRow { algorithm: Algorithm::Even, seed: String::new(), steps })
    }

    fn wrong(change: impl Fn(&mut ChainRow, &mut ScheduleRow)) -> bool {
        let (mut chain, mut schedule) = sound();
        change(&mut chain, &mut schedule);
        let one = |row| BTreeMap::from([("c".to_owned(), row)]);
        !wrongs(&one(chain), &BTreeMap::from([("c".to_owned(), schedule)]), &BTreeMap::new()).is_empty()
    }

    #[test]
    fn a_chain_keeps_to_its_schedule_or_is_found() {
        assert!(!wrong(|_, _| {}));
        assert!(wrong(|chain, _| chain.price -= 1));
        assert!(wrong(|chain, _| chain.taken = 1));
        assert!(wrong(|chain, _| chain.next = 32));
        assert!(wrong(|chain, _| chain.cuts[1] = CutRow("v".into(), 1, 32)));
        assert!(wrong(|chain, _| chain.cuts[1] = CutRow("u".into(), 1, 33)), "one helper twice");
        assert!(wrong(|_, schedule| schedule.steps = vec![33, 34, 33]));
        assert!(wrong(|chain, _| chain.commitment = "0".repeat(64)));
        assert!(wrong(|chain, _| chain.state = State::FloorReached), "above the floor");
        assert!(wrong(|chain, _| chain.state = State::Bought), "without an order");
        assert!(wrong(|chain, _| chain.order = "o".into()), "an order that is none");
    }
}
