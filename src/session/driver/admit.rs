//! Whether a message can be taken now, from this client and this user.

use std::sync::Arc;

use super::session::SessionDriver;
use crate::config::User;
use crate::mail::{ClientNetwork, ReversePath};
use crate::policy::sender;
use crate::policy::users::LoggedIn;
use crate::session::receive::Submitter;
use crate::session::state::{Dialogue, MailTransaction};
use crate::smtp::Reply;
use crate::smtp::command::Mail;

impl<S> SessionDriver<'_, S> {
    /// Asks at MAIL: is there room, is the client not too fast, may the user send so? A reverse-path that is not the user's
    /// may be replaced.
    pub(super) fn admit(&self, dialogue: Dialogue, mut mail: Mail) -> (Dialogue, Reply) {
        let from = mail.reverse_path.to_string();
        match self.permitted(dialogue.user(), mail.reverse_path) {
            Ok(reverse_path) => {
                mail.reverse_path = reverse_path;
                dialogue.admit(mail)
            }
            Err((reply, reason)) => {
                self.reject(&from, "", &reply, reason);
                (dialogue, reply)
            }
        }
    }

    /// The reverse-path to use; or the reply, and the word for it in the log.
    fn permitted(
        &self,
        user: Option<&LoggedIn>,
        path: ReversePath,
    ) -> Result<ReversePath, (Reply, &'static str)> {
        let services = &self.services;
        let now = services.timeline.now();
        let room = services.admission.check(&*services.store, now);
        room.map_err(|reason| (reason.reply(), "not_accepting"))?;
        // A user that is no more has been dismissed before.
        let path = match user.and_then(|user| services.users.granted(user)) {
            None => path,
            Some(user) => sender::reverse_path(&user, path).map_err(|refused| (refused.reply(), "sender"))?,
        };
        let fast = services.pacing.message(ClientNetwork::of(self.peer.ip), user.map(|user| &user.name));
        fast.map_err(|too_fast| (too_fast.reply(), "pace"))?;
        Ok(path)
    }

    /// As whom the content may say that it is sent.
    pub(super) fn submitter(&self, dialogue: &Dialogue, transaction: &MailTransaction) -> Option<Submitter> {
        let user: Arc<User> = self.services.users.granted(dialogue.user()?)?;
        let null_reverse_path = transaction.envelope.reverse_path == ReversePath::Null;
        Some(Submitter { user, null_reverse_path })
    }
}
