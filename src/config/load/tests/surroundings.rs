//! The environment, where the file is looked for, and who else may read it.

use super::*;

#[test]
fn takes_everything_from_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("secret"), "hush\r\n", 0o600);
    let machine = machine(
        folder.path(),
        &[
            ("PATH", "/bin"),
            ("MAILSLUICE__UPSTREAM__PRESET", "office365"),
            ("MAILSLUICE__UPSTREAM__USER", "me"),
            ("MAILSLUICE__UPSTREAM__PASSWORD__FILE", "secret"),
            ("MAILSLUICE__UPSTREAM__FILTER", "firm.example, *.firm.example"),
            ("MAILSLUICE__UPSTREAM__DEFAULT", "true"),
            ("MAILSLUICE__UPSTREAM__LIMITS__PER_MINUTE__MESSAGES", "10"),
            ("MAILSLUICE__UPSTREAM__SHARED_LIMITS__PER_DAY__RECIPIENTS", "20"),
            ("MAILSLUICE__UPSTREAM__FALLBACK_ON", "quota, disabled"),
            ("MAILSLUICE__UPSTREAM__DISABLE_AFTER", "7"),
            ("MAILSLUICE__TIMEZONE", "Europe/Zurich"),
            ("MAILSLUICE__LISTENER__ADDRESS", "0.0.0.0:25"),
            ("MAILSLUICE__LISTENER__RELAY_FROM", "10.0.0.0/8,fd00::/8"),
            ("MAILSLUICE__SESSION__MAX_MESSAGE_SIZE", "1MiB"),
            ("MAILSLUICE__LOG__FORMAT", "json"),
        ],
    );
    let LoadedConfig { config, warnings, path, .. } = Config::load(None, &machine).unwrap();
    // There is nobody to fall back to: the variables of one upstream name no other.
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert!(warning.to_string().contains("FALLBACK_ON: has no effect"), "{warning}");
    assert_eq!(path, None);
    let upstream = &config.upstreams[0];
    assert_eq!((upstream.name.as_str(), upstream.default, upstream.filter.len()), ("default", true, 2));
    assert_eq!(upstream.accounts[0].limits.quota(Window::MINUTE).messages, Some(10));
    assert_eq!(upstream.shared_limits.quota(Window::DAY).recipients, Some(20));
    assert!(upstream.fallback.on.quota && !upstream.fallback.on.unreachable);
    assert_eq!((upstream.disable_after, config.timezone.iana_name()), (7, Some("Europe/Zurich")));
    assert_eq!(smtp(upstream).host, "smtp.office365.com");
    assert_eq!(upstream.accounts[0].password.as_ref().map(ExposeSecret::expose_secret), Some("hush"));
    assert_eq!(format!("{:?}", config.listeners[0].relay_from), "[10.0.0.0/8, fd00::/8]");
    assert_eq!((config.session.max_message_size, config.log.format), (ByteSize(1 << 20), LogFormat::Json));
    assert_eq!(config.data_dir, folder.path().join("data"));
}

#[test]
fn tells_faults_of_the_environment() {
    let machine = machine(
        Path::new("/"),
        &[
            ("MAILSLUICE__UPSTREAM__PORT", "70000"),
            ("MAILSLUICE__UPSTREAM__HSOT", "x"),
            ("MAILSLUICE__UPSTREAM__PASSWORD", "hush"),
            ("MAILSLUICE__LISTENER__ADDRESS", "0.0.0.0:25"),
            ("MAILSLUICE__COLOUR", "red"),
        ],
    );
    let faults = Config::load(None, &machine).unwrap_err().to_string();
    assert_eq!(
        faults.lines().collect::<Vec<_>>(),
        [
            "environment: MAILSLUICE__COLOUR: is not a key here: remove it",
            "environment: MAILSLUICE__LISTENER__RELAY_FROM: is missing: write addresses or networks such as \
             \"10.0.0.0/8\", or auth = \"required\", or listen on 127.0.0.1",
            "environment: MAILSLUICE__UPSTREAM__HSOT: is not a key here: write MAILSLUICE__UPSTREAM__HOST",
            "environment: MAILSLUICE__UPSTREAM__PORT: 70000 is out of range: write a whole number from 1 to 65535",
            "environment: MAILSLUICE__UPSTREAM__USER: is missing: write the login name, or remove password and auth",
        ]
    );
}

#[test]
fn says_which_variable_and_what_it_may_hold() {
    for (name, value, want) in [
        (
            "MAILSLUICE__LOG",
            "debug",
            "LOG: is a section, not a key: write MAILSLUICE__LOG__KEY, with the name of a key of it",
        ),
        (
            "MAILSLUICE__UPSTREAM",
            "h",
            "UPSTREAM: is a section, not a key: write MAILSLUICE__UPSTREAM__KEY, with the name of a key of it",
        ),
        (
            "MAILSLUICE__SESSION__PER_DAY",
            "5",
            "SESSION__PER_DAY: is not a key here: write MAILSLUICE__UPSTREAM__LIMITS__PER_DAY",
        ),
        (
            "MAILSLUICE__USER__NAME",
            "erp",
            "USER__NAME: is not reached by variables, since it may stand several times: write [[user]] into the file",
        ),
        (
            "MAILSLUICE__DKIM__PRIVATE_KEY",
            "x",
            "DKIM__PRIVATE_KEY: is not a key here: write MAILSLUICE__DKIM__KEY",
        ),
        ("MAILSLUICE__LOG__LEVL", "debug", "LOG__LEVL: is not a key here: write MAILSLUICE__LOG__LEVEL"),
        ("MAILSLUICE__LOGS__LEVEL", "debug", "LOGS__LEVEL: is not a key here: write MAILSLUICE__LOG__LEVEL"),
        (
            "MAILSLUICE__LOG__LEVEL",
            "\"debug\"",
            "LOG__LEVEL: has quotes, which belong to the value here: write it without them",
        ),
        (
            "MAILSLUICE__LOG__LEVEL",
            "loud",
            "LOG__LEVEL: \"loud\" is not one of its values: write \"error\", \"warn\", \"info\", \"debug\" or \"trace\"",
        ),
        ("MAILSLUICE__WATCH", "yes", "WATCH: is not true or false: write true or false without quotes"),
        (
            "MAILSLUICE__WATCH",
            "\"true\"",
            "WATCH: has quotes, which belong to the value here: write it without them",
        ),
        (
            "MAILSLUICE__QUEUE__MAX_MESSAGES",
            "many",
            "QUEUE__MAX_MESSAGES: is not a whole number: write a whole number from 1 to 9223372036854775807",
        ),
        ("MAILSLUICE__LOGS", "debug", "LOGS: is not a key here: write MAILSLUICE__LOG__KEY"),
        (
            "MAILSLUICE__UPSTREAM__PRESET",
            "\"gmail\"",
            "UPSTREAM__PRESET: has quotes, which belong to the value here: write it without them",
        ),
        ("MAILSLUICE__HSOT", "h", "HSOT: is not a key here: write MAILSLUICE__UPSTREAM__HOST"),
    ] {
        let machine = machine(Path::new("/"), &[("MAILSLUICE__HOSTNAME", "relay.example"), (name, value)]);
        let faults = match Config::load(None, &machine) {
            Ok(_) => panic!("{name}={value}"),
            Err(faults) => faults.to_string(),
        };
        assert!(
            faults.lines().any(|line| line == format!("environment: MAILSLUICE__{want}")),
            "{name}: {faults}"
        );
    }
    let set = [("MAILSLUICE__UPSTREAM__HOST", "h"), ("MAILSLUICE__UPSTREAM__ACCOUNT__USER", "me")];
    let faults = Config::load(None, &machine(Path::new("/"), &set)).unwrap_err().to_string();
    assert!(faults.contains("ACCOUNT__USER: is not reached by variables"), "{faults}");
}

#[test]
fn variables_with_single_underscores_are_told() {
    let set = [
        ("MAILSLUICE__UPSTREAM__HOST", "smtp.firm.example"),
        ("MAILSLUICE__UPSTREAM__USER", "me"),
        ("MAILSLUICE__UPSTREAM__PASSWORD__ENV", "MAILSLUICE_UPSTREAM_PASSWORD"),
        ("MAILSLUICE_UPSTREAM_PASSWORD", "hush"),
        ("MAILSLUICE_QUEUE_RETRY_MAX", "2h"),
        ("MAILSLUICE_VERSION", "1"),
        ("MAILSLUICE_CONFIG", ""),
    ];
    let warnings = Config::load(None, &machine(Path::new("/"), &set)).unwrap().warnings;
    let told: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        ["environment: MAILSLUICE_QUEUE_RETRY_MAX: is not read: write MAILSLUICE__QUEUE__RETRY_MAX"]
    );
}

#[test]
fn without_file_and_environment_there_is_no_upstream() {
    let faults = Config::load(None, &machine(Path::new("/nonexistent"), &[])).unwrap_err();
    assert_eq!(
        faults.to_string(),
        "configuration: upstream: is missing, and no configuration was found at /nonexistent/config/mailsluice.toml or \
         /nonexistent/etc/mailsluice.toml: write one of them, name another by --config, or set MAILSLUICE__UPSTREAM__HOST"
    );
    assert_eq!(faults.all().len(), 1);
}

#[test]
fn looks_for_the_file_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let named = |name: &str| SOLE.replace("\"a\"", &format!("\"{name}\""));
    for name in ["argument", "variable", "config/mailsluice", "etc/mailsluice"] {
        write(&folder.path().join(format!("{name}.toml")), &named(name.split('/').next().unwrap()), 0o644);
    }
    let variable = machine(folder.path(), &[("MAILSLUICE_CONFIG", "variable.toml")]);
    let plain = machine(folder.path(), &[]);
    let load = |path: Option<&str>, machine: &Machine| {
        let loaded = Config::load(path.map(Path::new), machine).unwrap();
        (loaded.config.upstreams[0].name.clone(), loaded.config.data_dir)
    };
    assert_eq!(load(Some("argument.toml"), &variable), ("argument".to_owned(), folder.path().join("data")));
    assert_eq!(load(None, &variable).0, "variable");
    assert_eq!(load(None, &plain), ("config".to_owned(), folder.path().join("config/data")));
    std::fs::remove_file(folder.path().join("config/mailsluice.toml")).unwrap();
    assert_eq!(load(None, &plain).0, "etc");
    let gone = Config::load(Some(Path::new("gone.toml")), &plain).unwrap_err().to_string();
    assert!(gone.starts_with("gone.toml:1:1: file: cannot read "), "{gone}");
}

#[test]
fn the_environment_goes_before_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{SOLE}user = \"me\"\npassword = {{ file = \"gone\" }}\n[log]\nlevel = \"warn\"\n");
    write(&folder.path().join("config/mailsluice.toml"), &text, 0o600);
    let variables =
        [("MAILSLUICE__UPSTREAM__PASSWORD__ENV", "P"), ("P", "hush"), ("MAILSLUICE__LOG__LEVEL", "error")];
    let config = Config::load(None, &machine(folder.path(), &variables)).unwrap().config;
    assert_eq!((config.log.level, config.upstreams[0].name.as_str()), (LogLevel::Error, "a"));
    assert_eq!(
        config.upstreams[0].accounts[0].password.as_ref().map(ExposeSecret::expose_secret),
        Some("hush")
    );
}

#[test]
fn warns_of_secrets_that_others_can_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.toml");
    let load = |secret: &str, mode: u32| {
        write(&path, &format!("{SOLE}user = \"me\"\npassword = {secret}\n"), mode);
        Config::load(Some(&path), &machine(folder.path(), &[])).unwrap().warnings
    };
    write(&folder.path().join("open"), "hush\n", 0o644);
    write(&folder.path().join("shut"), "hush\n", 0o640);
    assert_eq!(load("{ file = \"shut\" }", 0o644), []);
    assert_eq!(load("\"hush\"", 0o600), []);
    let open = load("{ file = \"open\" }", 0o600);
    assert!(
        open[0].to_string().contains(":5:21: upstream.password.file: can be read by others: "),
        "{open:?}"
    );
    let plain = load("\"hush\"", 0o644);
    assert!(
        plain[0].to_string().contains(":5:12: upstream.password: is in a file that others can read"),
        "{plain:?}"
    );
}
