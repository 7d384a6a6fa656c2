//! The token endpoint of a sign-in: what is asked there without a person.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    AsyncHttpClient, AuthType, Client, ClientId, ClientSecret, EndpointNotSet, EndpointSet, ErrorResponse,
    ErrorResponseType, ExtraTokenFields, RefreshToken, RequestTokenError, Scope, StandardErrorResponse,
    StandardRevocableToken, StandardTokenResponse, TokenResponse, TokenUrl,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use super::answer::{self, Issued};
use super::assertion;
use super::claims::TokenClaims;
use super::error::{TokenRefusal, TokenRequestError};
use super::said::SaidSecrets;
use super::token::Resource;
use crate::config::{ClientProof, Proxy, ServiceAccount, SignIn, SignInFlow, SignInProvider};
use crate::time::Timeline;
use crate::web::{self, HttpClient, HttpTerms};

/// How long a request may take, with its connection and its answer.
pub const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// How long a connection may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// RFC 7523 8.1
const JWT_BEARER_GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// RFC 7523 8.2
const JWT_BEARER_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// The version of the service for managed identities.
const MANAGED_IDENTITY_VERSION: &str = "2018-02-01";

/// Asks the provider of one sign-in for tokens. Each request is bounded in time and size.
#[derive(Clone)]
pub struct TokenEndpoint {
    pub(super) sign_in: Arc<SignIn>,
    http: Arc<dyn HttpClient>,
    timeline: Timeline,
}

/// A client of the library, as far as it is used: it knows the token endpoint.
pub(super) type LibraryClient = Client<
    BasicErrorResponse,
    LibraryTokens,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// An answer of the library.
pub(super) type LibraryTokens = StandardTokenResponse<IdTokenField, BasicTokenType>;

/// What OIDC adds to the answer: who has signed in.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct IdTokenField {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id_token: Option<String>,
}

impl ExtraTokenFields for IdTokenField {}

/// Shows nothing.
impl std::fmt::Debug for IdTokenField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdTokenField").finish_non_exhaustive()
    }
}

/// Shows the name of the sign-in alone.
impl std::fmt::Debug for TokenEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenEndpoint").field("sign_in", &self.sign_in.name).finish_non_exhaustive()
    }
}

impl TokenEndpoint {
    /// The provider of this sign-in, reached by this client.
    #[must_use]
    pub fn new(sign_in: Arc<SignIn>, http: Arc<dyn HttpClient>, timeline: Timeline) -> Self {
        Self { sign_in, http, timeline }
    }

    /// What is asked for, so that a token is good for a resource. `None` when the sign-in gives none for it.
    #[must_use]
    pub fn scope(&self, resource: Resource) -> Option<&str> {
        match resource {
            Resource::Smtp => Some(&self.sign_in.scope),
            Resource::Graph => self.sign_in.graph_scope.as_deref(),
        }
    }

    fn wanted(&self, resource: Resource) -> Result<&str, TokenRequestError> {
        self.scope(resource).ok_or_else(|| {
            TokenRefusal::new("invalid_scope", Some("graph_scope of [[oauth]] does not say what to ask for"))
                .into()
        })
    }

    /// A fresh token for what a person has granted (RFC 6749 6).
    ///
    /// # Errors
    /// When there is none. The old token stays as good as it was.
    pub async fn refresh(
        &self,
        refresh: &SecretString,
        resource: Resource,
    ) -> Result<Issued, TokenRequestError> {
        let scope = self.wanted(resource)?;
        let client = self.client();
        let refresh = RefreshToken::new(refresh.expose_secret().to_owned());
        let mut request = client.exchange_refresh_token(&refresh);
        // Where one grant serves several resources, the scope tells which one is meant; else it stays as granted.
        if self.sign_in.graph_scope.is_some() {
            request = request.add_scopes(scopes(scope));
        }
        for (name, value) in self.proof().await? {
            request = request.add_extra_param(name, value);
        }
        self.issued(request.request_async(self).await)
    }

    /// A token for the application itself (RFC 6749 4.4).
    ///
    /// # Errors
    /// When there is none.
    pub async fn client_credentials(&self, resource: Resource) -> Result<Issued, TokenRequestError> {
        let scope = self.wanted(resource)?;
        let client = self.client();
        let mut request = client.exchange_client_credentials().add_scopes(scopes(scope));
        for (name, value) in self.proof().await? {
            request = request.add_extra_param(name, value);
        }
        self.issued(request.request_async(self).await)
    }

    /// A token for what needs no grant of a person: the application, the machine, or a service account in the name of `user`.
    ///
    /// # Errors
    /// When there is none.
    pub async fn without_grant(&self, resource: Resource, user: &str) -> Result<Issued, TokenRequestError> {
        match &self.sign_in.flow {
            SignInFlow::ManagedIdentity => self.managed_identity(resource).await,
            SignInFlow::ServiceAccount(account) => self.service_account(account, resource, user).await,
            SignInFlow::ClientCredentials
            | SignInFlow::DeviceCode { .. }
            | SignInFlow::AuthorizationCode { .. } => self.client_credentials(resource).await,
        }
    }

    async fn service_account(
        &self,
        account: &ServiceAccount,
        resource: Resource,
        user: &str,
    ) -> Result<Issued, TokenRequestError> {
        let (scope, token_url) = (self.wanted(resource)?, self.sign_in.token_url.as_str());
        let statement = assertion::of_service_account(account, user, scope, token_url, self.timeline.wall())?;
        let body = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", JWT_BEARER_GRANT)
            .append_pair("assertion", statement.expose_secret())
            .finish();
        let request = Request::post(token_url)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json")
            .body(body.into_bytes());
        let request = request.map_err(|error| TokenRequestError::Request(error.to_string()))?;
        answer::read(&self.host(), &self.send(request).await?)
    }

    async fn managed_identity(&self, resource: Resource) -> Result<Issued, TokenRequestError> {
        let scope = self.wanted(resource)?;
        let mut url: Url = self.sign_in.token_url.clone();
        url.query_pairs_mut()
            .append_pair("api-version", MANAGED_IDENTITY_VERSION)
            .append_pair("resource", scope.strip_suffix("/.default").unwrap_or(scope));
        if !self.sign_in.client_id.is_empty() {
            url.query_pairs_mut().append_pair("client_id", &self.sign_in.client_id);
        }
        // The header field proves that no page in a browser has made the request.
        let request = Request::get(url.as_str()).header("metadata", "true").body(Vec::new());
        let request = request.map_err(|error| TokenRequestError::Request(error.to_string()))?;
        answer::read(&self.host(), &self.send(request).await?)
    }

    /// The library's client, with the secret if there is one.
    pub(super) fn client(&self) -> LibraryClient {
        let url = TokenUrl::from_url(self.sign_in.token_url.clone());
        let client = Client::new(ClientId::new(self.sign_in.client_id.clone())).set_token_uri(url);
        // The standard wants every server to take a secret in the header; these two document the body.
        let is_in_body = self.sign_in.provider != SignInProvider::Custom;
        let client =
            client.set_auth_type(if is_in_body { AuthType::RequestBody } else { AuthType::BasicAuth });
        match &self.sign_in.proof {
            ClientProof::Secret(secret) => {
                client.set_client_secret(ClientSecret::new(secret.expose_secret().to_owned()))
            }
            ClientProof::None | ClientProof::Certificate(_) | ClientProof::AssertionFile(_) => client,
        }
    }

    /// What proves the application beside a secret: parameters of a request (RFC 7523 2.2).
    pub(super) async fn proof(&self) -> Result<Vec<(&'static str, String)>, TokenRequestError> {
        let sign_in = &self.sign_in;
        let statement = match &sign_in.proof {
            ClientProof::None | ClientProof::Secret(_) => return Ok(Vec::new()),
            ClientProof::Certificate(certificate) => {
                let token_url = sign_in.token_url.as_str();
                assertion::of_client(certificate, &sign_in.client_id, token_url, self.timeline.wall())?
            }
            ClientProof::AssertionFile(path) => assertion::of_file(path).await?,
        };
        let statement = statement.expose_secret().to_owned();
        Ok(vec![("client_assertion_type", JWT_BEARER_ASSERTION.to_owned()), ("client_assertion", statement)])
    }

    /// Sends a request. What is no answer of such a server is an error; a refusal repeats nothing of the request that is
    /// secret.
    pub(super) async fn send(
        &self,
        request: Request<Vec<u8>>,
    ) -> Result<Response<Vec<u8>>, TokenRequestError> {
        let (host, said) = (web::host(&request), SaidSecrets::of(&request));
        // Tokens come once an hour: a connection that is kept until then only breaks.
        let terms = HttpTerms {
            proxy: self.proxy(),
            connect_limit: CONNECT_LIMIT,
            limit: REQUEST_LIMIT,
            keeps_connection: false,
        };
        let response = web::send(&*self.http, request, &terms).await?;
        answer::check(&host, &response)?;
        Ok(said.left_out(response))
    }

    fn proxy(&self) -> Option<&Proxy> {
        self.sign_in.proxy.as_ref()
    }

    pub(super) fn host(&self) -> String {
        self.sign_in.token_url.host_str().unwrap_or_default().to_owned()
    }

    /// What the library says, in our words.
    pub(super) fn issued<E: ErrorResponse + 'static>(
        &self,
        answer: Result<LibraryTokens, RequestTokenError<TokenRequestError, E>>,
    ) -> Result<Issued, TokenRequestError>
    where
        TokenRefusal: From<E>,
    {
        let tokens = answer.map_err(|error| self.failure(error))?;
        let is_bearer = *tokens.token_type() == BasicTokenType::Bearer;
        let lifetime = tokens.expires_in();
        let refresh = tokens.refresh_token().map(|token| SecretString::from(token.secret().as_str()));
        // It came from the provider itself over TLS, so that its signature need not be checked (OIDC Core 3.1.3.7).
        let claims = tokens.extra_fields().id_token.as_deref().map(TokenClaims::of);
        let account = claims.as_ref().and_then(TokenClaims::account).map(str::to_owned);
        let access = tokens.access_token().secret();
        let issued = is_bearer.then(|| answer::issued(access, lifetime, refresh, account)).flatten();
        issued.ok_or_else(|| TokenRequestError::Garbage { host: self.host(), status: 200 })
    }

    pub(super) fn failure<E: ErrorResponse + 'static>(
        &self,
        error: RequestTokenError<TokenRequestError, E>,
    ) -> TokenRequestError
    where
        TokenRefusal: From<E>,
    {
        match error {
            RequestTokenError::Request(error) => error,
            RequestTokenError::ServerResponse(refusal) => TokenRefusal::from(refusal).into(),
            // What these show of the answer may be a token.
            RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
                TokenRequestError::Garbage { host: self.host(), status: 200 }
            }
        }
    }
}

/// How the library sends its requests.
impl<'c> AsyncHttpClient<'c> for TokenEndpoint {
    type Error = TokenRequestError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Vec<u8>>, TokenRequestError>> + Send + 'c>>;

    fn call(&'c self, request: Request<Vec<u8>>) -> Self::Future {
        Box::pin(self.send(request))
    }
}

impl<T: ErrorResponseType + AsRef<str>> From<StandardErrorResponse<T>> for TokenRefusal {
    fn from(answer: StandardErrorResponse<T>) -> Self {
        Self::new(answer.error().as_ref(), answer.error_description().map(String::as_str))
    }
}

/// The scopes of a list.
pub(super) fn scopes(list: &str) -> impl Iterator<Item = Scope> + '_ {
    list.split_ascii_whitespace().map(|scope| Scope::new(scope.to_owned()))
}

#[cfg(test)]
mod tests;
