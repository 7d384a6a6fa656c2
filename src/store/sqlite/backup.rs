//! A copy of the store that fits together: its data base as of one instant, with the contents that this refers to, in one tar.
//!
//! It is taken by a reader beside the writer, in a process of its own or not, so that mail goes on meanwhile. Messages leave and
//! take their content files with them; so each file gets a second name first, in a folder of ours, and the data base is copied after
//! that. What has come in between gets its name then. A file that has come and gone in that instant shows as missing, and the
//! copy is taken anew, with the names of the former round.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::restored::{self, NewMark};
use super::schema;
use crate::content::entries;
use crate::folder::GrowingFile;
use crate::store::StoreOrigin;

/// The folder of the second names, within that of the store.
const LINKS: &str = "backup-links";
/// How often the data base is copied at most, while files come and go too fast.
const ROUNDS: usize = 20;
/// What is read at once, in octets.
const BLOCK: usize = 1 << 18;
/// The names of all contents in a data base, with their octets. One that has several owners comes once.
const IN_FILES: &str = "SELECT queue_id, size FROM message WHERE in_file UNION SELECT copy_id, size FROM sent_copy WHERE in_file \
     UNION SELECT queue_id, size FROM kept_content WHERE in_file";

/// What is to be backed up, and where to.
pub struct Backup<'a> {
    /// The folder of the store.
    pub data_dir: &'a Path,
    /// The file that is made, or replaced when it is whole.
    pub file: &'a Path,
    /// When, by the wall clock, in milliseconds since 1970.
    pub now: i64,
}

/// What a backup has in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupSum {
    /// Messages in the queue.
    pub messages: u64,
    /// Contents in files.
    pub contents: u64,
    /// Octets of all of it.
    pub octets: u64,
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// There is no store.
    #[error("{} has no queue.db: there is nothing to back up", _0.display())]
    NoStore(PathBuf),
    /// Somebody else is at it.
    #[error("another backup of {} is under way", _0.display())]
    UnderWay(PathBuf),
    /// Mail comes and goes so fast that no copy fits together.
    #[error("mail comes and goes too fast for a copy that fits together; try again when less is sent")]
    TooFast,
    /// The data base could not be copied.
    #[error("the data base can't be copied: {0}")]
    Database(#[from] rusqlite::Error),
    /// A file can't be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Backup<'_> {
    /// Takes the backup. `progress` is told how many octets of how many are in it. Blocks.
    ///
    /// # Errors
    /// When it can't be taken: then nothing has the file's name that had not before.
    pub fn take(&self, mut progress: impl FnMut(u64, u64)) -> Result<BackupSum, BackupError> {
        let database = self.data_dir.join("queue.db");
        if fs::metadata(&database).map_or(0, |facts| facts.len()) == 0 {
            return Err(BackupError::NoStore(self.data_dir.to_owned()));
        }
        let links = Links::make(self.data_dir)?;
        let growing = GrowingFile::begin(self.file).map_err(at(self.file))?;
        let copy = DatabaseCopy::beside(self.file);
        let copied = copy_that_fits(&database, &links, &copy)?;
        restored::mark(
            &copied,
            &NewMark { origin: StoreOrigin::Backup, made: self.now, lost: 0, limits: true },
        )?;
        let messages: i64 = copied.query_row("SELECT count(*) FROM message", [], |row| row.get(0))?;
        let sql = format!("SELECT coalesce(sum(size), 0) FROM ({IN_FILES})");
        let contents: i64 = copied.query_row(&sql, [], |row| row.get(0))?;
        let octets = fs::metadata(&copy.0).map_err(at(&copy.0))?.len() + contents.unsigned_abs();
        let mut archive = Archive::new(&growing.file, self.now, octets, &mut progress);
        archive.add(&copy.0, "queue.db").map_err(at(&copy.0))?;
        archive.folder("content").map_err(at(self.file))?;
        let mut files = 0;
        each_content(&copied, |name| {
            let path = links.folder.join(name);
            files += 1;
            archive.add(&path, &format!("content/{name}")).map_err(at(&path))
        })?;
        archive.end().map_err(at(self.file))?;
        growing.finish().map_err(at(self.file))?;
        Ok(BackupSum { messages: messages.unsigned_abs(), contents: files, octets })
    }
}

/// Copies the data base until all contents are there that the copy refers to.
fn copy_that_fits(database: &Path, links: &Links, copy: &DatabaseCopy) -> Result<Connection, BackupError> {
    let source = reader(database)?;
    for _ in 0..ROUNDS {
        // The first pass may take its time; behind another one little has come in the meantime.
        links.link_all()?;
        links.link_all()?;
        copy.make_empty()?;
        source.execute("VACUUM INTO ?1", [copy.0.to_string_lossy()])?;
        let copied = Connection::open(&copy.0)?;
        // Nobody needs it after a crash.
        copied.pragma_update(None, "synchronous", "OFF")?;
        copied.pragma_update(None, "journal_mode", "MEMORY")?;
        let mut fits = true;
        each_content(&copied, |name| {
            fits &= links.link(name)?;
            Ok(())
        })?;
        if fits {
            return Ok(copied);
        }
    }
    Err(BackupError::TooFast)
}

/// A connection that only reads, but may have to make the files that readers share, where no relay runs.
fn reader(database: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.busy_timeout(schema::BUSY)?;
    Ok(connection)
}

/// Does something for each content in a file.
fn each_content(
    db: &Connection,
    mut work: impl FnMut(&str) -> Result<(), BackupError>,
) -> Result<(), BackupError> {
    let mut select = db.prepare(IN_FILES)?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        work(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?;
    }
    Ok(())
}

/// Second names of the contents, in a folder that is ours.
struct Links {
    contents: PathBuf,
    folder: PathBuf,
    /// Locked as long as this lives.
    _lock: File,
}

impl Links {
    fn make(data_dir: &Path) -> Result<Self, BackupError> {
        let folder = data_dir.join(LINKS);
        match fs::DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(at(&folder)(error)),
            _ => {}
        }
        let lock = File::open(&folder).map_err(at(&folder))?;
        if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(BackupError::UnderWay(data_dir.to_owned()));
        }
        let links = Self { contents: data_dir.join("content"), folder, _lock: lock };
        // Left by one that died.
        links.empty();
        Ok(links)
    }

    /// Gives all complete contents that are there now a second name.
    fn link_all(&self) -> Result<(), BackupError> {
        entries(&self.contents)
            .filter(|entry| entry.is_complete)
            .try_for_each(|entry| self.link(entry.queue_id.as_str()).map(drop))
    }

    /// Gives a content a second name; false when it has gone.
    fn link(&self, name: &str) -> Result<bool, BackupError> {
        match fs::hard_link(self.contents.join(name), self.folder.join(name)) {
            Ok(()) => Ok(true),
            Err(error) => match error.kind() {
                io::ErrorKind::AlreadyExists => Ok(true),
                io::ErrorKind::NotFound => Ok(self.folder.join(name).exists()),
                _ => Err(at(&self.folder.join(name))(error)),
            },
        }
    }

    fn empty(&self) {
        for entry in entries(&self.folder) {
            let _ = fs::remove_file(entry.path);
        }
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.empty();
        let _ = fs::remove_dir(&self.folder);
    }
}

/// The copy of the data base, which goes when this does.
struct DatabaseCopy(PathBuf);

impl DatabaseCopy {
    /// Beside a file: the disk of the queue may have no room for another one.
    fn beside(file: &Path) -> Self {
        let mut name = std::ffi::OsString::from(".");
        name.push(file.file_name().unwrap_or_default());
        name.push(format!(".{}.db", std::process::id()));
        Self(file.with_file_name(name))
    }

    /// SQLite takes a file that is empty, and leaves its mode: for nobody else to read.
    fn make_empty(&self) -> Result<(), BackupError> {
        self.remove();
        let made = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&self.0);
        made.map(drop).map_err(at(&self.0))
    }

    fn remove(&self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Drop for DatabaseCopy {
    fn drop(&mut self) {
        self.remove();
    }
}

/// A tar that grows.
struct Archive<'a, P> {
    tar: tar::Builder<io::BufWriter<&'a File>>,
    /// Seconds since 1970.
    now: u64,
    done: u64,
    all: u64,
    progress: &'a mut P,
}

/// Tells how much was read.
struct CountedReader<'a, P> {
    file: File,
    done: &'a mut u64,
    all: u64,
    progress: &'a mut P,
}

impl<P: FnMut(u64, u64)> Read for CountedReader<'_, P> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        *self.done += read as u64;
        (self.progress)(*self.done, self.all);
        Ok(read)
    }
}

impl<'a, P: FnMut(u64, u64)> Archive<'a, P> {
    fn new(file: &'a File, now: i64, all: u64, progress: &'a mut P) -> Self {
        let tar = tar::Builder::new(io::BufWriter::with_capacity(BLOCK, file));
        Self { tar, now: now.max(0).unsigned_abs() / 1_000, done: 0, all, progress }
    }

    fn header(&self, kind: tar::EntryType, size: u64, mode: u32) -> tar::Header {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(mode);
        header.set_mtime(self.now);
        header
    }

    fn add(&mut self, path: &Path, name: &str) -> io::Result<()> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        let mut header = self.header(tar::EntryType::Regular, size, 0o600);
        let mut content =
            CountedReader { file, done: &mut self.done, all: self.all, progress: self.progress };
        self.tar.append_data(&mut header, name, (&mut content).take(size))
    }

    fn folder(&mut self, name: &str) -> io::Result<()> {
        let mut header = self.header(tar::EntryType::Directory, 0, 0o700);
        self.tar.append_data(&mut header, format!("{name}/"), io::empty())
    }

    fn end(self) -> io::Result<()> {
        self.tar.into_inner()?.flush()
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> BackupError + use<> {
    let path = path.to_owned();
    move |source| BackupError::File { path, source }
}
