//! How urgent a message is.

/// Which of several due messages goes first. Reports go before all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    /// Our own reports.
    Report = 0,
    /// Before normal mail.
    High = 1,
    /// What mail has when nobody says.
    Normal = 2,
    /// After normal mail.
    Low = 3,
}

impl Priority {
    const NAMES: [(Self, &str); 4] =
        [(Self::Report, "report"), (Self::High, "high"), (Self::Normal, "normal"), (Self::Low, "low")];

    /// The name in output.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(priority, _)| *priority == self).map_or("", |(_, name)| name)
    }

    /// The priority of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, other)| *other == name).map(|(priority, _)| *priority)
    }

    /// What MT-PRIORITY (RFC 6710) means here: above 0 is high, below is low.
    #[must_use]
    pub fn asked(priority: Option<i8>) -> Self {
        match priority.unwrap_or_default() {
            1.. => Self::High,
            0 => Self::Normal,
            _ => Self::Low,
        }
    }
}
