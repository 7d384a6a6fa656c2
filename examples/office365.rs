//! A simulated Office 365 on loopback, for trying out limits: `cargo run --example office365 -- --help`.
//!
//! Prints each time that a limit was overrun, and a summary every minute and at Ctrl-C.

#![allow(dead_code, unreachable_pub, unused_imports, reason = "the tests use more of it")]

#[path = "../tests/support/office365/mod.rs"]
mod office365;

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Parser;
use mailsluice::upstream::Stream;
use office365::{Office365, Rules, external_recipients, graph};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;

/// More connections than this wait.
const CONNECTIONS: usize = 1_000;

/// A simulated Office 365. Point an upstream at it with host, port, user and password, and preset = "office365".
#[derive(Parser)]
struct Arguments {
    /// Where it listens; loopback alone.
    #[arg(long, default_value = "127.0.0.1:2587")]
    listen: SocketAddr,
    /// A mailbox, or several; its tenant is its domain.
    #[arg(long, default_value = "mailer@firm.example")]
    mailbox: Vec<String>,
    /// The password of all mailboxes.
    #[arg(long, default_value = "secret")]
    password: String,
    /// Messages of a mailbox in any 60 seconds.
    #[arg(long, default_value_t = Rules::default().per_minute)]
    per_minute: u64,
    /// Connections of a mailbox at the same time.
    #[arg(long, default_value_t = Rules::default().connections)]
    connections: usize,
    /// Recipients of a mailbox in any 24 hours.
    #[arg(long, default_value_t = Rules::default().recipients_per_day)]
    recipients_per_day: u64,
    /// Recipients of a message.
    #[arg(long, default_value_t = Rules::default().recipients_per_message)]
    recipients_per_message: usize,
    /// Licences of each tenant, which make its limit of external recipients.
    #[arg(long, default_value_t = 1)]
    licences: u32,
    /// A client that is too fast is told so (432), not hung up on (421).
    #[arg(long)]
    stay: bool,
    /// How long a message is looked at, in milliseconds.
    #[arg(long, default_value_t = 0)]
    think: u64,
    /// Where it answers as Microsoft Graph, over HTTP, and gives out tokens for it; loopback alone.
    #[arg(long)]
    graph: Option<SocketAddr>,
    /// A folder for the messages that come over Graph, as they come: 1.eml, 2.eml and so on.
    #[arg(long, requires = "graph")]
    save: Option<PathBuf>,
    /// A certificate in PEM; with it, logins are offered behind STARTTLS alone.
    #[arg(long, requires = "key")]
    certificate: Option<PathBuf>,
    /// The key of the certificate, in PEM.
    #[arg(long, requires = "certificate")]
    key: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if !arguments.listen.ip().is_loopback() {
        bail!("it listens on loopback alone, such as 127.0.0.1:2587");
    }
    let service = service(&arguments)?;
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("can't listen on {}", arguments.listen))?;
    println!("listening on {}, mailboxes {}", listener.local_addr()?, arguments.mailbox.join(", "));
    if let Some(address) = arguments.graph {
        if !address.ip().is_loopback() {
            bail!("it listens on loopback alone, such as 127.0.0.1:2588");
        }
        start_graph(&arguments, &service, address).await?;
    }
    tokio::select! {
        () = accept(&listener, &service) => {}
        () = report(&service) => {}
        stopped = tokio::signal::ctrl_c() => stopped.context("can't wait for Ctrl-C")?,
    }
    println!("{}", summary(&service));
    Ok(())
}

fn service(arguments: &Arguments) -> anyhow::Result<Office365> {
    let service = Office365::new(Rules {
        per_minute: arguments.per_minute,
        connections: arguments.connections,
        recipients_per_message: arguments.recipients_per_message,
        recipients_per_day: arguments.recipients_per_day,
        hangs_up: !arguments.stay,
        think: Duration::from_millis(arguments.think),
        ..Rules::default()
    });
    for mailbox in &arguments.mailbox {
        let Some((_, domain)) = mailbox.split_once('@') else { bail!("{mailbox} is not an address") };
        service.tenant(domain, external_recipients(arguments.licences));
        service.mailbox(mailbox, &arguments.password);
    }
    if let (Some(certificate), Some(key)) = (&arguments.certificate, &arguments.key) {
        service.set_tls(tls(certificate, key)?);
    }
    let began = Instant::now();
    service.watch(move |violation| {
        let seconds = began.elapsed().as_secs_f64();
        println!("{seconds:10.3} overrun: {:?} of {}", violation.limit, violation.mailbox);
    });
    Ok(service)
}

fn tls(certificate: &Path, key: &Path) -> anyhow::Result<Arc<ServerConfig>> {
    let unread = |path: &Path| format!("can't read {}", path.display());
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
        .with_context(|| unread(certificate))?
        .collect::<Result<_, _>>()
        .with_context(|| unread(certificate))?;
    let key = PrivateKeyDer::from_pem_file(key).with_context(|| unread(key))?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(Arc::new(config))
}

/// Answers as Microsoft Graph, and as who gives out tokens for it.
async fn start_graph(arguments: &Arguments, service: &Office365, address: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("can't listen on {address}"))?;
    println!("Graph on http://{}, tokens at /token", listener.local_addr()?);
    if let Some(folder) = arguments.save.clone() {
        std::fs::create_dir_all(&folder).with_context(|| format!("can't make {}", folder.display()))?;
        service.watch_deliveries(move |number, content| {
            let path = folder.join(format!("{number}.eml"));
            if let Err(error) = File::create(&path).and_then(|mut file| file.write_all(content)) {
                eprintln!("{}: {error}", path.display());
            }
        });
    }
    tokio::spawn(graph::serve(service.clone(), listener));
    Ok(())
}

async fn accept(listener: &TcpListener, service: &Office365) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let service = service.clone();
                tokio::spawn(async move {
                    service.serve(plain(stream)).await;
                    drop(place);
                });
            }
            Err(error) => {
                eprintln!("accept: {error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

fn plain(stream: TcpStream) -> Box<dyn Stream> {
    // Replies are small and waited for. Without this they only come later.
    let _ = stream.set_nodelay(true);
    Box::new(stream)
}

async fn report(service: &Office365) {
    let mut last = String::new();
    loop {
        tokio::time::sleep(Duration::from_mins(1)).await;
        let line = summary(service);
        if line != last {
            println!("{line}");
            last = line;
        }
    }
}

fn summary(service: &Office365) -> String {
    let (connections, logins) = service.connections();
    let recipients: usize = service.delivered().iter().map(|message| message.recipients.len()).sum();
    format!(
        "{} messages to {recipients} recipients taken in {} attempts; {} overruns, {} refusals for limits; {connections} connections, {logins} logins",
        service.messages(),
        service.attempts(),
        service.violations().len(),
        service.throttled().len(),
    )
}
