//! What the machine tells a configuration: environment, folders, its own name.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::addresses;
use crate::time::{Clock, SystemClock};

/// The surroundings in which a configuration is read. Handed in, so that a test can make them up.
#[derive(Clone)]
pub struct Machine {
    /// The environment variables that are valid UTF-8. May hold secrets.
    pub environment: BTreeMap<String, String>,
    /// What relative paths from the command line are relative to. Absolute.
    pub working_folder: PathBuf,
    /// The name that the machine has for itself (`uname -n`).
    pub node_name: String,
    /// The text of `/etc/hosts`.
    pub hosts: String,
    /// Its own addresses, as far as the system tells them; loopback ones may be missing.
    pub addresses: Vec<IpAddr>,
    /// The text of `/etc/group`.
    pub groups: String,
    /// Where a file is looked for when none is named.
    pub usual_files: Vec<PathBuf>,
    /// What `--data-dir` says; goes before environment and file. Relative to the working folder.
    pub data_dir: Option<PathBuf>,
    /// The wall clock, to tell certificates that have expired.
    pub now: Timestamp,
    /// Its time zone; UTC when it does not say.
    pub timezone: TimeZone,
    /// Whether it is the machine of this process, so that its folders and addresses can be looked at.
    pub is_here: bool,
}

impl Machine {
    /// Whether it is known to have no such address. The port is not touched.
    pub(super) fn lacks(&self, address: SocketAddr) -> bool {
        self.is_here && !addresses::is_own(address)
    }

    /// This process on this machine.
    #[must_use]
    pub fn here() -> Self {
        let utf8 = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            environment: std::env::vars_os().filter_map(utf8).collect(),
            working_folder: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            node_name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            hosts: std::fs::read_to_string("/etc/hosts").unwrap_or_default(),
            addresses: addresses::of_this_machine(),
            groups: std::fs::read_to_string("/etc/group").unwrap_or_default(),
            data_dir: None,
            usual_files: ["config/mailsluice.toml", "/etc/mailsluice/mailsluice.toml"]
                .map(PathBuf::from)
                .into(),
            now: SystemClock.wall(),
            timezone: TimeZone::try_system().unwrap_or(TimeZone::UTC),
            is_here: true,
        }
    }

    /// No environment, no files, the name `relay.example`, and UTC.
    #[must_use]
    pub fn bare(working_folder: &Path) -> Self {
        Self {
            working_folder: working_folder.to_owned(),
            node_name: "relay.example".to_owned(),
            environment: BTreeMap::new(),
            hosts: String::new(),
            addresses: Vec::new(),
            groups: String::new(),
            usual_files: Vec::new(),
            data_dir: None,
            now: Timestamp::default(),
            timezone: TimeZone::UTC,
            is_here: false,
        }
    }

    /// The machine's full name: its own name, or the canonical name that `/etc/hosts` has for it.
    #[must_use]
    pub fn full_name(&self) -> String {
        if self.node_name.contains('.') {
            return self.node_name.clone();
        }
        let canonical = self.hosts.lines().find_map(|line| {
            let mut names = line.split('#').next()?.split_ascii_whitespace().skip(1);
            let canonical = names.next().filter(|name| name.contains('.'))?;
            names.any(|alias| alias.eq_ignore_ascii_case(&self.node_name)).then(|| canonical.to_owned())
        });
        canonical.unwrap_or_else(|| self.node_name.clone())
    }

    /// The number of a group of this machine, by its name or as a number itself.
    pub(super) fn group_id(&self, name: &str) -> Option<u32> {
        let id = |line: &str| {
            let mut parts = line.split(':');
            (parts.next()? == name).then(|| parts.nth(1)?.parse().ok())?
        };
        self.groups.lines().find_map(id).or_else(|| name.parse().ok())
    }
}

/// Shows no environment: it may hold secrets.
impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("working_folder", &self.working_folder)
            .field("node_name", &self.node_name)
            .field("usual_files", &self.usual_files)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_full_name() {
        let hosts =
            "127.0.0.1 localhost\n# 192.0.2.9 no.firm.example box\n127.0.1.1 Box.firm.example box # here\n";
        for (node_name, hosts, want) in [
            ("box.other.example", hosts, "box.other.example"),
            ("box", hosts, "Box.firm.example"),
            ("BOX", hosts, "Box.firm.example"),
            ("other", hosts, "other"),
            ("box", "127.0.1.1 box box.firm.example\n", "box"),
            ("box", "", "box"),
        ] {
            let bare = Machine::bare(Path::new("/"));
            let machine = Machine { node_name: node_name.to_owned(), hosts: hosts.to_owned(), ..bare };
            assert_eq!(machine.full_name(), want, "{node_name} {hosts:?}");
        }
    }

    #[test]
    fn finds_groups() {
        let groups = "root:x:0:\nmail:x:8:a,b\nbad\n".to_owned();
        let machine = Machine { groups, ..Machine::bare(Path::new("/")) };
        for (name, want) in
            [("mail", Some(8)), ("root", Some(0)), ("1001", Some(1001)), ("mai", None), ("bad", None)]
        {
            assert_eq!(machine.group_id(name), want, "{name}");
        }
    }

    #[test]
    fn knows_this_machine() {
        let machine = Machine::here();
        assert!(machine.working_folder.is_absolute());
        assert!(!machine.full_name().is_empty() && machine.environment.contains_key("PATH"));
    }

    #[test]
    fn shows_no_environment() {
        let environment = BTreeMap::from([("PASSWORD".to_owned(), "hush".to_owned())]);
        let machine = Machine { environment, ..Machine::bare(Path::new("/")) };
        assert!(!format!("{machine:?}").contains("hush"));
    }
}
