use std::collections::HashMap;
use std::sync::Arc;

use serde_json::json;

use super::state::{State, state};
use super::{Asked, CONTENT_SECURITY_POLICY, PageData, is_wechat_browser, render, render_jump, render_refusal};
use crate::campaign::model::{Definition, Tier};
use crate::campaign::view::{CampaignNumbers, CampaignState, CampaignView, Switches};
use crate::clock::UnixMs;
use crate::code::Code;
use crate::group_buy::view::{MemberView, RoomState, RoomView};
use crate::money::Fen;
use crate::share::language::Language::{En, Zh};

const HOSTILE: &str = "</title><script>alert(1)</script><img src=x onerror=alert(2)>\" onload='x' &amp; {{ 7*7 }}";

fn now() -> UnixMs {
    UnixMs::parse("2026-11-23T00:00:00Z").unwrap()
}

fn data(title: &str) -> PageData {
    let definition = Definition::read(&json!({
        "kind": "group_buy", "title": title, "surface": "mini_program", "starts_at": "2026-11-22T00:00:00Z", "ends_at": "2026-12-01T00:00:00Z",
        "rules_text": format!("List price is our shop's price.\n{title}"),
        "items": [{"sku": "a", "title": title, "list_price_fen": 9900, "cost_price_fen": 4277, "stock": 1000,
                   "tiers": [{"size": 3, "price_fen": 4950}]}],
    }))
    .unwrap();
    let numbers = CampaignNumbers {
        state: CampaignState::Live,
        now: now(),
        stock: HashMap::from([("a".to_owned(), (1000, 640, 345))]),
        rooms_open: 1,
        rooms_formed: 2,
        switches: Switches::default(),
        granted: Fen::ZERO,
    };
    PageData {
        campaign: Arc::new(CampaignView::new("cmp_abcdefgh".parse().unwrap(), &definition, &numbers)),
        rooms: Arc::default(),
        room: None,
        chain: None,
        sharer: None,
        invite_code: None,
        origin: "https://shop.example".into(),
        path: "/s/Z2hvc3RfaW5fdGhlX3NoZWxsX2FiY2Rl".into(),
        now: now(),
        sandbox: true,
        asked: Asked::default(),
    }
}

fn campaign(data: &mut PageData) -> &mut CampaignView {
    Arc::get_mut(&mut data.campaign).unwrap()
}

fn room(id: &str, state: RoomState, size: i64, members: &[(&str, bool)]) -> RoomView {
    let member = |(place, (name, paid)): (usize, &(&str, bool))| MemberView {
        name: (*name).to_owned(),
        leader: place == 0,
        paid: *paid,
        you: false,
    };
    let members: Vec<MemberView> = members.iter().enumerate().map(member).collect();
    let taken = i64::try_from(members.len()).unwrap();
    RoomView {
        id: format!("room_abcdefgh{id:0>14}").parse().unwrap(),
        campaign_id: "cmp_abcdefgh".parse().unwrap(),
        sku: "a".into(),
        state,
        size,
        seats_taken: taken,
        seats_paid: i64::try_from(members.iter().filter(|member| member.paid).count()).unwrap(),
        seats_left: size - taken,
        units_kept: 0,
        leader: members.first().map(|member| member.name.clone()).unwrap_or_default(),
        members,
        price_fen: Fen::new(4950),
        tiers: crate::group_buy::view::tiers(size, 4950, &[]),
        accept_from: None,
        final_price_fen: (state == RoomState::Formed).then_some(Fen::new(4950)),
        expires_at: now().plus_seconds(3 * 3600 + 60 * 5),
        you: None,
    }
}

fn with_room(mut data: PageData, state: RoomState, members: &[(&str, bool)]) -> PageData {
    data.room = Some(Arc::new(room("1", state, 3, members)));
    data
}

#[test]
fn the_page_tells_the_whole_offer_in_both_languages() {
    let mut data = with_room(data("樱桃半价"), RoomState::Open, &[("张**", true), ("A**", false)]);
    data.rooms = Arc::new(vec![room("1", RoomState::Open, 3, &[("张**", true)]), room("2", RoomState::Open, 3, &[("李**", true)])]);
    let zh = render(&data, Zh).unwrap();
    for told in [
        "<html lang=\"zh-CN\">",
        "<title>樱桃半价</title>",
        "<h2 id=\"head\">还差 1 人</h2>",
        "<small>¥</small>49.50</b> 每份，3 人团",
        "划线价 <s>¥99.00</s> <em>省 ¥49.50</em>",
        "<li class=\"paid\"><b aria-hidden=\"true\">张</b><span><bdi>张**</bdi> 团长</span><i>已付款</i></li>",
        "<li class=\"held\"><b aria-hidden=\"true\">A</b><span><bdi>A**</bdi> </span><i>待付款</i></li>",
        "<li class=\"free\"><b aria-hidden=\"true\">+</b><span>空位</span></li>",
        "<b id=\"left\">03:05</b>",
        "11月23日 11:05 截止（北京时间）",
        "还剩 640 份，共 1000 份",
        "已成团 2 个",
        "李** 的团",
        "href=\"?room=room_abcdefgh00000000000002\"",
        "List price is our shop&#39;s price.\n樱桃半价",
        "每单最多 1 份",
        "分享本身没有任何奖励",
    ] {
        assert!(zh.contains(told), "{told}\n{zh}");
    }
    assert!(!zh.contains("张** 的团"), "the room itself is no other room");
    let en = render(&data, En).unwrap();
    for told in ["<html lang=\"en\">", "1 more to go", "each, group of 3", "List price", "until 23 Nov, 11:05 (UTC+8)", "640 of 1000 left"]
    {
        assert!(en.contains(told), "{told}\n{en}");
    }
    assert!(!zh.contains("42.77") && !zh.contains("4277"), "what it costs is nobody's business");
}

#[test]
fn units_kept_for_a_room_are_not_sold_out_for_those_who_join_it() {
    let mut data = with_room(data("a"), RoomState::Open, &[("张**", true)]);
    campaign(&mut data).items[0].stock_left = 0;
    assert!(render(&data, En).unwrap().contains("data-state=\"sold_out\""));
    Arc::make_mut(data.room.as_mut().unwrap()).units_kept = 2;
    assert!(render(&data, En).unwrap().contains("data-state=\"open\""));
}

#[test]
fn a_group_is_offered_only_where_the_units_of_one_are_left() {
    let mut data = data("a");
    campaign(&mut data).items[0].units_to_open = Some(3);
    campaign(&mut data).items[0].stock_left = 3;
    assert_eq!(state(&data), State::Live);
    campaign(&mut data).items[0].stock_left = 2;
    let page = render(&data, En).unwrap();
    assert!(page.contains("data-state=\"short\"") && page.contains("data-needs=\"3\"") && page.contains("No new groups for now"), "{page}");
    campaign(&mut data).items[0].units_to_open = Some(1);
    assert_eq!(state(&data), State::Live);
    let room = with_room(data, RoomState::Open, &[("A**", true)]);
    assert_eq!(state(&room), State::Open, "whoever joins needs one unit");
}

#[test]
fn a_room_that_has_formed_has_no_free_seats() {
    let data = with_room(data("a"), RoomState::Formed, &[("张**", true), ("A**", true)]);
    assert!(!render(&data, En).unwrap().contains("class=\"free\""));
}

/// A ladder of two to four people, whose leader pays less, sold alone too.
fn ladder(paid: usize, state: RoomState) -> PageData {
    let mut data = data("樱桃");
    let tier = |(size, fen)| Tier { size, price_fen: Fen::new(fen) };
    let tiers: Vec<Tier> = [(2, 4950), (3, 4000), (4, 3500)].map(tier).into();
    let item = &mut campaign(&mut data).items[0];
    (item.leader_price_fen, item.solo_price_fen) = (Some(Fen::new(3900)), Some(Fen::new(8000)));
    item.tiers.clone_from(&tiers);
    let members = [("A**", true), ("B**", true), ("C**", true), ("D**", true)];
    if paid > 0 {
        let final_price_fen = (state == RoomState::Formed).then(|| tiers[paid - 2].price_fen);
        data.room = Some(Arc::new(RoomView { tiers, final_price_fen, ..room("1", state, 4, &members[..paid]) }));
    }
    data
}

#[test]
fn a_ladder_shows_its_steps_and_the_one_that_is_reached() {
    let page = render(&ladder(0, RoomState::Open), En).unwrap();
    for told in [
        "<small>¥</small>49.50</b> each, from 2 people",
        "¥39.00 for the host · ¥80.00 bought alone",
        "<li class=\"next\"><b>¥49.50</b>2 people</li><li class=\"\"><b>¥40.00</b>3 people</li><li class=\"\"><b>¥35.00</b>4 people</li>",
        "data-price=\"4950\" data-own=\"3900\" data-solo=\"8000\"",
        "Complete when 2 have paid. More people, lower price: the difference goes back.",
        "sets the price, and the difference goes back",
    ] {
        assert!(page.contains(told), "{told}\n{page}");
    }
    let page = render(&ladder(1, RoomState::Open), En).unwrap();
    assert!(page.contains("<h2 id=\"head\">1 more to go</h2>") && page.contains("Complete when 2 have paid. More people"), "{page}");
    let page = render(&ladder(2, RoomState::Open), En).unwrap();
    assert!(page.contains("<h2 id=\"head\">1 more: ¥40.00 each</h2>"), "{page}");
    assert!(page.contains("<li class=\"now\" aria-current=\"step\"><b>¥49.50</b>2 people</li><li class=\"next\"><b>¥40.00</b>"), "{page}");
    let page = render(&ladder(3, RoomState::Formed), En).unwrap();
    assert!(
        page.contains("3 paid: ¥40.00 each. What was paid above goes back.") && page.contains("<small>¥</small>40.00</b> each, group of 3"),
        "{page}"
    );
    assert!(page.contains("<li class=\"reached\"><b>¥49.50</b>2 people</li><li class=\"now\""), "{page}");
    assert!(!render(&ladder(2, RoomState::Failed), En).unwrap().contains("id=\"steps\""));
    assert!(!render(&data("x"), En).unwrap().contains("id=\"steps\""), "one size is no ladder");
}

#[test]
fn who_may_join_and_with_how_many_it_closes_is_said() {
    let mut data = data("x");
    let plain = render(&data, En).unwrap();
    assert!(!plain.contains("data-only") && !plain.contains("never bought here") && !plain.contains("when it closes"), "{plain}");
    (campaign(&mut data).newcomers_only, campaign(&mut data).accept_from) = (true, Some(2));
    let page = render(&data, En).unwrap();
    assert!(page.contains(" data-only ") && page.contains("<p id=\"only\">Only people who never bought here can join."), "{page}");
    assert!(page.contains("With 2 paid when it closes, a group is complete too."), "{page}");
}

#[test]
fn previews_of_the_link_get_title_offer_address_and_picture() {
    let page = render(&data("Cherries"), En).unwrap();
    for tag in [
        "<link rel=\"canonical\" href=\"https://shop.example/s/Z2hvc3RfaW5fdGhlX3NoZWxsX2FiY2Rl\">",
        "<meta property=\"og:url\" content=\"https://shop.example/s/Z2hvc3RfaW5fdGhlX3NoZWxsX2FiY2Rl\">",
        "<meta property=\"og:title\" content=\"Cherries\">",
        "<meta property=\"og:description\" content=\"¥49.50 each, group of 3, List price ¥99.00\">",
        "<meta property=\"og:locale\" content=\"en_US\">",
        "<meta property=\"og:image\" content=\"https://shop.example/assets/picture.",
    ] {
        assert!(page.contains(tag), "{tag}\n{page}");
    }
}

#[test]
fn the_language_one_chose_and_the_room_one_chose_stay() {
    let mut data = with_room(data("x"), RoomState::Open, &[("A**", true)]);
    data.rooms = Arc::new(vec![room("2", RoomState::Open, 3, &[("B**", true)])]);
    data.asked = Asked { room: Some(data.room.as_ref().unwrap().id), language: Some(En) };
    let page = render(&data, En).unwrap();
    assert!(page.contains("href=\"?room=room_abcdefgh00000000000001&#38;lang=zh\""), "{page}");
    assert!(page.contains("href=\"?room=room_abcdefgh00000000000002&#38;lang=en\""), "{page}");
}

#[test]
fn every_seat_of_a_large_room_is_there() {
    let mut data = data("x");
    data.room = Some(Arc::new(room("1", RoomState::Open, 200, &[("A**", true), ("B**", false)])));
    let page = render(&data, Zh).unwrap();
    assert!(page.contains("<ol id=\"seats\" class=\"many\""));
    assert_eq!(page.matches("<li class=\"free\">").count(), 198);
}

#[test]
fn without_the_sandbox_the_page_is_to_be_read() {
    let mut data = data("x");
    assert!(render(&data, En).unwrap().contains("<div id=\"bar\">"));
    data.sandbox = false;
    let page = render(&data, En).unwrap();
    assert!(!page.contains("id=\"bar\"") && !page.contains("data-sandbox") && page.contains("open the shop&#39;s mini-program"), "{page}");
}

#[test]
fn hostile_text_stays_text() {
    let mut data = with_room(data(HOSTILE), RoomState::Open, &[(HOSTILE, true)]);
    data.sharer = Some(HOSTILE.to_owned());
    data.rooms = Arc::new(vec![room("2", RoomState::Open, 3, &[(HOSTILE, true)])]);
    let pages = [render(&data, Zh), render(&data, En), render_jump(&data, Zh)].map(Result::unwrap);
    for page in &pages {
        assert!(!page.contains("<script>alert"), "{page}");
        assert!(!page.contains("<img src=x"), "{page}");
        assert!(!page.contains("onload='x'"), "{page}");
        assert!(page.contains("&#38;amp;"), "an entity in a title is shown as typed");
    }
    assert_eq!(pages.map(|page| page.matches("<script").count()), [1, 1, 0], "only our own script");
}

#[test]
fn the_policy_names_the_very_styles_of_the_pages_and_nothing_comes_from_elsewhere() {
    let policy = CONTENT_SECURITY_POLICY.to_str().unwrap();
    let data = data("x");
    for page in [render(&data, Zh), render_jump(&data, Zh), render_refusal(Code::ShareInvalid, En)].map(Result::unwrap) {
        let style = page.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
        let hash = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, crate::crypto::sha256(style.as_bytes()));
        assert!(policy.contains(&format!("'sha256-{hash}'")), "{policy}");
        for outside in ["src=\"http", "src=\"//", "@import", "url(", " style=\"", " onclick"] {
            assert!(!page.contains(outside), "{outside}");
        }
        let links = page.split("<link ").skip(1).filter(|link| !link.contains("rel=\"canonical\""));
        for link in links {
            assert!(link.contains("href=\"/assets/"), "{link}");
        }
    }
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
}

#[test]
fn the_page_is_small() {
    let data = with_room(data("樱桃半价"), RoomState::Open, &[("张**", true), ("李**", true)]);
    for language in [Zh, En] {
        let page = render(&data, language).unwrap();
        assert!(page.len() < 7_500, "{} bytes", page.len());
        assert!(crate::share::assets::gzip(page.as_bytes()).len() < 3_500);
    }
}

#[test]
fn the_state_is_the_rooms_end_first_then_the_campaigns() {
    let three = [("A**", true), ("B**", true), ("C**", false)];
    for (state_, taken, expected) in [
        (RoomState::Open, 2, State::Open),
        (RoomState::Open, 3, State::Full),
        (RoomState::Formed, 3, State::Formed),
        (RoomState::Failed, 1, State::Failed),
    ] {
        assert_eq!(state(&with_room(data("x"), state_, &three[..taken])), expected);
    }
    for (campaign_state, expected) in [
        (CampaignState::Scheduled, State::Scheduled),
        (CampaignState::Live, State::Live),
        (CampaignState::Paused, State::Paused),
        (CampaignState::Ended, State::Ended),
    ] {
        let mut data = data("x");
        campaign(&mut data).state = campaign_state;
        assert_eq!(state(&data), expected);
    }
    let mut sold_out = data("x");
    campaign(&mut sold_out).items[0].stock_left = 0;
    assert_eq!(state(&sold_out), State::SoldOut);
    let mut late = with_room(data("x"), RoomState::Open, &three[..1]);
    late.now = late.room.as_ref().unwrap().expires_at;
    assert_eq!(state(&late), State::Expired);
    let mut last_rooms = with_room(data("x"), RoomState::Open, &three[..1]);
    campaign(&mut last_rooms).state = CampaignState::Ended;
    assert_eq!(state(&last_rooms), State::Open, "open rooms may fill until their deadline");
}

#[test]
fn every_state_has_its_words() {
    for campaign_state in [CampaignState::Scheduled, CampaignState::Live, CampaignState::Paused, CampaignState::Ended] {
        for room in [None, Some(RoomState::Open), Some(RoomState::Formed), Some(RoomState::Failed)] {
            let mut data = data("x");
            campaign(&mut data).state = campaign_state;
            if let Some(room) = room {
                data = with_room(data, room, &[("A**", true)]);
            }
            for language in [Zh, En] {
                let page = render(&data, language).unwrap();
                assert!(!page.contains("id=\"head\"></h2>") && !page.contains("id=\"sub\"></p>") && !page.contains("{}"), "{page}");
            }
        }
    }
}

#[test]
fn wechats_own_browser_gets_the_neutral_page() {
    let wechat = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/116 Mobile MMWEBID/1 MicroMessenger/8.0.50";
    assert!(is_wechat_browser(wechat));
    assert!(!is_wechat_browser(&format!("{wechat} miniProgram/wx1234")));
    assert!(!is_wechat_browser("Mozilla/5.0 (iPhone) Safari"));
    let page = render_jump(&data("樱桃半价"), Zh).unwrap();
    assert!(page.contains("樱桃半价") && !page.contains("49.50") && !page.contains("<script"));
}

#[test]
fn refusals_have_a_page_of_their_own() {
    assert!(render_refusal(Code::ShareRevoked, En).unwrap().contains("taken back"));
    assert!(render_refusal(Code::ShareInvalid, Zh).unwrap().contains("链接无效"));
    assert!(render_refusal(Code::Recovering, Zh).unwrap().contains("稍后"));
}
