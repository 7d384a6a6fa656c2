//! What lanes, and transactions without a message in the queue, ask the store for.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;

use super::books::Extension;
use super::reroute::{self, LanePosition};
use super::settle::{self, SettleEnd};
use super::store::SqliteStore;
use super::{claim, listing, mailboxes, overdue, permits, settings, suspension};
use crate::config::Window;
use crate::limits::{Amount, Ceilings, Scope, Wait};
use crate::store::{
    Ask, Claimed, Claims, LaneMove, LaneName, LaneSender, Lease, LeasedMove, MailboxFailure, MailboxFindings,
    NewPermit, NewSuspension, Overdue, OverdueClaim, PermitEnd, PermitExtension, Permits, Permitted,
    Settlement, StandingAsk, StoreError, Suspension, SuspensionKind,
};
use crate::time::Moment;

#[async_trait]
impl Claims for SqliteStore {
    async fn claim(&self, ask: Ask) -> Result<Claimed, StoreError> {
        let content_dir = self.content_dir.clone();
        self.write(move |db| claim::claim(db, &ask, &content_dir)).await
    }

    fn stand(&self, ask: Ask) -> StandingAsk {
        let standing = StandingAsk::new(ask);
        self.standing.put(standing.on_file());
        standing
    }

    async fn claim_overdue(&self, claim: OverdueClaim) -> Result<Vec<Overdue>, StoreError> {
        let content_dir = self.content_dir.clone();
        self.write(move |db| overdue::claim(db, &claim, &content_dir)).await
    }

    async fn settle(&self, settlement: Settlement) -> Result<(), StoreError> {
        let reports = settlement.reports.len() as u64;
        let settled = self.write_with_next(move |db| settle::settle(db, &settlement)).await?;
        let file = match settled {
            SettleEnd::Fenced => return Err(StoreError::Fenced),
            SettleEnd::Waits => {
                self.length.fetch_add(reports, Ordering::Relaxed);
                self.note_settled(0);
                None
            }
            SettleEnd::Left(file) => {
                self.length.fetch_add(reports, Ordering::Relaxed);
                self.note_settled(1);
                file
            }
        };
        self.remove_files(file).await;
        Ok(())
    }

    async fn hand_back(&self, leases: Vec<Lease>) -> Result<u64, StoreError> {
        let handed_back = self.write(move |db| settle::hand_back(db, &leases)).await?;
        self.note_settled(0);
        Ok(handed_back)
    }

    async fn move_leased(&self, moved: LeasedMove) -> Result<(), StoreError> {
        let is_moved = self.write(move |db| settle::move_leased(db, &moved)).await?;
        self.note_settled(0);
        if is_moved { Ok(()) } else { Err(StoreError::Fenced) }
    }

    async fn mailboxes_failed(&self, failures: Vec<MailboxFailure>) -> Result<MailboxFindings, StoreError> {
        self.write(move |db| mailboxes::failed(db, &failures)).await
    }

    async fn next_due(&self, lane: &LaneName) -> Result<Option<Moment>, StoreError> {
        self.read_here(|db| claim::next_due(db, lane))
    }

    async fn lanes_in_use(&self) -> Result<Vec<LaneSender>, StoreError> {
        self.read(listing::lanes_in_use).await
    }

    async fn reroute(&self, from: LaneName, moves: Vec<LaneMove>) -> Result<u64, StoreError> {
        let moves: HashMap<String, LaneMove> = moves.into_iter().map(|to| (to.sender.clone(), to)).collect();
        let moves = std::sync::Arc::new(moves);
        let (mut messages, mut at) = (0, Some(LanePosition::START));
        while let Some(here) = at {
            let (from, moves) = (from.clone(), moves.clone());
            let portion = self.write(move |db| reroute::portion(db, &from, &moves, here)).await?;
            messages += portion.moved;
            at = portion.next;
        }
        Ok(messages)
    }

    async fn limit_waits(&self) -> Result<Vec<(LaneName, Duration)>, StoreError> {
        self.read(settings::limit_waits).await
    }

    async fn set_limit_wait(&self, lane: LaneName, waited: Duration) -> Result<(), StoreError> {
        self.write(move |db| settings::set_limit_wait(db, &lane, waited)).await
    }
}

#[async_trait]
impl Permits for SqliteStore {
    async fn take_permit(&self, permit: NewPermit) -> Result<Permitted, StoreError> {
        self.write(move |db| permits::take(db, &permit)).await
    }

    async fn extend_permit(&self, extension: PermitExtension) -> Result<Permitted, StoreError> {
        let PermitExtension { permit, ceilings, more } = &extension;
        match self.books.extend(*permit, ceilings, more, &self.timeline) {
            Extension::Granted => Ok(Permitted::Granted(*permit)),
            Extension::Blocked(wait) => Ok(Permitted::Blocked(wait)),
            Extension::Ended => Err(StoreError::Fenced),
            Extension::NeedsTables => {
                let extended = self.write(move |db| permits::extend(db, &extension)).await?;
                extended.ok_or(StoreError::Fenced)
            }
        }
    }

    async fn end_permit(&self, end: PermitEnd) -> Result<(), StoreError> {
        let reports = end.reports.len() as u64;
        if self.write(move |db| permits::end(db, &end)).await? {
            self.length.fetch_add(reports, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn room(
        &self,
        ceilings: Vec<(Scope, Ceilings)>,
        needed: Amount,
    ) -> Result<Result<Amount, Wait>, StoreError> {
        match self.books.room(&ceilings, &needed, &self.timeline) {
            Some(room) => Ok(room),
            None => self.write(move |db| db.room(&ceilings, &needed)).await,
        }
    }

    async fn reset_usage(&self, upstream: String, windows: Vec<Window>) -> Result<(), StoreError> {
        self.write(move |db| db.reset_usage(&upstream, &windows)).await
    }

    async fn suspensions(&self) -> Result<Vec<Suspension>, StoreError> {
        let now = self.timeline.now();
        self.read(move |db| suspension::all(db, now)).await
    }

    async fn suspend(&self, suspension: NewSuspension) -> Result<Suspension, StoreError> {
        self.write(move |db| suspension::set(db, &suspension, db.now())).await
    }

    async fn end_suspensions(
        &self,
        upstream: Option<String>,
        account: Option<String>,
        kinds: Vec<SuspensionKind>,
    ) -> Result<(), StoreError> {
        self.write(move |db| suspension::clear(db, upstream.as_deref(), account.as_deref(), &kinds)).await
    }
}
