//! What ends at a known time: sign-ins, secrets, certificates. Each with what a person does before, for whoever tells it:
//! `doctor`, metrics, alerts.

use jiff::Timestamp;

use crate::config::{Config, ExpiryKind, Identity, UpstreamKind};
use crate::oauth::sign_in_deadlines;
use crate::time::Validity;

/// Something that ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    /// What kind of thing it is.
    pub kind: ExpiryKind,
    /// Whose: `oauth m365`, `listener 127.0.0.1:2525`.
    pub subject: String,
    /// What, in words: `client certificate`.
    pub what: &'static str,
    /// The upstream whose it is, if it is one's.
    pub upstream: Option<String>,
    /// How long it holds.
    pub validity: Validity,
    /// What to do before.
    pub action: String,
}

/// How it stands with something that ends, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpiryVerdict {
    /// It has ended.
    Over(String),
    /// It ends soon ([`Validity::step`]).
    Soon(String),
    /// There is time.
    Later(String),
}

impl Expiry {
    /// What it means at a time, in words: that it ends, has ended, or holds.
    #[must_use]
    pub fn verdict(&self, now: Timestamp) -> ExpiryVerdict {
        let Self { what, validity, .. } = self;
        let day = validity.until.strftime("%Y-%m-%d");
        match validity.step(now) {
            Some(0) => ExpiryVerdict::Over(format!("the {what} has ended on {day}")),
            Some(_) => ExpiryVerdict::Soon(format!("the {what} ends on {day}")),
            None => ExpiryVerdict::Later(format!("the {what} holds until {day}")),
        }
    }
}

/// All that a configuration has of it; `renewed` tells when the provider last gave something for the sign-in of a name.
#[must_use]
pub fn expiries(config: &Config, renewed: impl Fn(&str) -> Option<Timestamp>) -> Vec<Expiry> {
    let mut all = Vec::new();
    for sign_in in &config.sign_ins {
        let ends = sign_in_deadlines(sign_in, renewed(&sign_in.name)).into_iter();
        all.extend(ends.map(|ends| Expiry {
            kind: ends.kind,
            subject: format!("oauth {}", sign_in.name),
            what: ends.what,
            upstream: None,
            validity: ends.validity,
            action: ends.action,
        }));
    }
    let mut certificate =
        |subject: String, what: &'static str, upstream: Option<&str>, validity: Option<Validity>| {
            let action = format!("renew it, and reload: the files of {subject} are read again then");
            let (kind, upstream) = (ExpiryKind::Certificate, upstream.map(str::to_owned));
            all.extend(validity.map(|validity| Expiry { kind, subject, what, upstream, validity, action }));
        };
    for listener in &config.listeners {
        let validity = listener.tls.as_ref().and_then(|tls| tls.identity.validity());
        certificate(format!("listener {}", listener.address), "certificate", None, validity);
    }
    for entry in &config.smime {
        certificate(format!("smime {}", entry.address), "certificate", None, entry.identity.validity());
    }
    for upstream in &config.upstreams {
        if let UpstreamKind::Smtp(smtp) = &upstream.kind {
            let validity = smtp.tls.identity.as_ref().and_then(Identity::validity);
            certificate(
                format!("upstream {}", upstream.name),
                "client certificate",
                Some(&upstream.name),
                validity,
            );
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test writes plain files")]
    fn all_that_ends_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["relay.example".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::Rfc822Name("a@firm.example".try_into().unwrap()));
        params.not_after = rcgen::date_time_ymd(2199, 6, 30);
        std::fs::write(folder.path().join("a.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(folder.path().join("a.key"), key.serialize_pem()).unwrap();
        let text = "[[listener]]\ntls = \"starttls\"\ncertificate = \"a.pem\"\nkey = \"a.key\"\n[[upstream]]\nname = \"up\"\n\
            host = \"smtp.firm.example\"\nclient_certificate = \"a.pem\"\nclient_key = \"a.key\"\n\
            [[smime]]\naddress = \"a@firm.example\"\ncertificate = \"a.pem\"\nkey = { file = \"a.key\" }\n\
            [[oauth]]\nname = \"m365\"\nprovider = \"microsoft\"\ntenant = \"firm.example\"\nflow = \"client_credentials\"\n\
            client_id = \"c\"\nclient_secret = \"s\"\nsecret_expires = \"2199-06-30\"\n\
            [[oauth]]\nname = \"person\"\nprovider = \"microsoft\"\ntenant = \"firm.example\"\nflow = \"device_code\"\n\
            client_id = \"c\"\n";
        let config = Config::from_toml(text, folder.path()).unwrap().config;
        let renewed: Timestamp = "2199-04-01T00:00:00Z".parse().unwrap();
        let found = expiries(&config, |name| (name == "person").then_some(renewed));
        assert_eq!(found.last().unwrap().upstream.as_deref(), Some("up"));
        let found: Vec<_> = found
            .iter()
            .map(|ends| (ends.kind, &*ends.subject, ends.what, ends.validity.until.to_string()))
            .collect();
        let day = "2199-06-30T00:00:00Z".to_owned();
        let want = [
            (ExpiryKind::Secret, "oauth m365", "client secret"),
            (ExpiryKind::Token, "oauth person", "sign-in"),
            (ExpiryKind::Certificate, "listener 127.0.0.1:2525", "certificate"),
            (ExpiryKind::Certificate, "smime a@firm.example", "certificate"),
            (ExpiryKind::Certificate, "upstream up", "client certificate"),
        ];
        assert_eq!(found, want.map(|(kind, subject, what)| (kind, subject, what, day.clone())));
    }
}
