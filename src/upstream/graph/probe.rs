//! What can be seen without sending: whether Graph is there, the token, and what that says of itself.
//!
//! Whether the right to send is there nobody can ask: Graph looks at it when something is sent.

use tokio::time::timeout;

use super::{GraphClient, request};
use crate::config::GraphMailbox;
use crate::dns::HostLookups;
use crate::oauth::TokenClaims;
use crate::upstream::error::{ConnectCause, ConnectError, Stage};
use crate::upstream::observer::Observer;
use crate::upstream::step::{GraphLogin, StepFinding};
use crate::web::{self, HttpError};

impl GraphClient {
    /// Looks whether Graph answers, and has a token ready; sends nothing. The observer is told of each step.
    ///
    /// # Errors
    /// Tells at which step it ended and why.
    pub async fn probe(&self, observer: &Observer) -> Result<(), ConnectError> {
        let ended = self.probe_steps(observer).await;
        if let Err(error) = &ended {
            observer.failed(error);
        }
        ended
    }

    async fn probe_steps(&self, observer: &Observer) -> Result<(), ConnectError> {
        // A proxy looks the name up by itself.
        if self.graph.proxy.is_none() {
            let lookups = HostLookups::default();
            let looked_up = lookups.addresses(self.graph.host(), self.graph.port());
            if let Ok(Ok(addresses)) = timeout(self.graph.timeouts.connect, looked_up).await {
                observer.found(|| StepFinding::Resolved(addresses));
            }
        }
        let answer = web::send(&*self.http, request::look(&self.graph), &self.terms()).await;
        let status = answer.map_err(|error| self.unanswered(&error))?.status();
        let is_shielded = self.graph.base_url.scheme() == "https";
        observer.found(|| StepFinding::Answered { status: status.as_u16(), is_shielded });
        let login = self.login().await?;
        let claims = login.token().map(|token| TokenClaims::of(token.expose())).unwrap_or_default();
        let mailbox = match &self.graph.mailbox {
            GraphMailbox::Address(address) => Some(address.to_string()),
            GraphMailbox::From => None,
        };
        let account = claims.account().map(str::to_owned);
        observer.found(|| StepFinding::HasToken(GraphLogin { account, rights: claims.rights(), mailbox }));
        Ok(())
    }

    fn unanswered(&self, error: &HttpError) -> ConnectError {
        let reason = match error {
            HttpError::Unreachable { reason, .. } => reason.clone(),
            other => other.to_string(),
        };
        self.error(Stage::Connect, ConnectCause::NoConnection(reason))
    }
}
