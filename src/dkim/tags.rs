//! Lists of tags (RFC 6376 3.2).

/// The tags of a record, in their order.
#[derive(Debug)]
pub(super) struct Tags<'a>(Vec<(&'a str, &'a str)>);

/// Why a text is no list of tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TagFault {
    /// It has another shape.
    Shape,
    /// A tag stands twice in it.
    Twice(String),
}

impl<'a> Tags<'a> {
    /// Reads a list.
    pub(super) fn parse(text: &'a str) -> Result<Self, TagFault> {
        let mut tags: Vec<(&str, &str)> = Vec::new();
        let text = text.trim_matches(is_white).strip_suffix(';').unwrap_or(text);
        for tag in text.split(';') {
            let (name, value) = tag.split_once('=').ok_or(TagFault::Shape)?;
            let name = name.trim_matches(is_white);
            if !is_name(name) {
                return Err(TagFault::Shape);
            }
            if tags.iter().any(|(other, _)| *other == name) {
                return Err(TagFault::Twice(name.to_owned()));
            }
            tags.push((name, value.trim_matches(is_white)));
        }
        Ok(Self(tags))
    }

    /// The value of a tag.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(other, _)| *other == name).map(|(_, value)| *value)
    }

    /// The tag that stands first.
    pub(super) fn first(&self) -> Option<&'a str> {
        self.0.first().map(|(name, _)| *name)
    }

    /// Name and value of all.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().copied()
    }
}

/// The words of a list with colons between them, as `h=`, `s=` and `t=` are.
pub(super) fn words(value: &str) -> impl Iterator<Item = &str> {
    value.split(':').map(|word| word.trim_matches(is_white))
}

/// White space that may stand between the parts (RFC 6376 2.8).
pub(super) fn is_white(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read() {
        for (text, want) in [
            ("v=DKIM1; k=rsa; p=AB=", Ok("v=DKIM1,k=rsa,p=AB=")),
            (" v = DKIM1 ;p= A B ; ", Ok("v=DKIM1,p=A B")),
            ("p=", Ok("p=")),
            ("P=a;p=b", Ok("P=a,p=b")),
            ("", Err(TagFault::Shape)),
            ("v=DKIM1;; p=A", Err(TagFault::Shape)),
            ("v=spf1 -all", Ok("v=spf1 -all")),
            ("hello", Err(TagFault::Shape)),
            ("\"v=DKIM1; p=A\"", Err(TagFault::Shape)),
            ("p=A; p=B", Err(TagFault::Twice("p".to_owned()))),
        ] {
            let read = Tags::parse(text).map(|tags| {
                tags.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
            });
            assert_eq!(read.as_deref(), want.as_deref(), "{text:?}");
        }
    }
}
