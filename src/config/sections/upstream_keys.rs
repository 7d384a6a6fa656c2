//! Which keys of `[[upstream]]` belong to which kind.

use crate::config::reader::Section;

/// What `kind` says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum KindName {
    Smtp,
    Graph,
    Capture,
}

use KindName::{Capture, Graph, Smtp};

/// The keys that not every kind has, and those that have them.
const KEYS: [(&str, &[KindName]); 25] = [
    ("preset", &[Smtp, Graph]),
    ("host", &[Smtp]),
    ("port", &[Smtp]),
    ("security", &[Smtp]),
    ("ca_file", &[Smtp]),
    ("client_certificate", &[Smtp]),
    ("client_key", &[Smtp]),
    ("tls_name", &[Smtp]),
    ("pin", &[Smtp]),
    ("ehlo", &[Smtp]),
    ("encode", &[Smtp]),
    ("source_address", &[Smtp]),
    ("proxy", &[Smtp, Graph]),
    ("auth", &[Smtp]),
    ("allow_plaintext_auth", &[Smtp]),
    ("user", &[Smtp]),
    ("password", &[Smtp]),
    ("oauth", &[Smtp, Graph]),
    ("account", &[Smtp]),
    ("disable_after", &[Smtp, Graph]),
    ("timeouts", &[Smtp, Graph]),
    ("sent_copy", &[Smtp]),
    ("mailbox", &[Graph]),
    ("base_url", &[Graph]),
    ("large", &[Graph]),
];

/// Faults for the keys that this kind does not have.
pub(super) fn refuse_others(section: &mut Section<'_>, kind: KindName) {
    for (key, _) in KEYS.iter().filter(|(_, kinds)| !kinds.contains(&kind)) {
        if section.node(key).is_some() {
            let what = format!("has no meaning for kind = {:?}", kind.word());
            section.fault(&section.place_of(key), key, &what, kind.instead_of(key));
        }
    }
}

impl KindName {
    /// As the file has it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Smtp => "smtp",
            Graph => "graph",
            Capture => "capture",
        }
    }

    fn instead_of(self, key: &str) -> &'static str {
        match (self, key) {
            (Graph, "user") => r#"write mailbox = "office@firm.example""#,
            (Graph, "password") => "write oauth: Microsoft Graph takes tokens alone",
            (Graph, "host" | "port") => "remove it, or write base_url",
            (Graph, "encode") => "remove it: text always goes as base64",
            (Graph, "account") => "write another [[upstream]] for each mailbox",
            (Smtp, "mailbox" | "base_url" | "large") => r#"remove it, or write kind = "graph""#,
            _ => "remove it",
        }
    }
}
