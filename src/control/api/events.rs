//! The log as it goes on, as server-sent events.

use std::time::Duration;

use axum::Extension;
use axum::extract;
use axum::response::Response;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::config::ApiRole;
use crate::control::access::Caller;
use crate::control::stream::ServerEvent;
use crate::control::{ApiError, ApiState, Streams};
use crate::report::log::{FeedItem, FeedReader};

/// After so long without an event something is sent all the same, so that both sides know whether the other is there.
const ALIVE: Duration = Duration::from_secs(15);
/// The event that says how many are missing.
const LOST: &str = "log_lost";
/// What is content of a message, where the log has it at all.
const SUBJECT: &str = "subject";

/// The log from now on, as server-sent events that have the names of the log, each with its keys as JSON. A reader that is too
/// slow gets `log_lost` with the number of `lines` that are missing; one that takes nothing for a minute is cut off.
#[utoipa::path(
    get,
    path = "/events",
    tag = "log",
    responses((
        status = 200,
        description = "The events, until the client goes; without subjects for a viewer",
        body = String,
        content_type = "text/event-stream"
    ))
)]
pub(super) async fn follow(
    extract::State(state): extract::State<ApiState>,
    extract::State(streams): extract::State<Streams>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, ApiError> {
    let place = streams.reading_place()?;
    // Whoever has the answer misses nothing from then on.
    let feed = state.events.read();
    Ok(place.server_events(move |events| send(feed, events, caller.role())))
}

async fn send(mut feed: FeedReader, events: mpsc::Sender<ServerEvent>, role: ApiRole) {
    loop {
        let event = match timeout(ALIVE, feed.next()).await {
            Err(_) => ServerEvent::Alive,
            Ok(None) => return,
            Ok(Some(FeedItem::Lost(lines))) => ServerEvent::Named {
                name: LOST.to_owned(),
                json: format!("{{\"event\":\"{LOST}\",\"lines\":{lines}}}"),
            },
            Ok(Some(FeedItem::Event(event))) => {
                let json =
                    if role < ApiRole::Admin { without_subject(&event.json) } else { event.json.clone() };
                ServerEvent::Named { name: event.name.clone(), json }
            }
        };
        if events.send(event).await.is_err() {
            return;
        }
    }
}

/// An event without what a viewer may not see.
fn without_subject(json: &str) -> String {
    let parsed = serde_json::from_str::<Value>(json).ok();
    let subject = parsed.and_then(|mut event| event.as_object_mut()?.remove(SUBJECT).map(|_| event));
    subject.map_or_else(|| json.to_owned(), |event| event.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn viewers_see_no_subject() {
        let json = r#"{"event":"accepted","from":"a@b","subject":"Your \"invoice\""}"#;
        assert_eq!(without_subject(json), r#"{"event":"accepted","from":"a@b"}"#);
        let json = r#"{"time":"x","event":"sent","reply":"\"subject\":"}"#;
        assert_eq!(without_subject(json), json);
    }
}
