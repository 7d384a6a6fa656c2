//! A configuration of the relay, as the model has it: to be written as TOML, to be changed, to be asked.

use std::fmt::Write as _;

use super::dice::Dice;

/// One login: for what there is no limit here, there is none in the file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Login {
    pub(crate) user: &'static str,
    pub(crate) bound: bool,
    pub(crate) limits: Limits,
}

/// What may be sent. Each window has its length in seconds, its messages, its recipients.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Limits {
    pub(crate) connections: Option<u32>,
    pub(crate) windows: Vec<(u64, Option<u32>, Option<u32>)>,
    pub(crate) even: bool,
    /// Messages, and the pause in seconds.
    pub(crate) batch: Option<(u32, u64)>,
    pub(crate) per_message: Option<u32>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Relayhost {
    pub(crate) name: &'static str,
    pub(crate) host: &'static str,
    pub(crate) logins: Vec<Login>,
    pub(crate) shared: Limits,
    /// What the fallback is for.
    pub(crate) fallback_on: Option<Vec<&'static str>>,
}

/// All of it. The first upstream is the default, the second serves a domain of its own.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    pub(crate) upstreams: Vec<Relayhost>,
}

/// The senders; the first has an account of its own now and then.
pub(crate) const SENDERS: [&str; 4] =
    ["s1@firm.example", "s2@firm.example", "s3@other.example", "s4@firm.example"];
/// Failures after which an account counts as disabled.
pub(crate) const DISABLE_AFTER: u32 = 3;
/// After how long a quota makes mail take the fallback, in seconds.
pub(crate) const FALLBACK_AFTER: u64 = 300;
/// The longest wait between attempts, in seconds.
pub(crate) const RETRY_MAX: u64 = 600;

impl Plan {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let mut plan = Self {
            upstreams: vec![Relayhost::new(dice, "main", "h0"), Relayhost::new(dice, "backup", "h1")],
        };
        for _ in 0..4 {
            plan.change(dice);
        }
        plan
    }

    /// Without any limit or trouble.
    pub(crate) fn generous() -> Self {
        let upstream = |name, host| Relayhost {
            name,
            host,
            logins: vec![Login { user: "anna", bound: false, limits: Limits::default() }],
            shared: Limits::default(),
            fallback_on: None,
        };
        Self { upstreams: vec![upstream("main", "h0"), upstream("backup", "h1")] }
    }

    /// What a person changes at a time.
    pub(crate) fn change(&mut self, dice: &mut Dice) {
        let two = self.upstreams.len() == 2;
        match dice.between(0, 9) {
            0 | 1 => self.any(dice).logins[0].limits = Limits::random(dice, true),
            2 => {
                self.any(dice).shared =
                    if dice.percent(60) { Limits::random(dice, false) } else { Limits::default() }
            }
            3 => {
                let up = self.any(dice);
                for user in ["bert", SENDERS[0]] {
                    if dice.percent(60) {
                        up.toggle(dice, user);
                    }
                }
            }
            4 => {
                let up = &mut self.upstreams[0];
                up.name = if up.name == "main" { "renamed" } else { "main" };
            }
            5 | 6 if two => {
                let all = ["unreachable", "disabled", "quota"];
                let on = all.into_iter().filter(|_| dice.percent(70)).collect::<Vec<_>>();
                self.upstreams[0].fallback_on = (!on.is_empty()).then_some(on);
            }
            7 if two && dice.percent(50) => {
                self.upstreams.pop();
                self.upstreams[0].fallback_on = None;
            }
            7 if !two => self.upstreams.push(Relayhost::new(dice, "backup", "h1")),
            _ => {
                let up = self.any(dice);
                let place = dice.between(0, up.logins.len() as u64 - 1) as usize;
                up.logins[place].limits.connections = Some(dice.between(1, 3) as u32);
            }
        }
    }

    fn any(&mut self, dice: &mut Dice) -> &mut Relayhost {
        let place = dice.between(0, self.upstreams.len() as u64 - 1) as usize;
        &mut self.upstreams[place]
    }

    pub(crate) fn toml(&self) -> String {
        let mut text = "[queue]\nmode = \"direct\"\nwarn_after = \"never\"\nexpire_after = \"60d\"\n\
             retry_min = \"1m\"\nretry_max = \"10m\"\n[blacklist]\nauto_add = false\n"
            .to_owned();
        for (place, up) in self.upstreams.iter().enumerate() {
            up.write(&mut text, place == 0);
        }
        text
    }
}

impl Relayhost {
    fn new(dice: &mut Dice, name: &'static str, host: &'static str) -> Self {
        let login = Login { user: "anna", bound: false, limits: Limits::random(dice, true) };
        Self { name, host, logins: vec![login], shared: Limits::default(), fallback_on: None }
    }

    /// An account is added, or taken away.
    fn toggle(&mut self, dice: &mut Dice, user: &'static str) {
        let before = self.logins.len();
        self.logins.retain(|login| login.user != user);
        if self.logins.len() == before {
            self.logins.push(Login { user, bound: user.contains('@'), limits: Limits::random(dice, true) });
        }
    }

    fn write(&self, text: &mut String, is_default: bool) {
        let Self { name, host, .. } = self;
        writeln!(text, "[[upstream]]\nname = \"{name}\"\nhost = \"{host}\"\nehlo = \"{name}.relay.example\"")
            .unwrap();
        writeln!(text, "security = \"none\"\nallow_plaintext_auth = true\nauth = \"plain\"").unwrap();
        writeln!(text, "disable_after = {DISABLE_AFTER}\nuser = \"anna\"\npassword = \"secret\"").unwrap();
        text.push_str(if is_default { "default = true\n" } else { "filter = [\"other.example\"]\n" });
        if let Some(on) = &self.fallback_on {
            writeln!(
                text,
                "fallback = [\"backup\"]\nfallback_on = {on:?}\nfallback_after = \"{FALLBACK_AFTER}s\""
            )
            .unwrap();
        }
        self.logins[0].limits.write(text, "upstream.limits");
        for login in &self.logins[1..] {
            writeln!(text, "[[upstream.account]]\nuser = \"{}\"\npassword = \"secret\"", login.user).unwrap();
            writeln!(text, "sender_bound = {}", login.bound).unwrap();
            login.limits.write(text, "upstream.account.limits");
        }
        self.shared.write(text, "upstream.shared_limits");
    }
}

impl Limits {
    fn random(dice: &mut Dice, of_account: bool) -> Self {
        let mut maybe = |share, low, high| dice.percent(share).then(|| dice.between(low, high) as u32);
        let connections = maybe(if of_account { 80 } else { 50 }, 1, 3);
        let windows = [
            (60, maybe(50, 1, 8), maybe(25, 5, 40)),
            (420, maybe(15, 3, 15), maybe(10, 20, 60)),
            (3_600, maybe(40, 4, 30), maybe(30, 20, 80)),
            (86_400, maybe(10, 30, 60), None),
        ];
        let per_message = maybe(30, 3, 20).filter(|_| of_account);
        let batch = maybe(20, 1, 4).filter(|_| of_account);
        let windows =
            windows.into_iter().filter(|(_, messages, recipients)| messages.or(*recipients).is_some());
        Self {
            connections,
            windows: windows.collect(),
            per_message,
            batch: batch.map(|messages| (messages, dice.between(1, 40))),
            even: of_account && dice.percent(25),
        }
    }

    fn write(&self, text: &mut String, section: &str) {
        if *self == Self::default() {
            return;
        }
        writeln!(text, "[{section}]").unwrap();
        if let Some(connections) = self.connections {
            writeln!(text, "connections = {connections}").unwrap();
        }
        for (length, messages, recipients) in &self.windows {
            let name = match length {
                60 => "per_minute",
                3_600 => "per_hour",
                86_400 => "per_day",
                _ => "per",
            };
            let messages = messages.map(|most| format!("messages = {most}"));
            let recipients = recipients.map(|most| format!("recipients = {most}"));
            let parts: Vec<String> = messages.into_iter().chain(recipients).collect();
            let quota = format!("{{ {} }}", parts.join(", "));
            let quota = if name == "per" { format!("{{ \"{length}s\" = {quota} }}") } else { quota };
            writeln!(text, "{name} = {quota}").unwrap();
        }
        if self.even {
            text.push_str("pace = \"even\"\n");
        }
        if let Some((messages, pause)) = self.batch {
            writeln!(text, "batch = {{ messages = {messages}, pause = \"{pause}s\" }}").unwrap();
        }
        if let Some(most) = self.per_message {
            writeln!(text, "recipients_per_message = {most}").unwrap();
        }
    }
}
