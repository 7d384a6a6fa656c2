//! Logins by password (PLAIN, LOGIN) and by token (XOAUTH2), and what they count as.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::time::Instant;

use super::Limit;
use super::replies::{BAD_LOGIN, Refusal, Step};
use super::session::{Next, Session};
use super::tokens::{Audience, Standing};

impl Session {
    pub(super) async fn auth(&mut self, line: &str) -> io::Result<Next> {
        if self.user.is_some() || (self.service.state().tls.is_some() && !self.tls) {
            self.say("503 5.5.2 Bad sequence of commands");
            return Ok(Next::Go);
        }
        let mut words = line.split(' ').skip(1);
        let mechanism = words.next().unwrap_or_default().to_ascii_uppercase();
        let initial = words.next().map(str::to_owned);
        let (user, checked) = match mechanism.as_str() {
            "PLAIN" => {
                let said = self.answer(initial, "").await?;
                let mut parts = said.splitn(3, '\0').skip(1);
                let user = parts.next().unwrap_or_default().to_lowercase();
                let checked = self.check_password(&user, parts.next().unwrap_or_default());
                (user, checked)
            }
            "LOGIN" => {
                let user = self.answer(initial, "Username:").await?.to_lowercase();
                let password = self.answer(None, "Password:").await?;
                let checked = self.check_password(&user, &password);
                (user, checked)
            }
            "XOAUTH2" => {
                let said = self.answer(initial, "").await?;
                let part = |name: &str| said.split('\u{1}').find_map(|part| part.strip_prefix(name));
                let user = part("user=").unwrap_or_default().to_lowercase();
                let checked = self.check_token(&user, part("auth=Bearer ").unwrap_or_default());
                (user, checked)
            }
            _ => {
                self.say("504 5.7.4 Unrecognized authentication type");
                return Ok(Next::Go);
            }
        };
        self.service.state().logins += 1;
        if let Err(refusal) = checked {
            return Ok(self.refuse(&refusal));
        }
        self.enter(user);
        self.say("235 2.7.0 Authentication successful");
        Ok(Next::Go)
    }

    fn check_password(&self, user: &str, password: &str) -> Result<(), Refusal> {
        let state = self.service.state();
        if state.mailboxes.get(user).is_none_or(|mailbox| mailbox.password != password) {
            return Err(Refusal::of(BAD_LOGIN));
        }
        let shows = |step| matches!(step, Step::Login | Step::Password);
        state.free_of(user, shows)
    }

    fn check_token(&self, user: &str, token: &str) -> Result<(), Refusal> {
        let state = self.service.state();
        if !state.mailboxes.contains_key(user)
            || state.tokens.standing(token, Audience::Smtp, user, Instant::now()) != Standing::Good
        {
            return Err(Refusal::of(BAD_LOGIN));
        }
        state.free_of(user, |step| step == Step::Login)
    }

    /// Counts the connection for the mailbox. One too many is a violation at once; it is refused when it sends.
    fn enter(&mut self, user: String) {
        let mut state = self.service.state();
        let most = state.rules.connections;
        let Some(mailbox) = state.mailboxes.get_mut(&user) else { return };
        mailbox.open.insert(self.id);
        if mailbox.open.len() > most {
            state.violate(&user, Limit::Connections);
        }
        drop(state);
        self.user = Some(user);
    }

    /// The client's answer to a challenge, decoded.
    async fn answer(&mut self, initial: Option<String>, challenge: &str) -> io::Result<String> {
        let encoded = if let Some(initial) = initial {
            initial
        } else {
            self.say(&format!("334 {}", STANDARD.encode(challenge)));
            self.line().await?
        };
        Ok(STANDARD
            .decode(encoded)
            .ok()
            .and_then(|octets| String::from_utf8(octets).ok())
            .unwrap_or_default())
    }
}
