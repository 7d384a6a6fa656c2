//! What of a configuration ends: sign-ins, what they prove themselves with, certificates; and when to say so.

use std::time::Duration;

use jiff::Timestamp;

use super::trouble::{AlertCause, StandingTrouble, TroubleKey};
use crate::config::{Config, Identity, UpstreamKind};
use crate::oauth::sign_in_deadlines;

/// How long before an end it is said.
pub(super) const SOON: Duration = Duration::from_hours(30 * 24);
/// Days before an end at which it is said again.
const DAYS: [i64; 4] = [1, 3, 14, 30];
const DAY: i64 = 24 * 3600;

/// Something that ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadline {
    /// Of whom: `oauth m365`, `listener 127.0.0.1:2525`.
    pub subject: String,
    /// What: `certificate`.
    pub what: String,
    /// The upstream whose it is, if it is one's.
    pub upstream: Option<String>,
    /// When.
    pub at: Timestamp,
    /// What to do before.
    pub action: String,
}

impl Deadline {
    /// What it means at a time, in words: that it ends, has ended, or holds.
    #[must_use]
    pub fn verdict(&self, now: Timestamp) -> DeadlineVerdict {
        let Self { what, at, .. } = self;
        let day = at.strftime("%Y-%m-%d");
        if *at <= now {
            DeadlineVerdict::Over(format!("the {what} has ended on {day}"))
        } else if at.duration_since(now).unsigned_abs() <= SOON {
            DeadlineVerdict::Soon(format!("the {what} ends on {day}"))
        } else {
            DeadlineVerdict::Later(format!("the {what} holds until {day}"))
        }
    }

    /// The trouble that it is, unless there is time.
    pub(super) fn trouble(&self, now: Timestamp) -> Option<StandingTrouble> {
        let text = match self.verdict(now) {
            DeadlineVerdict::Over(text) | DeadlineVerdict::Soon(text) => text,
            DeadlineVerdict::Later(_) => return None,
        };
        let left = self.at.as_second() - now.as_second();
        let step = if left <= 0 { Some(0) } else { DAYS.into_iter().find(|days| left <= days * DAY) };
        let upstream = self.upstream.as_deref().unwrap_or_default();
        Some(StandingTrouble {
            key: TroubleKey::of_upstream(AlertCause::Expiring, upstream)
                .about(format!("{} {}", self.subject, self.what)),
            text: format!("{}: {text}", self.subject),
            action: self.action.clone(),
            step,
        })
    }
}

/// How it stands with something that ends, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeadlineVerdict {
    /// It has ended.
    Over(String),
    /// It ends within [`SOON`].
    Soon(String),
    /// There is time.
    Later(String),
}

/// All that ends of a configuration. `renewed` knows when the provider last gave something for a sign-in.
pub fn deadlines(config: &Config, renewed: impl Fn(&str) -> Option<Timestamp>) -> Vec<Deadline> {
    let mut all = Vec::new();
    for sign_in in &config.sign_ins {
        let subject = format!("oauth {}", sign_in.name);
        all.extend(sign_in_deadlines(sign_in, renewed(&sign_in.name)).into_iter().map(|ends| Deadline {
            subject: subject.clone(),
            what: ends.what.to_owned(),
            upstream: None,
            at: ends.at,
            action: ends.action,
        }));
    }
    let mut certificate = |subject: String, what: &str, upstream: Option<&str>, at: Option<Timestamp>| {
        let action = format!("renew it, and reload: the files of {subject} are read again then");
        let upstream = upstream.map(str::to_owned);
        all.extend(at.map(|at| Deadline { subject, what: what.to_owned(), upstream, at, action }));
    };
    for listener in &config.listeners {
        let at = listener.tls.as_ref().and_then(|tls| tls.identity.expires());
        certificate(format!("listener {}", listener.address), "certificate", None, at);
    }
    for entry in &config.smime {
        certificate(format!("smime {}", entry.address), "certificate", None, entry.identity.expires());
    }
    for upstream in &config.upstreams {
        if let UpstreamKind::Smtp(smtp) = &upstream.kind {
            let at = smtp.tls.identity.as_ref().and_then(Identity::expires);
            let name = Some(upstream.name.as_str());
            certificate(format!("upstream {}", upstream.name), "client certificate", name, at);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test writes plain files")]
    fn every_certificate_has_its_deadline() {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["relay.example".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::Rfc822Name("a@firm.example".try_into().unwrap()));
        params.not_after = rcgen::date_time_ymd(2199, 6, 30);
        std::fs::write(folder.path().join("a.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(folder.path().join("a.key"), key.serialize_pem()).unwrap();
        let text = "[[listener]]\ntls = \"starttls\"\ncertificate = \"a.pem\"\nkey = \"a.key\"\n[[upstream]]\nname = \"up\"\n\
            host = \"smtp.firm.example\"\nclient_certificate = \"a.pem\"\nclient_key = \"a.key\"\n\
            [[smime]]\naddress = \"a@firm.example\"\ncertificate = \"a.pem\"\nkey = { file = \"a.key\" }\n";
        let config = Config::from_toml(text, folder.path()).unwrap().config;
        let found = deadlines(&config, |_| None);
        let subjects: Vec<&str> = found.iter().map(|deadline| deadline.subject.as_str()).collect();
        assert_eq!(subjects, ["listener 127.0.0.1:2525", "smime a@firm.example", "upstream up"]);
        assert!(found.iter().all(|deadline| deadline.at.to_string().starts_with("2199-06-30")));
        assert_eq!(found[2].upstream.as_deref(), Some("up"));
    }

    #[test]
    fn a_sign_in_and_its_secret_have_theirs() {
        let text = "[[oauth]]\nname = \"m365\"\nprovider = \"microsoft\"\ntenant = \"firm.onmicrosoft.com\"\nclient_id = \"c\"\n\
            flow = \"client_credentials\"\nclient_secret = \"hush\"\nsecret_expires = \"2027-03-01\"\n\
            [[upstream]]\nname = \"up\"\nhost = \"h\"\nuser = \"a@firm.example\"\noauth = \"m365\"\n";
        let config = Config::from_toml(text, Path::new("/")).unwrap().config;
        let renewed: Timestamp = "2026-11-26T00:00:00Z".parse().unwrap();
        let found = deadlines(&config, |name| (name == "m365").then_some(renewed));
        let shown: Vec<String> =
            found.iter().map(|one| format!("{}: {} {:.10}", one.subject, one.what, one.at)).collect();
        assert_eq!(shown.len(), 2, "{shown:?}");
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let secret = found.iter().find(|one| one.what == "client secret").unwrap();
        for (now, want) in [
            ("2027-01-20T00:00:00Z", None),
            ("2027-01-30T00:00:00Z", Some(30)),
            ("2027-02-20T00:00:00Z", Some(14)),
            ("2027-02-28T12:00:00Z", Some(1)),
            ("2027-03-05T00:00:00Z", Some(0)),
        ] {
            assert_eq!(secret.trouble(at(now)).map(|one| one.step.unwrap()), want, "{now}");
        }
        let trouble = secret.trouble(at("2027-02-20T00:00:00Z")).unwrap();
        assert_eq!(trouble.text, "oauth m365: the client secret ends on 2027-03-01");
        assert!(trouble.action.contains("client secret"));
    }
}
