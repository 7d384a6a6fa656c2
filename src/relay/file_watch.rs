//! Sees when the configuration file changes, or a file that it names: a secret, a certificate, a key (`watch = true`).
//! Such a file is written in place, replaced by another, or reached by a link that now leads elsewhere, as Kubernetes does
//! it.
//!
//! It looks every two seconds at what the paths lead to. That costs look-ups in memory, and works where the system sends
//! no word of changes: network file systems, bind mounts, links anywhere on the way.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
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

/// Looks at the configuration file, and at the files that it names, now and then.
#[derive(Debug)]
pub(super) struct FileWatch {
    /// The configuration file.
    path: Option<PathBuf>,
    /// The others.
    named: Vec<PathBuf>,
    /// As they were when they were read last; the configuration file first.
    read: Vec<Option<FileStamp>>,
    /// As they were at the last look.
    seen: Vec<Option<FileStamp>>,
    looks: Interval,
}

impl FileWatch {
    /// Watches these files, which have just been read: the configuration file, and those that it names. Where there are none
    /// there is nothing to see.
    pub(super) async fn new(path: Option<PathBuf>, named: Vec<PathBuf>) -> Self {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watch = Self { path, named, read: Vec::new(), seen: Vec::new(), looks };
        watch.note_read().await;
        watch
    }

    /// The files are about to be read.
    pub(super) async fn note_read(&mut self) {
        self.read = self.stamps().await;
        self.seen.clone_from(&self.read);
    }

    /// The configuration names these files from now on, and they have just been read.
    pub(super) async fn follow(&mut self, named: Vec<PathBuf>) {
        let before: HashMap<PathBuf, Option<FileStamp>> =
            self.paths().cloned().zip(self.read.clone()).collect();
        self.named = named;
        let now = self.stamps().await;
        // One that was known keeps the stamp that it had before it was read: it may have changed since.
        let paths = self.paths().zip(now);
        self.read = paths.map(|(path, now)| before.get(path).copied().unwrap_or(now)).collect();
        self.seen.clone_from(&self.read);
    }

    /// Waits until a file is another than was read, and all stay as they are from one look to the next. One that is away is
    /// waited for: it is being replaced. Cancel-safe.
    pub(super) async fn changed(&mut self) {
        loop {
            self.looks.tick().await;
            let now = self.stamps().await;
            let is_away = self.path.is_some() && now.first().is_none_or(Option::is_none);
            let has_changed = now.iter().zip(&self.read).any(|(now, read)| now.is_some() && now != read);
            let is_settled = self.seen == now;
            self.seen = now;
            if is_settled && has_changed && !is_away {
                return;
            }
        }
    }

    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.path.iter().chain(&self.named)
    }

    async fn stamps(&self) -> Vec<Option<FileStamp>> {
        let mut stamps = Vec::new();
        for path in self.paths() {
            stamps.push(stamp(path).await);
        }
        stamps
    }
}

async fn stamp(path: &Path) -> Option<FileStamp> {
    let facts = tokio::fs::metadata(path).await.ok()?;
    Some(FileStamp {
        device: facts.dev(),
        inode: facts.ino(),
        size: facts.len(),
        modified: (facts.mtime(), facts.mtime_nsec()),
        changed: (facts.ctime(), facts.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::symlink;
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
            let mut watch = FileWatch::new(Some(folder.path().join("relay.toml")), Vec::new()).await;
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
        let mut watch = FileWatch::new(Some(path.clone()), Vec::new()).await;
        fs::remove_file(&path).unwrap();
        assert!(timeout(LONG, watch.changed()).await.is_err());
        for length in 1..20 {
            write(&path, &"x\n".repeat(length));
            assert!(timeout(LOOK.mul_f64(0.9), watch.changed()).await.is_err(), "{length}");
            tokio::time::advance(LOOK).await;
        }
        timeout(LONG, watch.changed()).await.unwrap();
        assert!(timeout(LONG, FileWatch::new(None, Vec::new()).await.changed()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn sees_the_files_that_the_configuration_names() {
        let folder = tempfile::tempdir().unwrap();
        let [file, password, key] =
            ["relay.toml", "password", "key.pem"].map(|name| folder.path().join(name));
        for path in [&file, &password, &key] {
            write(path, "first\n");
        }
        let mut watch = FileWatch::new(Some(file.clone()), vec![password.clone()]).await;
        write(&key, "nobody names it\n");
        assert!(timeout(LONG, watch.changed()).await.is_err());
        write(&password, "another\n");
        timeout(LONG, watch.changed()).await.unwrap();
        // Read again, and found to name another file now.
        watch.note_read().await;
        watch.follow(vec![key.clone()]).await;
        write(&password, "nobody names it\n");
        assert!(timeout(LONG, watch.changed()).await.is_err());
        fs::remove_file(&key).unwrap();
        assert!(timeout(LONG, watch.changed()).await.is_err(), "it is being replaced");
        write(&file, "names it no more\n");
        timeout(LONG, watch.changed()).await.expect("one that is away is in nobody's way");
        watch.note_read().await;
        write(&key, "it is back, and longer\n");
        timeout(LONG, watch.changed()).await.unwrap();
    }
}
