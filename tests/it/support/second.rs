//! A second server beside the app's own, on the same Redis and database.

use std::net::TcpListener;
use std::process::Child;

use rustix::process::Signal;

use super::app::TestApp;
use super::child::{signal, within};

/// The second server. Killed when dropped.
pub struct Second {
    /// `http://127.0.0.1:<port>`.
    pub base: String,
    child: Child,
}

impl Second {
    /// Starts it and waits until it is ready.
    pub async fn start(app: &TestApp) -> Self {
        let listen = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("address").to_string();
        let child = app.spawn(&["serve", "--listen", &listen]);
        let base = format!("http://{listen}");
        within(20, "the second server is ready", async || {
            app.http.get(format!("{base}/health/ready")).send().await.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
        Self { base, child }
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        signal(&self.child, Signal::KILL);
        self.child.wait().expect("wait for the second server");
    }
}
