//! Providers whose host, port, security and published limits are known. Keys in the file go before them.
//!
//! Sources: the providers' documentation and Thunderbird's provider data base, as of 2026. A provider that publishes
//! no limit has none here.

mod spf;

use std::time::Duration;

pub use spf::SendingHosts;

use super::{ByteSize, Limits, Quota, Security, SignInProvider, TextEncoding, Window};

/// What is known about one provider.
pub struct Preset {
    /// Its name in the configuration.
    pub name: &'static str,
    /// `None` when the provider has one host per region.
    pub host: Option<&'static str>,
    /// What to write as host when there is one per region.
    pub hosts: &'static str,
    /// TCP port.
    pub port: u16,
    /// What it is reached by.
    pub kind: PresetKind,
    known: Known,
}

/// What a provider of a preset is reached by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresetKind {
    /// SMTP.
    Smtp,
    /// Microsoft Graph.
    Graph,
}

/// Published limits; 0 is none.
struct Known {
    connections: u32,
    /// In the order of the windows: minute, hour, day, week.
    messages: [u32; 4],
    recipients: [u32; 4],
    recipients_per_message: u32,
    /// The largest content.
    octets: u64,
    /// Octets of contents in any five minutes.
    octets_in_5_minutes: u64,
    /// Whether it takes clients by their address, without a login.
    by_address: bool,
}

const UNKNOWN: Known = Known {
    connections: 0,
    messages: [0; 4],
    recipients: [0; 4],
    recipients_per_message: 0,
    octets: 0,
    octets_in_5_minutes: 0,
    by_address: false,
};

const fn unlimited(name: &'static str, host: &'static str, port: u16) -> Preset {
    limited(name, host, port, UNKNOWN)
}

const fn limited(name: &'static str, host: &'static str, port: u16, known: Known) -> Preset {
    Preset { name, host: Some(host), hosts: "", port, kind: PresetKind::Smtp, known }
}

/// All presets.
#[rustfmt::skip]
pub const PRESETS: &[Preset] = &[
    limited("office365", "smtp.office365.com", 587, Known {
        connections: 3, messages: [30, 0, 0, 0], recipients: [0, 0, 10_000, 0], recipients_per_message: 500, octets: 35 << 20,
        ..UNKNOWN
    }),
    Preset {
        name: "office365-graph", host: Some("graph.microsoft.com"), hosts: "", port: 443, kind: PresetKind::Graph,
        known: Known {
            connections: 4, messages: [30, 0, 0, 0], recipients: [0, 0, 10_000, 0], recipients_per_message: 500,
            // A request takes 4 MB, and base64 makes 4 octets of 3.
            octets: 3_000_000,
            // 150 MB of requests. A text may grow by a third before it is put into one.
            octets_in_5_minutes: 75 << 20,
            ..UNKNOWN
        },
    },
    limited("office365-hve", "smtp.hve.mx.microsoft", 587, Known { recipients_per_message: 50, octets: 10 << 20, ..UNKNOWN }),
    limited("azure-communication", "smtp.azurecomm.net", 587, Known {
        messages: [30, 100, 0, 0], recipients_per_message: 50, octets: 10 << 20, ..UNKNOWN
    }),
    limited("gmail", "smtp.gmail.com", 465, Known { messages: [0, 0, 500, 0], recipients_per_message: 100, ..UNKNOWN }),
    limited("google-workspace", "smtp.gmail.com", 465, Known {
        messages: [0, 0, 2_000, 0], recipients: [0, 0, 10_000, 0], recipients_per_message: 100, ..UNKNOWN
    }),
    limited("google-relay", "smtp-relay.gmail.com", 465, Known {
        messages: [0, 0, 10_000, 0], recipients: [0, 0, 10_000, 0], recipients_per_message: 100, by_address: true,
        ..UNKNOWN
    }),
    Preset {
        name: "ses", host: None, hosts: "\"email-smtp.REGION.amazonaws.com\" with your region", port: 465, kind: PresetKind::Smtp,
        known: Known { recipients_per_message: 50, octets: 40 << 20, ..UNKNOWN },
    },
    unlimited("sendgrid", "smtp.sendgrid.net", 587),
    unlimited("mailgun", "smtp.mailgun.org", 587),
    unlimited("mailgun-eu", "smtp.eu.mailgun.org", 587),
    limited("postmark", "smtp.postmarkapp.com", 587, Known { recipients_per_message: 50, octets: 10 << 20, ..UNKNOWN }),
    unlimited("brevo", "smtp-relay.brevo.com", 587),
    unlimited("mailjet", "in-v3.mailjet.com", 465),
    limited("smtp2go", "mail.smtp2go.com", 2525, Known { by_address: true, ..UNKNOWN }),
    unlimited("fastmail", "smtp.fastmail.com", 465),
    limited("icloud", "smtp.mail.me.com", 587, Known {
        messages: [0, 0, 1_000, 0], recipients: [0, 0, 1_000, 0], recipients_per_message: 500, octets: 20 << 20, ..UNKNOWN
    }),
    limited("yahoo", "smtp.mail.yahoo.com", 465, Known { messages: [0, 0, 500, 0], recipients_per_message: 100, ..UNKNOWN }),
    Preset {
        name: "zoho", host: None, hosts: r#""smtp.zoho.eu", "smtp.zoho.com" or "smtp.zoho.in""#, port: 465, kind: PresetKind::Smtp,
        known: UNKNOWN,
    },
    unlimited("gmx", "mail.gmx.net", 465),
    unlimited("webde", "smtp.web.de", 465),
    unlimited("ionos", "smtp.ionos.de", 465),
    unlimited("strato", "smtp.strato.de", 465),
    unlimited("t-online", "securesmtp.t-online.de", 465),
    unlimited("hetzner", "mail.your-server.de", 465),
    unlimited("ovh", "ssl0.ovh.net", 465),
    limited("infomaniak", "mail.infomaniak.com", 587, Known {
        recipients: [0, 0, 1_440, 0], recipients_per_message: 100, ..UNKNOWN
    }),
    unlimited("bluewin", "smtpauths.bluewin.ch", 465),
    unlimited("a1", "securemail.a1.net", 587),
    unlimited("orange-fr", "smtp.orange.fr", 465),
    limited("free-fr", "smtp.free.fr", 465, Known { by_address: true, ..UNKNOWN }),
];

/// The preset of that name.
pub(super) fn find(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

/// What an upstream port speaks unless the file says otherwise: 465 is TLS from the first byte (RFC 8314 3.3).
pub(super) fn security_of(port: u16) -> Security {
    if port == 465 { Security::Tls } else { Security::StartTls }
}

impl Preset {
    /// How its port is secured.
    #[must_use]
    pub fn security(&self) -> Security {
        match self.kind {
            PresetKind::Smtp => security_of(self.port),
            PresetKind::Graph => Security::Tls,
        }
    }

    /// How text must go to it. smtp.office365.com damages parts of 8 bits.
    #[must_use]
    pub fn text_encoding(&self) -> TextEncoding {
        if self.host == Some("smtp.office365.com") { TextEncoding::Base64 } else { TextEncoding::Unchanged }
    }

    /// Whether it takes mail of those alone who log in.
    pub(super) fn needs_login(&self) -> bool {
        !self.known.by_address
    }

    /// Whether it puts what it takes by SMTP into the account's Sent folder.
    #[must_use]
    pub fn keeps_copies(&self) -> bool {
        matches!(self.name, "office365" | "gmail" | "google-workspace")
    }

    /// Whose sign-in (`[[oauth]]`) its accounts can use; `None` where there are passwords only.
    #[must_use]
    pub fn sign_in_provider(&self) -> Option<SignInProvider> {
        match self.name {
            "office365" | "office365-graph" | "office365-hve" => Some(SignInProvider::Microsoft),
            "gmail" | "google-workspace" => Some(SignInProvider::Google),
            _ => None,
        }
    }

    /// The provider's limits, on top of our own defaults.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let some = |number: u32| (number > 0).then_some(number);
        let quota = |(place, window): (usize, Window)| {
            let (messages, recipients) = (self.known.messages[place], self.known.recipients[place]);
            (window, Quota { messages: some(messages), recipients: some(recipients), octets: None })
        };
        let of_octets = (self.known.octets_in_5_minutes > 0).then_some(self.known.octets_in_5_minutes);
        let of_octets = Window::of(Duration::from_mins(5))
            .map(|window| (window, Quota { octets: of_octets, ..Quota::default() }));
        let ours = Limits::default();
        Limits {
            connections: some(self.known.connections).unwrap_or(ours.connections),
            quotas: Window::NAMED.into_iter().enumerate().map(quota).chain(of_octets).collect(),
            recipients_per_message: some(self.known.recipients_per_message)
                .unwrap_or(ours.recipients_per_message),
            message_size: (self.known.octets > 0).then_some(ByteSize(self.known.octets)),
            ..ours
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::mail::Address;

    #[test]
    fn each_has_a_name_of_its_own_and_a_host() {
        let names: HashSet<_> = PRESETS.iter().map(|preset| preset.name).collect();
        assert_eq!(names.len(), PRESETS.len());
        assert_eq!(PRESETS.len(), 31);
        for preset in PRESETS {
            match preset.host {
                Some(host) => assert!(Address::parse(&format!("a@{host}")).is_ok(), "{host}"),
                None => assert!(!preset.hosts.is_empty(), "{}", preset.name),
            }
            let ports: &[u16] = if preset.kind == PresetKind::Graph { &[443] } else { &[465, 587, 2525] };
            assert!(ports.contains(&preset.port), "{}", preset.name);
            let limits = preset.limits();
            assert!(limits.connections >= 1 && limits.recipients_per_message >= 1);
        }
    }

    #[test]
    fn knows_office_365() {
        let limits = find("office365").unwrap().limits();
        assert_eq!(limits.connections, 3);
        assert_eq!(limits.quota(Window::MINUTE), Quota { messages: Some(30), ..Quota::default() });
        assert_eq!(limits.quota(Window::HOUR), Quota::default());
        assert_eq!(limits.quota(Window::DAY), Quota { recipients: Some(10_000), ..Quota::default() });
        assert_eq!((limits.recipients_per_message, limits.message_size), (500, Some(ByteSize(35 << 20))));
        assert!(find("Office365").is_none());
        let graph = find("office365-graph").unwrap();
        assert_eq!((graph.kind, graph.security()), (PresetKind::Graph, Security::Tls));
        assert_eq!(find("office365").unwrap().text_encoding(), TextEncoding::Base64);
        assert_eq!(find("gmail").unwrap().text_encoding(), TextEncoding::Unchanged);
        let (limits, smtp) = (graph.limits(), limits);
        for (window, quota) in smtp.quotas.iter() {
            assert_eq!(limits.quota(window), quota);
        }
        let octets = Window::from_name("5m").map(|window| limits.quota(window).octets);
        assert_eq!((octets, limits.connections), (Some(Some(75 << 20)), 4));
        assert_eq!(limits.message_size, Some(ByteSize(3_000_000)));
    }
}
