//! Why a recipient has not got its message, as people are told.

/// Why a recipient has not got its message: the causes that a report has words for. What a reply means is judged by
/// [`upstream::replies`](crate::upstream::replies::cause_of) alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReportCause {
    /// There is no such mailbox.
    NoSuchMailbox,
    /// There is such a mailbox, and it takes no mail any more.
    MailboxClosed,
    /// The mailbox is full.
    MailboxFull,
    /// The message is too large.
    TooLarge,
    /// Taken for spam.
    Spam,
    /// Something in it is, or is taken for, dangerous: a virus, a kind of attachment, a link.
    Dangerous,
    /// A rule of the other side, which may say more.
    Policy,
    /// Nothing proves that the sender's domain has sent it: SPF, DKIM, DMARC.
    Unproven,
    /// The sender address may not be used.
    SenderNotAllowed,
    /// The address can't be read.
    BadAddress,
    /// The domain does not exist, or takes no mail.
    NoSuchDomain,
    /// The server behind the domain can't be reached.
    DomainUnreachable,
    /// Too many messages, recipients or connections.
    TooMany,
    /// The provider refuses the relay's login.
    RelayLogin,
    /// The provider has stopped what the relay's account sends.
    RelayStopped,
    /// The next server takes no mail from this relay: its address, its name, relaying.
    RelayRefused,
    /// The provider can't be reached.
    RelayOffline,
    /// There is no TLS that is good enough.
    NoTls,
    /// The relay's own blacklist.
    Blacklisted,
    /// The next server takes no addresses beyond ASCII.
    International,
    /// The next server does not take the form of the content.
    Form,
    /// The content or its header breaks the rules of mail.
    Malformed,
    /// The line broke.
    BrokenOff,
    /// The other side asks to come again later.
    Busy,
    /// Nothing was tried yet.
    Untried,
    /// None of these.
    Other,
}

impl ReportCause {
    /// All causes.
    pub const ALL: [Self; 26] = [
        Self::NoSuchMailbox,
        Self::MailboxClosed,
        Self::MailboxFull,
        Self::TooLarge,
        Self::Spam,
        Self::Dangerous,
        Self::Policy,
        Self::Unproven,
        Self::SenderNotAllowed,
        Self::BadAddress,
        Self::NoSuchDomain,
        Self::DomainUnreachable,
        Self::TooMany,
        Self::RelayLogin,
        Self::RelayStopped,
        Self::RelayRefused,
        Self::RelayOffline,
        Self::NoTls,
        Self::Blacklisted,
        Self::International,
        Self::Form,
        Self::Malformed,
        Self::BrokenOff,
        Self::Busy,
        Self::Untried,
        Self::Other,
    ];
}
