//! Lists of tags, `v=DKIM1; p=…`: signatures and keys of DKIM (RFC 6376 3.2), policies of DMARC (RFC 7489 6.4).

use std::collections::BTreeSet;

/// The tags of a list, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tags<'a>(Vec<(&'a str, &'a str)>);

/// Why a text is no list of tags.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TagFault {
    /// It has another shape.
    #[error("it is no list of tags, each as name=value with ; between")]
    Shape,
    /// A tag stands twice in it.
    #[error("the tag {0} stands twice in it")]
    Twice(String),
}

impl<'a> Tags<'a> {
    /// Reads a list as readers must: whatever is wrong with it, it says nothing at all.
    ///
    /// # Errors
    /// When something in it is no tag, or a tag stands twice.
    pub fn parse(text: &'a str) -> Result<Self, TagFault> {
        let mut names = BTreeSet::new();
        let read = |part: &'a str| {
            let (name, value) = tag(part).ok_or(TagFault::Shape)?;
            if names.insert(name) { Ok((name, value)) } else { Err(TagFault::Twice(name.to_owned())) }
        };
        parts(text).map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Reads what can be read, as those do who only want to know what somebody meant.
    #[must_use]
    pub fn readable(text: &'a str) -> Self {
        Self(parts(text).filter_map(tag).collect())
    }

    /// The value of a tag; of several of a name that of the first.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// Name and value of the tag in that place, counted from 0.
    #[must_use]
    pub fn at(&self, place: usize) -> Option<(&'a str, &'a str)> {
        self.0.get(place).copied()
    }

    /// Name and value of all.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().copied()
    }
}

/// The words of a list with colons between them, as `h=`, `s=` and `t=` are.
pub fn words(value: &str) -> impl Iterator<Item = &str> {
    value.split(':').map(|word| word.trim_matches(is_white))
}

/// Whether it is white space that may stand between the parts (RFC 6376 2.8).
#[must_use]
pub fn is_white(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    let text = text.trim_matches(is_white);
    text.strip_suffix(';').unwrap_or(text).split(';')
}

fn tag(part: &str) -> Option<(&str, &str)> {
    let (name, value) = part.split_once('=')?;
    let name = name.trim_matches(is_white);
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'_');
    is_name.then(|| (name, value.trim_matches(is_white)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read() {
        let joined = |tags: &Tags<'_>| {
            tags.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
        };
        for (text, want, readable) in [
            ("v=DKIM1; k=rsa; p=AB=", Ok("v=DKIM1,k=rsa,p=AB="), "v=DKIM1,k=rsa,p=AB="),
            (" v = DMARC1 ;p= A B ; ", Ok("v=DMARC1,p=A B"), "v=DMARC1,p=A B"),
            ("p=", Ok("p="), "p="),
            ("P=a;p=b", Ok("P=a,p=b"), "P=a,p=b"),
            ("rua=mailto:a@b.example?x=y", Ok("rua=mailto:a@b.example?x=y"), "rua=mailto:a@b.example?x=y"),
            ("v=DMARC1 p=none", Ok("v=DMARC1 p=none"), "v=DMARC1 p=none"),
            ("v=spf1 -all", Ok("v=spf1 -all"), "v=spf1 -all"),
            ("", Err(TagFault::Shape), ""),
            ("v=DKIM1;; p=A", Err(TagFault::Shape), "v=DKIM1,p=A"),
            ("v=DMARC1; none", Err(TagFault::Shape), "v=DMARC1"),
            ("1v=DMARC1; p=A", Err(TagFault::Shape), "p=A"),
            ("\"v=DKIM1; p=A\"", Err(TagFault::Shape), "p=A\""),
            ("p=A; p=B", Err(TagFault::Twice("p".to_owned())), "p=A,p=B"),
        ] {
            let read = Tags::parse(text);
            assert_eq!(read.as_ref().map(joined), want.as_ref().map(|list| (*list).to_owned()), "{text:?}");
            assert_eq!(joined(&Tags::readable(text)), readable, "{text:?}");
        }
    }

    #[test]
    fn very_many_are_read() {
        let many: String = (0..200_000).map(|at| ["t", &at.to_string(), "=x;"].concat()).collect();
        assert_eq!(Tags::parse(&many).unwrap().iter().count(), 200_000);
        assert_eq!(Tags::parse(&format!("{many}t7=x")), Err(TagFault::Twice("t7".to_owned())));
    }
}
