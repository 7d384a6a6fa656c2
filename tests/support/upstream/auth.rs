//! Logins at the scriptable upstream.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use mailsluice::smtp::scram::ScramKeys;
use sha2::{Digest as _, Sha256};

use super::session::{Flow, Session};
use super::{Act, Step};

const CHALLENGE: &str = "<1896.697170952@upstream.example>";
const SALT: &[u8] = b"of the upstream";

impl Session {
    pub(super) async fn auth(&mut self, line: &str) -> io::Result<Flow> {
        if self.act(Step::Auth) != Act::Normal {
            return self.play(Step::Auth, "235 2.7.0 welcome\r\n").await;
        }
        let mut words = line.split(' ').skip(1);
        let mechanism = words.next().unwrap_or_default();
        let initial = words.next().map(str::to_owned);
        if matches!(mechanism, "XOAUTH2" | "OAUTHBEARER") {
            return self.token(mechanism, initial).await;
        }
        let Some((user, password)) = self.upstream.script().login else {
            return self.say("503 5.5.1 no AUTH here\r\n").await;
        };
        let mut user = user;
        let good = match mechanism {
            "PLAIN" => {
                let answer = self.answer(initial, "").await?;
                let others = self.upstream.script().others;
                user = others
                    .into_iter()
                    .find(|other| answer.starts_with(&format!("\0{other}\0")))
                    .unwrap_or(user);
                answer == format!("\0{user}\0{password}")
            }
            "LOGIN" => {
                let given = self.answer(initial, "Username:").await?;
                self.answer(None, "Password:").await? == password && given == user
            }
            "CRAM-MD5" => self.answer(None, CHALLENGE).await? == format!("{user} {}", digest(&password)),
            "SCRAM-SHA-256" | "SCRAM-SHA-256-PLUS" => {
                let first = self.answer(initial, "").await?;
                self.scram(&first, mechanism.ends_with("-PLUS"), (&user, &password)).await?
            }
            _ => return self.say("504 5.5.4 unknown mechanism\r\n").await,
        };
        if !good {
            return self.say("535 5.7.8 bad credentials\r\n").await;
        }
        self.user = Some(user);
        self.say("235 2.7.0 welcome\r\n").await
    }

    /// The rest of a login with SCRAM. A client that says `y` though this server offers more has been lied to.
    async fn scram(&mut self, first: &str, plus: bool, (user, password): (&str, &str)) -> io::Result<bool> {
        let script = self.upstream.script();
        let offers_plus = script.extensions.iter().any(|line| line.contains("SCRAM-SHA-256-PLUS"));
        let Some((flag, bare)) = first.split_once(",,") else { return Ok(false) };
        let fits = match flag {
            "n" => !plus,
            "y" => !plus && !offers_plus,
            "p=tls-exporter" => plus && self.binding.is_some(),
            _ => false,
        };
        let Some((name, nonce)) = bare.split_once(",r=") else { return Ok(false) };
        let ours = format!("r={nonce}upstream,s={},i={}", STANDARD.encode(SALT), script.iterations);
        let last = self.answer(None, &ours).await?;
        let binding = self.binding.filter(|_| plus).map(Vec::from).unwrap_or_default();
        let bound = STANDARD.encode([format!("{flag},,").into_bytes(), binding].concat());
        let Some((unsigned, proof)) = last.split_once(",p=") else { return Ok(false) };
        let keys = ScramKeys::derive(password, SALT, script.iterations);
        let signed = format!("{bare},{ours},{unsigned}");
        let mask = hmac(&keys.stored_key, &signed);
        let proof = STANDARD.decode(proof).unwrap_or_default();
        let key: Vec<u8> = proof.iter().zip(mask).map(|(octet, mask)| octet ^ mask).collect();
        let knows = Sha256::digest(key)[..] == keys.stored_key;
        if !fits
            || !knows
            || name != format!("n={user}")
            || unsigned != format!("c={bound},r={nonce}upstream")
        {
            return Ok(false);
        }
        let proof = format!("v={}", STANDARD.encode(hmac(&keys.server_key, &signed)));
        Ok(self.answer(None, &proof).await?.is_empty())
    }

    async fn token(&mut self, mechanism: &str, initial: Option<String>) -> io::Result<Flow> {
        let script = self.upstream.script();
        let said = self.answer(initial, "").await?;
        let part = |name: &str| said.split('\u{1}').find_map(|part| part.strip_prefix(name));
        let user = match mechanism {
            "XOAUTH2" => part("user="),
            _ => part("n,a=").and_then(|user| user.strip_suffix(',')),
        };
        let token = part("auth=Bearer ").filter(|_| said.ends_with("\u{1}\u{1}"));
        let (Some(user), Some(token)) = (user, token) else {
            return self.say("501 5.5.2 malformed\r\n").await;
        };
        self.upstream.record().tokens.push(token.to_owned());
        if script.tokens.iter().any(|good| good == token) {
            self.user = Some(user.to_owned());
            return self.say("235 2.7.0 welcome\r\n").await;
        }
        if let Some(error) = script.token_error {
            let end = self.answer(None, &error).await?;
            if end != if mechanism == "XOAUTH2" { "" } else { "\u{1}" } {
                return self.say("501 5.5.2 malformed\r\n").await;
            }
        }
        self.say(&format!("{}\r\n", script.token_refusal)).await
    }

    /// The client's answer to a challenge, decoded.
    async fn answer(&mut self, initial: Option<String>, challenge: &str) -> io::Result<String> {
        let encoded = if let Some(initial) = initial {
            initial
        } else {
            self.say(&format!("334 {}\r\n", STANDARD.encode(challenge))).await?;
            self.line().await?
        };
        Ok(STANDARD
            .decode(encoded)
            .ok()
            .and_then(|octets| String::from_utf8(octets).ok())
            .unwrap_or_default())
    }
}

fn digest(password: &str) -> String {
    let mut mac = Hmac::<md5::Md5>::new_from_slice(password.as_bytes()).unwrap();
    mac.update(CHALLENGE.as_bytes());
    mac.finalize().into_bytes().iter().fold(String::new(), |hex, octet| hex + &format!("{octet:02x}"))
}

fn hmac(key: &[u8], text: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}
