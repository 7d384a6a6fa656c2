//! How much waits in a lane, and how much of it goes before a message.

/// What waits in a lane: due or deferred, but neither held nor in an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Messages.
    pub messages: u64,
    /// Their recipients that are not settled.
    pub recipients: u64,
}

/// What goes before a message by the rule of turns, of what is due by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ahead {
    /// Messages.
    pub messages: u64,
    /// Their recipients that are not settled.
    pub recipients: u64,
}
