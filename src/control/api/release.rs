//! Held mail is let go: one message, or all that fit a filter, in portions.

use axum::Json;
use axum::extract;
use axum::extract::Query;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::response::Response;
use tokio::sync::mpsc;

use super::queue::{IdPath, find, list_filter};
use crate::config::TestAction;
use crate::control::view::{
    Done, DoneOutcome, Release, ReleaseAll, ReleasePlan, ReleaseProgress, ReleaseQuery,
};
use crate::control::{ApiError, ApiState, Streams};
use crate::mail::{Address, QueueId};
use crate::store::{
    Decisions, HeldMessage, HeldWalk, ListFilter, MessageId, MessageRelease, RecipientState, StoreError,
    Summary, TestTreatment,
};

/// Messages that are released in one transaction.
const PORTION: u32 = 1_000;
/// Messages that are looked at together while nothing is changed.
const LOOK: u32 = 10_000;

/// Where held mail goes.
#[derive(Debug, Clone)]
enum Destination {
    Recipients,
    /// With the address of test mode, as in force.
    Test(Option<Address>),
}

/// Why a message can't be released so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Unreleasable {
    #[error(
        "it was accepted in test mode with redirect, and never goes to its recipients: release it to test, or delete it"
    )]
    Redirected,
    #[error(
        "it was accepted in test mode with capture, and never leaves this machine: release it to test, that is into the \
         local mailbox, or delete it"
    )]
    Captured,
    #[error("there is no test address: set `address` in [test_mode], or say `test-mode on --address`")]
    NoTestAddress,
}

impl Destination {
    fn read(to: &str, state: &ApiState) -> Result<Self, ApiError> {
        match to {
            "recipients" => Ok(Self::Recipients),
            "test" => Ok(Self::Test(state.test_mode.state().address)),
            _ => Err(ApiError::BadRequest("release where to: write test or recipients".to_owned())),
        }
    }

    /// How a message that was treated like this is treated from now on. What was accepted to be redirected or captured never
    /// comes to its recipients.
    fn treatment(&self, test: Option<&TestTreatment>) -> Result<Option<TestTreatment>, Unreleasable> {
        let action = test.map(|test| test.action);
        match (self, action) {
            (Self::Recipients, None | Some(TestAction::Hold)) => Ok(None),
            (Self::Recipients, Some(TestAction::Redirect)) => Err(Unreleasable::Redirected),
            (Self::Recipients, Some(TestAction::Capture)) => Err(Unreleasable::Captured),
            (Self::Test(_), Some(TestAction::Redirect | TestAction::Capture)) => Ok(test.cloned()),
            (Self::Test(address), None | Some(TestAction::Hold)) => {
                let address = Some(address.clone().ok_or(Unreleasable::NoTestAddress)?);
                Ok(Some(TestTreatment { action: TestAction::Redirect, address }))
            }
        }
    }
}

/// Lets a held message go.
#[utoipa::path(
    post,
    path = "/queue/{id}/release",
    tag = "queue",
    params(("id" = String, Path, description = "A queue id")),
    request_body = Release,
    responses(
        (status = 200, description = "What became of it", body = Done),
        (status = 409, description = "It is not held, or may not go there"),
    )
)]
pub(super) async fn release(
    extract::State(state): extract::State<ApiState>,
    id: IdPath,
    release: Result<Json<Release>, JsonRejection>,
) -> Result<Json<Done>, ApiError> {
    let id = QueueId::parse(&id?)?;
    let Release { to, confirmed } = release?.0;
    let message = find(&state, &id).await?;
    let destination = Destination::read(&to, &state)?;
    let test = destination.treatment(message.decisions.test.as_ref()).map_err(|why| match why {
        Unreleasable::NoTestAddress => ApiError::Conflict(why.to_string()),
        Unreleasable::Redirected | Unreleasable::Captured => ApiError::Conflict(format!("{id}: {why}")),
    })?;
    if let (None, Some(TestTreatment { address: Some(address), .. })) = (&message.decisions.test, &test)
        && !confirmed
    {
        return Err(ApiError::Conflict(unconfirmed(&message, address)));
    }
    let decisions = message.decisions.released(test);
    let lane = state.store.release(id.clone(), decisions.clone()).await?;
    let lane =
        lane.ok_or_else(|| ApiError::Conflict(format!("{id} is not held: there is nothing to release")))?;
    log_released(&id, &decisions);
    state.wakeups.wake(&lane);
    Ok(Json(Done::new(&id, DoneOutcome::Released)))
}

fn log_released(id: &QueueId, decisions: &Decisions) {
    let to = decisions.test.as_ref().and_then(|test| test.address.as_ref()).map(ToString::to_string);
    tracing::info!(event = "released", queue_id = %id, to, reason = "by a person");
}

/// Why mail that is no test does not go to the test address without further words.
fn unconfirmed(message: &Summary, test: &Address) -> String {
    let waiting =
        message.recipients.iter().filter(|recipient| recipient.state == RecipientState::Waiting).count();
    let who = if waiting == 1 {
        "its recipient never gets".to_owned()
    } else {
        format!("its {waiting} recipients never get")
    };
    let id = &message.queue_id;
    format!("{id} was not accepted in test mode: released to {test}, {who} it; say --yes if that is meant")
}

/// What a release of all that fit would do.
#[utoipa::path(
    get,
    path = "/queue/release",
    tag = "queue",
    params(ReleaseQuery),
    responses(
        (status = 200, description = "What it would do", body = ReleasePlan),
        (status = 409, description = "There is no test address"),
    )
)]
pub(super) async fn plan(
    extract::State(state): extract::State<ApiState>,
    query: Result<Query<ReleaseQuery>, QueryRejection>,
) -> Result<Json<ReleasePlan>, ApiError> {
    Ok(Json(made_plan(&state, &query?.0).await?))
}

async fn made_plan(state: &ApiState, query: &ReleaseQuery) -> Result<ReleasePlan, ApiError> {
    let destination = Destination::read(&query.to, state)?;
    let mut plan = ReleasePlan::default();
    if let Destination::Test(address) = &destination {
        plan.test_address = address.as_ref().map(ToString::to_string);
    }
    let mut at = Some(MessageId(i64::MIN));
    while let Some(after) = at {
        let walk = HeldWalk { filter: filter(query)?, after, up_to: MessageId(i64::MAX), most: LOOK };
        let portion = state.store.held(walk).await?;
        for held in &portion.messages {
            plan.up_to = held.id.0;
            count(&mut plan, &destination, held)?;
        }
        at = portion.next;
    }
    Ok(plan)
}

/// Adds a message to what a release would do.
fn count(plan: &mut ReleasePlan, destination: &Destination, held: &HeldMessage) -> Result<(), ApiError> {
    let was = held.decisions.test.as_ref();
    match destination.treatment(was) {
        Ok(to) => {
            plan.messages += 1;
            let reached = match (&to, was) {
                (None, _) => &mut plan.recipients,
                (Some(_), None) => &mut plan.never_reached,
                (Some(_), Some(_)) => return Ok(()),
            };
            *reached += held.recipients;
            Ok(())
        }
        Err(Unreleasable::Redirected | Unreleasable::Captured) => {
            plan.kept += 1;
            Ok(())
        }
        Err(why @ Unreleasable::NoTestAddress) => Err(ApiError::Conflict(why.to_string())),
    }
}

fn filter(query: &ReleaseQuery) -> Result<ListFilter, ApiError> {
    let ReleaseQuery { to: _, upstream, state, sender, recipient } = query;
    list_filter(upstream.clone(), state.as_deref(), sender.as_deref(), recipient.as_deref())
}

/// Releases all that fit, as far as it was planned. The answer tells how far it has come; when nobody reads it any more, the
/// rest stays held.
#[utoipa::path(
    post,
    path = "/queue/release",
    tag = "queue",
    request_body = ReleaseAll,
    responses(
        (status = 200, description = "A line for each portion", body = ReleaseProgress, content_type = "application/x-ndjson"),
        (status = 409, description = "It would reach others than were agreed to"),
    )
)]
pub(super) async fn release_all(
    extract::State(state): extract::State<ApiState>,
    extract::State(streams): extract::State<Streams>,
    asked: Result<Json<ReleaseAll>, JsonRejection>,
) -> Result<Response, ApiError> {
    let ReleaseAll { query, plan } = asked?.0;
    let now = made_plan(&state, &query).await?;
    if now.test_address != plan.test_address
        || now.messages > plan.messages
        || now.recipients > plan.recipients
        || now.never_reached > plan.never_reached
    {
        let what = "it would reach others by now than was planned, and nothing was released: look again";
        return Err(ApiError::Conflict(what.to_owned()));
    }
    let destination = Destination::read(&query.to, &state)?;
    let filter = filter(&query)?;
    let bulk = BulkRelease { state, destination, filter, up_to: MessageId(plan.up_to) };
    Ok(streams.place()?.answer(|events| bulk.run(events)))
}

/// A release of many messages under way.
struct BulkRelease {
    state: ApiState,
    destination: Destination,
    filter: ListFilter,
    up_to: MessageId,
}

impl BulkRelease {
    async fn run(self, events: mpsc::Sender<ReleaseProgress>) {
        let mut progress = ReleaseProgress::default();
        let mut at = Some(MessageId(i64::MIN));
        while let Some(after) = at {
            match self.portion(after, &mut progress).await {
                Ok(next) => at = next,
                Err(error) => {
                    tracing::error!(event = "release_broken_off", messages = progress.messages, reason = %error);
                    progress.error = Some(error.to_string());
                    at = None;
                }
            }
            progress.done = at.is_none();
            if events.send(progress.clone()).await.is_err() {
                return;
            }
        }
    }

    /// Releases the next messages; tells behind which one the next portion begins.
    async fn portion(
        &self,
        after: MessageId,
        progress: &mut ReleaseProgress,
    ) -> Result<Option<MessageId>, StoreError> {
        let Self { state, filter, up_to, .. } = self;
        let walk = HeldWalk { filter: filter.clone(), after, up_to: *up_to, most: PORTION };
        let found = state.store.held(walk).await?;
        let mut held = Vec::new();
        for message in found.messages {
            let Ok(test) = self.destination.treatment(message.decisions.test.as_ref()) else { continue };
            let decisions = message.decisions.clone().released(test);
            held.push((message, decisions));
        }
        let release = |(message, decisions): &(HeldMessage, Decisions)| MessageRelease {
            id: message.id,
            known: message.decisions.clone(),
            decisions: decisions.clone(),
        };
        let lanes = state.store.release_known(held.iter().map(release).collect()).await?;
        for ((message, decisions), lane) in held.iter().zip(&lanes) {
            if lane.is_none() {
                progress.changed += 1;
                continue;
            }
            log_released(&message.queue_id, decisions);
            progress.messages += 1;
            progress.recipients += if decisions.test.is_none() { message.recipients } else { 0 };
        }
        let mut lanes: Vec<_> = lanes.into_iter().flatten().collect();
        lanes.sort_unstable();
        lanes.dedup();
        for lane in &lanes {
            state.wakeups.wake(lane);
        }
        Ok(found.next)
    }
}
