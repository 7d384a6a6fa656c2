//! The connection as a write sees it: with what is known in memory of the rows that it changes.
//!
//! A write that makes a message wait says so by [`Writing::enters`], one that ends its waiting by [`Writing::leaves`]; one
//! that takes a permit or ends it says so by [`Writing::begin`] and [`Writing::end`]. The figures of the lanes change when
//! the transaction has been committed. Whose turn it is changes at once, for it may say too much (see
//! [`turns`](super::turns)); so does the ledger, and what is undone is read from the tables again.

use std::cell::{Cell, RefCell, RefMut};
use std::ops::Deref;
use std::path::PathBuf;
use std::time::Instant;

use rusqlite::Connection;

use super::books::{Books, CountedWindows, OpenBooks, OpenPermit, limited};
use super::checkpoints::Checkpoints;
use super::history_book::HistoryBook;
use super::knowledge::Knowledge;
use super::loads::{LoadChange, Loads};
use super::queue_place::{QueuePlace, WaitingMessage};
use super::row_numbers::RowNumbers;
use super::standing_asks::StandingAsks;
use super::sums::{Sums, SumsMark};
use super::turns::Turns;
use super::usage;
use crate::config::Window;
use crate::limits::{AccountKey, Amount, Ceilings, Scope, Wait};
use crate::store::{LaneName, Lease, MessageId, PermitId, TakenAtOnce};
use crate::time::{Moment, Timeline};

/// What must be set right in memory when a write is undone.
enum Undo {
    /// Something of an account has begun or ended.
    Counts(AccountKey),
    /// The counts of all accounts of an upstream were changed.
    Upstream,
    /// Other windows are counted than these.
    Windows(CountedWindows),
    /// A permit was taken.
    Taken(PermitId),
    /// A permit was ended, or changed.
    Was(PermitId, OpenPermit),
}

/// How much was done in memory so far, for [`Writing::undone`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mark {
    changes: usize,
    undo: usize,
    sums: SumsMark,
    taken: usize,
    listed: usize,
}

/// A connection that writes.
pub(super) struct Writing {
    // What moves the log ends before the data base is closed.
    checkpoints: Checkpoints,
    connection: Connection,
    timeline: Timeline,
    turns: RefCell<Turns>,
    /// What the transaction has changed so far.
    changes: RefCell<Vec<LoadChange>>,
    undo: RefCell<Vec<Undo>>,
    sums: RefCell<Sums>,
    loads: Loads,
    standing: StandingAsks,
    /// What the transaction has taken for those.
    taken: RefCell<Vec<TakenAtOnce>>,
    books: Books,
    history: HistoryBook,
    /// Tells our leases from those of another opening of the store.
    owner: i64,
    /// That of the last lease. It begins anywhere, so that leases of another opening are told apart even by whoever has kept
    /// them.
    token: Cell<u64>,
    pub(super) numbers: RowNumbers,
    pub(super) knowledge: Knowledge,
}

impl Deref for Writing {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl Writing {
    /// Reads what waits.
    pub(super) fn new(mut connection: Connection, timeline: Timeline) -> rusqlite::Result<Self> {
        let checkpoints = Checkpoints::take_over(&mut connection)?;
        let loads = Loads::read(&connection)?;
        let (knowledge, history) = (Knowledge::read(&connection)?, HistoryBook::read(&connection)?);
        let numbers = RowNumbers::read(&connection)?;
        Ok(Self {
            checkpoints,
            connection,
            timeline,
            turns: RefCell::default(),
            changes: RefCell::default(),
            undo: RefCell::default(),
            sums: RefCell::default(),
            loads,
            standing: StandingAsks::default(),
            taken: RefCell::default(),
            books: Books::default(),
            history,
            numbers,
            owner: rand::random(),
            token: Cell::new(u64::from(rand::random::<u32>()) << 31),
            knowledge,
        })
    }

    /// Recipients come into a total.
    pub(super) fn count(&self, total: &'static str, recipients: u64) {
        self.sums.borrow_mut().total(total, recipients);
    }

    /// Mail has reached a recipient of a domain.
    pub(super) fn reached(&self, domain: String, slot: i64) {
        self.sums.borrow_mut().reached(domain, slot, 1);
    }

    /// Writes what was counted; see [`Sums::write`].
    pub(super) fn write_sums(&self) -> rusqlite::Result<()> {
        self.sums.borrow_mut().write(&self.connection)
    }

    /// The figures of the lanes.
    pub(super) fn loads(&self) -> Loads {
        self.loads.clone()
    }

    /// The asks that stand.
    pub(super) fn standing(&self) -> &StandingAsks {
        &self.standing
    }

    /// A message was taken for an ask that stands.
    pub(super) fn takes(&self, taken: TakenAtOnce) {
        self.taken.borrow_mut().push(taken);
    }

    /// The ledger of the limits.
    pub(super) fn books(&self) -> Books {
        self.books.clone()
    }

    /// What is kept of mail that has left.
    pub(super) fn history(&self) -> &HistoryBook {
        &self.history
    }

    /// The present moment.
    pub(super) fn now(&self) -> Moment {
        self.timeline.now()
    }

    /// The wall clock, in milliseconds since 1970.
    pub(super) fn wall(&self) -> i64 {
        self.timeline.wall().as_millisecond()
    }

    /// Whose turn it is.
    pub(super) fn turns(&self) -> RefMut<'_, Turns> {
        self.turns.borrow_mut()
    }

    /// A message waits now that did not before.
    pub(super) fn enters(&self, place: &QueuePlace) {
        self.turns().waits(&place.lane, place.priority, &place.submitter, place.due);
        let QueuePlace { recipients, octets, tried, .. } = *place;
        let (lane, tried) = (place.lane.clone(), i64::from(tried));
        self.changed(LoadChange { lane, messages: 1, tried, recipients, octets });
    }

    /// A message waits no longer.
    pub(super) fn leaves(&self, lane: LaneName, left: WaitingMessage) {
        let WaitingMessage { recipients, octets, tried } = left;
        let tried = -i64::from(tried);
        self.changed(LoadChange { lane, messages: -1, tried, recipients: -recipients, octets: -octets });
    }

    fn changed(&self, change: LoadChange) {
        self.changes.borrow_mut().push(change);
    }

    /// A lease of a message that nobody has had.
    pub(super) fn new_lease(&self, id: MessageId) -> Lease {
        self.token.set(self.token.get() + 1);
        Lease { id, token: self.token.get() }
    }

    /// Who holds our leases.
    pub(super) fn owner(&self) -> i64 {
        self.owner
    }

    /// What may go now, if the next transaction needs so much.
    pub(super) fn room(
        &self,
        ceilings: &[(Scope, Ceilings)],
        needed: &Amount,
    ) -> rusqlite::Result<Result<Amount, Wait>> {
        self.books.with(|books| {
            self.count_in(books, ceilings)?;
            self.load(books, limited(ceilings).map(|(scope, _)| scope))?;
            Ok(books.ledger.room(ceilings, needed, self.now(), &self.timeline))
        })
    }

    /// Whether a transaction that is under way may have so much more.
    pub(super) fn room_for_more(
        &self,
        ceilings: &[(Scope, Ceilings)],
        more: &Amount,
    ) -> rusqlite::Result<Result<(), Wait>> {
        self.books.with(|books| {
            self.count_in(books, ceilings)?;
            self.load(books, limited(ceilings).map(|(scope, _)| scope))?;
            Ok(books.ledger.room_for_more(ceilings, more, self.now(), &self.timeline))
        })
    }

    /// Brings scopes into the ledger.
    pub(super) fn know(&self, scopes: &[Scope]) -> rusqlite::Result<()> {
        self.books.with(|books| self.load(books, scopes))
    }

    fn load<'a>(
        &self,
        books: &mut OpenBooks,
        scopes: impl IntoIterator<Item = &'a Scope>,
    ) -> rusqlite::Result<()> {
        self.know_windows(books)?;
        let mut ledger = std::mem::take(&mut books.ledger);
        let loaded = ledger.load(scopes, |scope| {
            self.write_sums()?;
            usage::of_scope(&self.connection, scope, books)
        });
        books.ledger = ledger;
        loaded
    }

    /// Sees that everything is counted in the windows that somebody asks for.
    fn count_in(&self, books: &mut OpenBooks, ceilings: &[(Scope, Ceilings)]) -> rusqlite::Result<()> {
        let asked = ceilings.iter().flat_map(|(_, ceilings)| ceilings.quotas.iter());
        for (window, _) in asked.filter(|(window, _)| window.name().is_none()) {
            let now = self.now();
            let windows = self.know_windows(books)?;
            if windows.ask(window, now) {
                continue;
            }
            let before = windows.clone();
            self.write_sums()?;
            usage::begin_window(&self.connection, window, before.all(), now)?;
            windows.add(window, now);
            usage::set_windows(&self.connection, windows.all())?;
            self.undo.borrow_mut().push(Undo::Windows(before));
        }
        Ok(())
    }

    /// The windows without a name in which everything is counted.
    fn know_windows<'b>(&self, books: &'b mut OpenBooks) -> rusqlite::Result<&'b mut CountedWindows> {
        if books.windows.is_none() {
            books.windows = Some(CountedWindows::new(usage::windows(&self.connection)?, self.now()));
        }
        Ok(books.windows.get_or_insert_default())
    }

    /// Lets go of windows that nobody asks for any more, and of what has left the others.
    pub(super) fn prune_usage(&self) -> rusqlite::Result<()> {
        let now = self.now();
        self.write_sums()?;
        self.books.with(|books| {
            let windows = self.know_windows(books)?;
            let (before, left) = (windows.clone(), windows.in_use(now));
            if left.all() != before.all() {
                usage::set_windows(&self.connection, left.all())?;
                *windows = left;
                self.undo.borrow_mut().push(Undo::Windows(before));
            }
            usage::prune(&self.connection, now, books.windows())
        })?;
        self.change_books(|books| books.ledger.expire(now));
        Ok(())
    }

    /// Forgets what was counted for an upstream in these windows, or in all when there are none.
    pub(super) fn reset_usage(&self, upstream: &str, windows: &[Window]) -> rusqlite::Result<()> {
        self.write_sums()?;
        usage::reset(&self.connection, upstream, windows)?;
        self.change_books(|books| books.ledger.reset(upstream, windows));
        Ok(())
    }

    /// The permits of a dead predecessor count.
    pub(super) fn count_unknown(&self) -> rusqlite::Result<()> {
        self.books.with(|books| {
            let windows = self.know_windows(books)?;
            usage::add_unknown(&self.connection, self.now(), windows.all())
        })
    }

    /// A transaction of an account begins. Its permit is not in the tables yet.
    pub(super) fn begin(&self, account: &AccountKey, amount: &Amount) {
        self.undo.borrow_mut().push(Undo::Counts(account.clone()));
        self.books.with(|books| books.ledger.begin(account, amount, self.now()));
    }

    /// A transaction of an account that was begun as `taken` ends now.
    pub(super) fn end(
        &self,
        account: &AccountKey,
        taken: &Amount,
        counted: Option<&Amount>,
    ) -> rusqlite::Result<()> {
        let now = self.now();
        self.undo.borrow_mut().push(Undo::Counts(account.clone()));
        self.books.with(|books| {
            books.ledger.end(account, taken, counted, now);
            let Some(counted) = counted else { return Ok(()) };
            let windows = self.know_windows(books)?;
            let mut sums = self.sums.borrow_mut();
            for slot in usage::slots(now, windows.all()) {
                sums.usage(account, slot, *counted);
            }
            Ok(())
        })
    }

    /// A permit without a message is open from now on.
    pub(super) fn opened(&self, id: PermitId, permit: OpenPermit) {
        self.undo.borrow_mut().push(Undo::Taken(id));
        self.books.with(|books| books.permits.insert(id, permit));
    }

    /// Such a permit gets so much more, and is this from now on.
    pub(super) fn joins(&self, id: PermitId, permit: OpenPermit, more: &Amount) {
        let (account, all) = (permit.account.clone(), permit.taken);
        self.undo.borrow_mut().push(Undo::Counts(account.clone()));
        let before = self.books.with(|books| {
            books.ledger.join(&account, &Amount { messages: 0, ..*more }, &all);
            books.permits.insert(id, permit)
        });
        self.undo.borrow_mut().extend(before.map(|before| Undo::Was(id, before)));
    }

    /// Such a permit is closed; what it was.
    pub(super) fn closed(&self, id: PermitId) -> Option<OpenPermit> {
        let permit = self.books.with(|books| books.permits.remove(&id))?;
        self.undo.borrow_mut().push(Undo::Was(id, permit.clone()));
        Some(permit)
    }

    /// Such a permit, if it is open.
    pub(super) fn open_permit(&self, id: PermitId) -> Option<OpenPermit> {
        self.books.with(|books| books.permits.get(&id).cloned())
    }

    /// Works on the whole ledger; if the write is undone, all of it is read again.
    pub(super) fn change_books<T>(&self, work: impl FnOnce(&mut OpenBooks) -> T) -> T {
        self.undo.borrow_mut().push(Undo::Upstream);
        self.books.with(work)
    }

    /// How much was done so far.
    pub(super) fn mark(&self) -> Mark {
        let sums = self.sums.borrow().mark();
        let taken = self.taken.borrow().len();
        let listed = self.knowledge.mark();
        Mark { changes: self.changes.borrow().len(), undo: self.undo.borrow().len(), sums, taken, listed }
    }

    /// What was done since the mark has been rolled back.
    pub(super) fn undone(&self, mark: Mark) {
        self.changes.borrow_mut().truncate(mark.changes);
        self.sums.borrow_mut().undone(mark.sums);
        self.taken.borrow_mut().truncate(mark.taken);
        self.knowledge.undone(mark.listed);
        self.turns().forget();
        let undo = self.undo.borrow_mut().split_off(mark.undo);
        self.books.with(|books| {
            for step in undo.into_iter().rev() {
                match step {
                    Undo::Counts(account) => books.ledger.doubt(&account),
                    Undo::Upstream => books.ledger.doubt_all(),
                    Undo::Windows(before) => books.windows = Some(before),
                    Undo::Taken(id) => drop(books.permits.remove(&id)),
                    Undo::Was(id, permit) => drop(books.permits.insert(id, permit)),
                }
            }
        });
    }

    /// Moves the log into the data base when it has grown.
    pub(super) fn checkpoint(&self) {
        self.checkpoints.run(&self.connection);
    }

    /// After this transaction the log is moved into the data base as a whole, if nobody reads.
    pub(super) fn truncate_log(&self) {
        self.checkpoints.truncate_next();
    }

    /// From now on the log is moved beside the writes.
    pub(super) fn move_log_beside(&mut self) {
        if let Some(path) = self.connection.path().map(PathBuf::from) {
            self.checkpoints.move_beside(&path);
        }
    }

    /// Moves all of the log, with a sync; what could not be moved must not be believed. Nobody reads meanwhile if this is true.
    pub(super) fn move_whole_log(&self) -> rusqlite::Result<bool> {
        self.checkpoints.wait();
        let done = self.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        self.checkpoints.note(done.as_ref().map(drop), Instant::now());
        done.map(|is_busy| is_busy == 0)
    }

    /// Reads what waits again: after a failure a transaction that was given up may have been kept after all.
    pub(super) fn read_again(&self) -> rusqlite::Result<()> {
        self.loads.read_again(&self.connection)?;
        self.turns().forget();
        self.books.with(|books| {
            books.ledger.doubt_all();
            books.windows = None;
        });
        self.knowledge.read_again(&self.connection)
    }

    /// The transaction has been committed.
    pub(super) fn committed(&self) {
        self.undo.borrow_mut().clear();
        self.taken.borrow_mut().drain(..).for_each(|taken| taken.committed());
        self.sums.borrow_mut().clear();
        self.loads.apply(self.changes.borrow_mut().drain(..));
        self.knowledge.committed();
    }
}
