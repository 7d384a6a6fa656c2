//! Names that other programs have for our keys and sections, and that are not near enough to ours to be a slip.

/// What people write for a key.
pub(super) struct Synonym {
    /// The section in which it is written; that of the whole configuration is empty.
    pub(super) section: &'static str,
    /// What is written there.
    pub(super) names: &'static [&'static str],
    /// The full name of the key or section that is meant.
    pub(super) key: &'static str,
    /// How to write it, where its name alone does not say so.
    pub(super) write: &'static str,
}

const fn row(
    section: &'static str,
    names: &'static [&'static str],
    key: &'static str,
    write: &'static str,
) -> Synonym {
    Synonym { section, names, key, write }
}

const WRITE_PACE: &str =
    "write per_minute = { messages = 30 }, or per_hour or per_day, into [upstream.limits]";
const WRITE_ADDRESS: &str =
    r#"write IP address and port together, such as address = "127.0.0.1:2525", into [[listener]]"#;

/// All that are known. Of several that fit the first counts.
#[rustfmt::skip]
const SYNONYMS: &[Synonym] = &[
    // Sections.
    row("", &["web", "http", "ui", "dashboard", "admin", "gui"], "console", "write [console]"),
    row("", &["smtp", "relay", "server", "smarthost", "relayhost", "provider", "smtp_server", "outgoing", "account", "remote", "mail"],
        "upstream", "write [[upstream]]"),
    row("", &["logging"], "log", "write [log]"),
    row("", &["listen", "bind", "port", "address", "listen_address", "bind_address", "incoming", "inet_interfaces"],
        "listener.address", WRITE_ADDRESS),
    row("", &["limits", "rate_limit", "ratelimit", "throttle"], "upstream.limits", "write [upstream.limits], below its [[upstream]]"),
    row("", &["login", "auth", "accounts"], "user", "write [[user]] for clients that log in here, or user and password in [[upstream]]"),
    row("", &["rules", "filters", "routing", "transport"], "rule", "write [[rule]]"),
    row("", &["test", "testing", "sandbox"], "test_mode", "write [test_mode]"),
    row("", &["blocklist", "denylist", "suppression"], "blacklist", "write [blacklist]"),
    // The top of the file.
    row("", &["myhostname", "helo", "helo_name", "ehlo", "server_name", "fqdn"], "hostname", ""),
    row("", &["spool", "spool_dir", "queue_dir", "queue_directory", "data_directory", "data", "state_dir", "storage"], "data_dir", ""),
    row("", &["mynetworks", "allowed_networks", "networks"], "listener.relay_from", ""),
    row("", &["log_level", "loglevel", "verbosity"], "log.level", ""),
    row("", &["tz", "time_zone"], "timezone", ""),
    // Listeners.
    row("listener", &["port", "listen", "bind", "host", "ip", "listen_address", "bind_address", "interface"],
        "listener.address", WRITE_ADDRESS),
    row("listener", &["networks", "mynetworks", "allow", "allowed", "allow_from", "allowed_networks", "permit", "clients", "trusted_networks"],
        "listener.relay_from", ""),
    row("listener", &["cert", "cert_file", "tls_cert", "tls_cert_file", "ssl_certificate", "certificate_file"], "listener.certificate", ""),
    row("listener", &["private_key", "key_file", "keyfile", "tls_key", "tls_key_file", "ssl_certificate_key", "certificate_key"], "listener.key", ""),
    row("listener", &["security", "ssl", "starttls", "encryption", "tls_mode"], "listener.tls", r#"write tls = "starttls" or "implicit""#),
    row("listener", &["authentication", "login", "smtp_auth", "require_auth"], "listener.auth", r#"write auth = "optional" or "required""#),
    // Upstreams.
    row("upstream", &["server", "smtp_server", "smtp_host", "hostname", "address", "relayhost", "smarthost", "relay", "ip", "url", "uri"],
        "upstream.host", ""),
    row("upstream", &["smtp_port"], "upstream.port", ""),
    row("upstream", &["starttls", "use_starttls", "tls_starttls"], "upstream.security", r#"write security = "starttls""#),
    row("upstream", &["ssl", "use_ssl", "smtps", "implicit_tls"], "upstream.security", r#"write security = "tls""#),
    row("upstream", &["tls", "use_tls", "encryption", "secure", "tls_mode", "tls_security_level"],
        "upstream.security", r#"write security = "starttls", or "tls" for port 465"#),
    row("upstream", &["username", "user_name", "login", "account_name", "smtp_user", "email"], "upstream.user", ""),
    row("upstream", &["pass", "passwd", "secret", "token", "api_key", "apikey", "smtp_password", "smtp_pass"], "upstream.password", ""),
    row("upstream", &["provider", "template", "service"], "upstream.preset", ""),
    row("upstream", &["type"], "upstream.kind", ""),
    row("upstream", &["from", "senders", "sender_domain", "domain", "domains", "match", "filters"],
        "upstream.filter", r#"write filter = ["firm.example"] with the senders that it serves"#),
    row("upstream", &["from_name", "sender_name", "display_name"], "upstream.sender.name", "write name into [upstream.sender]"),
    row("upstream", &["from_address", "sender_address"], "upstream.sender.address", "write address into [upstream.sender]"),
    row("upstream", &["helo", "helo_name", "ehlo_name"], "upstream.ehlo", ""),
    row("upstream", &["bind", "bind_address", "local_address", "source_ip"], "upstream.source_address", ""),
    row("upstream", &["ca", "cafile", "cacert", "ca_cert", "tls_ca_file", "tls_trust_file"], "upstream.ca_file", ""),
    row("upstream", &["authentication", "auth_method", "auth_type"], "upstream.auth", ""),
    row("upstream", &["backup", "failover", "secondary"], "upstream.fallback", r#"write fallback = ["name"] with the names of other upstreams"#),
    row("upstream", &["timeout"], "upstream.timeouts", "write [upstream.timeouts] with connect, command and others"),
    row("upstream", &["rate", "rate_limit", "ratelimit", "throttle", "limit", "messages_per_minute", "messages_per_hour", "messages_per_day",
        "recipients_per_day", "mails_per_minute", "max_per_minute", "max_per_hour", "max_per_day"], "upstream.limits.per_minute", WRITE_PACE),
    row("upstream", &["max_connections", "concurrency", "pool_size"], "upstream.limits.connections", ""),
    row("upstream", &["max_message_size", "max_size", "size_limit"], "upstream.limits.message_size", ""),
    row("upstream.account", &["username", "user_name", "login", "name", "email"], "upstream.account.user", ""),
    row("upstream.account", &["pass", "passwd", "secret", "token"], "upstream.account.password", ""),
    row("upstream.limits", &["rate", "rate_limit", "minute", "messages_per_minute", "mails_per_minute", "max_per_minute", "messages"],
        "upstream.limits.per_minute", "write per_minute = { messages = 30 }"),
    row("upstream.limits", &["messages_per_hour", "mails_per_hour", "max_per_hour", "hour", "hourly"],
        "upstream.limits.per_hour", "write per_hour = { messages = 1000 }"),
    row("upstream.limits", &["messages_per_day", "mails_per_day", "max_per_day", "day", "daily"],
        "upstream.limits.per_day", "write per_day = { messages = 1000 }"),
    row("upstream.limits", &["recipients_per_minute"], "upstream.limits.per_minute", "write per_minute = { recipients = 100 }"),
    row("upstream.limits", &["recipients_per_hour"], "upstream.limits.per_hour", "write per_hour = { recipients = 1000 }"),
    row("upstream.limits", &["recipients_per_day", "recipients"], "upstream.limits.per_day", "write per_day = { recipients = 10000 }"),
    row("upstream.limits", &["max_connections", "concurrency", "pool_size"], "upstream.limits.connections", ""),
    row("upstream.limits", &["max_recipients"], "upstream.limits.recipients_per_message", ""),
    row("upstream.limits", &["max_message_size", "max_size", "size"], "upstream.limits.message_size", ""),
    // The rest.
    row("user", &["username", "user_name", "login", "user"], "user.name", ""),
    row("user", &["pass", "passwd", "secret", "hash", "password_hash"], "user.password", ""),
    row("user", &["to", "allowed_recipients", "rcpt"], "user.recipients", r#"write recipients = ["firm.example"]"#),
    row("user", &["max_size", "message_size", "size_limit"], "user.max_message_size", ""),
    row("user", &["test_mode", "testing"], "user.test", ""),
    row("user", &["from", "sender", "allowed_senders", "addresses"], "user.senders", r#"write senders = ["firm.example"]"#),
    row("rule", &["if", "match", "condition", "conditions", "where"], "rule.when",
        r#"write when = { header = "X-Document-Type", equals = "invoice" }"#),
    row("rule", &["sender", "from", "set_from", "replace_sender"], "rule.set_sender", ""),
    row("rule", &["reply_to", "replyto"], "rule.set_reply_to", ""),
    row("rule", &["upstream", "route", "transport"], "rule.set_upstream", ""),
    row("rule", &["priority"], "rule.set_priority", ""),
    row("rule", &["cc", "set_cc"], "rule.add_cc", ""),
    row("rule", &["bcc", "set_bcc", "copy", "copies", "copy_to", "archive"], "rule.add_bcc", ""),
    row("rule", &["headers", "add_header", "header"], "rule.set_header", r#"write set_header = { "X-Department" = "sales" }"#),
    row("rule", &["remove_header", "delete_header", "strip_header"], "rule.drop_header", ""),
    row("rule", &["schedule", "delay", "not_before", "send_at", "after"], "rule.delay_until", r#"write delay_until = "22:00""#),
    row("rule", &["refuse", "deny", "block", "discard"], "rule.reject", "write reject = with the text that the client reads"),
    row("rule", &["stop", "final", "break"], "rule.last", "write last = true"),
    row("rule", &["test_mode", "sandbox"], "rule.test", "write test = true"),
    row("rule.when", &["from", "senders", "mail_from"], "rule.when.sender", ""),
    row("rule.when", &["to", "rcpt", "rcpt_to", "recipients"], "rule.when.recipient", ""),
    row("rule.when", &["regex", "regexp", "pattern", "like"], "rule.when.matches", ""),
    row("rule.when", &["is", "value", "equal"], "rule.when.equals", ""),
    row("rule.when", &["ip", "network", "address", "host"], "rule.when.client", ""),
    row("rule.when", &["username", "login", "users"], "rule.when.user", ""),
    row("rule.when", &["and"], "rule.when.all", ""),
    row("rule.when", &["or"], "rule.when.any", ""),
    row("rule.when", &["filename", "file", "attachments"], "rule.when.attachment", r#"write attachment = { contains = ".pdf" }"#),
    row("upstream.sender", &["from", "mail", "email", "sender"], "upstream.sender.address", ""),
    row("upstream.sender", &["replyto", "reply"], "upstream.sender.reply_to", ""),
    row("upstream.sent_copy", &["host", "server", "imap_host", "imap_server", "address"], "upstream.sent_copy.imap", r#"write imap = "host:port""#),
    row("upstream.sent_copy", &["mailbox"], "upstream.sent_copy.folder", ""),
    row("dkim", &["private_key", "key_file", "keyfile", "private_key_file"], "dkim.key", r#"write key = { file = "…" }"#),
    row("dkim", &["d", "signing_domain"], "dkim.domain", ""),
    row("dkim", &["s"], "dkim.selector", ""),
    row("smime", &["private_key", "key_file", "keyfile"], "smime.key", r#"write key = { file = "…" }"#),
    row("smime", &["cert", "cert_file", "certificate_file", "chain"], "smime.certificate", ""),
    row("smime", &["from", "sender", "email"], "smime.address", ""),
    row("queue", &["retry", "retry_interval", "retry_delay", "backoff"], "queue.retry_min", ""),
    row("queue", &["lifetime", "max_age", "ttl", "maximal_queue_lifetime", "expire", "expiry"], "queue.expire_after", ""),
    row("queue", &["max_size", "limit"], "queue.max_messages", ""),
    row("test_mode", &["to", "redirect_to", "recipient", "rcpt", "mail_to", "email"], "test_mode.address", ""),
    row("test_mode", &["on", "active", "enable"], "test_mode.enabled", ""),
    row("test_mode", &["mode"], "test_mode.action", ""),
    row("session", &["max_size", "message_size", "size_limit", "message_size_limit"], "session.max_message_size", ""),
    row("session", &["timeout"], "session.command_timeout", ""),
    row("log", &["loglevel", "log_level", "verbosity", "verbose", "debug"], "log.level", r#"write level = "debug""#),
    row("log", &["json", "type", "style"], "log.format", r#"write format = "json""#),
];

/// What a name in a section stands for.
pub(super) fn find(section: &str, name: &str) -> Option<&'static Synonym> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    SYNONYMS.iter().find(|row| row.section == section && row.names.contains(&name.as_str()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_name_stands_twice_in_a_section() {
        let mut seen = HashSet::new();
        for row in SYNONYMS {
            for name in row.names {
                assert!(seen.insert((row.section, name)), "{name} in [{}]", row.section);
            }
        }
    }

    #[test]
    fn finds_names_however_they_are_written() {
        for (section, name, want) in [
            ("upstream", "Smtp-Server", Some("upstream.host")),
            ("upstream", "username", Some("upstream.user")),
            ("user", "username", Some("user.name")),
            ("upstream.limits", "messages_per_minute", Some("upstream.limits.per_minute")),
            ("", "Web", Some("console")),
            ("queue", "server", None),
        ] {
            assert_eq!(find(section, name).map(|row| row.key), want, "{name} in [{section}]");
        }
    }
}
