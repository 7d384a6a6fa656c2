//! Who comes in at the console's address: a token says who it is, the Host field that the request was meant for this relay
//! (against DNS rebinding), Origin and Sec-Fetch-Site that no page of another site has made it.
//!
//! On the control socket nothing of that is asked: the file's mode says who may connect.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use secrecy::SecretString;

use super::{ApiError, SharedState};
use crate::config::{ApiRole, Config, MetricsAccess};

/// What asks for no token.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];
/// What asks for none where the configuration says so.
const METRICS: &str = "/metrics";
/// What browsers say about the page that makes a request (Fetch Metadata, 2.4).
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Who makes a request, as far as that is known.
#[derive(Debug, Clone)]
pub(super) struct Caller(ApiRole);

/// The address of a client at the console's address.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClientAddress(pub(super) SocketAddr);

impl Caller {
    /// Whoever may connect to the control socket.
    pub(super) fn owner() -> Self {
        Self(ApiRole::Admin)
    }

    /// What the caller may do.
    pub(super) fn role(&self) -> ApiRole {
        self.0
    }
}

/// Lets a request in that comes to the console's address, or tells why not.
pub(super) async fn admit(
    State(shared): State<SharedState>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let state = shared.in_force();
    is_for_us(&request, &state.config)?;
    if !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        is_from_us(request.headers())?;
    }
    if !is_open(request.uri().path(), &state.config) {
        let token = bearer(request.headers()).ok_or(ApiError::NoToken)?;
        let client = request.extensions().get::<ClientAddress>().copied().ok_or(ApiError::NoToken)?;
        let holder = state.tokens.check(client.0.ip(), token).await?;
        request.extensions_mut().insert(Caller(holder.role));
    }
    Ok(next.run(request).await)
}

/// Whether a path asks for no token.
fn is_open(path: &str, config: &Config) -> bool {
    OPEN.contains(&path) || path == METRICS && config.console.metrics == MetricsAccess::Open
}

/// Lets an admin do what only an admin may.
pub(super) async fn admin_alone(request: Request, next: Next) -> Result<Response, ApiError> {
    match request.extensions().get::<Caller>().map(Caller::role) {
        Some(ApiRole::Admin) => Ok(next.run(request).await),
        Some(ApiRole::Viewer) => Err(ApiError::WrongRole),
        None => Err(ApiError::NoToken),
    }
}

/// The token of a request (RFC 6750 2.1); none when there are several.
fn bearer(fields: &HeaderMap) -> Option<SecretString> {
    let mut all = fields.get_all(AUTHORIZATION).iter();
    let (only, None) = (all.next()?, all.next()) else { return None };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    let token = token.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.into())
}

/// Whether the request was meant for this relay: by an IP address, which nobody can point elsewhere, or by a name that is
/// known. A page of an attacker has the attacker's name there, though that leads to our address.
fn is_for_us(request: &Request, config: &Config) -> Result<(), ApiError> {
    let mut all = request.headers().get_all(HOST).iter();
    let (Some(only), None) = (all.next(), all.next()) else {
        return Err(ApiError::WrongHost("the request has no Host, or several".to_owned()));
    };
    let named = only.to_str().ok().and_then(|text| text.parse::<Authority>().ok());
    let target = request.uri().authority();
    let hosts = [named.as_ref().or(target), target.or(named.as_ref())];
    let is_known = |host: Option<&Authority>| host.is_some_and(|host| is_known(host, config));
    if named.is_some() && hosts.into_iter().all(is_known) {
        return Ok(());
    }
    Err(ApiError::WrongHost(
        "this relay is not known by the name in Host: use its address, its hostname, or a name in [console] hosts"
            .to_owned(),
    ))
}

fn is_known(host: &Authority, config: &Config) -> bool {
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    if name.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = name.trim_end_matches('.');
    let known =
        ["localhost", &config.hostname].into_iter().chain(config.console.hosts.iter().map(String::as_str));
    known.into_iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Whether no page of another site has made a request that changes something. What is no browser says nothing of the kind.
fn is_from_us(fields: &HeaderMap) -> Result<(), ApiError> {
    let sites = fields.get_all(SEC_FETCH_SITE).iter();
    if let Some(other) =
        sites.map(HeaderValue::as_bytes).find(|site| !matches!(*site, b"same-origin" | b"none"))
    {
        let what = format!("Sec-Fetch-Site is {}", String::from_utf8_lossy(other).escape_debug());
        return Err(ApiError::CrossSite(what));
    }
    let host = fields.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let is_ours = |origin: &str| {
        let origin = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host))
    };
    let mut origins = fields.get_all(ORIGIN).iter();
    if origins.any(|origin| !origin.to_str().is_ok_and(is_ours)) {
        return Err(ApiError::CrossSite("Origin is not the host of the request".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use axum::body::Body;

    use super::*;

    fn request(fields: &[(&str, &str)]) -> Request {
        let request =
            fields.iter().fold(Request::builder(), |request, (name, value)| request.header(*name, *value));
        request.body(Body::empty()).unwrap()
    }

    #[test]
    fn knows_its_own_names() {
        let text = "[console]\nhosts = [\"Relay\"]\n[[upstream]]\nname = \"a\"\nhost = \"h\"\n";
        let config = Config::from_toml(text, Path::new("/")).unwrap().config;
        for (hosts, want) in [
            (&["127.0.0.1:8025"][..], true),
            (&["192.0.2.7"], true),
            (&["[::1]:8025"], true),
            (&["localhost:8025"], true),
            (&["LOCALHOST."], true),
            (&["relay.example:8025"], true),
            (&["relay:9"], true),
            (&["evil.example:8025"], false),
            (&["127.0.0.1.evil.example"], false),
            (&["localhost.evil.example"], false),
            (&["evil.example@127.0.0.1"], true),
            (&[""], false),
            (&["a b"], false),
            (&[], false),
            (&["localhost", "localhost"], false),
        ] {
            let fields: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            assert_eq!(is_for_us(&request(&fields), &config).is_ok(), want, "{hosts:?}");
        }
        let absolute = Request::builder().uri("http://evil.example/readyz").header("host", "localhost");
        assert!(is_for_us(&absolute.body(Body::empty()).unwrap(), &config).is_err());
    }

    #[test]
    fn refuses_what_pages_of_other_sites_send() {
        let ours = ("host", "localhost:8025");
        for (fields, want) in [
            (&[ours][..], true),
            (&[ours, ("sec-fetch-site", "same-origin")], true),
            (&[ours, ("sec-fetch-site", "none")], true),
            (&[ours, ("sec-fetch-site", "cross-site")], false),
            (&[ours, ("sec-fetch-site", "same-site")], false),
            (&[ours, ("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")], false),
            (&[ours, ("origin", "http://localhost:8025")], true),
            (&[ours, ("origin", "https://LOCALHOST:8025")], true),
            (&[ours, ("origin", "http://localhost:8026")], false),
            (&[ours, ("origin", "http://evil.example")], false),
            (&[ours, ("origin", "null")], false),
            (&[ours, ("origin", "")], false),
            (&[("origin", "http://")], true),
        ] {
            assert_eq!(is_from_us(request(fields).headers()).is_ok(), want, "{fields:?}");
        }
    }

    #[test]
    fn finds_the_token() {
        use secrecy::ExposeSecret;
        for (values, want) in [
            (&["Bearer abc"][..], Some("abc")),
            (&["bearer  abc "], Some("abc")),
            (&["Basic YTpi"], None),
            (&["Bearer"], None),
            (&["Bearer "], None),
            (&["Bearer a", "Bearer b"], None),
            (&[], None),
        ] {
            let fields: Vec<_> = values.iter().map(|value| ("authorization", *value)).collect();
            let found = bearer(request(&fields).headers());
            assert_eq!(found.as_ref().map(ExposeSecret::expose_secret), want, "{values:?}");
        }
    }
}
