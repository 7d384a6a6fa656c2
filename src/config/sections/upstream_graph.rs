//! `[[upstream]]` with `kind = "graph"`

use std::sync::Arc;

use url::Url;

use super::upstream_limits::{limits, timeouts};
use super::upstream_logins::{NamedSignIn, ReadLogins, WRITE_SIGN_IN};
use super::url::{WrittenUrl, written_url};
use crate::config::fault::SourcePlace;
use crate::config::presets::Preset;
use crate::config::reader::Section;
use crate::config::{Graph, GraphMailbox, Limits, Login, proxy};
use crate::mail::Address;

const WRITE_MAILBOX: &str =
    r#"write the address of the mailbox that sends, such as "office@firm.example", or "from" with a filter"#;
const WRITE_LARGE: &str = "write the name of an upstream with kind = \"smtp\"";
/// Of the time-outs those that a request does not have.
const SMTP_TIMEOUTS: [&str; 4] = ["greeting", "command", "data", "block"];

/// An upstream by Microsoft Graph, with where it names another for what is too large.
pub(super) fn read(
    section: &mut Section<'_>,
    preset: Option<&'static Preset>,
) -> (Graph, ReadLogins, SourcePlace) {
    let known = preset.map_or_else(Limits::default, Preset::limits);
    let limits = limits(section.section("limits"), &known);
    let mailbox = mailbox(section);
    let oauth: Option<Arc<str>> =
        section.parsed("oauth", "the name of an [[oauth]]", WRITE_SIGN_IN, |text| {
            (!text.is_empty()).then(|| Arc::from(text))
        });
    if !section.has("oauth") {
        section.missing("oauth", &format!("{WRITE_SIGN_IN}: Microsoft Graph takes tokens alone"));
    }
    let user = match &mailbox {
        Some(GraphMailbox::Address(address)) => Some(address.to_string()),
        Some(GraphMailbox::From) | None => None,
    };
    let sign_ins = Vec::from_iter(oauth.clone().map(|name| NamedSignIn {
        name,
        key: "upstream.oauth",
        place: section.place_of("oauth"),
        for_graph: true,
    }));
    let large = section.parsed("large", "the name of an upstream", WRITE_LARGE, |text| {
        (!text.is_empty()).then(|| text.to_owned())
    });
    let graph = Graph {
        preset: preset.map(|preset| preset.name),
        mailbox: mailbox.unwrap_or(GraphMailbox::From),
        base_url: base_url(section),
        large,
        proxy: proxy::read(section, "proxy"),
        timeouts: request_timeouts(section),
    };
    let login = Login { user, password: None, oauth, sender_bound: false, limits };
    (graph, ReadLogins { logins: vec![login], sign_ins }, section.place_of("large"))
}

/// `None` when it is missing or wrong, which has been said.
fn mailbox(section: &mut Section<'_>) -> Option<GraphMailbox> {
    if !section.has("mailbox") {
        section.missing("mailbox", WRITE_MAILBOX);
    }
    let parse = |text: &str| match text {
        "from" => Some(GraphMailbox::From),
        text => Address::parse(text).ok().filter(Address::is_ascii).map(GraphMailbox::Address),
    };
    let mailbox = section.parsed("mailbox", "a mail address", WRITE_MAILBOX, parse)?;
    // The right of an application may cover every mailbox of the organization.
    if mailbox == GraphMailbox::From && !section.has("filter") {
        let what = r#"is "from", and there is no filter, so that programs here could send as anybody"#;
        let instead = r#"write filter = ["firm.example"] or single addresses, or one mailbox"#;
        section.fault(&section.place_of("mailbox"), "mailbox", what, instead);
    }
    Some(mailbox)
}

/// Without the version of the interface, which is ours to know.
fn base_url(section: &mut Section<'_>) -> Url {
    let usual = Url::parse("https://graph.microsoft.com").expect("this is a URL");
    let WrittenUrl::Good(url) = written_url(section, "base_url", false) else { return usual };
    if !matches!(url.path(), "" | "/") || url.query().is_some() {
        let instead = r#"write scheme and host alone, such as "https://graph.microsoft.us""#;
        section.fault(&section.place_of("base_url"), "base_url", "has more than a host", instead);
        return usual;
    }
    url
}

fn request_timeouts(section: &mut Section<'_>) -> crate::config::Timeouts {
    let inner = section.section("timeouts");
    for key in SMTP_TIMEOUTS {
        if inner.has(key) {
            let what = r#"has no meaning for kind = "graph""#;
            let instead = "remove it: connect and final_dot (the request with its answer) are what there is";
            inner.fault(&inner.place_of(key), key, what, instead);
        }
    }
    timeouts(inner)
}
