//! The layers of ARCHITECTURE.md, read off the `use` lines and paths of the sources.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const LEAVES: [&str; 5] = ["clock", "code", "crypto", "id", "money"];
const MECHANISMS: [&str; 5] = ["feed", "hot", "ledger", "projector", "store"];
const DOMAINS: [&str; 9] = ["bargain", "campaign", "group_buy", "identity", "operator", "order", "referral", "share", "withdrawal"];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// Every source with its module path, and its code without comments and tests.
fn modules() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let read = |path: PathBuf| {
        let name = path.strip_prefix(&root).unwrap().with_extension("").to_string_lossy().replace('/', "::");
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let code = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        (name, code)
    };
    sources(&root).into_iter().map(read).collect()
}

/// The first one or two names after each `crate::`.
fn named(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let mut words = rest.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
        let path: Vec<&str> = words.next().unwrap_or_default().split("::").collect();
        names.insert(path[0].to_owned());
        if path.len() > 1 {
            names.insert(format!("{}::{}", path[0], path[1]));
        }
    }
    names
}

fn top(module: &str) -> &str {
    module.split("::").next().unwrap()
}

#[test]
fn leaves_name_only_leaves_and_mechanisms_name_no_domain_and_no_edge() {
    for (module, code) in modules() {
        let allowed: &[&str] = match top(&module) {
            layer if LEAVES.contains(&layer) => &[],
            "store" => &["store"],
            "hot" => &["hot"],
            "feed" => &["feed", "hot"],
            "projector" => &["projector", "hot", "store"],
            "ledger" => &["ledger", "projector", "store"],
            _ => continue,
        };
        for name in named(&code).iter().filter(|name| !name.contains("::")) {
            assert!(LEAVES.contains(&name.as_str()) || allowed.contains(&name.as_str()), "{module} names {name}");
        }
    }
}

#[test]
fn no_domain_names_the_ops_the_handlers_or_the_desk_of_another() {
    for (module, code) in modules().into_iter().filter(|(module, _)| DOMAINS.contains(&top(module))) {
        for name in named(&code) {
            let Some((domain, part)) = name.split_once("::") else { continue };
            let foreign = DOMAINS.contains(&domain) && domain != top(&module);
            assert!(!foreign || !["ops", "http", "desk"].contains(&part), "{module} names {name}");
        }
    }
}

#[test]
fn only_the_hot_module_names_the_redis_crate() {
    for (module, code) in modules().into_iter().filter(|(module, _)| top(module) != "hot") {
        let names_it = code.lines().any(|line| line.contains("use redis") || line.contains(" ::redis") || line.contains("deadpool"));
        assert!(!names_it, "{module} names redis");
    }
}

#[test]
fn every_folder_of_the_sources_has_a_layer() {
    let known: BTreeSet<&str> = LEAVES
        .iter()
        .chain(&MECHANISMS)
        .chain(&DOMAINS)
        .copied()
        .chain(["http", "audit", "app", "admin", "config", "dev", "lib", "main"])
        .collect();
    for (module, _) in modules() {
        assert!(known.contains(top(&module)), "{module} stands in no layer of ARCHITECTURE.md");
    }
}
