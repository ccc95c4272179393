//! Child processes that cannot outlive the tests.

use std::io;
use std::process::{Child, Command};
use std::sync::{Mutex, OnceLock, mpsc};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// A command that runs `program` so that the kernel sends it `signal` (`KILL`, `QUIT`, …) when this process ends, however it ends.
pub fn tied(signal: &str, extra: &[&str], program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.arg("--pdeathsig").arg(signal).args(extra).arg("--").arg(program);
    command
}

/// Starts the command. The kernel ties a child to the *thread* that started it, and a test's thread ends with the test: so one thread that
/// stays until the process ends starts them all.
pub fn spawn(command: Command) -> Child {
    static STARTER: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in orders {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(sender)
    });
    let what = format!("{command:?}");
    let (sender, answer) = mpsc::channel();
    starter.lock().expect("starter").send((command, sender)).expect("starter thread");
    answer.recv().expect("starter thread").unwrap_or_else(|error| panic!("cannot start {what}: {error}"))
}

/// Sends a signal to a child that was not waited for yet.
pub fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("process id");
    kill_process(pid, signal).expect("signal a child");
}

/// Asks until the answer is yes, every few milliseconds, at most `seconds`: for readiness of servers and effects that arrive by themselves.
pub async fn within<F: AsyncFnMut() -> bool>(seconds: u64, what: &str, mut ask: F) {
    let asking = async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(seconds), asking).await.is_ok(), "not within {seconds} s: {what}");
}
