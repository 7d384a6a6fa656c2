//! Senders as whom an account may not send, by the provider's word: said once in the log, and shown until it is over.
//!
//! It is over when the account has sent as that sender, or when nothing was refused for so long that no mail of that sender
//! can be waiting any more.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::mail::ReversePath;
use crate::smtp::Reply;
use crate::time::Moment;
use crate::upstream::Senders;

/// Senders that are remembered of an upstream; the one that was refused the longest time ago gives way.
const MOST: usize = 200;

/// A sender as whom an account may not send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedSender {
    /// An address, or a domain.
    pub sender: String,
    /// The login name; empty for an upstream without a login.
    pub account: String,
    /// When it was refused first.
    pub since: Moment,
    /// The upstream's words, the last time.
    pub reply: String,
    /// What to do about it, in words.
    pub advice: String,
    /// Until when it is shown, unless it is refused again.
    until: Moment,
}

/// An account and a sender.
type AccountSender = (String, String);

/// All that an upstream has refused.
#[derive(Debug, Default)]
pub(super) struct RefusedSenders(Mutex<HashMap<AccountSender, RefusedSender>>);

/// A refusal of a sender.
#[derive(Clone, Copy)]
pub(super) struct SenderRefusal<'a> {
    pub(super) upstream: &'a str,
    pub(super) account: &'a str,
    pub(super) sender: &'a str,
    pub(super) reply: &'a Reply,
    pub(super) advice: &'a str,
    /// How long it is until mail of that sender would have been refused again.
    pub(super) lasts: Duration,
}

impl RefusedSenders {
    /// Notes a refusal, and says so when it is news.
    pub(super) fn note(&self, refusal: &SenderRefusal<'_>, now: Moment) {
        if self.is_news(refusal, now) {
            let &SenderRefusal { upstream, account, sender, reply, advice, .. } = refusal;
            tracing::error!(
                event = "sender_refused", upstream, account, from = sender, %reply, reason = advice
            );
        }
    }

    /// Notes a refusal; whether it is news.
    fn is_news(&self, refusal: &SenderRefusal<'_>, now: Moment) -> bool {
        let mut all = self.lock();
        all.retain(|_, known| known.until > now);
        let key = (refusal.account.to_owned(), refusal.sender.to_owned());
        let since = all.get(&key).map(|known| known.since);
        if since.is_none() && all.len() >= MOST {
            let oldest = all.iter().min_by_key(|(_, known)| known.until).map(|(key, _)| key.clone());
            oldest.and_then(|key| all.remove(&key));
        }
        let refused = RefusedSender {
            sender: key.1.clone(),
            account: key.0.clone(),
            since: since.unwrap_or(now),
            reply: refusal.reply.to_string(),
            advice: refusal.advice.to_owned(),
            until: now.after(refusal.lasts),
        };
        all.insert(key, refused);
        since.is_none()
    }

    /// The account has sent as this address.
    pub(super) fn accepted(&self, account: &str, address: &str) {
        let mut all = self.lock();
        if !all.is_empty() {
            for senders in [Senders::Address, Senders::Domain] {
                all.remove(&(account.to_owned(), part(address, senders).to_owned()));
            }
        }
    }

    /// Those that are refused, the longest first.
    pub(super) fn all(&self, now: Moment) -> Vec<RefusedSender> {
        let mut all: Vec<_> = self.lock().values().filter(|known| known.until > now).cloned().collect();
        all.sort_by(|a, b| (a.since, &a.account, &a.sender).cmp(&(b.since, &b.account, &b.sender)));
        all
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountSender, RefusedSender>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address that a message is from: that of its From, else the reverse-path.
pub(super) fn address_of<'a>(sender: &'a str, reverse_path: &'a ReversePath) -> &'a str {
    match (sender, reverse_path) {
        ("", ReversePath::Address(address)) => address.as_str(),
        (sender, _) => sender,
    }
}

/// What of an address is refused: itself, or its domain.
pub(super) fn part(address: &str, senders: Senders) -> &str {
    match senders {
        Senders::Address => address,
        Senders::Domain => address.rsplit_once('@').map_or(address, |(_, domain)| domain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_news(senders: &RefusedSenders, account: &str, sender: &str, now: i64) -> bool {
        let (reply, lasts) = (&Reply::bare(553, vec!["no".to_owned()]), Duration::from_mins(1));
        let refusal =
            SenderRefusal { upstream: "up", account, sender, reply, advice: "use its own account", lasts };
        senders.is_news(&refusal, Moment(now))
    }

    fn shown(senders: &RefusedSenders, now: i64) -> Vec<String> {
        senders.all(Moment(now)).into_iter().map(|one| format!("{} {}", one.account, one.sender)).collect()
    }

    #[test]
    fn is_news_once_and_over_when_mail_was_sent() {
        let senders = RefusedSenders::default();
        assert!(is_news(&senders, "a", "me@firm.example", 0));
        assert!(!is_news(&senders, "a", "me@firm.example", 50_000));
        assert!(is_news(&senders, "a", "firm.example", 50_000));
        assert!(is_news(&senders, "b", "me@firm.example", 50_000));
        assert_eq!(senders.all(Moment(60_001))[0].since, Moment(0), "the last refusal counts for its end");
        senders.accepted("a", "you@else.example");
        assert_eq!(shown(&senders, 60_001), ["a me@firm.example", "a firm.example", "b me@firm.example"]);
        senders.accepted("a", "me@firm.example");
        assert_eq!(shown(&senders, 60_001), ["b me@firm.example"], "the domain is over as well");
        assert!(is_news(&senders, "a", "me@firm.example", 60_001), "news again");
    }

    #[test]
    fn ends_by_itself() {
        let senders = RefusedSenders::default();
        let _ = is_news(&senders, "a", "me@firm.example", 0);
        assert_eq!(shown(&senders, 59_999).len(), 1);
        assert_eq!(shown(&senders, 60_000).len(), 0);
        assert!(is_news(&senders, "a", "me@firm.example", 60_000), "news again");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let senders = RefusedSenders::default();
        for number in 0..MOST as i64 * 2 {
            let _ = is_news(&senders, "a", &format!("{number}@firm.example"), number);
        }
        let all = senders.all(Moment(0));
        assert_eq!(all.len(), MOST);
        assert_eq!(all[0].sender, format!("{MOST}@firm.example"), "the oldest gave way");
    }
}
