//! Over a proxy: what it is asked, what it may answer, and what that means for the mail and for the password.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use mailsluice::config::{Proxy, Security, Smtp};
use mailsluice::oauth::TokenUser;
use mailsluice::smtp::InstanceId;
use mailsluice::upstream::{
    ConnectCause, ConnectError, Connection, Connector, Credentials, Dial, DialError, Dialled, LoginError,
    Observer, Stage, Stream, Target, TcpDial,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, copy_bidirectional, duplex};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::support::upstream::{Authority, Script, Upstream};
use super::{TIMEOUTS, anna, recipients, send, smtp};

/// What the proxy says at its last step.
#[derive(Debug, Clone, Copy)]
enum Says {
    /// Yes, and connects to the upstream.
    Yes,
    /// These octets, and closes the connection.
    Octets(&'static [u8]),
    /// Nothing.
    Nothing,
}

/// A proxy before an upstream, in a test of its own: it notes what it is asked.
#[derive(Clone)]
struct ScriptedProxy {
    upstream: Upstream,
    says: Says,
    /// The login that it wants.
    login: Option<(&'static str, &'static str)>,
    /// Where it was asked to connect, and who was reached for that.
    asked: Arc<Mutex<Vec<String>>>,
}

impl ScriptedProxy {
    fn new(upstream: &Upstream, says: Says) -> Self {
        Self { upstream: upstream.clone(), says, login: None, asked: Arc::default() }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn note(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }

    /// Speaks what the first octet is of.
    async fn serve(self, mut client: impl Stream + 'static) {
        let mut first = [0];
        if client.read_exact(&mut first).await.is_err() {
            return;
        }
        let yes: &[u8] = match first[0] {
            5 if self.socks(&mut client).await => &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0],
            b'C' if self.http(&mut client).await => b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n",
            _ => return,
        };
        match self.says {
            Says::Yes => self.carry(client, yes).await,
            Says::Octets(octets) => drop(client.write_all(octets).await),
            Says::Nothing => std::future::pending().await,
        }
    }

    /// The greeting goes out together with the answer: a client that reads too far loses it.
    async fn carry(self, mut client: impl Stream, yes: &[u8]) {
        let (mut near, far) = duplex(64 * 1024);
        let upstream = self.upstream.clone();
        tokio::spawn(async move { upstream.serve(far).await });
        let mut greeting = vec![0; 512];
        let length = near.read(&mut greeting).await.unwrap();
        client.write_all(&[yes, &greeting[..length]].concat()).await.unwrap();
        let _ = copy_bidirectional(&mut client, &mut near).await;
    }

    /// RFC 1928 and RFC 1929, up to the request.
    async fn socks(&self, client: &mut impl Stream) -> bool {
        let methods = block(client).await;
        let method = if self.login.is_some() { 2 } else { 0 };
        if !methods.contains(&method) {
            client.write_all(&[5, 0xff]).await.unwrap();
            return false;
        }
        client.write_all(&[5, method]).await.unwrap();
        if let Some((user, password)) = self.login {
            assert_eq!(client.read_u8().await.unwrap(), 1);
            let given = (block(client).await, block(client).await);
            let good = given == (user.as_bytes().to_vec(), password.as_bytes().to_vec());
            client.write_all(&[1, u8::from(!good)]).await.unwrap();
            if !good {
                return false;
            }
        }
        let mut request = [0; 4];
        client.read_exact(&mut request).await.unwrap();
        assert_eq!(request[..3], [5, 1, 0]);
        let host = match request[3] {
            1 => std::net::Ipv4Addr::from(client.read_u32().await.unwrap()).to_string(),
            4 => std::net::Ipv6Addr::from(client.read_u128().await.unwrap()).to_string(),
            3 => String::from_utf8(block(client).await).unwrap(),
            other => panic!("address type {other}"),
        };
        self.note(format!("{host} port {}", client.read_u16().await.unwrap()));
        true
    }

    /// CONNECT, of which the first letter has been read.
    async fn http(&self, client: &mut impl Stream) -> bool {
        let mut head = b"C".to_vec();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let line = head.lines().next().unwrap().to_owned();
        let host = line.strip_prefix("connect ").unwrap().strip_suffix(" http/1.1").unwrap();
        assert!(head.contains(&format!("\r\nhost: {host}\r\n")), "{head}");
        self.note(host.to_owned());
        let authorized = match self.login {
            None => !head.contains("authorization"),
            // anna:hush
            Some(_) => head.contains("\r\nproxy-authorization: basic yw5uytpodxno\r\n"),
        };
        if !authorized {
            let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
            client.write_all(refusal).await.unwrap();
        }
        authorized
    }
}

/// Octets with their number before them.
async fn block(client: &mut impl Stream) -> Vec<u8> {
    let mut octets = vec![0; usize::from(client.read_u8().await.unwrap())];
    client.read_exact(&mut octets).await.unwrap();
    octets
}

#[async_trait]
impl Dial for ScriptedProxy {
    async fn dial(&self, target: &Target, _: Instant, _: &Observer) -> Result<Dialled, DialError> {
        self.note(format!("proxy {}:{}", target.host, target.port));
        let (ours, theirs): (DuplexStream, DuplexStream) = duplex(64 * 1024);
        tokio::spawn(self.clone().serve(theirs));
        // A proxy on this machine says nothing about where the upstream is.
        Ok(Dialled { stream: Box::new(ours), peer: "127.0.0.1:1080".parse().unwrap() })
    }
}

async fn open(dial: impl Dial + 'static, proxy: &str, config: Smtp) -> Result<Connection, ConnectError> {
    let config = Smtp { proxy: Some(Proxy::parse(proxy).unwrap()), ..config };
    let credentials = Credentials::of(&anna("secret"), None, TokenUser::default());
    let own = InstanceId::random();
    Connector::new(Arc::new(dial), config, credentials, "relay.firm.example", own).open().await
}

fn in_clear() -> Smtp {
    Smtp { allow_plaintext_auth: true, ..smtp() }
}

#[tokio::test(start_paused = true)]
async fn mail_goes_over_a_proxy() {
    for (proxy, login, host, asked) in [
        ("socks5://p", None, "smtp.firm.example", ["proxy p:1080", "smtp.firm.example port 25"]),
        ("socks5://p", None, "192.0.2.7", ["proxy p:1080", "192.0.2.7 port 25"]),
        ("socks5://p", None, "2001:db8::7", ["proxy p:1080", "2001:db8::7 port 25"]),
        ("socks5://anna:hush@[::1]:9", Some(()), "mx.example", ["proxy ::1:9", "mx.example port 25"]),
        ("http://p:3128", None, "smtp.firm.example", ["proxy p:3128", "smtp.firm.example:25"]),
        ("http://p:3128", None, "2001:db8::7", ["proxy p:3128", "[2001:db8::7]:25"]),
        ("http://anna:hush@p", Some(()), "mx.example", ["proxy p:80", "mx.example:25"]),
    ] {
        let upstream = Upstream::new(Script::default().with_login("PLAIN"));
        let mut dial = ScriptedProxy::new(&upstream, Says::Yes);
        dial.login = login.map(|()| ("anna", "hush"));
        let config = Smtp { host: host.to_owned(), ..in_clear() };
        let mut connection = open(dial.clone(), proxy, config).await.unwrap();
        assert_eq!(dial.asked(), asked, "{proxy}");
        assert_eq!((connection.host(), connection.address()), (&*format!("{host}:25"), None));
        let content = b"Subject: x\r\n\r\nHello\r\n".repeat(10_000);
        assert_eq!(super::verdicts(&send(&mut connection, &recipients(2), &content).await), "SS", "{proxy}");
        connection.quit().await;
        assert_eq!(upstream.messages()[0].content, content, "{proxy}");
    }
}

#[tokio::test(start_paused = true)]
async fn tls_is_spoken_with_the_upstream_behind_the_proxy() {
    let authority = Authority::new();
    for security in [Security::StartTls, Security::Tls] {
        for proxy in ["socks5://p", "http://p"] {
            let mut script =
                Script::default().with_login("PLAIN").with_tls(authority.server("smtp.firm.example"));
            script.implicit_tls = security == Security::Tls;
            let upstream = Upstream::new(script);
            // With TLS from the first octet it is the client that speaks first.
            let dial = QuietProxy(ScriptedProxy::new(&upstream, Says::Yes));
            let config = Smtp { security, tls: authority.tls(), ..smtp() };
            let connection = match security {
                Security::Tls => open(dial, proxy, config).await,
                _ => open(dial.0, proxy, config).await,
            };
            assert!(connection.is_ok(), "{proxy} {security:?}: {:?}", connection.err());
            assert_eq!(upstream.commands_of("AUTH").len(), 1);
        }
    }
}

/// The same, before an upstream that says nothing by itself.
#[derive(Clone)]
struct QuietProxy(ScriptedProxy);

#[async_trait]
impl Dial for QuietProxy {
    async fn dial(&self, _: &Target, _: Instant, _: &Observer) -> Result<Dialled, DialError> {
        let (ours, mut theirs) = duplex(64 * 1024);
        let proxy = self.0.clone();
        tokio::spawn(async move {
            let is_socks = theirs.read_u8().await.unwrap() == 5;
            let yes: &[u8] = if is_socks {
                assert!(proxy.socks(&mut theirs).await);
                &[5, 0, 0, 3, 2, b'm', b'x', 0, 25]
            } else {
                assert!(proxy.http(&mut theirs).await);
                b"HTTP/1.0 200 OK\r\n\r\n"
            };
            theirs.write_all(yes).await.unwrap();
            proxy.upstream.serve(theirs).await;
        });
        Ok(Dialled { stream: Box::new(ours), peer: "127.0.0.1:1080".parse().unwrap() })
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_proxy_says_instead_is_told_with_its_name_and_the_upstreams() {
    let refused = |code: u8| -> &'static [u8] {
        match code {
            1 => &[5, 1, 0, 1, 0, 0, 0, 0, 0, 0],
            2 => &[5, 2, 0, 1, 0, 0, 0, 0, 0, 0],
            4 => &[5, 4, 0, 1, 0, 0, 0, 0, 0, 0],
            _ => &[5, 5, 0, 1, 0, 0, 0, 0, 0, 0],
        }
    };
    let (socks, http) = ("socks5://anna:hush@p:1080", "http://anna:hush@p:3128");
    for (proxy, login, says, want, needs_a_person) in [
        (socks, "hush", Says::Octets(refused(1)), "the proxy answers: general socks server failure", false),
        (
            socks,
            "hush",
            Says::Octets(refused(2)),
            "the proxy answers: connection not allowed by ruleset",
            false,
        ),
        (socks, "hush", Says::Octets(refused(4)), "the proxy answers: host unreachable", false),
        (socks, "hush", Says::Octets(refused(5)), "the proxy answers: connection refused", false),
        (socks, "hush", Says::Octets(b""), "the proxy gave no answer: unexpected end of file", false),
        (
            socks,
            "hush",
            Says::Octets(b"HTTP/1.1 400 Bad Request"),
            "speaks another protocol; check scheme",
            true,
        ),
        (socks, "hush", Says::Nothing, "no answer from the proxy in time", false),
        (socks, "other", Says::Yes, "refuses the login; check user and password in proxy", true),
        ("socks5://p:1080", "hush", Says::Yes, "wants a login; write user:password@", true),
        (
            http,
            "hush",
            Says::Octets(b"HTTP/1.1 403 Forbidden\r\n\r\n"),
            "the proxy answers: 403 Forbidden",
            false,
        ),
        (http, "hush", Says::Octets(b"HTTP/1.1 502 Bad Gateway\r\n\r\n"), "answers: 502 Bad Gateway", false),
        (http, "hush", Says::Octets(b"HTTP/1.1 407 No\r\n\r\n"), "refuses the login; check user", true),
        (http, "hush", Says::Octets(b""), "the proxy gave no answer: it closed the connection", false),
        (
            http,
            "hush",
            Says::Octets(b"220 mx ESMTP\r\n"),
            "speaks another protocol; check scheme and port",
            true,
        ),
        (http, "hush", Says::Nothing, "no answer from the proxy in time", false),
        (
            "http://p:3128",
            "hush",
            Says::Octets(b"HTTP/1.1 407 No\r\n\r\n"),
            "wants a login; write user",
            true,
        ),
    ] {
        let upstream = Upstream::new(Script::default().with_login("PLAIN"));
        let mut dial = ScriptedProxy::new(&upstream, says);
        // The double looks at the login of HTTP only when there is one.
        dial.login = Some(("anna", login)).filter(|_| proxy.starts_with("socks5") || proxy == http);
        let started = Instant::now();
        let error = open(dial, proxy, in_clear()).await.err().unwrap();
        let shown = proxy.replace("anna:hush@", "");
        let begin = format!("connect to smtp.firm.example:25 over the proxy {shown}: ");
        let text = error.to_string();
        assert!(text.starts_with(&begin) && text.contains(want), "{proxy}: {text}");
        assert_eq!((error.stage, error.needs_a_person()), (Stage::Connect, needs_a_person), "{text}");
        assert!(!error.is_turned_away() && !format!("{text} {error:?}").contains("hush"), "{text}");
        assert!(started.elapsed() <= TIMEOUTS.connect, "{text}");
        assert_eq!(upstream.connections(), 0, "{text}");
    }
}

/// The proxy is on this machine: where the upstream is, nobody knows.
#[tokio::test(start_paused = true)]
async fn no_password_goes_in_clear_text_behind_a_proxy() {
    for host in ["smtp.firm.example", "127.0.0.1", "localhost"] {
        for proxy in ["socks5://127.0.0.1", "http://127.0.0.1"] {
            let upstream = Upstream::new(Script::default().with_login("PLAIN LOGIN"));
            let dial = ScriptedProxy::new(&upstream, Says::Yes);
            let config = Smtp { host: host.to_owned(), ..smtp() };
            let error = open(dial, proxy, config).await.err().unwrap();
            assert_eq!(error.cause, ConnectCause::Login(LoginError::OpenLine), "{host} {proxy}");
            assert!(upstream.commands_of("AUTH").is_empty());
        }
    }
}

#[tokio::test]
async fn reaches_a_proxy_over_tcp() {
    let upstream = Upstream::new(Script::default().with_login("PLAIN"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (proxy, address) = (ScriptedProxy::new(&upstream, Says::Yes), listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        for _ in 0..2 {
            let (client, from) = listener.accept().await.unwrap();
            assert_eq!(from.ip().to_string(), "127.0.0.9", "source_address is what the proxy sees");
            tokio::spawn(proxy.clone().serve(client));
        }
    });
    for scheme in ["socks5", "http"] {
        let source_address = Some("127.0.0.9".parse().unwrap());
        let config = Smtp { source_address, ..in_clear() };
        let mut connection =
            open(TcpDial::default(), &format!("{scheme}://{address}"), config).await.unwrap();
        assert_eq!(super::verdicts(&send(&mut connection, &recipients(1), b"x").await), "S");
        connection.quit().await;
    }
    serving.await.unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error =
        open(TcpDial::default(), &format!("http://{nobody}"), in_clear()).await.err().unwrap().to_string();
    let want = format!(
        "connect to smtp.firm.example:25 over the proxy http://{nobody}: connect to {nobody}: connection refused; check proxy"
    );
    assert_eq!(error, want);
}
