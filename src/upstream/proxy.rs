//! Over a proxy to an upstream: SOCKS 5 (RFC 1928, RFC 1929) and CONNECT of HTTP (RFC 9110 9.3.6).
//!
//! The proxy resolves the upstream's name and chooses its address. Nothing of what follows is known to it but that: TLS is
//! spoken with the upstream itself.

use std::net::{IpAddr, SocketAddr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use secrecy::ExposeSecret as _;
use tokio::time::{Instant, timeout_at};
use tokio_socks::tcp::Socks5Stream;
use tokio_socks::{Error as SocksError, TargetAddr};

use super::dial::{Dial, Dialled, Target};
use super::dial_error::{DialError, TunnelFault};
use super::observer::Observer;
use super::step::StepFinding;
use super::stream::Stream;
use crate::config::{Proxy, ProxyLogin, ProxyProtocol};

/// A way to a server that stands.
pub(crate) struct Reached {
    pub(crate) stream: Box<dyn Stream>,
    /// The server's address; `None` when only a proxy knows it.
    pub(crate) address: Option<SocketAddr>,
}

/// Reaches a server before the deadline, itself or over the proxy.
pub(crate) async fn reach(
    dial: &dyn Dial,
    (server, proxy): (&Target, Option<&Proxy>),
    deadline: Instant,
    observer: &Observer,
) -> Result<Reached, DialError> {
    let Some(proxy) = proxy else {
        let Dialled { stream, peer } = dial.dial(server, deadline, observer).await?;
        observer.found(|| StepFinding::Connected(peer));
        return Ok(Reached { stream, address: Some(peer) });
    };
    let fault = |fault| DialError::Proxy { proxy: proxy.to_string(), target: server.authority(), fault };
    let target = Target { host: proxy.host.clone(), port: proxy.port, source_address: server.source_address };
    let dialled = dial.dial(&target, deadline, observer).await;
    let stream = dialled.map_err(|error| fault(TunnelFault::Unreachable(Box::new(error))))?.stream;
    let tunnel = async {
        match proxy.protocol {
            ProxyProtocol::Socks5 => over_socks(stream, proxy, server).await,
            ProxyProtocol::Http => over_http(stream, proxy, server).await,
        }
    };
    let stream = timeout_at(deadline, tunnel).await.unwrap_or(Err(TunnelFault::TimedOut)).map_err(fault)?;
    observer.found(|| StepFinding::Tunnelled(proxy.to_string()));
    Ok(Reached { stream, address: None })
}

async fn over_socks(
    stream: Box<dyn Stream>,
    proxy: &Proxy,
    server: &Target,
) -> Result<Box<dyn Stream>, TunnelFault> {
    let target = match server.bare_host().parse::<IpAddr>() {
        Ok(ip) => TargetAddr::Ip(SocketAddr::new(ip, server.port)),
        Err(_) => TargetAddr::Domain(server.bare_host().into(), server.port),
    };
    let tunnel = match &proxy.login {
        None => Socks5Stream::connect_with_socket(stream, target).await,
        Some(ProxyLogin { user, password }) => {
            let password = password.expose_secret();
            Socks5Stream::connect_with_password_and_socket(stream, target, user, password).await
        }
    };
    Ok(tunnel.map_err(|error| of_socks(&error))?.into_inner())
}

fn of_socks(error: &SocksError) -> TunnelFault {
    match error {
        SocksError::PasswordAuthFailure(_) => TunnelFault::Login,
        SocksError::AuthorizationRequired | SocksError::NoAcceptableAuthMethods => TunnelFault::LoginWanted,
        SocksError::Io(error) => TunnelFault::Broken(error.kind().to_string()),
        SocksError::InvalidResponseVersion
        | SocksError::UnknownAuthMethod
        | SocksError::InvalidReservedByte
        | SocksError::UnknownAddressType => TunnelFault::OtherProtocol,
        // The rest are the answers that RFC 1928 6 has.
        other => TunnelFault::Refused(other.to_string().to_lowercase()),
    }
}

async fn over_http(
    stream: Box<dyn Stream>,
    proxy: &Proxy,
    server: &Target,
) -> Result<Box<dyn Stream>, TunnelFault> {
    let authority = server.authority();
    let mut request = Request::builder().method(Method::CONNECT).uri(&authority).header(HOST, &authority);
    if let Some(login) = &proxy.login {
        request = request.header(PROXY_AUTHORIZATION, basic(login)?);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|_| TunnelFault::OtherProtocol)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| of_http(&e))?;
    let asked = async {
        let response = sender.send_request(request).await.map_err(|error| of_http(&error))?;
        match response.status() {
            status if status.is_success() => {
                hyper::upgrade::on(response).await.map_err(|error| of_http(&error))
            }
            StatusCode::PROXY_AUTHENTICATION_REQUIRED if proxy.login.is_none() => {
                Err(TunnelFault::LoginWanted)
            }
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => Err(TunnelFault::Login),
            status => Err(TunnelFault::Refused(status.to_string())),
        }
    };
    let carried = async { connection.with_upgrades().await.map_err(|error| of_http(&error)) };
    // What the upstream has said meanwhile comes with the connection.
    let (upgraded, ()) = tokio::try_join!(asked, carried)?;
    Ok(Box::new(TokioIo::new(upgraded)))
}

/// `Proxy-Authorization` (RFC 7617).
fn basic(ProxyLogin { user, password }: &ProxyLogin) -> Result<HeaderValue, TunnelFault> {
    let encoded = STANDARD.encode(format!("{user}:{}", password.expose_secret()));
    let mut value = HeaderValue::try_from(format!("Basic {encoded}")).map_err(|_| TunnelFault::Login)?;
    value.set_sensitive(true);
    Ok(value)
}

fn of_http(error: &hyper::Error) -> TunnelFault {
    if error.is_parse() {
        return TunnelFault::OtherProtocol;
    }
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return TunnelFault::Broken("it closed the connection".to_owned());
    }
    TunnelFault::Broken(error.to_string())
}
