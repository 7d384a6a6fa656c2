//! What Graph answers, as a reply of the kind that all upstreams give, or a doubt.
//!
//! What a reply calls for stands in the table of replies. Here it is put into the words and codes that the table reads:
//! `403 ErrorAccessDenied: … (request …)`.

use std::time::Duration;

use http::{Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::oauth::without_secrets;
use crate::smtp::{EnhancedStatus, Reply};
use crate::upstream::answer::{Answer, RecipientResult};
use crate::upstream::error::{DialogueFault, Stage};
use crate::upstream::replies::{ReplyAction, row_for};
use crate::web::retry_after;

/// The longest of Graph's words that are shown, in characters.
const LONGEST: usize = 300;
/// Longer than a day is no pause that is meant.
const LONGEST_PAUSE: Duration = Duration::from_hours(24);

/// What an answer is about.
pub(super) struct RequestFacts<'a> {
    /// The token of the request.
    pub(super) token: &'a SecretString,
    /// What we call the request; Graph has a name of its own for it.
    pub(super) id: &'a str,
    /// To how many the message was to go.
    pub(super) recipients: usize,
    /// Whether it may not go to some of them first.
    pub(super) goes_as_whole: bool,
    /// Whether the mailbox is that of the message's author.
    pub(super) as_author: bool,
}

/// An answer, read.
pub(super) struct GraphAnswer {
    status: StatusCode,
    /// `ErrorAccessDenied`; empty where there is none.
    code: String,
    message: String,
    request_id: String,
    retry_after: Option<Duration>,
}

impl GraphAnswer {
    /// Reads an answer. What it repeats of the token is left out.
    pub(super) fn read(response: &Response<Vec<u8>>, asked: &RequestFacts<'_>) -> Self {
        let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        let error = &body["error"];
        let text = |value: &Value| shown(value.as_str().unwrap_or_default(), asked.token);
        let inner = ["innerError", "innererror"].iter().find_map(|name| error[name]["request-id"].as_str());
        let header = || response.headers().get("request-id")?.to_str().ok();
        let request_id = inner.or_else(header).unwrap_or(asked.id);
        Self {
            status: response.status(),
            code: text(&error["code"]).replace([' ', ':'], ""),
            message: without_codes(&text(&error["message"])),
            request_id: shown(request_id, asked.token),
            retry_after: retry_after(response.headers()).map(|wait| wait.min(LONGEST_PAUSE)),
        }
    }

    /// Whether the token was refused.
    pub(super) fn is_unauthorized(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    /// `403 ErrorAccessDenied: … (request …)`
    pub(super) fn words(&self) -> String {
        self.words_with("")
    }

    /// The same with something behind the code, where no words of Graph's can come before it.
    fn words_with(&self, addition: &str) -> String {
        let Self { status, code, message, request_id, .. } = self;
        let code = if code.is_empty() { status.canonical_reason().unwrap_or("answered") } else { code };
        let said = if message.is_empty() { "no reason is given" } else { message };
        format!("{} {code}{addition}: {said} (request {request_id})", status.as_u16())
    }

    /// The reply to a login.
    pub(super) fn login_reply(&self) -> Reply {
        Reply::new(535, (5, 7, 8), self.words())
    }

    /// What became of the recipients.
    pub(super) fn results(&self, asked: &RequestFacts<'_>) -> Vec<RecipientResult> {
        let all = |answer| vec![RecipientResult { stage: Stage::Request, answer }; asked.recipients];
        if self.status == StatusCode::ACCEPTED {
            let text = format!("202 accepted (request {})", self.request_id);
            return all(Answer::Accepted(Reply::new(250, (2, 0, 0), text)));
        }
        if self.is_in_doubt() {
            return all(Answer::Unknown(DialogueFault::InDoubt(self.words())));
        }
        let reply = self.reply(asked);
        let splits = row_for(Stage::Request, &reply).action == ReplyAction::Split;
        if !splits || asked.goes_as_whole || asked.recipients < 2 {
            return all(Answer::Refused(reply));
        }
        // Graph does not say at whom it fails, and nobody has got it: one half rests while the other goes alone.
        let (mut results, half) = (all(Answer::Refused(reply.clone())), asked.recipients / 2);
        for later in &mut results[half..] {
            later.answer = Answer::Later(reply.clone());
        }
        results
    }

    /// Whether the message may have been sent all the same.
    fn is_in_doubt(&self) -> bool {
        let is = |codes: &[&str]| codes.iter().any(|code| self.code.eq_ignore_ascii_case(code));
        match self.status.as_u16() {
            502 | 504 => true,
            503 | 507 => false,
            429 => is(&["CommandConcurrencyLimitReached"]),
            500.. => !is(&BUSY) && !is(&["ErrorQuotaExceeded"]),
            400.. => is(&["UnknownError", "ErrorInternalServerError"]),
            // An oversized message was once answered 200, and was lost.
            _ => true,
        }
    }

    fn reply(&self, asked: &RequestFacts<'_>) -> Reply {
        let (code, status) = self.standard_codes(asked);
        let plain = Reply::new(code, status, self.words());
        match self.retry_after.filter(|wait| !wait.is_zero()) {
            Some(wait) if matches!(row_for(Stage::Request, &plain).action, ReplyAction::Slow(_)) => {
                let asked = format!(", retry after {} seconds", wait.as_secs());
                Reply::new(code, status, self.words_with(&asked))
            }
            _ => plain,
        }
    }

    /// The codes of RFC 5321 and RFC 3463 that say the same.
    fn standard_codes(&self, asked: &RequestFacts<'_>) -> (u16, EnhancedStatus) {
        let is = |codes: &[&str]| codes.iter().any(|code| self.code.eq_ignore_ascii_case(code));
        let says = |words: &str| self.message.to_lowercase().contains(words);
        let status = self.status.as_u16();
        if status == 413 || is(&["ErrorMessageSizeExceeded"]) || says("maximum request length") {
            return (552, (5, 3, 4));
        }
        if is(&["ErrorInvalidRecipients"]) {
            let is_final = asked.recipients == 1 || asked.goes_as_whole;
            return if is_final { (550, (5, 1, 3)) } else { (451, (4, 5, 3)) };
        }
        if asked.as_author && (is(&["ErrorAccessDenied"]) || status == 404) {
            return (450, (4, 1, 8));
        }
        if status == 507 || is(&["ErrorQuotaExceeded"]) {
            return (452, (4, 2, 2));
        }
        if is(&["ErrorMessageBlocked"]) {
            return (550, (5, 7, 1));
        }
        match status {
            429 | 503 => (451, (4, 3, 2)),
            _ if is(&BUSY) => (451, (4, 3, 2)),
            401 | 403 => (451, (4, 7, 1)),
            _ => (451, (4, 3, 0)),
        }
    }
}

/// Graph has no time for us.
const BUSY: [&str; 3] = ["ErrorServerBusy", "ErrorMailboxStoreUnavailable", "ErrorMessageThrottled"];

/// Words of Graph's in which nothing looks like the code before them: the table of replies knows that by its colon.
fn without_codes(words: &str) -> String {
    let words = words
        .split(' ')
        .map(|word| word.strip_suffix(':').map_or(word.to_owned(), |word| format!("{word},")));
    words.collect::<Vec<_>>().join(" ")
}

/// Words of Graph's for the log: on one line, of bounded length, with nothing of the token.
fn shown(words: &str, token: &SecretString) -> String {
    let plain: String = words.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let open = without_secrets(&plain, &[token.expose_secret()]);
    let text = open.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests;
