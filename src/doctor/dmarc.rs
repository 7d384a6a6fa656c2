//! DMARC: what receivers do with mail whose From nothing vouches for (RFC 7489).

use super::book::Book;
use super::diagnosis::{Check, Diagnosis, Notes};
use super::organisation::organisation;
use super::sender::{SenderDomain, Via};
use super::spf;
use crate::config::SendingHosts;
use crate::dns::{DnsName, LookupError};
use crate::mail::tags::Tags;

/// A record without faults that would make receivers ignore it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dmarc {
    /// The policy for the domain that is asked about.
    pub policy: Policy,
    /// Whether the signing domain must be the same as that of From, not only of the same organization.
    pub is_dkim_strict: bool,
    /// The same of the reverse-path.
    pub is_spf_strict: bool,
    /// What is wrong with it all the same.
    pub oddities: Vec<String>,
}

/// What is asked of receivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// To watch.
    None,
    /// To treat it as suspicious.
    Quarantine,
    /// To refuse it.
    Reject,
}

/// Where a record was found.
enum Found<'b> {
    Record(DnsName, &'b str),
    Several(DnsName, usize),
    Nothing,
}

impl Policy {
    fn read(text: &str) -> Option<Self> {
        [("none", Self::None), ("quarantine", Self::Quarantine), ("reject", Self::Reject)]
            .into_iter()
            .find_map(|(word, policy)| text.eq_ignore_ascii_case(word).then_some(policy))
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        }
    }
}

impl Dmarc {
    /// Reads a record; why receivers ignore it where they do. `below` says that it is that of a domain above.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str, below: bool) -> Result<Self, String> {
        let tags = Tags::parse(text).map_err(|fault| fault.to_string())?;
        if tags.at(0) != Some(("v", "DMARC1")) {
            return Err("it does not begin with v=DMARC1".to_owned());
        }
        if tags.at(1).is_none_or(|(name, _)| name != "p") {
            return Err("its second tag is not p, the policy".to_owned());
        }
        let policy_of = |tag: &str, value: &str| {
            Policy::read(value).ok_or(format!("{tag}={value} is none of none, quarantine and reject"))
        };
        let own = policy_of("p", tags.get("p").unwrap_or_default())?;
        let lower = tags.get("sp").map(|value| policy_of("sp", value)).transpose()?;
        let mut oddities = Vec::new();
        let mut mode = |tag: &str| match tags.get(tag) {
            None | Some("r" | "R") => false,
            Some("s" | "S") => true,
            Some(other) => {
                oddities.push(format!("{tag}={other} is neither r nor s"));
                false
            }
        };
        let (is_dkim_strict, is_spf_strict) = (mode("adkim"), mode("aspf"));
        if let Some(percent) = tags.get("pct")
            && !percent.parse::<u8>().is_ok_and(|percent| percent <= 100)
        {
            oddities.push(format!("pct={percent} is no number from 0 to 100"));
        }
        for tag in ["rua", "ruf"] {
            let uris = tags.get(tag).into_iter().flat_map(|uris| uris.split(','));
            let is_odd =
                |uri: &&str| !uri.trim().get(..7).is_some_and(|head| head.eq_ignore_ascii_case("mailto:"));
            oddities.extend(uris.filter(is_odd).map(|uri| format!("{tag}={uri} is no mailto: address")));
        }
        let policy = if below { lower.unwrap_or(own) } else { own };
        Ok(Self { policy, is_dkim_strict, is_spf_strict, oddities })
    }
}

/// What there is to say of the policy of a domain that is used in From.
#[must_use]
pub fn judge(sender: &SenderDomain, book: &Book) -> Vec<Diagnosis> {
    let mut notes = Notes::new(Check::Dmarc, &sender.name);
    let (at, text) = match find(&sender.name, book) {
        Err(error) => {
            notes.unknown(
                format!("the DMARC record cannot be looked up: {error}"),
                "try again when the name server answers",
            );
            return notes.done();
        }
        Ok(Found::Nothing) => {
            notes.warning("there is no DMARC record", publish(&organisation(&sender.name)));
            return notes.done();
        }
        Ok(Found::Several(at, count)) => {
            notes.fault(
                format!("there are {count} DMARC records at {at}, so that receivers ignore all of them"),
                format!("remove all but one of the TXT records at {at}"),
            );
            return notes.done();
        }
        Ok(Found::Record(at, text)) => (at, text),
    };
    let is_above = at.as_str() != format!("_dmarc.{}", sender.name);
    match Dmarc::parse(text, is_above) {
        Err(what) => notes.fault(
            format!("receivers ignore the DMARC record at {at}: {what}"),
            format!("publish {at} TXT \"v=DMARC1; p=none; rua=mailto:…\" with an address for reports"),
        ),
        Ok(record) => {
            for oddity in &record.oddities {
                notes.warning(
                    format!("the DMARC record at {at}: {oddity}"),
                    format!("correct or remove that tag at {at}"),
                );
            }
            let policy = record.policy.as_str();
            let meaning = if record.policy == Policy::None { ", which only watches" } else { "" };
            notes.ok(format!("the policy is {policy}{meaning}, by {at}"));
            alignment(sender, &record, book, &mut notes);
        }
    }
    notes.done()
}

fn publish(organisation: &DnsName) -> String {
    format!(
        "publish _dmarc.{organisation} TXT \"v=DMARC1; p=none; rua=mailto:…\" with an address for reports"
    )
}

/// The record of the domain, or else of its organization (RFC 7489 6.6.3).
fn find<'b>(name: &DnsName, book: &'b Book) -> Result<Found<'b>, &'b LookupError> {
    let mut names = vec![name.clone()];
    let organisation = organisation(name);
    if organisation != *name {
        names.push(organisation);
    }
    for name in names {
        let Ok(at) = name.below("_dmarc") else { continue };
        let is_record = |text: &&String| text.trim_start().starts_with("v=DMARC1");
        let records: Vec<&String> = book.texts(&at)?.iter().filter(is_record).collect();
        match records[..] {
            [] => {}
            [text] => return Ok(Found::Record(at, text)),
            _ => return Ok(Found::Several(at, records.len())),
        }
    }
    Ok(Found::Nothing)
}

/// Whether one of two names stands for the other, strictly or by their organization (RFC 7489 3.1).
fn is_aligned(one: &DnsName, other: &DnsName, is_strict: bool) -> bool {
    if is_strict { one == other } else { organisation(one) == organisation(other) }
}

/// Whether what vouches for mail vouches for its From.
fn alignment(sender: &SenderDomain, record: &Dmarc, book: &Book, notes: &mut Notes) {
    let signature =
        sender.signed_by.iter().find(|domain| is_aligned(domain, &sender.name, record.is_dkim_strict));
    for Via { name, hosts, sign, .. } in &sender.upstreams {
        match (signature.filter(|_| *sign), hosts) {
            (Some(domain), _) => {
                notes.ok(format!("upstream {name}: the signature of {domain} vouches for From"));
            }
            (None, SendingHosts::Included(names)) if spf::lets_send(&sender.name, names, book) => {
                notes.ok(format!("upstream {name}: the reverse-path vouches for From, by SPF"));
            }
            (None, _) if *sign && !sender.signed_by.is_empty() => {
                strict_signature(sender, name, record, notes);
            }
            (None, _) => notes.unknown(
                format!(
                    "upstream {name}: whether anything vouches for From depends on the provider's signature"
                ),
                format!(
                    "have the provider sign with {}, or sign here: mailsluice dkim generate --domain {}",
                    sender.name, sender.name
                ),
            ),
        }
    }
}

/// All signatures are those of a domain above, which the record does not allow.
fn strict_signature(sender: &SenderDomain, upstream: &str, record: &Dmarc, notes: &mut Notes) {
    let domains: Vec<&str> = sender.signed_by.iter().map(DnsName::as_str).collect();
    let what = format!(
        "upstream {upstream}: the signature of {} does not vouch for From, since the record has adkim=s",
        domains.join(", ")
    );
    let remedy = format!("publish adkim=r, or add [[dkim]] with domain = \"{}\"", sender.name);
    if record.policy == Policy::None { notes.warning(what, remedy) } else { notes.fault(what, remedy) }
}

#[cfg(test)]
mod tests;
