//! What the operating system is told about connections.

use std::any::Any;

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
pub fn set_up(connection: &dyn Any) {
    #[cfg(target_os = "linux")]
    if let Some(connection) = connection.downcast_ref::<TcpStream>() {
        let socket = socket2::SockRef::from(connection);
        let done = socket.set_tcp_notsent_lowat(UNSENT).and_then(|()| socket.set_tcp_user_timeout(Some(TAKEN_WITHIN)));
        if let Err(why) = done {
            tracing::debug!(%why, "a connection keeps the system's settings");
        }
    }
}

/// Every connection is an open file, and many systems let a process open 1,024 unless it asks for more.
pub fn allow_many() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(why) = setrlimit(Resource::Nofile, wanted) {
        tracing::warn!(%why, open_files = limit.current, "no more files may be opened; connections are limited by that");
    }
}
