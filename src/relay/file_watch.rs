//! Sees when the configuration file changes (`watch = true`): written in place, replaced by another, or reached by a link
//! that now leads elsewhere, as Kubernetes does it.
//!
//! It looks every two seconds at what the path leads to. That costs a look-up in memory, and works where the system sends
//! no word of changes: network file systems, bind mounts, links anywhere on the way.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often the file is looked at. Who writes it must be done by the next look.
const LOOK: Duration = Duration::from_secs(2);

/// Tells one state of a file from another. The times of the file system may be coarse, so its size counts, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Looks at a file now and then.
#[derive(Debug)]
pub(super) struct FileWatch {
    path: Option<PathBuf>,
    /// As it was when it was read last.
    read: Option<FileStamp>,
    /// As it was at the last look.
    seen: Option<FileStamp>,
    looks: Interval,
}

impl FileWatch {
    /// Watches this file, which has just been read. Without one there is nothing to see.
    pub(super) async fn new(path: Option<PathBuf>) -> Self {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watch = Self { path, read: None, seen: None, looks };
        watch.note_read().await;
        watch
    }

    /// The file is about to be read.
    pub(super) async fn note_read(&mut self) {
        self.read = self.stamp().await;
        self.seen = self.read;
    }

    /// Waits until the file is another than was read, and stays as it is from one look to the next. One that is away is
    /// waited for: it is being replaced. Cancel-safe.
    pub(super) async fn changed(&mut self) {
        loop {
            self.looks.tick().await;
            let now = self.stamp().await;
            let is_settled = std::mem::replace(&mut self.seen, now) == now;
            if is_settled && now.is_some() && now != self.read {
                return;
            }
        }
    }

    async fn stamp(&self) -> Option<FileStamp> {
        let facts = tokio::fs::metadata(self.path.as_ref()?).await.ok()?;
        Some(FileStamp {
            device: facts.dev(),
            inode: facts.ino(),
            size: facts.len(),
            modified: (facts.mtime(), facts.mtime_nsec()),
            changed: (facts.ctime(), facts.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::symlink;
    use std::path::Path;
    use std::time::SystemTime;

    use tokio::time::timeout;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    fn write(path: &Path, text: &str) {
        fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// A folder as Kubernetes mounts it: `relay.toml` → `..data/relay.toml`, `..data` → a folder of its own.
    fn mounted(folder: &Path) {
        fs::create_dir(folder.join("one")).unwrap();
        fs::create_dir(folder.join("two")).unwrap();
        write(&folder.join("one/relay.toml"), "first\n");
        write(&folder.join("two/relay.toml"), "other\n");
        symlink("one", folder.join("..data")).unwrap();
        symlink("..data/relay.toml", folder.join("relay.toml")).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn sees_each_way_in_which_a_file_changes() {
        type Change = fn(&Path);
        let changes: [(&str, Change); 5] = [
            ("written in place", |folder| write(&folder.join("one/relay.toml"), "longer text\n")),
            ("the same length", |folder| {
                write(&folder.join("one/relay.toml"), "FIRST\n");
                let file = fs::File::options().append(true).open(folder.join("one/relay.toml")).unwrap();
                // Whatever the file system's clock makes of so short a time.
                file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
            }),
            ("replaced", |folder| {
                write(&folder.join("new"), "first\n");
                fs::rename(folder.join("new"), folder.join("relay.toml")).unwrap();
            }),
            ("its folder's link leads elsewhere", |folder| {
                symlink("two", folder.join("..tmp")).unwrap();
                fs::rename(folder.join("..tmp"), folder.join("..data")).unwrap();
            }),
            ("removed and made again", |folder| {
                fs::remove_file(folder.join("relay.toml")).unwrap();
                write(&folder.join("relay.toml"), "first\n");
            }),
        ];
        for (name, change) in changes {
            let folder = tempfile::tempdir().unwrap();
            mounted(folder.path());
            let mut watch = FileWatch::new(Some(folder.path().join("relay.toml"))).await;
            assert!(timeout(LONG, watch.changed()).await.is_err(), "{name}: nothing has changed");
            change(folder.path());
            timeout(LONG, watch.changed()).await.unwrap_or_else(|_| panic!("{name}: not seen"));
            watch.note_read().await;
            assert!(timeout(LONG, watch.changed()).await.is_err(), "{name}: seen twice");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waits_for_one_that_is_away_and_for_one_that_is_being_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.toml");
        write(&path, "first\n");
        let mut watch = FileWatch::new(Some(path.clone())).await;
        fs::remove_file(&path).unwrap();
        assert!(timeout(LONG, watch.changed()).await.is_err());
        for length in 1..20 {
            write(&path, &"x\n".repeat(length));
            assert!(timeout(LOOK.mul_f64(0.9), watch.changed()).await.is_err(), "{length}");
            tokio::time::advance(LOOK).await;
        }
        timeout(LONG, watch.changed()).await.unwrap();
        assert!(timeout(LONG, FileWatch::new(None).await.changed()).await.is_err());
    }
}
