//! A message as the benchmarks hand it to the store.

use std::time::Duration;

use mailsluice::mail::{Address, Body, MessageRequest, QueueId, RecipientRequest, ReversePath};
use mailsluice::store::{
    ClientInfo, Content, Decisions, LaneName, MessageKind, NewMessage, NewRecipient, Priority, Recipients,
    StoredLabel,
};

/// One from a sender to a recipient, who are valid addresses; it waits for the upstream `sink`.
pub(crate) fn new_message(number: u32, (sender, recipient): (&str, &str), content: Vec<u8>) -> NewMessage {
    let address = |text: &str| Address::parse(text).expect("an address");
    let recipient = NewRecipient {
        address: address(recipient),
        dropped: false,
        copy: false,
        request: RecipientRequest::default(),
    };
    NewMessage {
        queue_id: QueueId::new(1_700_000_000_000 + i64::from(number), number),
        kind: MessageKind::Submitted,
        priority: Priority::Normal,
        lane: lane(),
        limit_wait: Duration::ZERO,
        delay: Duration::ZERO,
        reverse_path: ReversePath::Address(address(sender)),
        sender: sender.to_owned(),
        body: Body::EightBitMime,
        smtputf8: false,
        request: MessageRequest::default(),
        client: ClientInfo { address: "127.0.0.1".into(), ..ClientInfo::default() },
        decisions: Decisions::default(),
        held: false,
        label: StoredLabel { message_id: Some(format!("<{number}@firm.example>")), subject: None },
        recipients: Recipients::new(vec![recipient]).expect("one recipient"),
        content: Content::memory(content),
    }
}

/// Where they wait.
pub(crate) fn lane() -> LaneName {
    LaneName::of_upstream("sink")
}
