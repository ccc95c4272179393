//! What is offered, who sits where and where else one could sit, in words and figures as the page shows them.

use super::PageData;
use super::whole::still_open;
use super::words::Texts;
use crate::campaign::model::Tier;
use crate::campaign::view::ItemView;
use crate::group_buy::view::{MemberView, RoomState, RoomView};
use crate::money::Fen;

/// Up to so many seats are drawn large, middle and small, with names; more are dots.
const FEW: i64 = 3;
const FIVE: i64 = 5;
const SOME: i64 = 15;

/// An item with the price that is asked for it.
pub struct Offer<'p> {
    /// The item.
    pub item: &'p ItemView,
    /// Seats that are drawn.
    pub size: i64,
    /// What one unit costs; of a room that has formed, in the end.
    pub price: Fen,
    /// For how many people that is.
    pub label: String,
    /// What a seat costs that one takes now.
    pub joins: Fen,
    /// What the seat costs that opens a room.
    pub opens: Fen,
    /// Units that must be left to open a room.
    pub needs: i64,
    /// How much less than the list price that is, if it is.
    pub less: Option<String>,
    /// Other prices: the leader's, buying alone; empty when there are none.
    pub more: String,
    /// The steps of a ladder.
    pub steps: Vec<Step>,
    /// The buttons' words where there are several items.
    pub buy: String,
    /// The same for buying alone, if one can.
    pub alone: Option<String>,
}

/// A step of a ladder.
pub struct Step {
    /// `reached`, `now` for the highest reached, `next` or nothing.
    pub kind: &'static str,
    /// How many people.
    pub people: String,
    /// What a unit costs then.
    pub price: Fen,
}

impl<'p> Offer<'p> {
    /// Of a ladder, how many must pay at least.
    #[must_use]
    pub fn least(&self) -> Option<i64> {
        let tiers = &self.item.tiers;
        tiers.first().filter(|_| tiers.len() > 1).map(|tier| tier.size)
    }

    /// The offer of an item: a room's own size and price, else those of the item's first tier.
    #[must_use]
    pub fn new(item: &'p ItemView, room: Option<&RoomView>, t: Texts) -> Option<Self> {
        let tiers = room.map_or(&item.tiers, |room| &room.tiers);
        let first = tiers.first()?;
        let size = room.map_or(first.size, |room| room.size);
        let price = room.and_then(|room| room.final_price_fen).unwrap_or(first.price_fen);
        let less = item.list_price_fen.checked_sub(price).filter(|less| *less > Fen::ZERO);
        let yuan = |fen: Fen| format!("¥{fen}");
        let leader = item.leader_price_fen.map(|fen| t.fill("leader_price", [yuan(fen)]));
        let opens = item.leader_price_fen.unwrap_or(item.tiers.first()?.price_fen);
        let ladder = tiers.len() > 1 && room.is_none_or(|room| room.state != RoomState::Failed);
        Some(Self {
            item,
            size,
            price,
            label: match room.filter(|room| room.final_price_fen.is_some()) {
                Some(room) => t.fill("each", [room.seats_paid]),
                None if ladder => t.fill("each_from", [first.size]),
                None => t.fill("each", [size]),
            },
            joins: first.price_fen,
            opens,
            needs: item.units_to_open.unwrap_or(1),
            less: less.map(|less| t.fill("less", [yuan(less)])),
            more: leader.into_iter().chain(item.solo_price_fen.map(|fen| t.fill("solo", [yuan(fen)]))).collect::<Vec<_>>().join(" · "),
            steps: if ladder { steps(tiers, room.map_or(0, |room| room.seats_paid), t) } else { Vec::new() },
            buy: t.fill("open_for", [yuan(opens)]),
            alone: item.solo_price_fen.map(|fen| t.fill("buy_alone", [yuan(fen)])),
        })
    }
}

fn steps(tiers: &[Tier], paid: i64, t: Texts) -> Vec<Step> {
    let next = tiers.iter().position(|tier| tier.size > paid);
    let kind = |place: usize| match next {
        Some(next) if place == next => "next",
        Some(next) if place > next => "",
        Some(next) if place + 1 == next => "now",
        None if place + 1 == tiers.len() => "now",
        Some(_) | None => "reached",
    };
    let step = |(place, tier): (usize, &Tier)| Step { kind: kind(place), people: t.fill("people", [tier.size]), price: tier.price_fen };
    tiers.iter().enumerate().map(step).collect()
}

/// A seat, taken or free.
pub struct Seat<'p> {
    /// `paid`, `held` or `free`.
    pub kind: &'static str,
    /// What stands in its circle.
    pub face: String,
    /// The member's masked name; empty for a free seat.
    pub name: &'p str,
    /// Who sits there beside the name: the host, you, nobody.
    pub role: &'static str,
    /// Paid or to pay; empty for a free seat.
    pub word: &'static str,
}

/// The seats of the room, or those a new room would have; none where there are several items to choose from.
#[must_use]
pub fn seats<'p>(data: &'p PageData, offer: Option<&Offer<'_>>, t: Texts) -> Vec<Seat<'p>> {
    let members = data.room.as_ref().map_or(&[][..], |room| &room.members);
    let formed = data.room.as_ref().is_some_and(|room| room.state == RoomState::Formed);
    // A room that has formed has no free seats, however large it could have become.
    let size = if formed { 0 } else { offer.and_then(|offer| usize::try_from(offer.size).ok()).unwrap_or_default() };
    // Whoever opens a room takes its first seat.
    let role = |place: usize| if data.room.is_none() && place == 0 { t.say("seat_you") } else { t.say("seat_free") };
    let free = |place| Seat { kind: "free", face: "+".to_owned(), name: "", role: role(place), word: "" };
    members.iter().map(|member| taken(member, t)).chain((members.len()..size).map(free)).collect()
}

fn taken(member: &MemberView, t: Texts) -> Seat<'_> {
    let (kind, word) = if member.paid { ("paid", t.say("paid")) } else { ("held", t.say("to_pay")) };
    let role = if member.leader { t.say("host") } else { "" };
    Seat { kind, face: face(&member.name), name: &member.name, role, word }
}

/// The first letter of a masked name.
#[must_use]
pub fn face(name: &str) -> String {
    name.chars().find(|letter| *letter != '*').unwrap_or('•').to_string()
}

/// How large seats are drawn.
#[must_use]
pub const fn crowd(size: i64) -> &'static str {
    if size <= FEW {
        "few"
    } else if size <= FIVE {
        "five"
    } else if size <= SOME {
        "some"
    } else {
        "many"
    }
}

/// Another room one could join.
pub struct Other {
    /// What stands in its circle.
    pub face: String,
    /// Whose it is.
    pub title: String,
    /// How many it still needs, and how long it is open.
    pub missing: String,
    /// Where it is shown.
    pub address: String,
}

/// The other rooms, nearly full first.
#[must_use]
pub fn others(data: &PageData, t: Texts) -> Vec<Other> {
    let here = data.room.as_ref().map(|room| room.id);
    let joinable =
        |room: &&RoomView| Some(room.id) != here && room.state == RoomState::Open && room.seats_left > 0 && room.expires_at > data.now;
    let other = |room: &RoomView| Other {
        face: face(&room.leader),
        title: t.fill("others_of", [&room.leader]),
        missing: t.fill("others_left", [still_open(room, t).0, t.left(data.now, room.expires_at)]),
        address: format!("?room={}{}", room.id, data.chosen_language(t, "&")),
    };
    data.rooms.iter().filter(joinable).map(other).collect()
}
