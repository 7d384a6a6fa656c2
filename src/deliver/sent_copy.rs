//! Copies for Sent folders are made: of what an upstream has taken, as it was sent.
//!
//! What is stored are those very octets, and not what they were made of: another configuration, a signature's time or a
//! signer's random numbers would make others of that.

use super::context::Context;
use crate::account::{Account, AccountSettings};
use crate::content::{READ_BLOCK, SplitContent};
use crate::mail::QueueId;
use crate::store::{Content, Message, MessageKind, NewSentCopy, StoreError};

/// Content of more octets gets a file.
const IN_FILE: usize = 32 << 10;

/// Whether a copy of a message is wanted, if it is sent by an account. Our own reports were written by nobody, and what goes
/// to a test address has not been sent to those whom it names.
pub(super) fn is_wanted(settings: &AccountSettings, message: &Message) -> bool {
    settings.sent_mailbox().is_some()
        && message.kind == MessageKind::Submitted
        && message.decisions.test.is_none()
}

/// A copy of what an account has sent. The mail has gone by now: what fails here costs the copy alone.
pub(super) async fn copy_of(
    context: &Context,
    account: &Account,
    queue_id: &QueueId,
    sent: &SplitContent,
) -> Option<NewSentCopy> {
    let copy_id = QueueId::new(context.timeline.wall().as_millisecond(), rand::random());
    let stored = match sent.octets() {
        Some(octets) if octets.len() <= IN_FILE => Ok(Content::memory(octets.into_owned())),
        _ => uploaded(context, &copy_id, sent).await,
    };
    match stored {
        Ok(stored) => Some(NewSentCopy {
            copy_id,
            queue_id: queue_id.clone(),
            account: account.key().clone(),
            content: stored,
        }),
        Err(error) => {
            let upstream = &*account.key().upstream;
            tracing::error!(event = "copy_given_up", %queue_id, upstream, account = account.name(), reason = %error);
            None
        }
    }
}

async fn uploaded(context: &Context, copy_id: &QueueId, sent: &SplitContent) -> Result<Content, StoreError> {
    let mut upload = context.store.upload(copy_id);
    upload.write(sent.head().to_vec()).await?;
    let mut body = sent.body().reader();
    loop {
        let piece = body.next(READ_BLOCK).await?;
        upload.write(piece.octets.to_vec()).await?;
        if piece.is_last {
            return upload.finish().await;
        }
    }
}
