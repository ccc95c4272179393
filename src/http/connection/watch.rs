//! A worker's list of its connections, and its look over them twice a second.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use actix_web::rt::time::interval;
use tokio::sync::watch::Receiver;
use tokio::time::MissedTickBehavior;

use super::Connection;
use crate::config::Patience;

const LOOKS_PER_SECOND: u32 = 2;
const EVERY: Duration = Duration::from_millis(500);
/// No handler takes longer: the longest wait a caller may ask for is 25 seconds. Streams go on after their head is made.
const WORK_SECONDS: u32 = 35;

/// The deadlines, counted in looks.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub(super) head: u32,
    pub(super) body: u32,
    pub(super) work: u32,
    pub(super) idle: u32,
    pub(super) stall: u32,
}

impl From<Patience> for Rules {
    fn from(patience: Patience) -> Self {
        let looks = |seconds: u16| u32::from(seconds).saturating_mul(LOOKS_PER_SECOND);
        Self {
            head: looks(patience.head_seconds),
            body: looks(patience.body_seconds),
            work: WORK_SECONDS.saturating_mul(LOOKS_PER_SECOND),
            idle: looks(patience.idle_seconds),
            stall: looks(patience.stall_seconds),
        }
    }
}

impl Rules {
    /// While most places are taken they are for those who ask: a second of idleness, three for a head.
    pub(super) fn in_a_crowd(self) -> Self {
        Self { idle: self.idle.min(LOOKS_PER_SECOND), head: self.head.min(LOOKS_PER_SECOND.saturating_mul(3)), ..self }
    }
}

/// The connections of one worker.
#[derive(Debug)]
pub(super) struct Worker {
    connections: RefCell<Vec<Weak<Connection>>>,
    /// As many as it may hold.
    bound: usize,
    ending: Cell<bool>,
}

impl Worker {
    /// Begins to look; ends with the worker. `draining` becomes true when the server ends.
    pub(super) fn start(rules: Rules, bound: usize, draining: Receiver<bool>) -> Rc<Self> {
        let worker = Rc::new(Self { connections: RefCell::default(), bound, ending: Cell::new(false) });
        actix_web::rt::spawn(look_on(Rc::downgrade(&worker), rules, draining));
        worker
    }

    pub(super) fn add(&self, connection: &Rc<Connection>) {
        self.connections.borrow_mut().push(Rc::downgrade(connection));
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.get()
    }

    fn look(&self, rules: &Rules) {
        let mut connections = self.connections.borrow_mut();
        let crowded = connections.len() > self.bound.saturating_mul(3) / 4;
        let mut rules = if crowded { rules.in_a_crowd() } else { *rules };
        if self.ending.get() {
            rules.idle = 0;
        }
        connections.retain(|connection| match connection.upgrade() {
            Some(connection) => {
                connection.look(&rules);
                true
            }
            None => false,
        });
    }
}

async fn look_on(worker: Weak<Worker>, rules: Rules, mut draining: Receiver<bool>) {
    let mut every = interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ending = false;
    loop {
        ending |= tokio::select! {
            _ = every.tick() => false,
            // Without its sender there is no server any more.
            _ = draining.wait_for(|draining| *draining), if !ending => true,
        };
        let Some(worker) = worker.upgrade() else { return };
        worker.ending.set(ending);
        worker.look(&rules);
    }
}
