//! What the page of an invite says.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Asked, PageData, render, render_jump};
use crate::campaign::model::Definition;
use crate::campaign::view::{CampaignNumbers, CampaignState, CampaignView, Switches};
use crate::clock::UnixMs;
use crate::money::Fen;
use crate::share::language::Language::{En, Zh};

const HOSTILE: &str = "</title><script>alert(1)</script><img src=x onerror=alert(2)>\" onload='x'";

fn now() -> UnixMs {
    UnixMs::parse("2026-11-23T00:00:00Z").unwrap()
}

/// A programme of one course with two levels, live, as its invite shows it.
fn invite(changes: &Value, change: impl FnOnce(&mut CampaignNumbers)) -> PageData {
    let mut whole = json!({
        "kind": "referral", "title": "国画入门十二课", "surface": "web", "starts_at": "2026-11-22T00:00:00Z", "ends_at": "2026-12-01T00:00:00Z",
        "rules_text": "Only paid orders earn.", "items": [{"sku": "ink", "title": "十二课", "list_price_fen": 29_900, "cost_price_fen": 4277}],
        "levels": [{"basis_points": 1000}, {"basis_points": 250}], "cap_basis_points": 1500, "budget_fen": 1_000_000, "metadata": {"a": "b"},
        "acknowledge_level_two": true,
    });
    whole.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let definition = Definition::read(&whole).unwrap();
    let mut numbers = CampaignNumbers {
        state: CampaignState::Live,
        now: now(),
        stock: HashMap::new(),
        rooms_open: 0,
        rooms_formed: 0,
        switches: Switches::default(),
        granted: Fen::ZERO,
    };
    change(&mut numbers);
    PageData {
        campaign: Arc::new(CampaignView::new("cmp_abcdefgh".parse().unwrap(), &definition, &numbers)),
        rooms: Arc::default(),
        room: None,
        chain: None,
        sharer: Some("张**".into()),
        invite_code: Some("K7M4Q2XR".into()),
        origin: "https://shop.example".into(),
        path: "/s/Z2hvc3RfaW5fdGhlX3NoZWxsX2FiY2Rl".into(),
        now: now(),
        sandbox: true,
        asked: Asked::default(),
    }
}

fn usual() -> PageData {
    invite(&json!({}), |_| {})
}

/// The page has all of these and none of those.
fn says(page: &str, told: &[&str], untold: &[&str]) {
    for text in told {
        assert!(page.contains(text), "{text}\n{page}");
    }
    for text in untold {
        assert!(!page.contains(text), "{text}\n{page}");
    }
}

#[test]
fn it_says_who_invites_what_it_earns_and_when() {
    let zh = render(&usual(), Zh).unwrap();
    let told = [
        "<html lang=\"zh-CN\">",
        "data-state=\"live\"",
        "data-code=\"K7M4Q2XR\"",
        "<h2 id=\"head\">接受 张** 的邀请？</h2>",
        "<small>¥</small>299.00",
        "<li><b>10%</b><span>第一级：邀请来的人付款的订单</span></li><li><b>2.5%</b><span>第二级：这些人再邀请来的人付款的订单</span></li>",
        "到第二级为止，没有第三级",
        "例如 ¥299.00 的订单：第一级 ¥29.90，第二级 ¥7.47",
        "订单完成满 7天，奖励才能提现",
        "两级奖励合计不超过订单金额的 15%",
        "点击、分享、拉人头都没有",
        "先接受谁的邀请就归谁",
        "提现每次 ¥1.00 至 ¥200.00，每天最多 3 次",
        "超过 ¥50.00 的提现由商家审核",
        "不承诺任何收入",
        "活动到 12月1日 08:00（北京时间）",
        "/qr.svg\"",
    ];
    says(&zh, &told, &["42.77", "4277", "1000000", "10000.00", "只有没买过", "{}"]);
    let en = render(&usual(), En).unwrap();
    let told = [
        "Accept 张**&#39;s invite?",
        "It ends with level 2. There is no third.",
        "An order of ¥299.00: ¥29.90 at level 1, ¥7.47 at level 2",
        "at most 15% of the order",
    ];
    says(&en, &told, &["{}"]);
    assert!(en.contains("<meta property=\"og:description\" content=\"十二课 ¥299.00\">"), "a preview never tells what it earns");
}

#[test]
fn each_rule_of_the_definition_is_told_as_it_is() {
    let one = json!({"levels": [{"fixed_fen": 500}], "freeze_seconds": 0, "items": [], "orders_from": ["campaigns"],
        "bond": {"newcomers_only": true, "touch": "last", "protected_seconds": 86_400, "expires_after_seconds": 15_552_000},
        "sku_overrides": [{"sku": "x", "levels": [{"basis_points": 5}]}], "withdrawal": {"max_fen": 5000}});
    let page = render(&invite(&one, |_| {}), En).unwrap();
    let told = [
        "<b>¥5.00</b><span>Level 1",
        "One level only",
        "A reward is at most 15%",
        "Once the order is fulfilled, the reward can be withdrawn",
        "but not within 1 d of accepting one",
        "An invite holds for 180 d",
        "<p id=\"only\">Only people who never bought here",
        "<li>x: 0.05%</li>",
    ];
    assert!(page.contains("Orders that earn: those of the shop&#39;s groups and bargains here."), "{page}");
    says(&page, &told, &["Level 2", "level 2", "An order of", "looks at withdrawals"]);
    let several = json!({"items": [{"sku": "a", "title": "A", "list_price_fen": 1000}, {"sku": "b", "title": "B", "list_price_fen": 1000}],
        "sku_overrides": [{"sku": "b", "levels": [{"fixed_fen": 120}]}]});
    let page = render(&invite(&several, |_| {}), En).unwrap();
    says(
        &page,
        &["An order of ¥10.00: ¥1.00 at level 1, ¥0.25 at level 2", "An order of ¥10.00 earns ¥1.20<", "<h2 dir=\"auto\">A</h2>"],
        &[],
    );
}

#[test]
fn every_state_has_its_words_and_accepts_only_when_it_may() {
    let state = |change: fn(&mut CampaignNumbers), of: &Value, word: &str, head: &str| {
        let data = invite(of, change);
        for language in [Zh, En] {
            let page = render(&data, language).unwrap();
            says(&page, &[&format!("data-state=\"{word}\"")], &["{}", "id=\"head\"></h2>", "id=\"sub\"></p>"]);
        }
        says(&render(&data, En).unwrap(), &[head], &[]);
    };
    let none = json!({});
    state(|_| {}, &none, "live", "Accept ");
    state(|numbers| numbers.state = CampaignState::Scheduled, &none, "scheduled", "Not open yet");
    state(|numbers| numbers.state = CampaignState::Paused, &none, "paused", "new orders earn nothing");
    state(|numbers| numbers.state = CampaignState::Ended, &none, "ended", "This campaign is over");
    state(|numbers| numbers.switches.join = false, &none, "closed", "No new invites for now");
    state(|numbers| numbers.granted = Fen::new(1_000_000), &none, "exhausted", "The budget is used up");
    state(|numbers| numbers.granted = Fen::new(999_999), &none, "live", "Accept ");
    state(|numbers| numbers.granted = Fen::new(1_000_000), &json!({"budget_fen": null}), "live", "Accept ");
    state(|numbers| (numbers.state, numbers.granted) = (CampaignState::Paused, Fen::new(1_000_000)), &none, "paused", "Paused");
}

#[test]
fn a_link_without_a_code_shows_the_programme() {
    let mut data = usual();
    data.invite_code = None;
    let page = render(&data, En).unwrap();
    says(&page, &["Earn when friends buy", "Get a code of your own first"], &["data-code", "data-inviter", "Accept 张"]);
}

#[test]
fn it_is_read_without_the_sandbox_and_neutral_inside_wechat() {
    let mut data = usual();
    assert!(render(&data, En).unwrap().contains("<div id=\"bar\">"));
    data.sandbox = false;
    says(&render(&data, En).unwrap(), &["open the shop&#39;s mini-program"], &["id=\"bar\"", "data-sandbox"]);
    says(&render_jump(&data, Zh).unwrap(), &["国画入门十二课"], &["10%", "K7M4Q2XR", "<script"]);
}

#[test]
fn hostile_text_stays_text() {
    let changes = json!({"title": HOSTILE.chars().take(110).collect::<String>(), "rules_text": HOSTILE, "items": [{"sku": "a", "title": HOSTILE, "list_price_fen": 1}]});
    let mut data = invite(&changes, |_| {});
    data.sharer = Some(HOSTILE.to_owned());
    for page in [render(&data, Zh), render(&data, En)].map(Result::unwrap) {
        says(&page, &[], &["<script>alert", "<img src=x", "onload='x'"]);
        assert_eq!(page.matches("<script").count(), 1, "only our own script");
    }
}

#[test]
fn it_is_small_and_so_is_all_it_loads() {
    use crate::share::assets::{ASSETS, Script, gzip};
    for language in [Zh, En] {
        let page = render(&usual(), language).unwrap();
        assert!(gzip(page.as_bytes()).len() < 4_500, "{} bytes", gzip(page.as_bytes()).len());
        let files = [ASSETS.script(Script::Invite, language), ASSETS.more.path(), ASSETS.icon.path()];
        let sizes: Vec<usize> = files.iter().map(|path| ASSETS.packed(path).unwrap()).collect();
        let all = gzip(page.as_bytes()).len() + sizes.iter().sum::<usize>();
        assert!(all < 30_000, "{all} bytes: {sizes:?}");
    }
}
