//! What Lua and Rust must agree on, read from the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use liebian::bargain::row as chain;
use liebian::code::Code;
use liebian::group_buy::row as room;
use liebian::order::row as order;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("lua")
}

/// Every Lua file: path and text.
fn files() -> Vec<(PathBuf, String)> {
    let (mut folders, mut files) = (vec![folder()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "lua") {
                files.push((path.clone(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(files.len() > 10, "the Lua files were not found");
    files
}

/// The text between double quotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('"').skip(1).step_by(2).collect()
}

/// The words that `lua/lib/schema.lua` numbers under a name.
fn numbered(name: &str) -> Vec<String> {
    let schema = fs::read_to_string(folder().join("lib/schema.lua")).unwrap();
    let list = schema.split_once(&format!("\nlocal {name} = words(")).unwrap_or_else(|| panic!("{name} is not in the schema")).1;
    quoted(list.split_once(')').unwrap().0).into_iter().map(str::to_owned).collect()
}

#[test]
fn states_have_the_same_numbers_in_lua_and_rust() {
    // That rows are read as they are written, the model's property says.
    fn words<T: serde::Serialize>(states: &[T]) -> Vec<String> {
        states.iter().map(|state| serde_json::to_value(state).unwrap().as_str().unwrap().to_owned()).collect()
    }
    assert_eq!(numbered("ROOM_STATES"), words(&room::State::NUMBERED));
    assert_eq!(numbered("CHAIN_STATES"), words(&chain::State::NUMBERED));
    assert_eq!(numbered("ORDER_STATES"), words(&order::State::NUMBERED));
}

/// Words in snake case in code: what a refusal can be.
fn refused(text: &str) -> BTreeSet<&str> {
    let mut words = BTreeSet::new();
    let mut refusing = false; // inside a local function that answers a refusal word
    for line in text.lines() {
        refusing |= line.starts_with("local function") || line.starts_with("function");
        refusing &= line != "end";
        let code = line.split("--").next().unwrap();
        let direct = code.split("refuse(").skip(1).filter(|rest| rest.starts_with('"'));
        words.extend(direct.filter_map(|rest| quoted(rest).first().copied()));
        // A function that is asked for a reason answers it bare.
        if refusing && let Some(word) = code.trim().strip_prefix("return \"") {
            words.extend(word.strip_suffix('"'));
        }
        // `local refusal = not tier and "not_found" or …`
        if code.contains("refusal =") {
            words.extend(quoted(code).into_iter().filter(|word| word.contains('_')));
        }
    }
    words.remove("opened");
    words.remove("joined");
    words
}

/// A function's header: the lines with `---` right above it.
fn headers(text: &str) -> Vec<(&str, String)> {
    let lines: Vec<_> = text.lines().collect();
    let ops = lines.iter().enumerate().filter_map(|(at, line)| Some((at, line.strip_prefix("function ops.")?.split('(').next()?)));
    ops.map(|(at, name)| {
        let above = lines[..at].iter().rev().take_while(|line| line.starts_with("---"));
        let mut header: Vec<_> = above.copied().collect();
        header.reverse();
        (name, header.join("\n"))
    })
    .collect()
}

/// The words that a header says the op is refused with: `a | b, c (why) | d`, over several lines.
fn announced(header: &str) -> BTreeSet<&str> {
    let Some((_, rest)) = header.split_once("@refuse") else { return BTreeSet::new() };
    let mut words = BTreeSet::new();
    let mut depth = 0; // of parentheses
    for line in rest.split("--- @").next().unwrap().lines() {
        for part in line.split_inclusive(['(', ')', '|', ',', ' ']) {
            let word = part.trim_matches(['(', ')', '|', ',', ' ', '-']);
            if depth == 0 && !word.is_empty() {
                words.insert(word);
            }
            depth += part.matches('(').count();
            depth -= part.matches(')').count();
        }
    }
    words
}

#[test]
fn every_refusal_in_lua_is_a_code() {
    let files = files();
    let mut found: BTreeSet<String> = BTreeSet::new();
    for (path, text) in &files {
        if path.ends_with("lib/fence.lua") {
            continue; // Its reasons go to recovery, not to callers.
        }
        for word in refused(text) {
            assert!(Code::from_word(word).is_some(), "{} refuses with {word}, which is no code", path.display());
            found.insert(word.to_owned());
        }
        for (op, header) in headers(text) {
            for word in announced(&header) {
                assert!(Code::from_word(word).is_some(), "the header of {op} announces {word}, which is no code");
                found.insert(word.to_owned());
            }
        }
    }
    for expected in ["not_found", "campaign_state", "campaign_ended", "room_expired", "unpaid_limit_reached", "order_not_cancellable"] {
        assert!(found.contains(expected), "{expected} was not found: this test has become blind");
    }
}

#[test]
fn every_op_says_what_it_answers() {
    let mut ops = 0;
    for (path, text) in &files() {
        for (op, header) in headers(text) {
            assert!(header.contains("@reply "), "{} does not say what {op} replies", path.display());
            ops += 1;
        }
    }
    assert!(ops >= 11, "only {ops} ops were found");
}

#[test]
fn every_refusal_of_an_op_is_announced() {
    for (path, text) in &files() {
        // From one op to the next; helper functions are for the model to judge.
        for part in text.split("\nfunction ops.").skip(1) {
            let name = part.split('(').next().unwrap();
            let body = part.split("\nend").next().unwrap();
            let header = headers(text).into_iter().find(|(op, _)| *op == name).unwrap().1;
            for word in body.split("refuse(\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(announced(&header).contains(word), "{}: {name} refuses with {word} unannounced", path.display());
            }
        }
    }
}

#[test]
fn the_readme_tells_every_code_as_it_is() {
    let readme = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let told: Vec<&str> = readme.lines().filter(|line| line.starts_with("| `") && line.matches(" | ").count() == 3).collect();
    let meant: Vec<String> = liebian::code::Code::ALL
        .iter()
        .map(|code| {
            let retry = serde_json::to_value(code.retry()).unwrap().as_str().unwrap().replace('_', " ");
            format!("| `{}` | {} | {retry} | {} |", code.word(), code.status(), code.title())
        })
        .collect();
    assert_eq!(told, meant);
}
