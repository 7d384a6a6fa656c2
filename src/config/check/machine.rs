//! What this machine would refuse when the relay starts: a folder for its data, and addresses that are not its own.
//!
//! Nothing is made, and no port is taken: whoever runs already is not disturbed. Whether a port is free is seen when the
//! relay starts.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};

use crate::config::fault::SourcePlace;
use crate::config::files;
use crate::config::reader::Section;
use crate::config::sections::listener::PlacedListener;

/// Notes a fault when the data can't be kept where they should.
pub(in crate::config) fn data_dir(root: &Section<'_>, path: &Path) {
    const INSTEAD: &str =
        "write the path of a folder that the relay's user may make and write in (is this user the relay's?)";
    if root.context.machine.is_here
        && let Some(what) = obstacle(path)
    {
        root.fault(&root.place_of("data_dir"), "data_dir", &what, INSTEAD);
    }
}

/// Notes a fault for each listener at an address that this machine does not have.
pub(in crate::config) fn listeners(root: &Section<'_>, listeners: &[PlacedListener]) {
    for PlacedListener { listener, place } in listeners {
        address(root, (place, "listener.address"), listener.address);
    }
}

/// Notes a fault of a key when this machine does not have the address that it names.
pub(in crate::config) fn address(
    section: &Section<'_>,
    (place, key): (&SourcePlace, &str),
    address: SocketAddr,
) {
    let machine = section.context.machine;
    if !machine.lacks(address) {
        return;
    }
    let ip = address.ip();
    let what = format!("{ip} is not an address of this machine");
    let all = if ip.is_ipv4() { "0.0.0.0" } else { "[::]" };
    let own: Vec<String> = machine.addresses.iter().map(ToString::to_string).collect();
    let own = if own.is_empty() { String::new() } else { format!(" ({})", own.join(", ")) };
    let instead = format!("write one that it has{own}, or {all} for all of them");
    section.fault(place, key, &what, &instead);
}

/// Why a folder can't be made, or written in.
fn obstacle(path: &Path) -> Option<String> {
    for folder in path.ancestors() {
        let shown = folder.display();
        match std::fs::metadata(folder) {
            Ok(facts) if !facts.is_dir() => return Some(format!("{shown} is not a folder")),
            Ok(_) => {
                let access = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
                let access = if folder == path { access } else { access - Access::READ_OK };
                let denied = accessat(CWD, folder, access, AtFlags::EACCESS).err()?;
                return Some(format!("cannot write in {shown} ({})", files::reason(&denied.into())));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && folder.is_symlink() => {
                return Some(format!("{shown} is a link to what is not there"));
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => return Some(format!("cannot look at {shown} ({})", files::reason(&error))),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::config::{Config, Machine};

    #[test]
    fn tells_what_is_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let own = |name: &str| folder.path().join(name);
        std::fs::create_dir(own("made")).unwrap();
        std::fs::File::create(own("file")).unwrap();
        symlink(own("nowhere"), own("link")).unwrap();
        symlink(own("made"), own("good")).unwrap();
        for (path, want) in [
            ("made", None),
            ("good/new", None),
            ("new/below/it", None),
            ("file", Some("/file is not a folder")),
            ("file/below/it", Some("/file is not a folder")),
            ("link", Some("/link is a link to what is not there")),
            ("link/below", Some("/link is a link to what is not there")),
        ] {
            let told = obstacle(&own(path));
            assert_eq!(told.is_some(), want.is_some(), "{path}: {told:?}");
            assert!(told.unwrap_or_default().ends_with(want.unwrap_or_default()), "{path}");
        }
        std::fs::set_permissions(own("made"), std::fs::Permissions::from_mode(0o500)).unwrap();
        // Root writes where it likes.
        if !rustix::process::geteuid().is_root() {
            for path in ["made", "made/new"] {
                let told = obstacle(&own(path)).unwrap();
                assert!(told.starts_with("cannot write in ") && told.contains("/made (Permission"), "{told}");
            }
        }
    }

    #[test]
    fn a_start_is_tried_where_it_would_happen_alone() {
        let folder = tempfile::tempdir().unwrap();
        let variables = [
            ("MAILSLUICE__UPSTREAM__HOST", "smtp.firm.example"),
            ("MAILSLUICE__LISTENER__ADDRESS", "192.0.2.7:25"),
            ("MAILSLUICE__LISTENER__RELAY_FROM", "192.0.2.0/24"),
            ("MAILSLUICE__DATA_DIR", "/dev/null/data"),
        ];
        let environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let machine = Machine { environment, ..Machine::bare(folder.path()) };
        assert!(Config::load(None, &machine).is_ok());
        let addresses = vec!["198.51.100.1".parse().unwrap()];
        let faults = Config::load(None, &Machine { is_here: true, addresses, ..machine }).unwrap_err();
        let want = "environment: MAILSLUICE__DATA_DIR: /dev/null is not a folder: write the path of a folder that the \
                    relay's user may make and write in (is this user the relay's?)\n\
                    environment: MAILSLUICE__LISTENER__ADDRESS: 192.0.2.7 is not an address of this machine: write one \
                    that it has (198.51.100.1), or 0.0.0.0 for all of them";
        assert_eq!(faults.to_string(), want);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is made");
    }
}
