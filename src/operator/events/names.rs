//! What is told: the names of events and what each holds. Names and fields stay; new ones may come.

/// An event: its name, when it is told, and the fields of its `data`.
pub type About = (&'static str, &'static str, &'static str);

/// Every event. Those of orders hold `order_id user_id sku quantity room_id` besides what stands here, those of rooms `room_id`, those of
/// chains `chain_id`.
pub const EVENTS: &[About] = &[
    ("campaign.published", "A version of the definition is in force.", "version"),
    ("campaign.status", "Paused, resumed or ended, by an operator, the loss budget or time.", "status paused_by"),
    ("campaign.switches", "An operator has switched opening or joining on or off.", "open join"),
    ("campaign.stock", "An operator has added units or taken some back.", "sku units left"),
    ("group_buy.room_opened", "A room is open.", ""),
    ("group_buy.room_formed", "Enough members have paid; their orders are confirmed.", ""),
    ("group_buy.room_failed", "A room has ended without forming; what was paid goes back.", ""),
    ("group_buy.leader_left", "The leader's seat was given up; another leads, or nobody is left.", "leader_order_id"),
    ("bargain.chain_started", "A chain was started.", ""),
    ("bargain.cut", "A shopper has taken its next steps; the owner's own come with its start.", "user_id steps amount_fen"),
    ("bargain.floor_reached", "All its steps are taken; the time to buy runs.", ""),
    ("bargain.chain_bought", "Its order is paid.", ""),
    ("bargain.chain_expired", "Its time is over.", ""),
    (
        "referral.bound",
        "A shopper is bound to an inviter; an operator's doing has its reason.",
        "user_id inviter_id previous_inviter_id expires_at reason",
    ),
    ("referral.unbound", "An operator has cut a bond.", "user_id previous_inviter_id reason"),
    (
        "referral.rewarded",
        "An order has earned a reward; it is frozen. `order_number` is ours or the shop's.",
        "order_number level user_id amount_fen",
    ),
    ("referral.reward_refused", "A reward did not fit into a budget.", "order_number level user_id amount_fen reason"),
    ("referral.reward_available", "A reward's freeze is over.", "order_number level user_id amount_fen"),
    (
        "referral.reward_reversed",
        "So much of a reward went back; `was` is the state that it was in.",
        "order_number level user_id amount_fen was",
    ),
    ("order.held", "An order was placed; seat and units are held. `referral` says who earns by it, if anybody.", "referral"),
    ("order.payment_asked", "Its shopper has asked to pay.", ""),
    ("order.closing", "Its hold is over, and the provider is asked to close the payment.", ""),
    ("order.released", "It was given up unpaid; seat and units are free.", "reason"),
    ("order.paid", "It is paid.", "transaction amount_fen"),
    ("order.confirmed", "Its good is certain: its room has formed, or it needs none.", "amount_fen"),
    ("order.fulfilled", "Its goods were handed over.", ""),
    ("order.called_off", "An operator has called it off while its payment could still come; one that comes goes back.", "reason"),
    ("order.undone", "An operator has undone it after it was paid; all that is kept of its money goes back.", "reason"),
    ("order.seated_again", "A payment came late and found the seat still free.", ""),
    ("order.payment_returned", "A payment that buys nothing goes back.", "transaction reason"),
    (
        "order.refund_due",
        "Money is to go back; `number` counts the order's refunds. `from`: it has just been `taken`, was `received` and its good not certain, \
         or was `kept`.",
        "number amount_fen transaction reason from",
    ),
    ("order.refunded", "That refund was executed.", "number amount_fen"),
    ("timer.broken", "A deadline could not be kept and is tried again in a minute: tell the engine's makers.", "timer error"),
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::EVENTS;

    fn emitted(folder: &Path, found: &mut Vec<(String, bool)>) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                emitted(&path, found);
            } else {
                let text = std::fs::read_to_string(&path).unwrap();
                for rest in text.split("log.emit(\"").skip(1) {
                    let (name, after) = rest.split_once('"').unwrap();
                    found.push((name.to_owned(), after.starts_with(" ..")));
                }
            }
        }
    }

    #[test]
    fn every_event_that_a_program_tells_is_named_here() {
        let mut found = Vec::new();
        emitted(&Path::new(env!("CARGO_MANIFEST_DIR")).join("lua"), &mut found);
        assert!(found.len() > 12, "the programs were not read");
        for (name, is_a_beginning) in found {
            let known = EVENTS.iter().any(|(known, ..)| if is_a_beginning { known.starts_with(&name) } else { *known == name });
            assert!(known, "{name} is told and not named");
        }
    }
}
