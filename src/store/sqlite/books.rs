//! The ledger of the limits, as the writer and those who only look share it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::config::Window;
use crate::limits::{AccountKey, Amount, Ceilings, Counts, Ledger, Scope, Wait};
use crate::store::PermitId;
use crate::time::{Moment, Timeline};

/// For so long at least a window is counted for which nobody asks.
const SOON: Duration = Duration::from_hours(1);

/// What has been counted, and which permits are open.
#[derive(Debug, Clone, Default)]
pub(super) struct Books(Arc<Mutex<OpenBooks>>);

#[derive(Debug, Default)]
pub(super) struct OpenBooks {
    pub(super) ledger: Ledger,
    /// The windows without a name in which everything is counted in the table, too, and when somebody asked for each last.
    /// `None`: the table was not asked yet.
    pub(super) windows: Option<CountedWindows>,
    /// Permits that have no message in the queue, with what they count as: the table says only how much they may come to.
    pub(super) permits: HashMap<PermitId, OpenPermit>,
}

/// Windows without a name in which everything is counted.
#[derive(Debug, Clone, Default)]
pub(super) struct CountedWindows {
    all: Vec<Window>,
    asked: Vec<Moment>,
}

impl CountedWindows {
    /// Those that the table knows. Who asked for them has gone.
    pub(super) fn new(all: Vec<Window>, now: Moment) -> Self {
        Self { asked: vec![now; all.len()], all }
    }

    /// Somebody asks for a window. Whether it is counted.
    pub(super) fn ask(&mut self, window: Window, now: Moment) -> bool {
        let place = self.all.iter().position(|counted| *counted == window);
        place.map(|place| self.asked[place] = now).is_some()
    }

    pub(super) fn add(&mut self, window: Window, now: Moment) {
        self.all.push(window);
        self.asked.push(now);
    }

    /// Without those for which nobody has asked for as long as they are: nothing that was sent under them still counts. Should
    /// one be asked for again, the next longer one tells what others have sent.
    pub(super) fn in_use(&self, now: Moment) -> Self {
        let mut left = Self::default();
        for (&window, &asked) in self.all.iter().zip(&self.asked) {
            if asked.after(window.length().max(SOON)) > now {
                left.all.push(window);
                left.asked.push(asked);
            }
        }
        left
    }

    pub(super) fn all(&self) -> &[Window] {
        &self.all
    }
}

#[derive(Debug, Clone)]
pub(super) struct OpenPermit {
    pub(super) account: AccountKey,
    pub(super) taken: Amount,
    /// Recipients that the table holds.
    pub(super) recorded: u32,
}

/// What becomes of an extension in the books alone.
#[derive(Debug)]
pub(super) enum Extension {
    Granted,
    Blocked(Wait),
    /// The permit has ended.
    Ended,
    /// The tables must be read or written first.
    NeedsTables,
}

impl Books {
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut OpenBooks) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The counts of these scopes, if all of them are here. With `sure`, they must be beyond doubt, too.
    pub(super) fn snapshot(&self, scopes: &[Scope], sure: bool) -> Option<Vec<Counts>> {
        self.with(|books| {
            let fits = |scope: &&Scope| !sure || books.ledger.knows(scope);
            scopes
                .iter()
                .map(|scope| Some(scope).filter(fits).and_then(|scope| books.ledger.snapshot(scope)))
                .collect()
        })
    }

    /// What may go now, if all that limits it is known.
    pub(super) fn room(
        &self,
        ceilings: &[(Scope, Ceilings)],
        needed: &Amount,
        timeline: &Timeline,
    ) -> Option<Result<Amount, Wait>> {
        self.with(|books| {
            let known = limited(ceilings).all(|(scope, _)| books.ledger.knows(scope));
            known.then(|| books.ledger.room(ceilings, needed, timeline.now(), timeline))
        })
    }

    /// Adds to a permit, as far as that can be done without the tables.
    pub(super) fn extend(
        &self,
        permit: PermitId,
        ceilings: &[(Scope, Ceilings)],
        more: &Amount,
        timeline: &Timeline,
    ) -> Extension {
        self.with(|books| books.extend(permit, ceilings, more, timeline))
    }
}

impl OpenBooks {
    /// The windows without a name in which everything is counted.
    pub(super) fn windows(&self) -> &[Window] {
        self.windows.as_ref().map_or(&[], CountedWindows::all)
    }

    fn extend(
        &mut self,
        permit: PermitId,
        ceilings: &[(Scope, Ceilings)],
        more: &Amount,
        timeline: &Timeline,
    ) -> Extension {
        let Some(open) = self.permits.get_mut(&permit) else { return Extension::Ended };
        let known = limited(ceilings).all(|(scope, _)| self.ledger.knows(scope));
        let mut all = open.taken;
        all += Amount { messages: 0, ..*more };
        // The table says what counts should we die.
        if !known || all.recipients > open.recorded || more.octets > 0 {
            return Extension::NeedsTables;
        }
        let now = timeline.now();
        if let Err(wait) = self.ledger.room_for_more(ceilings, more, now, timeline) {
            return Extension::Blocked(wait);
        }
        open.taken = all;
        let account = open.account.clone();
        self.ledger.join(&account, &Amount { messages: 0, ..*more }, &all);
        Extension::Granted
    }
}

/// The scopes that have limits: only these need be counted.
pub(super) fn limited(ceilings: &[(Scope, Ceilings)]) -> impl Iterator<Item = &(Scope, Ceilings)> {
    ceilings.iter().filter(|(_, ceilings)| !ceilings.is_unlimited())
}
