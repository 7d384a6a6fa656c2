//! Mail by Microsoft Graph: a request for each message (`sendMail` with the content as MIME).
//!
//! There is no envelope: Graph delivers to whom the header names. So nothing is sent but a content that was made to deliver
//! by its header ([`DeliveredBy::Header`]).
//!
//! A request that was not answered may have been carried out. So it is never repeated here, and what it was about is in doubt
//! for longer than a transaction of SMTP would be ([`DoubtPause`](crate::config::DoubtPause)).

mod answer;
mod mailbox;
mod probe;
mod request;

use std::sync::Arc;

use http::{Request, Response};

use self::answer::{GraphAnswer, RequestFacts};
use super::answer::{Answer, RecipientResult, TransactionResult};
use super::credentials::{Credentials, PresentedLogin};
use super::dialogue::DialogueHub;
use super::error::{ConnectCause, ConnectError, DialogueFault, LoginError, LoginRefusal, SendError, Stage};
use super::observer::Observer;
use super::offer::Offer;
use super::outgoing::{DeliveredBy, Outgoing};
use super::replies::row_for;
use crate::config::{Filter, Graph, GraphMailbox};
use crate::mail::Address;
use crate::smtp::Reply;
use crate::web::{self, HttpClient, HttpError, HttpTerms};

/// Sends the mail of one account by Microsoft Graph.
pub struct GraphClient {
    graph: Graph,
    /// The addresses that the upstream sends for, where the From field says which mailbox it is.
    filter: Vec<Filter>,
    credentials: Option<Credentials>,
    http: Arc<dyn HttpClient>,
    hub: Option<Arc<DialogueHub>>,
}

/// The right to make one request after the other. The connections belong to the client.
pub struct GraphLink {
    client: Arc<GraphClient>,
    observer: Observer,
    /// Whether a request is under way that may be carried out.
    under_way: bool,
}

impl GraphClient {
    /// For an upstream of the configuration that sends for these addresses.
    #[must_use]
    pub fn new(
        graph: Graph,
        filter: Vec<Filter>,
        credentials: Option<Credentials>,
        http: Arc<dyn HttpClient>,
    ) -> Self {
        Self { graph, filter, credentials, http, hub: None }
    }

    /// The same, whose requests can be listened to.
    #[must_use]
    pub fn heard_in(self, hub: Arc<DialogueHub>) -> Self {
        Self { hub: Some(hub), ..self }
    }

    /// Makes ready for requests: there is a token. Nothing is sent.
    ///
    /// # Errors
    /// When there is none.
    pub async fn open(self: &Arc<Self>) -> Result<GraphLink, ConnectError> {
        let login = self.login().await?;
        let tap = self.hub.as_ref().map(|hub| hub.connection(&login.user));
        let observer = Observer::default().with_tap(tap);
        Ok(GraphLink { client: self.clone(), observer, under_way: false })
    }

    async fn login(&self) -> Result<PresentedLogin, ConnectError> {
        let failed = |error: LoginError| self.error(Stage::Auth, error.into());
        let credentials = self.credentials.as_ref().ok_or_else(|| failed(LoginError::NoCredentials))?;
        credentials.present().await.map_err(failed)
    }

    fn error(&self, stage: Stage, cause: ConnectCause) -> ConnectError {
        ConnectError { stage, host: self.graph.host().to_owned(), cause }
    }

    fn terms(&self) -> HttpTerms<'_> {
        HttpTerms {
            proxy: self.graph.proxy.as_ref(),
            connect_limit: self.graph.timeouts.connect,
            limit: self.graph.timeouts.final_dot,
            keeps_connection: true,
        }
    }

    /// Another login in place of one whose token was refused, once.
    async fn login_instead_of(
        &self,
        refused: &PresentedLogin,
        answer: &GraphAnswer,
    ) -> Result<PresentedLogin, ConnectError> {
        let credentials = self.credentials.as_ref();
        let other = match credentials {
            Some(credentials) => credentials.instead_of(refused).await,
            None => None,
        };
        if let Some(other) = other {
            return other.map_err(|error| self.error(Stage::Auth, error.into()));
        }
        let (reply, method) = (answer.login_reply(), refused.method());
        let advice = row_for(Stage::Auth, &reply).advice_for(method);
        let refusal = LoginRefusal { reply, method, detail: None, advice };
        Err(self.error(Stage::Auth, ConnectCause::LoginRefused(refusal)))
    }
}

impl GraphLink {
    /// What Graph takes.
    #[must_use]
    pub fn offer(&self) -> Offer {
        Offer::GRAPH
    }

    /// The host that requests go to.
    #[must_use]
    pub fn host(&self) -> &str {
        self.client.graph.host()
    }

    /// Whether a request is under way that may be carried out.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.under_way
    }

    /// Sends one message, and tells what became of each of its recipients: the same of all.
    ///
    /// # Errors
    /// When Graph can't be reached, or takes no token of ours: the message was not looked at. And when the content can't be read.
    pub async fn send(&mut self, message: &Outgoing<'_>) -> Result<TransactionResult, SendError> {
        let all = |answer| {
            let result = RecipientResult { stage: Stage::Request, answer };
            TransactionResult { recipients: vec![result; message.recipients.len()] }
        };
        if message.delivery != DeliveredBy::Header {
            return Ok(all(Answer::Failed(DialogueFault::NotByHeader)));
        }
        let content = message.content;
        let mailbox = match self.mailbox(content.head()) {
            Ok(mailbox) => mailbox,
            Err(reply) => return Ok(all(Answer::Refused(reply))),
        };
        let body = content.body().load().await?;
        let mut login = self.client.login().await?;
        loop {
            let (request, id) =
                request::send_mail(&self.client.graph, &mailbox, &login.secret, (content.head(), &body));
            let asked = RequestFacts {
                token: &login.secret,
                id: &id,
                recipients: message.recipients.len(),
                goes_as_whole: message.goes_as_whole,
                as_author: self.client.graph.mailbox == GraphMailbox::From,
            };
            let response = match self.exchange(request, content.len()).await {
                Ok(response) => response,
                Err(HttpError::Unreachable { reason, .. }) => {
                    return Err(self.client.error(Stage::Connect, ConnectCause::NoConnection(reason)).into());
                }
                Err(error) => return Ok(all(Answer::Unknown(DialogueFault::NoAnswer(error)))),
            };
            let answer = GraphAnswer::read(&response, &asked);
            self.observer.note(&answer.words());
            if !answer.is_unauthorized() {
                return Ok(TransactionResult { recipients: answer.results(&asked) });
            }
            login = self.client.login_instead_of(&login, &answer).await?;
        }
    }

    /// As whom the message goes. Where its author says so, that must be one that the upstream sends for.
    fn mailbox(&self, head: &[u8]) -> Result<Address, Reply> {
        match &self.client.graph.mailbox {
            GraphMailbox::Address(address) => Ok(address.clone()),
            GraphMailbox::From => mailbox::of_author(head, &self.client.filter),
        }
    }

    async fn exchange(
        &mut self,
        request: Request<Vec<u8>>,
        octets: u64,
    ) -> Result<Response<Vec<u8>>, HttpError> {
        self.show_request(&request, octets);
        self.under_way = true;
        let answer = web::send(&*self.client.http, request, &self.client.terms()).await;
        self.under_way = false;
        match &answer {
            Ok(response) => self.show_answer(response),
            Err(error) => self.observer.note(&error.to_string()),
        }
        answer
    }

    /// For who looks on: neither the token nor the content.
    fn show_request(&self, request: &Request<Vec<u8>>, octets: u64) {
        if !self.observer.is_tapped() {
            return;
        }
        self.observer.said(&format!("{} {}", request.method(), request.uri().path()));
        for (name, value) in request.headers().iter().filter(|(_, value)| !value.is_sensitive()) {
            self.observer.said(&format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())));
        }
        self.observer.sent_content(octets);
    }

    fn show_answer(&self, response: &Response<Vec<u8>>) {
        if !self.observer.is_tapped() {
            return;
        }
        self.observer.heard_line(&response.status().to_string());
        for (name, value) in response.headers() {
            let value = if *name == http::header::SET_COOKIE {
                "[…]".into()
            } else {
                String::from_utf8_lossy(value.as_bytes())
            };
            self.observer.heard_line(&format!("{name}: {value}"));
        }
    }
}

#[cfg(test)]
mod tests;
