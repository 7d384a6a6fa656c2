//! What is sent, and what the upstream does with each part of it.

use std::collections::HashMap;
use std::time::Duration;

use super::dice::Dice;

/// Messages in all.
const MESSAGES: usize = 2_000;
/// Who hands them in.
const CLIENTS: u64 = 40;
/// The domains of the recipients.
const DOMAINS: u64 = 50;
/// For so long after the first try a greylisted recipient is put off.
pub(crate) const GREYLISTING: Duration = Duration::from_mins(5);
/// For so long it closes its doors once.
pub(crate) const CLOSED: Duration = Duration::from_mins(5);
/// For so long it refuses connections while it restarts.
pub(crate) const RESTART: Duration = Duration::from_secs(30);

/// Refusals of recipients, and whether they say that there is no such mailbox.
pub(crate) const REFUSALS: [(&str, bool); 10] = [
    ("550 5.1.1 unknown", true),
    ("550 5.2.1 disabled", false),
    ("553 5.1.3 no such address syntax here", false),
    ("550 5.7.1 relaying denied", false),
    ("554 5.7.1 Client host rejected: Access denied", false),
    ("504 5.5.2 Helo command rejected: need fully-qualified hostname", false),
    ("550 5.7.1 Service unavailable; client [192.0.2.9] blocked using bl.example", false),
    ("553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", false),
    ("550 5.7.1 Authentication required", false),
    ("550 mailbox not for you", false),
];
/// Replies that put a recipient off. The second does not say that it is greylisting.
pub(crate) const PUT_OFF: [&str; 2] = [
    "450 4.7.1 Greylisting in action, please come back later",
    "450 4.7.1 Recipient address rejected: not yet",
];

/// What becomes of a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Taken,
    /// Put off with one of [`PUT_OFF`], then taken.
    PutOff(usize),
    /// Refused with one of [`REFUSALS`].
    Refused(usize),
}

/// Where the line is dropped, whenever a message comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DropAt {
    /// Instead of an answer to DATA.
    Data,
    /// Behind the final dot; the message is kept.
    Dot,
}

/// A recipient of a message.
pub(crate) struct ScriptedRecipient {
    pub(crate) address: String,
    pub(crate) fate: Fate,
}

/// A message, and what becomes of it.
pub(crate) struct ScriptedMessage {
    pub(crate) client: u64,
    pub(crate) recipients: Vec<ScriptedRecipient>,
    pub(crate) dropped: Option<DropAt>,
    /// How long the upstream thinks about it.
    pub(crate) think: Duration,
    /// Whether a restart behind its final dot leaves it kept.
    pub(crate) survives: bool,
}

/// All of it.
pub(crate) struct Script {
    pub(crate) messages: Vec<ScriptedMessage>,
    /// By address: the message and the place in it.
    places: HashMap<String, (usize, usize)>,
    /// It restarts at these contents, counted as they arrive.
    pub(crate) restarts: [usize; 2],
    /// It closes behind this one.
    pub(crate) closes: usize,
}

/// The reverse-path of a client's mail.
pub(crate) fn sender(client: u64) -> String {
    format!("client{client}@firm.example")
}

impl Script {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let mut refused = 0;
        let messages: Vec<ScriptedMessage> =
            (0..MESSAGES).map(|n| ScriptedMessage::new(n, &mut refused, dice)).collect();
        assert!(refused >= REFUSALS.len(), "each text is used");
        let mut places = HashMap::new();
        for (n, message) in messages.iter().enumerate() {
            for (place, to) in message.recipients.iter().enumerate() {
                places.insert(to.address.clone(), (n, place));
            }
        }
        let mut near = |content: u64| dice.between(content - 150, content + 150) as usize;
        let (restarts, closes) = ([near(500), near(1_500)], near(1_000));
        Self { messages, places, restarts, closes }
    }

    /// The message of a recipient, if the script knows it, and what becomes of it.
    pub(crate) fn of(&self, address: &str) -> Option<(usize, Fate)> {
        let &(message, place) = self.places.get(address)?;
        Some((message, self.messages[message].recipients[place].fate))
    }

    /// All recipients with their messages.
    pub(crate) fn recipients(&self) -> impl Iterator<Item = (&ScriptedMessage, &ScriptedRecipient)> {
        self.messages.iter().flat_map(|message| message.recipients.iter().map(move |to| (message, to)))
    }
}

impl ScriptedMessage {
    fn new(number: usize, refused: &mut usize, dice: &mut Dice) -> Self {
        let mut recipient = |place, dice: &mut Dice| {
            let address = format!("m{number}r{place}@there{}.example", dice.between(1, DOMAINS));
            let fate = match dice.between(0, 99) {
                0..10 => Fate::PutOff(dice.between(0, 1) as usize),
                10..12 => {
                    *refused += 1;
                    Fate::Refused(*refused % REFUSALS.len())
                }
                _ => Fate::Taken,
            };
            ScriptedRecipient { address, fate }
        };
        let count = dice.between(1, 3);
        let recipients = (0..count).map(|place| recipient(place, &mut *dice)).collect();
        let dropped = dice.percent(1).then(|| *dice.pick(&[DropAt::Data, DropAt::Dot]));
        let mut own = dice.split();
        let think = Duration::from_millis(own.between(20, 300));
        Self { client: dice.between(1, CLIENTS), recipients, dropped, think, survives: own.percent(50) }
    }

    /// Whether a recipient of it can get it in the end.
    pub(crate) fn is_good(&self, to: &ScriptedRecipient) -> bool {
        self.dropped.is_none() && !matches!(to.fate, Fate::Refused(_))
    }

    pub(crate) fn has(&self, fate: fn(Fate) -> bool) -> bool {
        self.recipients.iter().any(|to| fate(to.fate))
    }
}
