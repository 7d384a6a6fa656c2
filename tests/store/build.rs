//! What the checks are made of.

use std::sync::Arc;
use std::time::Duration;

use mailsluice::config::{Quota, Window};
use mailsluice::limits::{AccountKey, Amount, Ceilings, LimitLine, Scope};
use mailsluice::mail::{Address, Body, MessageRequest, QueueId, RecipientRequest, ReversePath};
use mailsluice::store::*;
use mailsluice::time::Moment;

use crate::World;

pub(crate) fn lane() -> LaneName {
    LaneName::of_upstream("u")
}

pub(crate) fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

pub(crate) fn id(n: u32) -> QueueId {
    QueueId::new(1_000 + i64::from(n), n)
}

pub(crate) fn message(n: u32, recipients: &[&str]) -> NewMessage {
    let recipient = |to: &&str| NewRecipient {
        address: address(to),
        dropped: false,
        copy: false,
        request: RecipientRequest::default(),
    };
    NewMessage {
        queue_id: id(n),
        kind: MessageKind::Submitted,
        priority: Priority::Normal,
        lane: lane(),
        limit_wait: Duration::ZERO,
        delay: Duration::ZERO,
        reverse_path: ReversePath::Address(address("a@firm.example")),
        sender: "a@firm.example".into(),
        body: Body::EightBitMime,
        smtputf8: false,
        request: MessageRequest::default(),
        client: ClientInfo { address: "127.0.0.1".into(), ..ClientInfo::default() },
        decisions: Decisions::default(),
        held: false,
        label: label(n),
        recipients: Recipients::new(recipients.iter().map(recipient).collect()).unwrap(),
        content: Content::memory(format!("Subject: {n}\r\n\r\n").into_bytes()),
    }
}

/// By what a message of this number is found again.
pub(crate) fn label(n: u32) -> StoredLabel {
    StoredLabel { message_id: Some(format!("<{n}@firm.example>")), subject: Some(format!("Number {n}")) }
}

/// A message that has gone through to some, while others were dropped.
pub(crate) fn passed(n: u32, to: &[&str], dropped: &[&str]) -> Box<PassedMessage> {
    let NewMessage { lane, reverse_path, sender, body, request, client, content, .. } = message(n, &["a@b"]);
    let recipient =
        |(index, to): (u32, &&str)| QueuedRecipient::untried(index, address(to), RecipientRequest::default());
    let message = Message {
        queue_id: id(n),
        kind: MessageKind::Submitted,
        lane,
        accepted: Moment(n.into()),
        accepted_wall: n.into(),
        age_base: n.into(),
        reverse_path,
        sender,
        body,
        smtputf8: false,
        request,
        client,
        decisions: Decisions::default(),
        recipients: (0..).zip(to).map(recipient).collect(),
        size: content.len(),
        content,
    };
    Box::new(PassedMessage {
        message,
        label: label(n),
        dropped: dropped.iter().map(|to| address(to)).collect(),
        copies: 0,
        reply: "250 2.0.0 OK".into(),
        reached: false,
    })
}

pub(crate) fn report(n: u32) -> NewMessage {
    let kind = MessageKind::Report;
    NewMessage { kind, priority: Priority::Report, ..message(n, &["a@firm.example"]) }
}

pub(crate) fn account() -> AccountKey {
    AccountKey::new("u", "acc")
}

pub(crate) fn ask(messages: u32) -> Ask {
    Ask {
        lane: lane(),
        account: account(),
        ceilings: vec![],
        messages,
        recipients_per_message: 100,
        unfit: Arc::default(),
        max_size: None,
    }
}

/// Quotas of the account in a window.
pub(crate) fn quota(window: Window, messages: Option<u32>, recipients: Option<u32>) -> Ceilings {
    let mut ceilings = Ceilings::default();
    ceilings.quotas.set(window, Quota { messages, recipients, octets: None });
    ceilings
}

pub(crate) fn own(ceilings: Ceilings) -> Vec<(Scope, Ceilings)> {
    vec![(Scope::Account(account()), ceilings)]
}

pub(crate) fn leased(claimed: Claimed) -> Vec<Leased> {
    match claimed {
        Claimed::Messages { leased, .. } => leased,
        Claimed::Blocked(wait) => panic!("{wait:?}"),
        Claimed::Empty { .. } => vec![],
    }
}

pub(crate) async fn claim(world: &impl World, messages: u32) -> Vec<Leased> {
    leased(world.store().claim(ask(messages)).await.unwrap())
}

pub(crate) fn names(leased: &[Leased]) -> Vec<QueueId> {
    leased.iter().map(|leased| leased.message.queue_id.clone()).collect()
}

pub(crate) fn delivery(index: u32, state: RecipientState) -> Delivery {
    Delivery {
        index,
        state,
        reply: "250 2.0.0 OK".into(),
        counts: true,
        failed: false,
        doubtful: false,
        again_in: None,
        reached: false,
    }
}

/// The same outcome for all recipients of an attempt, which the provider has counted.
pub(crate) fn settled(leased: &Leased, state: RecipientState) -> Settlement {
    Settlement {
        lease: leased.lease,
        deliveries: leased.message.recipients.iter().map(|r| delivery(r.index, state)).collect(),
        counts: true,
        warned: false,
        hold: false,
        used: Some(leased.message.amount()).filter(|amount| !amount.is_none()),
        reports: vec![],
        copy: None,
    }
}

/// The same for all recipients of an attempt, which wait and rest for so long.
pub(crate) fn deferred(leased: &Leased, again_in: Duration) -> Settlement {
    let mut settled = settled(leased, RecipientState::Waiting);
    settled.deliveries.iter_mut().for_each(|delivery| delivery.again_in = Some(again_in));
    settled
}

pub(crate) fn sent(leased: &Leased) -> Settlement {
    settled(leased, RecipientState::Sent)
}

/// Messages and recipients that count in a window of a scope.
pub(crate) async fn used(world: &impl World, scope: Scope, window: Window) -> (u64, u64) {
    let store = world.store();
    let mut counts = store.usage(vec![scope.clone()]).await.unwrap();
    let timeline = store.timeline();
    let lines = LimitLine::of_scope(&scope, &Ceilings::default(), &mut counts[0], timeline.now(), timeline);
    let line = lines.iter().find(|line| line.window == window).unwrap();
    (line.messages_used, line.recipients_used)
}

/// The same of the account's day.
pub(crate) async fn used_today(world: &impl World) -> (u64, u64) {
    used(world, Scope::Account(account()), Window::DAY).await
}

pub(crate) fn amount(recipients: u32) -> Amount {
    Amount::of_message(recipients, 0)
}

pub(crate) fn of_user(user: &str, new: NewMessage) -> NewMessage {
    NewMessage { client: ClientInfo { user: Some(user.into()), ..ClientInfo::default() }, ..new }
}

/// Numbers that look random and are the same each time.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}
