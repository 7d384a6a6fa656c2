//! One copy goes into its folder, over a session that may have been used before.

use jiff::Timestamp;

use crate::imap::{ImapError, MailboxSession, SentMailbox};
use crate::mail::header::Fields;

/// A folder, and the session over which it was used last.
pub(super) struct OpenFolder<'a> {
    mailbox: &'a SentMailbox,
    session: Option<MailboxSession<'a>>,
}

/// What goes into the folder.
pub(super) struct FolderMessage<'a> {
    pub(super) content: &'a [u8],
    pub(super) sent: Timestamp,
    /// Whether it may be there already.
    pub(super) may_be_there: bool,
}

impl<'a> OpenFolder<'a> {
    pub(super) fn new(mailbox: &'a SentMailbox) -> Self {
        Self { mailbox, session: None }
    }

    /// Puts a message there, unless it is there already. A session that was used before may be gone without our knowing:
    /// then it is tried once more over a new one.
    pub(super) async fn put(&mut self, message: &FolderMessage<'_>) -> Result<(), ImapError> {
        let mut may_be_there = message.may_be_there;
        if let Some(used) = self.session.take() {
            match self.put_over(used, message).await {
                Err(error) if !error.is_about_message() => may_be_there = true,
                done => return done,
            }
        }
        let new = self.mailbox.open().await?;
        self.put_over(new, &FolderMessage { may_be_there, ..*message }).await
    }

    /// Puts a message there over a session, which is kept while it is good.
    async fn put_over(
        &mut self,
        mut session: MailboxSession<'a>,
        message: &FolderMessage<'_>,
    ) -> Result<(), ImapError> {
        let done = put(&mut session, message).await;
        if done.as_ref().err().is_none_or(ImapError::is_about_message) {
            self.session = Some(session);
        }
        done
    }

    /// Whether a session is open.
    pub(super) fn is_open(&self) -> bool {
        self.session.is_some()
    }

    /// Ends the session.
    pub(super) async fn close(&mut self) {
        if let Some(session) = self.session.take() {
            session.close().await;
        }
    }
}

async fn put(session: &mut MailboxSession<'_>, message: &FolderMessage<'_>) -> Result<(), ImapError> {
    if message.may_be_there
        && let Some(id) = message_id(message.content)
        && session.has(&id).await?
    {
        return Ok(());
    }
    session.append(message.content, message.sent).await
}

/// The Message-ID as it is searched for.
fn message_id(content: &[u8]) -> Option<String> {
    let field = Fields::new(content).find(|field| field.is("Message-ID"))?;
    String::from_utf8(field.unfolded()).ok()
}
