//! A domain that mail is sent from, and the ways that its mail takes.

use crate::config::{PRESETS, Preset, SendingHosts, Upstream, UpstreamKind};
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
    /// An upstream; `None` for what stays on this machine. What a preset says holds only for the provider's own host.
    #[must_use]
    pub fn of(upstream: &Upstream) -> Option<Self> {
        let (preset, host) = match &upstream.kind {
            UpstreamKind::Smtp(smtp) => (smtp.preset, smtp.bare_host()),
            UpstreamKind::Graph(graph) => (graph.preset, graph.host()),
            UpstreamKind::Capture(_) => return None,
        };
        let preset = PRESETS
            .iter()
            .filter(|known| preset == Some(known.name))
            .find(|known| known.host.is_none_or(|own| own == host));
        Some(Self {
            name: upstream.name.clone(),
            hosts: preset.map_or(SendingHosts::Unknown, Preset::sending_hosts),
            preset: preset.map(|preset| preset.name),
            sign: upstream.sign,
        })
    }
}

impl SenderDomain {
    /// Whether some mail of it goes out without a signature of ours, so that only the provider may sign it.
    #[must_use]
    pub fn leaves_signing_to_others(&self) -> bool {
        self.signed_by.is_empty() || self.upstreams.iter().any(|via| !via.sign)
    }
}
