//! What went before at an account: by it an answer is judged that may be about a single message or recipient as well as about
//! the account.
//!
//! Dialogues that broke at one message are that message's affair, at several different ones the account's. Words about relaying
//! or our address are a recipient's affair where others went through, and the account's where nothing does. The same complaint
//! about the rate, message after message, is about the pace.

use std::collections::VecDeque;
use std::time::Duration;

use crate::mail::{Address, AddressKey, DomainKey};
use crate::smtp::{EnhancedStatus, Reply};
use crate::store::MessageId;
use crate::time::Moment;
use crate::upstream::{Stage, is_greylisting};

/// Different messages at which the dialogue broke, in a row, that make an account count as down.
const BROKEN: usize = 3;
/// Recipients that were refused in words that may be about us, with no success between, that make it the account's trouble.
const CONTESTED: usize = 3;
/// How many domains they must be in.
const DOMAINS: usize = 2;
/// Successes that are remembered: two, since a recipient's own is none for another.
const REMEMBERED: usize = 2;
/// For how long a success for somebody else shows that such words are about the recipient.
const SUCCESS: Duration = Duration::from_hours(1);
/// Messages in a row with the same complaint that make it one about the pace.
const COMPLAINTS: usize = 3;
/// Complaints that are known to be about the pace, at most; the oldest is forgotten.
const KNOWN: usize = 4;
/// For how long a refusal that a new connection has confirmed is believed over used ones.
const CONFIRMED: Duration = Duration::from_mins(10);
/// Single words of a complaint about the pace.
const WORDS: [&str; 8] =
    ["rate", "ratelimit", "ratelimited", "limit", "limits", "limited", "throttled", "throttling"];
/// Several words of one.
const PHRASES: [&str; 4] = ["too many", "too much", "too fast", "slow down"];

/// Whose affair it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Concern {
    /// That recipient's alone.
    Recipient,
    /// That can't be told yet.
    Unsettled,
    /// The account's.
    Account,
}

/// A refusal, whatever its text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RefusalWords {
    stage: Stage,
    code: u16,
    status: Option<EnhancedStatus>,
}

impl RefusalWords {
    fn of(stage: Stage, reply: &Reply) -> Self {
        Self { stage, code: reply.code, status: reply.status }
    }
}

/// What went before at an account.
#[derive(Debug, Default)]
pub(super) struct Precedents {
    /// The last recipients who got something, and when.
    successes: VecDeque<(AddressKey, Moment)>,
    /// Messages at which the dialogue broke since the last that did not; `None` for a client that waits.
    broken: Vec<Option<MessageId>>,
    /// Recipients that were refused in contested words since the last success.
    contested: Vec<AddressKey>,
    /// The complaint of the last messages, and those.
    complaint: Option<(RefusalWords, Vec<Option<MessageId>>)>,
    /// Complaints that have turned out to be about the pace.
    known: VecDeque<RefusalWords>,
    /// Refusals over a used connection that a new one has confirmed, and when.
    confirmed: VecDeque<(RefusalWords, Moment)>,
}

impl Precedents {
    /// Recipients got a message.
    pub(super) fn delivered<'a>(&mut self, to: impl Iterator<Item = &'a Address>, now: Moment) {
        for recipient in to {
            let key = recipient.key();
            self.successes.retain(|(known, _)| *known != key);
            self.successes.push_back((key, now));
            if self.successes.len() > REMEMBERED {
                self.successes.pop_front();
            }
        }
        self.contested.clear();
        self.complaint = None;
    }

    /// A dialogue came to its end.
    pub(super) fn answered(&mut self) {
        self.broken.clear();
    }

    /// A dialogue broke at a message. Whether it is the account's affair.
    pub(super) fn broke(&mut self, message: Option<MessageId>) -> bool {
        if self.broken.len() < BROKEN && (message.is_none() || !self.broken.contains(&message)) {
            self.broken.push(message);
        }
        self.broken.len() >= BROKEN
    }

    /// A recipient was refused in words that may be about us.
    pub(super) fn contest(&mut self, to: &Address) {
        let key = to.key();
        if self.contested.contains(&key) {
            return;
        }
        // Of one domain no more is needed: so the memory is bounded, and others still tell something.
        let domain = key.domain();
        let of_domain = self.contested.iter().filter(|known| known.domain() == domain).count();
        if of_domain < CONTESTED - 1 && self.contested.len() < CONTESTED {
            self.contested.push(key);
        }
    }

    /// Whose affair such words are, for a recipient.
    pub(super) fn concern(&self, to: &Address, now: Moment) -> Concern {
        let key = to.key();
        let proves = |(known, at): &(AddressKey, Moment)| *known != key && now.since(*at) <= SUCCESS;
        if self.successes.iter().any(proves) {
            return Concern::Recipient;
        }
        let mut domains: Vec<DomainKey> = self.contested.iter().map(AddressKey::domain).collect();
        domains.sort_unstable();
        domains.dedup();
        let settled = self.contested.len() >= CONTESTED && domains.len() >= DOMAINS;
        if settled { Concern::Account } else { Concern::Unsettled }
    }

    /// A new connection has refused what a used one did, alike.
    pub(super) fn confirm(&mut self, stage: Stage, reply: &Reply, now: Moment) {
        let complaint = RefusalWords::of(stage, reply);
        self.confirmed.retain(|(known, _)| *known != complaint);
        self.confirmed.push_back((complaint, now));
        if self.confirmed.len() > KNOWN {
            self.confirmed.pop_front();
        }
    }

    /// Whether that was so a short time ago.
    pub(super) fn is_confirmed(&self, stage: Stage, reply: &Reply, now: Moment) -> bool {
        let complaint = RefusalWords::of(stage, reply);
        self.confirmed.iter().any(|(known, at)| *known == complaint && now.since(*at) <= CONFIRMED)
    }

    /// A temporary refusal of a message as a whole. Whether it is known, or has turned out, to be about the pace.
    pub(super) fn is_about_pace(&mut self, stage: Stage, reply: &Reply, message: Option<MessageId>) -> bool {
        let complaint = RefusalWords::of(stage, reply);
        if !speaks_of_pace(reply) {
            self.complaint = None;
            return false;
        }
        if self.known.contains(&complaint) {
            return true;
        }
        let messages = match &mut self.complaint {
            Some((before, messages)) if *before == complaint => messages,
            other => &mut other.insert((complaint, Vec::new())).1,
        };
        if message.is_none() || !messages.contains(&message) {
            messages.push(message);
        }
        if messages.len() < COMPLAINTS {
            return false;
        }
        self.complaint = None;
        self.known.push_back(complaint);
        if self.known.len() > KNOWN {
            self.known.pop_front();
        }
        true
    }
}

/// Whether a refusal speaks of a rate, a limit, or of too much. Greylisting does not, nor do a mailbox and a message that are
/// too large (x.2.z, x.3.4).
fn speaks_of_pace(reply: &Reply) -> bool {
    if reply.status.is_some_and(|(_, subject, detail)| subject == 2 || (subject, detail) == (3, 4)) {
        return false;
    }
    let text = reply.lower_text();
    let has_word = text.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| WORDS.contains(&word));
    (has_word || PHRASES.iter().any(|phrase| text.contains(phrase))) && !is_greylisting(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn one_message_is_not_the_accounts_affair() {
        let mut before = Precedents::default();
        let id = |n| Some(MessageId(n));
        for _ in 0..10 {
            assert!(!before.broke(id(1)));
        }
        assert!(!before.broke(id(2)));
        before.answered();
        assert!(!before.broke(id(1)) && !before.broke(id(2)));
        assert!(before.broke(id(3)) && before.broke(id(3)));
        let mut before = Precedents::default();
        assert!(
            !before.broke(None) && !before.broke(None) && before.broke(None),
            "clients' are all different"
        );
    }

    #[test]
    fn contested_words_are_the_accounts_affair_when_nobody_gets_anything() {
        let mut before = Precedents::default();
        let now = Moment(10_000_000);
        for address in ["a@one.example", "b@one.example", "c@one.example", "d@one.example"] {
            before.contest(&to(address));
            assert_eq!(before.concern(&to(address), now), Concern::Unsettled, "one domain alone: {address}");
        }
        before.contest(&to("a@two.example"));
        assert_eq!(before.concern(&to("a@two.example"), now), Concern::Account);
        before.delivered([&to("in@house.example")].into_iter(), now);
        assert_eq!(before.concern(&to("a@two.example"), now), Concern::Recipient);
        assert_eq!(before.concern(&to("IN@house.example"), now), Concern::Unsettled, "it is its own success");
        let later = now.after(SUCCESS + Duration::from_secs(1));
        assert_eq!(before.concern(&to("a@two.example"), later), Concern::Unsettled);
    }

    #[test]
    fn the_same_complaint_three_times_is_about_the_pace() {
        let mut before = Precedents::default();
        let id = |n| Some(MessageId(n));
        let rate = Reply::new(450, (4, 7, 1), "Error: too much mail from 192.0.2.1");
        let mut pace = |reply: &Reply, n| before.is_about_pace(Stage::Mail, reply, id(n));
        assert!(!pace(&rate, 1) && !pace(&rate, 1) && !pace(&rate, 2));
        let other = Reply::new(451, (4, 3, 0), "try again");
        assert!(!pace(&other, 3) && !pace(&rate, 4) && !pace(&rate, 5), "in a row");
        assert!(pace(&rate, 6) && pace(&rate, 6), "known from now on");
        assert!(!pace(&other, 7));
    }

    #[test]
    fn what_speaks_of_the_pace() {
        for (status, text, want) in [
            ((4, 7, 1), "Error: too much mail from 192.0.2.1", true),
            ((4, 7, 0), "Rate limit exceeded", true),
            ((4, 7, 0), "rate-limited, slow down", true),
            ((4, 5, 3), "Too many messages in this session", true),
            ((4, 3, 2), "system is moderately busy, temporarily separate", false),
            ((4, 7, 1), "Greylisted: too many new senders", false),
            ((4, 2, 2), "mailbox over its limit", false),
            ((4, 3, 4), "message over the size limit", false),
        ] {
            assert_eq!(speaks_of_pace(&Reply::new(450, status, text)), want, "{text}");
        }
    }
}
