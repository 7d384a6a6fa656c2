//! Is there room, and if not, until when?

use super::amount::Amount;
use super::ceilings::Ceilings;
use super::counts::Counts;
use super::scope::Scope;
use super::wait::Wait;
use crate::time::{Moment, Timeline};

/// A scope with what is in force for it and what it has sent.
#[derive(Debug)]
pub struct ScopeLimits<'a> {
    /// Whose limits these are.
    pub scope: &'a Scope,
    /// What is in force.
    pub ceilings: &'a Ceilings,
    /// What was sent. Only what has left its window is taken out.
    pub counts: &'a mut Counts,
}

/// How much may go now, if the next transaction needs so much: the least that any of the scopes has room for.
///
/// # Errors
/// Nothing may go now: why, and until when. Of several waits it is the one that lasts longest.
pub fn room(
    parts: &mut [ScopeLimits<'_>],
    needed: &Amount,
    now: Moment,
    timeline: &Timeline,
) -> Result<Amount, Wait> {
    let mut room = Amount::UNLIMITED;
    let mut wait: Option<Wait> = None;
    for part in parts {
        match part.counts.room(part.ceilings, needed, now, timeline) {
            Ok(here) => room = room.min(here),
            Err(here) => wait = Some(Wait::later(wait, here.of(part.scope))),
        }
    }
    wait.map_or(Ok(room), Err)
}

/// Whether a transaction that is under way may have so much more; its `messages` do not matter.
///
/// # Errors
/// There is no room for it now: why, and until when.
pub fn room_for_more(
    parts: &mut [ScopeLimits<'_>],
    more: &Amount,
    now: Moment,
    timeline: &Timeline,
) -> Result<(), Wait> {
    let mut wait: Option<Wait> = None;
    for part in parts {
        if let Err(here) = part.counts.room_for_more(part.ceilings, more, now, timeline) {
            wait = Some(Wait::later(wait, here.of(part.scope)));
        }
    }
    wait.map_or(Ok(()), Err)
}
