//! What is exported: each family with its name, kind, labels and meaning. docs/monitoring.md has the same as a table, and the
//! dashboard and the alert rules beside it use no other names.

/// What kind of numbers a family has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows, from 0 at the start of the process if nothing else is said.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often values fell into which range, and their sum.
    Histogram,
}

/// Samples of one name and one meaning.
#[derive(Debug, PartialEq, Eq)]
pub struct MetricFamily {
    /// Its name, with the unit at its end; `_total` is behind that of a counter.
    pub name: &'static str,
    /// What kind of numbers it has.
    pub kind: MetricKind,
    /// What it means, in a sentence.
    pub help: &'static str,
    /// What its samples are told apart by.
    pub labels: &'static [&'static str],
}

impl MetricKind {
    /// As the format has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// The family of that name; for a histogram also by the names of its samples.
#[must_use]
pub fn family(name: &str) -> Option<&'static MetricFamily> {
    let is_named = |family: &&&MetricFamily| {
        family.name == name
            || family.kind == MetricKind::Histogram
                && ["_bucket", "_sum", "_count"]
                    .iter()
                    .any(|end| name.strip_suffix(end).is_some_and(|name| name == family.name))
    };
    FAMILIES.iter().find(is_named).copied()
}

/// Makes the constants and the list of them all, so that none is forgotten there.
macro_rules! families {
    ($($constant:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`")]
            pub static $constant: MetricFamily = MetricFamily {
                name: $name,
                kind: MetricKind::$kind,
                help: $help,
                labels: &[$($label),*],
            };
        )*

        /// All families.
        pub static FAMILIES: &[&MetricFamily] = &[$(&$constant),*];
    };
}

families! {
    RECIPIENTS = Counter "mailsluice_recipients_total" ["outcome", "upstream", "account"]
        "Recipients by what became of them: accepted generated rejected sent deferred bounced expired dropped captured deleted.";
    FAILURES = Counter "mailsluice_failures_total" ["outcome", "upstream", "account", "class"]
        "Recipients that were deferred, bounced or expired, by the class of the reason.";
    DUPLICATES = Counter "mailsluice_possible_duplicates_total" ["upstream", "account"]
        "Recipients that the upstream may have taken without our knowing, so that they may get it twice.";
    REJECTIONS = Counter "mailsluice_rejections_total" ["reason"]
        "Recipients and messages refused while their client waited, by the reason in the log.";
    DELAY = Histogram "mailsluice_delivery_delay_seconds" ["upstream"]
        "Time from the acceptance of a message to its delivery, by recipient.";
    PHASE = Histogram "mailsluice_phase_seconds" ["phase", "upstream"]
        "Time of a part of the way: queue (acceptance to first attempt), connect (name to login), transaction.";
    COMMIT = Histogram "mailsluice_commit_seconds" []
        "Time of a commit of the store, its sync included.";
    COMMIT_WRITES = Histogram "mailsluice_commit_writes" []
        "Writes that shared a commit.";
    QUEUE = Gauge "mailsluice_queue_messages" ["state"]
        "Messages in the queue by state: ready deferred held sending.";
    QUEUE_OLDEST = Gauge "mailsluice_queue_oldest_seconds" []
        "Age of the oldest message in the queue, held ones included; 0 when it is empty.";
    WAITING_MESSAGES = Gauge "mailsluice_waiting_messages" ["upstream"]
        "Messages that wait for an upstream: neither held nor being sent.";
    WAITING_RECIPIENTS = Gauge "mailsluice_waiting_recipients" ["upstream"]
        "Their recipients that are not settled.";
    STORE_RECIPIENTS = Counter "mailsluice_store_recipients_total" ["outcome"]
        "Recipients since the store was made, over restarts: the totals of mailsluice status.";
    STORE_HEALTHY = Gauge "mailsluice_store_healthy" []
        "1 while the store can be written and read, else 0.";
    UPSTREAM_STATE = Gauge "mailsluice_upstream_state" ["upstream", "state"]
        "1 for the state of an upstream, 0 for the others: up down limited sign_in disabled.";
    ACCOUNT_STATE = Gauge "mailsluice_account_state" ["upstream", "account", "state"]
        "1 for the state of an account, 0 for the others: up down limited sign_in disabled.";
    ACCOUNT_RESUMES = Gauge "mailsluice_account_resumes_timestamp_seconds" ["upstream", "account"]
        "When an account that can't send is tried again; missing when it can, or that is not known.";
    CONNECTIONS = Gauge "mailsluice_upstream_connections" ["upstream", "account"]
        "Connections that are open to an upstream.";
    CONNECTIONS_MOST = Gauge "mailsluice_upstream_connections_max" ["upstream", "account"]
        "Connections that may be open at present.";
    LIMIT_USED = Gauge "mailsluice_limit_used" ["upstream", "account", "window", "unit"]
        "What is used of a limit, with what is under way; unit is messages, recipients or octets.";
    LIMIT_LEFT = Gauge "mailsluice_limit_left" ["upstream", "account", "window", "unit"]
        "What is left of a limit.";
    SESSIONS = Gauge "mailsluice_sessions" []
        "Sessions of clients that are open.";
    SESSIONS_BEGUN = Counter "mailsluice_sessions_begun_total" []
        "Sessions of clients.";
    LOGIN_FAILURES = Counter "mailsluice_client_login_failures_total" []
        "Logins of clients that failed.";
    MEMORY_USED = Gauge "mailsluice_memory_used_bytes" ["budget"]
        "Memory that contents in flight take: in (from clients), out (to upstreams).";
    MEMORY_LIMIT = Gauge "mailsluice_memory_limit_bytes" ["budget"]
        "Memory that contents in flight may take.";
    SENT_COPIES = Gauge "mailsluice_sent_copies" ["upstream", "account"]
        "Copies that wait until they lie in a Sent folder.";
    SIGN_IN_HEALTHY = Gauge "mailsluice_sign_in_healthy" ["sign_in"]
        "1 while tokens of a sign-in can be had, 0 while there is a fault.";
    EXPIRY = Gauge "mailsluice_expiry_seconds" ["kind", "name"]
        "Time until a token, secret or certificate ends; negative when it has ended. kind is token, secret or certificate.";
    NEEDS_A_PERSON = Gauge "mailsluice_needs_a_person" []
        "Things that a person must see to, as mailsluice status lists them.";
    READY = Gauge "mailsluice_ready" []
        "1 while mail can be taken and sent, as /readyz says, else 0.";
    TEST_MODE = Gauge "mailsluice_test_mode" []
        "1 while test mode is on, else 0.";
    LOG_LOST = Counter "mailsluice_log_lines_dropped_total" []
        "Lines of the log that were dropped since nobody read them in time.";
    START_TIME = Gauge "mailsluice_start_time_seconds" []
        "When the relay started, in seconds since 1970.";
    BUILD = Gauge "mailsluice_build_info" ["version"]
        "1, with the version of the program as a label.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_keep_to_the_conventions() {
        let mut names = BTreeSet::new();
        for MetricFamily { name, kind, help, labels } in FAMILIES {
            let is_word = |text: &str| {
                text.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'_') && !text.is_empty()
            };
            assert!(name.starts_with("mailsluice_") && is_word(name), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == MetricKind::Counter, "{name}");
            assert!(!help.is_empty() && !help.contains(['\n', '\\']) && help.ends_with('.'), "{name}");
            assert!(labels.iter().all(|label| is_word(label) && *label != "le"), "{name}");
            // In OpenMetrics a counter goes by its name without the end, which must be no other family's.
            assert!(names.insert(name.trim_end_matches("_total")), "{name}");
        }
    }

    #[test]
    fn finds_families_by_their_samples() {
        for (name, want) in [
            ("mailsluice_recipients_total", Some("mailsluice_recipients_total")),
            ("mailsluice_commit_seconds_bucket", Some("mailsluice_commit_seconds")),
            ("mailsluice_commit_seconds_sum", Some("mailsluice_commit_seconds")),
            ("mailsluice_queue_messages_sum", None),
            ("mailsluice_recipients", None),
        ] {
            assert_eq!(family(name).map(|family| family.name), want, "{name}");
        }
    }
}
