//! Reads the lists of To and Cc where it is beyond doubt whom every reader takes for a recipient, and takes mailboxes out.
//!
//! Some servers deliver to whom these fields name. So whatever two readers may read in two ways is a fault here: broken
//! quotes, comments and groups, routes, words that stand beside an address, octets beyond ASCII, obsolete forms.

use super::header::MAX_LINE;
use super::header::strict::{ListToken, ListTokens, readings};
use crate::mail::address_list::fold_list;
use crate::mail::lexical::quoted_string;
use crate::mail::{Address, AddressKey};

/// Mailboxes in one list at most.
const MAX_MAILBOXES: usize = 5_000;
/// Words of one mailbox at most.
const MAX_TOKENS: usize = 200;

/// Why it is not beyond doubt whom a list names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListFault {
    /// A control character, or an octet over 127.
    #[error("it holds a character that is not printable ASCII")]
    Character,
    /// A quoted string, comment, angle bracket or group has no end, or an end that nothing has begun.
    #[error(
        "a quotation mark, parenthesis, angle bracket or group is not closed, or stands where it does not belong"
    )]
    Grammar,
    /// A word that is no address stands where one belongs.
    #[error("a word stands there that is no address, or text behind an address")]
    Word,
    /// An address that needs quotes, brackets or encoding.
    #[error("an address in it has quotes, brackets, a route, encoded words or misplaced dots")]
    Address,
    /// A comment with octets that have a meaning in lists.
    #[error("a comment in it holds characters that have a meaning in address lists")]
    Comment,
    /// A name that readers may take for several mailboxes.
    #[error("a display name in it may be taken for an address")]
    Name,
    /// More than anybody reads.
    #[error("it names too many")]
    Long,
}

/// A mailbox of a list, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedMailbox {
    /// Its display name, comments and address, with their folding.
    pub text: String,
    /// Where it is.
    pub address: Address,
    /// What stands there beside the address.
    free_text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Mailbox(ListedMailbox),
    Group { name: String, members: Vec<ListedMailbox> },
}

/// The list of a To or Cc field, or of several that are one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecipientList {
    items: Vec<Item>,
    /// Whether the octets may stay as they are.
    canonical: bool,
}

impl RecipientList {
    /// Reads the value of a field.
    ///
    /// # Errors
    /// When a reader might read it otherwise.
    pub fn parse(value: &[u8]) -> Result<Self, ListFault> {
        let is_character = |b: &u8| matches!(b, b' '..=b'~' | b'\t' | b'\r' | b'\n');
        let text = std::str::from_utf8(value).map_err(|_| ListFault::Character)?;
        if !value.iter().all(is_character) {
            return Err(ListFault::Character);
        }
        let mut reader = Reader { text, ..Reader::new() };
        let mut tokens = ListTokens::of(text);
        while let Some(token) = tokens.next() {
            reader.take(token.ok_or(ListFault::Grammar)?, tokens.position())?;
        }
        reader.finish(text.len())
    }

    /// Whether it may stay, octet by octet.
    #[must_use]
    pub fn is_canonical(&self) -> bool {
        self.canonical
    }

    /// Whether it names nobody, not even a group.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// All mailboxes, those of groups too.
    pub fn mailboxes(&self) -> impl Iterator<Item = &ListedMailbox> {
        self.items.iter().flat_map(|item| match item {
            Item::Mailbox(mailbox) => std::slice::from_ref(mailbox),
            Item::Group { members, .. } => members.as_slice(),
        })
    }

    /// What people read in it beside the addresses: display names, comments, names of groups.
    pub fn free_texts(&self) -> impl Iterator<Item = &str> {
        let names = self.items.iter().filter_map(|item| match item {
            Item::Group { name, .. } => Some(name.as_str()),
            Item::Mailbox(_) => None,
        });
        names.chain(self.mailboxes().map(|mailbox| mailbox.free_text.as_str()))
    }

    /// Goes on with another list: both are one.
    pub fn extend(&mut self, other: Self) {
        self.items.extend(other.items);
        self.canonical = false;
    }

    /// Takes out the mailboxes for which `keep` says no. Groups stay, be it without members.
    pub fn take_out(&mut self, keep: impl Fn(&Address) -> bool) -> Vec<ListedMailbox> {
        let mut taken = Vec::new();
        let mut part = |mailboxes: Vec<ListedMailbox>| {
            let (kept, gone) = mailboxes.into_iter().partition(|mailbox| keep(&mailbox.address));
            taken.extend::<Vec<_>>(gone);
            kept
        };
        let mut items = Vec::with_capacity(self.items.len());
        for item in std::mem::take(&mut self.items) {
            match item {
                Item::Mailbox(mailbox) => items.extend(part(vec![mailbox]).into_iter().map(Item::Mailbox)),
                Item::Group { name, members } => items.push(Item::Group { name, members: part(members) }),
            }
        }
        self.items = items;
        self.canonical &= taken.is_empty();
        taken
    }

    /// The list as a field, a line for each item.
    #[must_use]
    pub fn to_field(&self, name: &str) -> Vec<u8> {
        let texts = |members: &[ListedMailbox]| {
            members.iter().map(|member| member.text.clone()).collect::<Vec<_>>().join(",\r\n ")
        };
        let items = self.items.iter().map(|item| match item {
            Item::Mailbox(mailbox) => mailbox.text.clone(),
            Item::Group { name, members } => format!("{name}: {};", texts(members)),
        });
        field(name, items)
    }
}

impl ListedMailbox {
    /// Mailboxes as a field.
    #[must_use]
    pub fn to_field(name: &str, mailboxes: &[Self]) -> Vec<u8> {
        field(name, mailboxes.iter().map(|mailbox| mailbox.text.clone()))
    }
}

fn field(name: &str, items: impl Iterator<Item = String>) -> Vec<u8> {
    let list = items.collect::<Vec<_>>().join(",\r\n ");
    let fits = list.split("\r\n").all(|line| line.len() + name.len() + 2 <= MAX_LINE);
    if fits { format!("{name}: {list}\r\n").into_bytes() } else { fold_list(name, list.as_bytes()) }
}

/// An address that every reader of a list reads alike: in ASCII, without quotes, a domain by its name. `None` when there is no
/// such form of it.
#[must_use]
pub fn plain_recipient(address: &Address) -> Option<String> {
    let text = address.without_smtputf8()?;
    let (local, domain) = text.rsplit_once('@')?;
    let is_atom = |part: &str| !part.is_empty() && !part.starts_with('"');
    let is_plain = local.split('.').all(is_atom) && !domain.starts_with('[') && !text.contains("=?");
    is_plain.then(|| text.to_string())
}

/// What a careless reader may take for addresses in a free text: all with an at-sign in its midst, in lower case; encoded
/// words are read, too. `None` where somebody may see the end of one mailbox and the beginning of another in it.
#[must_use]
pub fn named_in(text: &str) -> Option<Vec<AddressKey>> {
    let mut found = Vec::new();
    for reading in readings(text) {
        if reading.contains(['<', '>']) || reading.chars().any(|c| c.is_control() && c != '\t') {
            return None;
        }
        let pieces: Vec<&str> = reading.split('@').collect();
        for pair in pieces.windows(2) {
            let is_part = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
            let local = pair[0].rsplit(|c| !is_part(c)).next().unwrap_or_default();
            let domain = pair[1].split(|c: char| !(c.is_alphanumeric() || "-_.".contains(c))).next();
            let (local, domain) = (local.trim_start_matches('\''), domain.unwrap_or_default());
            if !local.is_empty() && !domain.is_empty() {
                found.push(AddressKey::of_text(&format!("{local}@{}", domain.trim_end_matches('.'))));
            }
        }
    }
    Some(found)
}

/// Reads a list token by token.
struct Reader<'a> {
    text: &'a str,
    items: Vec<Item>,
    canonical: bool,
    /// Of the present item, and where its text begins.
    tokens: Vec<ListToken<'a>>,
    start: usize,
    /// The group that is open.
    group: Option<(String, Vec<ListedMailbox>)>,
    /// A group has ended, and nothing may follow it but a comma.
    behind_group: bool,
    count: usize,
}

impl<'a> Reader<'a> {
    fn new() -> Self {
        Self {
            text: "",
            items: Vec::new(),
            canonical: true,
            tokens: Vec::new(),
            start: 0,
            group: None,
            behind_group: false,
            count: 0,
        }
    }

    /// Takes a token that ends at `end`.
    fn take(&mut self, token: ListToken<'a>, end: usize) -> Result<(), ListFault> {
        match token {
            ListToken::Comma if std::mem::take(&mut self.behind_group) => {}
            _ if self.behind_group => return Err(ListFault::Grammar),
            ListToken::Comma => self.end_item(end - 1, false)?,
            ListToken::Colon => self.open_group(end - 1)?,
            ListToken::Semicolon => {
                self.end_item(end - 1, true)?;
                let (name, members) = self.group.take().ok_or(ListFault::Grammar)?;
                self.items.push(Item::Group { name, members });
                self.behind_group = true;
            }
            token => {
                self.tokens.push(token);
                return if self.tokens.len() > MAX_TOKENS { Err(ListFault::Long) } else { Ok(()) };
            }
        }
        self.start = end;
        Ok(())
    }

    fn open_group(&mut self, end: usize) -> Result<(), ListFault> {
        let is_name = |token: &ListToken<'_>| matches!(token, ListToken::Word(word) if is_phrase_word(word));
        if self.group.is_some() || self.tokens.is_empty() || !self.tokens.iter().all(is_name) {
            return Err(ListFault::Grammar);
        }
        self.tokens.clear();
        self.group = Some((self.text[self.start..end].trim_ascii().to_owned(), Vec::new()));
        Ok(())
    }

    /// An item has ended; there may be none, and `is_last` says whether that is no fault of form.
    fn end_item(&mut self, end: usize, is_last: bool) -> Result<(), ListFault> {
        let tokens = std::mem::take(&mut self.tokens);
        let text = self.text[self.start..end].trim_ascii();
        if tokens.iter().all(|token| matches!(token, ListToken::Comment(_))) {
            let is_first =
                self.group.as_ref().map_or(self.items.is_empty(), |(_, members)| members.is_empty());
            self.canonical &= is_last && is_first;
            return if tokens.is_empty() { Ok(()) } else { Err(ListFault::Comment) };
        }
        let mailbox = self.mailbox(&tokens, text)?;
        self.count += 1;
        if self.count > MAX_MAILBOXES {
            return Err(ListFault::Long);
        }
        match &mut self.group {
            Some((_, members)) => members.push(mailbox),
            None => self.items.push(Item::Mailbox(mailbox)),
        }
        Ok(())
    }

    fn mailbox(&mut self, tokens: &[ListToken<'_>], text: &str) -> Result<ListedMailbox, ListFault> {
        let mut words = Vec::new();
        let mut comments = Vec::new();
        let mut angle = None;
        for token in tokens {
            match token {
                ListToken::Comment(comment) if is_plain_comment(comment) => comments.push(*comment),
                ListToken::Comment(_) => return Err(ListFault::Comment),
                ListToken::Word(_) | ListToken::Angle(_) if angle.is_some() => return Err(ListFault::Word),
                ListToken::Word(word) => words.push(*word),
                ListToken::Angle(inner) => angle = Some(*inner),
                ListToken::Comma | ListToken::Colon | ListToken::Semicolon => return Err(ListFault::Grammar),
            }
        }
        let Some(inner) = angle else {
            let [word] = words[..] else { return Err(ListFault::Word) };
            let free_text = comments.join(" ");
            return Ok(ListedMailbox { text: text.to_owned(), address: plain(word)?, free_text });
        };
        let address = plain(inner.trim_ascii())?;
        let free_text = words.iter().chain(&comments).copied().collect::<Vec<_>>().join(" ");
        let is_phrase = words.iter().all(|word| is_phrase_word(word));
        if is_phrase && inner == inner.trim_ascii() {
            return Ok(ListedMailbox { text: text.to_owned(), address, free_text });
        }
        self.canonical = false;
        let name = words.join(" ");
        if !is_phrase && (name.contains(['"', '\\']) || name.contains("=?")) {
            return Err(ListFault::Name);
        }
        let name = if is_phrase { name } else { format!("\"{name}\"") };
        let text = format!("{name} <{address}> {}", comments.join(" ")).trim_ascii().to_owned();
        Ok(ListedMailbox { text, address, free_text })
    }

    fn finish(mut self, end: usize) -> Result<RecipientList, ListFault> {
        if self.group.is_some() {
            return Err(ListFault::Grammar);
        }
        if !self.behind_group || !self.tokens.is_empty() {
            self.end_item(end, true)?;
        }
        Ok(RecipientList { items: self.items, canonical: self.canonical })
    }
}

/// An address that all readers read alike.
fn plain(text: &str) -> Result<Address, ListFault> {
    let address = Address::parse(text).map_err(|_| {
        let is_word = !text.contains(['@', '"']);
        if is_word { ListFault::Word } else { ListFault::Address }
    })?;
    let is_plain = plain_recipient(&address).is_some_and(|plain| plain == address.as_str());
    if is_plain { Ok(address) } else { Err(ListFault::Address) }
}

/// Whether a word is one of a phrase (RFC 5322 3.2.5): an atom, dots met kindly, or a quoted string.
fn is_phrase_word(word: &str) -> bool {
    let is_atom = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b);
    if word.starts_with('"') {
        return quoted_string(word.as_bytes()) == Some(word.len());
    }
    word.bytes().all(is_atom)
}

/// Whether nothing in a comment has a meaning in a list.
fn is_plain_comment(comment: &str) -> bool {
    let inner = comment.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    inner.is_some_and(|inner| !inner.contains(['(', ')', '\\', ',', ';', ':', '<', '>', '"', '@']))
}

#[cfg(test)]
mod tests;
