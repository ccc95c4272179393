//! A reader of Server-Sent Events.

use std::time::Duration;

use serde_json::Value;

use super::app::TestApp;
use super::shop::Shopper;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// Its id: epoch and sequence.
    pub id: (i64, i64),
    /// Milliseconds after which to come back, if it says so.
    pub retry: Option<u64>,
    /// Its data.
    pub data: Value,
}

/// An open stream.
pub struct Events {
    /// The head of the answer, and its body as it comes.
    pub answer: reqwest::Response,
    text: Vec<u8>,
}

impl TestApp {
    /// Opens a room's stream.
    pub async fn live(&self, room: &str) -> Events {
        self.live_with(&self.base, room, &[]).await
    }

    /// Opens a room's stream as this shopper.
    pub async fn live_by(&self, shopper: &Shopper, room: &str) -> Events {
        self.live_with(&self.base, room, &[("authorization", &format!("Bearer {}", shopper.session))]).await
    }

    /// Opens the stream at a path.
    pub async fn live_at(&self, path: &str) -> Events {
        self.stream(&format!("{}{path}", self.base), &[]).await
    }

    /// Opens a room's stream at a server of one's choice, with these headers.
    pub async fn live_with(&self, base: &str, room: &str, headers: &[(&str, &str)]) -> Events {
        self.stream(&format!("{base}/v1/rooms/{room}/live"), headers).await
    }

    async fn stream(&self, url: &str, headers: &[(&str, &str)]) -> Events {
        let mut request = self.http.get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        Events { answer, text: Vec::new() }
    }
}

impl Events {
    /// The next event; `None` when the stream has ended as it should. Comments are passed over.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let block = self.block().await?;
            if !block.lines().all(|line| line.starts_with(':')) {
                return Some(Event::read(&block));
            }
        }
    }

    /// The next event, which must come.
    pub async fn expect(&mut self) -> Event {
        self.next().await.expect("an event")
    }

    /// Events until one fits; all of them.
    pub async fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        while !events.last().is_some_and(|event: &Event| fits(&event.data)) {
            events.push(self.expect().await);
        }
        events
    }

    /// All events to the end.
    pub async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }

    /// The next block of lines, comments too.
    pub async fn block(&mut self) -> Option<String> {
        loop {
            // In bytes: a chunk may end in the middle of a character, a block never does.
            if let Some(end) = self.text.windows(2).position(|two| two == b"\n\n") {
                let block = String::from_utf8(self.text.drain(..end + 2).collect()).expect("UTF-8");
                return Some(block.trim_end().to_owned());
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.answer.chunk()).await.expect("something within 20 s");
            let Some(chunk) = chunk.expect("a stream that ends as it should") else {
                assert!(self.text.is_empty(), "ended in the middle of an event");
                return None;
            };
            self.text.extend_from_slice(&chunk);
        }
    }
}

impl Event {
    fn read(block: &str) -> Self {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let id = field("id").and_then(|id| id.split_once('-')).unwrap_or_else(|| panic!("no id: {block}"));
        Self {
            name: field("event").expect("a name").to_owned(),
            id: (id.0.parse().expect("epoch"), id.1.parse().expect("sequence")),
            retry: field("retry").map(|retry| retry.parse().expect("milliseconds")),
            data: serde_json::from_str(field("data").expect("data")).expect("JSON"),
        }
    }
}
