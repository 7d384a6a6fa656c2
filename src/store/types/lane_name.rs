//! The name of a lane: of mail that waits for the same thing.

use std::fmt;
use std::sync::Arc;

use crate::mail::AddressKey;

const CAPTURED: &str = "/captured";

/// A lane's name. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneName(Arc<str>);

/// What the mail of a lane waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LaneKind {
    /// An upstream, by any account that is bound to nobody.
    Upstream,
    /// The one account that is bound to the sender.
    Bound,
    /// The local mailbox of test mode.
    Captured,
    /// A configuration that has an upstream for its sender.
    Unrouted,
}

impl LaneName {
    /// The lane of an upstream.
    #[must_use]
    pub fn of_upstream(upstream: &str) -> Self {
        Self(upstream.into())
    }

    /// The lane of a sender to whom an account of the upstream is bound.
    #[must_use]
    pub fn bound(upstream: &str, sender: &AddressKey) -> Self {
        Self(format!("{upstream}/{sender}").into())
    }

    /// The lane of mail that test mode keeps on this machine.
    #[must_use]
    pub fn captured() -> Self {
        Self(CAPTURED.into())
    }

    /// The lane of mail whose sender no upstream serves.
    #[must_use]
    pub fn unrouted() -> Self {
        Self("".into())
    }

    /// The lane of that text, as [`LaneName::as_str`] tells it. Each text names one.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(text.into())
    }

    /// The text that is stored and shown.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The upstream whose mail stands here; empty for mail that is on its way to none.
    #[must_use]
    pub fn upstream(&self) -> &str {
        self.0.split_once('/').map_or(&*self.0, |(upstream, _)| upstream)
    }

    /// The key of the sender to whom the lane belongs; `None` where it belongs to many.
    #[must_use]
    pub fn sender(&self) -> Option<&str> {
        let (_, sender) = self.0.split_once('/')?;
        (self.kind() == LaneKind::Bound).then_some(sender)
    }

    /// The name with the sender's key in it, whatever spelling of the sender was stored.
    #[must_use]
    pub fn by_key(&self) -> Self {
        self.sender()
            .map_or_else(|| self.clone(), |sender| Self::bound(self.upstream(), &AddressKey::of_text(sender)))
    }

    /// What its mail waits for.
    #[must_use]
    pub fn kind(&self) -> LaneKind {
        match &*self.0 {
            "" => LaneKind::Unrouted,
            CAPTURED => LaneKind::Captured,
            name if name.contains('/') => LaneKind::Bound,
            _ => LaneKind::Upstream,
        }
    }
}

impl fmt::Display for LaneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_its_mail_waits_for() {
        for (lane, text, upstream, sender, kind) in [
            (LaneName::of_upstream("office"), "office", "office", None, LaneKind::Upstream),
            (
                LaneName::bound("office", &AddressKey::of_text("Ann@Firm.Example")),
                "office/ann@firm.example",
                "office",
                Some("ann@firm.example"),
                LaneKind::Bound,
            ),
            (
                LaneName::bound("office", &AddressKey::of_text("a/b@firm.example")),
                "office/a/b@firm.example",
                "office",
                Some("a/b@firm.example"),
                LaneKind::Bound,
            ),
            (LaneName::captured(), "/captured", "", None, LaneKind::Captured),
            (LaneName::unrouted(), "", "", None, LaneKind::Unrouted),
        ] {
            assert_eq!(
                (lane.as_str(), lane.upstream(), lane.sender(), lane.kind()),
                (text, upstream, sender, kind)
            );
            assert_eq!(LaneName::parse(text), lane);
        }
    }
}
