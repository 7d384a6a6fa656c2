//! Why a request for a token failed, whose affair it is, and what to do.

use std::time::Duration;

use super::assertion::AssertionError;
use crate::config::{ClientProof, SignIn, SignInFlow, SignInProvider};
use crate::web::HttpError;

/// Octets of a provider's words that are repeated.
const MOST_WORDS: usize = 300;

/// Why a request for a token failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenRequestError {
    /// There was no answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The server can't answer now.
    #[error("{host} answers {status}")]
    Busy {
        /// Whom we asked.
        host: String,
        /// The status of HTTP.
        status: u16,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// The answer is no answer to such a request.
    #[error("the answer of {host} ({status}) is not that of a token endpoint")]
    Garbage {
        /// Whom we asked.
        host: String,
        /// The status of HTTP.
        status: u16,
    },
    /// The provider has answered: no.
    #[error(transparent)]
    Refused(#[from] TokenRefusal),
    /// There is nothing to prove ourselves with.
    #[error(transparent)]
    Assertion(#[from] AssertionError),
    /// The request can't be made. It is a fault of ours.
    #[error("a fault in the program: {0}")]
    Request(String),
}

/// A provider's answer that there is no token (RFC 6749 5.2).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", words(.error, .description.as_deref()))]
pub struct TokenRefusal {
    /// The value of `error`, which decides.
    pub error: String,
    /// The provider's words, in one line.
    pub description: Option<String>,
}

/// What helps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenRemedy {
    /// A person, who should do this.
    Person {
        /// What to do.
        action: String,
    },
    /// Time.
    Retry {
        /// How long the server wants to be left alone, if it says so.
        after: Option<Duration>,
        /// What a person may do, if a person may be at fault.
        action: Option<String>,
    },
}

impl TokenRefusal {
    pub(super) fn new(error: &str, description: Option<&str>) -> Self {
        Self { error: one_line(error), description: description.map(one_line) }
    }

    /// The number of Microsoft (`AADSTS7000215`). Numbers may change: they choose words and decide nothing.
    #[must_use]
    pub fn microsoft_code(&self) -> Option<u32> {
        let (_, rest) = self.description.as_deref()?.split_once("AADSTS")?;
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().ok()
    }

    /// Whether time can change it (RFC 6749 4.1.2.1, RFC 8628 3.5), or nobody knows: an error that no document names.
    fn is_temporary(&self) -> bool {
        const FINAL: [&str; 14] = [
            "invalid_request",
            "invalid_client",
            "invalid_grant",
            "unauthorized_client",
            "unsupported_grant_type",
            "invalid_scope",
            "invalid_target",
            "invalid_resource",
            "access_denied",
            "expired_token",
            "interaction_required",
            "login_required",
            "consent_required",
            "account_selection_required",
        ];
        !FINAL.contains(&self.error.as_str())
    }
}

impl TokenRequestError {
    /// What helps.
    #[must_use]
    pub fn remedy(&self, sign_in: &SignIn) -> TokenRemedy {
        let retry = |after| TokenRemedy::Retry { after, action: None };
        match self {
            Self::Http(_) | Self::Garbage { .. } => retry(None),
            Self::Busy { retry_after, .. } => retry(*retry_after),
            Self::Refused(refusal) if refusal.is_temporary() => {
                TokenRemedy::Retry { after: None, action: Some(remedy_of(refusal, sign_in)) }
            }
            Self::Refused(refusal) => TokenRemedy::Person { action: remedy_of(refusal, sign_in) },
            // Whoever writes the file may be about to.
            Self::Assertion(AssertionError::Unreadable { path, .. } | AssertionError::NoAssertion(path)) => {
                let action =
                    format!("see to it that a signed statement (JWT) is written to {}", path.display());
                TokenRemedy::Retry { after: None, action: Some(action) }
            }
            Self::Assertion(AssertionError::Key(_)) | Self::Request(_) => {
                TokenRemedy::Person { action: "report it with the log".to_owned() }
            }
        }
    }

    /// The provider's refusal, if it is one.
    #[must_use]
    pub fn refusal(&self) -> Option<&TokenRefusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }
}

/// What a person does where nobody has signed in, or must sign in again.
#[must_use]
pub fn connect_action(sign_in: &str) -> String {
    format!("run `mailsluice connect {sign_in}`")
}

/// Where an administrator of a Microsoft tenant consents to what the application wants. `None` at other providers.
#[must_use]
fn admin_consent_url(sign_in: &SignIn) -> Option<String> {
    if sign_in.provider != SignInProvider::Microsoft {
        return None;
    }
    let base = sign_in.token_url.as_str().strip_suffix("/oauth2/v2.0/token")?;
    Some(format!("{base}/adminconsent?client_id={}", sign_in.client_id))
}

/// What to do about a refusal: by Microsoft's number where there is one, else by `error`.
fn remedy_of(refusal: &TokenRefusal, sign_in: &SignIn) -> String {
    let Some(code) = refusal.microsoft_code() else { return remedy_by_error(refusal, sign_in) };
    let action = remedy_by_code(code, sign_in).unwrap_or_else(|| remedy_by_error(refusal, sign_in));
    format!("{action} (https://login.microsoftonline.com/error?code={code})")
}

/// What Microsoft's numbers mean to an operator.
fn remedy_by_code(code: u32, sign_in: &SignIn) -> Option<String> {
    let again = connect_action(&sign_in.name);
    Some(match code {
        7_000_215 => "the client secret is wrong: write its value, not its id, as client_secret".to_owned(),
        7_000_222 => {
            "the client secret has expired: make a new one at the application, and write it as client_secret and \
             its date as secret_expires"
                .to_owned()
        }
        7_000_218 => {
            "allow public client flows at the application (Authentication), or write its client_secret".to_owned()
        }
        700_025 => "the application is a public client: remove client_secret and client_certificate".to_owned(),
        700_027 => "upload the certificate of client_certificate to the application".to_owned(),
        700_016 => {
            "there is no such application in this tenant: write the application (client) id as client_id, and the \
             tenant where it is registered"
                .to_owned()
        }
        90_002 => "there is no such tenant: write its domain or id as tenant".to_owned(),
        65_001 | 65_004 | 90_094 | 90_095 => consent(sign_in),
        50_076 | 50_079 => format!("a second factor is wanted: {again}, and answer it"),
        53_003 => {
            format!("a conditional access policy forbids it: an administrator must exempt this sign-in; then {again}")
        }
        700_082 => format!("the sign-in was not used for too long: {again}"),
        50_173 => format!("the sign-in was revoked, as by another password: {again}"),
        70_043 => format!(
            "a policy ends sign-ins after a while: {again}; an administrator should exempt the account from the \
             sign-in frequency"
        ),
        _ => return None,
    })
}

/// Who must allow it, and where.
fn consent(sign_in: &SignIn) -> String {
    let place = match admin_consent_url(sign_in) {
        Some(url) => format!("at {url}"),
        None => "to the application".to_owned(),
    };
    format!("an administrator must consent {place}; then {}", connect_action(&sign_in.name))
}

/// What the standard's words mean to an operator.
fn remedy_by_error(refusal: &TokenRefusal, sign_in: &SignIn) -> String {
    let again = connect_action(&sign_in.name);
    match (refusal.error.as_str(), &sign_in.flow) {
        ("invalid_client", _) => match sign_in.proof {
            ClientProof::Secret(_) => "check client_id and client_secret".to_owned(),
            ClientProof::Certificate(_) => {
                "check client_id, and that the provider has the certificate of client_certificate".to_owned()
            }
            ClientProof::AssertionFile(_) => {
                "check client_id, and that the provider trusts who signs assertion_file".to_owned()
            }
            ClientProof::None => "check client_id, and whether the provider wants a client_secret".to_owned(),
        },
        (_, SignInFlow::ServiceAccount(account)) => format!(
            "grant {} domain-wide delegation for the scope {}, and check that the user exists",
            account.email, sign_in.scope
        ),
        ("unauthorized_client", _) => {
            format!("allow {} to the application at the provider", sign_in.flow_name())
        }
        ("invalid_scope", _) => "check scope: the provider does not know it, or does not grant it".to_owned(),
        ("invalid_request" | "unsupported_grant_type", _) => {
            format!("check provider, flow and token_url of [[oauth]] {}", sign_in.name)
        }
        ("consent_required" | "interaction_required", _) if sign_in.needs_grant() => consent(sign_in),
        (_, SignInFlow::ClientCredentials | SignInFlow::ManagedIdentity) => {
            "grant the application its permission at the provider, with an administrator's consent".to_owned()
        }
        (_, SignInFlow::DeviceCode { .. } | SignInFlow::AuthorizationCode { .. }) => again,
    }
}

fn words(error: &str, description: Option<&str>) -> String {
    match description {
        Some(description) if !description.is_empty() => {
            format!("the provider refuses: {error} ({description})")
        }
        _ => format!("the provider refuses: {error}"),
    }
}

/// A provider's words in one line of reasonable length. Microsoft's end with lines of numbers that only it understands.
fn one_line(text: &str) -> String {
    let first = text.lines().next().unwrap_or_default();
    let first = first.split(" Trace ID:").next().unwrap_or_default();
    first[..first.floor_char_boundary(MOST_WORDS)]
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::testing;

    #[test]
    fn the_error_decides_and_the_number_gives_the_words() {
        let device = testing::sign_in("device_code");
        let app = testing::sign_in("client_credentials");
        let account = testing::sign_in("service_account");
        let again = "run `mailsluice connect m365`";
        for (sign_in, error, description, is_person, want) in [
            (
                &device,
                "invalid_grant",
                "AADSTS700082: The refresh token has expired due to inactivity.\r\nTrace ID: x",
                true,
                again,
            ),
            (
                &device,
                "invalid_grant",
                "AADSTS50173: The provided grant has expired due to it being revoked",
                true,
                "revoked",
            ),
            (
                &device,
                "invalid_grant",
                "AADSTS70043: The refresh token has expired",
                true,
                "sign-in frequency",
            ),
            (
                &device,
                "invalid_grant",
                "AADSTS65001: The user or administrator has not consented",
                true,
                "/t/adminconsent?client_id=id",
            ),
            (
                &device,
                "interaction_required",
                "AADSTS50076: Due to a configuration change",
                true,
                "second factor",
            ),
            (&device, "invalid_grant", "AADSTS53003: Access has been blocked", true, "conditional access"),
            (&device, "invalid_grant", "", true, again),
            (
                &device,
                "invalid_client",
                "AADSTS7000218: The request body must contain",
                true,
                "public client flows",
            ),
            (&app, "invalid_client", "AADSTS7000215: Invalid client secret provided.", true, "not its id"),
            (
                &app,
                "invalid_client",
                "AADSTS7000222: The provided client secret keys are expired",
                true,
                "error?code=7000222",
            ),
            (&app, "invalid_client", "AADSTS700027: The certificate", true, "upload the certificate"),
            (
                &app,
                "unauthorized_client",
                "AADSTS700016: Application with identifier",
                true,
                "no such application",
            ),
            (&app, "invalid_request", "AADSTS90002: Tenant 'x' not found.", true, "no such tenant"),
            (&app, "invalid_client", "", true, "check client_id and client_secret"),
            (&app, "invalid_scope", "", true, "check scope"),
            (&app, "temporarily_unavailable", "", false, ""),
            (&app, "server_error", "AADSTS7000215: of no meaning here", false, ""),
            (&app, "something_new", "", false, ""),
            (&account, "unauthorized_client", "Client is unauthorized", true, "domain-wide delegation"),
        ] {
            let refusal = TokenRefusal::new(error, Some(description).filter(|text| !text.is_empty()));
            let remedy = TokenRequestError::from(refusal).remedy(sign_in);
            let got = matches!(&remedy, TokenRemedy::Person { action } if action.contains(want));
            assert_eq!(got, is_person, "{error} {description}: {remedy:?}");
        }
    }

    #[test]
    fn time_helps_where_nobody_is_at_fault() {
        let sign_in = testing::sign_in("client_credentials");
        let host = "token.example".to_owned();
        let after = Some(Duration::from_secs(30));
        for (error, want) in [
            (TokenRequestError::Busy { host: host.clone(), status: 503, retry_after: after }, after),
            (TokenRequestError::Garbage { host: host.clone(), status: 200 }, None),
            (HttpError::TimedOut { host, limit: Duration::from_secs(30) }.into(), None),
        ] {
            assert_eq!(error.remedy(&sign_in), TokenRemedy::Retry { after: want, action: None }, "{error}");
        }
    }

    #[test]
    fn a_provider_can_not_break_a_line() {
        let refusal = TokenRefusal::new(
            "invalid_grant\n",
            Some(&format!("one\u{1b}[2J {}\nlevel=error", "ü".repeat(400))),
        );
        let text = refusal.to_string();
        assert!(!text.contains(char::is_control) && !text.contains("level=error"), "{text}");
        assert!(text.len() < 400, "{}", text.len());
    }
}
