//! Probes that people want: each account's connection is made ready, and closed again.

use std::sync::Arc;

use axum::Json;
use axum::extract;
use axum::extract::rejection::JsonRejection;
use axum::response::Response;
use tokio::sync::mpsc;

use super::limits::must_exist;
use crate::account::Account;
use crate::account::enabling;
use crate::control::view::{ProbeEvent, ProbeRequest, ProbeResult, ProbedAccount, action, tell_steps};
use crate::control::{ApiError, ApiState, Streams};

/// Tests accounts one after the other, and tells each step in a line; sends nothing.
#[utoipa::path(
    post,
    path = "/probe",
    tag = "upstreams",
    request_body = ProbeRequest,
    responses(
        (status = 200, description = "A line for each event", body = ProbeEvent, content_type = "application/x-ndjson"),
        (status = 404, description = "There is no such upstream"),
    )
)]
pub(super) async fn run(
    extract::State(state): extract::State<ApiState>,
    extract::State(streams): extract::State<Streams>,
    request: Result<Json<ProbeRequest>, JsonRejection>,
) -> Result<Response, ApiError> {
    let ProbeRequest { upstreams } = request?.0;
    upstreams.iter().try_for_each(|name| must_exist(&state, name))?;
    let configured = state.config.upstreams.iter();
    let wanted = configured.filter(|upstream| upstreams.is_empty() || upstreams.contains(&upstream.name));
    let accounts: Vec<Arc<Account>> = wanted
        .flat_map(|upstream| state.accounts.of(&upstream.name))
        .filter(|account| !upstreams.is_empty() || !account.is_switched_off())
        .collect();
    Ok(streams.place()?.answer(|events| async move {
        for account in accounts {
            probe(&state, &account, &events).await;
        }
    }))
}

async fn probe(state: &ApiState, account: &Arc<Account>, events: &mpsc::Sender<ProbeEvent>) {
    let (settings, is_used) = (account.settings(), !account.is_switched_off());
    let begun = ProbedAccount::new(&settings.upstream, &account.key().account, is_used);
    // When the client has gone, so is this.
    let _ = events.send(ProbeEvent::Begun(begun)).await;
    let result = match account.probe_turn().await {
        Ok(turn) => {
            let run = tell_steps(events, |steps| turn.run(&state.accounts, steps)).await;
            ProbeResult::new(&run)
        }
        Err(busy) => ProbeResult {
            reason: Some(busy.to_string()),
            action: Some(format!(
                "the account is sending: probe it later, or see what it does: mailsluice trace {}",
                account.key().upstream
            )),
            ..ProbeResult::default()
        },
    };
    let result = if result.ok { with_obstacle(state, account, result) } else { result };
    let _ = events.send(ProbeEvent::Ended(result)).await;
}

/// The upstream takes the login; what keeps mail from going by it is something else.
fn with_obstacle(state: &ApiState, account: &Account, result: ProbeResult) -> ProbeResult {
    let Some(obstacle) = account.shown_obstacle(state.timeline.now()) else { return result };
    let needed = action(&obstacle.state(), &enabling(&account.key().upstream));
    ProbeResult { note: Some(obstacle.reason()), action: needed, ..result }
}
