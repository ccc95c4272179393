//! HTTP byte by byte, for what no well-behaved client sends.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::app::TestApp;
use super::client::Answer;

/// Nothing the edge does takes longer in a test.
const PATIENCE: Duration = Duration::from_secs(15);

/// A connection.
pub struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
}

impl TestApp {
    /// A new connection.
    pub async fn wire(&self) -> Wire {
        let address = self.base.trim_start_matches("http://");
        Wire { stream: TcpStream::connect(address).await.expect("connect"), read: Vec::new() }
    }

    /// A connection over which little is under way at a time.
    pub async fn narrow_wire(&self) -> Wire {
        let socket = TcpSocket::new_v4().expect("socket");
        socket.set_recv_buffer_size(8 * 1024).expect("receive buffer");
        let address = self.base.trim_start_matches("http://").parse().expect("address");
        Wire { stream: socket.connect(address).await.expect("connect"), read: Vec::new() }
    }
}

impl Wire {
    /// Sends these bytes.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("send");
    }

    /// Sends one byte of `bytes` after the other until the server answers or hangs up.
    pub async fn trickle(&mut self, bytes: &[u8], every: Duration) {
        for byte in bytes {
            let more = tokio::time::timeout(every, self.stream.read_buf(&mut self.read)).await;
            if more.is_ok() || self.stream.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
        panic!("all was taken and nothing was said");
    }

    /// The next answer. Its length must be told, or it must have no body.
    pub async fn answer(&mut self) -> Answer {
        self.next(true).await
    }

    /// The next answer, to a HEAD.
    pub async fn bodiless_answer(&mut self) -> Answer {
        self.next(false).await
    }

    /// The next answer, after which the server hangs up without another word.
    pub async fn last_answer(mut self) -> Answer {
        let answer = self.answer().await;
        assert_eq!(self.rest().await, "", "more after the last answer");
        answer
    }

    /// What comes until the server hangs up.
    pub async fn rest(&mut self) -> String {
        while self.read_on().await > 0 {}
        String::from_utf8_lossy(&std::mem::take(&mut self.read)).into_owned()
    }

    /// Reads once; 0 at the end. A reset is an end as well.
    pub async fn read_on(&mut self) -> usize {
        let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await;
        read.expect("the server says something or hangs up").unwrap_or_default()
    }

    /// So much has been read and not been taken as an answer.
    pub fn unread(&self) -> usize {
        self.read.len()
    }

    async fn next(&mut self, has_body: bool) -> Answer {
        let end = self.find(b"\r\n\r\n").await;
        let head = String::from_utf8(self.read.drain(..end).collect()).expect("a head in ASCII");
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status in {head}"));
        let headers: HeaderMap = lines.map(header).collect();
        let length = headers.get("content-length").map_or(0, |value| value.to_str().expect("ASCII").parse().expect("a length"));
        let length = if has_body && status != 304 { length } else { 0 };
        while self.read.len() < length {
            assert!(self.read_on().await > 0, "the body breaks off");
        }
        let text = String::from_utf8_lossy(&self.read.drain(..length).collect::<Vec<_>>()).into_owned();
        Answer { status, json: serde_json::from_str(&text).unwrap_or(Value::Null), text, headers }
    }

    async fn find(&mut self, end: &[u8]) -> usize {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|window| window == end) {
                return at + end.len();
            }
            assert!(self.read_on().await > 0, "no whole head: {}", String::from_utf8_lossy(&self.read));
        }
    }
}

fn header(line: &str) -> (HeaderName, HeaderValue) {
    let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no header: {line}"));
    (name.parse().expect("name"), value.parse().expect("value"))
}
