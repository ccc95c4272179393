//! A folder that is removed at the end.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// In memory where there is room, because a thousand tests wait for thousands of fsyncs each, and a busy disk may take seconds for one: the
/// servers' settings are those of a shop, only the disk is quicker. What outlives a killed process on a disk outlives it here too.
/// Short, because the path of a Unix socket has at most 107 bytes.
static ROOT: LazyLock<&str> = LazyLock::new(|| {
    [MEMORY, DISK].into_iter().for_each(sweep);
    let roomy = rustix::fs::statvfs(MEMORY).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) >= ROOM);
    let writable = roomy && rustix::fs::access(MEMORY, rustix::fs::Access::WRITE_OK).is_ok();
    if writable { MEMORY } else { DISK }
});
const MEMORY: &str = "/dev/shm";
const DISK: &str = "/tmp";
const ROOM: u64 = 2 << 30;
const PREFIX: &str = "liebian-test-";

/// A new empty folder, removed with all it holds when dropped.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes one.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{PREFIX}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(*ROOT).join(name);
        fs::create_dir(&path).expect("make a folder for the test");
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Best effort: what stays is swept by a later run.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Removes folders of test processes that were killed before they could.
fn sweep(root: &str) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|rest| rest.split('-').next());
        if let Some(owner) = owner
            && !Path::new("/proc").join(owner).exists()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
