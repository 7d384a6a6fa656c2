//! What every store must do: the same checks for the embedded store and for the one in memory that other tests use.

#![allow(clippy::unwrap_used, reason = "a test may stop where its world breaks")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use mailsluice::store::Store;
use mailsluice::store::sqlite::{SqliteStore, Threading};
use mailsluice::time::{Clock, Moment};

#[path = "store/blacklist.rs"]
mod blacklist;
#[path = "store/build.rs"]
mod build;
#[path = "store/claims.rs"]
mod claims;
#[path = "store/history.rs"]
mod history;
#[path = "store/intake.rs"]
mod intake;
#[path = "store/limits.rs"]
mod limits;
#[path = "store/mailboxes.rs"]
mod mailboxes;
#[path = "support/memory_store.rs"]
#[allow(dead_code, reason = "here no faults are ordered")]
mod memory_store;
#[path = "store/people.rs"]
mod people;
#[path = "store/rerouting.rs"]
mod rerouting;
#[path = "store/sent_copies.rs"]
mod sent_copies;
#[path = "store/sign_ins.rs"]
mod sign_ins;
#[path = "store/windows.rs"]
mod windows;

use memory_store::MemoryStore;

/// A clock that stands still until it is set. Moments are its milliseconds.
#[derive(Debug, Clone)]
pub(crate) struct Hands(Arc<AtomicI64>);

impl Hands {
    pub(crate) fn set(&self, millis: i64) {
        self.0.store(millis, Ordering::SeqCst);
    }

    pub(crate) fn pass(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> Moment {
        Moment(self.0.load(Ordering::SeqCst))
    }
}

impl Clock for Hands {
    fn wall(&self) -> Timestamp {
        Timestamp::from_millisecond(self.now().0).unwrap()
    }

    fn since_boot(&self) -> Duration {
        Duration::from_millis(self.now().0 as u64)
    }

    fn boot_id(&self) -> String {
        "test".into()
    }
}

/// A store, and what it stands in.
pub(crate) trait World: Sized {
    type Kind: Store;

    /// An empty store that holds so many messages at most.
    fn with_room(max_messages: u64) -> Self;

    fn store(&self) -> &Self::Kind;

    fn clock(&self) -> &Hands;

    /// The process dies, and another one opens the store. It has not recovered it yet.
    fn crash(&mut self);
}

fn hands() -> Hands {
    Hands(Arc::new(AtomicI64::new(1_000_000)))
}

struct SqliteWorld {
    store: Option<SqliteStore>,
    folder: tempfile::TempDir,
    max_messages: u64,
    clock: Hands,
}

impl World for SqliteWorld {
    type Kind = SqliteStore;

    fn with_room(max_messages: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut world = Self { store: None, folder, max_messages, clock: hands() };
        world.crash();
        world
    }

    fn store(&self) -> &SqliteStore {
        self.store.as_ref().unwrap()
    }

    fn clock(&self) -> &Hands {
        &self.clock
    }

    fn crash(&mut self) {
        self.store = None;
        let clock = Arc::new(self.clock.clone());
        let opened = SqliteStore::open(self.folder.path(), self.max_messages, Threading::Writer, clock);
        self.store = Some(opened.unwrap());
    }
}

struct MemoryWorld {
    store: MemoryStore,
    clock: Hands,
}

impl World for MemoryWorld {
    type Kind = MemoryStore;

    fn with_room(max_messages: u64) -> Self {
        let clock = hands();
        Self { store: MemoryStore::new(max_messages, Arc::new(clock.clone())), clock }
    }

    fn store(&self) -> &MemoryStore {
        &self.store
    }

    fn clock(&self) -> &Hands {
        &self.clock
    }

    /// What the memory store holds is what lasts.
    fn crash(&mut self) {}
}

/// One test for each check and each store.
macro_rules! conformance {
    ($($group:ident: $($check:ident)*;)*) => {
        mod sqlite {
            use super::{SqliteWorld, World};
            $($(#[tokio::test]
            async fn $check() {
                super::$group::$check(SqliteWorld::with_room(1_000)).await;
            })*)*
        }

        mod memory {
            use super::{MemoryWorld, World};
            $($(#[tokio::test]
            async fn $check() {
                super::$group::$check(MemoryWorld::with_room(1_000)).await;
            })*)*
        }
    };
}

conformance! {
    blacklist:
        it_is_read_a_page_at_a_time
        a_person_finds_what_fits
        a_file_is_taken_as_it_says
        reports_list_at_once_and_a_person_has_the_last_word
        what_has_expired_is_gone;
    intake:
        what_comes_in_is_in_the_queue
        what_is_dropped_is_counted_alone
        a_name_is_taken_once
        the_blacklist_covers_addresses_and_domains
        switches_and_waits_last
        the_clock_is_that_of_the_store;
    claims:
        a_message_goes_through
        who_comes_too_late_changes_nothing
        what_a_dead_process_had_is_free_and_fenced
        what_its_upstream_may_go_on_with_rests_after_a_crash
        reports_go_first_and_the_longest_due_before_others
        what_rests_is_not_due
        a_claim_is_blocked_only_when_mail_is_due
        what_an_account_cannot_take_is_passed_over
        an_envelope_is_split_and_the_longest_due_go_first
        each_recipient_has_its_own_time
        a_person_makes_all_recipients_due
        doubts_are_counted_and_a_person_allows_one_more
        a_settlement_may_hold
        who_is_on_the_blacklist_by_now_is_told
        what_is_late_is_found_by_its_age;
    limits:
        a_window_blocks_until_its_first_permit_has_left
        what_is_not_counted_is_given_back
        an_envelope_is_split_to_the_room_that_is_left
        copies_need_one_and_captured_mail_needs_nothing
        what_is_shared_is_shared
        upstreams_of_a_group_count_together
        a_window_of_any_length_knows_what_was_sent_before
        pace_batch_and_what_was_learned_hold
        permits_take_room_and_grow
        permits_are_ended_once
        what_was_under_way_counts_after_a_crash
        what_fails_is_not_counted
        usage_is_told_reset_and_pruned
        suspensions_last_and_end
        a_longer_pause_holds
        a_refused_login_stays_until_it_is_ended;
    mailboxes:
        one_is_listed_after_failures_a_day_apart
        a_delivery_clears_what_was_held_against_it
        a_rule_says_after_how_many_and_for_how_long
        of_a_domain_in_trouble_nobody_is_listed
        a_few_of_many_are_no_trouble
        what_a_person_does_holds;
    people:
        messages_are_listed_and_shown
        a_message_is_held_and_released
        held_messages_are_released_in_portions
        a_retry_makes_due
        who_wants_a_message_waits_for_its_attempt
        places_are_what_goes_before
        nothing_disappears;
    rerouting:
        each_sender_goes_to_its_lane
        what_a_person_has_sent_by_an_upstream_stays
        what_is_held_moves_and_what_is_sent_stays
        many_messages_move_in_one_walk
        one_message_moves_alone;
    sent_copies:
        a_copy_is_made_with_the_settlement_and_lasts
        several_transactions_make_one_copy
        a_copy_that_failed_rests_and_the_next_goes
        what_waits_too_long_is_forgotten
        what_is_too_much_is_not_copied;
    sign_ins:
        a_grant_lasts_and_its_token_is_replaced
        a_sign_in_begins_anew;
    history:
        each_end_is_noted_once
        entries_are_found
        pages_lead_to_all_entries
        what_is_old_goes
        nothing_is_noted_where_nothing_is_kept
        an_address_is_forgotten
        contents_are_kept_where_that_is_wanted
        copies_beside_direct_mode_keep_their_content;
    windows:
        no_window_is_overrun;
}

#[tokio::test]
async fn a_full_queue_takes_nothing() {
    intake::a_full_queue_takes_nothing(SqliteWorld::with_room(1)).await;
    intake::a_full_queue_takes_nothing(MemoryWorld::with_room(1)).await;
}
