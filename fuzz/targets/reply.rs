//! What an upstream says.

use mailsluice::smtp::extension::Capabilities;
use mailsluice::smtp::{Reply, ReplyError, ReplyParser};

use super::pieces;

/// The most lines that a reply may have.
const MAX_LINES: usize = 128;

/// Replies, one after the other.
pub(crate) fn reply(input: &[u8]) {
    let Some((&seed, text)) = input.split_first() else {
        return;
    };
    let [whole, others @ ..] = pieces::ways(seed, text).map(|pieces| read(&pieces));
    for other in others {
        assert_eq!(other, whole, "the way it was cut matters");
    }
    for reply in &whole.0 {
        check(reply);
    }
}

/// The replies, and what was wrong behind them.
fn read(pieces: &[&[u8]]) -> (Vec<Reply>, Option<ReplyError>) {
    let mut parser = ReplyParser::new();
    let mut replies = Vec::new();
    for piece in pieces {
        parser.push(piece);
        loop {
            match parser.next() {
                Ok(Some(reply)) => replies.push(reply),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(parser.next(), Err(error), "an error lasts");
                    return (replies, Some(error));
                }
            }
        }
    }
    (replies, None)
}

fn check(reply: &Reply) {
    assert!((200..=599).contains(&reply.code));
    assert!((1..=MAX_LINES).contains(&reply.lines.len()));
    assert!(reply.status.is_none_or(|status| u16::from(status.0) == reply.code / 100));
    let classes = [reply.is_positive(), reply.is_intermediate(), reply.is_transient(), reply.is_permanent()];
    assert_eq!(classes.iter().filter(|&&is| is).count(), 1);
    let text = reply.to_string();
    assert!(!text.contains(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')), "{text:?}");
    let capabilities = Capabilities::from_ehlo(reply);
    for name in &capabilities.auth {
        assert!(!name.is_empty() && !name.contains([' ', '\r', '\n']), "{name:?}");
    }
    // What we would say of it to others is one reply again.
    let mut parser = ReplyParser::new();
    parser.push(&reply.to_wire());
    let again = parser.next().expect("a reply").expect("a whole reply");
    assert_eq!((again.code, again.lines.len()), (reply.code, reply.lines.len()));
    assert!(!parser.has_rest());
}
