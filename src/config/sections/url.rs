//! URLs that something secret is sent to.

use std::net::IpAddr;

use url::{Host, Url};

use crate::config::reader::Section;

pub(super) const WRITE_URL: &str = "write a URL with https, or with http on this machine";

/// What a key says of a URL.
pub(super) enum WrittenUrl {
    Good(Url),
    /// Which has been said.
    Bad,
    Unwritten,
}

/// A URL. Without TLS it must be on this machine, or the service for managed identities, which has none.
pub(super) fn written_url(section: &mut Section<'_>, key: &'static str, link_local: bool) -> WrittenUrl {
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
