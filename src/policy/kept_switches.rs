//! Switches of upstreams that a person has set and the configuration file could not take: they last in the store, and stand
//! before what the file says until it says something else.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::{Config, FileChange, Upstream};
use crate::store::{StoreError, Switches};

const KEY: &str = "upstream_switches";

/// The switches that the file does not have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptSwitches {
    default: Option<KeptDefault>,
    /// Upstreams that are used though the file says `enabled = false`.
    enabled: BTreeSet<String>,
    /// Why the file could not take the last of them.
    why: String,
}

/// The default upstream by command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KeptDefault {
    name: String,
    /// The one that the file named at the time. Once it names another, that is in force.
    in_file: Option<String>,
}

impl KeptSwitches {
    /// As they were left.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn load(store: &dyn Switches) -> Result<Self, StoreError> {
        let text = store.switch(KEY).await?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    /// Makes them last.
    ///
    /// # Errors
    /// When the store can't be written.
    ///
    /// # Panics
    /// Never: plain fields always serialise.
    pub async fn save(&self, store: &dyn Switches) -> Result<(), StoreError> {
        let text = serde_json::to_string(self).expect("plain fields always serialise");
        store.set_switch(KEY, text).await
    }

    /// A configuration as its file says, with these switches put before it; those that the file has overtaken are gone.
    #[must_use]
    pub fn put_before(&self, mut config: Config) -> (Self, Config) {
        let mut left = self.clone();
        let names: Vec<&str> = config.upstreams.iter().map(|one| one.name.as_str()).collect();
        left.default = left.default.filter(|kept| {
            kept.in_file.as_deref() == default_of(&config) && names.contains(&kept.name.as_str())
        });
        left.enabled.retain(|name| config.upstreams.iter().any(|one| one.name == *name && !one.enabled));
        for upstream in &mut config.upstreams {
            let default = left.default.as_ref().map_or(upstream.default, |kept| kept.name == upstream.name);
            let enabled = upstream.enabled || left.enabled.contains(&upstream.name);
            if (default, enabled) != (upstream.default, upstream.enabled) {
                *upstream = Arc::new(Upstream { default, enabled, ..(**upstream).clone() });
            }
        }
        (left, config)
    }

    /// With a switch that the file could not take, and why; `config` is the one in force. What has another home is not kept here.
    #[must_use]
    pub fn with(&self, change: &FileChange, config: &Config, why: &str) -> Self {
        let mut kept = Self { why: why.to_owned(), ..self.clone() };
        match change {
            FileChange::DefaultUpstream(name) => {
                let in_force = || default_of(config).map(str::to_owned);
                let in_file = kept.default.take().map_or_else(in_force, |before| before.in_file);
                let differs = in_file.as_ref() != Some(name);
                kept.default = differs.then(|| KeptDefault { name: name.clone(), in_file });
            }
            FileChange::UpstreamEnabled { name, enabled: true } => drop(kept.enabled.insert(name.clone())),
            FileChange::UpstreamEnabled { name, enabled: false } => drop(kept.enabled.remove(name)),
            FileChange::TestMode { .. } => {}
        }
        kept
    }

    /// How the default upstream differs from what the file says, if it is this one.
    #[must_use]
    pub fn default_by_command(&self, name: &str) -> Option<String> {
        let kept = self.default.as_ref().filter(|kept| kept.name == name)?;
        let in_file = kept.in_file.as_deref().map_or_else(|| "none".to_owned(), str::to_owned);
        Some(format!("it is the default by command; in the configuration it is {in_file}{}", self.why()))
    }

    /// How an upstream that is used differs from what the file says, if it does.
    #[must_use]
    pub fn enabled_by_command(&self, name: &str) -> Option<String> {
        let differs = self.enabled.contains(name);
        differs
            .then(|| format!("it is enabled by command; the configuration has enabled = false{}", self.why()))
    }

    /// Why the file did not take a switch, as the end of a sentence; nothing when none was refused.
    #[must_use]
    pub fn why(&self) -> String {
        if self.why.is_empty() { String::new() } else { format!(", and was not changed: {}", self.why) }
    }
}

/// The upstream that takes what no filter matches.
fn default_of(config: &Config) -> Option<&str> {
    config.upstreams.iter().find(|upstream| upstream.default).map(|upstream| upstream.name.as_str())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(default: &str, is_b_enabled: bool) -> Config {
        let text = format!(
            "[[upstream]]\nname = \"a\"\nhost = \"a\"\ndefault = {}\n[[upstream]]\nname = \"b\"\nhost = \"b\"\n\
             default = {}\nenabled = {is_b_enabled}\n",
            default == "a",
            default == "b"
        );
        Config::from_toml(&text, Path::new("/")).unwrap().config
    }

    fn in_force(kept: &KeptSwitches, file: Config) -> (KeptSwitches, Option<String>, bool) {
        let (left, config) = kept.put_before(file);
        let default = default_of(&config).map(str::to_owned);
        (left, default, config.upstreams[1].enabled)
    }

    #[test]
    fn they_hold_until_the_file_says_something_else() {
        let default = |name: &str| FileChange::DefaultUpstream(name.to_owned());
        let enabled = FileChange::UpstreamEnabled { name: "b".to_owned(), enabled: true };
        let file = || config("a", false);
        let kept = KeptSwitches::default().with(&default("b"), &file(), "read-only");
        let kept = kept.with(&enabled, &file(), "read-only");
        assert_eq!(in_force(&kept, file()), (kept.clone(), Some("b".to_owned()), true));
        let told = kept.default_by_command("b").unwrap();
        assert!(told.ends_with("it is a, and was not changed: read-only"), "{told}");
        // The file names none, or enables it itself: it is in force, and later nothing comes back.
        let (left, name, is_enabled) = in_force(&kept, config("", true));
        assert_eq!((left.default.as_ref(), left.enabled.len(), name, is_enabled), (None, 0, None, true));
        assert_eq!(in_force(&left, file()), (left.clone(), Some("a".to_owned()), false));
        // Back to what the file says: nothing is kept.
        let (_, config) = kept.put_before(file());
        assert_eq!(kept.with(&default("a"), &config, "").default, None);
        let off = FileChange::UpstreamEnabled { name: "b".to_owned(), enabled: false };
        assert!(!in_force(&kept.with(&off, &config, ""), file()).2);
    }
}
