//! `[[oauth]]`: where tokens come from.

use url::Url;

use super::url::{WRITE_URL, WrittenUrl, written_url};
use crate::config::SignInProvider;
use crate::config::reader::Section;

pub(super) const WRITE_TENANT: &str =
    r#"write the organization's domain or tenant id, such as "firm.onmicrosoft.com""#;

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
