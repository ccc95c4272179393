//! Why the edge ends a connection, and what it says then.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::rt::net::TcpStream;
use actix_web::rt::time::timeout;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::LONGEST_HEAD;
use crate::code::Code;
use crate::http::problem::Problem;
use crate::http::request_id::{REQUEST_ID, RequestId};

/// How long a caller whose request was cut off may take to read why, and how much more of it is thrown away meanwhile.
const PARTING: Duration = Duration::from_secs(2);
const PARTING_BYTES: usize = 1024 * 1024;

/// Why the edge ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Idle,
    Stalled,
    HeadLate,
    HeadTooLarge,
    /// The parser refused with this status.
    Unreadable(u16),
}

impl End {
    /// What is said at the end, if anything.
    pub(super) fn problem(self) -> Option<Problem> {
        match self {
            Self::Idle | Self::Stalled => None,
            Self::HeadLate => Some(Problem::new(Code::RequestTimeout).detail("The head of the request did not arrive in time")),
            Self::HeadTooLarge => Some(unreadable(431)),
            Self::Unreadable(status) => Some(unreadable(status)),
        }
    }

    /// Its name among the figures.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Stalled => "stalled",
            Self::HeadLate => "head_late",
            Self::HeadTooLarge => "head_too_large",
            Self::Unreadable(_) => "unreadable",
        }
    }
}

/// What the parser says by a status alone.
fn unreadable(status: u16) -> Problem {
    match status {
        408 => Code::RequestTimeout.into(),
        431 => Problem::new(Code::MalformedRequest)
            .status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
            .detail(format!("The head of a request has at most {LONGEST_HEAD} bytes and 96 headers")),
        500.. => Problem::defect(&"the HTTP parser lost its place"),
        _ => Problem::new(Code::MalformedRequest).detail("This is no HTTP/1.1 request"),
    }
}

/// The last words, and time to read them: a socket closed on unread bytes takes back what was sent.
pub(super) async fn part(mut socket: TcpStream, problem: &Problem) {
    let answer = REQUEST_ID.sync_scope(RequestId::fresh(), || problem.on_the_wire());
    let words = async {
        socket.write_all(&answer).await?;
        socket.shutdown().await?;
        // Not part of the future: every connection would carry it.
        let mut thrown_away = vec![0; 4096];
        let mut left = PARTING_BYTES;
        while left > 0 {
            match socket.read(&mut thrown_away).await? {
                0 => break,
                bytes => left = left.saturating_sub(bytes),
            }
        }
        Ok::<(), std::io::Error>(())
    };
    let _gone = timeout(PARTING, words).await;
}
