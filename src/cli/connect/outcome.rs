//! What became of it.

use serde::Serialize;

use super::super::context::CliContext;
use super::super::failure::{Failure, warn};
use super::keep::KeptBy;
use super::mailboxes::SendingMailbox;
use crate::config::SignIn;
use crate::mail::AddressKey;
use crate::report::log::escape::printable;

/// The end of a sign-in, as `--json` shows it.
#[derive(Debug, Serialize)]
pub(super) struct Connected<'c> {
    /// The sign-in.
    sign_in: &'c str,
    /// Who has signed in; null when the provider does not say so, or nobody had to.
    account: Option<String>,
    /// `relay`, `store`, or null when there is nothing to keep.
    kept: Option<KeptBy>,
    warnings: Vec<String>,
}

impl<'c> Connected<'c> {
    /// A person has signed in.
    pub(super) fn person(
        sign_in: &'c SignIn,
        account: Option<String>,
        mailboxes: &[SendingMailbox<'_>],
        kept: KeptBy,
    ) -> Self {
        let warnings = account.as_deref().map(|account| warnings(account, mailboxes)).unwrap_or_default();
        Self { sign_in: &sign_in.name, account, kept: Some(kept), warnings }
    }

    /// The relay can sign in by itself.
    pub(super) fn alone(sign_in: &'c SignIn) -> Self {
        Self { sign_in: &sign_in.name, account: None, kept: None, warnings: Vec::new() }
    }

    /// Says all of it.
    pub(super) fn tell(&self, context: &CliContext) -> Result<(), Failure> {
        warn(&self.warnings);
        let who = match (&self.account, self.kept) {
            (Some(account), _) => format!("Signed in as {}.", printable(account)),
            (None, Some(_)) => {
                "Signed in. The provider does not say which account that is: try `mailsluice probe`."
                    .to_owned()
            }
            (None, None) => {
                format!("The provider gives {} a token, and nobody has to sign in.", self.sign_in)
            }
        };
        let then = match self.kept {
            Some(KeptBy::Relay) => " It is stored, and the relay uses it at once.",
            Some(KeptBy::Store) => " It is stored, and the relay takes it when it starts: mailsluice run",
            None => "",
        };
        context.print_value(self, &format!("{who}{then}"))
    }
}

/// Each mailbox that is another one than who has signed in.
fn warnings(account: &str, mailboxes: &[SendingMailbox<'_>]) -> Vec<String> {
    let own = AddressKey::of_text(account);
    let others = mailboxes
        .iter()
        .filter(|mailbox| !mailbox.user.is_empty() && AddressKey::of_text(mailbox.user) != own);
    let warn = |mailbox: &SendingMailbox<'_>| {
        format!(
            "{account} has signed in, and {user} is the mailbox that sends by {upstream}: the provider refuses that, unless \
             {account} has Full Access and Send As on {user} (a shared mailbox); otherwise connect again as {user}",
            user = mailbox.user,
            upstream = mailbox.upstream,
        )
    };
    others.map(warn).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::Resource;

    #[test]
    fn warns_of_another_mailbox() {
        let mailbox = |user| SendingMailbox { user, upstream: "m365", resource: Resource::Smtp };
        let mailboxes = [mailbox("a@firm.example"), mailbox("shared@firm.example")];
        for (account, want) in [
            ("A@Firm.Example", &["shared@firm.example"][..]),
            ("admin@firm.example", &["a@firm.example", "shared@firm.example"]),
        ] {
            let warned = warnings(account, &mailboxes);
            assert_eq!(warned.len(), want.len(), "{warned:?}");
            for (warning, user) in warned.iter().zip(want) {
                assert!(warning.contains(account) && warning.contains(user), "{warning}");
            }
        }
        assert!(warnings("a@firm.example", &mailboxes[..1]).is_empty());
    }
}
