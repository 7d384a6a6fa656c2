//! Answers while no relay runs: from its store, which nobody else has meanwhile, by the requests of the control interface.

use std::cell::Cell;
use std::path::PathBuf;

use hyper::Method;
use tokio::io::DuplexStream;

use super::failure::{Failure, complain, warn};
use super::folder_owner::check_owner;
use crate::config::{Config, ConfigSource, Faults};
use crate::control;
use crate::control::view::ROOT;
use crate::relay;

/// Room for what is under way between a request and its answer, in octets.
const BUFFER: usize = 64 * 1024;
/// A configuration that says nothing, for what the store alone tells.
const NO_CONFIGURATION: &str = "[[upstream]]\nname = \"none\"\nkind = \"capture\"\n";

/// A relay that does not run.
#[derive(Debug)]
pub(super) struct RelayAtRest {
    source: ConfigSource,
    data_dir: PathBuf,
    /// Whether it was said that it does not run.
    is_told: Cell<bool>,
}

/// From what a request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AnsweredFrom {
    /// The store: no configuration is needed.
    Store,
    /// The store, as the configuration has it.
    Both,
}

impl RelayAtRest {
    /// The one that would run in this folder.
    pub(super) fn new(source: ConfigSource, data_dir: PathBuf) -> Self {
        Self { source, data_dir, is_told: Cell::new(false) }
    }

    /// Whether a request asks for something that can be told while none runs.
    pub(super) fn knows(method: &Method, target: &str) -> bool {
        *method == Method::GET && answered_from(target).is_some()
    }

    /// Whether it has answered.
    pub(super) fn has_answered(&self) -> bool {
        self.is_told.get()
    }

    /// A way to what answers. The folder is taken until the answer has been read; to be called where tasks can be started.
    pub(super) async fn connect(&self, target: &str) -> Result<DuplexStream, Failure> {
        let config = self.config(target)?;
        check_owner(&self.data_dir)?;
        let state = relay::at_rest(config).await.map_err(|error| Failure::Failed(error.into()))?;
        if !self.is_told.replace(true) {
            complain("mailsluice: the relay does not run: this is what its store says, and nothing goes");
        }
        let (ours, theirs) = tokio::io::duplex(BUFFER);
        tokio::spawn(control::answer(theirs, state));
        Ok(ours)
    }

    /// The configuration; one that says nothing where it has faults and nothing of it is needed.
    fn config(&self, target: &str) -> Result<Config, Failure> {
        let faults: Faults = match self.source.load() {
            Ok(loaded) => return Ok(Config { data_dir: self.data_dir.clone(), ..loaded.config }),
            Err(faults) => faults,
        };
        if answered_from(target) != Some(AnsweredFrom::Store) {
            return Err(faults.into());
        }
        if !self.is_told.get() {
            warn(&[
                "the configuration has faults, so that upstreams and limits are unknown: mailsluice check",
            ]);
        }
        let none = Config::from_toml(NO_CONFIGURATION, &self.data_dir)?;
        Ok(Config { data_dir: self.data_dir.clone(), ..none.config })
    }
}

/// From what a request for reading is answered; `None` for what only a running relay knows.
fn answered_from(target: &str) -> Option<AnsweredFrom> {
    let path = target.split('?').next().unwrap_or(target).strip_prefix(ROOT)?;
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match segments.as_slice() {
        // The plan of a release is followed by one.
        ["queue", "release"] => None,
        ["queue" | "blacklist", ..] => Some(AnsweredFrom::Store),
        ["status" | "upstreams" | "test-mode"] | ["limits", ..] => Some(AnsweredFrom::Both),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_read_is_answered() {
        use AnsweredFrom::{Both, Store};
        for (path, want) in [
            ("/queue", Some(Store)),
            ("/queue?limit=5", Some(Store)),
            ("/queue/0DMA", Some(Store)),
            ("/queue/0DMA/content", Some(Store)),
            ("/queue/release?to=test", None),
            ("/blacklist", Some(Store)),
            ("/blacklist/check?address=a%40b.example", Some(Store)),
            ("/limits?upstream=m365", Some(Both)),
            ("/status", Some(Both)),
            ("/upstreams", Some(Both)),
            ("/test-mode", Some(Both)),
            ("/send?to=a", None),
            ("/trace", None),
            ("/events", None),
            ("/", None),
        ] {
            assert_eq!(answered_from(&format!("{ROOT}{path}")), want, "{path}");
        }
        assert_eq!(answered_from("/healthz"), None);
    }
}
