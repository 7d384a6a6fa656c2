//! What upstreams complain of that is about part of the mail alone: said once in the log, and shown until it is over.
//!
//! That is when its opposite was seen, or when nothing more came for so long that no mail can be waiting any more that it is
//! about.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::smtp::Reply;
use crate::time::Moment;

/// Complaints of one kind that are remembered of an upstream; the one that came the longest time ago gives way.
const MOST: usize = 200;

/// Something that an upstream has complained of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// A sender: an address, or a domain; or what tells a reply from others.
    pub about: String,
    /// The login name; empty for an upstream without a login.
    pub account: String,
    /// When it came first.
    pub since: Moment,
    /// The upstream's words, the last time.
    pub reply: String,
    /// What to do about it, in words.
    pub advice: String,
    /// Until when it is shown, unless it comes again.
    until: Moment,
}

/// A complaint that has come.
#[derive(Clone, Copy)]
pub(super) struct NewComplaint<'a> {
    pub(super) account: &'a str,
    pub(super) about: &'a str,
    pub(super) reply: &'a Reply,
    pub(super) advice: &'a str,
    /// How long it is until mail that it is about would have been tried again.
    pub(super) lasts: Duration,
}

/// An account, and what the complaint is about.
type AccountAbout = (String, String);

/// All complaints of one kind of an upstream.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<HashMap<AccountAbout, Complaint>>);

impl Complaints {
    /// Notes one; whether it is news.
    pub(super) fn note(&self, new: &NewComplaint<'_>, now: Moment) -> bool {
        let mut all = self.lock();
        all.retain(|_, known| known.until > now);
        let key = (new.account.to_owned(), new.about.to_owned());
        let since = all.get(&key).map(|known| known.since);
        if since.is_none() && all.len() >= MOST {
            let oldest = all.iter().min_by_key(|(_, known)| known.until).map(|(key, _)| key.clone());
            oldest.and_then(|key| all.remove(&key));
        }
        let complaint = Complaint {
            about: key.1.clone(),
            account: key.0.clone(),
            since: since.unwrap_or(now),
            reply: new.reply.to_string(),
            advice: new.advice.to_owned(),
            until: now.after(new.lasts),
        };
        all.insert(key, complaint);
        since.is_none()
    }

    /// The account has had no trouble with these.
    pub(super) fn end<'a>(&self, account: &str, abouts: impl IntoIterator<Item = &'a str>) {
        let mut all = self.lock();
        if !all.is_empty() {
            for about in abouts {
                all.remove(&(account.to_owned(), about.to_owned()));
            }
        }
    }

    /// Those that are not over, the oldest first.
    pub(super) fn all(&self, now: Moment) -> Vec<Complaint> {
        let mut all: Vec<_> = self.lock().values().filter(|known| known.until > now).cloned().collect();
        all.sort_by(|a, b| (a.since, &a.account, &a.about).cmp(&(b.since, &b.account, &b.about)));
        all
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountAbout, Complaint>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_news(all: &Complaints, account: &str, about: &str, now: i64) -> bool {
        let (reply, lasts) = (&Reply::bare(553, vec!["no".to_owned()]), Duration::from_mins(1));
        all.note(&NewComplaint { account, about, reply, advice: "use its own account", lasts }, Moment(now))
    }

    fn shown(all: &Complaints, now: i64) -> Vec<String> {
        all.all(Moment(now)).into_iter().map(|one| format!("{} {}", one.account, one.about)).collect()
    }

    #[test]
    fn is_news_once_and_over_when_mail_was_sent() {
        let all = Complaints::default();
        assert!(is_news(&all, "a", "me@firm.example", 0));
        assert!(!is_news(&all, "a", "me@firm.example", 50_000));
        assert!(is_news(&all, "a", "firm.example", 50_000));
        assert!(is_news(&all, "b", "me@firm.example", 50_000));
        assert_eq!(all.all(Moment(60_001))[0].since, Moment(0), "the last one counts for its end");
        all.end("a", ["you@else.example", "else.example"]);
        assert_eq!(shown(&all, 60_001), ["a me@firm.example", "a firm.example", "b me@firm.example"]);
        all.end("a", ["me@firm.example", "firm.example"]);
        assert_eq!(shown(&all, 60_001), ["b me@firm.example"]);
        assert!(is_news(&all, "a", "me@firm.example", 60_001), "news again");
    }

    #[test]
    fn ends_by_itself() {
        let all = Complaints::default();
        let _ = is_news(&all, "a", "me@firm.example", 0);
        assert_eq!(shown(&all, 59_999).len(), 1);
        assert_eq!(shown(&all, 60_000).len(), 0);
        assert!(is_news(&all, "a", "me@firm.example", 60_000), "news again");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let all = Complaints::default();
        for number in 0..MOST as i64 * 2 {
            let _ = is_news(&all, "a", &format!("{number}@firm.example"), number);
        }
        let kept = all.all(Moment(0));
        assert_eq!(kept.len(), MOST);
        assert_eq!(kept[0].about, format!("{MOST}@firm.example"), "the oldest gave way");
    }
}
