//! What would become of a message, by the configuration alone: nothing is sent, and no store is needed.
//!
//! Asked are the functions that the relay itself asks: [`Receiver`], [`Ruling`], the router, the transformer. What only a
//! running relay knows (limits used, upstreams that are down, the blacklist, the switch of test mode) is not in it.

mod answer;

pub use answer::{AccountLimits, DkimAnswer, Explanation, QuotaLimit};

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::{Config, TestAction, Upstream, UpstreamKind, User};
use crate::mail::{Address, QueueId, ReversePath};
use crate::memory::MemoryBudget;
use crate::policy::{sender, test_mode};
use crate::route::Router;
use crate::session::carrier::{Carrier, carrier, route, sketch};
use crate::session::receive::{Arrival, Receiver, Submitter, Taken};
use crate::session::ruling::{Arrived, Ruling};
use crate::smtp::Reply;
use crate::store::{LaneName, Message, TestTreatment, Upload};
use crate::time::{SystemClock, Timeline};
use crate::transform::{OtherRecipients, Prepared, Transformer, UpstreamFacts, WayOut};

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
    let received = receive(config, question).await?;
    let HandedIn { taken, reverse_path, user, listener } = &received;
    let arrived = Arrived {
        content: &taken.content,
        author: &taken.author,
        reverse_path,
        recipients: &question.recipients,
        user: user.as_ref().map(|user| &*user.name),
        listener,
        client: question.client,
    };
    let mut ruling = Ruling::of(config, question.now, arrived).await.map_err(|error| error.reply())?;
    told.rule(&ruling, &question.recipients);
    let router = Router::new(config);
    let transformer = transformer(config)?;
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
        told.rule(&ruling, &question.recipients);
    }
    let lane = router.lane_of(&upstream.name, &ruling.sender).unwrap_or_else(LaneName::unrouted);
    told.route(upstream, &router.accounts_of(&lane));
    told.test(test.as_ref());
    let prepared =
        prepare(&transformer, upstream, message(question, &received, (&ruling, test.as_ref()))).await?;
    told.prepared(&prepared);
    Ok(())
}

/// Takes the content as a session does.
async fn receive(config: &Config, question: &Inquiry) -> Result<HandedIn, Reply> {
    let refused = |text: &str| Reply::new(550, (5, 7, 1), text);
    let name = question.user.as_deref();
    let user = name.map(|name| {
        let found = config.users.iter().find(|user| user.name.to_lowercase() == name.to_lowercase());
        found.cloned().map(Arc::new).ok_or_else(|| refused("there is no such user in this configuration"))
    });
    let user = user.transpose()?;
    let reverse_path = match &user {
        Some(user) => {
            sender::reverse_path(user, question.reverse_path.clone()).map_err(|refused| refused.reply())?
        }
        None => question.reverse_path.clone(),
    };
    let queue_id = QueueId::new(question.now.as_millisecond(), rand::random());
    let null_reverse_path = reverse_path == ReversePath::Null;
    let arrival = Arrival {
        queue_id: queue_id.clone(),
        helo: "explain".to_owned(),
        client: question.client,
        hostname: config.hostname.clone(),
        protocol: "ESMTP",
        recipient: None,
        submitter: user.clone().map(|user| Submitter { user, null_reverse_path }),
        date: question.now,
        completion: config.complete_addresses.clone(),
    };
    let memory = MemoryBudget::new(config.session.memory_in());
    // What does not fit into memory stands in a file that goes with it.
    let upload = Upload::new(&std::env::temp_dir(), &queue_id);
    let mut receiver = Receiver::new(arrival, &config.session, &memory, upload).in_chunks();
    receiver.feed(&question.content).await;
    let taken = receiver.finish().await.map_err(|refusal| refusal.reply())?;
    let usual = || config.listeners.first().map(|listener| listener.address.to_string()).unwrap_or_default();
    let listener = question.listener.clone().unwrap_or_else(usual);
    Ok(HandedIn { taken, reverse_path, user, listener })
}

/// The message as its first attempt would get it.
fn message(question: &Inquiry, received: &HandedIn, ruled: (&Ruling, Option<&TestTreatment>)) -> Message {
    let all = question.recipients.iter().chain(&ruled.0.copies);
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
    upstream: &Upstream,
    message: Message,
) -> Result<Prepared, Reply> {
    let fault = |text: String| Reply::new(451, (4, 3, 0), text);
    let octets = message.content.read().await.map_err(|error| fault(error.to_string()))?;
    let captured = message.decisions.test.as_ref().is_some_and(|test| test.action == TestAction::Capture);
    let local = captured || matches!(upstream.kind, UpstreamKind::Capture(_));
    let header_delivery = OtherRecipients::by(upstream).filter(|_| !local);
    let facts = UpstreamFacts {
        sign: upstream.sign && !local,
        eight_bit_mime: true,
        smtputf8: header_delivery.is_none(),
        local,
        header_delivery,
    };
    // Its mail goes by the first account that has room.
    let account = upstream.accounts.first().expect("there is one always");
    let prepared = transformer.prepare(&message, octets, &WayOut { upstream, account, facts });
    prepared.map_err(|error| error.to_reply())
}

/// How long a person waits for the answer at most: only a disk can take long.
pub const PATIENCE: Duration = Duration::from_mins(1);
