//! A domain that mail is sent from, and the ways that its mail takes.

use crate::config::{PRESETS, Preset, SendingHosts, Smtp};
use crate::dns::DnsName;

/// A domain that mail is sent from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderDomain {
    /// The domain.
    pub name: DnsName,
    /// The upstreams by which its mail may go.
    pub upstreams: Vec<Via>,
    /// The domains in whose name its mail is signed here.
    pub signed_by: Vec<DnsName>,
}

/// An upstream by which mail goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via {
    /// Its name.
    pub name: String,
    /// What is known of the hosts that send for it.
    pub hosts: SendingHosts,
    /// The preset that says so, if any does.
    pub preset: Option<&'static str>,
    /// Whether we sign for it; else it signs by itself, if anybody does.
    pub sign: bool,
}

impl Via {
    /// A smart host. What a preset says holds only for the provider's own host.
    #[must_use]
    pub fn of(name: &str, smtp: &Smtp, sign: bool) -> Self {
        let preset = PRESETS
            .iter()
            .filter(|preset| smtp.preset == Some(preset.name))
            .find(|preset| preset.host.is_none_or(|host| host == smtp.bare_host()));
        Self {
            name: name.to_owned(),
            hosts: preset.map_or(SendingHosts::Unknown, Preset::sending_hosts),
            preset: preset.map(|preset| preset.name),
            sign,
        }
    }
}

impl SenderDomain {
    /// Whether some mail of it goes out without a signature of ours, so that only the provider may sign it.
    #[must_use]
    pub fn leaves_signing_to_others(&self) -> bool {
        self.signed_by.is_empty() || self.upstreams.iter().any(|via| !via.sign)
    }
}
