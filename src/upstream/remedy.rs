//! Why a connection could not be made ready, and what a person does about it: apart from each other, for those who show both.
//!
//! What an upstream's refusal means stands in the [table of replies](super::replies). Of the other errors, those which know
//! what to do say it themselves, behind the last semicolon.

use super::dial_error::DialError;
use super::error::{ConnectCause, ConnectError, DialogueFault, LoginError, Stage};
use super::replies::row_for;

/// What may be wrong where something answers that is no mail server, or nothing at all.
const CHECK_PLACE: &str = "check host, port and security (587 is \"starttls\", 465 is \"tls\")";

impl ConnectError {
    /// What happened, for where the host and the step stand beside it.
    #[must_use]
    pub fn reason(&self) -> String {
        self.told().0
    }

    /// What a person does about it, where that is known.
    #[must_use]
    pub fn action(&self) -> Option<String> {
        self.told().1
    }

    fn told(&self) -> (String, Option<String>) {
        let text = self.cause.to_string();
        match &self.cause {
            ConnectCause::Refused(reply) => (text, Some(row_for(self.stage, reply).advice.to_owned())),
            ConnectCause::LoginRefused(refusal) => (refusal.told(), Some(refusal.advice.to_owned())),
            ConnectCause::Login(LoginError::NoToken(why) | LoginError::NotReplaced(why)) => {
                (why.reason.clone(), why.action.clone())
            }
            ConnectCause::Fault(fault) if !matches!(fault, DialogueFault::Tls(_)) => {
                (text, self.of_fault(fault).map(str::to_owned))
            }
            ConnectCause::Dial(DialError::Unreachable { tried, .. }) => {
                let reasons: Vec<&str> = tried.iter().map(|(_, reason)| reason.as_str()).collect();
                let advice = unreachable(&reasons);
                (text, Some(advice.to_owned()))
            }
            ConnectCause::Login(LoginError::NotOffered { .. }) => {
                (text, Some("set auth to one that it offers, or to \"auto\"".to_owned()))
            }
            ConnectCause::NoConnection(reason) => (text, Some(unreachable(&[reason]).to_owned())),
            ConnectCause::Injection => (text, Some("have the network on the way looked at".to_owned())),
            _ => match text.rsplit_once("; ") {
                Some((reason, action)) => (reason.to_owned(), Some(action.to_owned())),
                None => (text, None),
            },
        }
    }

    /// What may be wrong where the dialogue broke.
    fn of_fault(&self, fault: &DialogueFault) -> Option<&'static str> {
        match (self.stage, fault) {
            (Stage::Connect, _) => Some("see that no firewall on the way drops it; check host and port"),
            (
                Stage::Greeting,
                DialogueFault::Garbage(_) | DialogueFault::TimedOut(_) | DialogueFault::Unexpected(_),
            ) => Some(CHECK_PLACE),
            (Stage::Greeting, _) => Some(
                "the server hangs up before it greets: it may not take this machine's address, or not more connections",
            ),
            _ => None,
        }
    }
}

/// What may be wrong where each address fails like this.
fn unreachable(reasons: &[&str]) -> &'static str {
    let all = |part: &str| reasons.iter().all(|reason| reason.to_lowercase().contains(part));
    if all("refused") {
        "nothing takes connections there: check host and port, and whether the server runs"
    } else if all("no answer") || all("timed out") {
        "nothing comes back: see that no firewall on the way, or of the network's provider, blocks this port"
    } else {
        "check host and port, and this machine's network"
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::smtp::Reply;
    use crate::smtp::sasl::Mechanism;
    use crate::upstream::TlsError;

    fn error(stage: Stage, cause: ConnectCause) -> ConnectError {
        ConnectError { stage, host: "mx.example[192.0.2.1]:587".into(), cause }
    }

    fn refused(stage: Stage, code: u16, status: (u8, u16, u16), text: &str) -> ConnectError {
        error(stage, ConnectCause::Refused(Reply::new(code, status, text)))
    }

    #[test]
    fn what_happened_and_what_to_do_stand_apart() {
        let tried = |reasons: &[&str]| {
            let tried = reasons.iter().map(|&reason| ("192.0.2.1:25".parse().unwrap(), reason.to_owned()));
            DialError::Unreachable { host: "h".into(), tried: tried.collect() }
        };
        let disabled = "Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.";
        let offered = vec!["XOAUTH2".to_owned()];
        for (error, reason, action) in [
            (
                refused(Stage::Auth, 535, (5, 7, 139), disabled),
                format!("535 5.7.139 {disabled}"),
                "Set-CASMailbox -Identity MAILBOX -SmtpClientAuthenticationDisabled $false",
            ),
            (refused(Stage::Auth, 535, (5, 7, 8), "no"), "535 5.7.8 no".into(), "user and password"),
            (
                error(
                    Stage::Connect,
                    DialError::Unresolved { host: "h".into(), reason: "a; b".into() }.into(),
                ),
                "h can't be resolved: a; b".into(),
                "check host, or the machine's DNS",
            ),
            (
                error(Stage::Connect, tried(&["Connection refused"; 2]).into()),
                "connect to h at 192.0.2.1:25: Connection refused; 192.0.2.1:25: Connection refused".into(),
                "whether the server runs",
            ),
            (
                error(Stage::Connect, tried(&["no answer"]).into()),
                "connect to h at 192.0.2.1:25: no answer".into(),
                "firewall",
            ),
            (
                error(Stage::Connect, tried(&["no answer", "network is unreachable"]).into()),
                "connect to h at 192.0.2.1:25: no answer; 192.0.2.1:25: network is unreachable".into(),
                "this machine's network",
            ),
            (
                error(Stage::Tls, TlsError::UnknownIssuer.into()),
                "the upstream's certificate is not signed by an authority that is trusted here".into(),
                "set ca_file",
            ),
            (
                error(Stage::StartTls, ConnectCause::StartTlsNotOffered),
                "the upstream does not offer STARTTLS, and clear text is no substitute".into(),
                "check port (587)",
            ),
            (
                error(Stage::Auth, LoginError::NotOffered { wanted: Mechanism::Plain, offered }.into()),
                "the upstream does not offer AUTH PLAIN; it offers XOAUTH2".into(),
                "set auth",
            ),
            (
                error(Stage::Greeting, DialogueFault::TimedOut(Duration::from_secs(5)).into()),
                "no answer within 5s".into(),
                "587 is \"starttls\"",
            ),
            (
                error(Stage::Hello, DialogueFault::Closed.into()),
                "the upstream closed the connection".into(),
                "",
            ),
        ] {
            let found = error.action().unwrap_or_default();
            assert_eq!((error.reason(), found.is_empty()), (reason, action.is_empty()), "{error}: {found}");
            assert!(found.contains(action), "{error}: {found}");
        }
    }
}
