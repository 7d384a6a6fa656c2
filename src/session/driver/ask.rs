//! Whether a recipient is taken: by us, and in direct mode by the upstream, too.

use tokio::time::Instant;

use super::session::SessionDriver;
use crate::config::UpstreamKind;
use crate::direct::{DirectRefusal, Exchange, Opening};
use crate::mail::{Address, RecipientRequest};
use crate::policy::blacklist::{self, BlacklistResult};
use crate::policy::recipient::{self, NotAmongRecipients};
use crate::policy::relay;
use crate::session::Services;
use crate::session::accept::test_of;
use crate::session::direct::{Asked, is_direct};
use crate::session::state::{Dialogue, RecipientDecision};
use crate::smtp::Reply;
use crate::store::Ruled;

impl<S> SessionDriver<'_, S> {
    /// Whether a recipient is taken: may the client relay, may the user write to it, is the recipient blacklisted, what does the upstream say?
    pub(super) async fn judge(
        &mut self,
        dialogue: &Dialogue,
        recipient: &Address,
        request: &RecipientRequest,
    ) -> RecipientDecision {
        let begun = Instant::now();
        let (mut verdict, mut reason) =
            match relay::permit(&self.peer.listener, self.peer.ip, dialogue.user()) {
                Err(reply) => (RecipientDecision::Refuse(reply), "relay"),
                Ok(()) => match self.check_user(dialogue, recipient) {
                    Err(refused) => (RecipientDecision::Refuse(refused.reply()), "recipient"),
                    Ok(()) => self.check_blacklist(recipient).await,
                },
            };
        // Room is made before the upstream is asked: what that has taken can't be refused any more.
        if !matches!(verdict, RecipientDecision::Refuse(_))
            && let Err(full) = self.memory.take(&self.services.memory, recipient, request)
        {
            (verdict, reason) = (RecipientDecision::Refuse(full.reply()), "memory");
        }
        if verdict == RecipientDecision::Accept
            && let Err(refused) = self.ask_upstream(dialogue, recipient, request).await
        {
            self.memory.give_back(recipient, request);
            (verdict, reason) = (RecipientDecision::Refuse(refused.reply), refused.reason);
        }
        // How long we and the upstream take is not the client's doing.
        self.put_content_off(begun.elapsed());
        if let RecipientDecision::Refuse(reply) = &verdict {
            self.reject(dialogue.reverse_path(), recipient.as_str(), reply, reason);
        }
        verdict
    }

    /// Whether the user who has logged in, if one has, may write to a recipient.
    fn check_user(&self, dialogue: &Dialogue, recipient: &Address) -> Result<(), NotAmongRecipients> {
        let granted = dialogue.user().and_then(|user| self.services.users.granted(user));
        granted.map_or(Ok(()), |user| recipient::permit(&user, recipient))
    }

    /// What the blacklist says of a recipient, and the word for it in the log.
    async fn check_blacklist(&self, recipient: &Address) -> (RecipientDecision, &'static str) {
        let Services { config, store, .. } = &*self.services;
        let verdict = match blacklist::look_up(&**store, config.blacklist.action, recipient).await {
            Ok(BlacklistResult::Clear) => RecipientDecision::Accept,
            Ok(BlacklistResult::Dropped { .. }) => RecipientDecision::Drop,
            Ok(BlacklistResult::Refused(reply)) => RecipientDecision::Refuse(reply),
            Err(error) => {
                tracing::error!(event = "blacklist_not_read", reason = %error);
                let reply =
                    Reply::new(451, (4, 3, 0), "recipients cannot be checked at present, try again later");
                return (RecipientDecision::Refuse(reply), "store");
            }
        };
        (verdict, "blacklist")
    }

    /// Asks the upstream, in direct mode.
    ///
    /// Which upstream it is the content decides, by From. Until then the reverse-path is the best guess; so what is only
    /// that upstream's trouble refuses nobody yet, unless there is no other.
    async fn ask_upstream(
        &mut self,
        dialogue: &Dialogue,
        recipient: &Address,
        request: &RecipientRequest,
    ) -> Result<(), DirectRefusal> {
        if matches!(self.asked, Asked::Nothing) {
            let opening = self.opening(dialogue);
            self.asked = opening.map_or(Asked::Later, |opening| {
                Asked::Begun(Exchange::begin(&*self.services.direct, opening))
            });
        }
        let Asked::Begun(exchange) = &self.asked else { return Ok(()) };
        let told = exchange.recipient(recipient.clone(), request.clone()).await;
        if self.services.router.sole().is_none() && told.as_ref().is_err_and(|refused| refused.elsewhere) {
            self.asked = Asked::Later;
            return Ok(());
        }
        told
    }

    /// Whom to ask about recipients before the content is here; `None` when that can't be known, or must not be done.
    fn opening(&self, dialogue: &Dialogue) -> Option<Opening> {
        let services = &*self.services;
        // What a rule makes of a message is known when its content is here.
        if !services.config.rules.is_empty() {
            return None;
        }
        if !is_direct(services, &self.peer) || test_of(services, dialogue.user(), &Ruled::default()).is_some()
        {
            return None;
        }
        let sender = dialogue.sender()?;
        let path = sender.reverse_path.address().map(|address| String::from(address.key()));
        // Of mail without a reverse-path nobody knows more than that there may be but one way.
        let path = path.or_else(|| services.router.sole().map(|_| String::new()))?;
        let (upstream, lane) = (services.router.route(&path)?, services.router.lane(&path)?);
        // Others judge a message as a whole.
        if !matches!(upstream.kind, UpstreamKind::Smtp(_)) {
            return None;
        }
        Some(Opening {
            session: self.peer.session_id.clone(),
            lane,
            reverse_path: sender.reverse_path.clone(),
            smtputf8: sender.smtputf8,
            request: sender.request.clone(),
        })
    }
}
