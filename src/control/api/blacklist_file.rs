//! The blacklist by many entries: as a file, in and out, and what delivery reports say.

use std::fmt;
use std::io;

use axum::Json;
use axum::body::Bytes;
use axum::extract;
use axum::extract::rejection::{BytesRejection, JsonRejection};
use axum::response::Response;
use tokio::sync::mpsc;

use crate::control::blacklist_file::{FileLine, ImportReader, listed_learned, listed_pattern};
use crate::control::view::{ImportAnswer, LearnRequest, LearnedAddress, LearnedLine};
use crate::control::{ApiError, ApiState, Streams};
use crate::mail::Address;
use crate::store::{BlacklistFilter, ImportedEntry, Learned, LearnedMailbox, ListingEnd};

/// The largest file in one request, in octets: some 80,000 entries.
pub(super) const MAX_FILE: usize = 8 << 20;
/// Entries that are written in one transaction: others want to write, too.
const PORTION: usize = 1_000;
/// Mailboxes in one request at most.
const MAX_LEARNED: usize = 1_000;

/// The whole blacklist as CSV, which an import reads again.
#[utoipa::path(
    get,
    path = "/blacklist/export",
    tag = "blacklist",
    responses((
        status = 200,
        description = "A line for each entry, below a header line: address, reason, source, added, expires",
        body = String,
        content_type = "text/csv"
    ))
)]
pub(super) async fn export(
    extract::State(state): extract::State<ApiState>,
    extract::State(streams): extract::State<Streams>,
) -> Result<Response, ApiError> {
    let place = streams.place()?;
    // What fails at once is told; an answer that fails later is cut off.
    let first = state.store.blacklist_page(BlacklistFilter::default()).await?;
    let work = move |pieces: mpsc::Sender<io::Result<Vec<u8>>>| async move {
        let (mut page, mut text) = (first, FileLine::HEADER.to_owned());
        loop {
            for entry in &page.entries {
                let expires = entry.expires.map(|end| state.timeline.wall_at(end));
                FileLine::of_entry(entry, expires).write_to(&mut text);
            }
            if pieces.send(Ok(std::mem::take(&mut text).into_bytes())).await.is_err() || page.next.is_none() {
                return;
            }
            let filter = BlacklistFilter { after: page.next, ..BlacklistFilter::default() };
            page = match state.store.blacklist_page(filter).await {
                Ok(page) => page,
                Err(error) => {
                    // Nobody must take a part for the whole.
                    let _ = pieces.send(Err(io::Error::other(error))).await;
                    return;
                }
            };
        }
    };
    Ok(place.pieces("text/csv; charset=utf-8; header=present", work))
}

/// Puts the entries of a CSV file on the blacklist, in place of what is there of them. Lines that are no entries are told, and the
/// others are taken. 8 MiB at most; a longer file goes in several requests, each with the header line.
#[utoipa::path(
    post,
    path = "/blacklist/import",
    tag = "blacklist",
    request_body(
        content = String,
        content_type = "text/csv",
        description = "Entries below a header line that names the columns (address, reason, source, added, expires; address is \
            needed), or without one in this order"
    ),
    responses(
        (status = 200, description = "What became of the entries", body = ImportAnswer),
        (status = 400, description = "It is no such file: nothing was done"),
        (status = 413, description = "It is too long: nothing was done"),
    )
)]
pub(super) async fn import(
    extract::State(state): extract::State<ApiState>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<ImportAnswer>, ApiError> {
    let body = body?;
    if body.is_empty() {
        return Err(ApiError::BadRequest("nothing was sent: send the lines of a CSV file".to_owned()));
    }
    let unusable = |error: &dyn fmt::Display| ApiError::BadRequest(error.to_string());
    let mut reader = ImportReader::new(&body[..], state.timeline.wall()).map_err(|error| unusable(&error))?;
    let (mut answer, mut portion) = (ImportAnswer::default(), Vec::new());
    while let Some(row) = reader.next_row().map_err(|error| unusable(&error))? {
        match row {
            Ok(row) => portion.push(row.entry),
            Err(fault) => answer.fault(fault.line, fault.what),
        }
        if portion.len() == PORTION {
            write(&state, &mut portion, &mut answer).await?;
        }
    }
    write(&state, &mut portion, &mut answer).await?;
    if let Some(fault) = answer.faults.first().filter(|_| answer.entries() == 0) {
        return Err(ApiError::BadRequest(format!(
            "no line is an entry; line {}: {}",
            fault.line, fault.what
        )));
    }
    let ImportAnswer { added, replaced, unchanged, expired, faulty, .. } = answer;
    tracing::info!(event = "blacklist_imported", added, replaced, unchanged, expired, faulty);
    Ok(Json(answer))
}

async fn write(
    state: &ApiState,
    portion: &mut Vec<ImportedEntry>,
    answer: &mut ImportAnswer,
) -> Result<(), ApiError> {
    if !portion.is_empty() {
        let ends = state.store.blacklist_import(std::mem::take(portion)).await?;
        for end in ends {
            answer.count(end);
        }
    }
    Ok(())
}

/// Puts mailboxes on the blacklist that do not exist, as delivery reports say: at once, with the source `learned`, for as long as
/// `[blacklist] expire_after` says. What a person has put there stays as it is.
#[utoipa::path(
    post,
    path = "/blacklist/learn",
    tag = "blacklist",
    request_body = LearnRequest,
    responses((status = 200, description = "What became of each, in their order", body = Vec<LearnedLine>))
)]
pub(super) async fn learn(
    extract::State(state): extract::State<ApiState>,
    request: Result<Json<LearnRequest>, JsonRejection>,
) -> Result<Json<Vec<LearnedLine>>, ApiError> {
    let Json(LearnRequest { mailboxes }) = request?;
    if mailboxes.len() > MAX_LEARNED {
        return Err(ApiError::BadRequest(format!("mailboxes: at most {MAX_LEARNED} in one request")));
    }
    let lasts = state.config.blacklist.expire_after;
    let mailbox = |mailbox: LearnedAddress| {
        let address = listed_pattern(&mailbox.address).map_err(ApiError::BadRequest)?;
        if Address::parse(&address).is_err() {
            return Err(ApiError::BadRequest(format!("`{address}`: write local@domain")));
        }
        Ok(LearnedMailbox { address, reason: listed_learned(&mailbox.reason), lasts })
    };
    let mailboxes = mailboxes.into_iter().map(mailbox).collect::<Result<Vec<_>, ApiError>>()?;
    let learned = state.store.blacklist_learn(mailboxes).await?;
    let line = |learned: Learned| {
        let entry = &learned.entry;
        if learned.end != ListingEnd::Kept {
            tracing::info!(
                event = "blacklisted",
                to = entry.pattern,
                reason = entry.reason,
                source = entry.source.name()
            );
        }
        LearnedLine::new(learned, &state.timeline)
    };
    Ok(Json(learned.into_iter().map(line).collect()))
}
