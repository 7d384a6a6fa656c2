//! What a reload has changed, in the words of the configuration file. All of it is in force behind a reload; what only a
//! restart can change is [`needs_restart`].

use std::sync::Arc;

use jiff::tz::TimeZone;
use secrecy::{ExposeSecret, SecretString};

use crate::config::{
    AlertSettings, ApiToken, Blacklist, Config, Console, DkimEntry, HistorySettings, Language, Listener, Log,
    Login, NamedSignature, Queue, Rule, Secrets, Session, SignIn, SmimeEntry, TestMode, TokenHash, Upstream,
    UpstreamKind, User, UserPassword, dkim_key_name,
};
use crate::mail::Completion;

/// Why a configuration can't be put in force while the relay runs: its store is open.
pub(super) fn needs_restart(old: &Config, new: &Config) -> Option<&'static str> {
    (old.data_dir != new.data_dir).then_some("data_dir: it can't change while the relay runs: restart it")
}

/// The keys whose values have changed, and the listeners, users, upstreams and DKIM keys that came, went or changed.
pub(super) fn between(old: &Config, new: &Config) -> Vec<String> {
    let Config {
        hostname,
        // See `needs_restart`.
        data_dir: _,
        control_group,
        shutdown_grace,
        timezone,
        language,
        watch,
        complete_addresses,
        log,
        listeners,
        session,
        queue,
        test_mode,
        blacklist,
        history,
        upstreams,
        dkim,
        dns,
        smime,
        signatures,
        users,
        rules,
        sign_ins,
        secrets,
        alert,
        console,
        api_tokens,
    } = old;
    let mut changes = Changes::default();
    changes.key("hostname", hostname, &new.hostname);
    changes.key("control_group", control_group, &new.control_group);
    changes.key("shutdown_grace", shutdown_grace, &new.shutdown_grace);
    changes.local((timezone, *language, complete_addresses.as_ref()), new);
    changes.key("watch", watch, &new.watch);
    changes.log(*log, new.log);
    changes.items(listeners, &new.listeners, |l| format!("listener {}", l.address), Listener::eq);
    changes.session(session, &new.session);
    changes.queue(queue, &new.queue);
    changes.test_mode(test_mode, &new.test_mode);
    changes.blacklist(blacklist, &new.blacklist);
    changes.history(*history, new.history);
    let upstream = |upstream: &Arc<Upstream>| format!("upstream {}", upstream.name);
    changes.items(upstreams, &new.upstreams, upstream, |old, new| same_upstream(old, new));
    changes.dkim(dkim, &new.dkim);
    changes.key("dns.servers", &dns.servers, &new.dns.servers);
    changes.items(smime, &new.smime, |entry| format!("smime {}", entry.address), SmimeEntry::eq);
    changes.items(signatures, &new.signatures, |one| format!("signature {}", one.name), NamedSignature::eq);
    changes.items(users, &new.users, |user| format!("user {}", user.name), same_user);
    changes.rules(rules, &new.rules);
    let sign_in = |sign_in: &Arc<SignIn>| format!("oauth {}", sign_in.name);
    changes.items(sign_ins, &new.sign_ins, sign_in, |old, new| **old == **new);
    let Secrets { key } = secrets;
    changes.key("secrets.key", key, &new.secrets.key);
    changes.alert(alert, &new.alert);
    changes.console((console, api_tokens), new);
    changes.0
}

#[derive(Default)]
struct Changes(Vec<String>);

impl Changes {
    fn key<T: PartialEq>(&mut self, name: &str, old: &T, new: &T) {
        if old != new {
            self.0.push(name.to_owned());
        }
    }

    /// What depends on where the relay serves: zone, language, domain.
    fn local(&mut self, old: (&TimeZone, Language, Option<&Completion>), new: &Config) {
        let (timezone, language, complete_addresses) = old;
        self.key("timezone", timezone, &new.timezone);
        self.key("language", &language, &new.language);
        self.key("complete_addresses", &complete_addresses, &new.complete_addresses.as_ref());
    }

    /// Compares lists whose items have names.
    fn items<T>(&mut self, old: &[T], new: &[T], name: impl Fn(&T) -> String, same: impl Fn(&T, &T) -> bool) {
        let find = |all: &[T], wanted: &str| all.iter().position(|item| name(item) == wanted);
        for item in new {
            let name = name(item);
            match find(old, &name) {
                None => self.0.push(format!("{name}: new")),
                Some(at) if !same(&old[at], item) => self.0.push(format!("{name}: changed")),
                Some(_) => {}
            }
        }
        let gone = old.iter().map(&name).filter(|name| find(new, name).is_none());
        self.0.extend(gone.map(|name| format!("{name}: gone")));
    }

    /// Compares rules, whose order counts.
    fn rules(&mut self, old: &[Rule], new: &[Rule]) {
        let before = self.0.len();
        self.items(old, new, |rule| format!("rule {}", rule.name), Rule::eq);
        if self.0.len() == before && old != new {
            self.0.push("rule: in another order".to_owned());
        }
    }

    fn dkim(&mut self, old: &[DkimEntry], new: &[DkimEntry]) {
        let selector = |entry: &DkimEntry| format!("dkim {}", dkim_key_name(&entry.domain, &entry.selector));
        self.items(old, new, selector, |old, new| old.from == new.from && same_secret(&old.key, &new.key));
    }

    fn history(&mut self, old: HistorySettings, new: HistorySettings) {
        let HistorySettings { entries, subject, contents } = old;
        self.key("history_days", &entries, &new.entries);
        self.key("history.subject", &subject, &new.subject);
        self.key("history.content", &contents, &new.contents);
    }

    fn log(&mut self, old: Log, new: Log) {
        let Log { format, level, subject } = old;
        self.key("log.format", &format, &new.format);
        self.key("log.level", &level, &new.level);
        self.key("log.subject", &subject, &new.subject);
    }

    fn session(&mut self, old: &Session, new: &Session) {
        let Session {
            max_message_size,
            max_recipients,
            max_connections,
            max_connections_per_client,
            command_timeout,
            data_timeout,
            max_errors,
            memory_budget,
            bare_newline,
            long_lines,
        } = old;
        self.key("session.max_message_size", max_message_size, &new.max_message_size);
        self.key("session.max_recipients", max_recipients, &new.max_recipients);
        self.key("session.max_connections", max_connections, &new.max_connections);
        let per_client = &new.max_connections_per_client;
        self.key("session.max_connections_per_client", max_connections_per_client, per_client);
        self.key("session.command_timeout", command_timeout, &new.command_timeout);
        self.key("session.data_timeout", data_timeout, &new.data_timeout);
        self.key("session.max_errors", max_errors, &new.max_errors);
        self.key("session.memory_budget", memory_budget, &new.memory_budget);
        self.key("session.bare_newline", bare_newline, &new.bare_newline);
        self.key("session.long_lines", long_lines, &new.long_lines);
    }

    fn queue(&mut self, old: &Queue, new: &Queue) {
        let Queue {
            mode,
            retry_min,
            retry_max,
            expire_after,
            warn_after,
            max_messages,
            min_free_disk,
            bounce_to_sender,
            bounce_from,
            bounce_copy_to,
        } = old;
        self.key("queue.mode", mode, &new.mode);
        self.key("queue.retry_min", retry_min, &new.retry_min);
        self.key("queue.retry_max", retry_max, &new.retry_max);
        self.key("queue.expire_after", expire_after, &new.expire_after);
        self.key("queue.warn_after", warn_after, &new.warn_after);
        self.key("queue.max_messages", max_messages, &new.max_messages);
        self.key("queue.min_free_disk", min_free_disk, &new.min_free_disk);
        self.key("queue.bounce_to_sender", bounce_to_sender, &new.bounce_to_sender);
        self.key("queue.bounce_from", bounce_from, &new.bounce_from);
        self.key("queue.bounce_copy_to", bounce_copy_to, &new.bounce_copy_to);
    }

    fn test_mode(&mut self, old: &TestMode, new: &TestMode) {
        let TestMode { enabled, action, address, capture_max } = old;
        self.key("test_mode.enabled", enabled, &new.enabled);
        self.key("test_mode.action", action, &new.action);
        self.key("test_mode.address", address, &new.address);
        self.key("test_mode.capture_max", capture_max, &new.capture_max);
    }

    fn alert(&mut self, old: &AlertSettings, new: &AlertSettings) {
        let AlertSettings { mail_to, webhook, command, nothing_sent_for } = old;
        self.key("alert.mail_to", mail_to, &new.mail_to);
        self.key("alert.webhook", webhook, &new.webhook);
        self.key("alert.command", command, &new.command);
        self.key("alert.nothing_sent_for", nothing_sent_for, &new.nothing_sent_for);
    }

    /// Compares where the control interface is, and who comes in there.
    fn console(&mut self, (console, tokens): (&Console, &[ApiToken]), new: &Config) {
        let Console { address, is_named: _, hosts, metrics } = console;
        self.key("console.address", address, &new.console.address);
        self.key("console.hosts", hosts, &new.console.hosts);
        self.key("console.metrics", metrics, &new.console.metrics);
        self.items(tokens, &new.api_tokens, |token| format!("api_token {}", token.name), same_token);
    }

    fn blacklist(&mut self, old: &Blacklist, new: &Blacklist) {
        let Blacklist { action, auto_add, auto_add_after, expire_after } = old;
        self.key("blacklist.action", action, &new.action);
        self.key("blacklist.auto_add", auto_add, &new.auto_add);
        self.key("blacklist.auto_add_after", auto_add_after, &new.auto_add_after);
        self.key("blacklist.expire_after", expire_after, &new.expire_after);
    }
}

fn same_upstream(old: &Upstream, new: &Upstream) -> bool {
    let Upstream {
        name,
        default,
        enabled,
        filter,
        sender,
        sign,
        encode,
        signature,
        kind,
        accounts,
        shared_limits,
        limit_group,
        fallback,
        disable_after,
    } = old;
    let same_kind = match (kind, &new.kind) {
        (UpstreamKind::Smtp(old), UpstreamKind::Smtp(new)) => old == new,
        (UpstreamKind::Graph(old), UpstreamKind::Graph(new)) => old == new,
        (UpstreamKind::Capture(old), UpstreamKind::Capture(new)) => old == new,
        (UpstreamKind::Smtp(_) | UpstreamKind::Graph(_) | UpstreamKind::Capture(_), _) => false,
    };
    let of_new = (&new.name, new.default, new.enabled, &new.filter, new.sign, new.encode, &new.signature);
    same_kind
        && *sender == new.sender
        && (name, *default, *enabled, filter, *sign, *encode, signature) == of_new
        && (shared_limits, limit_group, fallback, *disable_after)
            == (&new.shared_limits, &new.limit_group, &new.fallback, new.disable_after)
        && accounts.len() == new.accounts.len()
        && accounts.iter().zip(&new.accounts).all(|(old, new)| same_login(old, new))
}

fn same_login(old: &Login, new: &Login) -> bool {
    let Login { user, password, oauth, sender_bound, limits } = old;
    let same_password = match (password, &new.password) {
        (Some(old), Some(new)) => same_secret(old, new),
        (old, new) => old.is_none() && new.is_none(),
    };
    same_password
        && (user, oauth, *sender_bound, limits) == (&new.user, &new.oauth, new.sender_bound, &new.limits)
}

fn same_user(old: &User, new: &User) -> bool {
    let User {
        name,
        password,
        senders,
        default_sender,
        replace_foreign_sender,
        priority,
        recipients,
        max_message_size,
        test,
    } = old;
    let same_password = match (password, &new.password) {
        (UserPassword::Argon2id(old), UserPassword::Argon2id(new))
        | (UserPassword::Plain(old), UserPassword::Plain(new)) => same_secret(old, new),
        (UserPassword::Scram(old), UserPassword::Scram(new)) => old == new,
        (UserPassword::Argon2id(_) | UserPassword::Scram(_) | UserPassword::Plain(_), _) => false,
    };
    same_password
        && (name, senders, default_sender) == (&new.name, &new.senders, &new.default_sender)
        && (recipients, max_message_size) == (&new.recipients, &new.max_message_size)
        && (*replace_foreign_sender, *priority, *test) == (new.replace_foreign_sender, new.priority, new.test)
}

fn same_token(old: &ApiToken, new: &ApiToken) -> bool {
    let ApiToken { name, hash, role } = old;
    let same_hash = match (hash, &new.hash) {
        (TokenHash::Argon2id(old), TokenHash::Argon2id(new)) => same_secret(old, new),
        (TokenHash::Sha256(old), TokenHash::Sha256(new)) => old == new,
        (TokenHash::Argon2id(_) | TokenHash::Sha256(_), _) => false,
    };
    same_hash && (name, *role) == (&new.name, new.role)
}

fn same_secret(old: &SecretString, new: &SecretString) -> bool {
    old.expose_secret() == new.expose_secret()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const BASE: &str = "hostname = \"relay.example\"\n[log]\n[session]\n[queue]\n[[listener]]\naddress = \"127.0.0.1:2525\"\n\
        [[user]]\nname = \"erp\"\npassword = \"one\"\n[[upstream]]\nname = \"main\"\nhost = \"h\"\n";

    fn config(text: &str) -> Config {
        Config::from_toml(text, Path::new("/")).unwrap().config
    }

    #[test]
    fn names_what_has_changed() {
        let base = config(BASE);
        for (from, to, want) in [
            ("", "", &[][..]),
            ("[log]\n", "[log]\nlevel = \"debug\"\n", &["log.level"]),
            (
                "[session]\n",
                "[session]\nmax_connections = 7\nmax_errors = 3\n",
                &["session.max_connections", "session.max_errors"],
            ),
            ("[queue]\n", "[queue]\nmax_messages = 7\n", &["queue.max_messages"]),
            (":2525", ":2526", &["listener 127.0.0.1:2526: new", "listener 127.0.0.1:2525: gone"]),
            (":2525\"", ":2525\"\nmode = \"direct\"", &["listener 127.0.0.1:2525: changed"]),
            ("[queue]\n", "[queue]\n[console]\naddress = \"off\"\n", &["console.address"]),
            (
                "[queue]\n",
                "[queue]\n[alert]\nwebhook = \"https://a.example/\"\nnothing_sent_for = \"2h\"\n",
                &["alert.webhook", "alert.nothing_sent_for"],
            ),
            ("[queue]\n", "[queue]\n[console]\nhosts = [\"a\"]\n", &["console.hosts"]),
            ("[queue]\n", "[queue]\n[console]\nmetrics = \"open\"\n", &["console.metrics"]),
            ("\"one\"", "\"two\"", &["user erp: changed"]),
            ("\"erp\"", "\"crm\"", &["user crm: new", "user erp: gone"]),
            ("host = \"h\"", "host = \"h\"\n[[rule]]\nname = \"a\"\nhold = true", &["rule a: new"]),
            ("host = \"h\"", "host = \"g\"", &["upstream main: changed"]),
            ("host = \"h\"", "host = \"h\"\nproxy = \"http://p\"", &["upstream main: changed"]),
            (
                "host = \"h\"",
                "host = \"h\"\npin = \"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"",
                &["upstream main: changed"],
            ),
            ("host = \"h\"", "host = \"h\"\nuser = \"u\"\npassword = \"p\"", &["upstream main: changed"]),
            (
                "hostname = \"relay.example\"",
                "watch = true\nhostname = \"other.example\"",
                &["hostname", "watch"],
            ),
        ] {
            assert!(BASE.contains(from), "{from}");
            assert_eq!(between(&base, &config(&BASE.replacen(from, to, 1))), want, "{from} {to}");
        }
    }

    #[test]
    fn names_tokens_that_have_changed() {
        let token = |hash: &str, role: &str| {
            let zeros = "0".repeat(62);
            let token =
                format!("[[api_token]]\nname = \"a\"\nhash = \"sha256:{hash}{zeros}\"\nrole = \"{role}\"\n");
            config(&format!("{BASE}{token}"))
        };
        let before = token("00", "viewer");
        for (after, want) in [
            (token("00", "viewer"), &[][..]),
            (token("01", "viewer"), &["api_token a: changed"]),
            (token("00", "admin"), &["api_token a: changed"]),
            (config(BASE), &["api_token a: gone"]),
        ] {
            assert_eq!(between(&before, &after), want);
        }
    }

    #[test]
    fn shows_no_secret() {
        let lines = between(&config(BASE), &config(&BASE.replace("one", "hush")));
        assert!(!format!("{lines:?}").contains("hush"));
    }
}
