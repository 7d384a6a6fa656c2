//! What labels are made of: closed sets of words, and names of the configuration.

/// By whom something was tried: an upstream, and a login of it. Both are names of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountedLogin<'a> {
    /// The upstream; empty where there is none.
    pub upstream: &'a str,
    /// The account; empty where there is none, or nobody logs in.
    pub account: &'a str,
}

impl<'a> CountedLogin<'a> {
    /// Of no upstream.
    pub const NONE: Self = Self { upstream: "", account: "" };

    /// Of an upstream, and of none of its accounts in particular.
    #[must_use]
    pub fn of_upstream(upstream: &'a str) -> Self {
        Self { upstream, account: "" }
    }
}

/// What became of a recipient, as it is counted and logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CountedOutcome {
    /// Taken from a client.
    Accepted,
    /// Made by ourselves: a report, or a copy that a rule adds.
    Generated,
    /// Refused while the client waited; a message that is refused as a whole is one.
    Rejected,
    /// The upstream has taken it.
    Sent,
    /// It waits for another attempt.
    Deferred,
    /// Refused for good.
    Bounced,
    /// Given up after `expire_after`.
    Expired,
    /// Dropped by the blacklist.
    Dropped,
    /// In the local mailbox.
    Captured,
    /// Deleted by a person.
    Deleted,
}

impl CountedOutcome {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Accepted,
        Self::Generated,
        Self::Rejected,
        Self::Sent,
        Self::Deferred,
        Self::Bounced,
        Self::Expired,
        Self::Dropped,
        Self::Captured,
        Self::Deleted,
    ];

    /// The name as a label, and in the log where it is an event of its own.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Generated => "generated",
            Self::Rejected => "rejected",
            Self::Sent => "sent",
            Self::Deferred => "deferred",
            Self::Bounced => "bounced",
            Self::Expired => "expired",
            Self::Dropped => "dropped",
            Self::Captured => "captured",
            Self::Deleted => "deleted",
        }
    }

    /// Whether it is shown of a login before there is one, so that the first one is seen as a change.
    pub(super) fn is_shown_at_once(self, login: CountedLogin<'_>) -> bool {
        match self {
            Self::Sent | Self::Deferred | Self::Bounced => !login.upstream.is_empty(),
            Self::Accepted | Self::Expired => !login.upstream.is_empty() && login.account.is_empty(),
            Self::Rejected => login.upstream.is_empty(),
            Self::Generated | Self::Dropped | Self::Captured | Self::Deleted => false,
        }
    }
}

/// Why a recipient was deferred, has bounced or expired: the subject of the upstream's enhanced status code (RFC 3463 3), or why
/// there is none. A reply's own words are never a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// No reply about the mail: the upstream was not reached, has refused the login, or the line broke.
    Connection,
    /// A reply that names no subject (X.0.Z), or that has no enhanced status code.
    Other,
    /// The address (X.1.Z).
    Address,
    /// The mailbox: it is full, or takes nothing so large (X.2.Z).
    Mailbox,
    /// The mail system (X.3.Z).
    System,
    /// The network and routing (X.4.Z).
    Network,
    /// The dialogue (X.5.Z).
    Protocol,
    /// The content (X.6.Z).
    Content,
    /// Security and policy: logins, senders, spam, limits of many providers (X.7.Z).
    Policy,
}

impl FailureClass {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Connection,
        Self::Other,
        Self::Address,
        Self::Mailbox,
        Self::System,
        Self::Network,
        Self::Protocol,
        Self::Content,
        Self::Policy,
    ];

    /// Of what was said of a failure: a reply as the log shows it, or words of ours.
    #[must_use]
    pub fn of(reply: &str) -> Self {
        let mut words = reply.split_ascii_whitespace();
        let is_code = |word: &str| word.len() == 3 && word.bytes().all(|octet| octet.is_ascii_digit());
        if !words.next().is_some_and(is_code) {
            return Self::Connection;
        }
        let mut parts = words.next().unwrap_or_default().split('.');
        let (Some("2" | "4" | "5"), Some(subject), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Self::Other;
        };
        match subject {
            "1" => Self::Address,
            "2" => Self::Mailbox,
            "3" => Self::System,
            "4" => Self::Network,
            "5" => Self::Protocol,
            "6" => Self::Content,
            "7" => Self::Policy,
            _ => Self::Other,
        }
    }

    /// The name as a label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Other => "other",
            Self::Address => "address",
            Self::Mailbox => "mailbox",
            Self::System => "system",
            Self::Network => "network",
            Self::Protocol => "protocol",
            Self::Content => "content",
            Self::Policy => "policy",
        }
    }
}

/// A part of a message's way that is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimedPhase {
    /// From the acceptance to the first attempt.
    Queue,
    /// A connection is made ready: name, TCP, TLS, greeting, login.
    Connect,
    /// A transaction, up to the upstream's last reply.
    Transaction,
}

impl TimedPhase {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Queue, Self::Connect, Self::Transaction];

    /// The name as a label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Connect => "connect",
            Self::Transaction => "transaction",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stands_at_its_place() {
        assert!(CountedOutcome::ALL.iter().enumerate().all(|(place, outcome)| *outcome as usize == place));
        assert!(FailureClass::ALL.iter().enumerate().all(|(place, class)| *class as usize == place));
        assert!(TimedPhase::ALL.iter().enumerate().all(|(place, phase)| *phase as usize == place));
    }

    #[test]
    fn replies_have_a_class() {
        for (reply, want) in [
            ("550 5.1.1 no such user", FailureClass::Address),
            ("452 4.2.2 mailbox full", FailureClass::Mailbox),
            ("451 4.3.0 damaged", FailureClass::System),
            ("450 4.4.7 not reached in time", FailureClass::Network),
            ("503 5.5.1 order", FailureClass::Protocol),
            ("554 5.6.0 bad", FailureClass::Content),
            ("550 5.7.1 [192.0.2.1] refused", FailureClass::Policy),
            ("451 4.7.500 busy (possible duplicate)", FailureClass::Policy),
            ("550 5.0.0 x", FailureClass::Other),
            ("550 5.9.1 x", FailureClass::Other),
            ("550 no such user", FailureClass::Other),
            ("550 5.1.1.1 x", FailureClass::Other),
            ("550", FailureClass::Other),
            ("connection refused", FailureClass::Connection),
            ("broken off: the relay was stopped", FailureClass::Connection),
            ("", FailureClass::Connection),
        ] {
            assert_eq!(FailureClass::of(reply), want, "{reply}");
        }
    }
}
