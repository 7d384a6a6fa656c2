mod documented;
mod doubts;
mod graph;
mod rules;
mod sign_ins;
mod surroundings;

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;
use crate::config::testing::write;
use crate::config::{
    ApiRole, Auth, Batch, BlacklistAction, BounceFrom, ByteSize, CausesSet, Fallback, Filter, Language,
    LogFormat, LogLevel, LongLines, Mode, Newlines, Pace, Quota, Security, SenderWhen, ServerAuth, Session,
    SharedLimits, Smtp, TestAction, TokenHash, Upstream, UpstreamKind, UserPriority, Window,
};
use crate::mail::{Address, Completion};

const SOLE: &str = "[[upstream]]\nname = \"a\"\nhost = \"smtp.firm.example\"\n";

fn loaded(text: &str) -> LoadedConfig {
    Config::from_toml(text, Path::new("/etc/mailsluice")).unwrap_or_else(|faults| panic!("{faults}\n{text}"))
}

fn faults(text: &str) -> String {
    Config::from_toml(text, Path::new("/etc/mailsluice"))
        .map_or_else(|faults| faults.to_string(), |_| String::new())
}

fn smtp(upstream: &Upstream) -> &Smtp {
    match &upstream.kind {
        UpstreamKind::Smtp(smtp) => smtp,
        _ => panic!("{} is no smart host", upstream.name),
    }
}

fn machine(folder: &Path, variables: &[(&str, &str)]) -> Machine {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Machine {
        environment: variables.iter().map(own).collect::<BTreeMap<_, _>>(),
        usual_files: vec!["config/mailsluice.toml".into(), "etc/mailsluice.toml".into()],
        ..Machine::bare(folder)
    }
}

#[test]
fn has_the_documented_defaults() {
    let minutes = |m: u64| Duration::from_mins(m);
    let LoadedConfig { config, warnings, .. } = loaded(SOLE);
    assert_eq!(warnings, []);
    assert_eq!((config.hostname.as_str(), config.shutdown_grace), ("relay.example", Duration::from_secs(8)));
    assert_eq!(config.data_dir, Path::new("/etc/mailsluice/data"));
    assert_eq!((config.log.format, config.log.level), (LogFormat::Text, LogLevel::Info));
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:2525");
    let listener = &config.listeners[0];
    assert_eq!(format!("{:?}", listener.relay_from), "[127.0.0.0/8, ::1/128]");
    assert_eq!((&listener.tls, listener.auth, listener.auth_without_tls), (&None, ServerAuth::None, false));
    assert!(listener.proxy_protocol_from.is_empty());
    let session = &config.session;
    assert_eq!((session.max_message_size, session.memory_budget), (ByteSize(35 << 20), ByteSize(256 << 20)));
    assert_eq!((session.memory_in(), session.memory_out()), (16 << 20, 240 << 20));
    for (budget, memory_in) in
        [(64 << 10, 32 << 10), (1 << 20, 512 << 10), (8 << 20, 2 << 20), (64 << 20, 4 << 20)]
    {
        let session = Session { memory_budget: ByteSize(budget), ..session.clone() };
        assert_eq!((session.memory_in(), session.memory_out()), (memory_in, budget - memory_in));
    }
    assert_eq!(
        (session.max_recipients, session.max_connections, session.max_connections_per_client),
        (1000, 1000, 100)
    );
    assert_eq!(
        (session.command_timeout, session.data_timeout, session.max_errors),
        (minutes(5), minutes(10), 20)
    );
    assert_eq!((session.bare_newline, session.long_lines), (Newlines::Normalize, LongLines::Wrap));
    let queue = &config.queue;
    assert_eq!((queue.mode, listener.mode), (Mode::Queued, None));
    assert_eq!((queue.retry_min, queue.retry_max), (minutes(1), minutes(60)));
    assert_eq!((queue.expire_after, queue.warn_after), (minutes(5 * 1440), Some(minutes(240))));
    assert_eq!((queue.max_messages, queue.min_free_disk), (1_000_000, ByteSize(256 << 20)));
    assert_eq!(
        (queue.bounce_to_sender, &queue.bounce_from, &queue.bounce_copy_to),
        (true, &BounceFrom::Auto, &None)
    );
    let test = &config.test_mode;
    assert_eq!(
        (test.enabled, test.action, &test.address, test.capture_max),
        (false, TestAction::Redirect, &None, 10_000)
    );
    let blacklist = &config.blacklist;
    assert_eq!(
        (blacklist.action, blacklist.auto_add, blacklist.auto_add_after),
        (BlacklistAction::Reject, true, 2)
    );
    assert_eq!(blacklist.expire_after, Some(Duration::from_hours(30 * 24)));
    assert!(config.dkim.is_empty());
}

#[test]
fn has_the_documented_defaults_of_an_upstream() {
    let config = loaded(SOLE).config;
    let upstream = &config.upstreams[0];
    assert_eq!((upstream.default, upstream.enabled, upstream.sign), (true, true, true));
    let [account] = upstream.accounts.as_slice() else { panic!("one account") };
    assert_eq!(account.limits, crate::config::Limits::default());
    assert_eq!((account.name(), account.sender_bound, upstream.message_size()), ("", false, None));
    assert_eq!(upstream.shared_limits, SharedLimits::default());
    let on = CausesSet { unreachable: true, disabled: true, quota: false };
    assert_eq!(upstream.fallback, Fallback { upstreams: vec![], on, after: Duration::from_mins(15) });
    assert_eq!((&upstream.sender, &config.complete_addresses), (&None, &None));
    assert_eq!((upstream.disable_after, config.timezone.iana_name()), (5, Some("UTC")));
    let smtp = smtp(upstream);
    assert_eq!(
        (smtp.host.as_str(), smtp.port, smtp.security),
        ("smtp.firm.example", 587, Security::StartTls)
    );
    assert_eq!((smtp.auth, smtp.allow_plaintext_auth), (Auth::Auto, false));
    assert_eq!(smtp.timeouts, crate::config::Timeouts::default());
}

#[test]
fn reads_every_key() {
    let LoadedConfig { config, warnings, .. } = loaded(include_str!("every_key.toml"));
    // All actions of a rule in one: only there nobody wants that.
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert!(warning.to_string().contains("\"every-action\" refuses the mail"), "{warning}");
    assert_eq!(
        (config.hostname.as_str(), config.data_dir.as_path()),
        ("relay.firm.example", Path::new("/var/lib/m"))
    );
    assert_eq!(config.shutdown_grace, Duration::from_secs(20));
    assert_eq!((config.log.format, config.log.level), (LogFormat::Json, LogLevel::Debug));
    let [_, listener] = config.listeners.as_slice() else { panic!("two listeners") };
    assert_eq!(format!("{:?}", listener.relay_from), "[10.0.0.0/8, fd00::/8, 192.0.2.7/32]");
    assert_eq!((listener.auth, listener.auth_without_tls), (ServerAuth::Required, true));
    assert_eq!(format!("{:?}", listener.proxy_protocol_from), "[192.0.2.8/32]");
    assert_eq!((config.queue.mode, listener.mode), (Mode::Direct, Some(Mode::Queued)));
    let console = &config.console;
    assert_eq!(console.address, Some("192.0.2.3:8080".parse().unwrap()));
    assert_eq!((console.is_named, console.hosts.as_slice()), (true, &["mailsluice".to_owned()][..]));
    let tokens: Vec<_> = config.api_tokens.iter().map(|token| (token.name.as_str(), token.role)).collect();
    assert_eq!(tokens, [("monitoring", ApiRole::Viewer), ("chief", ApiRole::Admin)]);
    assert!(matches!(config.api_tokens[0].hash, TokenHash::Sha256([0x6c, 0xa1, 0x3d, ..])));
    let [user] = config.users.as_slice() else { panic!("one user") };
    let grants = |text: &str| user.grants(&Address::parse(text).unwrap());
    assert!(grants("invoices@firm.example") && grants("a@sales.example") && grants("a@b.sales.example"));
    assert!(!grants("a@firm.example") && !grants("a@notsales.example"));
    assert_eq!(user.default_sender.as_ref().map(Address::as_str), Some("it@sales.example"));
    assert_eq!((user.replace_foreign_sender, user.priority), (true, UserPriority::High));
    let session = format!("{:?}", config.session);
    for part in ["(1048576)", "(70000)", ": 11,", ": 12,", ": 13,", ": 14,", "41s", "42s", "Reject", "Pass"] {
        assert!(session.contains(part), "{part} {session}");
    }
    let queue = format!("{:?}", config.queue);
    for part in ["2s", "3s", "172800s", "warn_after: None", ": 15,", "(0)", "false", "daemon@", "postmaster@"]
    {
        assert!(queue.contains(part), "{part} {queue}");
    }
    assert_eq!((config.test_mode.enabled, config.test_mode.action), (true, TestAction::Hold));
    assert_eq!(format!("{:?}", config.dns.servers), "[127.0.0.1:5353, [::1]:53]");
    assert_eq!((config.blacklist.action, config.blacklist.auto_add_after), (BlacklistAction::Drop, 3));
    assert_eq!(config.blacklist.expire_after, Some(Duration::from_hours(30 * 24)));
    let [office, local] = config.upstreams.as_slice() else { panic!("two upstreams") };
    assert_eq!(
        office.filter,
        [
            Filter::parse("firm.example").unwrap(),
            Filter::parse("*.firm.example").unwrap(),
            Filter::parse("chief@other.example").unwrap()
        ]
    );
    assert_eq!((office.default, office.enabled, office.sign), (true, false, false));
    assert_eq!(config.timezone.iana_name(), Some("Europe/Zurich"));
    assert_eq!(config.language, Language::German);
    assert!(config.watch);
    let own = &office.accounts[0];
    assert_eq!(
        (office.fallback.upstreams.as_slice(), office.fallback.after),
        (&["local".to_owned()][..], Duration::from_hours(1))
    );
    assert_eq!(office.fallback.on, CausesSet { unreachable: false, disabled: true, quota: true });
    assert_eq!((office.disable_after, local.disable_after), (0, 5));
    let smtp = smtp(office);
    assert_eq!((smtp.host.as_str(), smtp.port, smtp.security), ("192.0.2.1", 25, Security::StartTls));
    assert_eq!((smtp.auth, own.user.as_deref(), smtp.allow_plaintext_auth), (Auth::Login, Some("me"), true));
    assert_eq!(own.password.as_ref().map(ExposeSecret::expose_secret), Some("hush"));
    assert_eq!((smtp.tls.name.as_deref(), smtp.ehlo.as_deref()), (Some("tls.example"), Some("[192.0.2.2]")));
    assert_eq!((&smtp.tls.pins, &smtp.tls.identity), (&vec![crate::config::Pin::of(b"")], &None));
    let proxy = smtp.proxy.as_ref().unwrap();
    assert_eq!((proxy.to_string(), proxy.login.is_some()), ("socks5://192.0.2.4:1080".to_owned(), true));
    assert_eq!(smtp.timeouts.final_dot, Duration::from_secs(66));
    let copies = smtp.sent_copy.as_ref().unwrap();
    assert_eq!(
        (copies.host.as_str(), copies.port, copies.security),
        ("imap.firm.example", 1143, Security::StartTls)
    );
    assert_eq!(copies.folder, "Gesendete Elemente");
    assert!(matches!(&local.kind, UpstreamKind::Capture(capture) if capture.max == 77));
}

#[test]
fn reads_every_key_of_accounts_and_limits() {
    let LoadedConfig { config, .. } = loaded(include_str!("every_key.toml"));
    let office = &config.upstreams[0];
    let [own, second, third] = office.accounts.as_slice() else { panic!("three accounts") };
    let sender = office.sender.as_ref().unwrap();
    assert_eq!(sender.mailbox(own).unwrap().to_string(), "Firm Ltd <shop@firm.example>");
    assert_eq!(sender.mailbox(second).unwrap().to_string(), "Firm Ltd <two@firm.example>");
    let reply_to = sender.reply_to.as_ref().map(ToString::to_string);
    assert_eq!(
        (reply_to.as_deref(), sender.when),
        (Some("Service <service@firm.example>"), SenderWhen::Always)
    );
    assert_eq!(config.complete_addresses.as_ref().map(Completion::domain), Some("firm.example"));
    let limits = &own.limits;
    assert_eq!((limits.connections, limits.pace, limits.calendar), (7, Pace::Even, true));
    assert_eq!(limits.batch, Some(Batch { messages: 50, pause: Duration::from_secs(2) }));
    let two = Some(2_000_000);
    let minute = Quota { messages: Some(30), recipients: Some(60), octets: two };
    assert_eq!(limits.quota(Window::MINUTE), minute);
    let windows: Vec<String> = limits.quotas.iter().map(|(window, _)| window.to_string()).collect();
    assert_eq!(windows, ["minute", "90s", "week", "30d"]);
    let of = |name: &str| limits.quota(Window::from_name(name).unwrap());
    assert_eq!((of("90s").octets, of("30d").messages), (Some(5_000_000), Some(7)));
    let group = office.limit_group.as_ref().unwrap();
    assert_eq!((group.name.as_str(), group.upstreams.as_slice()), ("mailbox", &["office".to_owned()][..]));
    assert_eq!((group.limits.connections, group.calendar), (Some(2), true));
    assert_eq!(group.limits.quota(Window::from_name("5m").unwrap()).octets, Some(150_000_000));
    assert_eq!(limits.quota(Window::WEEK), Quota { messages: None, recipients: Some(9), octets: None });
    assert_eq!(
        (limits.recipients_per_message, limits.message_size, office.message_size()),
        (8, Some(ByteSize(9 << 10)), Some(ByteSize(99 << 10)))
    );
    assert_eq!((second.name(), second.sender_bound, &second.limits), ("two@firm.example", true, limits));
    assert_eq!((third.name(), third.sender_bound, third.limits.connections), ("three", false, 2));
    assert_eq!(
        third.limits.quota(Window::MINUTE),
        Quota { messages: Some(30), recipients: Some(61), octets: two }
    );
    assert_eq!(third.limits.batch, Some(Batch { messages: 50, pause: Duration::from_secs(3) }));
    assert_eq!((third.limits.calendar, third.limits.pace), (false, Pace::Even));
    assert_eq!(office.shared_limits.connections, Some(4));
    let day = Quota { messages: None, recipients: Some(20_000), octets: None };
    assert_eq!(
        (office.shared_limits.quota(Window::DAY), office.shared_limits.quota(Window::HOUR)),
        (day, Quota::default())
    );
}

#[test]
fn settles_port_and_security() {
    use Security::{None as Open, StartTls, Tls};
    for (keys, port, security) in [
        ("", 587, StartTls),
        ("port = 25", 25, StartTls),
        ("port = 465", 465, Tls),
        ("security = \"tls\"", 465, Tls),
        ("security = \"none\"", 587, Open),
        ("port = 465\nsecurity = \"starttls\"", 465, StartTls),
        ("preset = \"gmail\"", 465, Tls),
        ("preset = \"gmail\"\nsecurity = \"starttls\"", 587, StartTls),
        ("preset = \"gmail\"\nport = 587", 587, StartTls),
        ("preset = \"smtp2go\"", 2525, StartTls),
        ("preset = \"smtp2go\"\nsecurity = \"tls\"", 465, Tls),
        ("preset = \"office365\"", 587, StartTls),
    ] {
        let config = loaded(&format!("[[upstream]]\nname = \"a\"\nhost = \"h\"\n{keys}\n")).config;
        let smtp = smtp(&config.upstreams[0]);
        assert_eq!((smtp.port, smtp.security, smtp.host.as_str()), (port, security, "h"), "{keys}");
    }
}

#[test]
fn keys_go_before_the_preset() {
    let text = "[[upstream]]\nname = \"a\"\npreset = \"google-workspace\"\n[upstream.limits]\nconnections = 2\n\
                per_day = { messages = 50 }\n";
    let config = loaded(text).config;
    let limits = &config.upstreams[0].accounts[0].limits;
    assert_eq!(smtp(&config.upstreams[0]).host, "smtp.gmail.com");
    assert_eq!((limits.connections, limits.recipients_per_message), (2, 100));
    assert_eq!(
        limits.quota(Window::DAY),
        Quota { messages: Some(50), recipients: Some(10_000), octets: None }
    );
}

#[test]
fn accounts_without_an_own_login_are_all() {
    let text = "[[upstream]]\nname = \"a\"\npreset = \"office365\"\nauth = \"login\"\n[upstream.limits]\n\
                connections = 2\n[[upstream.account]]\nuser = \"one@firm.example\"\npassword = \"x\"\n\
                [[upstream.account]]\nuser = \"two@firm.example\"\npassword = \"y\"\n\
                [upstream.account.limits]\nper_day = { recipients = 5000 }\n";
    let config = loaded(text).config;
    let [one, two] = config.upstreams[0].accounts.as_slice() else { panic!("two accounts") };
    assert_eq!((one.name(), two.name()), ("one@firm.example", "two@firm.example"));
    assert_eq!((one.limits.connections, two.limits.connections), (2, 2));
    let days = [one, two].map(|account| account.limits.quota(Window::DAY).recipients);
    assert_eq!(days, [Some(10_000), Some(5_000)]);
    assert!(!format!("{config:?}").contains("\"y\""));
}

#[test]
fn fallbacks_may_meet_and_have_the_names_as_their_upstreams_write_them() {
    let upstream = |name: &str, fallback: &str| {
        format!(
            "[[upstream]]\nname = \"{name}\"\nhost = \"h\"\nfilter = [\"{name}.example\"]\nfallback = {fallback}\n"
        )
    };
    let text = upstream("a", "[\"b\", \"C\"]") + &upstream("b", "[\"d\"]") + &upstream("c", "[\"d\"]");
    let config =
        loaded(&(text + &upstream("d", "[]").replace("fallback", "default = true\nfallback"))).config;
    assert_eq!(config.upstreams[0].fallback.upstreams, ["b", "c"]);
}

#[test]
fn the_time_zone_is_the_machines_unless_it_is_written() {
    let zone = |name: &str| jiff::tz::TimeZone::get(name).unwrap();
    let mut machine = machine(Path::new("/"), &[("MAILSLUICE__UPSTREAM__HOST", "h")]);
    machine.timezone = zone("Asia/Tokyo");
    assert_eq!(Config::load(None, &machine).unwrap().config.timezone, zone("Asia/Tokyo"));
    machine.environment.insert("MAILSLUICE__TIMEZONE".into(), "Europe/Vienna".into());
    assert_eq!(Config::load(None, &machine).unwrap().config.timezone, zone("Europe/Vienna"));
}

#[test]
fn a_sole_upstream_without_filter_is_the_default() {
    for (keys, default, warnings) in [
        ("", true, 0),
        ("default = true", true, 0),
        ("default = false", false, 1),
        ("filter = [\"a.example\"]", false, 1),
    ] {
        let loaded = loaded(&format!("{SOLE}{keys}\n"));
        assert_eq!(
            (loaded.config.upstreams[0].default, loaded.warnings.len()),
            (default, warnings),
            "{keys}"
        );
    }
    let two = format!("{SOLE}[[upstream]]\nname = \"b\"\nhost = \"h\"\ndefault = true\n");
    let LoadedConfig { config, warnings, .. } = loaded(&two);
    assert_eq!((config.upstreams[0].default, config.upstreams[1].default), (false, true));
    assert!(
        warnings[0].to_string().starts_with("mailsluice.toml:1:1: upstream.filter: is missing"),
        "{warnings:?}"
    );
    let named = format!("{two}fallback = [\"{}\"]\n", config.upstreams[0].name);
    assert_eq!(loaded(&named).warnings, [], "what stands in for another gets mail");
}

#[test]
fn accepts_later_keys_that_change_nothing() {
    let text = "history_days = 30\nwatch = false\nuser = []\n[alert]\n[secrets]\n\
        [console]\naddress = \"off\"\n[queue]\nmode = \"queued\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
        tls = \"none\"\nauth = \"none\"\nauth_without_tls = false\nproxy_protocol_from = []\nmode = \"queued\"\n\
        [[upstream]]\nname = \"a\"\nhost = \"h\"\nauth = \"none\"\n";
    assert_eq!(loaded(text).warnings, []);
}

#[test]
fn shows_no_secret() {
    let config = loaded(&format!("{SOLE}user = \"me\"\npassword = \"hush\"\n")).config;
    assert!(!format!("{config:?}").contains("hush"));
    for wrong in [
        "password = [\"hush\"]",
        "password = { file = [\"hush\"] }",
        "password = { fil = \"hush\" }",
        "password = { env = \"NOTSET\", file = \"hush\" }",
        "password = \"hush\\u0000\"\nuser = \"me\"",
        "password = \"hush\"",
        "pasword = \"hush\"",
        "passwort = \"hush",
        "password = hush",
        "password = \"\\qhush\"",
        "password = hush\\",
        "port = \"x\"\npassword = \"hush\"",
        "security = \"none\"\nuser = \"me\"\npassword = \"hush\"",
    ] {
        let faults = faults(&format!("{SOLE}{wrong}\n"));
        assert!(!faults.is_empty() && !faults.contains("hush"), "{wrong}: {faults}");
    }
}

#[test]
fn the_shipped_configuration_is_safe() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/mailsluice.toml");
    let config = Config::load(Some(&path), &machine(Path::new("/"), &[])).unwrap().config;
    assert!(config.listeners.iter().all(|listener| listener.address.ip().is_loopback()));
    assert!(config.upstreams.iter().all(|upstream| matches!(upstream.kind, UpstreamKind::Capture(_))));
    assert!(config.upstreams[0].default);
}

proptest! {
    #[test]
    fn never_panics_on_any_text(text in "(\\[{0,2}(upstream|listener|log|dkim|queue|console|x)\\]{0,2}|(name|host|port|filter|relay_from|level|limits|per_day|key|retry_min|address) = ([0-9]{1,20}|\"[a-z0-9.:@*/-]{0,12}\"|\\[\"[0-9.:/]{0,12}\"\\]|\\{ (file|messages) = 1 \\}|.)|\\PC{0,8}|\n){0,24}") {
        if let Err(faults) = Config::from_toml(&text, Path::new("/nonexistent")) {
            prop_assert!(!faults.all().is_empty());
            for fault in faults.all() {
                let line = fault.to_string();
                prop_assert!(line.starts_with("mailsluice.toml:") && !line.contains('\n'), "{}", line);
            }
        }
    }
}

#[test]
fn the_smallest_octets_of_a_window_are_a_message_size() {
    let toml = |own: &str, shared: &str, group: &str| {
        format!(
            "[[limit_group]]\nname = \"g\"\nper_week = {{ octets = \"{group}\" }}\n[[upstream]]\nname = \"u\"\n\
             host = \"h\"\nlimit_group = \"g\"\n[upstream.limits]\nmessage_size = 5000\n\
             per_day = {{ octets = {own} }}\n[upstream.shared_limits]\nper = {{ \"2h\" = {{ octets = {shared} }} }}\n"
        )
    };
    for (own, shared, group, want) in [
        ("9000", "9000", "9kB", 5_000),
        ("4000", "9000", "9kB", 4_000),
        ("9000", "3000", "9kB", 3_000),
        ("9000", "9000", "2kB", 2_000),
    ] {
        let LoadedConfig { config, .. } = loaded(&toml(own, shared, group));
        assert_eq!(config.upstreams[0].message_size(), Some(ByteSize(want)), "{own} {shared} {group}");
    }
}
