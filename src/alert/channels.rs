//! The ways by which notices go: each by itself, so that one that fails or is slow holds up none of the others.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::alerts::Alerts;
use super::command;
use super::mail::QueuedNotice;
use super::notice::Notice;
use super::webhook;
use crate::mail::Address;

/// Notices that may wait for a way that is slow.
const WAITING: usize = 64;

/// A way by which notices go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertChannel {
    /// Mail to `mail_to`.
    Mail,
    /// A request to `webhook`.
    Webhook,
    /// The program of `command`.
    Command,
}

impl AlertChannel {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Mail, Self::Webhook, Self::Command];

    /// As the log and the interface call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Webhook => "webhook",
            Self::Command => "command",
        }
    }
}

/// What became of a test by one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelTrial {
    /// The way.
    pub channel: AlertChannel,
    /// What became of it, or why it failed, in words.
    pub outcome: Result<String, String>,
}

/// Takes notices, and has each way tell them. Dropped, what is under way is broken off.
pub(super) struct Channels {
    ways: Vec<(AlertChannel, mpsc::Sender<Notice>)>,
    _tasks: JoinSet<()>,
}

impl Channels {
    /// Ready to tell, by the ways that are configured when it is told.
    pub(super) fn start(alerts: &Arc<Alerts>) -> Self {
        let mut tasks = JoinSet::new();
        let mut ways = Vec::new();
        for channel in AlertChannel::ALL {
            let (sender, mut notices) = mpsc::channel::<Notice>(WAITING);
            let alerts = alerts.clone();
            tasks.spawn(async move {
                while let Some(notice) = notices.recv().await {
                    alerts.deliver(channel, &notice).await;
                }
            });
            ways.push((channel, sender));
        }
        Self { ways, _tasks: tasks }
    }

    /// Tells a notice by all ways; waits for none.
    pub(super) fn tell(&self, notice: &Notice) {
        for (channel, way) in &self.ways {
            if way.try_send(notice.clone()).is_err() {
                failed(*channel, notice, &format!("{WAITING} alerts wait for it already"));
            }
        }
    }
}

impl Alerts {
    /// Has one way tell a notice, if it is configured, and says what became of it.
    async fn deliver(&self, channel: AlertChannel, notice: &Notice) {
        match self.try_deliver(channel, notice, false).await {
            Some(Ok(_)) | None => {}
            Some(Err(reason)) => failed(channel, notice, &reason),
        }
    }

    /// Sends a test by each way that is configured, once, and says what became of it.
    pub async fn try_channels(&self) -> Vec<ChannelTrial> {
        let notice = Notice::test(self.services.timeline.wall(), &self.in_force().config.hostname);
        let try_one = async |channel| {
            let outcome = self.try_deliver(channel, &notice, true).await?;
            if let Err(reason) = &outcome {
                failed(channel, &notice, reason);
            }
            Some(ChannelTrial { channel, outcome })
        };
        let [mail, webhook, command] = AlertChannel::ALL;
        let (mail, webhook, command) = tokio::join!(try_one(mail), try_one(webhook), try_one(command));
        [mail, webhook, command].into_iter().flatten().collect()
    }

    /// Has one way tell a notice; `None` when it is not configured.
    async fn try_deliver(
        &self,
        channel: AlertChannel,
        notice: &Notice,
        once: bool,
    ) -> Option<Result<String, String>> {
        let in_force = self.in_force();
        let alert = &in_force.config.alert;
        match channel {
            AlertChannel::Mail if alert.mail_to.is_empty() => None,
            AlertChannel::Mail => {
                let queued = self.queue_mail(notice).await.map_err(|error| error.to_string());
                Some(queued.map(|queued| mail_queued(notice, &queued)))
            }
            AlertChannel::Webhook => {
                let url = alert.webhook.as_ref()?;
                let http = &*self.services.http;
                let posted = if once {
                    webhook::post_once(http, url, notice).await
                } else {
                    webhook::post(http, url, notice).await
                };
                let posted = posted.map_err(|error| error.to_string());
                Some(posted.map(|status| {
                    let (host, reply) = (url.host(), status.as_str());
                    tracing::info!(event = "alert_sent", channel = channel.name(), cause = %notice.cause, host, reply);
                    format!("{host} has answered {status}")
                }))
            }
            AlertChannel::Command => {
                let program = alert.command.first()?;
                let done = command::run(&alert.command, notice).await.map_err(|error| error.to_string());
                Some(done.map(|()| {
                    tracing::info!(event = "alert_sent", channel = channel.name(), cause = %notice.cause, path = program);
                    format!("{program} has ended well")
                }))
            }
        }
    }
}

/// Says that the mail of a notice is in the queue, and for whom it is not.
fn mail_queued(notice: &Notice, queued: &QueuedNotice) -> String {
    let names = |all: &[Address]| all.iter().map(Address::as_str).collect::<Vec<_>>().join(",");
    let QueuedNotice { queue_id, upstream, to, blacklisted } = queued;
    let channel = AlertChannel::Mail;
    let to = names(to);
    tracing::info!(
        event = "alert_sent", channel = channel.name(), cause = %notice.cause, %queue_id, to, via = upstream
    );
    let words = format!("in the queue as {queue_id}, for {to} by upstream {upstream}");
    if blacklisted.is_empty() {
        return words;
    }
    let names = names(blacklisted);
    failed(channel, notice, &format!("on the blacklist: {names}"));
    format!("{words}; on the blacklist, so not for: {names}")
}

fn failed(channel: AlertChannel, notice: &Notice, reason: &str) {
    let (upstream, account) = (&notice.upstream, &notice.account);
    tracing::error!(event = "alert_failed", channel = channel.name(), cause = %notice.cause, upstream, account, reason);
}
