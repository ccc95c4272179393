//! The campaign page in a real browser: Debian's chromium, driven by `tests/browser/drive.mjs`. `make test` installs what it needs.

use std::path::Path;
use std::process::Stdio;

use crate::support::{ADMIN_KEY, Db, Setup, TestApp, spawn, tied};

/// Runs one part of the script against a server of its own.
async fn drive(part: &str) {
    let app = TestApp::start(Db::sqlite().await, Setup::default()).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/drive.mjs");
    let mut command = tied("KILL", &[], "node");
    command.arg(script).args([app.base.as_str(), ADMIN_KEY, part]).stdin(Stdio::null());
    let status = tokio::task::spawn_blocking(move || spawn(command).wait()).await.expect("waiting").expect("node");
    assert!(status.success(), "the browser saw something else: {status}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn visitors_fill_a_room_and_see_each_other_arrive() {
    drive("taking-part").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn friends_bargain_together_and_every_chain_has_a_sound_page() {
    drive("bargaining").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn friends_invite_each_other_and_every_invite_has_a_sound_page() {
    drive("inviting").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_is_sound_in_every_state_language_and_width() {
    drive("reading").await;
}
