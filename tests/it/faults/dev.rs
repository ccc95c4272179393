//! `liebian dev`: one program, one Redis, one directory, through any kill.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Folder, signal, spawn, tied, within};

/// A running `liebian dev`.
struct Dev {
    child: Child,
    base: String,
    out: PathBuf,
}

impl Dev {
    fn launch(data: &Path, out: &Path) -> Self {
        let listen = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("address").to_string();
        let mut command = tied("KILL", &[], env!("CARGO_BIN_EXE_liebian"));
        command.args(["dev", "--listen", &listen, "--data-dir"]).arg(data);
        let file = File::create(out).expect("output");
        command.stdin(Stdio::null()).stdout(file.try_clone().expect("output")).stderr(file);
        Self { child: spawn(command), base: format!("http://{listen}"), out: out.to_owned() }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.out).unwrap_or_default()
    }

    /// Waits until it is ready; the contract says within 15 s.
    async fn ready(&self) {
        let http = reqwest::Client::builder().no_proxy().build().expect("HTTP client");
        within(15, "dev is ready", async || {
            self.said().contains("operator_key=")
                && http.get(format!("{}/health/ready", self.base)).send().await.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
    }

    async fn ended(&mut self, seconds: u64) -> std::process::ExitStatus {
        let mut status = None;
        within(seconds, "dev ends", async || {
            status = self.child.try_wait().expect("look at dev");
            status.is_some()
        })
        .await;
        status.expect("status")
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            signal(&self.child, Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// The Redis processes that work in a directory.
fn redis_in(directory: &Path) -> usize {
    let working = |entry: &fs::DirEntry| {
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        name.starts_with("redis-server") && fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == directory)
    };
    fs::read_dir("/proc").expect("/proc").flatten().filter(working).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dev_starts_again_after_any_kill_and_ends_when_told() {
    let folder = Folder::new();
    let (data, out) = (folder.path().join("data"), folder.path().join("out"));
    let mut dev = Dev::launch(&data, &out);
    dev.ready().await;
    let urls = |said: &str| {
        said.lines()
            .filter(|line| line.starts_with("share_url="))
            .map(|line| line.rsplit('/').next().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    let first = urls(&dev.said());
    assert!(!first.is_empty(), "{}", dev.said());
    let http = reqwest::Client::builder().no_proxy().build().expect("HTTP client");
    let last = dev.said().lines().filter_map(|line| line.strip_prefix("share_url=").map(str::to_owned)).next_back().expect("a link");
    let page = http.get(last).send().await.expect("the page").text().await.expect("text");
    assert!(page.contains(" data-code=") && page.contains("接受 林** 的邀请？"), "the demo's last link is an invite: {page}");
    for _ in 0..2 {
        signal(&dev.child, Signal::KILL);
        dev.child.wait().expect("wait");
        dev = Dev::launch(&data, &out);
        dev.ready().await;
        assert_eq!(redis_in(&data.join("redis")), 1, "one Redis on the directory");
        assert_eq!(urls(&dev.said()), first, "the same campaigns and links");
    }
    let mut other = Dev::launch(&data, &folder.path().join("other"));
    assert!(!other.ended(5).await.success());
    assert!(other.said().contains("in use by another liebian"), "{}", other.said());
    assert!(dev.child.try_wait().expect("look").is_none(), "the first goes on");
    let told = Instant::now();
    signal(&dev.child, Signal::TERM);
    assert!(dev.ended(10).await.success(), "{}", dev.said());
    assert!(told.elapsed() < Duration::from_secs(10));
    within(2, "its Redis ends with it", async || redis_in(&data.join("redis")) == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_redis_of_dev_comes_back_when_it_dies() {
    let folder = Folder::new();
    let data = folder.path().join("data");
    let dev = Dev::launch(&data, &folder.path().join("out"));
    dev.ready().await;
    let pid: i32 = fs::read_to_string(data.join("redis/redis.pid")).expect("pid").trim().parse().expect("a number");
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).expect("pid"), Signal::KILL).expect("kill");
    let http = reqwest::Client::builder().no_proxy().build().expect("HTTP client");
    within(15, "the demo campaigns are served again", async || {
        let Ok(answer) = http.get(format!("{}/v1/campaigns", dev.base)).send().await else { return false };
        let ready = http.get(format!("{}/health/ready", dev.base)).send().await.is_ok_and(|answer| answer.status() == 200);
        ready && answer.status() == 200 && answer.text().await.is_ok_and(|text| text.contains("cmp_"))
    })
    .await;
}

/// A kill in the middle of a start leaves half a recovery behind; the next start must not give up on it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dev_starts_again_after_kills_during_its_start() {
    let folder = Folder::new();
    let (data, out) = (folder.path().join("data"), folder.path().join("out"));
    let dev = Dev::launch(&data, &out);
    dev.ready().await;
    drop(dev);
    for milliseconds in [60, 100, 140, 180, 220, 260, 300, 340] {
        let mut dev = Dev::launch(&data, &out);
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        signal(&dev.child, Signal::KILL);
        dev.child.wait().expect("wait");
    }
    Dev::launch(&data, &out).ready().await;
}
