//! The blacklist by many entries.

use mailsluice::store::*;
use mailsluice::time::Moment;

use super::MemoryStore;

impl MemoryStore {
    /// What has not expired, ordered.
    pub(super) fn all_listed(&self) -> Vec<BlacklistEntry> {
        let mut all = self.state().blacklist.clone();
        all.extend(self.blacklist.iter().map(|entry| (entry.pattern.clone(), entry.clone())));
        all.into_values().filter(|entry| entry.expires.is_none_or(|end| end > self.now())).collect()
    }

    pub(super) fn listed_page(&self, filter: &BlacklistFilter) -> BlacklistPage {
        let mut entries = self.all_listed();
        let place = |pattern: &str| {
            let by_domain = matches!(filter.search, Some(BlacklistSearch::Domain(_)));
            (if by_domain { pattern_domain(pattern).to_owned() } else { String::new() }, pattern.to_owned())
        };
        entries.sort_by_key(|entry| place(&entry.pattern));
        entries.retain(|entry| match &filter.search {
            None => true,
            Some(BlacklistSearch::Address(start)) => entry.pattern.starts_with(start),
            Some(BlacklistSearch::Domain(start)) => pattern_domain(&entry.pattern).starts_with(start),
            Some(BlacklistSearch::Text(texts)) => BlacklistSearch::has(texts, &entry.pattern, &entry.reason),
        });
        if let Some(after) = &filter.after {
            entries.retain(|entry| place(&entry.pattern) > place(after));
        }
        let limit = filter.limit as usize;
        let next = entries.get(limit).and(entries.get(limit - 1)).map(|last| last.pattern.clone());
        entries.truncate(limit);
        BlacklistPage { entries, next }
    }

    pub(super) fn import(&self, new: ImportedEntry) -> ListingEnd {
        let wall = self.timeline.wall().as_millisecond();
        let entry = BlacklistEntry {
            pattern: pattern_key(&new.pattern),
            reason: new.reason,
            source: new.source,
            added: new.added.unwrap_or(wall),
            expires: new.expires.map(|end| Moment(self.now().0 + end - wall)),
        };
        if entry.expires.is_some_and(|end| end <= self.now()) {
            return ListingEnd::Expired;
        }
        let known = self.all_listed().into_iter().find(|known| known.pattern == entry.pattern);
        let end = match known {
            None => ListingEnd::Added,
            Some(known)
                if known == (BlacklistEntry { added: new.added.unwrap_or(known.added), ..entry.clone() }) =>
            {
                return ListingEnd::Unchanged;
            }
            Some(_) => ListingEnd::Replaced,
        };
        self.state().blacklist.insert(entry.pattern.clone(), entry);
        end
    }

    pub(super) fn learn(&self, mailbox: LearnedMailbox) -> Learned {
        let mut entry = BlacklistEntry {
            pattern: pattern_key(&mailbox.address),
            reason: mailbox.reason,
            source: BlacklistSource::Learned,
            added: self.timeline.wall().as_millisecond(),
            expires: mailbox.lasts.map(|lasts| self.now().after(lasts)),
        };
        let known = self.all_listed().into_iter().find(|known| known.pattern == entry.pattern);
        let end = match known {
            None => ListingEnd::Added,
            Some(known) if known.source == BlacklistSource::Manual => {
                return Learned { end: ListingEnd::Kept, entry: known };
            }
            Some(known) => {
                let never = Moment(i64::MAX);
                let later = known.expires.unwrap_or(never).max(entry.expires.unwrap_or(never));
                entry.expires = (later < never).then_some(later);
                ListingEnd::Replaced
            }
        };
        self.state().blacklist.insert(entry.pattern.clone(), entry.clone());
        Learned { end, entry }
    }
}
