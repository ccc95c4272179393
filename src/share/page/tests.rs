use std::collections::HashMap;

use serde_json::json;

use super::{CONTENT_SECURITY_POLICY, PageData, State, is_wechat_browser, render, render_jump, render_refusal, state};
use crate::campaign::model::Definition;
use crate::campaign::view::{CampaignNumbers, CampaignState, CampaignView};
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
    };
    PageData { campaign: CampaignView::new("cmp_abcdefgh".parse().unwrap(), &definition, &numbers).unwrap(), room: None, sharer: None }
}

fn with_room(mut data: PageData, room_state: RoomState, seats_left: i64) -> PageData {
    let member = MemberView { name: format!("张**{HOSTILE}"), leader: true, paid: true };
    data.room = Some(RoomView {
        id: "room_abcdefgh0123456789abcdef".parse().unwrap(),
        campaign_id: data.campaign.id,
        sku: "a".into(),
        state: room_state,
        size: 3,
        seats_taken: 3 - seats_left,
        seats_paid: 1,
        seats_left,
        leader: member.name.clone(),
        members: vec![member],
        price_fen: Fen::new(4950),
        expires_at: now().plus_seconds(3 * 3600 + 60 * 5),
        you: None,
    });
    data
}

#[test]
fn the_page_tells_the_whole_offer_in_both_languages() {
    let data = with_room(data("樱桃半价"), RoomState::Open, 1);
    let zh = render(&data, Zh).unwrap();
    for told in [
        "樱桃半价",
        "¥49.50",
        "¥99.00",
        "划线价",
        "3 人成团",
        "640",
        "345",
        "0天3小时5分钟",
        "等你参团",
        "List price is our shop&#39;s price.",
        "<html lang=\"zh-CN\">",
    ] {
        assert!(zh.contains(told), "{told}\n{zh}");
    }
    let en = render(&data, En).unwrap();
    for told in ["List price", "people in one room", "Seats are free", "0 d 3 h 5 min", "<html lang=\"en\">"] {
        assert!(en.contains(told), "{told}\n{en}");
    }
    assert!(!zh.contains("42.77") && !zh.contains("4277"), "what it costs is nobody's business");
}

#[test]
fn hostile_text_stays_text() {
    let mut data = with_room(data(HOSTILE), RoomState::Open, 1);
    data.sharer = Some(HOSTILE.to_owned());
    for page in [render(&data, Zh).unwrap(), render(&data, En).unwrap(), render_jump(&data, Zh).unwrap()] {
        assert!(!page.contains("<script>alert"), "{page}");
        assert!(!page.contains("<img"), "{page}");
        assert!(!page.contains("onload='x'"), "{page}");
        assert!(page.contains("&#38;amp;"), "an entity in a title is shown as typed");
        assert!(page.matches("<script").count() <= 1, "only our own script");
    }
}

#[test]
fn the_policy_names_the_very_style_and_script_of_the_page() {
    let page = render(&data("x"), Zh).unwrap();
    for (open, close, directive) in [("<style>", "</style>", "style-src"), ("<script>", "</script>", "script-src")] {
        let inside = page.split_once(open).unwrap().1.split_once(close).unwrap().0;
        let hash = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, crate::crypto::sha256(inside.as_bytes()));
        assert!(CONTENT_SECURITY_POLICY.contains(&format!("{directive} 'sha256-{hash}'")));
    }
    for outside in ["http://", "https://", "//cdn", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(!CONTENT_SECURITY_POLICY.contains("unsafe"));
}

#[test]
fn the_state_is_the_rooms_end_first_then_the_campaigns() {
    for (room, left, expected) in [
        (RoomState::Open, 1, State::RoomOpen),
        (RoomState::Open, 0, State::RoomFull),
        (RoomState::Formed, 0, State::RoomFormed),
        (RoomState::Failed, 2, State::RoomFailed),
    ] {
        assert_eq!(state(&with_room(data("x"), room, left)), expected);
    }
    for (campaign, expected) in [
        (CampaignState::Scheduled, State::Scheduled),
        (CampaignState::Live, State::Live),
        (CampaignState::Paused, State::Paused),
        (CampaignState::Ended, State::Ended),
    ] {
        let mut data = data("x");
        data.campaign.state = campaign;
        assert_eq!(state(&data), expected);
    }
    let mut sold_out = data("x");
    sold_out.campaign.items[0].stock_left = 0;
    assert_eq!(state(&sold_out), State::SoldOut);
    let mut late = with_room(data("x"), RoomState::Open, 1);
    late.campaign.now = late.room.as_ref().unwrap().expires_at;
    assert_eq!(state(&late), State::RoomExpired);
    let mut last_rooms = with_room(data("x"), RoomState::Open, 1);
    last_rooms.campaign.state = CampaignState::Ended;
    assert_eq!(state(&last_rooms), State::RoomOpen, "open rooms may fill until their deadline");
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
