//! A relay as a process of its own, in a folder of its own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use serde_json::Value;

/// How long anything may take here at most: timing decides nothing.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A folder with a configuration, and the relay of it once it runs.
pub(crate) struct Service {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) port: u16,
    running: Option<Running>,
}

struct Running {
    child: Child,
    log: Receiver<String>,
}

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Outcome {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The same, which was to succeed.
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.status, Some(0), "{self:?}");
        self
    }
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Service {
    /// A folder with this configuration; `PORT` in it is a free one, and its data lies in `data`.
    pub(crate) fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let service = Self { folder, port, running: None };
        std::fs::write(service.file(), config.replace("PORT", &port.to_string())).unwrap();
        service
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("mailsluice.toml")
    }

    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailsluice"));
        command.arg("--config").arg(self.file()).args(arguments).env("TZ", "UTC").stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        self.command(arguments).output().unwrap().into()
    }

    /// Starts the relay, and waits until it takes requests. Its log up to then is what is given back.
    pub(crate) fn start(&mut self) -> Vec<String> {
        self.start_with(&[])
    }

    /// The same, with these variables in its environment.
    pub(crate) fn start_with(&mut self, environment: &[(&str, &str)]) -> Vec<String> {
        let mut command = self.command(&["run"]);
        command.envs(environment.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (tell, log) = mpsc::channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        self.running = Some(Running { child, log });
        self.log_until("event=started")
    }

    /// The lines of the log up to one that has these words.
    pub(crate) fn log_until(&self, words: &str) -> Vec<String> {
        let mut lines = Vec::new();
        let log = &self.running.as_ref().unwrap().log;
        // The text format has the event's name without a key.
        let words = words.strip_prefix("event=").map_or(words.to_owned(), |name| format!(" {name} "));
        while !lines.last().is_some_and(|line: &String| line.contains(&words)) {
            match log.recv_timeout(PATIENCE) {
                Ok(line) => lines.push(line),
                Err(error) => panic!("no {words} in {lines:#?}: {error}"),
            }
        }
        lines
    }

    /// Hands in a message for these recipients.
    pub(crate) fn submit(&self, content: &str, recipients: &[&str]) {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut replies = BufReader::new(stream.try_clone().unwrap());
        let mut say = |line: &str, want: &str| {
            if !line.is_empty() {
                (&stream).write_all(format!("{line}\r\n").as_bytes()).unwrap();
            }
            let mut reply = String::new();
            while reply.lines().last().is_none_or(|last| last.as_bytes().get(3) != Some(&b' ')) {
                assert!(replies.read_line(&mut reply).unwrap() > 0, "{line}: {reply}");
            }
            assert!(reply.starts_with(want), "{line}: {reply}");
        };
        say("", "220");
        say("HELO client.example", "250");
        say("MAIL FROM:<erp@firm.example>", "250");
        for to in recipients {
            say(&format!("RCPT TO:<{to}>"), "250");
        }
        say("DATA", "354");
        say(&format!("From: erp@firm.example\r\nSubject: x\r\n\r\n{content}\r\n."), "250");
        say("QUIT", "221");
    }

    pub(crate) fn status(&self) -> Value {
        self.run(&["status", "--json"]).done().json()
    }

    /// The sum of the totals' sides, which must be the same.
    pub(crate) fn totals(&self) -> Value {
        let totals = self.status()["totals"].clone();
        let sum = |names: &[&str]| names.iter().map(|name| totals[*name].as_u64().unwrap()).sum::<u64>();
        let ends = ["sent", "bounced", "expired", "dropped", "captured", "deleted", "queued"];
        assert_eq!(sum(&["accepted", "generated"]), sum(&ends), "{totals}");
        totals
    }

    /// Ends it in good order; the log of that is what is given back.
    pub(crate) fn stop(&mut self) -> Vec<String> {
        let mut running = self.running.take().unwrap();
        let id = running.child.id().try_into().unwrap();
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(id).unwrap(),
            rustix::process::Signal::TERM,
        )
        .unwrap();
        let status = running.child.wait().unwrap();
        assert!(status.success(), "{status}");
        running.log.iter().collect()
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.running.as_ref().unwrap().child.id()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let id = self.running.as_ref().unwrap().child.id().try_into().unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(id).unwrap(), signal).unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }
}

/// All that is in a folder, by name.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|one| one.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
