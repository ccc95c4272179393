//! Many live streams at once, as cheaply as this side can hold them: a socket and a few hundred bytes each.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Streams that are being opened at once.
const OPENING: usize = 64;
/// Every stream must have shown its first event by then.
const OPEN_WITHIN: Duration = Duration::from_secs(60);
/// What the last line of an event begins with.
const DATA: &[u8] = b"\ndata: ";

/// Open streams; dropped, they are closed.
pub struct Streams {
    seen: Arc<Seen>,
    _readers: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    events: AtomicU64,
    ended: AtomicU64,
}

/// Opens `count` streams on `rooms` in turn and waits until each has shown the room's present state.
///
/// # Errors
/// When a stream cannot be opened or says nothing.
pub async fn streams(base_url: &str, rooms: &[String], count: usize) -> io::Result<Streams> {
    let address = Arc::<str>::from(base_url.trim_start_matches("http://").trim_end_matches('/'));
    let (seen, opening, mut openers) = (Arc::new(Seen::default()), Arc::new(Semaphore::new(OPENING)), JoinSet::new());
    for room in rooms.iter().cycle().take(count).cloned() {
        let (address, seen, opening) = (Arc::clone(&address), Arc::clone(&seen), Arc::clone(&opening));
        openers.spawn(async move {
            let _turn = opening.acquire_owned().await.map_err(io::Error::other)?;
            let mut reader = Reader::open(&address, &room, seen).await?;
            while reader.events == 0 {
                if !reader.read().await? {
                    return Err(io::Error::other("a stream ended before its first event"));
                }
            }
            Ok(reader)
        });
    }
    let mut readers = JoinSet::new();
    let all = async {
        while let Some(reader) = openers.join_next().await {
            readers.spawn(reader??.run());
        }
        Ok::<(), io::Error>(())
    };
    tokio::time::timeout(OPEN_WITHIN, all).await??;
    Ok(Streams { seen, _readers: readers })
}

impl Streams {
    /// Events that all streams together have shown, the first of each included.
    pub fn events(&self) -> u64 {
        self.seen.events.load(Ordering::Relaxed)
    }

    /// Streams that the server has ended.
    pub fn ended(&self) -> u64 {
        self.seen.ended.load(Ordering::Relaxed)
    }
}

struct Reader {
    stream: TcpStream,
    seen: Arc<Seen>,
    events: u64,
    /// How much of [`DATA`] the last bytes were.
    matched: usize,
}

impl Reader {
    async fn open(address: &str, room: &str, seen: Arc<Seen>) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET /v1/rooms/{room}/live HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut status = [0; 12];
        stream.read_exact(&mut status).await?;
        if status != *b"HTTP/1.1 200" {
            return Err(io::Error::other(String::from_utf8_lossy(&status).into_owned()));
        }
        Ok(Self { stream, seen, events: 0, matched: 0 })
    }

    /// Reads what there is; false at the end.
    async fn read(&mut self) -> io::Result<bool> {
        // The buffer lives only while there is something to read.
        self.stream.readable().await?;
        let mut buffer = [0; 4096];
        let length = match self.stream.try_read(&mut buffer) {
            Ok(length) => length,
            Err(nothing) if nothing.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error),
        };
        for byte in &buffer[..length] {
            // Its first byte comes only once in it, so after a mismatch nothing of what was matched can begin another.
            self.matched = if *byte == DATA[self.matched] { self.matched + 1 } else { usize::from(*byte == DATA[0]) };
            if self.matched == DATA.len() {
                self.matched = 0;
                self.events += 1;
                self.seen.events.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(length > 0)
    }

    async fn run(mut self) {
        while self.read().await.unwrap_or(false) {}
        self.seen.ended.fetch_add(1, Ordering::Relaxed);
    }
}
