//! What rules make of a message that has arrived: who it is from, where it goes, who gets a copy.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;

use super::submission::SubmissionError;
use crate::config::{BlacklistAction, Config, Upstream};
use crate::mail::header::Author;
use crate::mail::{Address, NamedAddress, Notify, RecipientRequest, ReversePath};
use crate::policy::blacklist::{self, BlacklistResult};
use crate::policy::rules::{Rejection, RuledMail, judge};
use crate::store::{Content, Decisions, Intake, NewRecipient, Ruled, TestTreatment};

/// A message that has arrived, and who has handed it in.
#[derive(Debug, Clone, Copy)]
pub struct Arrived<'a> {
    /// Its content.
    pub content: &'a Content,
    /// Who it is from.
    pub author: &'a Author,
    /// The reverse-path.
    pub reverse_path: &'a ReversePath,
    /// The recipients of the envelope.
    pub recipients: &'a [Address],
    /// Who has logged in.
    pub user: Option<&'a str>,
    /// The listener that it came in by, as the log has it.
    pub listener: &'a str,
    /// The client.
    pub client: IpAddr,
}

/// What holds for it from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// The key of the address that routing goes by.
    pub sender: String,
    /// Where reports go.
    pub reverse_path: ReversePath,
    /// The upstream that a rule wants, whoever it is from.
    pub upstream: Option<String>,
    /// Who gets it beside its recipients.
    pub copies: Vec<Address>,
    /// When it goes at the earliest, where that is later than now.
    pub goes_at: Option<Timestamp>,
    /// What is stored with it.
    pub ruled: Ruled,
}

/// What was decided about a message that is taken.
#[derive(Debug, Clone)]
pub(super) struct Decided<'a> {
    pub(super) upstream: &'a Upstream,
    pub(super) test: Option<TestTreatment>,
    pub(super) ruling: Ruling,
    /// Recipients that rules have added.
    pub(super) copies: Vec<NewRecipient>,
    /// For how long it does not go.
    pub(super) delay: Duration,
}

impl Decided<'_> {
    /// What is stored with it.
    pub(super) fn decisions(&self) -> Decisions {
        Decisions {
            test: self.test.clone(),
            upstream: self.ruling.upstream.clone(),
            ruled: self.ruling.ruled.clone(),
        }
    }
}

/// The address that routing goes by: the one in From, or else the reverse-path. Its key.
#[must_use]
pub fn sender(from: &[Address], reverse_path: Option<&Address>) -> String {
    match from {
        [only] => only.key().into(),
        _ => reverse_path.map(|address| address.key().into()).unwrap_or_default(),
    }
}

impl Ruling {
    /// Asks the rules of a configuration. Without any it is what came.
    ///
    /// # Errors
    /// When a rule refuses it, or it can't be read.
    pub async fn of(config: &Config, now: Timestamp, mail: Arrived<'_>) -> Result<Self, SubmissionError> {
        let Arrived { content, author, reverse_path, recipients, user, listener, client } = mail;
        let path = reverse_path.address();
        let from = match author.mailboxes() {
            [only] => Some(only),
            _ => path,
        };
        let asked = RuledMail { content, sender: from, recipients, user, listener, client };
        let verdict = judge(&config.rules, asked).await.map_err(SubmissionError::Unreadable)?;
        if let Some(rejection) = verdict.rejection {
            let Rejection { rule, text } = rejection;
            return Err(SubmissionError::Rule { rule, text });
        }
        let (copies, upstream) = (verdict.copies(recipients), verdict.upstream.clone());
        let (ruled, goes_at) = verdict.delayed(now, &config.timezone);
        let set = ruled.author.as_ref().map(|NamedAddress { address, .. }| address);
        Ok(Self {
            sender: set.map_or_else(|| sender(author.mailboxes(), path), |set| set.key().into()),
            reverse_path: match (reverse_path, set) {
                (ReversePath::Address(_), Some(set)) => ReversePath::Address(set.clone()),
                (path, _) => path.clone(),
            },
            copies,
            goes_at,
            upstream,
            ruled,
        })
    }

    /// For how long it does not go.
    #[must_use]
    pub fn delay(&self, now: Timestamp) -> Duration {
        self.goes_at
            .map_or(Duration::ZERO, |at| Duration::try_from(at.duration_since(now)).unwrap_or_default())
    }

    /// Whether it is in the queue for a while, whatever the client waits for.
    #[must_use]
    pub fn keeps(&self) -> bool {
        self.ruled.held_by.is_some() || self.goes_at.is_some()
    }

    /// The recipients that rules add; those on the blacklist get nothing. Nobody is told what becomes of them: the sender
    /// does not know of them.
    ///
    /// # Errors
    /// When the blacklist can't be read.
    pub async fn recipients(
        &self,
        store: &dyn Intake,
        action: BlacklistAction,
    ) -> Result<Vec<NewRecipient>, SubmissionError> {
        let mut all = Vec::with_capacity(self.copies.len());
        for address in &self.copies {
            let found = blacklist::look_up(store, action, address).await;
            let found = found.map_err(SubmissionError::NoBlacklist)?;
            let dropped = !matches!(found, BlacklistResult::Clear);
            let request = RecipientRequest { notify: Some(Notify::NEVER), original: None };
            all.push(NewRecipient { address: address.clone(), dropped, copy: true, request });
        }
        Ok(all)
    }
}
