//! What is offered, who sits where and where else one could sit, in words and figures as the page shows them.

use super::PageData;
use super::words::Texts;
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
    /// People who must pay.
    pub size: i64,
    /// What each pays for one unit.
    pub price: Fen,
    /// How much less than the list price that is, if it is.
    pub less: Option<String>,
    /// Other prices: larger rooms, the leader's, buying alone.
    pub more: Vec<String>,
    /// The button's words where there are several items.
    pub buy: String,
}

impl<'p> Offer<'p> {
    /// The offer of an item: a room's own size and price, else those of the item's first tier.
    #[must_use]
    pub fn new(item: &'p ItemView, room: Option<&RoomView>, t: Texts) -> Option<Self> {
        let first = item.tiers.first()?;
        let (size, price) = room.map_or((first.size, first.price_fen), |room| (room.size, room.price_fen));
        let less = item.list_price_fen.checked_sub(price).filter(|less| *less > Fen::ZERO);
        let yuan = |fen: Fen| format!("¥{fen}");
        let larger = item.tiers.iter().filter(|tier| tier.size != size);
        let mut more: Vec<String> = larger.map(|tier| t.fill("tier", [tier.size.to_string(), yuan(tier.price_fen)])).collect();
        more.extend(item.leader_price_fen.map(|fen| t.fill("leader_price", [yuan(fen)])));
        more.extend(item.solo_price_fen.map(|fen| t.fill("solo", [yuan(fen)])));
        let (less, buy) = (less.map(|less| t.fill("less", [yuan(less)])), t.fill("open_for", [yuan(price)]));
        Some(Self { item, size, price, less, more, buy })
    }
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
    let size = offer.and_then(|offer| usize::try_from(offer.size).ok()).unwrap_or_default();
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
        missing: t.fill("others_left", [t.fill("open_head", [room.seats_left]), t.left(data.now, room.expires_at)]),
        address: format!("?room={}{}", room.id, data.chosen_language(t, "&")),
    };
    data.rooms.iter().filter(joinable).map(other).collect()
}
