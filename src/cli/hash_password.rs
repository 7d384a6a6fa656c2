//! `mailsluice hash-password`

use std::io::{self, BufRead as _, IsTerminal as _};

use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use super::dialogue::hidden;
use super::failure::Failure;
use super::output;
use crate::policy::users::{argon2id_hash, scram_verifier};

/// The longest password, in octets.
const LONGEST: u64 = 4096;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Print a verifier for SCRAM-SHA-256 instead: password = { scram = "…" }
    #[arg(long)]
    scram: bool,
}

/// Prints what the configuration needs of a password, and nothing else.
pub(super) fn execute(options: &Options) -> Result<(), Failure> {
    let password = if io::stdin().is_terminal() { typed()? } else { piped(io::stdin().lock())? };
    if options.scram {
        return output::text(&scram_verifier(&password).to_text());
    }
    output::text(&argon2id_hash(&password).map_err(|error| Failure::Failed(error.into()))?)
}

/// Twice from the terminal, without echo.
fn typed() -> Result<SecretString, Failure> {
    let password = hidden("Password: ")?;
    if password.expose_secret() != hidden("The same again: ")?.expose_secret() {
        return Err(Failure::new("the two passwords are not the same: try again"));
    }
    checked(password)
}

/// The first line.
fn piped(input: impl io::BufRead) -> Result<SecretString, Failure> {
    let mut line = String::new();
    let read = input.take(LONGEST + 2).read_line(&mut line);
    read.map_err(|error| Failure::Failed(anyhow::Error::new(error).context("cannot read the password")))?;
    let text = line.strip_suffix('\n').unwrap_or(&line);
    checked(text.strip_suffix('\r').unwrap_or(text).into())
}

fn checked(password: SecretString) -> Result<SecretString, Failure> {
    let text = password.expose_secret();
    if text.is_empty() {
        return Err(Failure::new("the password is empty: give it on stdin, in one line"));
    }
    if text.len() as u64 > LONGEST || text.contains('\0') {
        return Err(Failure::new("the password is longer than 4096 octets, or holds a NUL character"));
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_one_line() {
        for (input, want) in [
            (&b"secret\n"[..], Some("secret")),
            (b"secret", Some("secret")),
            (b" two words \r\nmore\n", Some(" two words ")),
            ("pä ss\n".as_bytes(), Some("pä ss")),
            (b"\n", None),
            (b"", None),
            (b"a\0b\n", None),
            (b"\xff\n", None),
        ] {
            let got = piped(input).ok();
            assert_eq!(got.as_ref().map(ExposeSecret::expose_secret), want, "{input:?}");
        }
        assert!(piped(&[b'x'; LONGEST as usize][..]).is_ok());
        assert!(piped(&[b'x'; LONGEST as usize + 1][..]).is_err());
    }
}
