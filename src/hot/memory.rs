//! Refusals from memory: when a campaign is sold out, its thousands of further visitors are told so without asking Redis.
//!
//! A refusal that would meet any stranger (the units are gone, the room is full) is remembered for a moment under what was asked for.
//! It is forgotten as soon as this process sees anything decided that may free something, or that another process decides at all.
//! It is told to strangers only: whoever took something in this campaign may have a seat that answers a repeat, so they are sent on to the
//! program, and so is every caller with an `Idempotency-Key`. Who that is, is read from Redis once and kept up to date by the lane.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::code::Code;

/// So long a refusal stands without being confirmed by the program.
const STANDS: Duration = Duration::from_millis(100);
/// Targets remembered at once; beyond that all are forgotten.
const TARGETS: usize = 10_000;
/// These name another room to join, which may be another one after any seat that was taken or room that was opened.
const NAME_ANOTHER: [Code; 3] = [Code::RoomFull, Code::RoomClosed, Code::RoomExpired];
/// So many holders are kept (16 bytes and a table's slack each); a campaign with more is asked every time.
const MOST_HOLDERS: usize = 1_000_000;

/// While other processes decide here too, whom they served is read again at most so often.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// Who asks, and for what: both as Redis names them.
#[derive(Clone, Debug)]
pub struct Asks {
    /// The user.
    pub who: String,
    /// A room or a SKU.
    pub target: String,
    /// What may be said to any stranger who asks for the same.
    pub to_anybody: &'static [Code],
}

/// A refusal remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Why.
    pub code: Code,
    /// What came with it.
    pub payload: Vec<Vec<u8>>,
}

#[derive(Debug, Default)]
pub(super) struct Memory {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    refused: HashMap<String, Entry>,
    /// How often somebody took something.
    taken: u64,
    holders: Holders,
    /// Rises whenever the holders are forgotten: what is read for an earlier number is of no more use.
    forgotten: u64,
    /// When they were read last.
    read_at: Option<Instant>,
    /// Somebody reads them, for whichever number.
    reading: bool,
}

/// A reading of the holders that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading(u64);

#[derive(Debug)]
struct Entry {
    remembered: Remembered,
    until: Instant,
    taken: u64,
    /// Who was refused.
    who: String,
}

/// Everybody who took something here.
#[derive(Debug, Default)]
enum Holders {
    /// Nobody has looked yet.
    #[default]
    Unknown,
    /// Somebody looks; those seen meanwhile.
    Reading(HashSet<String>),
    /// These, and no others.
    Known(HashSet<String>),
    /// Too many to keep.
    TooMany,
}

impl Memory {
    /// The refusal that meets this stranger now, if one is known to.
    pub fn refusal(&self, asks: &Asks, now: Instant) -> Option<Remembered> {
        let state = self.state();
        let Holders::Known(holders) = &state.holders else { return None };
        let entry = state.refused.get(&asks.target)?;
        // A holder is named rooms that it has no seat in: a stranger may be named others.
        let another = NAME_ANOTHER.contains(&entry.remembered.code);
        let outdated = another && (entry.taken != state.taken || holders.contains(&entry.who));
        (entry.until > now && !outdated && !holders.contains(&asks.who)).then(|| entry.remembered.clone())
    }

    /// The program said yes.
    pub fn took(&self, asks: &Asks) {
        let mut state = self.state();
        state.taken = state.taken.wrapping_add(1);
        // Somebody got what was refused a moment ago.
        state.refused.remove(&asks.target);
        if let Holders::Reading(holders) | Holders::Known(holders) = &mut state.holders {
            holders.insert(asks.who.clone());
            if holders.len() > MOST_HOLDERS {
                state.holders = Holders::TooMany;
            }
        }
    }

    /// The program said no. The holders are not known yet, and the caller is the one to read them, if it gets a ticket.
    #[must_use]
    pub fn refused(&self, asks: &Asks, code: Code, payload: &[Vec<u8>], now: Instant) -> Option<Reading> {
        if !asks.to_anybody.contains(&code) {
            return None;
        }
        let mut state = self.state();
        if state.refused.len() >= TARGETS {
            state.refused.clear();
        }
        let remembered = Remembered { code, payload: payload.to_vec() };
        let entry = Entry { remembered, until: now + STANDS, taken: state.taken, who: asks.who.clone() };
        state.refused.insert(asks.target.clone(), entry);
        let lately = state.read_at.is_some_and(|at| now.saturating_duration_since(at) < READ_AGAIN);
        if state.reading || lately || !matches!(state.holders, Holders::Unknown) {
            return None;
        }
        state.holders = Holders::Reading(HashSet::new());
        (state.reading, state.read_at) = (true, Some(now));
        Some(Reading(state.forgotten))
    }

    /// The holders as Redis named them while this process went on deciding. `None`: they could not be read.
    pub fn holders(&self, ticket: Reading, read: Option<Vec<String>>) {
        let mut state = self.state();
        state.reading = false;
        // Another process decided meanwhile: some of those it served may be missing.
        if state.forgotten != ticket.0 {
            return;
        }
        let Holders::Reading(seen) = &mut state.holders else { return };
        let mut all = std::mem::take(seen);
        state.holders = match read {
            Some(read) => {
                all.extend(read);
                if all.len() > MOST_HOLDERS { Holders::TooMany } else { Holders::Known(all) }
            }
            None => Holders::Unknown,
        };
    }

    /// Something may be free again.
    pub fn freed(&self) {
        self.state().refused.clear();
    }

    /// Another process decided here: whom it served is not known.
    pub fn forget(&self) {
        let mut state = self.state();
        state.refused.clear();
        state.forgotten = state.forgotten.wrapping_add(1);
        if !matches!(state.holders, Holders::TooMany) {
            state.holders = Holders::Unknown;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::{Asks, Memory, READ_AGAIN};
    use crate::code::Code;

    fn asks(who: &str) -> Asks {
        Asks { who: who.to_owned(), target: "sku".to_owned(), to_anybody: &[Code::SoldOut, Code::RoomFull] }
    }

    #[test]
    fn strangers_are_told_and_holders_are_sent_on() {
        let (memory, now) = (Memory::default(), Instant::now());
        let ticket = memory.refused(&asks("late"), Code::SoldOut, &[], now).unwrap();
        assert!(memory.refusal(&asks("stranger"), now).is_none(), "who holds something is not known yet");
        memory.took(&asks("quick"));
        memory.holders(ticket, Some(vec!["early".to_owned()]));
        assert!(memory.refusal(&asks("stranger"), now).is_none(), "somebody took one after the refusal");
        assert!(memory.refused(&asks("late"), Code::SoldOut, &[], now).is_none());
        assert_eq!(memory.refusal(&asks("stranger"), now).unwrap().code, Code::SoldOut);
        assert!(memory.refusal(&asks("early"), now).is_none());
        assert!(memory.refusal(&asks("quick"), now).is_none());
        assert!(memory.refusal(&asks("stranger"), now + super::STANDS).is_none());
    }

    #[test]
    fn what_depends_on_the_caller_is_not_remembered_and_what_is_freed_is_forgotten() {
        let (memory, now) = (Memory::default(), Instant::now());
        assert!(memory.refused(&asks("late"), Code::OrderLimitReached, &[], now).is_none());
        let ticket = memory.refused(&asks("late"), Code::SoldOut, &[], now).unwrap();
        memory.holders(ticket, Some(Vec::new()));
        assert!(memory.refusal(&asks("stranger"), now).is_some());
        memory.freed();
        assert!(memory.refusal(&asks("stranger"), now).is_none());
        assert!(memory.refused(&asks("late"), Code::SoldOut, &[], now).is_none());
        memory.forget();
        assert!(memory.refusal(&asks("stranger"), now).is_none());
    }

    #[test]
    fn holders_are_read_by_one_at_a_time_and_seldom_and_what_was_read_before_they_were_forgotten_is_not_believed() {
        let (memory, now) = (Memory::default(), Instant::now());
        let refused = |at| memory.refused(&asks("late"), Code::SoldOut, &[], at);
        let ticket = refused(now).unwrap();
        memory.forget();
        let later = now + READ_AGAIN;
        assert!(refused(later).is_none(), "the first reading is still under way");
        memory.holders(ticket, Some(Vec::new()));
        assert!(memory.refusal(&asks("stranger"), later).is_none(), "whom the other process served is not in it");
        let ticket = refused(later).unwrap();
        memory.holders(ticket, Some(Vec::new()));
        assert!(memory.refusal(&asks("stranger"), later).is_some());
        memory.forget();
        assert!(refused(later).is_none(), "not so soon again");
        let much_later = later + READ_AGAIN;
        memory.holders(refused(much_later).unwrap(), None);
        assert!(memory.refusal(&asks("stranger"), much_later).is_none(), "they could not be read");
        assert!(refused(much_later + READ_AGAIN).is_some());
    }

    #[test]
    fn the_room_that_a_refusal_names_is_asked_for_again_when_anybody_takes_a_seat_and_when_a_holder_was_refused() {
        let (memory, now) = (Memory::default(), Instant::now());
        let ticket = memory.refused(&asks("late"), Code::RoomFull, &[], now).unwrap();
        memory.holders(ticket, Some(vec!["holder".to_owned()]));
        assert!(memory.refusal(&asks("stranger"), now).is_some());
        memory.took(&Asks { target: "another room".to_owned(), ..asks("quick") });
        assert!(memory.refusal(&asks("stranger"), now).is_none());
        assert!(memory.refused(&asks("late"), Code::SoldOut, &[], now).is_none());
        memory.took(&Asks { target: "another room".to_owned(), ..asks("quick") });
        assert!(memory.refusal(&asks("stranger"), now).is_some(), "no unit comes back by that");
        assert!(memory.refused(&asks("holder"), Code::RoomFull, &[], now).is_none());
        assert!(memory.refusal(&asks("stranger"), now).is_none(), "the holder cannot join the room that a stranger can");
    }
}
