//! What a person must know: troubles, by what tells one from another.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of trouble it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertCause {
    /// An upstream, or an account of it, has stopped or failed too often.
    UpstreamDisabled,
    /// There is no token to log in with until a person has seen to it.
    SignIn,
    /// An account may not send as a sender.
    SenderRefused,
    /// An upstream gives an answer of which nothing is known.
    StrangeReply,
    /// A sign-in, a secret or a certificate ends soon, or has ended.
    Expiring,
    /// There is little room on the disk.
    Disk,
    /// The store accepts nothing, or can't be read.
    Store,
    /// Mail of a store that was put in or saved is held.
    Restored,
    /// Nothing is sent while mail waits.
    NothingSent,
    /// Too many recipients bounce.
    Bounces,
    /// No trouble: a person tries whether alerts arrive.
    Test,
}

impl AlertCause {
    /// As alerts, the log and documents call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UpstreamDisabled => "upstream_disabled",
            Self::SignIn => "sign_in",
            Self::SenderRefused => "sender_refused",
            Self::StrangeReply => "strange_reply",
            Self::Expiring => "expiring",
            Self::Disk => "disk",
            Self::Store => "store",
            Self::Restored => "restored",
            Self::NothingSent => "nothing_sent",
            Self::Bounces => "bounces",
            Self::Test => "test",
        }
    }

    /// Whether an upstream that it is about is not to be used for mail that tells of it, as long as there is another one.
    #[must_use]
    pub(super) fn is_about_sending(self) -> bool {
        matches!(
            self,
            Self::UpstreamDisabled
                | Self::SignIn
                | Self::SenderRefused
                | Self::StrangeReply
                | Self::NothingSent
                | Self::Bounces
        )
    }
}

impl fmt::Display for AlertCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What tells one trouble from another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TroubleKey {
    /// What kind it is.
    pub cause: AlertCause,
    /// The upstream that it is about; empty for none.
    pub upstream: String,
    /// The account that it is about; empty for none, or for all of the upstream.
    pub account: String,
    /// What else tells it from others of its kind: what ends, whom an advice is about; may be empty.
    pub about: String,
}

impl TroubleKey {
    /// A trouble of the relay as a whole.
    pub(super) fn of_relay(cause: AlertCause) -> Self {
        Self::of_upstream(cause, "")
    }

    /// A trouble of an upstream.
    pub(super) fn of_upstream(cause: AlertCause, upstream: &str) -> Self {
        Self::of_account(cause, upstream, "")
    }

    /// A trouble of an account.
    pub(super) fn of_account(cause: AlertCause, upstream: &str, account: &str) -> Self {
        Self { cause, upstream: upstream.to_owned(), account: account.to_owned(), about: String::new() }
    }

    /// The same about something.
    pub(super) fn about(self, about: impl Into<String>) -> Self {
        Self { about: about.into(), ..self }
    }
}

/// Something that a person must know, and see to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingTrouble {
    /// What tells it from others.
    pub key: TroubleKey,
    /// What is wrong, and where, in words.
    pub text: String,
    /// What to do about it, in words.
    pub action: String,
    /// For what has yet to come, how near it is: the days that are left at most. It is told again when that gets less, all else
    /// each day.
    pub step: Option<u64>,
}

/// A line for people: what is wrong, and what to do.
impl fmt::Display for StandingTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.text, self.action)
    }
}

/// What stands at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Troubles {
    /// What a person must see to.
    pub troubles: Vec<StandingTrouble>,
    /// Of these nobody knows at present whether they stand: neither begins one by this, nor is it over.
    pub unclear: BTreeSet<TroubleKey>,
    /// The same of all of a kind.
    pub unclear_causes: BTreeSet<AlertCause>,
}

impl Troubles {
    /// Whether nobody knows at present whether it stands.
    pub(super) fn is_unclear(&self, key: &TroubleKey) -> bool {
        self.unclear_causes.contains(&key.cause) || self.unclear.contains(key)
    }
}
