//! The two ends of the comparison where both of its lines speak TLS, which Postfix's smtp-source and smtp-sink do not.
//!
//! `smtp_load source` hands messages in command by command, over sessions that stay open (as `smtp-source -d` does) or
//! with a connection for each message;
//! `smtp_load sink` takes them, inside STARTTLS alone, throws them away, and writes how many there were. Both say on
//! stdout what their first handshake agreed on.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use clap::{Args, Parser, ValueEnum};
use memchr::memmem;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{self, ClientConfig, CommonState, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// So long either end waits for the other.
const PATIENCE: Duration = Duration::from_mins(2);

#[derive(Parser)]
enum Command {
    Source(Source),
    Sink(Sink),
}

#[derive(Args)]
struct Source {
    #[arg(long)]
    to: SocketAddr,
    /// The authority that signed the relay's certificate, which is for `localhost`.
    #[arg(long)]
    ca: PathBuf,
    #[arg(long)]
    tls: Mode,
    #[arg(long, default_value = "kept")]
    connections: Connections,
    #[arg(long)]
    sessions: usize,
    #[arg(long)]
    messages: u64,
    /// Octets of each message, header included.
    #[arg(long)]
    octets: usize,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Mode {
    Starttls,
    Implicit,
}

/// Whether a session sends all its messages over one connection, or has one for each.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Connections {
    Kept,
    Each,
}

#[derive(Args)]
struct Sink {
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    certificate: PathBuf,
    #[arg(long)]
    key: PathBuf,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}
type Line = BufReader<Box<dyn Stream>>;

fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::other(error)
}

/// Waits, but not for ever.
async fn soon<T>(what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(PATIENCE, what).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// Says once in a process what a handshake has agreed on.
fn tell(state: &CommonState) {
    static TOLD: AtomicBool = AtomicBool::new(false);
    if !TOLD.swap(true, Relaxed) {
        let suite = state.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
        let group = state.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name()));
        let version = state.protocol_version().map(|version| format!("{version:?}"));
        println!("tls={}", [version, suite, group].into_iter().flatten().collect::<Vec<_>>().join(" "));
    }
}

async fn next_line(line: &mut Line) -> io::Result<String> {
    let mut text = String::new();
    soon(line.read_line(&mut text)).await?;
    if text.ends_with("\r\n") { Ok(text) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Sends the octets and waits for the whole reply, which must begin with this digit.
async fn ask(line: &mut Line, octets: &[u8], digit: char) -> io::Result<()> {
    soon(line.write_all(octets)).await?;
    soon(line.flush()).await?;
    loop {
        let reply = next_line(line).await?;
        if reply.as_bytes().get(3) != Some(&b'-') {
            return if reply.starts_with(digit) { Ok(()) } else { Err(other(reply)) };
        }
    }
}

async fn connect(options: &Source, connector: &TlsConnector) -> io::Result<Line> {
    let stream = soon(TcpStream::connect(options.to)).await?;
    stream.set_nodelay(true)?;
    let mut line: Line = BufReader::new(Box::new(stream));
    if options.tls == Mode::Starttls {
        ask(&mut line, b"", '2').await?;
        ask(&mut line, b"EHLO source.example\r\n", '2').await?;
        ask(&mut line, b"STARTTLS\r\n", '2').await?;
    }
    let name = ServerName::try_from("localhost").map_err(other)?;
    let stream = soon(connector.connect(name, line.into_inner())).await?;
    tell(stream.get_ref().1);
    let mut line: Line = BufReader::new(Box::new(stream));
    if options.tls == Mode::Implicit {
        ask(&mut line, b"", '2').await?;
    }
    ask(&mut line, b"EHLO source.example\r\n", '2').await?;
    Ok(line)
}

/// One message with its end; lines of 80 octets, as smtp-source's.
fn message(number: u64, octets: usize) -> Vec<u8> {
    let mut text = format!(
        "From: <office@firm.example>\r\nTo: <customer@elsewhere.example>\r\nDate: Sun, 22 Nov 2026 09:00:00 +0000\r\n\
         Message-Id: <{number}@source.example>\r\n\r\n"
    );
    while text.len() < octets {
        let width = (octets - text.len()).clamp(2, 80) - 2;
        text.extend(std::iter::repeat_n('X', width));
        text.push_str("\r\n");
    }
    text.push_str(".\r\n");
    text.into_bytes()
}

async fn hand_in(line: &mut Line, number: u64, octets: usize) -> io::Result<()> {
    ask(line, b"MAIL FROM:<office@firm.example>\r\n", '2').await?;
    ask(line, b"RCPT TO:<customer@elsewhere.example>\r\n", '2').await?;
    ask(line, b"DATA\r\n", '3').await?;
    ask(line, &message(number, octets), '2').await
}

async fn session(options: Arc<Source>, connector: TlsConnector, taken: Arc<AtomicU64>) -> io::Result<()> {
    let mut kept = None;
    loop {
        let number = taken.fetch_add(1, Relaxed);
        if number >= options.messages {
            break;
        }
        let mut line = match kept.take() {
            Some(line) => line,
            None => connect(&options, &connector).await?,
        };
        hand_in(&mut line, number, options.octets).await?;
        match options.connections {
            Connections::Kept => kept = Some(line),
            Connections::Each => ask(&mut line, b"QUIT\r\n", '2').await?,
        }
    }
    match kept {
        Some(mut line) => ask(&mut line, b"QUIT\r\n", '2').await,
        None => Ok(()),
    }
}

async fn source(options: Source) -> io::Result<()> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&options.ca).map_err(other)?).map_err(other)?;
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let (options, taken) = (Arc::new(options), Arc::new(AtomicU64::new(0)));
    let mut sessions = JoinSet::new();
    for _ in 0..options.sessions {
        sessions.spawn(session(options.clone(), connector.clone(), taken.clone()));
    }
    while let Some(end) = sessions.join_next().await {
        end.map_err(other)??;
    }
    Ok(())
}

/// What the sink has seen.
#[derive(Default)]
struct Seen {
    messages: AtomicU64,
    handshakes: AtomicU64,
}

/// Throws the content away, up to and with CRLF.CRLF.
async fn swallow(line: &mut Line) -> io::Result<()> {
    // The line end of DATA counts for a content without a line.
    let mut end = b"\r\n".to_vec();
    loop {
        let piece = soon(line.fill_buf()).await?;
        let (length, before) = (piece.len(), end.len());
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        end.extend_from_slice(piece);
        if let Some(at) = memmem::find(&end, b"\r\n.\r\n") {
            line.consume(at + 5 - before);
            return Ok(());
        }
        line.consume(length);
        end.drain(..end.len().saturating_sub(4));
    }
}

async fn take(stream: TcpStream, acceptor: TlsAcceptor, seen: Arc<Seen>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut line: Line = BufReader::new(Box::new(stream));
    let mut replies = b"220 sink.example ESMTP\r\n".to_vec();
    let mut secure = false;
    loop {
        // A reply to what was pipelined goes with those to the rest.
        if line.buffer().is_empty() {
            soon(line.write_all(&replies)).await?;
            soon(line.flush()).await?;
            replies.clear();
        }
        let command = next_line(&mut line).await?.to_ascii_uppercase();
        let verb = command.split([' ', '\r']).next().unwrap_or_default();
        let reply = match verb {
            "EHLO" if secure => {
                "250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n"
            }
            "EHLO" => "250-sink.example\r\n250 STARTTLS\r\n",
            "STARTTLS" if !secure && line.buffer().is_empty() => {
                soon(line.write_all(b"220 2.0.0 go ahead\r\n")).await?;
                soon(line.flush()).await?;
                let stream = soon(acceptor.accept(line.into_inner())).await?;
                tell(stream.get_ref().1);
                seen.handshakes.fetch_add(1, Relaxed);
                line = BufReader::new(Box::new(stream));
                secure = true;
                continue;
            }
            "QUIT" => {
                soon(line.write_all(b"221 2.0.0 bye\r\n")).await?;
                return soon(line.flush()).await;
            }
            _ if !secure => "530 5.7.0 STARTTLS first\r\n",
            "DATA" => {
                replies.extend_from_slice(b"354 go on\r\n");
                soon(line.write_all(&replies)).await?;
                soon(line.flush()).await?;
                replies.clear();
                swallow(&mut line).await?;
                seen.messages.fetch_add(1, Relaxed);
                "250 2.0.0 taken\r\n"
            }
            "MAIL" | "RCPT" | "RSET" | "NOOP" => "250 2.0.0 OK\r\n",
            _ => "500 5.5.1 what?\r\n",
        };
        replies.extend_from_slice(reply.as_bytes());
    }
}

async fn sink(options: Sink) -> io::Result<()> {
    let chain = vec![CertificateDer::from_pem_file(&options.certificate).map_err(other)?];
    let key = PrivateKeyDer::from_pem_file(&options.key).map_err(other)?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(other)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error: rustls::Error| other(error))?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(options.listen).await?;
    let seen = Arc::new(Seen::default());
    let (mut ticks, mut told) = (tokio::time::interval(Duration::from_millis(10)), 0);
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A line that breaks is the relay's to mend; what was not taken is not counted.
                tokio::spawn(take(accepted?.0, acceptor.clone(), seen.clone()));
            }
            _ = ticks.tick() => {
                let messages = seen.messages.load(Relaxed);
                if messages != told {
                    told = messages;
                    println!("handshakes={} mesg={messages}", seen.handshakes.load(Relaxed));
                }
            }
        }
    }
}

#[tokio::main]
async fn main() -> io::Result<()> {
    match Command::parse() {
        Command::Source(options) => source(options).await,
        Command::Sink(options) => sink(options).await,
    }
}
