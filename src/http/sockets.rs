//! What the operating system is told about connections.

use actix_web::rt::net::TcpStream;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The kernel keeps at most so many unsent bytes for one client: who does not read is noticed while what waits for it is still news. Without
/// this a live stream would go on for megabytes after its reader has stopped.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 64 * 1024;
/// A client that takes nothing of what waits for it for so long is gone, whatever its machine still says.
#[cfg(target_os = "linux")]
const TAKEN_WITHIN: std::time::Duration = std::time::Duration::from_secs(30);

/// Sets up a new connection. One that the system does not let us set up is served all the same.
pub fn set_up(connection: &TcpStream) {
    // What is written is meant to go at once.
    let done = connection.set_nodelay(true);
    #[cfg(target_os = "linux")]
    let done = done.and_then(|()| {
        let socket = socket2::SockRef::from(connection);
        socket.set_tcp_notsent_lowat(UNSENT).and_then(|()| socket.set_tcp_user_timeout(Some(TAKEN_WITHIN)))
    });
    if let Err(why) = done {
        tracing::debug!(%why, "a connection keeps the system's settings");
    }
}

/// Lets the process open as many files as it may, and says how many: every connection is one, and many systems begin with 1,024.
pub fn allow_many() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let allowed = match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(why) => {
            tracing::warn!(%why, open_files = current, "no more files may be opened; connections are limited by that");
            current
        }
    };
    allowed.unwrap_or(u64::MAX)
}
