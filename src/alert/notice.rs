//! An alert, or its end, as it is told.

use jiff::Timestamp;
use serde::Serialize;

use super::book::TroubleNews;
use super::trouble::AlertCause;
use crate::time::Timeline;

/// An alert, or its end, as all ways tell it. As JSON it is what a webhook is posted, and what a command reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// Whether it begins, or is over.
    pub event: NoticeEvent,
    /// What kind of trouble.
    pub cause: AlertCause,
    /// The upstream that it is about.
    pub upstream: Option<String>,
    /// The account that it is about; `None` as well when it is about all of the upstream.
    pub account: Option<String>,
    /// What is wrong, where and since when; or what is over.
    pub text: String,
    /// What to do about it; `None` when it is over.
    pub action: Option<String>,
    /// When this was said, RFC 3339 in UTC.
    #[serde(serialize_with = "rfc3339")]
    pub time: Timestamp,
}

/// Whether a trouble stands, or is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeEvent {
    /// It stands.
    Alert,
    /// It is over.
    Over,
}

fn rfc3339<S: serde::Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&shown(*time))
}

fn shown(time: Timestamp) -> String {
    format!("{time:.3}")
}

impl Notice {
    /// What the news say, now.
    pub(super) fn new(news: TroubleNews, timeline: &Timeline) -> Self {
        let some = |text: String| (!text.is_empty()).then_some(text);
        let since = timeline.wall_at(news.since);
        let time = timeline.wall();
        let TroubleNews { trouble, is_over, .. } = news;
        // What began just now needs no second time.
        let is_new = time.duration_since(since).as_secs() < 1;
        let text = match (is_over, is_new) {
            (true, _) => format!("over, since {} it was: {}", shown(since), trouble.text),
            (false, true) => trouble.text,
            (false, false) => format!("{} (since {})", trouble.text, shown(since)),
        };
        Self {
            event: if is_over { NoticeEvent::Over } else { NoticeEvent::Alert },
            cause: trouble.key.cause,
            upstream: some(trouble.key.upstream),
            account: some(trouble.key.account),
            text,
            action: Some(trouble.action).filter(|_| !is_over),
            time,
        }
    }

    /// The notice of a person who tries whether alerts arrive.
    pub(super) fn test(time: Timestamp, hostname: &str) -> Self {
        Self {
            event: NoticeEvent::Alert,
            cause: AlertCause::Test,
            upstream: None,
            account: None,
            text: format!("this is a test of the alerts of Mailsluice at {hostname}; nothing is wrong"),
            action: Some("nothing: a person has asked for it by `mailsluice alert test`".to_owned()),
            time,
        }
    }

    /// The JSON that is posted, on one line.
    ///
    /// # Panics
    /// Never: plain fields always serialise.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain fields always serialise")
    }

    /// When it was said, as people read it.
    pub(super) fn time(&self) -> String {
        shown(self.time)
    }

    /// Writes it into the log.
    pub(super) fn log(&self) {
        let Self { cause, upstream, account, text: reason, action, .. } = self;
        match self.event {
            NoticeEvent::Alert => {
                tracing::warn!(event = "alert", %cause, upstream, account, reason, action);
            }
            NoticeEvent::Over => tracing::info!(event = "alert_over", %cause, upstream, account, reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_json_has_these_keys_alone() {
        let time: Timestamp = "2026-11-26T10:00:00.0504Z".parse().unwrap();
        let notice = Notice {
            event: NoticeEvent::Over,
            cause: AlertCause::UpstreamDisabled,
            upstream: Some("m365".to_owned()),
            account: None,
            text: "over: \u{1b}\"x\"\r\n".to_owned(),
            action: None,
            time,
        };
        let text = notice.to_json();
        assert!(!text.contains(['\n', '\r', '\u{1b}']), "{text}");
        let want = json!({
            "event": "over", "cause": "upstream_disabled", "upstream": "m365", "account": null,
            "text": "over: \u{1b}\"x\"\r\n", "action": null, "time": "2026-11-26T10:00:00.050Z",
        });
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), want);
    }
}
