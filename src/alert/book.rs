//! The book of troubles: what was told of each, and so what is to be told now. Pure; the moment is handed in.
//!
//! Of one trouble an alert is told once a day at most, whatever it does meanwhile, and its end once for each alert. So one that
//! comes and goes is told of twice a day. All together no more than [`MOST_IN_AN_HOUR`] alerts begin in an hour; what is more
//! waits for its turn.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::trouble::{StandingTrouble, TroubleKey, Troubles};
use crate::time::Moment;

/// How long nothing more is told of a trouble that was told.
const DAY: Duration = Duration::from_hours(24);
/// How long a trouble must be gone until it is over.
pub(super) const SETTLED: Duration = Duration::from_mins(1);
/// Alerts of all kinds within [`HOUR`].
pub(super) const MOST_IN_AN_HOUR: usize = 20;
const HOUR: Duration = Duration::from_hours(1);
/// Troubles that are remembered; of more the first by their names.
const MOST: usize = 500;

/// What was told of the troubles of the last day, and of those that stand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TroubleBook(BTreeMap<TroubleKey, Entry>);

/// A trouble in the book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    key: TroubleKey,
    /// When it began.
    since: i64,
    /// When an alert was told of it last; `None` while that waits for its turn.
    told: Option<i64>,
    /// Whether its end has yet to be told.
    open: bool,
    /// Since when it is gone, if it is.
    gone: Option<i64>,
    /// How near it was when it was told.
    step: Option<u64>,
    /// What was told.
    text: String,
    action: String,
}

/// Something that is to be told now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TroubleNews {
    /// The trouble, as it was when it stood.
    pub trouble: StandingTrouble,
    /// When it began.
    pub since: Moment,
    /// Whether it stands, or is over.
    pub is_over: bool,
}

impl TroubleBook {
    /// The book as it was written down; an empty one when that can't be read.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let entries: Vec<Entry> = serde_json::from_str(text).unwrap_or_default();
        Self(entries.into_iter().map(|entry| (entry.key.clone(), entry)).collect())
    }

    /// The book to be written down.
    ///
    /// # Panics
    /// Never: plain fields always serialise.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(&self.0.values().collect::<Vec<_>>()).expect("plain fields always serialise")
    }

    /// Takes what stands now, and says what is to be told. What it says counts as told.
    pub fn look(&mut self, standing: &Troubles, now: Moment) -> Vec<TroubleNews> {
        let mut news = Vec::new();
        for trouble in &standing.troubles {
            self.stands(trouble, now, &mut news);
        }
        let keys: Vec<TroubleKey> = self.0.keys().cloned().collect();
        for key in keys {
            let stands = standing.troubles.iter().any(|trouble| trouble.key == key);
            if !stands && !standing.is_unclear(&key) {
                self.is_gone(&key, now, &mut news);
            }
        }
        news
    }

    /// When a look may have something to tell though nothing has changed.
    #[must_use]
    pub fn next_look(&self) -> Option<Moment> {
        let next = |entry: &Entry| match (entry.gone.filter(|_| entry.open), entry.told) {
            (Some(gone), _) => Some(Moment(gone).after(SETTLED)),
            (None, told) => told.map(|told| Moment(told).after(DAY)),
        };
        self.0.values().filter_map(next).min()
    }

    fn stands(&mut self, trouble: &StandingTrouble, now: Moment, news: &mut Vec<TroubleNews>) {
        let has_turn = self.has_turn(now);
        if !self.0.contains_key(&trouble.key) && self.0.len() >= MOST {
            return;
        }
        let entry = self.0.entry(trouble.key.clone()).or_insert_with(|| Entry::new(trouble, now));
        if !entry.open && entry.gone.is_some() {
            entry.since = now.0;
        }
        entry.gone = None;
        let is_due = entry.told.is_none_or(|told| now.since(Moment(told)) >= DAY);
        // What has yet to come is told again when it is nearer.
        let is_nearer = !entry.open || trouble.step.is_none() || trouble.step < entry.step;
        if is_due && is_nearer && has_turn {
            entry.told = Some(now.0);
            entry.open = true;
            entry.step = trouble.step;
            entry.text.clone_from(&trouble.text);
            entry.action.clone_from(&trouble.action);
            news.push(TroubleNews { trouble: trouble.clone(), since: Moment(entry.since), is_over: false });
        }
    }

    fn is_gone(&mut self, key: &TroubleKey, now: Moment, news: &mut Vec<TroubleNews>) {
        let Some(entry) = self.0.get_mut(key) else { return };
        let gone = Moment(*entry.gone.get_or_insert(now.0));
        if entry.open && now.since(gone) >= SETTLED {
            entry.open = false;
            news.push(TroubleNews { trouble: entry.trouble(), since: Moment(entry.since), is_over: true });
        }
        let is_forgotten = entry.told.is_none_or(|told| now.since(Moment(told)) >= DAY);
        if !entry.open && is_forgotten {
            self.0.remove(key);
        }
    }

    /// Whether another alert may begin.
    fn has_turn(&self, now: Moment) -> bool {
        let within = |entry: &&Entry| entry.told.is_some_and(|told| now.since(Moment(told)) < HOUR);
        self.0.values().filter(within).count() < MOST_IN_AN_HOUR
    }
}

impl Entry {
    fn new(trouble: &StandingTrouble, now: Moment) -> Self {
        Self {
            key: trouble.key.clone(),
            since: now.0,
            told: None,
            open: false,
            gone: None,
            step: trouble.step,
            text: trouble.text.clone(),
            action: trouble.action.clone(),
        }
    }

    fn trouble(&self) -> StandingTrouble {
        StandingTrouble {
            key: self.key.clone(),
            text: self.text.clone(),
            action: self.action.clone(),
            step: self.step,
        }
    }
}

#[cfg(test)]
mod tests;
