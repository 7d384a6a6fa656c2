//! An SPF record as it is written (RFC 7208 4.5, 4.6, 5, 6, 7.1, 12).

use ipnet::IpNet;

use crate::dns::DnsName;

/// What each record begins with.
const VERSION: &str = "v=spf1";

/// A record without syntax errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SpfRecord {
    /// The mechanisms, in order.
    pub(super) terms: Vec<SpfTerm>,
    /// Which record goes on where no mechanism matches.
    pub(super) redirect: Option<Spec>,
}

/// A mechanism and what its match means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SpfTerm {
    pub(super) qualifier: SpfQualifier,
    pub(super) mechanism: SpfMechanism,
    /// As it is written.
    pub(super) text: String,
}

/// What a match means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SpfQualifier {
    Pass,
    Fail,
    SoftFail,
    Neutral,
}

/// What hosts match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SpfMechanism {
    All,
    Include(Spec),
    A(Option<Spec>),
    Mx(Option<Spec>),
    Ptr,
    Network(IpNet),
    Exists(Spec),
}

/// A domain, or the pattern of one (`%{i}._spf.%{d}`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spec(String);

/// What a pattern stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expanded {
    /// This name.
    Name(DnsName),
    /// A name for each message or host, which only its receiver knows.
    ByMessage,
    /// A name that can't be asked about.
    NoName,
}

/// A term that is not written as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misspelt {
    /// The term.
    pub(super) term: String,
    /// What is wrong with it.
    pub(super) what: &'static str,
}

/// The SPF records among the texts of a domain (RFC 7208 4.5).
pub(super) fn among(texts: &[String]) -> Vec<&str> {
    let is_record = |text: &&str| {
        let head = text.get(..VERSION.len()).unwrap_or_default();
        head.eq_ignore_ascii_case(VERSION) && matches!(text.as_bytes().get(VERSION.len()), None | Some(b' '))
    };
    texts.iter().map(String::as_str).filter(is_record).collect()
}

impl SpfRecord {
    /// Reads a record; all that is wrong with it where it is no record.
    pub(super) fn parse(text: &str) -> Result<Self, Vec<Misspelt>> {
        let mut record = Self { terms: Vec::new(), redirect: None };
        let mut wrong = Vec::new();
        let mut has_explanation = false;
        for text in text[VERSION.len()..].split(' ').filter(|text| !text.is_empty()) {
            let read = match modifier(text) {
                Some(("redirect", value)) if record.redirect.is_none() => {
                    spec(value).map(|spec| record.redirect = Some(spec))
                }
                Some(("redirect", _)) => Err("stands there twice"),
                Some(("exp", _)) if has_explanation => Err("stands there twice"),
                Some(("exp", value)) => {
                    has_explanation = true;
                    spec(value).map(drop)
                }
                Some((_, value)) => {
                    if macros_are_sound(value, "slodiphcrtv") {
                        Ok(())
                    } else {
                        Err("has a macro that is none")
                    }
                }
                None => term(text).map(|term| record.terms.push(term)),
            };
            if let Err(what) = read {
                wrong.push(Misspelt { term: text.to_owned(), what });
            }
        }
        if wrong.is_empty() { Ok(record) } else { Err(wrong) }
    }

    /// The terms that are looked at: none behind `all`.
    pub(super) fn effective(&self) -> impl Iterator<Item = &SpfTerm> {
        let all = self.terms.iter().position(|term| term.mechanism == SpfMechanism::All);
        self.terms.iter().take(all.map_or(self.terms.len(), |at| at + 1))
    }

    /// What holds for hosts that nothing else matches; `None` where nothing is said (RFC 7208 4.7: neutral).
    pub(super) fn all(&self) -> Option<SpfQualifier> {
        self.terms.iter().find(|term| term.mechanism == SpfMechanism::All).map(|term| term.qualifier)
    }
}

/// The domain that a term includes, whatever that means for its hosts; `None` for other terms.
pub(super) fn included(text: &str) -> Option<DnsName> {
    match term(text).ok()?.mechanism {
        SpfMechanism::Include(Spec(domain)) => DnsName::parse(&domain).ok(),
        _ => None,
    }
}

/// `name=value`: a name, and an equals sign before anything else.
fn modifier(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    let mut letters = name.bytes();
    let is_name = letters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    let known = ["redirect", "exp"].into_iter().find(|known| name.eq_ignore_ascii_case(known));
    is_name.then_some((known.unwrap_or(name), value))
}

fn term(text: &str) -> Result<SpfTerm, &'static str> {
    let (qualifier, rest) = match text.as_bytes()[0] {
        b'+' => (SpfQualifier::Pass, &text[1..]),
        b'-' => (SpfQualifier::Fail, &text[1..]),
        b'~' => (SpfQualifier::SoftFail, &text[1..]),
        b'?' => (SpfQualifier::Neutral, &text[1..]),
        _ => (SpfQualifier::Pass, text),
    };
    let end = rest.find([':', '/']).unwrap_or(rest.len());
    let (name, tail) = rest.split_at(end);
    let name = name.to_ascii_lowercase();
    let value = tail.strip_prefix(':');
    let mechanism = match name.as_str() {
        "all" if tail.is_empty() => SpfMechanism::All,
        "all" => return Err("takes no value"),
        "include" => SpfMechanism::Include(spec(value.ok_or("has no domain")?)?),
        "exists" => SpfMechanism::Exists(spec(value.ok_or("has no domain")?)?),
        "ptr" => {
            value.map(spec).transpose()?;
            if value.is_none() && !tail.is_empty() {
                return Err("takes no prefix length");
            }
            SpfMechanism::Ptr
        }
        "a" => SpfMechanism::A(hosts(tail)?),
        "mx" => SpfMechanism::Mx(hosts(tail)?),
        "ip4" => SpfMechanism::Network(network(value.ok_or("has no address")?, true)?),
        "ip6" => SpfMechanism::Network(network(value.ok_or("has no address")?, false)?),
        _ => return Err("is no mechanism"),
    };
    Ok(SpfTerm { qualifier, mechanism, text: text.to_owned() })
}

/// `[":" domain-spec] [ "/" length ] [ "//" length ]`
fn hosts(tail: &str) -> Result<Option<Spec>, &'static str> {
    const LENGTH: &str = "has a prefix length that is none";
    let (domain, lengths) = tail.find('/').map_or((tail, ""), |at| tail.split_at(at));
    let (v4, v6) = match lengths.split_once("//") {
        Some((v4, v6)) => {
            (v4.strip_prefix('/').or_else(|| v4.is_empty().then_some("")).ok_or(LENGTH)?, Some(v6))
        }
        None => (lengths.strip_prefix('/').unwrap_or_default(), None),
    };
    let has_v4 = !lengths.is_empty() && !lengths.starts_with("//");
    if (has_v4 && length(v4, 32).is_none()) || v6.is_some_and(|v6| length(v6, 128).is_none()) {
        return Err(LENGTH);
    }
    match domain.strip_prefix(':') {
        Some(domain) => spec(domain).map(Some),
        None => Ok(None),
    }
}

/// A prefix length: without leading zeros.
fn length(text: &str, most: u8) -> Option<u8> {
    let is_number = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
    text.parse().ok().filter(|length| is_number && *length <= most)
}

fn network(text: &str, is_v4: bool) -> Result<IpNet, &'static str> {
    let (address, prefix) =
        text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let address: std::net::IpAddr = address.parse().map_err(|_| "has an address that is none")?;
    if address.is_ipv4() != is_v4 {
        return Err("has an address of the other family");
    }
    let most = if is_v4 { 32 } else { 128 };
    let prefix = prefix.map_or(Some(most), |prefix| length(prefix, most));
    let network = prefix.and_then(|prefix| IpNet::new(address, prefix).ok());
    network.map(|network| network.trunc()).ok_or("has a prefix length that is none")
}

/// A domain-spec (RFC 7208 7.1): macros, and an end that is a top label or a macro.
fn spec(text: &str) -> Result<Spec, &'static str> {
    if text.is_empty() {
        return Err("has no domain");
    }
    if !macros_are_sound(text, "slodiphv") {
        return Err("has a macro or a character that is none");
    }
    let end = text.strip_suffix('.').unwrap_or(text);
    let top = end.rsplit_once('.').map(|(_, top)| top);
    let is_top = |top: &str| {
        let is_label = top.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let is_sound = !top.starts_with('-') && !top.ends_with('-');
        !top.is_empty() && is_label && is_sound && !top.bytes().all(|b| b.is_ascii_digit())
    };
    if text.ends_with('}') || top.is_some_and(is_top) {
        Ok(Spec(text.to_owned()))
    } else {
        Err("has a domain that is none")
    }
}

/// Whether all macros of a macro-string are ones (RFC 7208 7.1), and all other characters are visible.
fn macros_are_sound(text: &str, letters: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        if !rest[..at].bytes().all(|b| b.is_ascii_graphic()) {
            return false;
        }
        rest = &rest[at + 1..];
        let Some(next) = rest.chars().next() else { return false };
        rest = match next {
            '%' | '_' | '-' => &rest[1..],
            '{' => match rest[1..].split_once('}') {
                Some((inner, behind)) if is_macro(inner, letters) => behind,
                _ => return false,
            },
            _ => return false,
        };
    }
    rest.bytes().all(|b| b.is_ascii_graphic())
}

/// `letter [digits] ["r"] *delimiter`
fn is_macro(inner: &str, letters: &str) -> bool {
    let mut chars = inner.chars();
    let Some(letter) = chars.next() else { return false };
    let rest = chars.as_str().trim_start_matches(|c: char| c.is_ascii_digit());
    let count = &chars.as_str()[..chars.as_str().len() - rest.len()];
    let rest = rest.strip_prefix(['r', 'R']).unwrap_or(rest);
    letters.contains(letter.to_ascii_lowercase())
        && (count.is_empty() || count.bytes().any(|b| b != b'0'))
        && rest.bytes().all(|b| b".-+,/_=".contains(&b))
}

impl Spec {
    /// The name that is asked about when a record of `domain` is evaluated for mail of `sender`.
    pub(super) fn expand(&self, domain: &DnsName, sender: &DnsName) -> Expanded {
        let text = self.0.replace("%{d}", domain.as_str()).replace("%{D}", domain.as_str());
        let text = text.replace("%{o}", sender.as_str()).replace("%{O}", sender.as_str());
        if text.contains('%') {
            return Expanded::ByMessage;
        }
        DnsName::parse(&text).map_or(Expanded::NoName, Expanded::Name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntax_errors_are_found() {
        for (text, want) in [
            ("v=spf1", None),
            ("v=spf1 include:_spf.firm.example ~all", None),
            ("V=SPF1 A MX:mail.firm.example/24//64 PTR ip4:192.0.2.0/24 IP6:2001:db8::/32 -ALL", None),
            ("v=spf1 a/24 a//64 mx/0 exists:%{ir}.%{v}.arpa.firm.example. redirect=_spf.%{d2}", None),
            ("v=spf1 exp=explain.%{d} unknown=%{c} -all", None),
            ("v=spf1 include:%{l1r+-}._at_.%{o,=_/}.firm.example", None),
            ("v=spf1  -all ", None),
            ("v=spf1 inlcude:a.example", Some("is no mechanism")),
            ("v=spf1 include:", Some("has no domain")),
            ("v=spf1 include", Some("has no domain")),
            ("v=spf1 include:localhost", Some("has a domain that is none")),
            ("v=spf1 a:192.0.2.1", Some("has a domain that is none")),
            ("v=spf1 ip4:192.0.2.0/33", Some("has a prefix length that is none")),
            ("v=spf1 ip4:192.0.2.0/024", Some("has a prefix length that is none")),
            ("v=spf1 ip4:192.0.2", Some("has an address that is none")),
            ("v=spf1 ip4:2001:db8::1", Some("has an address of the other family")),
            ("v=spf1 ip4", Some("has no address")),
            ("v=spf1 a:firm.example/64", Some("has a prefix length that is none")),
            ("v=spf1 a/", Some("has a prefix length that is none")),
            ("v=spf1 mx///64", Some("has a prefix length that is none")),
            ("v=spf1 all:firm.example", Some("takes no value")),
            ("v=spf1 =all", Some("is no mechanism")),
            ("v=spf1 -", Some("is no mechanism")),
            ("v=spf1 redirect=a.example redirect=b.example", Some("stands there twice")),
            ("v=spf1 redirect=", Some("has no domain")),
            ("v=spf1 exists:%{c}.firm.example", Some("has a macro or a character that is none")),
            ("v=spf1 exists:%{i", Some("has a macro or a character that is none")),
            ("v=spf1 exists:%(i).firm.example", Some("has a macro or a character that is none")),
            ("v=spf1 exists:%{i0}.firm.example", Some("has a macro or a character that is none")),
            ("v=spf1 include:b\u{fffd}r.example", Some("has a macro or a character that is none")),
            ("v=spf1\tall", Some("is no mechanism")),
        ] {
            let what = SpfRecord::parse(text).err().map(|wrong| wrong[0].what);
            assert_eq!(what, want, "{text}");
        }
    }

    #[test]
    fn odd_text_is_harmless() {
        proptest::proptest!(|(text in "[ -~\u{e9}\u{fffd}]{0,60}")| {
            let _ = SpfRecord::parse(&format!("v=spf1 {text}"));
        });
    }

    #[test]
    fn records_are_told_from_other_texts() {
        let texts = ["v=spf1", "v=spf10", "V=SPF1 all", "v=spf1-all", "spf2.0/pra", "", "v=spf\u{fffd} x"]
            .map(str::to_owned);
        assert_eq!(among(&texts), ["v=spf1", "V=SPF1 all"]);
    }
}
