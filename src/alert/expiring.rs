//! When to tell of what ends: sign-ins, what they prove themselves with, certificates.

use jiff::Timestamp;

use super::trouble::{AlertCause, StandingTrouble, TroubleKey};
use crate::expiry::{Expiry, ExpiryVerdict};

/// The trouble that something is which ends, unless there is time.
pub(super) fn trouble(ends: &Expiry, now: Timestamp) -> Option<StandingTrouble> {
    let text = match ends.verdict(now) {
        ExpiryVerdict::Over(text) | ExpiryVerdict::Soon(text) => text,
        ExpiryVerdict::Later(_) => return None,
    };
    let upstream = ends.upstream.as_deref().unwrap_or_default();
    Some(StandingTrouble {
        key: TroubleKey::of_upstream(AlertCause::Expiring, upstream)
            .about(format!("{} {}", ends.subject, ends.what)),
        text: format!("{}: {text}", ends.subject),
        action: ends.action.clone(),
        step: ends.validity.step(now),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;
    use crate::expiry::expiries;

    #[test]
    fn a_sign_in_and_its_secret_have_theirs() {
        let text = "[[oauth]]\nname = \"m365\"\nprovider = \"microsoft\"\ntenant = \"firm.onmicrosoft.com\"\nclient_id = \"c\"\n\
            flow = \"client_credentials\"\nclient_secret = \"hush\"\nsecret_expires = \"2027-03-01\"\n\
            [[upstream]]\nname = \"up\"\nhost = \"h\"\nuser = \"a@firm.example\"\noauth = \"m365\"\n";
        let config = Config::from_toml(text, Path::new("/")).unwrap().config;
        let renewed: Timestamp = "2026-11-26T00:00:00Z".parse().unwrap();
        let found = expiries(&config, |name| (name == "m365").then_some(renewed));
        let shown: Vec<String> = found
            .iter()
            .map(|one| format!("{}: {} {:.10}", one.subject, one.what, one.validity.until))
            .collect();
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
            assert_eq!(trouble(secret, at(now)).map(|one| one.step.unwrap()), want, "{now}");
        }
        let told = trouble(secret, at("2027-02-20T00:00:00Z")).unwrap();
        assert_eq!(told.text, "oauth m365: the client secret ends on 2027-03-01");
        assert!(told.action.contains("client secret"));
    }
}
