//! What would become of a message, by the configuration alone: nothing is sent, and no store is needed.
//!
//! Asked are the functions that the relay itself asks: [`Receiver`], [`Ruling`], the router, the transformer. What only a
//! running relay knows (limits used, upstreams that are down, the blacklist, the switch of test mode, the pace of clients) is not
//! in it.

mod answer;

pub use answer::{AccountLimits, DkimAnswer, Explanation, QuotaLimit, RefusedRecipient};

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::{self, Config, Listener, Login, Upstream, UpstreamKind, User};
use crate::mail::{Address, QueueId, ReversePath};
use crate::memory::MemoryBudget;
use crate::policy::users::{self, LoggedIn};
use crate::policy::{recipient, relay, sender, test_mode};
use crate::route::{Router, own_upstreams};
use crate::session::accept::lane;
use crate::session::carrier::{Carrier, carrier, route, sketch};
use crate::session::receive::{Arrival, Receiver, Submitter, Taken};
use crate::session::ruling::{Arrived, Ruling};
use crate::smtp::Reply;
use crate::store::{LaneName, Message, TestTreatment, Upload};
use crate::time::{SystemClock, Timeline};
use crate::transform::{Prepared, Transformer, UpstreamFacts, WayOut};

/// A message that nobody has handed in.
#[derive(Debug, Clone)]
pub struct Inquiry {
    /// What the client would send, with CRLF or LF line ends.
    pub content: Vec<u8>,
    /// Where reports would go.
    pub reverse_path: ReversePath,
    /// Who it would be for; at least one.
    pub recipients: Vec<Address>,
    /// Who would have logged in.
    pub user: Option<String>,
    /// The client.
    pub client: IpAddr,
    /// The listener's address; the first of the configuration when nobody says.
    pub listener: Option<String>,
    /// When it would come.
    pub now: Timestamp,
}

/// What stands before a message has been received: nothing yet, or all that the relay would know.
struct HandedIn {
    taken: Taken,
    reverse_path: ReversePath,
    recipients: Vec<Address>,
    user: Option<Arc<User>>,
    listener: String,
}

/// Tells what would become of a message.
pub async fn explain(config: &Config, question: &Inquiry) -> Explanation {
    let mut told = Explanation::default();
    match decide(config, question, &mut told).await {
        Ok(()) => {}
        Err(reply) => told.rejected = Some(reply.to_string()),
    }
    told
}

/// Asks what the relay would ask, in its order, and notes the answers until one is a refusal.
async fn decide(config: &Config, question: &Inquiry, told: &mut Explanation) -> Result<(), Reply> {
    let received = receive(config, question, told).await?;
    let HandedIn { taken, reverse_path, recipients, user, listener } = &received;
    let arrived = Arrived {
        content: &taken.content,
        author: &taken.author,
        reverse_path,
        recipients,
        user: user.as_ref().map(|user| &*user.name),
        listener,
        client: question.client,
    };
    let mut ruling = Ruling::of(config, question.now, arrived).await.map_err(|error| {
        told.rejected_by = error.rule().map(str::to_owned);
        error.reply()
    })?;
    told.rule(&ruling, recipients);
    let router = Router::new(config);
    let transformer = Arc::new(transformer(config)?);
    let upstream = route(&router, &ruling).map_err(|error| error.reply())?;
    let required = user.as_ref().is_some_and(|user| user.test) || ruling.ruled.test_by.is_some();
    let test = test_mode::of_file(&config.test_mode, required);
    let mail = (&*ruling.sender, &taken.content);
    let sketch = || message(question, &received, (&ruling, test.as_ref()));
    let carried = carrier((&router, &transformer), upstream, mail, sketch).await;
    let Carrier { upstream, detour } = carried.map_err(|error| error.reply())?;
    if let Some(detour) = &detour {
        told.detour(detour);
        ruling.upstream = Some(upstream.name.clone());
        told.rule(&ruling, recipients);
    }
    let of_sender = router.lane_of(&upstream.name, &ruling.sender);
    let accounts = of_sender.as_ref().map(|lane| router.accounts_of(lane)).unwrap_or_default();
    told.route(upstream, &accounts);
    told.test(test.as_ref());
    let lane = lane(test.as_ref(), of_sender);
    // What is captured goes to the local mailbox, which changes nothing for an upstream's sake.
    let [mailbox, _] = own_upstreams(config);
    let by = if lane == LaneName::captured() { &*mailbox } else { upstream };
    // Its mail goes by the first account that has room.
    let account = by.accounts.iter().find(|account| accounts.contains(&account.name()));
    let account = account.or(by.accounts.first()).expect("there is one always");
    let message = Message { lane, ..message(question, &received, (&ruling, test.as_ref())) };
    told.prepared(&prepare(&transformer, (by, account), message).await?, by);
    Ok(())
}

/// Takes envelope and content as a session does.
async fn receive(config: &Config, question: &Inquiry, told: &mut Explanation) -> Result<HandedIn, Reply> {
    let refused = |text: &str| Reply::new(550, (5, 7, 1), text);
    let name = question.user.as_deref();
    let user = name.map(|name| {
        let found = config.users.iter().find(|user| user.name.to_lowercase() == name.to_lowercase());
        found.cloned().map(Arc::new).ok_or_else(|| refused("there is no such user in this configuration"))
    });
    let user = user.transpose()?;
    let named = |listener: &&Listener| {
        question.listener.as_ref().is_none_or(|named| *named == listener.address.to_string())
    };
    let listener = config.listeners.iter().find(named);
    let listener = listener.ok_or_else(|| refused("there is no such listener in this configuration"))?;
    let reverse_path = match &user {
        Some(user) => {
            sender::reverse_path(user, question.reverse_path.clone()).map_err(|refused| refused.reply())?
        }
        None => question.reverse_path.clone(),
    };
    let recipients = told.recipients(&question.recipients, |address| {
        permit((listener, question.client), user.as_deref(), address)
    })?;
    let queue_id = QueueId::new(question.now.as_millisecond(), rand::random());
    let null_reverse_path = reverse_path == ReversePath::Null;
    let arrival = Arrival {
        queue_id: queue_id.clone(),
        helo: "explain".to_owned(),
        client: question.client,
        hostname: config.hostname.clone(),
        protocol: if user.is_some() { "ESMTPA" } else { "ESMTP" },
        recipient: recipients.first().filter(|_| recipients.len() == 1).cloned(),
        submitter: user.clone().map(|user| Submitter { user, null_reverse_path }),
        date: question.now,
        completion: config.complete_addresses.clone(),
    };
    let memory = MemoryBudget::new(config.session.memory_in());
    let max_message_size = users::max_message_size(&config.session, user.as_deref());
    let settings = config::Session { max_message_size, ..config.session.clone() };
    // What does not fit into memory stands in a file that goes with it.
    let upload = Upload::new(&std::env::temp_dir(), &queue_id);
    let mut receiver = Receiver::new(arrival, &settings, &memory, upload).in_chunks();
    receiver.feed(&question.content).await;
    let taken = receiver.finish().await.map_err(|refusal| refusal.reply())?;
    Ok(HandedIn { taken, reverse_path, recipients, user, listener: listener.address.to_string() })
}

/// Whether a recipient is taken, as it is asked at RCPT; but for the blacklist, which only the running relay knows.
fn permit(
    (listener, client): (&Listener, IpAddr),
    user: Option<&User>,
    address: &Address,
) -> Result<(), Reply> {
    let logged_in = user.map(|user| LoggedIn { name: user.name.as_str().into() });
    relay::permit(listener, client, logged_in.as_ref())?;
    user.map_or(Ok(()), |user| recipient::permit(user, address).map_err(|refused| refused.reply()))
}

/// The message as its first attempt would get it.
fn message(question: &Inquiry, received: &HandedIn, ruled: (&Ruling, Option<&TestTreatment>)) -> Message {
    let all = received.recipients.iter().chain(&ruled.0.copies);
    let queue_id = QueueId::new(question.now.as_millisecond(), 0);
    let content = received.taken.content.clone();
    Message { size: content.len(), content, ..sketch((queue_id, false), ruled, all) }
}

/// What messages are changed by.
fn transformer(config: &Config) -> Result<Transformer, Reply> {
    let timeline = Timeline::resume(Arc::new(SystemClock), None);
    Transformer::new(config, timeline).map_err(|error| Reply::new(451, (4, 3, 0), error.to_string()))
}

/// Makes it ready for an upstream that can take all there is.
async fn prepare(
    transformer: &Transformer,
    (upstream, account): (&Upstream, &Login),
    message: Message,
) -> Result<Prepared, Reply> {
    let fault = |text: String| Reply::new(451, (4, 3, 0), text);
    let octets = message.content.read().await.map_err(|error| fault(error.to_string()))?;
    let local = matches!(upstream.kind, UpstreamKind::Capture(_));
    let facts = UpstreamFacts {
        sign: upstream.sign && !local,
        eight_bit_mime: true,
        smtputf8: !upstream.delivers_by_header(),
        local,
    };
    let prepared = transformer.prepare(&message, octets, &WayOut { upstream, account, facts });
    prepared.map_err(|error| error.to_reply())
}

/// How long a person waits for the answer at most: only a disk can take long.
pub const PATIENCE: Duration = Duration::from_mins(1);
