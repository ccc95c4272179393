//! The model is no ornament: each of these mistakes in the program, made on purpose, is caught.

use liebian::crypto::sha1_hex;
use liebian::hot::Program;
use liebian::hot::program::Script;
use liebian::referral::PROGRAM;

use super::book::Book;
use super::generate::{Case, case};
use crate::model;
use crate::support::Redis;

/// What the program says, and what a careless hand would have said.
const MISTAKES: &[(&str, &str)] = &[
    // an ancestor too many, any number of them, counted anew with every bond, or never again; circles that nobody sees, or only where somebody had
    // invited before the batch, or has a bond too, or has one still
    ("local MOST_ANCESTORS = 64", "local MOST_ANCESTORS = 65"),
    (" and place + bond.above <= MOST_ANCESTORS then", " then"),
    ("      return place + bond.above\n", "      return place + 1\n"),
    ("elseif bond.bound_at > doubtful and", "elseif not state.raw(\"inviters\", user) and"),
    ("    if ancestor == user then\n      return nil", "    if ancestor == user then\n      return place"),
    ("state.raw(\"inviters\", user) and now or tonumber", "tonumber"),
    ("local value = changed[name][field]\n", "local value = name ~= \"inviters\" and changed[name][field] or nil\n"),
    ("if not state.raw(\"inviters\", inviter) then", "if state.raw(\"bonds\", inviter) then"),
    ("    state.del(\"bonds\", op.user)\n", "    state.del(\"bonds\", op.user)\n    state.del(\"inviters\", previous)\n"),
    // bonds: a touch too early, one that outlives its time
    ("now < bond.bound_at + (definition.protected or 0)", "now <= bond.bound_at + (definition.protected or 0) + 1000"),
    ("bond.expires_at == 0 or now < bond.expires_at", "bond.expires_at == 0 or now <= bond.expires_at + 1000"),
    ("definition.first_touch or now", "now"),
    // budgets: overspent, the day forgotten, refunds that pay out twice
    ("row.total + fen > definition.budget", "row.total > definition.budget"),
    ("today(row, now) + fen > definition.daily_budget", "fen > definition.daily_budget"),
    ("row.total = row.total - fen\n", "row.total, row.today = row.total - fen, row.today - fen\n"),
    ("    purse.take(level.fen, now)\n", ""),
    ("    level.state = \"frozen\"\n    purse.take", "    level.state = \"available\"\n    purse.take"),
    // reversals: more than was granted, again and again, or none
    ("math.min(back, level.fen) - level.back", "back - level.back"),
    ("math.min(back, level.fen) - level.back", "math.min(back, level.fen)"),
    ("  level.back = level.back + more\n", ""),
    ("local more = granted(level) and", "local more ="),
    // the second level gets what is the first one's
    ("reverse(op.sale, 2, sale.level2, op.back2)", "reverse(op.sale, 2, sale.level2, op.back1)"),
    // a freeze that is no freeze, or begins again
    ("if now >= at + sale.freeze then", "if now >= at then"),
    ("sale.fulfilled_at == 0 and op.fulfilled_at > 0", "op.fulfilled_at > 0"),
    // what the ledger is told: too much, or not at all
    ("user = level.user, fen = level.fen - level.back })", "user = level.user, fen = level.fen })"),
    ("fen = more, was = level.state", "fen = level.back, was = level.state"),
    ("    log.emit(\"referral.rewarded\", told)\n", ""),
];

/// Redis knows a script by its hash.
fn mistaken(from: &str, to: &str) -> Program {
    let change = |script: &Script| {
        assert!(script.text.contains(from), "the program no longer says {from:?}");
        let text = script.text.replace(from, to);
        let sha1 = sha1_hex(&[text.as_bytes()]);
        Script { text, sha1 }
    };
    let same = |script: &Script| Script { text: script.text.clone(), sha1: script.sha1.clone() };
    let right = &*PROGRAM;
    Program {
        tables: right.tables,
        holders: right.holders,
        admit: change(&right.admit),
        drain: change(&right.drain),
        read: same(&right.read),
        recovery: same(&right.recovery),
    }
}

#[test]
fn every_mistake_is_caught() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let redis = runtime.block_on(Redis::start());
    let missed: Vec<_> = MISTAKES
        .iter()
        .filter(|(from, to)| {
            let program: &'static Program = Box::leak(Box::new(mistaken(from, to)));
            !model::catches::<Book, Case>(&redis.url(), program, &case())
        })
        .collect();
    assert!(missed.is_empty(), "nobody noticed {missed:#?}");
}
