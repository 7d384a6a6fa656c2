//! What a person wants: by flags, and for the rest by answers.

use std::path::PathBuf;

use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use super::super::dialogue::TerminalDialogue;
use super::super::failure::Failure;
use super::provider::{ChosenProvider, WrittenProvider, host_name, quoted};
use super::way::Way;
use crate::config::{NO_CLIENT_ID, SignInProvider};
use crate::mail::Address;

/// What `init` is told by flags.
#[derive(Debug, Args)]
pub(in crate::cli) struct InitOptions {
    /// The provider: a name that `mailsluice presets` shows
    #[arg(long, value_name = "P")]
    preset: Option<String>,
    /// Its host, where it has one for each region or is not among the presets
    #[arg(long, value_name = "H")]
    host: Option<String>,
    /// The mailbox that sends, or the login name that the provider gave you
    #[arg(long, value_name = "A")]
    address: Option<String>,
    /// How the relay proves itself to the provider [default: `device_code` at Microsoft, else `password`]
    #[arg(long, value_name = "WAY", value_enum)]
    sign_in: Option<Way>,
    /// Your organization at Microsoft: one of its domains, or its id [default: the domain of the address]
    #[arg(long, value_name = "T")]
    tenant: Option<String>,
    /// The application that is registered for this relay; `mailsluice connect --script` tells how to get one
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// A file that holds the password or the client secret; on a terminal it is asked for
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Send a test mail to this address when the configuration is written, and wait for its outcome
    #[arg(long, value_name = "ADDRESS", value_parser = Address::parse)]
    pub(super) test_mail: Option<Address>,
}

/// A password or client secret.
pub(super) enum SecretAnswer {
    /// It was typed, and goes into a new file of this name beside the configuration.
    Typed { name: String, secret: SecretString },
    /// It is in this file.
    File(PathBuf),
    /// There is none before there is an application; it goes into this file beside the configuration.
    ToCome { name: String },
}

/// What is answered where no application is registered yet.
const NO_CLIENT_YET: &str = "none yet";
/// What stands in a file until there is a secret.
const NONE_YET: &str = "none-yet";

impl SecretAnswer {
    /// What a new file holds of it; nothing of one that is there.
    pub(super) fn line(&self) -> Vec<u8> {
        match self {
            Self::Typed { secret, .. } => format!("{}\n", secret.expose_secret()).into_bytes(),
            Self::ToCome { .. } => format!("{NONE_YET}\n").into_bytes(),
            Self::File(_) => Vec::new(),
        }
    }

    /// The file, as the configuration names it.
    pub(super) fn path(&self) -> String {
        match self {
            Self::Typed { name, .. } | Self::ToCome { name } => name.clone(),
            Self::File(path) => path.display().to_string(),
        }
    }
}

/// How the relay logs in.
pub(super) enum LoginAnswer {
    Password(SecretAnswer),
    SignIn(SignInAnswers),
}

impl SignInAnswers {
    /// Its provider, as the configuration has it.
    pub(super) fn provider_word(&self) -> &'static str {
        match self.provider {
            SignInProvider::Microsoft => "microsoft",
            SignInProvider::Google => "google",
            SignInProvider::Custom => "custom",
        }
    }

    /// Whether a person has to sign in before mail goes.
    pub(super) fn needs_person(&self) -> bool {
        self.way != Way::ClientCredentials
    }

    /// Whether there is an application already.
    pub(super) fn has_client_id(&self) -> bool {
        self.client_id != NO_CLIENT_ID
    }
}

/// What `[[oauth]]` will say.
pub(super) struct SignInAnswers {
    pub(super) provider: SignInProvider,
    pub(super) way: Way,
    pub(super) tenant: Option<String>,
    pub(super) client_id: String,
    pub(super) client_secret: Option<SecretAnswer>,
}

/// All that the configuration needs.
pub(super) struct Answers {
    pub(super) provider: ChosenProvider,
    /// The login name.
    pub(super) user: String,
    pub(super) login: LoginAnswer,
}

/// Something that must be known.
struct Question<'q> {
    /// The flag that says it.
    flag: &'static str,
    /// The words for a person.
    words: String,
    /// The answer that is taken when there is no other.
    usual: Option<&'q str>,
}

/// Flags first, then a person, then what is usual.
struct Gatherer<'g, 'd> {
    dialogue: Option<&'g mut TerminalDialogue<'d>>,
    /// The flags without which it can't be done.
    missing: Vec<&'static str>,
}

impl Gatherer<'_, '_> {
    /// The answer to a question; `None` when it is missing.
    fn get<T>(
        &mut self,
        question: &Question<'_>,
        given: Option<&str>,
        mut parse: impl FnMut(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Failure> {
        let Question { flag, ref words, usual } = *question;
        match (given, self.dialogue.as_mut(), usual) {
            (None, Some(dialogue), _) => dialogue.ask(words, usual, parse).map(Some),
            (Some(text), ..) | (None, None, Some(text)) => {
                parse(text).map(Some).map_err(|why| Failure::Wrong(format!("{flag}: {why}")))
            }
            (None, None, None) => {
                self.missing.push(flag);
                Ok(None)
            }
        }
    }

    /// A secret: the file that the flag names, or what is typed, for a new file of this name.
    fn secret(
        &mut self,
        what: &str,
        given: Option<&PathBuf>,
        name: String,
    ) -> Result<Option<SecretAnswer>, Failure> {
        match (given, self.dialogue.as_mut()) {
            (Some(file), _) => {
                let path = std::path::absolute(file).unwrap_or_else(|_| file.clone());
                Ok(Some(SecretAnswer::File(path)))
            }
            (None, Some(dialogue)) => {
                let secret = dialogue.secret(what)?;
                Ok(Some(SecretAnswer::Typed { name, secret }))
            }
            (None, None) => {
                self.missing.push("--secret-file");
                Ok(None)
            }
        }
    }

    fn provider(&mut self, options: &InitOptions) -> Result<Option<ChosenProvider>, Failure> {
        let question = Question {
            flag: "--preset",
            words: "Provider (such as office365 or gmail: `mailsluice presets` lists them), or its host"
                .to_owned(),
            usual: None,
        };
        let host = options.host.as_deref();
        let provider = match (&options.preset, host) {
            (None, Some(host)) => {
                return host_name(host).map(ChosenProvider::Host).map(Some).map_err(wrong("--host"));
            }
            (given, _) => self.get(&question, given.as_deref(), WrittenProvider::parse)?,
        };
        let preset = match provider {
            None => return Ok(None),
            Some(WrittenProvider::Host(host)) => return Ok(Some(ChosenProvider::Host(host))),
            Some(WrittenProvider::Known(preset)) => preset,
        };
        if preset.host.is_some() && host.is_none() {
            return Ok(Some(ChosenProvider::Preset { preset, host: None }));
        }
        let question = Question { flag: "--host", words: format!("Host ({})", preset.hosts), usual: None };
        let host = self.get(&question, host, host_name)?;
        Ok(host.map(|host| ChosenProvider::Preset { preset, host: Some(host) }))
    }

    fn way(&mut self, provider: &ChosenProvider, given: Option<Way>) -> Result<Way, Failure> {
        let ways = provider.ways();
        let words: Vec<&str> = ways.iter().map(|way| way.word()).collect();
        let parse = |text: &str| {
            let way = ways.iter().find(|way| way.word() == text);
            way.copied()
                .ok_or_else(|| format!("{} is not possible there: use {}", quoted(text), words.join(" or ")))
        };
        if let (None, Some(dialogue), [_, _, ..]) = (given, self.dialogue.as_mut(), ways) {
            let lines = ways.iter().map(|way| format!("  {:20}{}\n", way.word(), way.explained()));
            dialogue.say(&format!("Ways to sign in:\n{}", lines.collect::<String>()))?;
        }
        let usual = Some(words[0]);
        let question = Question { flag: "--sign-in", words: "Which way".to_owned(), usual };
        // With one way only, there is nothing to ask.
        let given = given.map(Way::word).or(if ways.len() == 1 { usual } else { None });
        Ok(self.get(&question, given, parse)?.unwrap_or(ways[0]))
    }

    fn login(&mut self, known: &Known<'_>, options: &InitOptions) -> Result<Option<LoginAnswer>, Failure> {
        let file = options.secret_file.as_ref();
        let name = known.provider.name();
        let (way, sign_in) = match (known.way, known.provider.sign_in()) {
            (Way::Password, _) | (_, None) => {
                let typed = self.secret("Password", file, format!("{name}.password"))?;
                return Ok(typed.map(LoginAnswer::Password));
            }
            (way, Some(provider)) => (way, provider),
        };
        let is_microsoft = sign_in == SignInProvider::Microsoft;
        let domain = known.user.rsplit_once('@').map(|(_, domain)| domain);
        let question = Question {
            flag: "--tenant",
            words: "Your organization at Microsoft: one of its domains, or its id".to_owned(),
            usual: domain,
        };
        let tenant = if is_microsoft { self.get(&question, options.tenant.as_deref(), plain)? } else { None };
        let question = Question {
            flag: "--client-id",
            words: "Client id of the application that is registered for this relay".to_owned(),
            // At Microsoft a script registers it, which wants to know the rest of the configuration.
            usual: is_microsoft.then_some(NO_CLIENT_YET),
        };
        let client_id = self.get(&question, options.client_id.as_deref(), |text| match text {
            NO_CLIENT_YET if is_microsoft => Ok(NO_CLIENT_ID.to_owned()),
            id => plain(id),
        })?;
        let is_to_come = file.is_none() && client_id.as_deref() == Some(NO_CLIENT_ID);
        let secret_name = format!("{name}.client_secret");
        let client_secret = match (way == Way::ClientCredentials || !is_microsoft, is_to_come) {
            (true, true) => Some(SecretAnswer::ToCome { name: secret_name }),
            (true, false) => self.secret("Its client secret", file, secret_name)?,
            (false, _) => None,
        };
        let answers = |client_id| SignInAnswers { provider: sign_in, way, tenant, client_id, client_secret };
        Ok(client_id.map(answers).map(LoginAnswer::SignIn))
    }
}

/// What is known before it is asked how to log in.
struct Known<'k> {
    provider: &'k ChosenProvider,
    user: &'k str,
    way: Way,
}

impl Answers {
    /// Takes what the flags say, asks for the rest, and lists what is missing when there is nobody to ask.
    pub(super) fn gather(
        options: &InitOptions,
        dialogue: Option<&mut TerminalDialogue<'_>>,
    ) -> Result<Self, Failure> {
        let mut gatherer = Gatherer { dialogue, missing: Vec::new() };
        let provider = gatherer.provider(options)?;
        let words = "Address of the mailbox that sends, or your login name there".to_owned();
        let question = Question { flag: "--address", words, usual: None };
        let user = gatherer.get(&question, options.address.as_deref(), plain)?;
        let (Some(provider), Some(user)) = (provider, user) else { return Err(gatherer.missing()) };
        let way = gatherer.way(&provider, options.sign_in)?;
        if way != Way::Password
            && let Err(error) = Address::parse(&user)
        {
            return Err(Failure::Wrong(format!("--address: {error}; the way {} needs one", way.word())));
        }
        let login = gatherer.login(&Known { provider: &provider, user: &user, way }, options)?;
        let answers = match login {
            Some(login) if gatherer.missing.is_empty() => Self { provider, user, login },
            _ => return Err(gatherer.missing()),
        };
        if options.test_mail.is_some() {
            answers.check_test_mail(gatherer.dialogue.is_some())?;
        }
        Ok(answers)
    }

    /// Whether a test mail could go as soon as the configuration is there.
    fn check_test_mail(&self, is_asking: bool) -> Result<(), Failure> {
        let name = self.provider.name();
        match self.sign_in() {
            Some(sign_in) if !sign_in.has_client_id() => Err(Failure::Wrong(
                "--test-mail needs an application that may send: say which by --client-id".to_owned(),
            )),
            Some(sign_in) if sign_in.needs_person() && !is_asking => Err(Failure::Wrong(format!(
                "--test-mail: a person has to sign in first, and there is no terminal to ask at: leave it out, then \
                 mailsluice connect {name}, mailsluice run, and mailsluice send"
            ))),
            Some(_) | None => Ok(()),
        }
    }

    /// The sign-in that a person must make.
    pub(super) fn sign_in(&self) -> Option<&SignInAnswers> {
        match &self.login {
            LoginAnswer::SignIn(sign_in) => Some(sign_in),
            LoginAnswer::Password(_) => None,
        }
    }

    /// The password or client secret.
    pub(super) fn secret(&self) -> Option<&SecretAnswer> {
        match &self.login {
            LoginAnswer::Password(secret) => Some(secret),
            LoginAnswer::SignIn(sign_in) => sign_in.client_secret.as_ref(),
        }
    }
}

impl Gatherer<'_, '_> {
    fn missing(&self) -> Failure {
        Failure::Wrong(format!(
            "{} must be said, since there is no terminal to ask at: see mailsluice init --help",
            self.missing.join(" and ")
        ))
    }
}

fn wrong(flag: &'static str) -> impl Fn(String) -> Failure {
    move |why| Failure::Wrong(format!("{flag}: {why}"))
}

/// A text without what can't be seen.
fn plain(text: &str) -> Result<String, String> {
    match text {
        "" => Err("it must not be empty".to_owned()),
        text if text.contains(char::is_control) => Err("it has control characters".to_owned()),
        text => Ok(text.to_owned()),
    }
}
