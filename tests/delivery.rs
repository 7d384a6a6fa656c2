//! The way out against a scriptable upstream: whatever it does at whatever step, the right thing becomes of each
//! recipient. The clock is stopped, so that time-outs of minutes are exact and cost nothing.

#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

mod support;

#[path = "delivery/dialogue.rs"]
mod dialogue;
#[path = "delivery/extensions.rs"]
mod extensions;
#[path = "delivery/flush.rs"]
mod flush;
#[path = "delivery/from_file.rs"]
mod from_file;
#[path = "delivery/matrix.rs"]
mod matrix;
#[path = "delivery/proxy.rs"]
mod proxy;
#[path = "delivery/security.rs"]
mod security;
#[path = "delivery/steps.rs"]
mod steps;
#[path = "delivery/tokens.rs"]
mod tokens;

use std::time::Duration;

use mailsluice::config::{Auth, ClientTls, Limits, Login, Security, Smtp, Timeouts};
use mailsluice::content::{ContentError, SplitContent};
use mailsluice::mail::{Address, Body, ReversePath};
use mailsluice::oauth::TokenUser;
use mailsluice::smtp::InstanceId;
use mailsluice::upstream::{
    ConnectError, Connection, Connector, Credentials, DeferralCause, Outcome, Requests, Transaction,
    TransactionResult, classify,
};
use support::upstream::{Script, Upstream};

/// Each time-out has a length of its own, so that the time that has passed tells which one it was.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(31),
    greeting: Duration::from_secs(37),
    command: Duration::from_secs(41),
    data: Duration::from_secs(43),
    block: Duration::from_secs(47),
    final_dot: Duration::from_secs(53),
};

fn smtp() -> Smtp {
    Smtp {
        preset: None,
        host: "smtp.firm.example".to_owned(),
        port: 25,
        security: Security::None,
        tls: ClientTls::default(),
        ehlo: None,
        source_address: None,
        proxy: None,
        auth: Auth::Auto,
        allow_plaintext_auth: false,
        timeouts: TIMEOUTS,
        sent_copy: None,
    }
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn recipients(count: usize) -> Vec<Address> {
    (0..count).map(|i| address(&format!("r{i}@dest.example"))).collect()
}

async fn open(upstream: &Upstream, smtp: Smtp) -> Result<Connection, ConnectError> {
    open_as(upstream, smtp, &nobody()).await
}

async fn open_as(upstream: &Upstream, smtp: Smtp, account: &Login) -> Result<Connection, ConnectError> {
    let credentials = Credentials::of(account, None, TokenUser::default());
    Connector::new(upstream.dial(), smtp, credentials, "relay.firm.example", InstanceId::random())
        .open()
        .await
}

/// No login.
fn nobody() -> Login {
    Login::anonymous(Limits::default())
}

/// Anna's login, with the password that is given.
fn anna(password: &str) -> Login {
    let (user, password) = (Some("anna".to_owned()), Some(password.into()));
    Login { user, password, ..nobody() }
}

async fn connected(script: Script) -> (Upstream, Connection) {
    let upstream = Upstream::new(script);
    let connection = open(&upstream, smtp()).await.unwrap();
    (upstream, connection)
}

async fn send(connection: &mut Connection, recipients: &[Address], content: &[u8]) -> TransactionResult {
    let content = SplitContent::memory(content.to_vec());
    send_content(connection, recipients, &content).await.unwrap()
}

async fn send_content(
    connection: &mut Connection,
    recipients: &[Address],
    content: &SplitContent,
) -> Result<TransactionResult, ContentError> {
    let reverse_path = ReversePath::Address(address("sender@firm.example"));
    let transaction = Transaction {
        reverse_path: &reverse_path,
        recipients,
        body: Body::SevenBit,
        smtputf8: false,
        content,
        requests: Requests::default(),
    };
    connection.send(&transaction).await
}

/// One letter per recipient: sent, deferred, bounced, later, upstream; `?` when it may arrive twice.
fn verdicts(result: &TransactionResult) -> String {
    let letter = |verdict| match verdict {
        Outcome::Sent | Outcome::Captured => 'S',
        Outcome::Deferred { possible_duplicate: true, .. } => '?',
        Outcome::Deferred { cause: DeferralCause::Message, .. } => 'D',
        Outcome::Deferred { .. } => 'U',
        Outcome::Bounced | Outcome::Dropped => 'B',
        Outcome::Later => 'L',
    };
    result.recipients.iter().map(|result| letter(classify(result))).collect()
}
