//! A row of the table: which replies it is about, and what is to be done.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::Window;
use crate::smtp::{EnhancedStatus, Reply};
use crate::upstream::error::{LoginMethod, Stage};

/// Whose words a row knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provider {
    /// Any server that keeps to the standards.
    Any,
    /// Office 365, High Volume Email, Azure Communication Services.
    Microsoft,
    /// Gmail, Workspace and their SMTP relay.
    Google,
    /// Simple Email Service.
    Amazon,
}

/// Which basic codes a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codes {
    /// All.
    Any,
    /// All that begin with this digit.
    Class(u16),
    /// These.
    Of(&'static [u16]),
}

/// Which enhanced status codes a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusPattern {
    /// All, and none.
    Any,
    /// This one.
    Exact(u8, u16, u16),
    /// This class and subject, and a detail from the first to the last of these.
    Details(u8, u16, u16, u16),
    /// This subject and detail in whatever class.
    Meaning(u16, u16),
}

/// What stops or pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppliesTo {
    /// The login that was used; others of the same upstream go on.
    Account,
    /// All logins of the upstream, as they share what was refused (a tenant, an address).
    Upstream,
}

/// Whose mail a sender's fault is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Senders {
    /// That one address.
    Address,
    /// Its whole domain.
    Domain,
}

/// How to become slower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slow {
    /// Whether it is about connections: the rate may stay, there must be fewer of them.
    pub connections: bool,
    /// Whether the provider means it seriously: a person should know.
    pub hard: bool,
    /// How long nothing goes out over the account, unless the reply states a time.
    pub wait: Duration,
    /// Whether that holds where the reply states a shorter time, and doubles with each complaint in a row.
    pub insists: bool,
}

/// What is to be done. Nothing here ever makes mail take the default route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyAction {
    /// Keep the mail; lower the account's rate and connections, close the extra ones.
    Slow(Slow),
    /// A limit is used up: keep the mail, send nothing until this window has passed, unless the reply states a time.
    /// Another account, where only the account is meant, or the fallback may serve.
    Pause {
        /// What pauses.
        scope: AppliesTo,
        /// The window whose limit it is.
        until: Window,
    },
    /// The configuration is at fault, here or there: keep the mail, disable it, tell a person once.
    Stop {
        /// What is disabled.
        scope: AppliesTo,
    },
    /// The account may not send as this sender: keep that sender's mail, tell a person once. Other accounts are not
    /// tried blindly.
    StopSender(Senders),
    /// Send it to this recipient and those behind it in another transaction; when none was accepted before it, later.
    Split,
    /// Failed for good, for this recipient, or for the message.
    Bounce,
    /// Fetch a new token and log in once more. Where there is no token, or it is refused, too: stop the account.
    Refresh,
    /// Try again later, though the code is permanent.
    Retry,
    /// Try again later (4yz).
    Defer,
    /// Try again later, and tell a person: nothing is known of such an answer, or it is our own fault.
    DeferStrange,
    /// About us, in words that servers also use of a single recipient: up to MAIL it is the account's trouble, or the
    /// upstream's; behind it, whose it is follows from what happened to others.
    Contested {
        /// What is tried, when it is ours.
        scope: AppliesTo,
    },
    /// Not serving at present, which is not about a message: all its mail waits, it is tried at growing
    /// intervals, and that counts for `disable_after`.
    Unavailable {
        /// What is tried.
        scope: AppliesTo,
    },
}

/// A row of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// Whose words these are.
    pub provider: Provider,
    /// At which points of the dialogue.
    pub stages: RangeInclusive<Stage>,
    /// With which basic codes.
    pub codes: Codes,
    /// With which enhanced status codes.
    pub status: StatusPattern,
    /// With one of these in the text, in lower case; none: whatever the text.
    pub text: &'static [&'static str],
    /// With none of these in it, in lower case: words that show that it speaks of something else.
    pub unless: &'static [&'static str],
    /// What is to be done.
    pub action: ReplyAction,
    /// What it means and what to do, in words for the operator; no full stop at the end.
    pub advice: &'static str,
    /// The same for who has logged in with a token, where that is something else.
    pub token_advice: Option<&'static str>,
}

/// What rows begin with: any refusal behind the login.
pub(super) const ROW: Row = Row {
    provider: Provider::Any,
    stages: Stage::Mail..=Stage::FinalDot,
    codes: Codes::Any,
    status: StatusPattern::Any,
    text: &[],
    unless: &[],
    action: ReplyAction::Defer,
    advice: "",
    token_advice: None,
};

impl Codes {
    fn fit(self, code: u16) -> bool {
        match self {
            Self::Any => true,
            Self::Class(class) => code / 100 == class,
            Self::Of(codes) => codes.contains(&code),
        }
    }
}

impl StatusPattern {
    fn fits(self, status: Option<EnhancedStatus>) -> bool {
        let Some((class, subject, detail)) = status else { return self == Self::Any };
        match self {
            Self::Any => true,
            Self::Exact(c, s, d) => (c, s, d) == (class, subject, detail),
            Self::Details(c, s, first, last) => {
                (c, s) == (class, subject) && (first..=last).contains(&detail)
            }
            Self::Meaning(s, d) => (s, d) == (subject, detail),
        }
    }
}

impl Row {
    /// What it means and what to do, for who has logged in like this.
    #[must_use]
    pub fn advice_for(&self, method: LoginMethod) -> &'static str {
        match method {
            LoginMethod::Password => self.advice,
            LoginMethod::Token => self.token_advice.unwrap_or(self.advice),
        }
    }

    /// Whether it is about this reply; `text` is the reply's, in lower case.
    pub(super) fn fits(&self, stage: Stage, reply: &Reply, text: &str) -> bool {
        self.stages.contains(&stage)
            && self.codes.fit(reply.code)
            && self.status.fits(reply.status)
            && (self.text.is_empty() || self.text.iter().any(|part| text.contains(part)))
            && !self.unless.iter().any(|part| text.contains(part))
    }
}
