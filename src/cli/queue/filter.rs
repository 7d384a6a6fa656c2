//! Which messages of the queue a command is about.

use clap::builder::PossibleValuesParser;

use crate::cli::client::RequestPath;

/// Which messages are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub(in crate::cli) struct MessageFilter {
    /// Of this upstream
    #[arg(long)]
    pub(super) upstream: Option<String>,
    /// In this state
    #[arg(long, value_parser = PossibleValuesParser::new(["ready", "deferred", "held", "sending"]))]
    pub(super) state: Option<String>,
    /// From this sender
    #[arg(long, value_name = "ADDRESS")]
    pub(super) sender: Option<String>,
    /// To this recipient
    #[arg(long, value_name = "ADDRESS")]
    pub(super) recipient: Option<String>,
}

impl MessageFilter {
    /// A request with these parameters.
    pub(super) fn add_to(&self, target: RequestPath) -> RequestPath {
        target
            .with("upstream", self.upstream.as_deref())
            .with("state", self.state.as_deref())
            .with("sender", self.sender.as_deref())
            .with("recipient", self.recipient.as_deref())
    }
}
