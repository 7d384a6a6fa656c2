//! Sends notices by mail: through the queue, by an upstream that is not in trouble.
//!
//! The mail is one of our reports: nothing is reported about it, and nothing of it counts among what bounces. Test mode does not
//! touch it, for it goes to administrators and is no message that a program has handed in.

use std::sync::Arc;
use std::time::Duration;

use super::alerts::{Alerts, InForce};
use super::notice::{Notice, NoticeEvent};
use super::trouble::AlertCause;
use crate::account::UpstreamView;
use crate::config::{Upstream, UpstreamKind};
use crate::lane::LaneState;
use crate::mail::header::Header;
use crate::mail::{
    Address, Body, MessageLabel, MessageRequest, Notify, QueueId, RecipientRequest, ReversePath, message_id,
};
use crate::report::alert_mail::AlertMail;
use crate::report::author::report_author;
use crate::store::{
    ClientInfo, Content, Decisions, EnqueueError, LaneName, MessageKind, NewMessage, NewRecipient, Priority,
    Recipients, StoreError, StoredLabel,
};

/// How long the store may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why a notice does not go by mail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum AlertMailError {
    /// No upstream is fit for it.
    #[error("no upstream could send it that is not in trouble itself")]
    NoUpstream,
    /// All who are to get it are on the blacklist.
    #[error("{} on the blacklist", listed(_0))]
    Blacklisted(Vec<Address>),
    /// It could not be queued.
    #[error(transparent)]
    NotQueued(#[from] EnqueueError),
    /// The blacklist could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store did not answer.
    #[error("the store has not answered within {} s", PATIENCE.as_secs())]
    TimedOut,
}

fn listed(addresses: &[Address]) -> String {
    let all: Vec<&str> = addresses.iter().map(Address::as_str).collect();
    format!("{} {}", all.join(", "), if all.len() == 1 { "is" } else { "are" })
}

/// A notice that is in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct QueuedNotice {
    pub(super) queue_id: QueueId,
    /// By which upstream it goes.
    pub(super) upstream: String,
    /// Who gets it.
    pub(super) to: Vec<Address>,
    /// Who does not, being on the blacklist.
    pub(super) blacklisted: Vec<Address>,
}

impl Alerts {
    /// Puts a notice into the queue.
    ///
    /// # Errors
    /// When it can't go.
    pub(super) async fn queue_mail(&self, notice: &Notice) -> Result<QueuedNotice, AlertMailError> {
        let queued = tokio::time::timeout(PATIENCE, self.try_queue_mail(notice)).await;
        queued.unwrap_or(Err(AlertMailError::TimedOut))
    }

    async fn try_queue_mail(&self, notice: &Notice) -> Result<QueuedNotice, AlertMailError> {
        let in_force = self.in_force();
        let (to, blacklisted) = self.addressees(&in_force.config.alert.mail_to).await?;
        let Some(first) = to.first() else { return Err(AlertMailError::Blacklisted(blacklisted)) };
        let (upstream, from, lane) = self.way(&in_force, notice, first).ok_or(AlertMailError::NoUpstream)?;
        let message = self.message(&in_force, notice, (&upstream, &from, &lane), &to);
        let queue_id = message.queue_id.clone();
        let taken = self.services.store.enqueue(message).await?;
        taken.map_or_else(|| self.services.wakeups.wake(&lane), drop);
        if in_force.router.is_outdated() {
            self.services.wakeups.call_unserved();
        }
        Ok(QueuedNotice { queue_id, upstream: upstream.name.clone(), to, blacklisted })
    }

    /// Who gets it, and who does not.
    async fn addressees(&self, all: &[Address]) -> Result<(Vec<Address>, Vec<Address>), StoreError> {
        let found = self.services.store.blacklisted(all).await?;
        let all = all.iter().cloned().zip(found);
        let (listed, clear): (Vec<_>, Vec<_>) = all.partition(|(_, entry)| entry.is_some());
        let addresses = |all: Vec<(Address, _)>| -> Vec<Address> {
            all.into_iter().map(|(address, _)| address).collect()
        };
        Ok((addresses(clear), addresses(listed)))
    }

    /// By which upstream it goes, as whom, and in which lane: by the default before others, by one that sends now before one that
    /// waits for its limits, and by the one that it is about only where that still sends and there is no other.
    fn way(
        &self,
        in_force: &InForce,
        notice: &Notice,
        to: &Address,
    ) -> Option<(Arc<Upstream>, Address, LaneName)> {
        let config = &in_force.config;
        let mut ways: Vec<_> = config
            .upstreams
            .iter()
            .filter_map(|upstream| {
                let rank = self.rank(upstream, notice)?;
                let from = report_author(config, upstream, to);
                let lane = in_force.router.lane_of(&upstream.name, from.as_str())?;
                Some((rank, upstream.clone(), from, lane))
            })
            .collect();
        ways.sort_by_key(|(rank, ..)| *rank);
        ways.into_iter().next().map(|(_, upstream, from, lane)| (upstream, from, lane))
    }

    /// How good an upstream is for it, the less the better; `None` when it is not fit at all.
    fn rank(&self, upstream: &Upstream, notice: &Notice) -> Option<(bool, bool, bool)> {
        let is_local = matches!(upstream.kind, UpstreamKind::Capture(_));
        let view = self.services.accounts.view_in_memory(&upstream.name)?;
        if is_local || !upstream.enabled || !can_send(&view) {
            return None;
        }
        let is_about = notice.upstream.as_deref() == Some(upstream.name.as_str());
        let begins = notice.event == NoticeEvent::Alert;
        if is_about
            && begins
            && matches!(notice.cause, AlertCause::UpstreamDisabled | AlertCause::NothingSent)
            && !is_partial(&view, notice)
        {
            return None;
        }
        let is_suspect = is_about && begins && notice.cause.is_about_sending();
        Some((is_suspect, view.state != LaneState::Up, !upstream.default))
    }

    fn message(
        &self,
        in_force: &InForce,
        notice: &Notice,
        (upstream, from, lane): (&Upstream, &Address, &LaneName),
        to: &[Address],
    ) -> NewMessage {
        let hostname = &in_force.config.hostname;
        let timeline = &self.services.timeline;
        let wall = timeline.wall();
        let queue_id = QueueId::new(wall.as_millisecond(), rand::random());
        let octets = AlertMail {
            from,
            to,
            subject: &subject(notice, hostname),
            text: &text(notice, hostname),
            message_id: &message_id::generate(&queue_id, hostname),
            date: wall,
        }
        .build();
        let smtputf8 = Header::parse(&octets).fields().any(|field| !field.raw().is_ascii());
        let request = RecipientRequest { notify: Some(Notify::NEVER), original: None };
        let recipient = |address: &Address| NewRecipient {
            address: address.clone(),
            dropped: false,
            copy: false,
            request: request.clone(),
        };
        NewMessage {
            queue_id,
            kind: MessageKind::Report,
            priority: Priority::Report,
            limit_wait: self.services.limit_waits.of(lane, timeline.now()),
            delay: Duration::ZERO,
            lane: lane.clone(),
            reverse_path: ReversePath::Null,
            sender: from.key().to_string(),
            body: if octets.is_ascii() { Body::SevenBit } else { Body::EightBitMime },
            smtputf8,
            request: MessageRequest::default(),
            client: ClientInfo { listener: "alert".into(), ..ClientInfo::default() },
            decisions: Decisions { upstream: Some(upstream.name.clone()), ..Decisions::default() },
            held: false,
            label: StoredLabel::new(&MessageLabel::of(&octets), in_force.config.history.subject),
            recipients: Recipients::new(to.iter().map(recipient).collect()).expect("somebody gets it"),
            content: Content::memory(octets),
        }
    }
}

/// Whether mail goes by an upstream, now or when its limits let it.
fn can_send(view: &UpstreamView) -> bool {
    matches!(view.state, LaneState::Up | LaneState::Busy { .. } | LaneState::Limited { .. })
}

/// Whether a trouble is about one account of an upstream that has others that send.
fn is_partial(view: &UpstreamView, notice: &Notice) -> bool {
    let is_other = |name: &str| notice.account.as_deref().is_some_and(|account| account != name);
    view.accounts.iter().any(|account| is_other(&account.account) && account.state == LaneState::Up)
}

fn subject(notice: &Notice, hostname: &str) -> String {
    let over =
        if notice.event == NoticeEvent::Over && !notice.text.starts_with("over") { "over: " } else { "" };
    format!("Mailsluice {hostname}: {over}{}", notice.text)
}

fn text(notice: &Notice, hostname: &str) -> String {
    let mut lines = vec![
        match notice.event {
            NoticeEvent::Alert => format!("Mailsluice at {hostname} needs a person:"),
            NoticeEvent::Over => format!("Mailsluice at {hostname}: this is over."),
        },
        String::new(),
        notice.text.clone(),
        String::new(),
    ];
    if let Some(action) = &notice.action {
        lines.extend([format!("What to do: {action}"), String::new()]);
    }
    let fields = [
        ("Cause", Some(notice.cause.name().to_owned())),
        ("Upstream", notice.upstream.clone()),
        ("Account", notice.account.clone()),
        ("Time", Some(notice.time())),
    ];
    lines.extend(fields.into_iter().filter_map(|(name, value)| Some(format!("{name}: {}", value?))));
    if notice.event == NoticeEvent::Alert && notice.cause != AlertCause::Test {
        lines.push(String::new());
        lines.push("It is said again each day while it lasts, and once when it is over.".to_owned());
    }
    lines.join("\n") + "\n"
}
