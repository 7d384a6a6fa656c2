//! Fields that are lists of mailboxes, and where such a list can be parted.

use super::header::{Field, fold};

/// Fields that are lists of mailboxes (RFC 5322 3.6.2, 3.6.3, 3.6.6, and such as are in use).
const NAMES: [&str; 18] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "Resent-From",
    "Resent-Sender",
    "Resent-To",
    "Resent-Cc",
    "Resent-Bcc",
    "Resent-Reply-To",
    "Disposition-Notification-To",
    "Return-Receipt-To",
    "Errors-To",
    "Mail-Followup-To",
    "Mail-Reply-To",
    "Apparently-To",
];

/// Whether a field is a list of mailboxes.
#[must_use]
pub fn is_address_list(field: &Field<'_>) -> bool {
    NAMES.iter().any(|name| field.is(name))
}

/// Reads a list octet by octet, and knows the commas that part mailboxes from those in quoted strings, comments and routes.
#[derive(Debug, Clone, Copy, Default)]
pub struct ListScanner {
    escaped: bool,
    quoted: bool,
    in_angle: bool,
    /// Comments within comments.
    depth: u32,
}

impl ListScanner {
    /// Takes the next octet of the list, and tells whether it is a comma between two mailboxes.
    pub fn is_comma(&mut self, octet: u8) -> bool {
        if std::mem::take(&mut self.escaped) {
            return false;
        }
        match octet {
            b'\\' => self.escaped = self.quoted || self.depth > 0,
            b'"' if self.depth == 0 => self.quoted = !self.quoted,
            _ if self.quoted => {}
            b'(' => self.depth = self.depth.saturating_add(1),
            b')' => self.depth = self.depth.saturating_sub(1),
            _ if self.depth > 0 => {}
            b'<' => self.in_angle = true,
            b'>' => self.in_angle = false,
            b',' => return !self.in_angle,
            _ => {}
        }
        false
    }
}

/// Writes a list as a field with its line end, folded behind the commas between mailboxes too, whether a space stands there
/// or not.
#[must_use]
pub fn fold_list(name: &str, list: &[u8]) -> Vec<u8> {
    let mut scanner = ListScanner::default();
    let mut spaced = Vec::with_capacity(list.len() + list.len() / 16);
    for &octet in list {
        spaced.push(octet);
        if scanner.is_comma(octet) {
            spaced.push(b' ');
        }
    }
    fold(name, &spaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_commas_between_mailboxes() {
        for (list, want) in [
            ("a@x,b@x", &[3][..]),
            ("\"a, \\\", b\" <a@x>,b@x", &[16]),
            ("a@x (b, (c, \\) ,) d), b@x", &[20]),
            ("<@a,@b:c@d>,e@f", &[11]),
            ("A: a@x,b@x;, c@x", &[6, 11]),
            ("a, \"b", &[1]),
        ] {
            let mut scanner = ListScanner::default();
            let found: Vec<_> =
                list.bytes().enumerate().filter(|&(_, b)| scanner.is_comma(b)).map(|(i, _)| i).collect();
            assert_eq!(found, want, "{list}");
        }
    }
}
