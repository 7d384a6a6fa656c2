//! Whether what is published is our key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::Date;

use super::own_key::{OwnKey, Standing};
use super::public_key::{DkimKeyType, DkimPublicKey};
use super::record_fault::RecordFault;
use crate::mail::tags::{TagFault, Tags, is_white, words};

/// The shortest RSA key that receivers may accept (RFC 8301 3.2).
const LEAST_BITS: u32 = 1024;
/// The shortest RSA key that signers should use.
const GOOD_BITS: u32 = 2048;
/// How much is shown of a text that is no record, in characters.
const SHOWN: usize = 60;
/// Up to so many records are put together in each order to see whether they are pieces of one.
const MOST_PIECES: usize = 4;

/// What was found in the DNS by the name of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// The texts of the TXT records, each with its strings put together.
    Texts(Vec<String>),
    /// There are none; with the name that a CNAME leads to, when there is one.
    Nothing {
        /// Where the CNAME leads.
        alias: Option<String>,
    },
    /// It could not be asked, for this reason.
    Unknown(String),
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingLevel {
    /// A person should look at it.
    Warning,
    /// It is not known whether all is well.
    Unknown,
    /// Signatures are not verified as they should.
    Fault,
}

/// Something to mend, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFinding {
    /// How much it matters.
    pub level: FindingLevel,
    /// What it is.
    pub fault: RecordFault,
    /// What it is, in words that go on from the key's name. What is published may be in it.
    pub text: String,
    /// What to do.
    pub remedy: String,
}

/// What is wrong with what is published for a key, on that day; nothing when it is as it should be.
#[must_use]
pub fn judge(key: &OwnKey, published: &Published, today: Date) -> Vec<KeyFinding> {
    let faults = match published {
        Published::Unknown(why) => vec![RecordFault::Unknown(why.clone())],
        Published::Nothing { alias: None } => vec![RecordFault::Missing],
        Published::Nothing { alias: Some(alias) } => vec![RecordFault::DeadAlias(alias.clone())],
        Published::Texts(texts) => match texts.as_slice() {
            [] => vec![RecordFault::Missing],
            [text] => of_text(text, &key.public),
            several => vec![of_several(several, &key.public)],
        },
    };
    let standing = key.term.standing(today);
    faults.into_iter().map(|fault| finding(fault, key, standing)).collect()
}

/// A fault with its weight: a key that does not sign harms nobody yet, or no more.
fn finding(fault: RecordFault, key: &OwnKey, standing: Standing) -> KeyFinding {
    let level = match (&fault, standing) {
        (RecordFault::Unknown(_), _) => FindingLevel::Unknown,
        (RecordFault::Short(_) | RecordFault::Test | RecordFault::Unframed, _)
        | (_, Standing::Waits(_) | Standing::Stopped(_)) => FindingLevel::Warning,
        _ => FindingLevel::Fault,
    };
    let when = match standing {
        Standing::Signs => String::new(),
        Standing::Waits(begins) => format!("; it signs from {begins} on"),
        Standing::Stopped(ends) => format!("; it has not signed since {ends}"),
    };
    KeyFinding { level, text: format!("{fault}{when}"), remedy: remedy(&fault, key, standing), fault }
}

fn remedy(fault: &RecordFault, key: &OwnKey, standing: Standing) -> String {
    let publish = format!("publish this one record: {}", key.record().zone_line());
    match (fault, standing) {
        (RecordFault::Unknown(_), _) => {
            "see whether the name servers of the domain answer, and try again".to_owned()
        }
        (_, Standing::Stopped(_)) => {
            format!("remove its [[dkim]] entry; or, while its mail is still under way, {publish}")
        }
        (RecordFault::OtherKey, _) => {
            format!("{publish}; or name the private key of the published one in [[dkim]]")
        }
        (RecordFault::Revoked, _) => {
            format!("{publish}; or, if the key was withdrawn, make a new one with another selector")
        }
        (RecordFault::Several { .. } | RecordFault::Scattered(_), _) => {
            format!("remove all TXT records of this name, and {publish}")
        }
        _ => publish,
    }
}

/// What is wrong where several records are.
fn of_several(texts: &[String], ours: &DkimPublicKey) -> RecordFault {
    let is_ours = |text: &str| of_text(text, ours).is_empty();
    if texts.iter().any(|text| is_ours(text)) {
        return RecordFault::Several { count: texts.len(), ours: true };
    }
    let is_scattered =
        texts.len() <= MOST_PIECES && orders(texts).iter().any(|order| is_ours(&order.concat()));
    if is_scattered {
        RecordFault::Scattered(texts.len())
    } else {
        RecordFault::Several { count: texts.len(), ours: false }
    }
}

/// The pieces in each order: the DNS keeps none.
fn orders(pieces: &[String]) -> Vec<Vec<&str>> {
    let [first, rest @ ..] = pieces else { return vec![Vec::new()] };
    let of_rest = orders(rest);
    let with_first =
        |at: usize| of_rest.iter().map(move |order| [&order[..at], &[first], &order[at..]].concat());
    (0..pieces.len()).flat_map(with_first).collect()
}

/// What is wrong with the text of a record.
fn of_text(text: &str, ours: &DkimPublicKey) -> Vec<RecordFault> {
    let has_marks = |text: &str| text.contains(['"', '\\']);
    let tags = match Tags::parse(text) {
        // Notes for people may hold any sign.
        Ok(tags) if tags.iter().any(|(name, value)| name != "n" && has_marks(value)) => {
            return vec![RecordFault::Quoted];
        }
        Ok(tags) => tags,
        Err(TagFault::Twice(name)) => return vec![RecordFault::Twice(name)],
        Err(TagFault::Shape) if has_marks(text) => return vec![RecordFault::Quoted],
        Err(TagFault::Shape) => return vec![no_record(text)],
    };
    match tags.get("v") {
        Some("DKIM1") if tags.at(0).is_some_and(|(name, _)| name == "v") => {}
        Some("DKIM1") => return vec![RecordFault::VersionBehind],
        // Another kind of record, such as that of SPF.
        Some(_) if tags.get("p").is_none() => return vec![no_record(text)],
        Some(other) => return vec![RecordFault::Version(other.to_owned())],
        None => {}
    }
    let mut faults = Vec::new();
    faults.extend(lacking(&tags, "s", &["*", "email"]).map(RecordFault::Service));
    faults.extend(lacking(&tags, "h", &["sha256"]).map(RecordFault::Hash));
    faults.extend(of_key(&tags, ours));
    if tags.get("t").is_some_and(|flags| words(flags).any(|flag| flag == "y")) {
        faults.push(RecordFault::Test);
    }
    faults
}

/// The list of a tag that is there and has none of these words.
fn lacking(tags: &Tags<'_>, name: &str, wanted: &[&str]) -> Option<String> {
    let value = tags.get(name)?;
    let has = words(value).any(|word| wanted.iter().any(|wanted| word.eq_ignore_ascii_case(wanted)));
    (!has).then(|| value.to_owned())
}

/// What is wrong with `k=` and `p=`.
fn of_key(tags: &Tags<'_>, ours: &DkimPublicKey) -> Vec<RecordFault> {
    let Some(p) = tags.get("p") else { return vec![RecordFault::NoKey] };
    let p: String = p.chars().filter(|c| !is_white(*c)).collect();
    if p.is_empty() {
        return vec![RecordFault::Revoked];
    }
    let key_type = tags.get("k").unwrap_or(DkimKeyType::Rsa.as_str());
    if key_type != ours.key_type().as_str() {
        let published = key_type.to_owned();
        return vec![RecordFault::Type { published, ours: ours.key_type() }];
    }
    let own = ours.to_base64();
    if p.len() < own.len() && own.starts_with(&p) {
        return vec![RecordFault::CutOff { there: p.len(), all: own.len() }];
    }
    let Some(octets) = STANDARD.decode(&p).ok() else { return vec![RecordFault::Damaged(ours.key_type())] };
    let Some(published) = DkimPublicKey::read(ours.key_type(), &octets) else {
        return vec![RecordFault::Damaged(ours.key_type())];
    };
    let mut faults = Vec::new();
    if published != *ours {
        faults.push(RecordFault::OtherKey);
    } else if octets != published.octets() {
        faults.push(RecordFault::Unframed);
    }
    faults.extend(published.bits().and_then(short));
    faults
}

fn short(bits: u32) -> Option<RecordFault> {
    match bits {
        ..LEAST_BITS => Some(RecordFault::TooShort(bits)),
        LEAST_BITS..GOOD_BITS => Some(RecordFault::Short(bits)),
        _ => None,
    }
}

fn no_record(text: &str) -> RecordFault {
    let shown: String = text.chars().take(SHOWN).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    RecordFault::NoRecord(format!("\"{shown}{more}\""))
}

#[cfg(test)]
mod tests;
