//! The Unix socket: made so that nobody else can ever connect, served with limits, closed in an orderly way.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, open};
use tokio::net::UnixListener;
use tokio::sync::Semaphore;

use super::serving::{self, AdmittedClient};
use super::{SharedState, api};
use crate::config::ControlGroup;

/// The socket's name in `data_dir`.
const NAME: &str = "control.sock";
/// Connections at the same time.
const MAX_CONNECTIONS: usize = 64;
/// Socket addresses hold 107 octets of path.
const MAX_PATH: usize = 107;

/// Why the control socket could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// The system does not let us.
    #[error("cannot make the control socket {path}: {source}")]
    Make {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The group can't be let in.
    #[error(
        "cannot give the control socket to control_group {group}: {source}; the relay's user must be one of its members"
    )]
    Group {
        /// As the configuration names it.
        group: String,
        /// What the system says.
        source: io::Error,
    },
}

/// The socket, ready to be served. It goes when this is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

/// Where the socket of a data folder is.
#[must_use]
pub fn path_in(data_dir: &Path) -> PathBuf {
    data_dir.join(NAME)
}

/// Lets a group use the socket of a data folder, or nobody but its owner.
///
/// A group may pass through the folder (0710), and find nothing else open there: all else in it is its owner's alone.
/// Without a group the folder stays as it is, for it may have been made by hand.
///
/// # Errors
/// When the relay's user is not of that group.
pub fn admit(data_dir: &Path, group: Option<&ControlGroup>) -> Result<(), SocketError> {
    let path = path_in(data_dir);
    let narrow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    let Some(group) = group else {
        return narrow(&path, 0o600).map_err(|source| SocketError::Make { path, source });
    };
    let opened = || {
        chown(&path, None, Some(group.id))?;
        chown(data_dir, None, Some(group.id))?;
        narrow(data_dir, 0o710)?;
        narrow(&path, 0o660)
    };
    opened().map_err(|source| SocketError::Group { group: group.name.clone(), source })
}

impl ControlSocket {
    /// Makes `DATA_DIR/control.sock` with mode 0600, or 0660 for the group that may use it, in place of what a dead
    /// predecessor left. To be called by the one who holds the store's lock, within a tokio runtime.
    ///
    /// The socket is bound inside a folder that only we may enter, narrowed there and then moved to its place: at no time
    /// can others connect, whatever the umask is.
    ///
    /// # Errors
    /// When the folder can't be written, or the group be let in.
    pub fn bind(data_dir: &Path, group: Option<&ControlGroup>) -> Result<Self, SocketError> {
        let path = path_in(data_dir);
        let at = |source| SocketError::Make { path: path.clone(), source };
        let listener = bind_narrow(data_dir, &path).map_err(at)?;
        let socket = Self { listener, path };
        admit(data_dir, group)?;
        Ok(socket)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Answers requests until `stop` is done; those under way then get a short time to end.
    pub async fn serve(self, state: SharedState, stop: impl Future<Output = ()> + Send) {
        let router = api::router(state);
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let accept = async || {
            let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
            let (stream, _) = self.listener.accept().await?;
            Ok(Some(AdmittedClient { stream, place, router: router.clone() }))
        };
        serving::serve(accept, stop).await;
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn bind_narrow(data_dir: &Path, path: &Path) -> io::Result<UnixListener> {
    let room = data_dir.join(".control");
    match fs::remove_dir_all(&room) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::DirBuilder::new().mode(0o700).create(&room)?;
    let made = room.join(NAME);
    let (reachable, _folder) = reachable(&made)?;
    let listener = UnixListener::bind(reachable)?;
    fs::set_permissions(&made, fs::Permissions::from_mode(0o600))?;
    fs::rename(&made, path)?;
    fs::remove_dir(&room)?;
    Ok(listener)
}

/// A path of the same socket that fits into a socket address; valid while the folder's handle, if any, is open.
pub(crate) fn reachable(path: &Path) -> io::Result<(PathBuf, Option<OwnedFd>)> {
    if path.as_os_str().len() <= MAX_PATH {
        return Ok((path.to_owned(), None));
    }
    let no_folder = || io::Error::from(io::ErrorKind::InvalidInput);
    // Whoever may only pass through the folder can't read it.
    let pass = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = open(path.parent().ok_or_else(no_folder)?, pass, Mode::empty())?;
    let name = path.file_name().ok_or_else(no_folder)?;
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    Ok((short, Some(folder)))
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn only_the_owner_may_connect_and_a_stale_socket_is_replaced() {
        let long = "d".repeat(120);
        for folder in ["data", &long] {
            let dir = tempfile::tempdir().unwrap();
            let data_dir = dir.path().join(folder);
            fs::create_dir(&data_dir).unwrap();
            let path = path_in(&data_dir);
            let stale = ControlSocket::bind(&data_dir, None).unwrap();
            let socket = ControlSocket::bind(&data_dir, None).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(fs::read_dir(&data_dir).unwrap().count(), 1, "nothing but the socket is left");
            let (reachable, _folder) = reachable(&path).unwrap();
            assert!(UnixStream::connect(&reachable).await.is_ok(), "{folder}");
            drop(socket);
            assert!(!path.exists());
            drop(stale);
        }
    }

    #[tokio::test]
    async fn a_group_may_use_the_socket_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        // A group of our own is one that we may give things to.
        let own = rustix::process::getegid().as_raw();
        let group = |id| ControlGroup { name: "mailsluice".to_owned(), id };
        let socket = ControlSocket::bind(dir.path(), Some(&group(own))).unwrap();
        assert_eq!((mode(dir.path()), mode(socket.path())), (0o710, 0o660));
        admit(dir.path(), None).unwrap();
        assert_eq!(mode(socket.path()), 0o600);
        if !rustix::process::geteuid().is_root() {
            let error = admit(dir.path(), Some(&group(0))).unwrap_err().to_string();
            assert!(error.contains("control_group mailsluice"), "{error}");
        }
    }
}
