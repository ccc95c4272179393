//! Ops as they are sent; rows and answers, read.

use liebian::campaign::ops::{StatusRow, Step};
use liebian::campaign::rules::ReferralRules;
use liebian::referral::row::{BondRow, SaleRow, SpentRow};
use serde::Serialize;

use crate::model::{Payload, Said, read, remembered, row, score};

/// Every op of the program, and one that it does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Op {
    Publish { definition: ReferralRules, stock: Vec<(String, i64)> },
    SetStatus { step: Step },
    SetSwitches { open: Option<bool>, join: Option<bool> },
    Bind { user: String, inviter: String, newcomer: bool },
    SetBond { user: String, inviter: String, by: &'static str, reason: &'static str },
    ReportSale(Report),
    Tick,
    Nonsense,
}

/// How a sale stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub sale: String,
    pub buyer: String,
    pub level1: String,
    pub level2: String,
    pub fen1: i64,
    pub fen2: i64,
    pub back1: i64,
    pub back2: i64,
    pub freeze: i64,
    pub fulfilled_at: i64,
}

/// One field of hot state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    Rules(ReferralRules),
    Row(Row),
    Spent(SpentRow),
    /// Invited somebody once.
    Invited,
    Key(String, Said<Row>),
    Score(i64),
}

/// A row as answers carry it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    Status(StatusRow),
    Bond(BondRow),
    Sale(SaleRow),
}

impl Cell {
    /// Reads a field.
    pub fn read(table: &str, field: &str, packed: &[u8]) -> Self {
        match (table, field) {
            ("def", "rules") => Self::Rules(read(packed)),
            ("def", "grafted") => Self::Score(str::from_utf8(packed).unwrap().parse().unwrap()),
            ("def", _) => Self::Row(Row::Status(row(packed))),
            ("bonds", _) => Self::Row(Row::Bond(row(packed))),
            ("inviters", _) if packed == b"1" => Self::Invited,
            ("sales", _) => Self::Row(Row::Sale(row(packed))),
            ("spent", "rewards") => Self::Spent(row(packed)),
            ("keys", _) => {
                let (body, said) = remembered(packed);
                Self::Key(body, said)
            }
            ("timers", _) => Self::Score(score(packed)),
            _ => panic!("a field nobody knows: {table} {field}"),
        }
    }
}

impl Payload for Row {
    fn read(yes: i64, word: &str, place: usize, packed: &[u8]) -> Self {
        match (yes, word, place) {
            (1, "published" | "status" | "switches", 0) => Self::Status(row(packed)),
            (1, "bound" | "had", 0) => Self::Bond(row(packed)),
            (1, "reported", 0) => Self::Sale(row(packed)),
            _ => panic!("{word} carries no row {place}"),
        }
    }
}
