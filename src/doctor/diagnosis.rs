//! What was looked at, and what is thought of it.

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// What reading the configuration warns of.
    Configuration,
    /// Whether the accounts can log in and send.
    Probe,
    /// Who may send for a domain (RFC 7208).
    Spf,
    /// Whether others can verify our signatures (RFC 6376).
    Dkim,
    /// What receivers do with mail that is neither (RFC 7489).
    Dmarc,
    /// Whether a domain takes mail, so that reports arrive.
    Mx,
    /// The names by which this machine greets.
    Names,
    /// What large providers want of those who send much.
    BulkRules,
    /// Sign-ins, secrets and certificates that end.
    Expiry,
    /// Room for the queue.
    Disk,
    /// The time of this machine.
    Clock,
    /// Who can read secrets, keys and data.
    Modes,
}

impl Check {
    /// As `--json` and the table have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Probe => "probe",
            Self::Spf => "spf",
            Self::Dkim => "dkim",
            Self::Dmarc => "dmarc",
            Self::Mx => "mx",
            Self::Names => "names",
            Self::BulkRules => "bulk_rules",
            Self::Expiry => "expiry",
            Self::Disk => "disk",
            Self::Clock => "clock",
            Self::Modes => "modes",
        }
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// Cannot be judged: what is needed for it is not known.
    Unknown,
    /// Works, and should be better.
    Warning,
    /// Mail is refused, lost or marked as spam, or soon will be.
    Fault,
}

impl Level {
    /// As `--json` has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Fault => "fault",
        }
    }
}

/// One judgement. Text may hold what comes from the DNS: it is escaped where it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// What was looked at.
    pub check: Check,
    /// Of whom: a domain, a name, a file.
    pub subject: String,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub text: String,
    /// What to do, such as the very record to publish.
    pub remedy: Option<String>,
}

/// Makes findings of one check about one subject.
#[derive(Debug, Clone)]
pub(super) struct Notes {
    check: Check,
    subject: String,
    found: Vec<Diagnosis>,
}

impl Notes {
    pub(super) fn new(check: Check, subject: &(impl ToString + ?Sized)) -> Self {
        Self { check, subject: subject.to_string(), found: Vec::new() }
    }

    fn add(&mut self, level: Level, text: String, remedy: Option<String>) {
        self.found.push(Diagnosis { check: self.check, subject: self.subject.clone(), level, text, remedy });
    }

    pub(super) fn ok(&mut self, text: impl Into<String>) {
        self.add(Level::Ok, text.into(), None);
    }

    pub(super) fn unknown(&mut self, text: impl Into<String>, remedy: impl Into<String>) {
        let remedy: String = remedy.into();
        self.add(Level::Unknown, text.into(), (!remedy.is_empty()).then_some(remedy));
    }

    pub(super) fn warning(&mut self, text: impl Into<String>, remedy: impl Into<String>) {
        self.add(Level::Warning, text.into(), Some(remedy.into()));
    }

    pub(super) fn fault(&mut self, text: impl Into<String>, remedy: impl Into<String>) {
        self.add(Level::Fault, text.into(), Some(remedy.into()));
    }

    /// Whether nothing bad was found.
    pub(super) fn is_clean(&self) -> bool {
        self.found.iter().all(|finding| finding.level == Level::Ok)
    }

    pub(super) fn done(self) -> Vec<Diagnosis> {
        self.found
    }
}
