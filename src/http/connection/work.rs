//! What a request tells its connection: that it is at work, that it reads its body, that it is answered.

use std::rc::Rc;

use actix_web::HttpRequest;

use super::{Connection, Phase};
use crate::code::Code;

/// A request at work on its connection; when it is dropped the answer has been written out, or nobody waits for it any more.
#[derive(Debug)]
pub struct AtWork(Rc<Connection>);

/// A body that is being read.
#[derive(Debug)]
pub struct Reading(Rc<Connection>);

impl AtWork {
    /// A request has been handed over; `None` where there is no connection of ours (tests of handlers). `has_body`: one was announced.
    #[must_use]
    pub fn begin(request: &HttpRequest, has_body: bool) -> Option<Self> {
        let connection = of(request)?;
        if connection.phase.get() == Phase::Head {
            // Else it came with the one before, and others may have come with it.
            connection.ahead.set(0);
        }
        connection.enter(Phase::Work);
        connection.late.set(false);
        connection.body_left.set(has_body);
        Some(Self(connection))
    }

    /// The code of the refusal, if the request is out of time: 408 while its body is awaited, else nobody knows what it did.
    #[must_use]
    pub fn late(&self) -> Option<Code> {
        let code = if self.0.phase.get() == Phase::Body { Code::RequestTimeout } else { Code::OutcomeUnknown };
        self.0.late.get().then_some(code)
    }

    /// The head of the answer is made; what follows may take as long as it is read.
    pub fn answered(&self) {
        self.0.enter(Phase::Answer);
    }

    /// Whether the server is ending, so that this is to be the connection's last answer.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.0.worker.is_ending()
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        let waits = self.0.is_far_ahead();
        self.0.enter(Phase::Idle);
        if waits {
            self.0.wake();
        }
    }
}

impl Reading {
    /// A handler begins to read the body; its time begins.
    #[must_use]
    pub fn begin(request: &HttpRequest) -> Option<Self> {
        let connection = of(request).filter(|connection| connection.phase.get() == Phase::Work)?;
        connection.enter(Phase::Body);
        Some(Self(connection))
    }

    /// It was read to its end.
    pub fn whole(self) {
        self.0.body_left.set(false);
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if self.0.phase.get() == Phase::Body {
            self.0.enter(Phase::Work);
        }
    }
}

fn of(request: &HttpRequest) -> Option<Rc<Connection>> {
    request.conn_data::<Rc<Connection>>().cloned()
}
