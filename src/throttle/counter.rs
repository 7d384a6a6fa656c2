//! What one login has sent and may send; or all logins of an upstream together.

use std::time::Duration;

use super::calendar::Period;
use super::learned::{Learned, Slowdown};
use super::slots::Slots;
use super::{AccountLoad, Cause, LimitLine, Wait};
use crate::config::{Limits, Pace, Quota, Window};
use crate::store::UsageRow;
use crate::time::Moment;

/// The periods of the calendar around the present, where an account's windows follow it; in the order of [`Window::ALL`].
pub(super) type Periods = Option<[Period; 4]>;

/// How much is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) messages: u32,
    pub(super) recipients: u32,
}

impl Room {
    const ALL: Self = Self { messages: u32::MAX, recipients: u32::MAX };

    pub(super) fn min(self, other: Self) -> Self {
        Self {
            messages: self.messages.min(other.messages),
            recipients: self.recipients.min(other.recipients),
        }
    }
}

#[derive(Debug)]
pub(super) struct Counter {
    /// Whether the configuration has it.
    pub(super) known: bool,
    limits: Limits,
    windows: [Slots; 4],
    /// Messages and recipients of transactions that are under way.
    under_way: (u64, u64),
    /// Room that is kept while the store is asked what is to go: it will be under way, or free again, in a moment.
    kept: (u64, u64),
    /// With an even pace: when the next transaction may start.
    even_from: Moment,
    /// There was no room for so many recipients, and why; `None` when something has changed since.
    full: Option<(u32, Wait)>,
    batch: Batch,
    paused: Option<Paused>,
    pub(super) learned: Learned,
    /// Connections that are open.
    connections: u32,
    /// Whether nothing goes by it until a person has seen to it: a forecast counts on nothing then.
    pub(super) stopped: bool,
}

#[derive(Debug, Default)]
struct Batch {
    /// Transactions of the batch that have begun.
    begun: u32,
    /// When the last transaction ended.
    last: Option<Moment>,
}

/// No mail until then, by the provider's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Paused {
    pub(super) until: Moment,
    pub(super) reason: String,
}

impl Default for Counter {
    fn default() -> Self {
        Self {
            known: false,
            limits: Limits::default(),
            windows: Window::ALL.map(Slots::new),
            under_way: (0, 0),
            kept: (0, 0),
            even_from: Moment(i64::MIN),
            full: None,
            batch: Batch::default(),
            paused: None,
            learned: Learned::default(),
            connections: 0,
            stopped: false,
        }
    }
}

impl Counter {
    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn set_limits(&mut self, limits: &Limits) {
        self.full = None;
        self.known = true;
        self.stopped = false;
        if self.limits != *limits {
            // What was learned was learned under other limits.
            self.learned = Learned::default();
            self.limits = limits.clone();
        }
        self.even_from = Moment(i64::MIN);
    }

    pub(super) fn restore(&mut self, row: &UsageRow) {
        self.full = None;
        self.windows[row.window as usize].add(row.slot, row.messages, row.recipients);
    }

    /// What may go now, if the next message has this many recipients.
    pub(super) fn room(&mut self, needed: u32, now: Moment, periods: Periods) -> Result<Room, Wait> {
        let needed = needed.max(1);
        // Of a hundred accounts all but one may be full: they are not to be counted through for each message.
        if let Some((least, wait)) = &self.full
            && needed >= *least
            && wait.until.is_some_and(|until| now < until)
        {
            return Err(wait.clone());
        }
        let room = self.room_by_counts(needed, now, periods);
        self.full = room.as_ref().err().map(|wait| (needed, wait.clone()));
        room
    }

    fn room_by_counts(&mut self, needed: u32, now: Moment, periods: Periods) -> Result<Room, Wait> {
        if let Some(paused) = self.paused.take_if(|paused| paused.until <= now).or(self.paused.clone())
            && paused.until > now
        {
            return Err(Wait { cause: Cause::Provider(paused.reason), until: Some(paused.until) });
        }
        let mut room = Room::ALL;
        let mut wait: Option<Wait> = None;
        for window in Window::ALL {
            match self.room_in(window, needed, now, periods) {
                Ok(here) => room = room.min(here),
                Err(here) => wait = Some(Wait::later(wait, here)),
            }
        }
        if let Some(wait) = wait {
            return Err(wait);
        }
        room.messages = room.messages.min(self.batch_left(now)?);
        if self.paces_evenly() {
            if now < self.even_from {
                return Err(Wait { cause: Cause::Even, until: Some(self.even_from) });
            }
            if self.kept.0 > 0 {
                return Err(Wait::RESERVED);
            }
            room.messages = 1;
        }
        Ok(room)
    }

    /// Whether a transaction that is under way may have more recipients. That it is one message is counted already: a
    /// window that its messages fill is not in the way.
    pub(super) fn room_for_more(&mut self, more: u32, now: Moment, periods: Periods) -> Result<(), Wait> {
        let messages = self.under_way.0;
        self.under_way.0 = messages.saturating_sub(1);
        let rooms = Window::ALL.map(|window| self.room_in(window, more, now, periods));
        self.under_way.0 = messages;
        let waits = rooms.into_iter().filter_map(Result::err);
        waits.fold(None, |wait, other| Some(Wait::later(wait, other))).map_or(Ok(()), Err)
    }

    fn room_in(&mut self, window: Window, needed: u32, now: Moment, periods: Periods) -> Result<Room, Wait> {
        let period = periods.map(|periods| periods[window as usize]);
        let (quota, learned) = self.quota(window);
        let slots = &mut self.windows[window as usize];
        slots.expire(now, period);
        let left = |limit: Option<u32>, used: u64| {
            limit.map_or(u32::MAX, |limit| {
                u32::try_from(u64::from(limit).saturating_sub(used)).unwrap_or(u32::MAX)
            })
        };
        let used = (slots.messages() + self.under_way.0, slots.recipients() + self.under_way.1);
        let room = |kept: (u64, u64)| Room {
            messages: left(quota.messages, used.0 + kept.0),
            recipients: left(quota.recipients, used.1 + kept.1),
        };
        let fits = |room: Room| room.messages > 0 && room.recipients >= needed;
        match (room(self.kept), room((0, 0))) {
            (room, _) if fits(room) => return Ok(room),
            (_, room) if fits(room) => return Err(Wait::RESERVED),
            _ => {}
        }
        // What the slots must come down to, if that helps at all.
        let target = |limit: Option<u32>, under_way: u64, need: u64| {
            limit.map(|limit| u64::from(limit).checked_sub(under_way + need))
        };
        let messages = target(quota.messages, self.under_way.0, 1);
        let recipients = target(quota.recipients, self.under_way.1, u64::from(needed));
        let until = match (messages, recipients) {
            (Some(None), _) | (_, Some(None)) => None,
            (messages, recipients) => slots.down_to(messages.flatten(), recipients.flatten(), period),
        };
        let cause = if learned && room((0, 0)).messages == 0 { Cause::Slowed } else { Cause::Window(window) };
        Err(Wait { cause, until })
    }

    /// The quota in force, and whether its messages are what was learned.
    fn quota(&self, window: Window) -> (Quota, bool) {
        let quota = self.limits.quota(window);
        match self.learned.per_minute() {
            Some(learned)
                if window == Window::Minute && quota.messages.is_none_or(|limit| learned < limit) =>
            {
                (Quota { messages: Some(learned), ..quota }, true)
            }
            _ => (quota, false),
        }
    }

    /// Transactions that the batch still takes.
    fn batch_left(&mut self, now: Moment) -> Result<u32, Wait> {
        let Some(batch) = self.limits.batch else {
            return Ok(u32::MAX);
        };
        let resume = self.batch.last.map(|last| last.after(batch.pause));
        let idle = self.under_way.0 == 0;
        if idle && resume.is_none_or(|resume| resume <= now) {
            self.batch = Batch::default();
        }
        let left = batch.messages.saturating_sub(self.batch.begun);
        match left.saturating_sub(u32::try_from(self.kept.0).unwrap_or(u32::MAX)) {
            0 if left > 0 => Err(Wait::RESERVED),
            0 => Err(Wait { cause: Cause::Batch, until: resume.filter(|_| idle) }),
            left => Ok(left),
        }
    }

    /// Room is kept for what is about to be claimed.
    pub(super) fn keep(&mut self, messages: u32, recipients: u32) {
        self.kept.0 += u64::from(messages);
        self.kept.1 += u64::from(recipients);
    }

    /// Room that was kept is free again.
    pub(super) fn give_back(&mut self, messages: u32, recipients: u32) {
        self.full = None;
        self.kept.0 = self.kept.0.saturating_sub(u64::from(messages));
        self.kept.1 = self.kept.1.saturating_sub(u64::from(recipients));
    }

    /// A transaction begins, in room that was kept and given back just now.
    pub(super) fn begin(&mut self, recipients: u32, now: Moment) {
        self.under_way.0 += 1;
        self.batch.begun += 1;
        self.join(recipients, recipients, now);
    }

    /// A transaction that is under way gets so many recipients more, and has so many then.
    pub(super) fn join(&mut self, more: u32, all: u32, now: Moment) {
        self.under_way.1 += u64::from(more);
        if self.paces_evenly() {
            self.even_from = now.after(self.even_distance(all));
        }
    }

    /// A transaction that was begun for `taken` recipients ends.
    pub(super) fn end(&mut self, taken: u32, counted: Option<(u32, u32, Moment)>) {
        self.full = None;
        self.under_way.0 = self.under_way.0.saturating_sub(1);
        self.under_way.1 = self.under_way.1.saturating_sub(u64::from(taken));
        let Some((messages, recipients, ended)) = counted else {
            self.batch.begun = self.batch.begun.saturating_sub(1);
            return;
        };
        self.batch.last = self.batch.last.max(Some(ended));
        for (window, slots) in Window::ALL.into_iter().zip(&mut self.windows) {
            slots.add(window.slot(ended), messages, recipients);
        }
    }

    /// Forgets what was counted, a pause and what was learned; tells in words of the last two.
    pub(super) fn reset(&mut self, windows: &[Window], now: Moment) -> Vec<String> {
        self.full = None;
        let forgotten = self.held_back(now);
        for &window in windows {
            self.windows[window as usize].clear();
        }
        self.even_from = Moment(i64::MIN);
        self.batch = Batch::default();
        self.paused = None;
        self.learned = Learned::default();
        forgotten
    }

    /// What holds it back beside the configured limits, in words.
    fn held_back(&self, now: Moment) -> Vec<String> {
        let paused = self.paused(now).map(|paused| format!("a pause: {}", paused.reason));
        let slowed = self.learned.words().map(|pace| format!("slowed down to {pace}"));
        paused.into_iter().chain(slowed).collect()
    }

    pub(super) fn pause(&mut self, paused: Paused, now: Moment) -> bool {
        self.full = None;
        let is_news = self.paused(now).is_none();
        if self.paused.as_ref().is_none_or(|before| before.until < paused.until) {
            self.paused = Some(paused);
        }
        is_news
    }

    pub(super) fn first_departure(&mut self, window: Window, now: Moment) -> Option<Moment> {
        let slots = &mut self.windows[window as usize];
        slots.expire(now, None);
        slots.departures().next().map(|(at, ..)| at)
    }

    pub(super) fn paused(&self, now: Moment) -> Option<&Paused> {
        self.paused.as_ref().filter(|paused| paused.until > now)
    }

    /// The provider wants us to be slower; tells the new pace in words when it has changed.
    pub(super) fn slow_down(&mut self, slowdown: Slowdown, now: Moment) -> Option<String> {
        self.full = None;
        let configured = self.limits.quota(Window::Minute).messages;
        self.learned.slow_down(slowdown, configured, (self.connections, self.limits.connections), now)
    }

    /// The provider has taken a message; tells the new pace in words when it has changed.
    pub(super) fn delivered(&mut self, now: Moment) -> Option<String> {
        self.full = None;
        let configured = self.limits.quota(Window::Minute).messages;
        self.learned.delivered(configured, self.limits.connections, now)
    }

    /// Connections that may still be opened.
    pub(super) fn free_connections(&self) -> u32 {
        self.most_connections().saturating_sub(self.connections)
    }

    pub(super) fn is_over_connections(&self) -> bool {
        self.connections > self.most_connections()
    }

    fn most_connections(&self) -> u32 {
        self.learned.connections().unwrap_or(u32::MAX).min(self.limits.connections)
    }

    pub(super) fn connect(&mut self) {
        self.connections += 1;
    }

    pub(super) fn disconnect(&mut self) {
        self.connections = self.connections.saturating_sub(1);
    }

    pub(super) fn line(
        &mut self,
        (upstream, account): (&str, &str),
        window: Window,
        now: Moment,
        periods: Periods,
    ) -> LimitLine {
        let period = periods.map(|periods| periods[window as usize]);
        let (quota, _) = self.quota(window);
        let slots = &mut self.windows[window as usize];
        slots.expire(now, period);
        let messages_used = slots.messages() + self.under_way.0;
        let recipients_used = slots.recipients() + self.under_way.1;
        let full = |limit: Option<u32>, used: u64| limit.is_some_and(|limit| used >= u64::from(limit));
        let is_full = full(quota.messages, messages_used) || full(quota.recipients, recipients_used);
        let below = |limit: Option<u32>| limit.map(|limit| u64::from(limit).saturating_sub(1));
        let next_free = is_full
            .then(|| slots.down_to(below(quota.messages), below(quota.recipients), period))
            .flatten()
            .max(self.paused(now).map(|paused| paused.until));
        LimitLine {
            upstream: upstream.to_owned(),
            account: account.to_owned(),
            window,
            messages_used,
            messages_limit: quota.messages,
            recipients_used,
            recipients_limit: quota.recipients,
            next_free,
            reason: Some(self.held_back(now).join("; ")).filter(|reason| !reason.is_empty()),
        }
    }

    /// What is under way: messages and recipients.
    pub(super) fn under_way(&self) -> (u64, u64) {
        self.under_way
    }

    /// Its connections and its pace, for people.
    pub(super) fn load(&self) -> AccountLoad {
        AccountLoad {
            connections: self.connections,
            most_connections: self.most_connections(),
            pace: self.learned.words(),
        }
    }

    /// The slots of a window with its quota in force, for a forecast.
    pub(super) fn window(&self, window: Window) -> (&Slots, Quota) {
        (&self.windows[window as usize], self.quota(window).0)
    }

    pub(super) fn paces_evenly(&self) -> bool {
        self.limits.pace == Pace::Even
            && self.limits.quotas.iter().any(|q| q.messages.is_some() || q.recipients.is_some())
    }

    /// How long after a transaction with this many recipients the next may start, so that none of the quotas is used
    /// up before its window ends.
    pub(super) fn even_distance(&self, recipients: u32) -> Duration {
        let share = |length: Duration, limit: Option<u32>, count: u32| {
            limit.map_or(Duration::ZERO, |limit| length.mul_f64(f64::from(count) / f64::from(limit)))
        };
        let distance = |window: Window| {
            let quota = self.limits.quota(window);
            share(window.length(), quota.messages, 1).max(share(
                window.length(),
                quota.recipients,
                recipients,
            ))
        };
        Window::ALL.into_iter().map(distance).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn office365() -> Limits {
        let quota = |messages, recipients| Quota { messages, recipients };
        let none = Quota::default();
        Limits { quotas: [quota(Some(30), None), none, quota(None, Some(10_000)), none], ..Limits::default() }
    }

    /// Octets of an account after a week in which each of its messages goes as soon as it may.
    fn octets_after_a_week(pause: i64) -> (u32, usize) {
        let mut counter = Counter::default();
        counter.set_limits(&office365());
        let (mut now, mut sent) = (Moment(1_795_000_000_000), 0);
        let end = now.0 + 7 * 86_400_000;
        while now.0 < end {
            match counter.room(1, now, None) {
                Ok(_) => {
                    counter.begin(1, now);
                    counter.end(1, Some((1, 1, now)));
                    counter.delivered(now);
                    sent += 1;
                    now = Moment(now.0 + pause);
                }
                Err(wait) => now = wait.until.unwrap(),
            }
        }
        let heap = counter.windows.iter().map(Slots::heap).sum::<usize>() + counter.learned.heap();
        (sent, size_of::<Counter>() + heap)
    }

    #[test]
    fn a_thousand_accounts_that_were_busy_for_a_week_fit_into_16_mib() {
        // In bursts, as even as the day allows, and in between.
        for pause in [10, 700, 2_000, 8_640] {
            let (sent, octets) = octets_after_a_week(pause);
            assert!(sent >= 69_000, "{sent}: it was not busy");
            // A name, and what the map wants for its entry.
            let all = 1_000 * (octets + 200);
            assert!(all < 16 << 20, "a pause of {pause} ms: {octets} octets for an account");
        }
    }
}
