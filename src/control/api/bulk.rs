//! Something is done to all messages that fit, a page after the other.

use axum::Json;
use axum::extract;
use axum::extract::rejection::JsonRejection;
use axum::response::Response;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::queue::{delete_one, hold_one, list_filter, retry_one};
use crate::control::view::{BulkAction, BulkFilter, BulkProgress, BulkRequest};
use crate::control::{ApiError, ApiState, Streams};
use crate::store::{ListFilter, MessageId, StoreError, Summary};

/// Messages that are looked up together; after each page it is told how far it has come.
const PAGE: u32 = 500;
/// Messages to which it is done at the same time, so that they share commits.
const TOGETHER: usize = 32;

/// Tries again, holds or deletes all messages that fit. What is being sent is waited for; when nobody reads the answer any more,
/// the rest stays as it is.
#[utoipa::path(
    post,
    path = "/queue/bulk",
    tag = "queue",
    request_body = BulkRequest,
    responses((
        status = 200,
        description = "A line for each page",
        body = BulkProgress,
        content_type = "application/x-ndjson"
    ))
)]
pub(super) async fn run(
    extract::State(state): extract::State<ApiState>,
    extract::State(streams): extract::State<Streams>,
    asked: Result<Json<BulkRequest>, JsonRejection>,
) -> Result<Response, ApiError> {
    let BulkRequest { action, filter, all } = asked?.0;
    if filter == BulkFilter::default() && !all {
        let what = "say which messages by a filter, or that all are meant by all = true";
        return Err(ApiError::BadRequest(what.to_owned()));
    }
    let BulkFilter { upstream, state: wanted, sender, recipient } = filter;
    let filter = list_filter(upstream, wanted.as_deref(), sender.as_deref(), recipient.as_deref())?;
    let begun = state.timeline.wall();
    let work = BulkWork { state, action, filter, begun };
    Ok(streams.place()?.answer(|events| work.run(events)))
}

/// Such work under way.
struct BulkWork {
    state: ApiState,
    action: BulkAction,
    filter: ListFilter,
    /// When it was begun: what was accepted later is not meant.
    begun: Timestamp,
}

impl BulkWork {
    async fn run(self, events: mpsc::Sender<BulkProgress>) {
        let mut progress = BulkProgress::default();
        let mut after = None;
        while !progress.done {
            match self.page(after, &mut progress).await {
                Ok(next) => (after, progress.done) = (next, next.is_none()),
                Err(error) => {
                    tracing::error!(event = "bulk_broken_off", messages = progress.messages, reason = %error);
                    (progress.error, progress.done) = (Some(error.to_string()), true);
                }
            }
            if events.send(progress.clone()).await.is_err() {
                return;
            }
        }
    }

    /// Does it to the next messages; tells behind which one the next page begins.
    async fn page(
        &self,
        after: Option<MessageId>,
        progress: &mut BulkProgress,
    ) -> Result<Option<MessageId>, StoreError> {
        let filter = ListFilter { after, limit: PAGE, ..self.filter.clone() };
        let page = self.state.store.list(filter).await?;
        let is_full = page.len() == PAGE as usize;
        let next = page.last().filter(|_| is_full).map(|last| last.id);
        let begun = self.begun.as_millisecond();
        let is_later = page.last().is_some_and(|last| last.accepted_wall > begun);
        let mut tasks = JoinSet::new();
        for message in page.into_iter().filter(|message| message.accepted_wall <= begun) {
            if tasks.len() >= TOGETHER {
                note(tasks.join_next().await, progress)?;
            }
            let (state, action) = (self.state.clone(), self.action);
            tasks.spawn(async move { act(&state, action, &message).await });
        }
        while let Some(done) = tasks.join_next().await {
            note(Some(done), progress)?;
        }
        Ok(next.filter(|_| !is_later))
    }
}

async fn act(state: &ApiState, action: BulkAction, message: &Summary) -> Result<bool, ApiError> {
    match action {
        BulkAction::Retry => retry_one(state, message).await,
        BulkAction::Hold => hold_one(state, &message.queue_id).await,
        BulkAction::Delete => delete_one(state, &message.queue_id).await,
    }
}

/// Counts a message. Only what all others will meet, too, ends it.
fn note(
    done: Option<Result<Result<bool, ApiError>, tokio::task::JoinError>>,
    progress: &mut BulkProgress,
) -> Result<(), StoreError> {
    match done {
        Some(Ok(Ok(true))) => progress.messages += 1,
        Some(Ok(Err(ApiError::Store(error)))) => return Err(error),
        Some(_) => progress.others += 1,
        None => {}
    }
    Ok(())
}
