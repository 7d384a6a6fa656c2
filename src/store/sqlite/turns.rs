//! Whose turn it is. Pure: what is in the tables is told to it, and it says whom to look up.
//!
//! A turn is one message. In each lane:
//!
//! - our own reports go first, always;
//! - then high before normal before low, but when a priority has had nine turns while a lower one had mail due, the
//!   tenth goes to the lower ones, by the same rule among these;
//! - within a priority the submitters that have mail due go round in a ring; who comes to have some enters at its end;
//! - within a submitter the longest due goes first.
//!
//! A lane costs memory for its submitters, not for its messages: each is in the ring, or asleep until its first message
//! is due. A turn costs a look-up in the index for what the submitter has due, and one for what it has next, whatever
//! else waits; who is asleep costs nothing until it wakes. What is here may say too much (a message that was deleted
//! since): then the look-up finds nothing, and the submitter is dropped, which is paid for by the write that named it.
//! It must never say too little, so each write that makes a message wait names it here, and a lane is forgotten when
//! writes were undone. What is not here is read from the index at the next claim, as after a start.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use crate::store::{LaneName, Priority};
use crate::time::Moment;

/// Priorities, the first to go first.
pub(super) const PRIORITIES: [Priority; 4] =
    [Priority::Report, Priority::High, Priority::Normal, Priority::Low];
/// Turns that a priority has in succession while a lower one has mail due.
pub(super) const IN_SUCCESSION: u64 = 9;

/// All lanes that are in use.
#[derive(Debug, Default)]
pub(super) struct Turns {
    lanes: HashMap<LaneName, LaneTurns>,
}

/// A lane.
#[derive(Debug, Default)]
pub(super) struct LaneTurns {
    classes: [PriorityTurns; PRIORITIES.len()],
}

/// The submitters that have mail of one priority waiting.
#[derive(Debug, Default)]
struct PriorityTurns {
    /// Those that have mail due, the next first.
    ring: VecDeque<Arc<str>>,
    /// Those whose first message is due then.
    asleep: BTreeSet<(Moment, Arc<str>)>,
    /// All of them; `None`: in the ring.
    known: HashMap<Arc<str>, Option<Moment>>,
    /// Turns since a lower priority had one, counted while a lower one had mail due.
    passed: u64,
}

/// A submitter whose turn it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) priority: Priority,
    pub(super) submitter: Arc<str>,
}

impl Turns {
    /// A message waits, or is due earlier than it was.
    pub(super) fn waits(&mut self, lane: &LaneName, priority: u8, submitter: &str, due: Moment) {
        let class = self.lanes.get_mut(lane).and_then(|lane| lane.classes.get_mut(usize::from(priority)));
        if let Some(class) = class {
            class.waits(submitter, due);
        }
    }

    /// What was named here may have been undone, and what was taken may be back.
    pub(super) fn forget(&mut self) {
        self.lanes.clear();
    }

    /// The lane, unless it has to be read first.
    pub(super) fn lane(&mut self, lane: &LaneName) -> Option<&mut LaneTurns> {
        self.lanes.get_mut(lane)
    }

    /// Takes in what was read of a lane: priorities and submitters with the moment when their first message is due.
    pub(super) fn read(&mut self, lane: &LaneName, waiting: Vec<(u8, String, Moment)>) {
        self.lanes.insert(lane.clone(), LaneTurns::default());
        for (priority, submitter, due) in waiting {
            self.waits(lane, priority, &submitter, due);
        }
    }
}

impl LaneTurns {
    /// Whose turn it is at `now`, but for those that are passed over: they keep their places. It stays so until
    /// [`LaneTurns::served`] or [`LaneTurns::rests`] is told, or somebody that goes before has mail due.
    pub(super) fn next(&mut self, now: Moment, passed_over: &[Turn]) -> Option<Turn> {
        self.classes.iter_mut().for_each(|class| class.awake(now));
        let firsts: [Option<Arc<str>>; PRIORITIES.len()] = std::array::from_fn(|place| {
            let is_passed = |submitter: &Arc<str>| {
                passed_over.iter().any(|turn| turn.priority as usize == place && turn.submitter == *submitter)
            };
            self.classes[place].ring.iter().find(|submitter| !is_passed(submitter)).cloned()
        });
        let lower_waits = |place: usize| firsts[place + 1..].iter().any(Option::is_some);
        let may = |place: &usize| {
            PRIORITIES[*place] == Priority::Report
                || self.classes[*place].passed < IN_SUCCESSION
                || !lower_waits(*place)
        };
        let place = (0..PRIORITIES.len()).filter(|place| firsts[*place].is_some()).find(may)?;
        let submitter = firsts[place].clone()?;
        Some(Turn { priority: PRIORITIES[place], submitter })
    }

    /// When something is due, as far as is known: now for those whose turn comes.
    pub(super) fn due(&self, now: Moment) -> Option<Moment> {
        if self.classes.iter().any(|class| !class.ring.is_empty()) {
            return Some(now);
        }
        self.classes.iter().filter_map(|class| class.asleep.first()).map(|(due, _)| *due).min()
    }

    /// The submitter had its turn. `due` is when its next message is due, if it has one.
    pub(super) fn served(&mut self, turn: &Turn, due: Option<Moment>, now: Moment) {
        let place = turn.priority as usize;
        for above in &mut self.classes[..place] {
            above.passed = 0;
        }
        if self.lower_waits(place) {
            self.classes[place].passed += 1;
        }
        self.classes[place].reposition(&turn.submitter, due, now);
    }

    /// The submitter had nothing for its turn after all.
    pub(super) fn not_served(&mut self, turn: &Turn, due: Option<Moment>, now: Moment) {
        self.classes[turn.priority as usize].reposition(&turn.submitter, due, now);
    }

    fn lower_waits(&self, place: usize) -> bool {
        self.classes[place + 1..].iter().any(|class| !class.ring.is_empty())
    }
}

impl PriorityTurns {
    fn waits(&mut self, submitter: &str, due: Moment) {
        match self.known.get_key_value(submitter) {
            Some((_, None)) => {}
            Some((_, Some(known))) if *known <= due => {}
            Some((name, Some(known))) => {
                let name = name.clone();
                self.asleep.remove(&(*known, name.clone()));
                self.sleeps(name, due);
            }
            None => self.sleeps(submitter.into(), due),
        }
    }

    fn sleeps(&mut self, submitter: Arc<str>, due: Moment) {
        self.known.insert(submitter.clone(), Some(due));
        self.asleep.insert((due, submitter));
    }

    /// Who has mail due by `now` enters the ring, the longest due first.
    fn awake(&mut self, now: Moment) {
        while let Some((due, submitter)) = self.asleep.pop_first() {
            if due > now {
                self.asleep.insert((due, submitter));
                return;
            }
            self.known.insert(submitter.clone(), None);
            self.ring.push_back(submitter);
        }
    }

    /// Moves one of the ring to where it belongs now.
    fn reposition(&mut self, submitter: &Arc<str>, due: Option<Moment>, now: Moment) {
        // The first, but for those that were passed over.
        let Some(place) = self.ring.iter().position(|other| other == submitter) else { return };
        self.ring.remove(place);
        match due {
            Some(due) if due <= now => self.ring.push_back(submitter.clone()),
            Some(due) => self.sleeps(submitter.clone(), due),
            None => {
                self.known.remove(submitter);
            }
        }
    }
}
