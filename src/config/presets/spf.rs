//! By which SPF record a provider's hosts may send (RFC 7208), as its documentation of 2026 has it.

use super::Preset;

/// What the SPF record of a sender's domain must have, so that the provider's hosts may send for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendingHosts {
    /// One of these, by `include:` or `redirect=`, the first being the one to write. The reverse-path is the sender's own.
    Included(&'static [&'static str]),
    /// None: the provider puts a reverse-path of its own, or of a subdomain that it looks after, in the place of the sender's.
    OfProvider,
    /// The provider documents none, or its senders are of its own domain.
    Unknown,
}

impl Preset {
    /// By which SPF record its hosts may send.
    #[must_use]
    pub fn sending_hosts(&self) -> SendingHosts {
        use SendingHosts::{Included, OfProvider, Unknown};
        match self.name {
            "office365" | "office365-graph" | "azure-communication" => {
                Included(&["spf.protection.outlook.com"])
            }
            "gmail" | "google-workspace" | "google-relay" => Included(&["_spf.google.com"]),
            "fastmail" => Included(&["spf.messagingengine.com"]),
            "icloud" => Included(&["icloud.com"]),
            "zoho" => {
                Included(&["zohomail.eu", "zohomail.com", "zohomail.in", "zoho.eu", "zoho.com", "zoho.in"])
            }
            "ionos" => Included(&[
                "_spf-eu.ionos.com",
                "_spf-us.ionos.com",
                "_spf.kundenserver.de",
                "_spf.perfora.net",
            ]),
            "strato" => Included(&["_spf.strato.com", "_spf.strato.de", "smtp.rzone.de"]),
            "ovh" => Included(&["mx.ovh.com"]),
            "infomaniak" => Included(&["spf.infomaniak.ch"]),
            "ses" | "sendgrid" | "mailgun" | "mailgun-eu" | "postmark" | "brevo" | "mailjet" | "smtp2go" => {
                OfProvider
            }
            _ => Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PRESETS;
    use crate::mail::to_ascii;

    #[test]
    fn all_that_is_included_is_a_name() {
        let mut known = 0;
        for preset in PRESETS {
            if let SendingHosts::Included(names) = preset.sending_hosts() {
                known += 1;
                for name in names {
                    assert_eq!(to_ascii(name).as_deref(), Some(*name), "{}", preset.name);
                }
            }
        }
        assert_eq!(known, 13);
    }
}
