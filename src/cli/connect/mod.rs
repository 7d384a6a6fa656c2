//! `mailsluice connect`: signs in at a provider, or tries whether a sign-in that needs nobody works.

mod failed;
mod keep;
mod mailboxes;
mod outcome;
mod person;
mod script;
mod voice;

use std::path::Path;
use std::sync::Arc;

use clap::Args;
use tokio::runtime::Runtime;

use self::failed::SignInFailure;
use self::keep::Keeping;
pub(super) use self::keep::open_store;
use self::mailboxes::SendingMailbox;
use self::outcome::Connected;
use self::person::PersonSignIn;
use self::voice::Voice;
use super::client::runtime;
use super::context::CliContext;
use super::failure::Failure;
use super::interrupt::unless_interrupted;
use super::output;
use crate::config::{Config, LoadedConfig, SignIn, SignInFlow};
use crate::oauth::{Resource, SignInGrant, TokenClaims, TokenEndpoint};
use crate::report::log::escape::printable;
use crate::time::{SystemClock, Timeline};
use crate::web::WebClient;

#[derive(Debug, Args)]
pub(super) struct ConnectOptions {
    /// The sign-in: the name of an [[oauth]]; needed when there are several
    name: Option<String>,
    /// Without a browser on this machine: shows a link for a browser elsewhere, and takes the address where that ends
    #[arg(long, conflicts_with = "script")]
    paste: bool,
    /// Print what an administrator has to do at the provider for this sign-in: for Microsoft a PowerShell script
    #[arg(long)]
    script: bool,
}

/// Does what the options say.
pub(super) fn execute(options: &ConnectOptions, context: &CliContext) -> Result<(), Failure> {
    let LoadedConfig { config, path, .. } = context.load()?;
    let sign_in = chosen(&config, options.name.as_deref())?;
    if options.script {
        return output::text(&script::what_to_do(sign_in, &mailboxes::of(&config, &sign_in.name)));
    }
    check(sign_in, options.paste, path.as_deref())?;
    connect(&config, sign_in, options.paste, context)
}

/// Signs in by name, as a step of another command.
pub(super) fn sign_in(name: &str, context: &CliContext) -> Result<(), Failure> {
    let LoadedConfig { config, path, .. } = context.load()?;
    let sign_in = chosen(&config, Some(name))?;
    check(sign_in, false, path.as_deref())?;
    connect(&config, sign_in, false, context)
}

/// The sign-in of that name; without a name, the only one there is.
fn chosen<'c>(config: &'c Config, name: Option<&str>) -> Result<&'c Arc<SignIn>, Failure> {
    const NONE: &str =
        "the configuration has no sign-in: write an [[oauth]], and oauth = \"its name\" at an upstream";
    let all = &config.sign_ins;
    let names = all.iter().map(|sign_in| &*sign_in.name).collect::<Vec<_>>().join(", ");
    match (name, &all[..]) {
        (_, []) => Err(Failure::new(NONE)),
        (None, [only]) => Ok(only),
        (None, _) => Err(Failure::Wrong(format!("say which sign-in: {names}"))),
        (Some(name), _) => {
            let found = all.iter().find(|sign_in| sign_in.name.eq_ignore_ascii_case(name));
            let unknown =
                || Failure::new(format!("there is no sign-in {}: there is {names}", printable(name)));
            found.ok_or_else(unknown)
        }
    }
}

fn connect(config: &Config, sign_in: &Arc<SignIn>, paste: bool, context: &CliContext) -> Result<(), Failure> {
    let runtime = runtime()?;
    let timeline = Timeline::resume(Arc::new(SystemClock), None);
    let endpoint = TokenEndpoint::new(sign_in.clone(), Arc::new(WebClient::default()), timeline);
    let mailboxes = mailboxes::of(config, &sign_in.name);
    if sign_in.needs_grant() {
        // Whoever signs in shall not do so in vain.
        let keeping = Keeping::find(config, context)?;
        let person = person(sign_in, endpoint, &mailboxes, Voice::new(context.json));
        let issued = runtime.block_on(unless_interrupted(flow(sign_in, &person, paste)));
        let issued = issued.unwrap_or(Err(SignInFailure::GivenUp));
        let grant = issued.map_err(|failure| failure.into_failure(sign_in))?;
        let account = grant.account.clone();
        let kept = keeping.keep(sign_in, grant, &runtime)?;
        return Connected::person(sign_in, account, &mailboxes, kept).tell(context);
    }
    try_alone(sign_in, &endpoint, &mailboxes, &runtime)?;
    Connected::alone(sign_in).tell(context)
}

fn check(sign_in: &SignIn, paste: bool, file: Option<&Path>) -> Result<(), Failure> {
    let name = &sign_in.name;
    if sign_in.lacks_client_id() {
        let place =
            file.map_or_else(String::new, |file| format!(" into {}", printable(&file.display().to_string())));
        return Err(Failure::new(format!(
            "{name} has no application yet: do what `mailsluice connect {name} --script` says, and write the client_id \
             that comes of it{place}"
        )));
    }
    if paste && !matches!(sign_in.flow, SignInFlow::AuthorizationCode { .. }) {
        let flow = sign_in.flow_name();
        return Err(Failure::Wrong(format!(
            "--paste is for flow = \"authorization_code\", and {name} has {flow:?}"
        )));
    }
    Ok(())
}

fn person<'c>(
    sign_in: &SignIn,
    endpoint: TokenEndpoint,
    mailboxes: &[SendingMailbox<'c>],
    voice: Voice,
) -> PersonSignIn<'c> {
    let first = mailboxes.first();
    // One grant is good for all resources; the first token is for one.
    let resource = first.map_or(Resource::Smtp, |mailbox| mailbox.resource);
    let mailbox = first.map(|mailbox| mailbox.user).filter(|user| !user.is_empty());
    PersonSignIn { endpoint, provider: sign_in.provider, resource, mailbox, voice }
}

async fn flow(
    sign_in: &SignIn,
    person: &PersonSignIn<'_>,
    paste: bool,
) -> Result<SignInGrant, SignInFailure> {
    let issued = match (&sign_in.flow, paste) {
        (SignInFlow::DeviceCode { .. }, _) => person.by_code().await?,
        (_, true) => person.by_paste().await?,
        (_, false) => person.by_browser().await?,
    };
    // Where there is no ID token, the access token may say who it is.
    let claims = TokenClaims::of(issued.access.expose());
    let account = issued.account.or_else(|| claims.account().map(str::to_owned));
    let token = issued.refresh.ok_or(SignInFailure::NoRefreshToken)?;
    Ok(SignInGrant { token, account })
}

/// Fetches a token for each mailbox, as the relay will; they are not kept.
fn try_alone(
    sign_in: &SignIn,
    endpoint: &TokenEndpoint,
    mailboxes: &[SendingMailbox<'_>],
    runtime: &Runtime,
) -> Result<(), Failure> {
    let is_by_mailbox = matches!(sign_in.flow, SignInFlow::ServiceAccount(_));
    let asked: Vec<(Resource, &str)> = match (is_by_mailbox, mailboxes) {
        (true, []) => {
            return Err(Failure::new(format!(
                "no upstream uses {name}, so it is not known for whom to ask: write oauth = \"{name}\" at one",
                name = sign_in.name
            )));
        }
        (true, all) => all.iter().map(|mailbox| (mailbox.resource, mailbox.user)).collect(),
        // The application's token is the same for all.
        (false, []) => vec![(Resource::Smtp, "")],
        (false, all) => {
            let mut resources: Vec<_> = all.iter().map(|mailbox| (mailbox.resource, "")).collect();
            resources.sort_unstable();
            resources.dedup();
            resources
        }
    };
    for (resource, user) in asked {
        let issued = runtime.block_on(unless_interrupted(endpoint.without_grant(resource, user)));
        let issued = issued.map_or(Err(SignInFailure::GivenUp), |issued| issued.map_err(SignInFailure::from));
        issued.map_err(|failure| failure.into_failure(sign_in))?;
    }
    Ok(())
}
