//! The model.

use std::collections::{BTreeMap, BTreeSet};

use liebian::campaign::ops::{PausedBy, Status, StatusRow, Step};
use liebian::campaign::rules::ReferralRules;
use liebian::campaign::view::Switches;
use liebian::hot::Program;
use liebian::hot::entry::Entry;
use liebian::referral::PROGRAM;
use liebian::referral::row::{BondRow, LevelRow, RewardState, SaleRow, SpentRow};

use super::invariants;
use super::rows::{Cell, Op, Report, Row};
use crate::model::{Answer, Cells, Frame, Kind};

/// Ancestors that a shopper may have who is bound after having invited somebody.
const MOST_ANCESTORS: usize = 64;

/// Everything that ops change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Book {
    pub rules: Option<ReferralRules>,
    status: Option<Status>,
    switches: Switches,
    /// Who was invited → by whom.
    pub bonds: BTreeMap<String, Bond>,
    /// Who invited somebody once, whatever became of that.
    inviters: BTreeSet<String>,
    /// When one of them was last bound.
    grafted: Option<i64>,
    /// By number.
    pub sales: BTreeMap<String, Sale>,
    frame: Frame<Row>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Bond {
    pub inviter: String,
    at: i64,
    /// None: never.
    until: Option<i64>,
    version: i64,
    /// Ancestors when it was made.
    above: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Sale {
    buyer: String,
    at: i64,
    version: i64,
    freeze: i64,
    pub fulfilled: Option<i64>,
    /// The freeze is over.
    released: bool,
    pub levels: [Level; 2],
}

/// What a level earns; nobody earns nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    pub user: String,
    pub fen: i64,
    /// Why not.
    refused: Option<RewardState>,
    back: i64,
}

impl Level {
    fn granted(&self) -> bool {
        self.fen > 0 && self.refused.is_none()
    }

    fn row(&self, released: bool) -> LevelRow {
        let granted = if released { RewardState::Available } else { RewardState::Frozen };
        let state = if self.fen == 0 { RewardState::None } else { self.refused.unwrap_or(granted) };
        LevelRow { state, user: self.user.clone(), fen: self.fen, back: self.back }
    }
}

fn no<T>(word: &'static str) -> Result<T, (&'static str, Vec<Row>)> {
    Err((word, Vec::new()))
}

/// A day in China.
pub fn day(at: i64) -> i64 {
    (at + 8 * 3_600_000).div_euclid(24 * 3_600_000)
}

impl Book {
    fn version(&self) -> i64 {
        self.rules.as_ref().map_or(0, |rules| rules.version)
    }

    /// The inviter of somebody whose bond lives.
    pub fn inviter(&self, user: &str, now: i64) -> Option<&Bond> {
        self.bonds.get(user).filter(|bond| bond.until.is_none_or(|until| now < until))
    }

    /// Somebody and all above.
    fn line<'a>(&'a self, from: &'a str, now: i64) -> Vec<&'a str> {
        let mut line = vec![from];
        while let Some(bond) = self.inviter(line[line.len() - 1], now) {
            assert!(!line.contains(&bond.inviter.as_str()), "a circle: {line:?}");
            line.push(&bond.inviter);
        }
        line
    }

    /// How many ancestors a bond would have; none for a circle, or more than are looked at.
    fn ancestors(&self, user: &str, inviter: &str, now: i64) -> Option<usize> {
        let line = self.line(inviter, now);
        assert!(self.inviters.contains(user) || !line.contains(&user), "{user} invited nobody and is above {inviter}");
        if line.contains(&user) || line.len() > MOST_ANCESTORS {
            return None;
        }
        // The first bond upwards that surely tells how many are above it: as many as there are, or were before some ended.
        let sure = |bond: &Bond| !self.inviters.contains(user) && self.grafted.is_none_or(|at| at < bond.at);
        let told = line.iter().enumerate().find_map(|(place, ancestor)| {
            let count = self.inviter(ancestor, now).filter(|bond| sure(bond))?.above + place + 1;
            (count <= MOST_ANCESTORS).then_some(count)
        });
        Some(told.unwrap_or(line.len()))
    }

    fn status_row(&self) -> Row {
        let status = self.status.unwrap();
        Row::Status(StatusRow {
            status,
            paused_by: if status == Status::Paused { PausedBy::Operator } else { PausedBy::Nobody },
            open: self.switches.open.into(),
            join: self.switches.join.into(),
            loss: 0,
            version: self.version(),
            rooms_open: 0,
            rooms_formed: 0,
            rooms_failed: 0,
        })
    }

    fn bond_row(bond: &Bond) -> Row {
        let (inviter, expires_at) = (bond.inviter.clone(), bond.until.unwrap_or(0));
        Row::Bond(BondRow { bound_at: bond.at, expires_at, version: bond.version, above: i64::try_from(bond.above).unwrap(), inviter })
    }

    fn sale_row(sale: &Sale) -> Row {
        let [level1, level2] = &sale.levels;
        Row::Sale(SaleRow {
            level1: level1.row(sale.released),
            level2: level2.row(sale.released),
            reported_at: sale.at,
            fulfilled_at: sale.fulfilled.unwrap_or(0),
            freeze: sale.freeze,
            version: sale.version,
            buyer: sale.buyer.clone(),
        })
    }

    fn granted(&self) -> impl Iterator<Item = (i64, &Level)> {
        self.sales.values().flat_map(|sale| sale.levels.iter().map(|level| (day(sale.at), level))).filter(|(_, level)| level.granted())
    }

    /// What somebody's rewards come to that are frozen, and that were released.
    pub fn earned(&self, user: &str) -> (i64, i64) {
        let of = |released: bool| {
            let levels = self.sales.values().filter(|sale| sale.released == released).flat_map(|sale| &sale.levels);
            levels.filter(|level| level.granted() && level.user == user).map(|level| level.fen - level.back).sum()
        };
        (of(false), of(true))
    }

    /// Sale, level and fen of every reward that was granted.
    pub fn rewards(&self) -> impl Iterator<Item = (&str, i64, i64)> {
        let levels = self.sales.iter().flat_map(|(number, sale)| (1..).zip(&sale.levels).map(move |(at, level)| (number, at, level)));
        levels.filter(|(_, _, level)| level.granted()).map(|(number, at, level)| (number.as_str(), at, level.fen))
    }

    fn spent(&self) -> SpentRow {
        let last = self.granted().map(|(day, _)| day).max().unwrap_or(0);
        let total = self.granted().map(|(_, level)| level.fen - level.back).sum();
        SpentRow { total, day: last, today: self.spent_on(last) }
    }

    fn spent_on(&self, day: i64) -> i64 {
        self.granted().filter(|(on, _)| *on == day).map(|(_, level)| level.fen).sum()
    }

    fn publish(&mut self, rules: &ReferralRules) -> Answer<Row> {
        if rules.version < self.version() || (rules.version > self.version() && self.status == Some(Status::Ended)) {
            return no("campaign_state");
        }
        if rules.version > self.version() {
            self.status.get_or_insert(Status::Live);
            self.frame.plan("campaign", &rules.version.to_string(), rules.ends_at);
            self.rules = Some(rules.clone());
        }
        Ok(("published", vec![self.status_row()]))
    }

    fn set_status(&mut self, step: Step) -> Answer<Row> {
        let next = match (step, self.status) {
            (_, None) | (Step::Pause | Step::Resume, Some(Status::Ended)) => return no("campaign_state"),
            (Step::Resume, Some(Status::Live | Status::Paused)) => Status::Live,
            (Step::Pause, Some(Status::Live | Status::Paused)) => Status::Paused,
            (Step::End, Some(_)) => Status::Ended,
        };
        self.status = Some(next);
        Ok(("status", vec![self.status_row()]))
    }

    fn set_switches(&mut self, open: Option<bool>, join: Option<bool>) -> Answer<Row> {
        if self.status.is_none() {
            return no("campaign_state");
        }
        let Switches { open: opens, join: joins } = self.switches;
        self.switches = Switches { open: open.unwrap_or(opens), join: join.unwrap_or(joins) };
        Ok(("switches", vec![self.status_row()]))
    }

    fn bind(&mut self, user: &str, inviter: &str, newcomer: bool, now: i64) -> Answer<Row> {
        if user == inviter {
            return no("self_invite");
        }
        let held = self.inviter(user, now);
        if let Some(bond) = held.filter(|bond| bond.inviter == inviter) {
            return Ok(("had", vec![Self::bond_row(bond)]));
        }
        let Some(rules) = &self.rules else { return no("not_found") };
        if self.status == Some(Status::Ended) || now >= rules.ends_at {
            return no("campaign_ended");
        } else if now < rules.starts_at || self.status == Some(Status::Paused) || !self.switches.join {
            return no("campaign_not_live");
        } else if rules.newcomers_only && !newcomer {
            return no("newcomers_only");
        } else if held.is_some_and(|bond| rules.first_touch || rules.protected.is_some_and(|safe| now - bond.at < safe)) {
            return no("already_bound");
        }
        let Some(above) = self.ancestors(user, inviter, now) else { return no("bond_cycle") };
        if rules.budget.is_some_and(|most| self.spent().total >= most) {
            return no("budget_exhausted");
        }
        Ok(("bound", vec![self.tie(user, inviter, above, now)]))
    }

    fn tie(&mut self, user: &str, inviter: &str, above: usize, now: i64) -> Row {
        let rules = self.rules.as_ref().unwrap();
        let until = rules.expires_after.map(|life| now + life);
        let bond = Bond { inviter: inviter.to_owned(), at: now, until, version: rules.version, above };
        let row = Self::bond_row(&bond);
        self.bonds.insert(user.to_owned(), bond);
        self.inviters.insert(inviter.to_owned());
        if self.inviters.contains(user) {
            self.grafted = Some(now);
        }
        row
    }

    fn set_bond(&mut self, user: &str, inviter: &str, now: i64) -> Answer<Row> {
        if self.rules.is_none() {
            return no("campaign_state");
        } else if user == inviter {
            return no("self_invite");
        }
        match self.inviter(user, now) {
            Some(bond) if bond.inviter == inviter => return Ok(("had", vec![Self::bond_row(bond)])),
            None if inviter.is_empty() => return Ok(("had", Vec::new())),
            Some(_) if inviter.is_empty() => {
                self.bonds.remove(user);
                return Ok(("unbound", Vec::new()));
            }
            Some(_) | None => {}
        }
        let Some(above) = self.ancestors(user, inviter, now) else { return no("bond_cycle") };
        Ok(("bound", vec![self.tie(user, inviter, above, now)]))
    }

    fn report(&mut self, report: &Report, now: i64) -> Answer<Row> {
        let Some(rules) = self.rules.clone() else { return no("campaign_state") };
        if !self.sales.contains_key(&report.sale) {
            let nobody = Level { user: String::new(), fen: 0, refused: None, back: 0 };
            let (buyer, version) = (report.buyer.clone(), rules.version);
            let levels = [nobody.clone(), nobody];
            let sale = Sale { buyer, at: now, version, freeze: report.freeze, fulfilled: None, released: false, levels };
            self.sales.insert(report.sale.clone(), sale);
            for (place, user, fen) in [(0, &report.level1, report.fen1), (1, &report.level2, report.fen2)] {
                if fen > 0 && !user.is_empty() {
                    // What was granted a moment ago counts already.
                    let refused = if rules.budget.is_some_and(|most| self.spent().total + fen > most) {
                        Some(RewardState::OverBudget)
                    } else if rules.daily_budget.is_some_and(|most| self.spent_on(day(now)) + fen > most) {
                        Some(RewardState::OverDailyBudget)
                    } else {
                        None
                    };
                    self.sales.get_mut(&report.sale).unwrap().levels[place] = Level { user: user.clone(), fen, refused, back: 0 };
                }
            }
        }
        let sale = self.sales.get_mut(&report.sale).unwrap();
        for (level, back) in sale.levels.iter_mut().zip([report.back1, report.back2]) {
            if level.granted() {
                level.back = level.back.max(back.min(level.fen));
            }
        }
        if sale.fulfilled.is_none() && report.fulfilled_at > 0 {
            let due = report.fulfilled_at + sale.freeze;
            sale.fulfilled = Some(report.fulfilled_at);
            sale.released = now >= due;
            if !sale.released {
                self.frame.plan("sale", &report.sale, due);
            }
        }
        Ok(("reported", vec![Self::sale_row(&self.sales[&report.sale])]))
    }
}

impl Kind for Book {
    type Op = Op;
    type Row = Row;
    type Cell = Cell;
    const TICK: Op = Op::Tick;
    const NONSENSE: Op = Op::Nonsense;

    fn program() -> &'static Program {
        &PROGRAM
    }

    fn frame(&mut self) -> &mut Frame<Row> {
        &mut self.frame
    }

    fn decide(&mut self, op: &Op, now: i64) -> Answer<Row> {
        match op {
            Op::Publish { definition, stock: _ } => self.publish(definition),
            Op::SetStatus { step } => self.set_status(*step),
            Op::SetSwitches { open, join } => self.set_switches(*open, *join),
            Op::Bind { user, inviter, newcomer } => self.bind(user, inviter, *newcomer, now),
            Op::SetBond { user, inviter, .. } => self.set_bond(user, inviter, now),
            Op::ReportSale(report) => self.report(report, now),
            Op::Tick | Op::Nonsense => panic!("not the book's to decide"),
        }
    }

    fn ring(&mut self, kind: &str, id: &str, now: i64) {
        match kind {
            "campaign" if self.rules.as_ref().is_some_and(|rules| now >= rules.ends_at) => self.status = Some(Status::Ended),
            "campaign" => {}
            "sale" => self.sales.get_mut(id).unwrap().released = true,
            _ => panic!("a timer nobody knows: {kind}"),
        }
    }

    fn cells(&self) -> Cells<Self> {
        let mut cells = Cells::<Self>::new();
        if let Some(rules) = &self.rules {
            cells.insert(("def", "rules".to_owned()), Cell::Rules(rules.clone()));
            cells.insert(("def", "status".to_owned()), Cell::Row(self.status_row()));
            cells.extend(self.grafted.map(|at| (("def", "grafted".to_owned()), Cell::Score(at))));
        }
        cells.extend(self.bonds.iter().map(|(user, bond)| (("bonds", user.clone()), Cell::Row(Self::bond_row(bond)))));
        cells.extend(self.inviters.iter().map(|user| (("inviters", user.clone()), Cell::Invited)));
        cells.extend(self.sales.iter().map(|(number, sale)| (("sales", number.clone()), Cell::Row(Self::sale_row(sale)))));
        if self.granted().next().is_some() {
            cells.insert(("spent", "rewards".to_owned()), Cell::Spent(self.spent()));
        }
        cells.extend(self.frame.keys().map(|(scope, body, said)| (("keys", scope.clone()), Cell::Key(body.clone(), said.clone()))));
        cells.extend(self.frame.timers().into_iter().map(|(at, name)| (("timers", name), Cell::Score(at))));
        cells
    }

    fn read(table: &str, field: &str, value: &[u8]) -> Cell {
        Cell::read(table, field, value)
    }

    fn hold(cells: &Cells<Self>) {
        invariants::hold(cells);
    }

    fn told(log: &[Entry], cells: &Cells<Self>) {
        invariants::told(log, cells);
    }
}
