//! What the page says first: the room's end, else the campaign's state, else whether anything is left. `js/state.js` decides the same.

use super::PageData;
use super::words::Texts;
use crate::campaign::view::{CampaignState, ItemView};
use crate::clock::UnixMs;
use crate::group_buy::view::RoomState;

/// The page's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The campaign has not started.
    Scheduled,
    /// It runs; the link leads to no room.
    Live,
    /// No new seats for now.
    Paused,
    /// It is over.
    Ended,
    /// Nothing is left.
    SoldOut,
    /// Something is left, but not enough to open a room.
    Short,
    /// The room has free seats.
    Open,
    /// The room has none, but not all are paid.
    Full,
    /// The room has formed.
    Formed,
    /// The room has failed.
    Failed,
    /// The room's time is over and it is being settled.
    Expired,
}

impl State {
    /// Whether time still runs.
    #[must_use]
    pub const fn is_ticking(self) -> bool {
        match self {
            Self::Scheduled | Self::Live | Self::Paused | Self::SoldOut | Self::Short | Self::Open | Self::Full => true,
            Self::Ended | Self::Formed | Self::Failed | Self::Expired => false,
        }
    }

    /// Its word, in the page's data and in the keys of its texts.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Live => "live",
            Self::Paused => "paused",
            Self::Ended => "ended",
            Self::SoldOut => "sold_out",
            Self::Short => "short",
            Self::Open => "open",
            Self::Full => "full",
            Self::Formed => "formed",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }
}

/// The state of what is shown.
#[must_use]
pub fn state(data: &PageData) -> State {
    if let Some(room) = &data.room {
        match room.state {
            RoomState::Formed => return State::Formed,
            RoomState::Failed => return State::Failed,
            RoomState::Open if room.expires_at <= data.now => return State::Expired,
            RoomState::Open => {}
        }
    }
    match data.campaign.state {
        CampaignState::Scheduled => return State::Scheduled,
        CampaignState::Paused => return State::Paused,
        // Open rooms may fill until their deadline after the campaign's end.
        CampaignState::Ended if data.room.is_none() => return State::Ended,
        CampaignState::Ended | CampaignState::Live => {}
    }
    match &data.room {
        Some(room) if room.seats_left <= 0 => State::Full,
        // Units kept for the room's own seats are not on sale elsewhere.
        room if room.as_ref().is_none_or(|room| room.units_kept == 0) && shown_items(data).iter().all(|item| item.stock_left <= 0) => {
            State::SoldOut
        }
        Some(_) => State::Open,
        None if shown_items(data).iter().all(|item| item.stock_left < item.units_to_open.unwrap_or(1)) => State::Short,
        None => State::Live,
    }
}

/// The items the page shows: a room's own, or all.
#[must_use]
pub fn shown_items(data: &PageData) -> Vec<&ItemView> {
    let wanted = |item: &&ItemView| data.room.as_ref().is_none_or(|room| room.sku == item.sku);
    data.campaign.items.iter().filter(wanted).collect()
}

/// What time runs out for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// The campaign's start.
    Starts(UnixMs),
    /// The room's end.
    Closes(UnixMs),
    /// The campaign's end.
    Ends(UnixMs),
}

impl Deadline {
    /// The deadline of what is shown.
    #[must_use]
    pub fn of(data: &PageData) -> Self {
        match (&data.room, data.campaign.state) {
            (_, CampaignState::Scheduled) => Self::Starts(data.campaign.starts_at),
            (Some(room), _) => Self::Closes(room.expires_at),
            (None, CampaignState::Live | CampaignState::Paused | CampaignState::Ended) => Self::Ends(data.campaign.ends_at),
        }
    }

    /// When.
    #[must_use]
    pub const fn at(self) -> UnixMs {
        match self {
            Self::Starts(at) | Self::Closes(at) | Self::Ends(at) => at,
        }
    }

    /// The words before the time left.
    #[must_use]
    pub fn label(self, t: Texts) -> &'static str {
        match self {
            Self::Starts(_) => t.say("starts_in"),
            Self::Closes(_) => t.say("closes_in"),
            Self::Ends(_) => t.say("ends_in"),
        }
    }

    /// The same with date and clock.
    #[must_use]
    pub fn sentence(self, t: Texts) -> String {
        let at = [t.moment(self.at())];
        match self {
            Self::Starts(_) => t.fill("deadline_start", at),
            Self::Closes(_) => t.fill("deadline", at),
            Self::Ends(_) => t.fill("deadline_end", at),
        }
    }
}
