//! The folder of an account at its IMAP server, and a session in which messages are put there.
//!
//! ```text
//! connect ─► [TLS] ─► greeting ─► [STARTTLS ─► TLS] ─► CAPABILITY ─► login ─► ready: search, append
//! ```

use std::sync::{Arc, OnceLock};

use jiff::{Timestamp, Zoned, tz::TimeZone};
use tokio::time::timeout_at;

use super::answer::{Ending, EndingStatus};
use super::error::{APPEND, ImapError};
use super::folder_name::{quoted, written};
use super::login::{ImapLine, login};
use super::wire::{ImapProgress, ImapWire};
use crate::config::{Auth, ClientTls, Security, SentFolder, Smtp};
use crate::smtp::sasl::ChannelBinding;
use crate::upstream::{
    Credentials, Dial, Observer, PresentedLogin, Stream, Target, TlsClient, TlsError, binding, deadline_in,
    reach,
};

/// The longest Message-ID that is searched for, in octets.
const LONGEST_ID: usize = 500;

/// A Sent folder, and how it is reached.
pub struct SentMailbox {
    folder: SentFolder,
    /// How the upstream is reached, by whose ways the IMAP server is, too.
    smtp: Smtp,
    dial: Arc<dyn Dial>,
    credentials: Credentials,
    tls: OnceLock<TlsClient>,
}

/// A session at the server, ready for messages.
pub struct MailboxSession<'a> {
    mailbox: &'a SentMailbox,
    wire: ImapWire,
}

impl SentMailbox {
    /// The Sent folder of an account, if its upstream has copies put there.
    #[must_use]
    pub fn of(smtp: &Smtp, dial: Arc<dyn Dial>, credentials: Option<Credentials>) -> Option<Self> {
        let folder = smtp.sent_copy.clone()?;
        Some(Self { folder, smtp: smtp.clone(), dial, credentials: credentials?, tls: OnceLock::new() })
    }

    /// The server: host and port.
    #[must_use]
    pub fn server(&self) -> String {
        self.folder.authority()
    }

    /// Opens a session. A login that is refused for its token is made once more with another token.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn open(&self) -> Result<MailboxSession<'_>, ImapError> {
        let mut presented = self.credentials.present().await?;
        loop {
            match self.open_as(&presented).await {
                Err(ImapError::LoginRefused(text)) => match self.credentials.instead_of(&presented).await {
                    Some(Ok(other)) => presented = other,
                    Some(Err(why)) => return Err(why.into()),
                    None => return Err(ImapError::LoginRefused(text)),
                },
                other => return other,
            }
        }
    }

    async fn open_as(&self, presented: &PresentedLogin) -> Result<MailboxSession<'_>, ImapError> {
        let times = self.smtp.timeouts;
        let mut stream = self.connect().await?;
        let mut bound = None;
        if self.folder.security == Security::Tls {
            (stream, bound) = self.shield(stream).await?;
        }
        let mut wire = ImapWire::new(stream);
        let mut is_in = wire.greeting(times.greeting).await?;
        let mut capabilities = self.capabilities(&mut wire).await?;
        if self.folder.security == Security::StartTls {
            if !capabilities.iter().any(|own| own == "STARTTLS") {
                return Err(ImapError::NoStartTls);
            }
            wire.done("STARTTLS", "STARTTLS", times.command).await?;
            (stream, bound) = self.shield(wire.into_stream()?).await?;
            wire = ImapWire::new(stream);
            // What was said before TLS may be forged: it is forgotten.
            is_in = false;
            capabilities = self.capabilities(&mut wire).await?;
        }
        if !is_in {
            let auth = self.smtp.auth;
            let line = ImapLine {
                auth: if auth.takes_token() { auth } else { Auth::Auto },
                host: &self.folder.host,
                port: self.folder.port,
                capabilities: &capabilities,
                binding: bound,
                limit: times.command,
            };
            login(&mut wire, presented, &line).await?;
        }
        Ok(MailboxSession { mailbox: self, wire })
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, ImapError> {
        let limit = self.smtp.timeouts.connect;
        let SentFolder { host, port, .. } = &self.folder;
        let server = Target { host: host.clone(), port: *port, source_address: self.smtp.source_address };
        let (deadline, observer) = (deadline_in(limit), Observer::default());
        let reached = reach(&*self.dial, (&server, self.smtp.proxy.as_ref()), deadline, &observer);
        let step = "the connection";
        let reached = timeout_at(deadline, reached).await.map_err(|_| ImapError::TimedOut { step, limit })?;
        Ok(reached?.stream)
    }

    async fn shield(
        &self,
        stream: Box<dyn Stream>,
    ) -> Result<(Box<dyn Stream>, Option<ChannelBinding>), ImapError> {
        let limit = self.smtp.timeouts.connect;
        let shaken = self.tls().await?.handshake(&self.folder.host, stream);
        let step = "the TLS handshake";
        let shaken = timeout_at(deadline_in(limit), shaken).await;
        let stream = shaken.map_err(|_| ImapError::TimedOut { step, limit })??;
        let bound = binding(stream.get_ref().1);
        Ok((Box::new(stream), bound))
    }

    /// The upstream's authorities and our certificate; its name and pins are those of another server.
    async fn tls(&self) -> Result<&TlsClient, TlsError> {
        if let Some(client) = self.tls.get() {
            return Ok(client);
        }
        let ClientTls { trusted, identity, .. } = self.smtp.tls.clone();
        let tls = ClientTls { trusted, identity, ..ClientTls::default() };
        let client = tokio::task::spawn_blocking(move || TlsClient::new(&tls))
            .await
            .map_err(|error| TlsError::NoRoots(error.to_string()))??;
        Ok(self.tls.get_or_init(|| client))
    }

    async fn capabilities(&self, wire: &mut ImapWire) -> Result<Vec<String>, ImapError> {
        if let Some(said) = wire.take_capabilities() {
            return Ok(said);
        }
        wire.done("CAPABILITY", "CAPABILITY", self.smtp.timeouts.command).await?;
        Ok(wire.take_capabilities().unwrap_or_default())
    }
}

impl MailboxSession<'_> {
    /// Whether the folder has a message with this Message-ID. One that can't be searched for counts as not there.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn has(&mut self, message_id: &str) -> Result<bool, ImapError> {
        let is_plain = message_id.bytes().all(|octet| octet.is_ascii_graphic());
        if !is_plain || message_id.is_empty() || message_id.len() > LONGEST_ID {
            return Ok(false);
        }
        let limit = self.mailbox.smtp.timeouts.command;
        let examine = format!("EXAMINE {}", self.folder());
        match self.wire.command(("EXAMINE", &examine), limit).await? {
            ImapProgress::Done(Ending { status: EndingStatus::Ok, .. }, _) => {}
            // There is no such folder yet.
            ImapProgress::Done(..) => return Ok(false),
            ImapProgress::GoOn(_) => return Err(ImapError::Garbage),
        }
        let search = format!("UID SEARCH HEADER Message-ID {}", quoted(message_id));
        Ok(self.wire.done("SEARCH", &search, limit).await? > 0)
    }

    /// Puts a message into the folder, as one that was read; makes the folder where there is none.
    ///
    /// # Errors
    /// When the server refuses it, or does not answer: then it may be there all the same.
    pub async fn append(&mut self, content: &[u8], sent: Timestamp) -> Result<(), ImapError> {
        let mut ending = self.append_once(content, sent).await?;
        if ending.try_create {
            let limit = self.mailbox.smtp.timeouts.command;
            let folder = self.folder();
            let made = match self.wire.done("CREATE", &format!("CREATE {folder}"), limit).await {
                Err(refused @ ImapError::Refused { .. }) => Err(refused),
                done => Ok(done?),
            };
            if made.is_ok() {
                // Where only subscribed folders are shown it would not be seen; who has no subscriptions refuses.
                let _ = self.wire.done("SUBSCRIBE", &format!("SUBSCRIBE {folder}"), limit).await;
            }
            // Another client may have made it just now: not every server tells that refusal from others (RFC 5530).
            ending = self.append_once(content, sent).await?;
            if ending.try_create {
                made?;
            }
        }
        match ending.status {
            EndingStatus::Ok => Ok(()),
            _ => Err(ImapError::Refused { step: APPEND, text: ending.text }),
        }
    }

    async fn append_once(&mut self, content: &[u8], sent: Timestamp) -> Result<Ending, ImapError> {
        let times = self.mailbox.smtp.timeouts;
        let command =
            format!("APPEND {} (\\Seen) \"{}\" {{{}}}", self.folder(), internal_date(sent), content.len());
        let progress = match self.wire.command((APPEND, &command), times.data).await? {
            ImapProgress::GoOn(_) => {
                self.wire.content((APPEND, content), (times.block, times.final_dot)).await?
            }
            done @ ImapProgress::Done(..) => done,
        };
        match progress {
            ImapProgress::Done(ending, _) => Ok(ending),
            ImapProgress::GoOn(_) => Err(ImapError::Garbage),
        }
    }

    fn folder(&self) -> String {
        written(&self.mailbox.folder.folder)
    }

    /// Says goodbye, without waiting for long.
    pub async fn close(mut self) {
        let _ = self.wire.done("LOGOUT", "LOGOUT", GOODBYE).await;
    }
}

/// How long the server has to answer to LOGOUT.
const GOODBYE: std::time::Duration = std::time::Duration::from_secs(5);

/// A moment as APPEND has it (RFC 3501 9, `date-time`).
fn internal_date(moment: Timestamp) -> String {
    Zoned::new(moment, TimeZone::UTC).strftime("%e-%b-%Y %H:%M:%S +0000").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_one_digit_begins_with_a_blank() {
        for (second, want) in
            [(1_795_664_096, "26-Nov-2026 03:34:56 +0000"), (1_793_590_496, " 2-Nov-2026 03:34:56 +0000")]
        {
            assert_eq!(internal_date(Timestamp::from_second(second).unwrap()), want);
        }
    }
}
