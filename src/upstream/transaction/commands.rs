//! The commands of a transaction as they go out, with the parameters that the upstream knows.

use std::borrow::Cow;
use std::fmt::Display;

use super::Transaction;
use super::progress::Verb;
use crate::mail::{Address, Body, RecipientRequest};
use crate::upstream::connection::Connection;

impl Connection {
    /// A command as it goes out, with its parameters.
    pub(super) fn line(&self, command: Verb, transaction: &Transaction<'_>) -> String {
        match command {
            Verb::Mail => {
                let path =
                    transaction.reverse_path.address().map_or(Cow::Borrowed(""), |path| self.path(path));
                format!("MAIL FROM:<{path}>{}\r\n", self.parameters(transaction))
            }
            Verb::Rcpt(index) => {
                let parameters = self.recipient_parameters(transaction.requests.recipients.get(index));
                format!("RCPT TO:<{}>{parameters}\r\n", self.path(&transaction.recipients[index]))
            }
            Verb::Data => "DATA\r\n".to_owned(),
        }
    }

    /// An address as the upstream knows it. One that it can't know is told as it is, for it to refuse.
    fn path<'a>(&self, address: &'a Address) -> Cow<'a, str> {
        self.offer().path(address).unwrap_or(Cow::Borrowed(address.as_str()))
    }

    /// The parameters of MAIL that the upstream knows.
    fn parameters(&self, transaction: &Transaction<'_>) -> String {
        let offered = &self.capabilities;
        let mut parameters = String::new();
        if offered.size.is_some() && !transaction.content.is_empty() {
            parameters = format!(" SIZE={}", transaction.content.len());
        }
        if offered.eight_bit_mime && transaction.body == Body::EightBitMime {
            parameters += " BODY=8BITMIME";
        }
        if offered.smtputf8 && transaction.smtputf8 {
            parameters += " SMTPUTF8";
        }
        if let Some(request) = transaction.requests.message {
            let (ret, id) = (request.ret.filter(|_| offered.dsn), request.envelope_id.as_ref());
            add(&mut parameters, "RET", ret);
            add(&mut parameters, "ENVID", id.filter(|_| offered.dsn));
            add(&mut parameters, "MT-PRIORITY", request.priority.filter(|_| offered.mt_priority));
        }
        parameters
    }

    /// The parameters of RCPT that the upstream knows (RFC 3461 5.2.1).
    fn recipient_parameters(&self, request: Option<&RecipientRequest>) -> String {
        let mut parameters = String::new();
        if let Some(request) = request.filter(|_| self.capabilities.dsn) {
            add(&mut parameters, "NOTIFY", request.notify);
            add(&mut parameters, "ORCPT", request.original.as_ref());
        }
        parameters
    }
}

/// Appends ` NAME=value` when there is a value.
fn add(parameters: &mut String, name: &str, value: Option<impl Display>) {
    parameters.extend(value.map(|value| format!(" {name}={value}")));
}
