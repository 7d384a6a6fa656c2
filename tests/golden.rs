//! The golden dialogues of `tests/sessions/*.smtp`, and sessions against the clock.
//!
//! A dialogue is a list of lines:
//! - `@ key value` sets the world up: see [`set_up`]. Only at the beginning.
//! - `C: text` the client sends the text with CRLF; lines that follow each other are sent in one piece.
//! - `R: text` the same without CRLF. Both know `\r \n \0 \xNN \\`, and `\*N` for N times the octet before it.
//! - `S: text` the server answers this line; `*` stands for any text.
//! - `E:` the server hangs up.
//! - `T:` the client does its part of a TLS handshake; all that follows is inside TLS.
//! - `Q: from -> to, to` the next message in the queue; `-` at the end of a recipient: accepted but dropped; then
//!   `held`, `test` when it is in test mode, and `user NAME` who had logged in.
//! - `P: priority message; recipient; …` what it asks for beyond delivery, each as parameters.
//! - `H: text` the stored content of that message has this line; `N: text` it has no such line.
//! - `L: text` the log says this, behind what the last `L:` was about; time and level are left out.
//! - `O:` the session is over, and the log says no more.
//! - `F: n` so many files are in the content folder.

#![allow(clippy::unwrap_used, reason = "a test may stop where its world breaks")]

#[path = "support/memory_store.rs"]
mod memory_store;
#[path = "support/paper.rs"]
mod paper;
#[path = "support/tls.rs"]
mod tls;
#[path = "support/world.rs"]
mod world;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use mailsluice::config::{
    BlacklistAction, ByteSize, Config, Filter, LongLines, Newlines, Quota, Rule, ServerAuth, TestAction,
    User, UserPassword, UserPriority, Window,
};
use mailsluice::listen::{Door, Gate};
use mailsluice::mail::{Address, ClientNetwork, Completion};
use mailsluice::policy::pacing::Pacing;
use mailsluice::store::{BlacklistEntry, BlacklistSource, NewMessage};
use mailsluice::time::Timeline;
use paper::Paper;
use tls::Pipe;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use world::{Running, World};

#[tokio::test(start_paused = true)]
async fn golden_dialogues() {
    let mut files: Vec<_> = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sessions"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "smtp"))
        .collect();
    files.sort();
    assert!(files.len() >= 20, "only {} dialogues were found", files.len());
    let mut failures = Vec::new();
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        if let Err(failure) = play(&text).await {
            failures.push(format!("{}:{failure}", file.file_name().unwrap().to_string_lossy()));
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// Plays one dialogue; the error begins with the number of the line.
async fn play(text: &str) -> Result<(), String> {
    let mut world = World::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("@ ")) {
        set_up(&mut world, line);
    }
    let (paper, _listening) = Paper::listen();
    let mut logged = 0;
    let mut running = world.connect().await;
    let pipe: Box<dyn Pipe> = Box::new(std::mem::replace(&mut running.client, tokio::io::duplex(1).0));
    let mut client = BufReader::new(pipe);
    let (mut pending, mut queued, mut message) = (Vec::new(), 0, None);
    for (number, line) in text.lines().enumerate() {
        let fail = |what: String| Err(format!("{}: {what}", number + 1));
        let (kind, argument) = line.split_at_checked(2).unwrap_or((line, ""));
        let argument = argument.strip_prefix(' ').unwrap_or(argument);
        if !matches!(kind, "C:" | "R:") && !pending.is_empty() {
            client.write_all(&std::mem::take(&mut pending)).await.map_err(|e| format!("{number}: {e}"))?;
            client.flush().await.map_err(|e| format!("{number}: {e}"))?;
        }
        match kind {
            "C:" => pending.extend_from_slice(&[unescape(argument), b"\r\n".to_vec()].concat()),
            "R:" => pending.extend_from_slice(&unescape(argument)),
            "S:" | "E:" => {
                if let Err(what) = heard(&mut client, (kind == "S:").then_some(argument)).await {
                    return fail(what);
                }
            }
            "T:" => {
                assert!(client.buffer().is_empty(), "{number}: what was said in clear text?");
                match tls::handshake(client.into_inner()).await {
                    Ok(stream) => client = BufReader::new(stream),
                    Err(error) => return fail(format!("no TLS: {error}")),
                }
            }
            "Q:" => {
                let next = running.store.messages.lock().unwrap().get(queued).cloned();
                let got = next.as_ref().map_or("nothing".into(), envelope);
                if got != argument {
                    return fail(format!("should have queued {argument:?}, but has {got:?}"));
                }
                (queued, message) = (queued + 1, next);
            }
            "P:" => {
                let got = requests(message.as_ref().expect("Q: comes before P:"));
                if got != argument {
                    return fail(format!("should ask for {argument:?}, but asks for {got:?}"));
                }
            }
            "H:" | "N:" => {
                let content = running.content(message.as_ref().expect("Q: comes before H: and N:"));
                if has_line(&content, argument) != (kind == "H:") {
                    let content = String::from_utf8_lossy(&content);
                    return fail(format!("{kind} {argument:?} is wrong, the content is {content:?}"));
                }
            }
            "L:" => {
                let lines = paper.lines();
                let Some(found) = lines[logged..].iter().position(|line| matches(argument, line)) else {
                    return fail(format!("should have logged {argument:?}, but has {:#?}", &lines[logged..]));
                };
                logged += found + 1;
            }
            "O:" => {
                (&mut running.session).await.unwrap();
                if let [more, ..] = &paper.lines()[logged..] {
                    return fail(format!("should have logged no more, but has {more:?}"));
                }
            }
            "F:" if running.files().len().to_string() != argument => {
                return fail(format!("there are {} files", running.files().len()));
            }
            _ => assert!(line.is_empty() || line.starts_with(['#', '@', 'F']), "what is {line:?}?"),
        }
    }
    let all = running.store.messages.lock().unwrap().len();
    let end = || format!("end: {all} messages were queued, {queued} are expected");
    (all == queued).then_some(()).ok_or_else(end)
}

/// Whether the server's next line fits; or, without a pattern, whether there is none.
async fn heard(client: &mut (impl AsyncBufReadExt + Unpin), pattern: Option<&str>) -> Result<(), String> {
    let mut got = Vec::new();
    client.read_until(b'\n', &mut got).await.map_err(|error| error.to_string())?;
    let got = String::from_utf8_lossy(&got).into_owned();
    match pattern {
        None if !got.is_empty() => Err(format!("should be closed, but says {got:?}")),
        Some(pattern) if !matches(pattern, got.strip_suffix("\r\n").unwrap_or("no line")) => {
            Err(format!("should be {pattern:?}, is {got:?}"))
        }
        _ => Ok(()),
    }
}

fn has_line(content: &[u8], pattern: &str) -> bool {
    String::from_utf8_lossy(content).split_terminator("\r\n").any(|line| matches(pattern, line))
}

/// `@ key value` of a dialogue.
fn set_up(world: &mut World, line: &str) {
    let (key, value) = line.split_once(' ').unwrap_or((line, ""));
    let number = || value.parse::<u64>().unwrap();
    let session = &mut world.config.session;
    match key {
        "client" => world.client = value.parse().unwrap(),
        "complete_addresses" => world.config.complete_addresses = Completion::parse(value),
        "max_recipients" => session.max_recipients = number() as usize,
        "max_errors" => session.max_errors = number() as u32,
        "max_message_size" => session.max_message_size = ByteSize(number()),
        "reject_newlines" => session.bare_newline = Newlines::Reject,
        "long_lines" if value == "reject" => session.long_lines = LongLines::Reject,
        "long_lines" if value == "pass" => session.long_lines = LongLines::Pass,
        "memory" => world.memory = number(),
        "log_subject" => world.config.log.subject = true,
        "queue_holds" => world.config.queue.max_messages = number(),
        "min_free_disk" => world.config.queue.min_free_disk = ByteSize(number()),
        "unhealthy" => world.store.unhealthy.store(true, Ordering::SeqCst),
        "broken" => world.store.broken.store(true, Ordering::SeqCst),
        "in_doubt" => world.store.in_doubt.store(true, Ordering::SeqCst),
        "full" => world.store.full.store(true, Ordering::SeqCst),
        "drop" => world.config.blacklist.action = BlacklistAction::Drop,
        "blacklist" => world.store.blacklist.push(BlacklistEntry {
            pattern: value.into(),
            reason: "it bounced".into(),
            source: BlacklistSource::Manual,
            added: 0,
            expires: None,
        }),
        "route" => {
            let upstream = Arc::make_mut(&mut world.config.upstreams[0]);
            upstream.default = false;
            upstream.filter = vec![Filter::parse(value).unwrap()];
        }
        "listener" => world.config.listeners[0].address = value.parse().unwrap(),
        "nobody_relays" => world.config.listeners[0].relay_from.clear(),
        "tls" => world.config.listeners[0].tls = Some(tls::server(value)),
        "auth" => {
            world.config.listeners[0].auth =
                if value == "required" { ServerAuth::Required } else { ServerAuth::Optional };
        }
        "auth_without_tls" => world.config.listeners[0].auth_without_tls = true,
        "user" => {
            let (name, password) = value.split_once(' ').unwrap();
            world.config.users.push(user(name, UserPassword::Plain(password.into())));
        }
        "scram_user" => {
            let (name, verifier) = value.split_once(' ').unwrap();
            world.config.users.push(user(name, UserPassword::Scram(verifier.parse().unwrap())));
        }
        "per_hour" => {
            let upstream = Arc::make_mut(&mut world.config.upstreams[0]);
            let quota = Quota { messages: Some(u32::try_from(number()).unwrap()), ..Quota::default() };
            upstream.accounts[0].limits.quotas.set(Window::HOUR, quota);
        }
        "upstream_size" => {
            let upstream = Arc::make_mut(&mut world.config.upstreams[0]);
            upstream.accounts[0].limits.message_size = Some(ByteSize(number()));
        }
        "upstream_octets" => {
            let upstream = Arc::make_mut(&mut world.config.upstreams[0]);
            let quota = Quota { octets: Some(number()), ..Quota::default() };
            upstream.accounts[0].limits.quotas.set(Window::HOUR, quota);
        }
        "test_mode" => {
            world.config.test_mode.enabled = true;
            world.config.test_mode.action =
                if value == "hold" { TestAction::Hold } else { TestAction::Redirect };
            world.config.test_mode.address = Some(Address::parse("test@firm.example").unwrap());
        }
        "test_address" => world.config.test_mode.address = Some(Address::parse(value).unwrap()),
        "rule" => world.config.rules.push(rule(value)),
        "grant" => grant(world.config.users.last_mut().unwrap(), value),
        _ => panic!("what is {line:?}?"),
    }
}

fn user(name: &str, password: UserPassword) -> User {
    User {
        name: name.into(),
        password,
        senders: vec![],
        default_sender: None,
        replace_foreign_sender: false,
        priority: UserPriority::Normal,
        recipients: vec![],
        max_message_size: None,
        test: false,
    }
}

/// A rule; its keys stand in one line, with a semicolon and a space between them.
fn rule(text: &str) -> Rule {
    let keys = text.replace("; ", "\n");
    let text = format!("[[upstream]]\nname = \"main\"\nhost = \"h\"\n[[rule]]\n{keys}\n");
    let loaded = Config::from_toml(&text, Path::new("/")).unwrap_or_else(|faults| panic!("{faults}"));
    loaded.config.rules.into_iter().next().unwrap()
}

/// `[senders=a,b] [default=ADDRESS] [replace] [priority=high] [test] [recipients=a,b] [size=N]`
fn grant(user: &mut User, text: &str) {
    for word in text.split(' ') {
        match word.split_once('=').unwrap_or((word, "")) {
            ("senders", list) => user.senders = list.split(',').map(filter).collect(),
            ("default", address) => user.default_sender = Some(Address::parse(address).unwrap()),
            ("test", _) => user.test = true,
            ("recipients", list) => user.recipients = list.split(',').map(filter).collect(),
            ("size", octets) => user.max_message_size = octets.parse().ok().map(ByteSize),
            ("replace", _) => user.replace_foreign_sender = true,
            ("priority", "high") => user.priority = UserPriority::High,
            _ => panic!("what is {word:?}?"),
        }
    }
}

fn filter(text: &str) -> Filter {
    Filter::parse(text).unwrap()
}

fn envelope(message: &NewMessage) -> String {
    let to = message.recipients.iter().map(|r| format!("{}{}", r.address, if r.dropped { " -" } else { "" }));
    let held = if message.held { " held" } else { "" };
    let test = if message.decisions.test.is_some() { " test" } else { "" };
    let user = message.client.user.as_ref().map(|user| format!(" user {user}")).unwrap_or_default();
    format!("{} -> {}{held}{test}{user}", message.reverse_path, to.collect::<Vec<_>>().join(", "))
}

/// The priority, then the parameters of the message, then those of each recipient.
fn requests(message: &NewMessage) -> String {
    let parameter = |name: &str, value: Option<String>| value.map(|value| format!(" {name}={value}"));
    let mut text = format!("{:?}", message.priority).to_lowercase();
    text.extend(parameter("RET", message.request.ret.map(|ret| ret.to_string())));
    text.extend(parameter("ENVID", message.request.envelope_id.as_ref().map(ToString::to_string)));
    text.extend(parameter("MT-PRIORITY", message.request.priority.map(|priority| priority.to_string())));
    for recipient in message.recipients.iter() {
        text.push(';');
        text.extend(parameter("NOTIFY", recipient.request.notify.map(|notify| notify.to_string())));
        text.extend(parameter("ORCPT", recipient.request.original.as_ref().map(ToString::to_string)));
    }
    text
}

fn unescape(text: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let (kind, after) = rest[at + 1..].split_at(1);
        let mut used = 0;
        match kind {
            "r" => out.push(b'\r'),
            "n" => out.push(b'\n'),
            "0" => out.push(0),
            "x" => {
                used = 2;
                out.push(u8::from_str_radix(&after[..2], 16).unwrap());
            }
            "*" => {
                used = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
                let octet = *out.last().unwrap();
                out.extend(std::iter::repeat_n(octet, after[..used].parse::<usize>().unwrap() - 1));
            }
            _ => out.extend_from_slice(kind.as_bytes()),
        }
        rest = &after[used..];
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// Whether the text fits the pattern, in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => text.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len()).filter(|&i| rest.is_char_boundary(i)).any(|i| matches(tail, &rest[i..]))
        }),
    }
}

/// Sends the octets one by one, a second apart, until the server says something; returns it and the time it took.
async fn trickle(running: &mut Running, octets: &[u8]) -> (String, Duration) {
    let start = Instant::now();
    let mut said = vec![0; 1000];
    for octet in octets.iter().cycle() {
        tokio::select! {
            read = running.client.read(&mut said) => {
                said.truncate(read.unwrap());
                break;
            }
            () = tokio::time::sleep(Duration::from_secs(1)) => running.client.write_all(&[*octet]).await.unwrap(),
        }
    }
    (String::from_utf8(said).unwrap(), start.elapsed())
}

/// Says the lines and swallows the replies, up to the one that begins with `last`.
async fn say(running: &mut Running, lines: &str, last: &str) {
    running.client.write_all(lines.as_bytes()).await.unwrap();
    let (mut heard, mut piece) = (String::new(), [0; 1000]);
    while !heard.lines().any(|line| line.starts_with(last)) || !heard.ends_with("\r\n") {
        let octets = running.client.read(&mut piece).await.unwrap();
        assert!(octets > 0, "the session ended: {heard}");
        heard.push_str(std::str::from_utf8(&piece[..octets]).unwrap());
    }
}

const OPENING: &str = "EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n";

#[tokio::test(start_paused = true)]
async fn a_slow_command_is_cut() {
    let mut running = World::new().connect().await;
    say(&mut running, "EHLO x\r\n", "250 ").await;
    let (said, took) = trickle(&mut running, b"N").await;
    assert!(said.starts_with("421 4.4.2 "), "{said}");
    assert!((299..=301).contains(&took.as_secs()), "{took:?}");
    running.session.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_slow_content_is_cut_and_leaves_nothing() {
    let (paper, _listening) = Paper::listen();
    let mut running = World::new().connect().await;
    say(&mut running, OPENING, "354 ").await;
    let large = "x\r\n".repeat(60_000);
    running.client.write_all(large.as_bytes()).await.unwrap();
    let (said, took) = trickle(&mut running, b"x\r\n").await;
    assert!(said.starts_with("421 4.4.2 "), "{said}");
    assert!((599..=601).contains(&took.as_secs()), "{took:?}");
    drop(std::mem::replace(&mut running.client, tokio::io::duplex(1).0));
    (&mut running.session).await.unwrap();
    assert_eq!(running.files(), Vec::<String>::new());
    assert_eq!(running.memory.available(), 1 << 20);
    assert!(running.store.messages.lock().unwrap().is_empty());
    let want = "rejected session=test client=127.0.0.1 listener=127.0.0.1:2525 from=a@b reply=\"421 4.4.2 *\" reason=timeout";
    assert!(paper.lines().iter().any(|line| matches(want, line)), "{:?}", paper.lines());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_dropped() {
    let mut running = World::new().connect().await;
    let flood = "HELP\r\n".repeat(1000);
    let start = Instant::now();
    while running.client.write_all(flood.as_bytes()).await.is_ok() {}
    (&mut running.session).await.unwrap();
    assert!((299..=302).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_lost_client_leaves_nothing_but_a_line_in_the_log() {
    let (paper, _listening) = Paper::listen();
    let mut running = World::new().connect().await;
    say(&mut running, OPENING, "354 ").await;
    running.client.write_all("x\r\n".repeat(60_000).as_bytes()).await.unwrap();
    drop(std::mem::replace(&mut running.client, tokio::io::duplex(1).0));
    (&mut running.session).await.unwrap();
    assert_eq!(running.files(), Vec::<String>::new());
    assert_eq!(running.memory.available(), 1 << 20);
    let want = "rejected session=test client=127.0.0.1 listener=127.0.0.1:2525 from=a@b reason=disconnected";
    assert_eq!(paper.lines(), [want]);
}

/// The octets of a chunk belong to it, whenever they come, and whatever becomes of it.
#[tokio::test(start_paused = true)]
async fn octets_of_a_misplaced_chunk_are_thrown_away() {
    let mut running = World::new().connect().await;
    say(&mut running, "EHLO x\r\n", "250 ").await;
    running.client.write_all(b"BDAT 20 LAST\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    running.client.write_all(b"MAIL FROM:<evil@b>\r").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    say(&mut running, "\nNOOP\r\n", "250 2.0.0 OK").await;
    say(&mut running, "MAIL FROM:<a@b>\r\n", "250 2.1.0").await;
    // One that is larger than any message is not worth the wait.
    running.client.write_all(b"BDAT 3000000\r\n").await.unwrap();
    let mut rest = String::new();
    running.client.read_to_string(&mut rest).await.unwrap();
    assert!(rest.starts_with("503 5.5.1 ") && rest.lines().count() == 1, "{rest}");
}

/// However the octets are cut, and whatever they look like: it is one message, the same as by DATA.
#[tokio::test(start_paused = true)]
async fn chunks_are_one_message_at_every_cut() {
    let content = "Subject: x\r\n\r\n.\n.\r\r\n.\r\nMAIL FROM:<evil@b>\r\n\n.\n\r.\rBDAT 3\r\n";
    let body = "\r\n.\r\n.\r\n.\r\nMAIL FROM:<evil@b>\r\n\r\n.\r\n\r\n.\r\nBDAT 3\r\n";
    for cut in 0..=content.len() {
        let (first, second) = content.split_at(cut);
        let wire = format!(
            "EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT {cut}\r\n{first}BDAT {} LAST\r\n{second}QUIT\r\n",
            second.len()
        );
        for piece in [1, wire.len()] {
            let mut running = World::new().connect().await;
            for octets in wire.as_bytes().chunks(piece) {
                running.client.write_all(octets).await.unwrap();
                tokio::task::yield_now().await;
            }
            let mut said = String::new();
            running.client.read_to_string(&mut said).await.unwrap();
            assert!(said.lines().last().is_some_and(|line| line.starts_with("221 ")), "{cut}: {said}");
            let messages = running.store.messages.lock().unwrap().clone();
            let [only] = messages.as_slice() else { panic!("{cut}: {} messages", messages.len()) };
            let stored = String::from_utf8(running.content(only)).unwrap();
            assert!(stored.ends_with(&format!("Subject: x\r\n{body}")), "{cut}: {stored:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn chunks_that_never_end_are_cut_and_leave_nothing() {
    let mut running = World::new().connect().await;
    say(&mut running, "EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", "250 2.1.5").await;
    let large = "x\r\n".repeat(60_000);
    say(&mut running, &format!("BDAT {}\r\n{large}", large.len()), "250 2.0.0 180000").await;
    assert_eq!(running.files().len(), 1);
    let start = Instant::now();
    let mut said = String::new();
    while said.is_empty() {
        tokio::select! {
            read = running.client.read_to_string(&mut said) => { read.unwrap(); }
            () = tokio::time::sleep(Duration::from_secs(100)) => {}
        }
        if said.is_empty() {
            running.client.write_all(b"BDAT 0\r\n").await.unwrap();
        }
        said = said.replace("250 2.0.0 0 octets received\r\n", "");
    }
    assert!(said.starts_with("421 4.4.2 "), "{said}");
    assert!((599..=601).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    (&mut running.session).await.unwrap();
    assert_eq!(running.files(), Vec::<String>::new());
    assert_eq!(running.memory.available(), 1 << 20);
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_the_message_under_way() {
    let mut running = World::new().connect().await;
    say(&mut running, OPENING, "354 ").await;
    running.stop.send(true).unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    running.client.write_all(b"hello\r\n.\r\n").await.unwrap();
    let mut rest = String::new();
    running.client.read_to_string(&mut rest).await.unwrap();
    let lines: Vec<&str> = rest.lines().collect();
    assert!(lines[0].starts_with("250 2.0.0 queued as ") && lines[1].starts_with("421 4.3.2 "), "{rest}");
    assert_eq!(running.store.messages.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_an_idle_session() {
    let mut running = World::new().connect().await;
    say(&mut running, "EHLO x\r\n", "250 ").await;
    running.stop.send(true).unwrap();
    let mut rest = String::new();
    running.client.read_to_string(&mut rest).await.unwrap();
    assert!(rest.starts_with("421 4.3.2 "), "{rest}");
}

/// A large message, with and without memory to spare; the content is the same, wherever it is.
#[tokio::test(start_paused = true)]
async fn large_content_streams_to_a_file() {
    for (memory, lines, files) in
        [(1 << 20, 50_000, 1), (0, 50_000, 1), (0, 2000, 1), (1 << 20, 2000, 0), (0, 1, 0)]
    {
        let mut world = World::new();
        world.memory = memory;
        let mut running = world.connect().await;
        say(&mut running, OPENING, "354 ").await;
        let body = "..x\u{e4}\r\n".repeat(lines);
        running.client.write_all(format!("Subject: x\r\n\r\n{body}.\r\n").as_bytes()).await.unwrap();
        say(&mut running, "", "250 2.0.0").await;
        let message = running.store.messages.lock().unwrap()[0].clone();
        let content = String::from_utf8(running.content(&message)).unwrap();
        assert_eq!(content.split_once("\r\n\r\n").unwrap().1, body.replace("..", "."), "{memory} {lines}");
        assert_eq!(running.files().len(), files, "{memory} {lines}");
        assert_eq!(running.memory.available(), memory);
    }
}

/// A listener on loopback, and what it takes to stop it.
async fn listen(
    max: usize,
    per_client: usize,
) -> (std::net::SocketAddr, watch::Sender<bool>, JoinHandle<()>) {
    listen_with(max, per_client, None).await
}

async fn listen_with(
    max: usize,
    per_client: usize,
    pacing: Option<Arc<Pacing>>,
) -> (std::net::SocketAddr, watch::Sender<bool>, JoinHandle<()>) {
    let mut world = World::new();
    world.config.listeners[0].address = "127.0.0.1:0".parse().unwrap();
    let (mut services, _, folder) = world.services().await;
    services.pacing = pacing.unwrap_or(services.pacing);
    let listener = services.config.listeners[0].clone();
    let socket = mailsluice::listen::bind(&listener).unwrap();
    let door = Arc::new(ArcSwap::from_pointee(Door::new(&listener, Arc::new(services))));
    let address = socket.local_addr().unwrap();
    let (stop, stopping) = watch::channel(false);
    let gate = Arc::new(Gate::new(max, per_client));
    let serving = tokio::spawn(async move {
        let closing = oneshot::channel().0;
        mailsluice::listen::serve(Arc::new(socket), door, gate, stopping, closing).await;
        drop(folder);
    });
    (address, stop, serving)
}

/// A clock that stands still.
struct Stopped;

impl mailsluice::time::Clock for Stopped {
    fn wall(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }
    fn since_boot(&self) -> Duration {
        Duration::from_secs(1)
    }
    fn boot_id(&self) -> String {
        "boot".to_owned()
    }
}

#[tokio::test]
async fn a_flood_of_connections_is_turned_away() {
    let pacing = Arc::new(Pacing::new(Timeline::resume(Arc::new(Stopped), None)));
    let home = ClientNetwork::of("127.0.0.1".parse().unwrap());
    let mut let_in = 0;
    while pacing.connection(home).is_ok() {
        let_in += 1;
    }
    assert!(let_in >= 10_000, "a burst of {let_in} is called a flood");
    let (address, _stop, serving) = listen_with(9, 9, Some(pacing)).await;
    let (_, greeting) = knock(address).await;
    let want = "421 4.7.0 relay.example: too many connections from your address, try again in ";
    assert!(greeting.starts_with(want), "{greeting}");
    serving.abort();
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_messages_is_deferred() {
    let world = World::new();
    let client = ClientNetwork::of(world.client);
    let pacing = Arc::new(Pacing::new(Timeline::resume(Arc::new(Stopped), None)));
    let mut let_in = 1;
    while pacing.message(client, None).is_ok() {
        let_in += 1;
    }
    assert!(let_in >= 10_000, "a burst of {let_in} is called a flood");
    let mut running = world.connect_with(Some(pacing)).await;
    say(&mut running, "", "220 ").await;
    say(&mut running, "HELO x\r\n", "250 ").await;
    say(&mut running, "MAIL FROM:<a@firm.example>\r\n", "450 4.7.0 too many messages from your address")
        .await;
    say(&mut running, "NOOP\r\n", "250 ").await;
}

/// Connects and reads the first line.
async fn knock(address: std::net::SocketAddr) -> (BufReader<TcpStream>, String) {
    let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
    let mut line = String::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_line(&mut line));
    read.await.expect("an answer within 10 s").unwrap();
    (stream, line)
}

#[tokio::test]
async fn the_surplus_is_turned_away_and_room_is_found_again() {
    for (max, per_client, want) in [(2, 9, "421 4.3.2 "), (9, 2, "421 4.7.0 ")] {
        let (address, _stop, serving) = listen(max, per_client).await;
        let (first, greeting) = knock(address).await;
        assert!(greeting.starts_with("220 "), "{greeting}");
        let (_second, _) = knock(address).await;
        let (_, refusal) = knock(address).await;
        assert!(refusal.starts_with(want), "{refusal}");
        drop(first);
        let again = async {
            while !knock(address).await.1.starts_with("220 ") {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), again).await.expect("room within 10 s");
        serving.abort();
    }
}

#[tokio::test]
async fn a_stop_closes_the_socket_and_says_good_bye() {
    let (address, stop, serving) = listen(9, 9).await;
    let (mut client, _) = knock(address).await;
    stop.send(true).unwrap();
    let mut rest = String::new();
    let read = tokio::time::timeout(Duration::from_secs(10), client.read_line(&mut rest));
    read.await.expect("a word within 10 s").unwrap();
    assert!(rest.starts_with("421 4.3.2 "), "{rest}");
    drop(client);
    tokio::time::timeout(Duration::from_secs(10), serving).await.expect("an end within 10 s").unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
