//! `mailsluice connect NAME --script`: what an administrator has to do at the provider, once.
//!
//! For Microsoft it is a script. Its parts are the files beside this one; what differs from entry to entry is in variables
//! before them.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::mailboxes::SendingMailbox;
use crate::config::{ClientProof, SignIn, SignInFlow, SignInProvider};
use crate::oauth::{Resource, TokenClaims};

/// What to do at the provider: a script, or steps where there is none.
pub(super) fn what_to_do(sign_in: &SignIn, mailboxes: &[SendingMailbox<'_>]) -> String {
    match sign_in.provider {
        SignInProvider::Microsoft => powershell(sign_in, mailboxes),
        SignInProvider::Google => google(sign_in),
        SignInProvider::Custom => custom(sign_in),
    }
}

/// A PowerShell script that registers the application and gives it the least rights that do.
fn powershell(sign_in: &SignIn, mailboxes: &[SendingMailbox<'_>]) -> String {
    let mut script = head(sign_in, mailboxes);
    script += include_str!("script/begin.ps1");
    script += match sign_in.flow {
        SignInFlow::ManagedIdentity => include_str!("script/managed_identity.ps1"),
        _ => include_str!("script/application.ps1"),
    };
    script += match sign_in.flow {
        SignInFlow::DeviceCode { .. } => include_str!("script/device_code.ps1"),
        SignInFlow::AuthorizationCode { .. } => include_str!("script/authorization_code.ps1"),
        SignInFlow::ClientCredentials | SignInFlow::ManagedIdentity | SignInFlow::ServiceAccount(_) => "",
    };
    script += match sign_in.proof {
        ClientProof::None => "",
        ClientProof::Secret(_) => include_str!("script/secret.ps1"),
        ClientProof::Certificate(_) => include_str!("script/certificate.ps1"),
        ClientProof::AssertionFile(_) => include_str!("script/assertion.ps1"),
    };
    script += if sign_in.needs_grant() {
        include_str!("script/delegated.ps1")
    } else {
        include_str!("script/app_only.ps1")
    };
    script += include_str!("script/end.ps1");
    if matches!(sign_in.proof, ClientProof::Secret(_)) {
        script += include_str!("script/end_secret.ps1");
    }
    script
}

/// The comment at the top, and the variables.
fn head(sign_in: &SignIn, mailboxes: &[SendingMailbox<'_>]) -> String {
    let name = &sign_in.name;
    let mut head = format!(
        "# Mailsluice, sign-in {name} ({flow}): registers the application at Microsoft, and lets it send for the mailboxes\n\
         # below and no other. Run it in PowerShell as an administrator of the organization (Privileged Role Administrator and\n\
         # Exchange Administrator). It may be run again: what is there already stays.\n",
        flow = sign_in.flow_name(),
    );
    let mut set = |variable: &str, value: &str| {
        let _ = writeln!(head, "${variable} = {value}");
    };
    set("AppName", &literal(&format!("Mailsluice {name}")));
    // One of those that stand for any organization says nothing about where the application is to be.
    let tenant = sign_in.tenant.as_deref().filter(|tenant| !["common", "organizations"].contains(tenant));
    set("Tenant", &literal(tenant.unwrap_or_default()));
    set("ClientId", &literal(if sign_in.lacks_client_id() { "" } else { &sign_in.client_id }));
    let known: Vec<&str> =
        mailboxes.iter().map(|mailbox| mailbox.user).filter(|user| !user.is_empty()).collect();
    // Each once, whatever it is used by.
    let each = known.iter().enumerate().filter(|(at, user)| !known[..*at].contains(user));
    let each = list(each.map(|(_, user)| *user));
    let is_open = mailboxes.len() > known.len();
    set(
        "Mailboxes",
        &if is_open { format!("{each}   # write each mailbox that mail may go as") } else { each },
    );
    let uses = |resource| mailboxes.iter().any(|mailbox| mailbox.resource == resource);
    // Of those that are asked for only where somebody needs them.
    let needed = |smtp, graph| {
        let smtp = (uses(Resource::Smtp) || !uses(Resource::Graph)).then_some(smtp);
        smtp.into_iter().chain(uses(Resource::Graph).then_some(graph))
    };
    if sign_in.needs_grant() {
        set(
            "Delegated",
            &list(needed("SMTP.Send", mail_send(sign_in)).chain([
                "offline_access",
                "openid",
                "profile",
                "email",
            ])),
        );
    } else {
        // Mail.Send is given by the role alone: in Entra it would be good for every mailbox.
        set("EntraPermissions", &list(needed("SMTP.SendAsApp", "").filter(|name| !name.is_empty())));
        set("ExchangeRoles", &list(needed("Application SMTP.SendAsApp", "Application Mail.Send")));
    }
    let for_smtp = uses(Resource::Smtp) || !uses(Resource::Graph);
    set("ForSmtp", if for_smtp { "$true" } else { "$false" });
    match &sign_in.proof {
        ClientProof::Certificate(certificate) => {
            let certified = certificate.identity.certified_key();
            let der = certified.cert.first().map(AsRef::as_ref).unwrap_or_default();
            let thumbprint = Sha256::digest(der).iter().fold(String::new(), |mut text, octet| {
                let _ = write!(text, "{octet:02X}");
                text
            });
            set("Certificate", &format!("{}   # SHA-256 {thumbprint}", literal(&STANDARD.encode(der))));
        }
        ClientProof::AssertionFile(file) => {
            // What can't be read is asked for by the script.
            let claims =
                std::fs::read_to_string(file).map(|text| TokenClaims::of(text.trim())).unwrap_or_default();
            set("Issuer", &literal(claims.issuer.as_deref().unwrap_or_default()));
            set("Subject", &literal(claims.subject.as_deref().unwrap_or_default()));
        }
        ClientProof::None | ClientProof::Secret(_) => {}
    }
    head
}

/// The permission to send by Microsoft Graph that the sign-in asks for.
fn mail_send(sign_in: &SignIn) -> &'static str {
    let scope = sign_in.graph_scope.as_deref().unwrap_or_default();
    if scope.contains("Mail.Send.Shared") { "Mail.Send.Shared" } else { "Mail.Send" }
}

/// A text that PowerShell takes as it is. It reads typographic quotes as it reads the plain one.
fn literal(text: &str) -> String {
    let mut out = String::from("'");
    for c in text.chars() {
        if matches!(c, '\'' | '\u{2018}'..='\u{201b}') {
            out.push(c);
        }
        out.push(c);
    }
    out + "'"
}

fn list<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    let texts: Vec<String> = texts.into_iter().map(literal).collect();
    format!("@({})", texts.join(", "))
}

fn google(sign_in: &SignIn) -> String {
    let steps: &[&str] = match &sign_in.flow {
        SignInFlow::ServiceAccount(account) => &[
            "Google Cloud console, APIs & Services: enable the Gmail API in the project of the service account",
            "IAM & Admin, Service Accounts: open the account below and copy its unique id (a number)",
            "Admin console, Security, Access and data control, API controls, Manage domain-wide delegation: add that \
             number with the scope https://mail.google.com/",
            &format!("The service account of this sign-in is {}", account.email),
        ],
        _ => &[
            "Google Cloud console: make a project, and there the consent screen (Google Auth Platform)",
            "Audience: Internal with Google Workspace; else External, and then press Publish app: while it says Testing, \
             each sign-in ends after 7 days",
            "Data Access: add the scope https://mail.google.com/",
            "Clients: create a client of the type Desktop app",
            "Write its client id into client_id, and its client secret into the file of client_secret",
        ],
    };
    numbered("There is no script for Google. The steps:", steps, sign_in)
}

fn custom(sign_in: &SignIn) -> String {
    let redirect;
    let steps: &[&str] = match sign_in.flow {
        SignInFlow::AuthorizationCode { .. } => {
            redirect = "Register a native (public) client with the redirect address http://127.0.0.1 at any port (RFC 8252 7.3), \
                        PKCE by S256, and refresh tokens";
            &[redirect, "Write its client id into client_id"]
        }
        SignInFlow::DeviceCode { .. } => &[
            "Register a client that may use the device authorization grant (RFC 8628) and gets refresh tokens",
            "Write its client id into client_id",
        ],
        _ => &[
            "Register a client that may use the client credentials grant (RFC 6749 4.4)",
            "Write its client id into client_id, and its secret into the file of client_secret",
        ],
    };
    numbered("There is no script for this provider. The steps:", steps, sign_in)
}

fn numbered(head: &str, steps: &[&str], sign_in: &SignIn) -> String {
    let steps = steps.iter().zip(1..).map(|(step, number)| format!("  {number}. {step}.\n"));
    let then = if sign_in.needs_grant() { "Then sign in" } else { "Then try it" };
    let last = format!(
        "{then}: mailsluice connect {}
",
        sign_in.name
    );
    format!("{head}\n{}{last}", steps.collect::<String>())
}

#[cfg(test)]
mod tests;
