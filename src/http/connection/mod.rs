//! One TCP connection as the edge sees it: what it is at, for how long, and why it ends.
//!
//! actix-http limits the time of a connection's first head and of its idleness, no more: a later head or a body may trickle, and an answer
//! wait for its reader, for ever. And what its parser refuses it answers without a body. Both are mended here, around it:
//!
//! ```text
//! accepted → Head ── handed over ──► Work ◄──► Body      (a handler reads the body)
//!              ▲                       │
//!            a byte                 answered
//!              │                       ▼
//!             Idle ◄─ the end of it ─ Answer            (the head is made, the rest may be a stream)
//! ```
//!
//! A request moves a few cells of its connection; no timer is set or cleared for it. Twice a second each worker looks at its connections
//! (`watch`) and ends those that have been at one thing for too long. The phases are told by the bytes that pass (`stream`) and by
//! the envelope around the handlers, which holds an [`AtWork`].

pub mod crowd;
mod parting;
pub mod service;
mod stream;
#[cfg(test)]
mod tests;
mod watch;
mod work;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use actix_web::rt::net::TcpStream;

use crowd::Ticket;
use parting::{End, part};
use watch::{Rules, Worker};
pub use work::{AtWork, Reading};

/// The head of a request is no longer than this, address and headers together; theirs are shorter than 8 KiB as a rule.
pub const LONGEST_HEAD: usize = 32 * 1024;
/// A reader must take this much of what waits for it before its time begins anew.
const TAKEN: usize = 16 * 1024;
/// So much of what a client sends before it has its answer is taken in: the heads in it wait in memory, decoded, without any limit on their
/// number.
const AHEAD: usize = 8 * 1024;
/// A connection. The stream that actix-http reads, the requests and the worker's list share it.
#[derive(Debug)]
pub struct Connection {
    socket: RefCell<Option<TcpStream>>,
    worker: Rc<Worker>,
    phase: Cell<Phase>,
    /// Looks since the phase began.
    looks: Cell<u32>,
    /// Bytes of a head that is not whole yet, and whether the parser was given a moment to find it whole.
    head_bytes: Cell<usize>,
    head_tried: Cell<bool>,
    /// Bytes of later requests that came while one was at work.
    ahead: Cell<usize>,
    /// What arrives after the answer may still be the body of the last request.
    body_left: Cell<bool>,
    /// Looks since the reader stopped taking, plus one; 0 while it takes.
    stalled: Cell<u32>,
    taken: Cell<usize>,
    /// The request at work is out of time.
    late: Cell<bool>,
    end: Cell<Option<End>>,
    task: RefCell<Option<Waker>>,
    _ticket: Ticket,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Head,
    Work,
    Body,
    Answer,
    Idle,
}

impl Connection {
    fn new(socket: TcpStream, worker: &Rc<Worker>, ticket: Ticket) -> Rc<Self> {
        let connection = Rc::new(Self {
            socket: RefCell::new(Some(socket)),
            worker: Rc::clone(worker),
            phase: Cell::new(Phase::Head),
            looks: Cell::new(0),
            head_bytes: Cell::new(0),
            head_tried: Cell::new(false),
            ahead: Cell::new(0),
            body_left: Cell::new(false),
            stalled: Cell::new(0),
            taken: Cell::new(0),
            late: Cell::new(false),
            end: Cell::new(None),
            task: RefCell::default(),
            _ticket: ticket,
        });
        worker.add(&connection);
        connection
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.looks.set(0);
    }

    /// Bytes have arrived.
    fn arrived(&self, bytes: usize) {
        match self.phase.get() {
            Phase::Idle => {
                self.enter(Phase::Head);
                self.head_bytes.set(bytes);
                self.head_tried.set(false);
            }
            Phase::Head => self.head_bytes.set(self.head_bytes.get().saturating_add(bytes)),
            Phase::Work | Phase::Answer if !self.body_left.get() => self.ahead.set(self.ahead.get().saturating_add(bytes)),
            Phase::Work | Phase::Body | Phase::Answer => {}
        }
    }

    /// Whether enough has come for now: the next requests are read when this one is done, which wakes the connection.
    fn is_far_ahead(&self) -> bool {
        let at_work = matches!(self.phase.get(), Phase::Work | Phase::Answer);
        at_work && !self.body_left.get() && self.ahead.get() >= AHEAD
    }

    /// Whether the head has all the room it gets. The first time the parser is to look whether it is whole by now, with what follows it.
    fn head_is_full(&self, context: &Context<'_>) -> bool {
        if self.phase.get() != Phase::Head || self.head_bytes.get() < LONGEST_HEAD || self.body_left.get() {
            return false;
        }
        if self.head_tried.replace(true) {
            self.end(End::HeadTooLarge);
        }
        context.waker().wake_by_ref();
        true
    }

    /// The socket took `bytes` of `offered`; it would take none when `None`.
    fn written(&self, bytes: Option<usize>, offered: usize) {
        let Some(bytes) = bytes else {
            if self.stalled.get() == 0 {
                self.stalled.set(1);
                self.taken.set(0);
            }
            return;
        };
        if self.stalled.get() > 0 {
            self.taken.set(self.taken.get().saturating_add(bytes));
            if bytes == offered || self.taken.get() >= TAKEN {
                self.stalled.set(0);
                if self.phase.get() == Phase::Idle {
                    // The rest of an answer: idleness begins when it is out.
                    self.looks.set(0);
                }
            }
        }
    }

    /// One look of the worker's; they come at even intervals.
    fn look(&self, rules: &Rules) {
        let looks = self.looks.get().saturating_add(1);
        self.looks.set(looks);
        if self.stalled.get() > 0 {
            self.stalled.set(self.stalled.get().saturating_add(1));
        }
        match self.phase.get() {
            _ if self.stalled.get() > rules.stall => self.end(End::Stalled),
            Phase::Head if looks > rules.head => self.end(End::HeadLate),
            // Browsers open connections ahead of their requests; a server that ends does not wait for those. Two looks may be close together.
            Phase::Head if looks > 2 && self.head_bytes.get() == 0 && self.worker.is_ending() => self.end(End::Idle),
            Phase::Idle if looks > rules.idle && self.stalled.get() == 0 => self.end(End::Idle),
            Phase::Body if looks > rules.body => self.be_late(),
            Phase::Work if looks > rules.work => self.be_late(),
            Phase::Head | Phase::Idle | Phase::Body | Phase::Work | Phase::Answer => {}
        }
    }

    fn be_late(&self) {
        self.late.set(true);
        self.wake();
    }

    fn end(&self, end: End) {
        if self.end.get().is_none() {
            self.end.set(Some(end));
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }

    fn keep_waker(&self, context: &Context<'_>) {
        match &mut *self.task.borrow_mut() {
            Some(task) => task.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
    }

    /// The connection's life: `dispatcher` serves it until either has enough.
    async fn live(&self, dispatcher: impl Future) {
        {
            let mut dispatcher = pin!(dispatcher);
            let served = std::future::poll_fn(|context| {
                self.keep_waker(context);
                match self.end.get() {
                    // The parser's own end comes by itself, with the answers that stand before it.
                    None | Some(End::Unreadable(_)) => dispatcher.as_mut().poll(context).map(drop),
                    Some(End::Idle | End::Stalled | End::HeadLate | End::HeadTooLarge) => Poll::Ready(()),
                }
            });
            served.await;
        }
        let (socket, end) = (self.socket.take(), self.end.get());
        if let (Some(socket), Some(end)) = (socket, end) {
            metrics::counter!("liebian_connections_ended_total", "why" => end.word()).increment(1);
            if end == End::Stalled {
                // What lies unsent is not to occupy the kernel either.
                let _best_effort = socket.set_zero_linger();
            }
            // After an unfinished answer, or in a body nobody wants, no further answer would be understood.
            let understood = self.stalled.get() == 0 && !self.body_left.get();
            if let Some(problem) = end.problem().filter(|_problem| understood) {
                part(socket, &problem).await;
            }
        }
    }
}
