//! What is told of a request that was not done: problem details (RFC 9457), each kind with what to do about it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What the types of problems begin with.
const TYPES: &str = "urn:mailsluice:problem:";

/// Why a request was not done (RFC 9457), as `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Which kind of problem it is: `urn:mailsluice:problem:` and its name.
    #[serde(rename = "type")]
    #[schema(format = "uri")]
    pub kind: String,
    /// What to do about problems of this kind.
    pub title: String,
    /// The status of the answer.
    pub status: u16,
    /// What is wrong here, and what to do; of several faults each in a line.
    pub detail: String,
}

/// The kinds of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// A parameter or the body makes no sense.
    WrongRequest,
    /// There is no token, or none that is known.
    NoToken,
    /// The token's role is not enough.
    WrongRole,
    /// A page of another site has made the request.
    CrossSite,
    /// Nothing is there by that name.
    NotFound,
    /// Nothing lives at that path.
    NoRoute,
    /// The resource knows other methods.
    WrongMethod,
    /// It can't be done as things are.
    Conflict,
    /// The body is too large.
    TooLarge,
    /// The body is of another type.
    WrongType,
    /// The request was meant for another host.
    WrongHost,
    /// The configuration has faults.
    Configuration,
    /// Too much is asked at the same time.
    TooMany,
    /// The store fails.
    Store,
    /// The relay does not take that at present.
    Unavailable,
    /// The relay is not ready for mail.
    NotReady,
    /// It took too long.
    TimedOut,
}

impl ProblemKind {
    /// All kinds.
    pub const ALL: [Self; 17] = [
        Self::WrongRequest,
        Self::NoToken,
        Self::WrongRole,
        Self::CrossSite,
        Self::NotFound,
        Self::NoRoute,
        Self::WrongMethod,
        Self::Conflict,
        Self::TooLarge,
        Self::WrongType,
        Self::WrongHost,
        Self::Configuration,
        Self::TooMany,
        Self::Store,
        Self::Unavailable,
        Self::NotReady,
        Self::TimedOut,
    ];

    /// The status of the answer, the name of the kind, and what to do.
    fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::WrongRequest => (400, "wrong-request", "Correct the request"),
            Self::NoToken => (401, "no-token", "Send a token that is known: Authorization: Bearer TOKEN"),
            Self::WrongRole => (403, "wrong-role", "Use a token with the role admin"),
            Self::CrossSite => {
                (403, "cross-site", "Send the request from a page of the relay, or without a browser")
            }
            Self::NotFound => (404, "not-found", "Look for the right name in the list"),
            Self::NoRoute => (404, "no-route", "Look for the path in /api/v1/openapi.json"),
            Self::WrongMethod => (405, "wrong-method", "Use a method that Allow names"),
            Self::Conflict => (409, "conflict", "Do first what the detail says"),
            Self::TooLarge => (413, "too-large", "Send less"),
            Self::WrongType => (415, "wrong-type", "Send the body with Content-Type: application/json"),
            Self::WrongHost => (421, "wrong-host", "Use an address of the relay, or a name in console.hosts"),
            Self::Configuration => (422, "configuration", "Mend the configuration file and reload again"),
            Self::TooMany => (429, "too-many", "Wait, or end something that is under way"),
            Self::Store => (503, "store", "See to the store: status and the log say what is wrong with it"),
            Self::Unavailable => (503, "unavailable", "Try again later"),
            Self::NotReady => (503, "not-ready", "Do what the detail says, and wait"),
            Self::TimedOut => (504, "timed-out", "Try again, and look into the relay's log"),
        }
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(self) -> u16 {
        self.row().0
    }

    /// The type, a URN.
    #[must_use]
    pub fn type_name(self) -> String {
        format!("{TYPES}{}", self.row().1)
    }

    /// What to do.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.row().2
    }
}

impl Problem {
    /// A problem of a kind.
    #[must_use]
    pub fn new(kind: ProblemKind, detail: String) -> Self {
        Self { kind: kind.type_name(), title: kind.title().to_owned(), status: kind.status(), detail }
    }
}
