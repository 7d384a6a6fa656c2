//! A test mail: it goes into the queue like any that was accepted, and whoever sent it is told what becomes of it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{self, RawQuery};
use axum::response::Response;
use http_body_util::BodyExt as _;
use utoipa::IntoParams;

use super::following::{Following, InQueue};
use super::limits::must_exist;
use crate::config::{BounceFrom, TestAction, Upstream};
use crate::control::view::{QueuedJson, SendEvent, SendPlan, rfc3339};
use crate::control::{ApiError, ApiState, Streams};
use crate::mail::header::Author;
use crate::mail::{Address, Body as BodyKind, MessageRequest, QueueId, RecipientRequest, ReversePath};
use crate::metrics::{CountedLogin, CountedOutcome, Metrics};
use crate::policy::blacklist::{self, BlacklistResult};
use crate::policy::estimate::Accepted;
use crate::policy::test_mode::action_name;
use crate::session::accept;
use crate::session::carrier::{self, Carrier, carrier};
use crate::session::receive::{Arrival, Receiver, Refusal, Taken};
use crate::session::ruling::{Arrived, Ruling};
use crate::session::submission::{SubmissionError, some_list};
use crate::store::{
    ClientInfo, Content, Decisions, LaneName, MessageKind, NewMessage, NewRecipient, Priority, Recipients,
    StoredLabel, TakenAtOnce,
};

/// What such a mail came in by, as the queue shows it.
pub(super) const CONTROL: &str = "control";
/// For how long its outcome is waited for, if nobody says, and at most.
const TIMEOUT: (Duration, Duration) = (Duration::from_mins(2), Duration::from_hours(1));

/// What is asked for.
#[derive(Debug, Default)]
struct SendQuery {
    from: Option<Address>,
    to: Vec<Address>,
    upstream: Option<String>,
    timeout: Option<Duration>,
}

/// The same as the interface documents it.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is read by hand, since a parameter may stand several times")]
struct SendQueryShape {
    /// Who sends it: an address.
    from: Option<String>,
    /// Who gets it: an address; may stand several times.
    to: Option<Vec<String>>,
    /// The upstream by which it goes, whoever serves the sender.
    upstream: Option<String>,
    /// For how many seconds the outcome is waited for [default: 120].
    #[param(maximum = 3600)]
    timeout: Option<u64>,
}

/// A mail that is sent.
struct Sending {
    from: Address,
    to: Vec<Address>,
    upstream: Arc<Upstream>,
    /// Whether the upstream was asked for.
    decided: bool,
}

impl SendQuery {
    fn read(query: Option<&str>) -> Result<Self, ApiError> {
        let mut read = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*name {
                "from" => read.from = Some(Address::parse(&value)?),
                "to" => read.to.push(Address::parse(&value)?),
                "upstream" => read.upstream = Some(value.into_owned()),
                "timeout" => {
                    let seconds = value.parse().ok().map(Duration::from_secs);
                    let wrong = || {
                        let what = "timeout: write how many seconds to wait for the outcome, at most 3600";
                        ApiError::BadRequest(what.to_owned())
                    };
                    read.timeout = Some(seconds.filter(|time| *time <= TIMEOUT.1).ok_or_else(wrong)?);
                }
                other => return Err(ApiError::BadRequest(format!("there is no parameter {other}"))),
            }
        }
        Ok(read)
    }

    /// As whose it goes, and by which upstream.
    fn decide(self, state: &ApiState) -> Result<Sending, ApiError> {
        let decided = self.upstream.is_some();
        let router = &state.router;
        if let Some(name) = &self.upstream {
            must_exist(state, name)?;
        }
        let by_name = self.upstream.as_deref().and_then(|name| router.upstream(name));
        let from = match self.from {
            Some(from) => from,
            None => default_from(state, by_name.or_else(|| router.route("")).map(|upstream| &**upstream)),
        };
        let upstream = by_name
            .or_else(|| router.route(from.as_str()))
            .ok_or_else(|| refused(&SubmissionError::NoRoute { sender: from.to_string() }))?;
        Ok(Sending { from, to: self.to, upstream: upstream.clone(), decided })
    }
}

/// Some providers take only mail that is from the account's own address.
fn default_from(state: &ApiState, upstream: Option<&Upstream>) -> Address {
    let accounts = upstream.iter().flat_map(|upstream| &upstream.accounts);
    let sender = upstream.and_then(|upstream| upstream.sender.as_ref());
    let as_sender =
        |account| sender.and_then(|sender| sender.mailbox(account)).map(|mailbox| mailbox.address);
    let mut own = accounts.filter_map(|a| as_sender(a).or_else(|| Address::parse(a.name()).ok()));
    let own = own.next();
    let reports = match &state.config.queue.bounce_from {
        BounceFrom::Address(address) => Some(address.clone()),
        BounceFrom::Auto => None,
    };
    let at_host = || Address::parse(&format!("postmaster@{}", state.config.hostname)).ok();
    own.or(reports)
        .or_else(at_host)
        .unwrap_or_else(|| Address::parse("postmaster@localhost").expect("it is a mailbox"))
}

pub(super) fn refused(error: &SubmissionError) -> ApiError {
    ApiError::Conflict(error.to_string())
}

/// Who would send it, by what, and how large it may be.
#[utoipa::path(
    get,
    path = "/send",
    tag = "send",
    params(SendQueryShape),
    responses(
        (status = 200, description = "By what it would go", body = SendPlan),
        (status = 404, description = "There is no such upstream"),
        (status = 409, description = "No upstream serves that sender"),
    )
)]
pub(super) async fn plan(
    extract::State(state): extract::State<ApiState>,
    RawQuery(query): RawQuery,
) -> Result<Json<SendPlan>, ApiError> {
    let sending = SendQuery::read(query.as_deref())?.decide(&state)?;
    let most = state.config.session.max_message_size.0;
    let of_upstream = sending.upstream.message_size().map_or(u64::MAX, |most| most.0);
    Ok(Json(SendPlan {
        from: sending.from.to_string(),
        upstream: sending.upstream.name.clone(),
        hostname: state.config.hostname.clone(),
        max_size: most.min(of_upstream),
    }))
}

/// Takes the content in the body, and tells what becomes of it.
#[utoipa::path(
    post,
    path = "/send",
    tag = "send",
    params(SendQueryShape),
    request_body(content = String, content_type = "message/rfc822", description = "The content, of any type"),
    responses(
        (status = 200, description = "A line for each event, until all is settled", body = SendEvent, content_type = "application/x-ndjson"),
        (status = 404, description = "There is no such upstream"),
        (status = 409, description = "It is refused"),
    )
)]
pub(super) async fn submit(
    extract::State(state): extract::State<ApiState>,
    extract::State(streams): extract::State<Streams>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, ApiError> {
    let query = SendQuery::read(query.as_deref())?;
    let patience = query.timeout.unwrap_or(TIMEOUT.0);
    let sending = query.decide(&state)?;
    let recipients = recipients(&state, &sending.to, false).await?;
    let queue_id = QueueId::new(state.timeline.wall().as_millisecond(), rand::random());
    let (taken, body) = receive(&state, &sending, &queue_id, body).await?;
    let place = streams.place()?;
    let watch = state.outcomes.watch(&queue_id);
    let (message, label) = message(&state, sending, (queue_id, recipients, taken, body)).await?;
    let queued = enqueue(&state, message, label).await?;
    Ok(place.answer(|events| async move { Following::new(state, events, watch).run(queued, patience).await }))
}

/// The recipients, those on the blacklist refused or dropped as everywhere. `copy`: no client has named them.
pub(super) async fn recipients(state: &ApiState, to: &[Address], copy: bool) -> Result<Recipients, ApiError> {
    let mut all = Vec::new();
    for address in to {
        let found = blacklist::look_up(&*state.store, state.config.blacklist.action, address).await?;
        if let BlacklistResult::Refused(reply) = &found {
            let what = format!("{}: mailsluice blacklist remove {address}", reply.lines.join(" "));
            return Err(ApiError::Conflict(what));
        }
        let dropped = matches!(found, BlacklistResult::Dropped { .. });
        let request = RecipientRequest::default();
        all.push(NewRecipient { address: address.clone(), dropped, copy, request });
    }
    if all.len() > state.config.session.max_recipients {
        return Err(ApiError::Conflict("more recipients than [session] max_recipients allows".to_owned()));
    }
    Recipients::new(all).ok_or_else(|| ApiError::BadRequest("say to whom: to=ADDRESS".to_owned()))
}

/// Takes the content as a session does, within the same bounds.
async fn receive(
    state: &ApiState,
    sending: &Sending,
    queue_id: &QueueId,
    mut body: Body,
) -> Result<(Taken, BodyKind), ApiError> {
    let arrival = Arrival {
        queue_id: queue_id.clone(),
        helo: CONTROL.to_owned(),
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        hostname: state.config.hostname.clone(),
        protocol: "HTTP",
        recipient: match &sending.to[..] {
            [only] => Some(only.clone()),
            _ => None,
        },
        submitter: None,
        completion: state.config.complete_addresses.clone(),
        date: state.timeline.wall(),
    };
    let upload = state.store.upload(queue_id);
    let mut receiver = Receiver::new(arrival, &state.config.session, &state.memory, upload).in_chunks();
    let wrong = |refusal: &Refusal| ApiError::Conflict(refusal.to_string());
    let mut kind = BodyKind::SevenBit;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ApiError::BadRequest(error.to_string()))?;
        let Some(octets) = frame.data_ref() else { continue };
        receiver.feed(octets).await;
        if !octets.is_ascii() {
            kind = BodyKind::EightBitMime;
        }
        if let Some(refusal) = receiver.refusal() {
            return Err(wrong(&refusal));
        }
    }
    Ok((receiver.finish().await.map_err(|refusal| wrong(&refusal))?, kind))
}

/// By what a person finds it in the log; the subject where that is logged.
pub(super) struct Searched {
    pub(super) upstream: String,
    pub(super) message_id: Option<String>,
    pub(super) subject: Option<String>,
}

async fn message(
    state: &ApiState,
    sending: Sending,
    (queue_id, recipients, taken, body): (QueueId, Recipients, Taken, BodyKind),
) -> Result<(NewMessage, Searched), ApiError> {
    let Sending { from, to, upstream, decided } = sending;
    let Taken { content, author, label } = taken;
    let now = state.timeline.wall();
    let mut ruling = rule(state, (&from, &to), (&content, &author)).await?;
    if decided {
        // The person who sends it has said so, and goes before all rules.
        ruling.upstream = Some(upstream.name.clone());
    }
    // A content of another From than was announced goes where that one's mail goes.
    let upstream = carrier::route(&state.router, &ruling).map_err(|error| refused(&error))?;
    let copies = ruling.recipients(&*state.store, state.config.blacklist.action).await;
    let recipients = recipients.with(copies.map_err(|error| ApiError::Unavailable(error.to_string()))?);
    let test = state.test_mode.for_message(ruling.ruled.test_by.is_some());
    let smtputf8 = !from.is_ascii() || to.iter().any(|to| !to.is_ascii());
    let relay = (&*state.router, &state.transformer);
    let sketch = || {
        let kept =
            recipients.iter().filter(|recipient| !recipient.dropped).map(|recipient| &recipient.address);
        carrier::sketch((queue_id.clone(), smtputf8), (&ruling, test.as_ref()), kept)
    };
    let carried = carrier(relay, upstream, (&*ruling.sender, &content), sketch).await;
    let Carrier { upstream, detour } = carried.map_err(|error| refused(&error))?;
    if let Some(detour) = detour {
        detour.log(&queue_id, &upstream.name);
        ruling.upstream = Some(upstream.name.clone());
    }
    let lane = accept::lane(test.as_ref(), state.router.lane_of(&upstream.name, &ruling.sender));
    let searched = Searched {
        upstream: upstream.name.clone(),
        subject: if state.config.log.subject { label.subject() } else { None },
        message_id: label.message_id.clone(),
    };
    let message = NewMessage {
        queue_id,
        kind: MessageKind::Submitted,
        priority: ruling.ruled.priority.unwrap_or(Priority::Normal),
        limit_wait: state.limit_waits.of(&lane, state.timeline.now()),
        lane,
        delay: ruling.delay(now),
        smtputf8,
        body,
        request: MessageRequest::default(),
        client: ClientInfo { address: CONTROL.into(), listener: CONTROL.into(), ..ClientInfo::default() },
        held: ruling.ruled.held_by.is_some()
            || test.as_ref().is_some_and(|test| test.action == TestAction::Hold),
        label: StoredLabel::new(&label, state.config.history.subject),
        recipients,
        reverse_path: ruling.reverse_path,
        sender: ruling.sender,
        decisions: Decisions { test, upstream: ruling.upstream, ruled: ruling.ruled },
        content,
    };
    Ok((message, searched))
}

/// What rules make of it.
async fn rule(
    state: &ApiState,
    (from, to): (&Address, &[Address]),
    (content, author): (&Content, &Author),
) -> Result<Ruling, ApiError> {
    let arrived = Arrived {
        content,
        author,
        reverse_path: &ReversePath::Address(from.clone()),
        recipients: to,
        user: None,
        listener: CONTROL,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    Ruling::of(&state.config, state.timeline.wall(), arrived).await.map_err(|error| refused(&error))
}

/// Counts what has come in by this.
fn count(metrics: &Metrics, upstream: &str, recipients: &Recipients) {
    let (upstream, copies) = (CountedLogin::of_upstream(upstream), recipients.copies());
    metrics.count(CountedOutcome::Accepted, upstream, recipients.len() as u64 - copies);
    metrics.count(CountedOutcome::Generated, upstream, copies);
    metrics.count(CountedOutcome::Dropped, upstream, (recipients.len() - recipients.kept()) as u64);
}

pub(super) async fn enqueue(
    state: &ApiState,
    message: NewMessage,
    Searched { upstream, message_id, subject }: Searched,
) -> Result<InQueue, ApiError> {
    let (queue_id, lane, test) =
        (message.queue_id.clone(), message.lane.clone(), message.decisions.test.clone());
    let (from, size, held) = (message.reverse_path.to_string(), message.content.len(), message.held);
    let recipients = message.recipients.clone();
    let (submitter, priority, delay) = (message.client.submitter(), message.priority, message.delay);
    let rules = some_list(&message.decisions.ruled.rules);
    let queued = state.store.enqueue(message).await.map_err(SubmissionError::NotQueued);
    let taken = queued.map_err(|error| ApiError::Unavailable(error.to_string()))?;
    let accepted = Accepted {
        queue_id: &queue_id,
        lane: &lane,
        submitter: &submitter,
        priority,
        recipients: recipients.kept() as u64,
    };
    let waits = !held && taken.is_none() && recipients.kept() > 0;
    let eta = match (waits, delay.is_zero()) {
        (false, _) => None,
        (true, true) => state.estimate.of_accepted(accepted).await,
        (true, false) => Some(state.timeline.now().after(delay)),
    };
    let eta = eta.map(|eta| rfc3339(state.timeline.wall_at(eta)));
    let test_mode = test.as_ref().map(|test| action_name(test.action).to_owned());
    count(&state.metrics, &upstream, &recipients);
    tracing::info!(
        event = "accepted",
        %queue_id,
        client = CONTROL,
        listener = CONTROL,
        from,
        to = %recipients[0].address,
        recipients = recipients.len(),
        message_id,
        subject,
        size,
        upstream,
        eta,
        rules,
        test_mode
    );
    let names = |dropped: bool| -> Vec<String> {
        let which = recipients.iter().filter(|recipient| recipient.dropped == dropped);
        which.map(|recipient| recipient.address.to_string()).collect()
    };
    let (open, dropped) = (names(false), names(true));
    for to in &dropped {
        tracing::info!(event = "dropped", %queue_id, from, to, client = CONTROL, upstream, reason = "blacklist");
    }
    // Its attempt may begin, now that this stands in the log.
    begin(state, &lane, taken);
    let copy = test.filter(|test| test.action == TestAction::Redirect);
    let test_address = copy.and_then(|test| test.address).map(|address| address.to_string());
    let json = QueuedJson { queue_id: queue_id.to_string(), from, upstream, eta, test_mode, test_address };
    Ok(InQueue { json, queue_id, held, open, dropped })
}

/// Has the attempt begin of what was taken at once, and wakes the lane of what was not.
fn begin(state: &ApiState, lane: &LaneName, taken: Option<TakenAtOnce>) {
    taken.map_or_else(|| state.wakeups.wake(lane), drop);
    if state.router.is_outdated() {
        state.wakeups.call_unserved();
    }
}
