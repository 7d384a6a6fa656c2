//! `[[oauth]]`: where tokens come from.

use std::net::IpAddr;

use url::{Host, Url};

use crate::config::SignInProvider;
use crate::config::reader::Section;

pub(super) const WRITE_TENANT: &str =
    r#"write the organization's domain or tenant id, such as "firm.onmicrosoft.com""#;
const WRITE_URL: &str = "write a URL with https, or with http on this machine";

/// What a URL is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Device,
    Authorize,
    Token,
}

/// A provider's own URL. `None` where it has none, or not without a tenant.
fn usual_url(endpoint: Endpoint, provider: SignInProvider, tenant: Option<&str>) -> Option<String> {
    let url = match (provider, endpoint) {
        (SignInProvider::Microsoft, endpoint) => {
            let name = match endpoint {
                Endpoint::Device => "devicecode",
                Endpoint::Authorize => "authorize",
                Endpoint::Token => "token",
            };
            return Some(format!("https://login.microsoftonline.com/{}/oauth2/v2.0/{name}", tenant?));
        }
        // Google's gives no token for mail.
        (SignInProvider::Google, Endpoint::Device) | (SignInProvider::Custom, _) => return None,
        (SignInProvider::Google, Endpoint::Authorize) => "https://accounts.google.com/o/oauth2/v2/auth",
        (SignInProvider::Google, Endpoint::Token) => "https://oauth2.googleapis.com/token",
    };
    Some(url.to_owned())
}

/// The URLs that are written.
pub(super) struct Urls {
    device: WrittenUrl,
    authorize: WrittenUrl,
    token: WrittenUrl,
}

/// What a key says of a URL.
enum WrittenUrl {
    Good(Url),
    /// Which has been said.
    Bad,
    Unwritten,
}

impl Urls {
    pub(super) fn read(section: &mut Section<'_>, managed_identity: bool) -> Self {
        Self {
            device: written_url(section, "device_url", false),
            authorize: written_url(section, "authorize_url", false),
            token: written_url(section, "token_url", managed_identity),
        }
    }

    /// The URL that is written, or else `own`, or else the provider's. `None` where there is none, which has been said.
    pub(super) fn get(
        &self,
        section: &Section<'_>,
        endpoint: Endpoint,
        own: Option<Url>,
        (provider, tenant): (SignInProvider, Option<&str>),
    ) -> Option<Url> {
        let (key, written) = match endpoint {
            Endpoint::Device => ("device_url", &self.device),
            Endpoint::Authorize => ("authorize_url", &self.authorize),
            Endpoint::Token => ("token_url", &self.token),
        };
        match written {
            WrittenUrl::Good(url) => return Some(url.clone()),
            WrittenUrl::Bad => return None,
            WrittenUrl::Unwritten => {}
        }
        let usual = || Url::parse(&usual_url(endpoint, provider, tenant)?).ok();
        let url = own.or_else(usual);
        if url.is_none() {
            missing_url(section, key);
        }
        url
    }
}

fn missing_url(section: &Section<'_>, key: &str) {
    match section.written("provider") {
        Some((_, "microsoft")) if section.has("tenant") => {}
        Some((_, "microsoft")) => section.missing("tenant", WRITE_TENANT),
        Some((_, "google")) => {
            let what = "gives no token for mail at Google";
            let instead = r#"write "authorization_code", or "service_account""#;
            section.fault(&section.place_of("flow"), "flow", what, instead);
        }
        _ => section.missing(key, WRITE_URL),
    }
}

/// A URL. Without TLS it must be on this machine, or the service for managed identities, which has none.
fn written_url(section: &mut Section<'_>, key: &'static str, link_local: bool) -> WrittenUrl {
    if section.node(key).is_none() {
        return WrittenUrl::Unwritten;
    }
    let parse = |text: &str| {
        let url = Url::parse(text).ok()?;
        let ip = match url.host()? {
            Host::Domain("localhost") => Some(IpAddr::from([127, 0, 0, 1])),
            Host::Domain(_) => None,
            Host::Ipv4(ip) => Some(IpAddr::V4(ip)),
            Host::Ipv6(ip) => Some(IpAddr::V6(ip).to_canonical()),
        };
        let is_near =
            |ip: IpAddr| ip.is_loopback() || link_local && matches!(ip, IpAddr::V4(ip) if ip.is_link_local());
        let is_shielded = match url.scheme() {
            "https" => true,
            "http" => ip.is_some_and(is_near),
            _ => false,
        };
        let has_more = !url.username().is_empty() || url.password().is_some() || url.fragment().is_some();
        (is_shielded && !has_more).then_some(url)
    };
    // What was written may hold a login, so it is not shown.
    let Some(text) = section.text(key, "a URL", WRITE_URL) else { return WrittenUrl::Bad };
    if let Some(url) = parse(text) {
        return WrittenUrl::Good(url);
    }
    let what = "is not a URL with https, or with http on this machine, or has a login or fragment in it";
    section.fault(&section.place_of(key), key, what, WRITE_URL);
    WrittenUrl::Bad
}
