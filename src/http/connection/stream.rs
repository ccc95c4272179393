//! The bytes of a connection on their way to and from actix-http: counted, and where its parser answers without a body, taken out.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Connection, End};

/// No answer that the parser makes by itself is longer.
const LONGEST_BARE: usize = 192;

/// The stream that actix-http gets.
#[derive(Debug)]
pub(super) struct Stream(Rc<Connection>);

impl Stream {
    pub(super) fn of(connection: &Rc<Connection>) -> Self {
        Self(Rc::clone(connection))
    }

    pub(super) fn connection(&self) -> Rc<Connection> {
        Rc::clone(&self.0)
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let connection = &*self.0;
        if connection.head_is_full(context) {
            return Poll::Pending;
        }
        if connection.is_far_ahead() {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let result = match &mut *connection.socket.borrow_mut() {
            Some(socket) => Pin::new(socket).poll_read(context, buffer),
            None => return Poll::Ready(Ok(())),
        };
        match buffer.filled().len().saturating_sub(before) {
            0 => {}
            bytes => connection.arrived(bytes),
        }
        result
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let connection = &*self.0;
        let mut ours = bytes;
        if let Some((before, status)) = bare_refusal(bytes) {
            if before.is_empty() {
                // It ends the connection, and with it comes a refusal that says more.
                connection.end(End::Unreadable(status));
                return Poll::Ready(Ok(bytes.len()));
            }
            ours = before;
        }
        let result = match &mut *connection.socket.borrow_mut() {
            Some(socket) => Pin::new(socket).poll_write(context, ours),
            None => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        };
        match &result {
            Poll::Ready(Ok(taken)) => connection.written(Some(*taken), ours.len()),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => connection.written(None, ours.len()),
        }
        result
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A TCP socket holds nothing back.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.0.socket.borrow_mut() {
            Some(socket) => Pin::new(socket).poll_shutdown(context),
            None => Poll::Ready(Ok(())),
        }
    }
}

/// The parser's own refusal at the end of `bytes`, if there is one: what stands before it, and its status. Every refusal of ours has a body, so
/// one without is not ours.
fn bare_refusal(bytes: &[u8]) -> Option<(&[u8], u16)> {
    if !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let (_, tail) = bytes.split_at_checked(bytes.len().saturating_sub(LONGEST_BARE))?;
    let start = tail.windows(7).rposition(|window| window == b"HTTP/1.")?;
    let answer = str::from_utf8(tail.get(start..)?).ok()?;
    let mut lines = answer.trim_end_matches("\r\n").split("\r\n");
    let status: u16 = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let bare = |line: &str| line == "content-length: 0" || line.starts_with("connection: ") || line.starts_with("date: ");
    let before = bytes.get(..bytes.len().checked_sub(answer.len())?)?;
    (status >= 400 && answer.contains("\r\ncontent-length: 0\r\n") && lines.all(bare)).then_some((before, status))
}

#[cfg(test)]
mod tests {
    use super::bare_refusal;

    const BARE: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n";

    #[test]
    fn a_refusal_without_a_body_is_the_parsers() {
        assert_eq!(bare_refusal(BARE.as_bytes()), Some((b"".as_slice(), 400)));
        let too_large = BARE.replace("400 Bad Request", "431 Request Header Fields Too Large");
        assert_eq!(bare_refusal(too_large.as_bytes()), Some((b"".as_slice(), 431)));
        let (long, behind) = ("x".repeat(5_000), format!("{}{BARE}", "x".repeat(5_000)));
        assert_eq!(bare_refusal(behind.as_bytes()), Some((long.as_bytes(), 400)));
    }

    #[test]
    fn every_other_answer_passes_as_it_is() {
        for answer in [
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_owned(),
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "HTTP/1.1 204 No Content\r\nx-request-id: 1\r\n\r\n".to_owned(),
            "HTTP/1.1 404 Not Found\r\ncontent-length: 7\r\n\r\n".to_owned(),
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nx-request-id: 1\r\n\r\n".to_owned(),
            "5\r\nhello\r\n0\r\n\r\n".to_owned(),
            BARE.trim_end().to_owned(),
            "\r\n\r\n".to_owned(),
        ] {
            assert_eq!(bare_refusal(answer.as_bytes()), None, "{answer}");
        }
    }
}
