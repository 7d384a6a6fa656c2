//! `[upstream.sender]`

use crate::config::reader::Section;
use crate::config::sender::own_address;
use crate::config::words::quoted;
use crate::config::{Login, SenderWhen, UpstreamSender};
use crate::mail::{Address, DisplayName, NamedAddress};

const WRITE_NAME: &str = r#"write the name that people are shown, such as "Firm Ltd""#;
const WRITE_REPLY_TO: &str =
    r#"write an address such as "service@firm.example", or "Service <service@firm.example>""#;
const WRITE_ASCII: &str =
    r#"write the domain as the DNS has it, such as "xn--mller-kva.example", and a local part in ASCII"#;

/// As whom the mail of these accounts goes; `None` when nothing says so.
pub(super) fn read(is_there: bool, mut section: Section<'_>, accounts: &[Login]) -> Option<UpstreamSender> {
    let whens = [("missing", SenderWhen::Missing), ("always", SenderWhen::Always)];
    let sender = UpstreamSender {
        name: section.parsed("name", "a name to be shown", WRITE_NAME, DisplayName::parse),
        address: super::address(&mut section, "address"),
        reply_to: section.parsed("reply_to", "a mail address", WRITE_REPLY_TO, NamedAddress::parse),
        when: section.choice("when", &whens).unwrap_or(SenderWhen::Missing),
    };
    ascii(&section, "address", sender.address.as_ref());
    ascii(&section, "reply_to", sender.reply_to.as_ref().map(|mailbox| &mailbox.address));
    without_address(&section, &sender, accounts);
    section.finish();
    is_there.then_some(sender)
}

/// What is put into every message must be what every server takes.
fn ascii(section: &Section<'_>, key: &str, address: Option<&Address>) {
    if let Some(address) = address.filter(|address| !address.is_ascii()) {
        let what =
            format!("{} is not ASCII, and could not be put into every message", quoted(address.as_str()));
        section.fault(&section.place_of(key), key, &what, WRITE_ASCII);
    }
}

/// A fault where an account has no address to send from.
fn without_address(section: &Section<'_>, sender: &UpstreamSender, accounts: &[Login]) {
    let needs_one = sender.when == SenderWhen::Always || section.has("name");
    if !needs_one || section.has("address") {
        return;
    }
    if let Some(account) = accounts.iter().find(|account| own_address(account).is_none()) {
        let of_whom = match account.name() {
            "" => "nobody logs in whose address it could be".to_owned(),
            login => format!("the login {} is no address", quoted(login)),
        };
        section.missing_because(
            "address",
            &format!("is missing, and {of_whom}"),
            r#"write the address that mail comes from, such as "office@firm.example""#,
        );
    }
}
