//! Each word of refusal is either met by a test or said to be out of reach in this release: a new word fails here.

use std::path::Path;

use liebian::code::Code;

/// Words no caller can get yet, and why.
const NOT_REACHABLE: &[(&str, &str)] = &[
    ("blocked", "risk blocks come with the risk rules"),
    ("challenge_required", "challenges come with the risk rules"),
    ("self_invite", "referral bonds"),
    ("bond_cycle", "referral bonds"),
    ("already_bound", "referral bonds"),
    ("outside_order_conflict", "outside orders"),
    ("overloaded", "needs a full lane or a busy database: the tests of the lane and of the store meet it"),
];

/// Where each word is met: file and test.
const MET: &[(&str, &str, &str)] = &[
    ("malformed_request", "edges", "a_body_that_is_no_json_is_malformed_and_one_of_wrong_fields_invalid"),
    ("unauthenticated", "people", "who_calls_must_have_a_session_and_a_device"),
    ("device_required", "people", "who_calls_must_have_a_session_and_a_device"),
    ("device_invalid", "people", "who_calls_must_have_a_session_and_a_device"),
    ("forbidden", "people", "each_role_may_do_its_own_work_and_what_those_before_it_may"),
    ("own_chain", "chains", "nobody_helps_their_own_chain_or_one_twice"),
    ("chain_limit_reached", "chains", "a_shopper_has_one_chain_of_an_item_and_so_many_in_all"),
    ("help_limit_reached", "chains", "helps_are_limited_by_the_day_in_china_and_in_all"),
    ("chain_complete", "chains", "the_last_cut_reaches_the_floor_and_nobody_cuts_further"),
    ("chain_expired", "chains", "a_chain_ends_at_its_deadline"),
    ("floor_not_reached", "chain_orders", "where_only_the_floor_price_buys_the_way_there_does_not"),
    ("newcomers_only", "newcomers", "only_newcomers_join_and_anyone_leads"),
    ("not_found", "campaigns", "an_unknown_campaign_or_sku_is_not_found"),
    ("share_invalid", "shares", "a_token_that_is_none_of_ours_is_not_found"),
    ("method_not_allowed", "edges", "an_address_that_is_none_or_takes_another_method_says_so"),
    ("request_timeout", "slowness", "a_body_that_trickles_is_cut_off"),
    ("campaign_not_live", "running", "a_pause_stops_new_seats_while_payments_and_deadlines_go_on"),
    ("room_full", "rooms", "a_room_that_takes_nobody_names_another_that_does"),
    ("room_closed", "rooms", "a_room_that_takes_nobody_names_another_that_does"),
    ("sold_out", "running", "stock_is_added_and_what_nobody_holds_is_taken_back"),
    ("order_limit_reached", "limits", "an_order_and_a_shopper_have_no_more_than_the_campaign_allows"),
    ("room_limit_reached", "limits", "a_shopper_opens_and_joins_no_more_rooms_than_allowed"),
    ("unpaid_limit_reached", "limits", "open_orders_are_paid_or_cancelled_before_the_next"),
    ("device_limit_reached", "limits", "a_device_serves_no_more_shoppers_than_allowed"),
    ("order_not_payable", "payments", "an_order_is_given_up_until_it_is_paid"),
    ("order_not_cancellable", "payments", "an_order_is_given_up_until_it_is_paid"),
    ("order_not_fulfillable", "orders", "the_goods_of_a_certain_order_are_handed_over_once"),
    ("not_refundable", "payments", "a_refund_the_provider_executes_is_not_the_shops_to_report"),
    ("budget_exhausted", "switches", "the_loss_budget_is_never_overspent_and_pauses_the_campaign"),
    ("balance_too_low", "withdrawals", "a_balance_that_is_too_low_is_said"),
    ("withdrawal_state", "withdrawals", "a_large_one_waits_for_an_operator"),
    ("campaign_state", "campaigns", "a_draft_is_nothing_to_shoppers"),
    ("field_not_editable", "campaigns", "a_live_campaign_changes_in_harmless_fields_only_and_at_once"),
    ("campaign_ended", "running", "an_ended_campaign_opens_nothing_and_lets_open_rooms_fill"),
    ("room_expired", "rooms", "a_room_that_takes_nobody_names_another_that_does"),
    ("order_expired", "holds", "a_hold_that_runs_out_gives_seat_and_stock_back"),
    ("share_revoked", "shares", "a_link_leads_to_its_room_until_it_is_taken_back"),
    ("payload_too_large", "edges", "a_body_of_another_type_or_too_long_is_refused"),
    ("unsupported_media_type", "edges", "a_body_of_another_type_or_too_long_is_refused"),
    ("invalid_request", "campaigns", "every_wrong_field_of_a_definition_is_named_at_once"),
    ("idempotency_key_reused", "repeats", "the_same_key_with_another_body_is_refused"),
    ("publish_blocked", "campaigns", "what_breaks_the_rules_of_its_surface_is_not_published"),
    ("rate_limited", "limits", "a_flood_from_one_shopper_is_slowed_down"),
    ("internal", "edges", "what_breaks_inside_is_internal_and_logged"),
    ("recovering", "edges", "without_redis_ops_are_refused_for_now_and_the_same_request_succeeds_later"),
    ("outcome_unknown", "edges", "without_redis_ops_are_refused_for_now_and_the_same_request_succeeds_later"),
];

#[test]
fn every_word_is_met_by_a_test_or_out_of_reach_for_a_reason() {
    for code in Code::ALL {
        let word = code.word();
        let met = MET.iter().filter(|(name, ..)| *name == word).count();
        let excused = NOT_REACHABLE.iter().filter(|(name, _)| *name == word).count();
        assert_eq!(met + excused, 1, "{word} must stand in exactly one of the lists");
    }
    assert_eq!(MET.len() + NOT_REACHABLE.len(), Code::ALL.len(), "a word that is gone is still listed");
    for (word, file, test) in MET {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/http").join(file).with_extension("rs");
        let text = std::fs::read_to_string(path).unwrap();
        let body = text.split(&format!("async fn {test}(")).nth(1).unwrap_or_else(|| panic!("no test {test} in {file}"));
        let body = body.split("async fn ").next().unwrap();
        assert!(body.contains(&format!("\"{word}\"")), "{test} does not name {word}");
    }
}
