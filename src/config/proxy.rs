//! `proxy`: who connects in our place, to an upstream or to where tokens come from.

use std::fmt;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::names::{authority, is_host};
use super::reader::Section;
use super::secret;
use super::tree::Value;

/// The longest name or password, in octets (RFC 1929 2).
const LONGEST: usize = 255;
const WRITE_PROXY: &str = r#"write "socks5://host:1080" or "http://host:3128", with user:password@ before the host where it wants a login"#;

/// A proxy. It resolves the name of what it connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// What it speaks.
    pub protocol: ProxyProtocol,
    /// Its name or address, without brackets.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// Who we are to it.
    pub login: Option<ProxyLogin>,
}

/// How a proxy is asked for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// SOCKS 5 (RFC 1928).
    Socks5,
    /// CONNECT of HTTP (RFC 9110 9.3.6).
    Http,
}

/// A login at a proxy. Its name and password have 255 octets at most, and no control characters.
#[derive(Debug, Clone)]
pub struct ProxyLogin {
    /// The name; not empty.
    pub user: String,
    /// The password.
    pub password: SecretString,
}

/// Why a text names no proxy. It is the operator's to mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAProxy {
    /// It does not read as a URL.
    #[error("is not the URL of a proxy")]
    NoUrl,
    /// A proxy of another kind.
    #[error("is a URL, but of neither a SOCKS 5 nor an HTTP proxy")]
    Protocol,
    /// The host is not one.
    #[error("has no host name or IP address")]
    Host,
    /// More than scheme, login, host and port.
    #[error("has more than host and port")]
    Path,
    /// A name or a password that no proxy takes.
    #[error(
        "has a login that no proxy takes: user or password is missing, too long, or has control characters"
    )]
    Login,
}

impl Proxy {
    /// Reads a URL: `socks5://user:password@host:1080`, `http://host:3128`. What means something else in a URL is written
    /// `%XX` in the user and the password.
    ///
    /// # Errors
    /// Never shows what was written: a password may be in it.
    pub fn parse(text: &str) -> Result<Self, NotAProxy> {
        let url = Url::parse(text).map_err(|_| NotAProxy::NoUrl)?;
        let (protocol, usual_port) = match url.scheme() {
            "socks5" => (ProxyProtocol::Socks5, 1080),
            "http" => (ProxyProtocol::Http, 80),
            _ => return Err(NotAProxy::Protocol),
        };
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(NotAProxy::Path);
        }
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        if !is_host(host) {
            return Err(NotAProxy::Host);
        }
        let (host, port, login) = (host.to_owned(), url.port().unwrap_or(usual_port), login(&url)?);
        let has_password = |login: &ProxyLogin| !login.password.expose_secret().is_empty();
        // RFC 1929 2 wants one octet at least.
        if protocol == ProxyProtocol::Socks5 && !login.as_ref().is_none_or(has_password) {
            return Err(NotAProxy::Login);
        }
        Ok(Self { protocol, host, port, login })
    }

    /// Host and port, as they stand in a URL.
    #[must_use]
    pub fn authority(&self) -> String {
        authority(&self.host, self.port)
    }

    /// The URL with the login in it, for a library that takes one. In `socks5h` the `h` says that the proxy resolves names.
    #[must_use]
    pub fn url(&self) -> SecretString {
        let scheme = match self.protocol {
            ProxyProtocol::Socks5 => "socks5h",
            ProxyProtocol::Http => "http",
        };
        let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        let login = self.login.as_ref().map_or_else(String::new, |ProxyLogin { user, password }| {
            format!("{}:{}@", encode(user), encode(password.expose_secret()))
        });
        format!("{scheme}://{login}{}", self.authority()).into()
    }
}

/// The URL without the login.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protocol {
            ProxyProtocol::Socks5 => "socks5",
            ProxyProtocol::Http => "http",
        };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl PartialEq for ProxyLogin {
    fn eq(&self, other: &Self) -> bool {
        (&self.user, self.password.expose_secret()) == (&other.user, other.password.expose_secret())
    }
}

impl Eq for ProxyLogin {}

fn login(url: &Url) -> Result<Option<ProxyLogin>, NotAProxy> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let decode = |text: &str| {
        let decoded = percent_decode_str(text).decode_utf8().map_err(|_| NotAProxy::Login)?;
        let is_sound = decoded.len() <= LONGEST && !decoded.contains(char::is_control);
        if is_sound { Ok(decoded.into_owned()) } else { Err(NotAProxy::Login) }
    };
    let (user, password) = (decode(url.username())?, decode(url.password().unwrap_or_default())?);
    // HTTP separates the two with a colon (RFC 7617 2).
    if user.is_empty() || user.contains(':') {
        Err(NotAProxy::Login)
    } else {
        Ok(Some(ProxyLogin { user, password: password.into() }))
    }
}

/// Reads the key: a text, or the file or the environment variable that holds it.
pub(super) fn read(section: &mut Section<'_>, key: &'static str) -> Option<Proxy> {
    let node = section.node(key)?;
    let text = match &node.value {
        Value::Text(text) | Value::Untyped(text) if !text.contains('@') => SecretString::from(text.as_str()),
        Value::Text(_) | Value::Untyped(_) | Value::Table(_) => secret::read(section, key)?,
        other => {
            section.fault(&node.place, key, &format!("is {}, not a text", other.kind()), WRITE_PROXY);
            return None;
        }
    };
    match Proxy::parse(text.expose_secret()) {
        Ok(proxy) => Some(proxy),
        Err(fault) => {
            section.fault(&section.place_of(key), key, &fault.to_string(), WRITE_PROXY);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::NotAProxy::{Host, Login, NoUrl, Path, Protocol};
    use super::*;

    fn parts(proxy: &Proxy) -> (String, Option<(&str, &str)>) {
        let login = proxy.login.as_ref().map(|login| (login.user.as_str(), login.password.expose_secret()));
        (proxy.to_string(), login)
    }

    #[test]
    fn reads_proxies() {
        for (text, shown, login) in [
            ("socks5://127.0.0.1:1080", "socks5://127.0.0.1:1080", None),
            ("socks5://proxy.firm.example", "socks5://proxy.firm.example:1080", None),
            ("SOCKS5://[::1]:9", "socks5://[::1]:9", None),
            ("http://proxy:3128/", "http://proxy:3128", None),
            ("http://[2001:db8::1]", "http://[2001:db8::1]:80", None),
            ("http://anna:hush@proxy:3128", "http://proxy:3128", Some(("anna", "hush"))),
            ("socks5://a%40b:%C3%BC%3A%2F@h:1", "socks5://h:1", Some(("a@b", "\u{fc}:/"))),
            ("http://anna@h:1", "http://h:1", Some(("anna", ""))),
        ] {
            let proxy = Proxy::parse(text).unwrap();
            assert_eq!(parts(&proxy), (shown.to_owned(), login), "{text}");
            let again = Proxy::parse(&proxy.url().expose_secret().replace("socks5h", "socks5")).unwrap();
            assert_eq!(again, proxy, "{text}");
        }
        assert_ne!(Proxy::parse("http://a:b@h"), Proxy::parse("http://a:c@h"));
    }

    #[test]
    fn tells_what_is_none() {
        let long = format!("http://{}:x@h", "u".repeat(256));
        for (text, want) in [
            ("", NoUrl),
            ("127.0.0.1:1080", NoUrl),
            ("proxy:1080", Protocol),
            ("https://proxy:3128", Protocol),
            ("socks5h://proxy:3128", Protocol),
            ("socks5:proxy", Path),
            ("socks5://", Host),
            ("socks5://pro%20xy:1", Host),
            ("socks5://h:70000", NoUrl),
            ("socks5://h:1/x", Path),
            ("http://h?x", Path),
            ("http://h#x", Path),
            ("http://:x@h", Login),
            ("socks5://anna@h", Login),
            ("http://a%3Ab:x@h", Login),
            ("http://a:%0d%0ax@h", Login),
            ("http://a:%ff@h", Login),
            (&long, Login),
        ] {
            assert_eq!(Proxy::parse(text), Err(want), "{text}");
        }
    }

    #[test]
    fn shows_no_password() {
        let proxy = Proxy::parse("socks5://anna:hush@h:1").unwrap();
        assert!(!format!("{proxy:?} {proxy} {:?}", proxy.url()).contains("hush"));
    }
}
