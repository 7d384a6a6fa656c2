//! Where a request goes.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::control::view::ROOT;

/// Path and query of a request, each part encoded.
#[derive(Debug)]
pub(super) struct RequestPath(String);

impl RequestPath {
    /// A path below the root of the interface, from its segments.
    pub(super) fn path(segments: &[&str]) -> Self {
        let mut target = ROOT.to_owned();
        for segment in segments {
            target.push('/');
            target.extend(utf8_percent_encode(segment, RESERVED));
        }
        Self(target)
    }

    /// As it stands in a request.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Adds a parameter to the query when it has a value.
    pub(super) fn with(mut self, name: &str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            self.0.push(if self.0.contains('?') { '&' } else { '?' });
            self.0.push_str(name);
            self.0.push('=');
            self.0.extend(utf8_percent_encode(value, RESERVED));
        }
        self
    }
}

/// All but the unreserved characters (RFC 3986 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_encoded() {
        let target = RequestPath::path(&["queue", "../x y"])
            .with("a", None)
            .with("b", Some("ü&="))
            .with("c", Some("+"));
        assert_eq!(target.0, "/api/v1/queue/..%2Fx%20y?b=%C3%BC%26%3D&c=%2B");
    }
}
