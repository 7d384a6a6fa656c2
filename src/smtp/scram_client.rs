//! SCRAM-SHA-256 (RFC 5802, RFC 7677), the client's side: its messages, and whether the server has proven that it knows us.
//! No I/O, no dice.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};

use super::sasl_prep::prepared;
use super::scram::{Malformed, ScramKeys, hmac, masked};
use crate::config::ScramVerifier;

/// The longest salt, in octets.
const MAX_SALT: usize = 1024;

/// What only the two ends of one TLS connection know (`tls-exporter`, RFC 9266): a login that is bound to it is worth nothing
/// to who sits between. Debug output does not show it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ChannelBinding(pub [u8; 32]);

impl std::fmt::Debug for ChannelBinding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChannelBinding")
    }
}

/// Whether a login is bound to its connection, as its first message says (RFC 5802 7, `gs2-cbind-flag`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BindingFlag {
    /// `n`: we can't.
    Unable,
    /// `y`: we could, and the server seems not to offer it: one that does sees that somebody has hidden its offer.
    NotOffered,
    /// `p`: by this.
    Bound(ChannelBinding),
}

/// Why a login with SCRAM ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScramFault {
    /// User or password can't be written in it.
    #[error("user or password holds a character that SCRAM does not take (RFC 4013)")]
    Prohibited,
    /// What the upstream says is not SCRAM.
    #[error("the upstream's message breaks the grammar of SCRAM")]
    Malformed(#[from] Malformed),
    /// The nonce is not ours with one of the upstream's behind it.
    #[error("the upstream does not repeat what we said: somebody may stand between us and it")]
    ForeignNonce,
    /// Too few iterations protect the password too little, too many keep us busy.
    #[error("the upstream wants the password hashed {0} times: 4096 to 1000000 are taken")]
    Iterations(u64),
    /// The upstream does not know the password, or says so of ours.
    #[error("the upstream has not proven that it knows us: somebody may stand between us and it")]
    NotProven,
}

/// A login with SCRAM under way.
pub(super) struct ScramClient {
    password: SecretString,
    gs2_header: String,
    /// What ties it to the connection.
    bound_to: Vec<u8>,
    /// The first message without its header.
    bare: String,
    nonce: String,
    /// What the server must sign with, once it is known.
    wanted: Option<[u8; 32]>,
    proven: bool,
}

impl ScramClient {
    /// A login that has not begun; `nonce` is printable, without commas and never used twice.
    pub(super) fn new(
        user: &str,
        password: &SecretString,
        nonce: String,
        binding: BindingFlag,
    ) -> Result<Self, ScramFault> {
        let user = prepared(user).filter(|user| !user.is_empty()).ok_or(ScramFault::Prohibited)?;
        let password = prepared(password.expose_secret()).ok_or(ScramFault::Prohibited)?;
        let (flag, data) = match binding {
            BindingFlag::Unable => ("n", &[][..]),
            BindingFlag::NotOffered => ("y", &[][..]),
            BindingFlag::Bound(ref binding) => ("p=tls-exporter", &binding.0[..]),
        };
        let gs2_header = format!("{flag},,");
        let bound_to = [gs2_header.as_bytes(), data].concat();
        let bare = format!("n={},r={nonce}", sasl_name(&user));
        let password = password.into_owned().into();
        Ok(Self { password, gs2_header, bound_to, bare, nonce, wanted: None, proven: false })
    }

    /// The client's first message.
    pub(super) fn first(&self) -> String {
        format!("{}{}", self.gs2_header, self.bare)
    }

    /// The client's final message, to the server's first: `r=nonces,s=salt,i=iterations`. It takes as long as the server wants
    /// the password hashed.
    pub(super) fn last(&mut self, server_first: &str) -> Result<String, ScramFault> {
        let mut parts = server_first.split(',');
        // A mandatory extension (`m=…`) would stand in front; none is known.
        let mut part = |name: &str| parts.next().and_then(|part| part.strip_prefix(name)).ok_or(Malformed);
        let (nonce, salt, iterations) = (part("r=")?, part("s=")?, part("i=")?);
        if nonce.len() <= self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return Err(ScramFault::ForeignNonce);
        }
        let salt = STANDARD.decode(salt).map_err(|_| Malformed)?;
        let is_number = !iterations.is_empty() && iterations.bytes().all(|digit| digit.is_ascii_digit());
        if salt.is_empty() || salt.len() > MAX_SALT || !is_number {
            return Err(Malformed.into());
        }
        let iterations = iterations.parse().unwrap_or(u64::MAX);
        let fits = u32::try_from(iterations).ok().filter(|times| ScramVerifier::ITERATIONS.contains(times));
        let times = fits.ok_or(ScramFault::Iterations(iterations))?;
        let keys = ScramKeys::derive(self.password.expose_secret(), &salt, times);
        let unsigned = format!("c={},r={nonce}", STANDARD.encode(&self.bound_to));
        let signed = format!("{},{server_first},{unsigned}", self.bare);
        let proof = masked(keys.client_key, hmac(&keys.stored_key, signed.as_bytes()));
        self.wanted = Some(hmac(&keys.server_key, signed.as_bytes()));
        Ok(format!("{unsigned},p={}", STANDARD.encode(proof)))
    }

    /// Verifies the server's final message, `v=signature`. With `e=…` it refuses us, and the reply that follows says so.
    pub(super) fn verify(&mut self, server_final: &str) -> Result<(), ScramFault> {
        if server_final.starts_with("e=") {
            return Ok(());
        }
        let signature = server_final.split(',').next().and_then(|part| part.strip_prefix("v="));
        let signature = STANDARD.decode(signature.ok_or(Malformed)?).map_err(|_| Malformed)?;
        // Who does not know it can't come nearer to it by trying: there is one try for each login.
        self.proven = self.wanted.is_some_and(|wanted| wanted[..] == signature[..]);
        self.proven()
    }

    /// Whether the server has proven that it knows the password. A login that it accepts without that is none.
    pub(super) fn proven(&self) -> Result<(), ScramFault> {
        if self.proven { Ok(()) } else { Err(ScramFault::NotProven) }
    }
}

/// A name in which `,` and `=` are written `=2C` and `=3D` (RFC 5801 4).
pub(super) fn sasl_name(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

#[cfg(test)]
mod tests {
    use super::super::scram::ClientFirst;
    use super::super::scram::tests::verifier;
    use super::*;

    const OURS: &str = "rOprNGfwEbeRWgbNEkqO";
    const FIRST: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn client(binding: BindingFlag) -> ScramClient {
        ScramClient::new("user", &"pencil".into(), OURS.into(), binding).unwrap()
    }

    #[test]
    fn the_example_of_rfc_7677() {
        let mut client = client(BindingFlag::Unable);
        assert_eq!(client.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let want = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
            p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(client.last(FIRST).unwrap(), want);
        assert_eq!(client.proven(), Err(ScramFault::NotProven), "not before it has shown it");
        client.verify("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").unwrap();
        assert_eq!(client.proven(), Ok(()));
    }

    #[test]
    fn what_is_said_of_the_binding() {
        let data = ChannelBinding([7; 32]);
        let bound = STANDARD.encode([b"p=tls-exporter,,".as_slice(), &data.0].concat());
        for (flag, header, binding) in [
            (BindingFlag::Unable, "n,,", "biws".to_owned()),
            (BindingFlag::NotOffered, "y,,", "eSws".to_owned()),
            (BindingFlag::Bound(data), "p=tls-exporter,,", bound),
        ] {
            let mut client = client(flag);
            assert!(client.first().starts_with(&format!("{header}n=user,")), "{flag:?}");
            let last = client.last(FIRST).unwrap();
            assert!(last.starts_with(&format!("c={binding},r={OURS}%")), "{last}");
        }
    }

    #[test]
    fn servers_that_are_not_believed() {
        let long = format!("r={OURS}x,s={},i=4096", STANDARD.encode([0; MAX_SALT + 1]));
        for (said, want) in [
            ("r=rOprNGfwEbeRWgbNEkqO,s=AAAA,i=4096", ScramFault::ForeignNonce),
            ("r=another,s=AAAA,i=4096", ScramFault::ForeignNonce),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=4095", ScramFault::Iterations(4095)),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=1000001", ScramFault::Iterations(1_000_001)),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=4294971392", ScramFault::Iterations(4_294_971_392)),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=99999999999999999999", ScramFault::Iterations(u64::MAX)),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=-1", Malformed.into()),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=+4096", Malformed.into()),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=", Malformed.into()),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=,i=4096", Malformed.into()),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=%,i=4096", Malformed.into()),
            ("m=x,r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=4096", Malformed.into()),
            (&long, Malformed.into()),
            ("", Malformed.into()),
        ] {
            assert_eq!(client(BindingFlag::Unable).last(said), Err(want), "{said}");
        }
        for (said, want) in [
            ("v=AAAA", ScramFault::NotProven),
            ("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=", Malformed.into()),
            ("v=%", Malformed.into()),
            ("", Malformed.into()),
        ] {
            let mut client = client(BindingFlag::Unable);
            client.last(FIRST).unwrap();
            assert_eq!(client.verify(said), Err(want), "{said}");
        }
        let mut refused = client(BindingFlag::Unable);
        refused.last(FIRST).unwrap();
        assert_eq!(refused.verify("e=invalid-proof"), Ok(()), "the reply that follows says it");
        assert_eq!(refused.proven(), Err(ScramFault::NotProven));
    }

    /// Our own server takes what our own client says, whatever is in the name.
    #[test]
    fn both_sides_fit() {
        for (user, password) in [("user", "pencil"), ("a,b=c", "x=,y"), ("J\u{fc}rg", "p\u{e4}\u{df}")] {
            let mut client =
                ScramClient::new(user, &password.into(), OURS.into(), BindingFlag::Unable).unwrap();
            let first = ClientFirst::parse(&client.first()).unwrap();
            assert_eq!(first.name, user);
            let server = first.challenge("server", verifier(password, b"salt", 4096));
            let last = client.last(&server.message).unwrap();
            client.verify(&server.judge(&last).unwrap().unwrap()).unwrap();
            assert_eq!(client.proven(), Ok(()));
        }
    }
}
