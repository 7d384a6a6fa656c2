//! As whom the mail of an upstream goes.

use super::Login;
use crate::mail::{Address, DisplayName, NamedAddress};

/// `[upstream.sender]`. All its addresses are ASCII, so that they can stand in every message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamSender {
    /// What people are shown.
    pub name: Option<DisplayName>,
    /// The address; `None` is the account's own.
    pub address: Option<Address>,
    /// Where answers go.
    pub reply_to: Option<NamedAddress>,
    /// Whose mail it is for.
    pub when: SenderWhen,
}

/// When a sender takes the place of what a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SenderWhen {
    /// Where the message says nothing.
    Missing,
    /// In every message.
    Always,
}

impl UpstreamSender {
    /// As whom an account sends. One that is bound to its sender sends as itself, whatever `address` says. `None` where there
    /// is no address.
    #[must_use]
    pub fn mailbox(&self, account: &Login) -> Option<NamedAddress> {
        let own = || own_address(account);
        let address = if account.sender_bound { own() } else { self.address.clone().or_else(own) };
        Some(NamedAddress { name: self.name.clone(), address: address? })
    }

    /// The address of all mail of an account, where it has one for all.
    #[must_use]
    pub fn fixed_address(&self, account: &Login) -> Option<Address> {
        let mailbox = self.mailbox(account).filter(|_| self.when == SenderWhen::Always);
        mailbox.map(|mailbox| mailbox.address)
    }
}

/// The address that an account's login is.
pub(super) fn own_address(account: &Login) -> Option<Address> {
    Address::parse(account.name()).ok().filter(Address::is_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;

    #[test]
    fn an_account_sends_as_the_address_that_is_its_own_if_any() {
        let account = |user: &str, sender_bound| Login {
            user: Some(user.to_owned()),
            sender_bound,
            ..Login::anonymous(Limits::default())
        };
        for (address, account, want) in [
            (Some("office@firm.test"), account("me@firm.test", false), Some("office@firm.test")),
            (Some("office@firm.test"), account("me@firm.test", true), Some("me@firm.test")),
            (Some("office@firm.test"), account("mailer", false), Some("office@firm.test")),
            (None, account("me@firm.test", false), Some("me@firm.test")),
            (None, account("mailer", false), None),
            (None, account("m\u{fc}ller@firm.test", false), None),
            (None, Login::anonymous(Limits::default()), None),
        ] {
            let sender = |when| UpstreamSender {
                name: None,
                address: address.map(|address| Address::parse(address).unwrap()),
                reply_to: None,
                when,
            };
            let got =
                sender(SenderWhen::Missing).mailbox(&account).map(|mailbox| mailbox.address.to_string());
            assert_eq!(got.as_deref(), want);
            assert_eq!(sender(SenderWhen::Missing).fixed_address(&account), None);
            let fixed = sender(SenderWhen::Always).fixed_address(&account);
            assert_eq!(fixed.as_ref().map(Address::as_str), want);
        }
    }
}
