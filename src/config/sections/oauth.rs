//! `[[oauth]]`

use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use url::Url;

use super::oauth_proof::Proof;
use super::oauth_urls::{Endpoint, Urls, WRITE_TENANT};
use crate::config::fault::SourcePlace;
use crate::config::reader::Section;
use crate::config::words::quoted;
use crate::config::{ClientProof, NO_CLIENT_ID, Proxy, SignIn, SignInFlow, SignInProvider, proxy};
use crate::time::Validity;

const WRITE_NAME: &str = r#"write a name of letters, digits, "-", "_" and ".", such as "m365""#;
const WRITE_SCOPE: &str = "write what the provider's documentation says, with spaces between";
/// Names of Microsoft for organizations in general; an application can't sign in at them by itself.
const ANY_TENANT: [&str; 3] = ["common", "organizations", "consumers"];

/// A sign-in, with the place that the checks beyond it speak of.
pub(in crate::config) struct PlacedSignIn {
    pub(in crate::config) name: String,
    /// Where its name is.
    pub(in crate::config) place: SourcePlace,
    /// `None` where something is wrong with it.
    pub(in crate::config) sign_in: Option<SignIn>,
}

/// The value of `flow`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FlowName {
    DeviceCode,
    AuthorizationCode,
    ClientCredentials,
    ServiceAccount,
}

/// All sign-ins, each checked by itself.
pub(in crate::config) fn read_all(root: &mut Section<'_>) -> Vec<PlacedSignIn> {
    root.sections("oauth").into_iter().map(read).collect()
}

fn read(mut section: Section<'_>) -> PlacedSignIn {
    let name = super::name(&mut section, WRITE_NAME);
    let place = section.place_of("name");
    let provider = required(&mut section, "provider", &PROVIDERS);
    let flow = flow(&mut section, provider);
    let proof = Proof::read(&mut section);
    let keys = Keys {
        tenant: tenant(&mut section, provider, flow),
        client_id: client_id(&mut section, flow, proof.as_ref()),
        scopes: scopes(&mut section, provider, flow),
        secret_expires: secret_expires(&mut section),
        proxy: proxy::read(&mut section, "proxy"),
        urls: Urls::read(&mut section, matches!(proof, Some(Proof::ManagedIdentity))),
    };
    let sign_in = provider.zip(flow).and_then(|way| checked(&section, &name, way, keys, proof?));
    section.finish();
    PlacedSignIn { name, place, sign_in }
}

const PROVIDERS: [(&str, SignInProvider); 3] = [
    ("microsoft", SignInProvider::Microsoft),
    ("google", SignInProvider::Google),
    ("custom", SignInProvider::Custom),
];

const FLOWS: [(&str, FlowName); 4] = [
    ("device_code", FlowName::DeviceCode),
    ("authorization_code", FlowName::AuthorizationCode),
    ("client_credentials", FlowName::ClientCredentials),
    ("service_account", FlowName::ServiceAccount),
];

/// What the keys say one by one.
struct Keys {
    tenant: Option<String>,
    client_id: Option<String>,
    scopes: Option<(String, Option<String>)>,
    secret_expires: Option<Date>,
    proxy: Option<Proxy>,
    urls: Urls,
}

/// Puts together what belongs together. `None` where something is wrong, which has been said.
fn checked(
    section: &Section<'_>,
    name: &str,
    (provider, flow): (SignInProvider, FlowName),
    keys: Keys,
    proof: Proof,
) -> Option<SignIn> {
    let Keys { tenant, client_id, scopes, secret_expires, proxy, urls } = keys;
    if proxy.is_some() && matches!(proof, Proof::ManagedIdentity) {
        let instead = "remove it: that service is on this machine";
        section.fault(&section.place_of("proxy"), "proxy", "has no use with managed_identity", instead);
    }
    let url = |endpoint, own| urls.get(section, endpoint, own, (provider, tenant.as_deref()));
    let (flow, proof, token_url) = way(section, (provider, flow), proof, url)?;
    check_expiry(section, secret_expires, &proof);
    let ((scope, graph_scope), client_id) = scopes.zip(client_id)?;
    let name = Arc::from(name);
    Some(SignIn {
        name,
        provider,
        tenant,
        client_id,
        flow,
        proof,
        token_url,
        scope,
        graph_scope,
        secret_expires,
        proxy,
    })
}

/// What the flow needs: of the proofs one that it can use, of the URLs those that it goes to. `url` takes the URL that goes
/// before the provider's own.
fn way(
    section: &Section<'_>,
    (provider, flow): (SignInProvider, FlowName),
    proof: Proof,
    url: impl Fn(Endpoint, Option<Url>) -> Option<Url>,
) -> Option<(SignInFlow, ClientProof, Url)> {
    // A device has no place for a secret, says Microsoft.
    let is_public = flow == FlowName::DeviceCode && provider == SignInProvider::Microsoft;
    let own = proof.token_url();
    Some(match flow {
        FlowName::DeviceCode => {
            let urls = url(Endpoint::Device, None).zip(url(Endpoint::Token, own));
            let proof = proof.beside_person(section, is_public)?;
            let (device_url, token_url) = urls?;
            (SignInFlow::DeviceCode { device_url }, proof, token_url)
        }
        FlowName::AuthorizationCode => {
            let urls = url(Endpoint::Authorize, None).zip(url(Endpoint::Token, own));
            let proof = proof.beside_person(section, is_public)?;
            let (authorize_url, token_url) = urls?;
            (SignInFlow::AuthorizationCode { authorize_url }, proof, token_url)
        }
        FlowName::ClientCredentials => {
            let is_managed = matches!(proof, Proof::ManagedIdentity);
            let flow = if is_managed { SignInFlow::ManagedIdentity } else { SignInFlow::ClientCredentials };
            let proof = proof.alone(section, provider)?;
            (flow, proof, url(Endpoint::Token, own)?)
        }
        FlowName::ServiceAccount => {
            let account = proof.service_account(section, provider)?;
            (SignInFlow::ServiceAccount(account), ClientProof::None, url(Endpoint::Token, own)?)
        }
    })
}

/// A key that must say one of some words.
fn required<T: Copy>(section: &mut Section<'_>, key: &'static str, options: &[(&str, T)]) -> Option<T> {
    if !section.has(key) {
        let names = crate::config::words::one_of(options.iter().map(|(name, _)| *name));
        section.missing(key, &format!("write {names}"));
    }
    section.choice(key, options)
}

/// `flow`. Where it is not written, a person signs in, with any device if the provider lets one.
fn flow(section: &mut Section<'_>, provider: Option<SignInProvider>) -> Option<FlowName> {
    if section.has("flow") || provider.is_none() {
        return section.choice("flow", &FLOWS);
    }
    section.node("flow");
    Some(match provider {
        Some(SignInProvider::Google) => FlowName::AuthorizationCode,
        _ => FlowName::DeviceCode,
    })
}

/// `tenant`
fn tenant(
    section: &mut Section<'_>,
    provider: Option<SignInProvider>,
    flow: Option<FlowName>,
) -> Option<String> {
    let is_tenant = |text: &str| {
        let is_sound = |b: u8| b.is_ascii_alphanumeric() || b"-.".contains(&b);
        (!text.is_empty() && text.bytes().all(is_sound)).then(|| text.to_owned())
    };
    let tenant = section.parsed("tenant", "a tenant", WRITE_TENANT, is_tenant);
    let place = section.place_of("tenant");
    if section.has("tenant") && provider.is_some_and(|provider| provider != SignInProvider::Microsoft) {
        section.fault(&place, "tenant", "has a meaning at Microsoft alone", "remove it");
    }
    if let Some(name) = tenant.as_deref().filter(|name| ANY_TENANT.contains(name))
        && flow == Some(FlowName::ClientCredentials)
    {
        let what = format!("is {}, and an application signs in at its own tenant alone", quoted(name));
        section.fault(&place, "tenant", &what, WRITE_TENANT);
    }
    tenant
}

/// `client_id`. Where the flow needs none it may be left out, and is empty then.
fn client_id(section: &mut Section<'_>, flow: Option<FlowName>, proof: Option<&Proof>) -> Option<String> {
    const INSTEAD: &str = "write the application (client) id that the provider shows";
    let is_needed = flow.is_some_and(|flow| flow != FlowName::ServiceAccount)
        && proof.is_some_and(|proof| !matches!(proof, Proof::ManagedIdentity));
    if !section.has("client_id") {
        if is_needed {
            section.missing("client_id", INSTEAD);
        }
        section.node("client_id");
        return (!is_needed).then(String::new);
    }
    let is_id = |text: &str| {
        (!text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())).then(|| text.to_owned())
    };
    let client_id = section.parsed("client_id", "the id of an application", INSTEAD, is_id);
    if client_id.as_deref() == Some(NO_CLIENT_ID) {
        let name = section.written("name").map_or("NAME", |(_, name)| name);
        let instead = format!("register it (`mailsluice connect {name} --script` tells how), and {INSTEAD}");
        let what = "is that of no application: nobody can sign in";
        section.warning(&section.place_of("client_id"), "client_id", what, &instead);
    }
    client_id
}

/// `scope` and `graph_scope`, or what the provider's ones are.
fn scopes(
    section: &mut Section<'_>,
    provider: Option<SignInProvider>,
    flow: Option<FlowName>,
) -> Option<(String, Option<String>)> {
    let by_itself = flow == Some(FlowName::ClientCredentials);
    let (usual, usual_graph) = match provider.unwrap_or(SignInProvider::Custom) {
        SignInProvider::Microsoft if by_itself => {
            (Some("https://outlook.office365.com/.default"), Some("https://graph.microsoft.com/.default"))
        }
        SignInProvider::Microsoft => (
            Some("https://outlook.office.com/SMTP.Send offline_access"),
            Some("https://graph.microsoft.com/Mail.Send offline_access"),
        ),
        SignInProvider::Google => (Some("https://mail.google.com/"), None),
        SignInProvider::Custom => (None, None),
    };
    let is_scope =
        |text: &str| text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()).then(|| text.to_owned());
    let mut scope = |key, usual: Option<&str>| {
        if section.has(key) {
            section.parsed(key, "a list of scopes", WRITE_SCOPE, is_scope).map(Some)
        } else {
            section.node(key);
            Some(usual.map(str::to_owned))
        }
    };
    let (own, graph) = (scope("scope", usual), scope("graph_scope", usual_graph));
    if own == Some(None) && provider.is_some() {
        section.missing("scope", WRITE_SCOPE);
    }
    Some((own??, graph?))
}

/// `secret_expires`
fn secret_expires(section: &mut Section<'_>) -> Option<Date> {
    let date = |text: &str| text.parse::<Date>().ok();
    section.parsed("secret_expires", "a date", r#"write a day such as "2027-03-01""#, date)
}

fn check_expiry(section: &Section<'_>, expires: Option<Date>, proof: &ClientProof) {
    let Some(date) = expires else { return };
    let place = section.place_of("secret_expires");
    if !matches!(proof, ClientProof::Secret(_)) {
        section.fault(&place, "secret_expires", "has no use without client_secret", "remove it");
        return;
    }
    let Ok(end) = date.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp()) else { return };
    let what = match Validity::until(end).step(section.context.machine.now) {
        None => return,
        Some(0) => format!("says that the client secret expired on {date}"),
        Some(_) => format!("says that the client secret expires on {date}"),
    };
    section.warning(&place, "secret_expires", &what, "make a new secret at the provider, and write its date");
}
