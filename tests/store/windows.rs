//! No window is overrun, whatever happens in whatever order.

use mailsluice::config::Window;
use mailsluice::limits::{AccountKey, Amount, Ceilings, Scope};
use mailsluice::store::*;

use crate::World;
use crate::build::*;

const ACCOUNTS: [&str; 2] = ["a", "b"];
/// Messages and recipients of an account in a minute, and of both together.
const OWN: (u32, u32) = (3, 6);
const SHARED: (u32, u32) = (4, 9);

/// A transaction as the provider may have counted it: at any time from its start to its end.
#[derive(Debug, Clone, Copy)]
struct Transaction {
    account: usize,
    start: i64,
    end: i64,
    recipients: u32,
}

/// What is under way.
enum Running {
    Leased(Box<Leased>, Transaction),
    Permit(PermitId, Transaction),
}

struct Traffic<W> {
    world: W,
    dice: Dice,
    running: Vec<Running>,
    done: Vec<Transaction>,
    numbers: u32,
}

fn key(account: usize) -> AccountKey {
    AccountKey::new("u", ACCOUNTS[account])
}

fn ceilings(account: usize) -> Vec<(Scope, Ceilings)> {
    let [own, upstream] = key(account).scopes();
    vec![
        (own, quota(Window::MINUTE, Some(OWN.0), Some(OWN.1))),
        (upstream, quota(Window::MINUTE, Some(SHARED.0), Some(SHARED.1))),
    ]
}

impl<W: World> Traffic<W> {
    fn begun(&self, account: usize, recipients: u32) -> Transaction {
        Transaction { account, start: self.world.clock().now().0, end: i64::MAX, recipients }
    }

    async fn step(&mut self) {
        let account = self.dice.roll(2) as usize;
        match self.dice.roll(16) {
            0..3 => {
                self.numbers += 1;
                let recipients = &["a@b", "c@d", "e@f", "g@h"][..=self.dice.roll(4) as usize];
                self.world.store().enqueue(message(self.numbers, recipients)).await.unwrap();
            }
            3..6 => {
                let ask = Ask { account: key(account), ceilings: ceilings(account), ..ask(2) };
                if let Claimed::Messages { leased, .. } = self.world.store().claim(ask).await.unwrap() {
                    for leased in leased {
                        let transaction = self.begun(account, leased.message.recipients.len() as u32);
                        self.running.push(Running::Leased(Box::new(leased), transaction));
                    }
                }
            }
            6 => {
                let new = NewPermit {
                    account: key(account),
                    ceilings: ceilings(account),
                    needed: Amount::of_message(1, 0),
                    recorded: 2,
                };
                if let Permitted::Granted(id) = self.world.store().take_permit(new).await.unwrap() {
                    self.running.push(Running::Permit(id, self.begun(account, 1)));
                }
            }
            7 => self.extend().await,
            8..12 => self.end().await,
            12 => self.crash().await,
            _ => self.world.clock().pass(self.dice.roll(20_000) as i64),
        }
    }

    async fn extend(&mut self) {
        for running in &mut self.running {
            if let Running::Permit(permit, transaction) = running {
                let ceilings = ceilings(transaction.account);
                let more = PermitExtension { permit: *permit, ceilings, more: Amount::of_recipients(1) };
                let extended = self.world.store().extend_permit(more).await.unwrap();
                transaction.recipients += u32::from(matches!(extended, Permitted::Granted(_)));
            }
        }
    }

    async fn end(&mut self) {
        if self.running.is_empty() {
            return;
        }
        let which = self.dice.roll(self.running.len() as u64) as usize;
        let fails = self.dice.roll(4) == 0 && self.numbers > 0;
        let store = self.world.store();
        // A report whose name is taken makes the whole call fail; if that message is gone, it does not.
        let reports =
            if fails { vec![report(1 + self.dice.roll(u64::from(self.numbers)) as u32)] } else { vec![] };
        let (ended, transaction) = match &self.running[which] {
            Running::Leased(leased, transaction) if self.dice.roll(5) == 0 => {
                assert_eq!(store.hand_back(vec![leased.lease]).await.unwrap(), 1);
                (true, Transaction { recipients: 0, ..*transaction })
            }
            Running::Leased(leased, transaction) => {
                let settlement = Settlement { reports, ..sent(leased) };
                (store.settle(settlement).await.is_ok(), *transaction)
            }
            Running::Permit(id, transaction) => {
                let used = Some(Amount::of_message(transaction.recipients, 0));
                let end = PermitEnd { reports, ..PermitEnd::without_message(*id, used) };
                (store.end_permit(end).await.is_ok(), *transaction)
            }
        };
        if ended {
            self.running.swap_remove(which);
            if transaction.recipients > 0 {
                self.done.push(Transaction { end: self.world.clock().now().0, ..transaction });
            }
        }
    }

    async fn crash(&mut self) {
        self.world.crash();
        self.world.store().recover(DoubtPauses::default()).await.unwrap();
        let now = self.world.clock().now().0;
        for running in self.running.drain(..) {
            let (Running::Leased(_, transaction) | Running::Permit(_, transaction)) = running;
            self.done.push(Transaction { end: now, ..transaction });
        }
    }

    /// What the provider would say: more than so much in some minute.
    fn check(&self) {
        let running = self.running.iter().map(|running| match running {
            Running::Leased(_, transaction) | Running::Permit(_, transaction) => *transaction,
        });
        let now = self.world.clock().now().0;
        let recent = self.done.iter().copied().filter(|transaction| transaction.end > now - 200_000);
        let all: Vec<Transaction> = recent.chain(running).collect();
        // A transaction may be counted at its start or at its end: the worst of both must fit.
        for start in all.iter().flat_map(|transaction| [transaction.start, transaction.end]) {
            for scope in [None, Some(0), Some(1)] {
                let (messages, recipients) = used_from(&all, scope, start);
                let limit = if scope.is_some() { OWN } else { SHARED };
                let fits = messages <= limit.0 && recipients <= limit.1;
                assert!(fits, "{scope:?} {messages} {recipients} from {start}: {all:#?}");
            }
        }
    }
}

/// What counts in the minute from `start`, for an account or for all together.
fn used_from(all: &[Transaction], account: Option<usize>, start: i64) -> (u32, u32) {
    all.iter()
        .filter(|other| account.is_none_or(|account| account == other.account))
        .filter(|other| other.end >= start && other.start < start.saturating_add(60_000))
        .fold((0, 0), |used, other| (used.0 + 1, used.1 + other.recipients))
}

pub(crate) async fn no_window_is_overrun(world: impl World) {
    let mut traffic = Traffic { world, dice: Dice::new(11), running: vec![], done: vec![], numbers: 0 };
    for _ in 0..1_500 {
        traffic.step().await;
        traffic.check();
    }
    assert!(traffic.done.len() > 100, "there was little traffic: {}", traffic.done.len());
}
