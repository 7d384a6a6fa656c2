//! Runs the command that gets notices: one at a time, with the notice on its stdin, and no shell between.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::notice::Notice;

/// How long it may run.
const LIMIT: Duration = Duration::from_secs(30);
/// What is kept of what it says, in octets.
const KEPT: usize = 2_000;
/// What it is given of the relay's environment, where there may be passwords.
const ENVIRONMENT: [&str; 6] = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER"];

/// Why a command has not done its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum AlertCommandError {
    /// It could not be started.
    #[error("{program} could not be started: {source}")]
    Start {
        /// Its path.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// It has failed.
    #[error("{program} ended with {status}{said}")]
    Failed {
        /// Its path.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// `: ` and the last that it has said; empty when it has said nothing.
        said: String,
    },
    /// It took too long, and was ended.
    #[error("{program} was not done within {} seconds, and was ended{said}", LIMIT.as_secs())]
    TimedOut {
        /// Its path.
        program: String,
        /// What it has said, as above.
        said: String,
    },
    /// Nobody knows how it ended.
    #[error("{program} could not be waited for: {source}")]
    Lost {
        /// Its path.
        program: String,
        /// What the system says.
        source: io::Error,
    },
}

/// A child that is ended, with all that it has started, when it is dropped before it was waited for.
struct Running {
    child: Child,
    group: Option<Pid>,
}

impl Running {
    fn end(&mut self) {
        if let Some(group) = self.group.take() {
            // One that has just ended needs nothing.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs it with a notice on its stdin.
///
/// # Errors
/// When it can't be started, fails, or is not done in time.
pub(super) async fn run(command: &[String], notice: &Notice) -> Result<(), AlertCommandError> {
    run_within(command, notice, LIMIT).await
}

async fn run_within(command: &[String], notice: &Notice, limit: Duration) -> Result<(), AlertCommandError> {
    let [program, arguments @ ..] = command else { return Ok(()) };
    let name = || program.clone();
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut child = child.map_err(|source| AlertCommandError::Start { program: name(), source })?;
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let mut running = Running { child, group };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let line = format!("{}\n", notice.to_json());
    let talk = async {
        let write = async {
            if let Some(mut stdin) = stdin {
                // One that does not read it may still do its work.
                let _ = stdin.write_all(line.as_bytes()).await;
            }
        };
        tokio::join!(write, keep(stdout, &mut out), keep(stderr, &mut err));
        running.child.wait().await
    };
    let ended = tokio::time::timeout(limit, talk).await;
    let said = said(&err, &out);
    match ended {
        Ok(Ok(status)) => {
            // What it has left behind in its group goes on.
            running.group = None;
            if status.success() {
                Ok(())
            } else {
                Err(AlertCommandError::Failed { program: name(), status, said })
            }
        }
        Ok(Err(source)) => Err(AlertCommandError::Lost { program: name(), source }),
        Err(_) => {
            running.end();
            let _ = running.child.wait().await;
            Err(AlertCommandError::TimedOut { program: name(), said })
        }
    }
}

/// Reads all that it says, and keeps the end of it.
async fn keep(pipe: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    let mut block = [0; 1024];
    while let Ok(read @ 1..) = pipe.read(&mut block).await {
        kept.extend_from_slice(&block[..read]);
        let more = kept.len().saturating_sub(KEPT);
        kept.drain(..more);
    }
}

/// `: ` and what it has complained of, else what it has said.
fn said(err: &[u8], out: &[u8]) -> String {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).trim().to_owned();
    let said = Some(text(err)).filter(|text| !text.is_empty()).unwrap_or_else(|| text(out));
    if said.is_empty() { said } else { format!(": {said}") }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use jiff::Timestamp;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test writes plain files")]
    fn script(folder: &tempfile::TempDir, text: &str) -> Vec<String> {
        let path: PathBuf = folder.path().join("page");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        vec![path.to_string_lossy().into_owned(), folder.path().join("got").to_string_lossy().into_owned()]
    }

    fn notice() -> Notice {
        Notice::test(Timestamp::UNIX_EPOCH, "relay.example")
    }

    #[tokio::test]
    async fn gets_the_notice_and_little_else() {
        let folder = tempfile::tempdir().unwrap();
        let command = script(&folder, "cat >\"$1\"; env | cut -d= -f1 | sort >\"$1.env\"");
        run(&command, &notice()).await.unwrap();
        let got = std::fs::read_to_string(&command[1]).unwrap();
        assert_eq!(got, format!("{}\n", notice().to_json()));
        let names = std::fs::read_to_string(format!("{}.env", command[1])).unwrap();
        let own = ["PWD", "SHLVL", "OLDPWD", "_"];
        let strange = names.lines().find(|name| !ENVIRONMENT.contains(name) && !own.contains(name));
        assert_eq!(strange, None, "{names}");
    }

    #[tokio::test]
    async fn a_failure_is_told_with_what_it_said() {
        let folder = tempfile::tempdir().unwrap();
        let command = script(&folder, "echo fine; echo 'no such pager' >&2; exit 3");
        let error = run(&command, &notice()).await.unwrap_err().to_string();
        assert!(error.ends_with("ended with exit status: 3: no such pager"), "{error}");
        let much = script(&folder, "yes hello | head -c 5000000; exit 1");
        let error = run(&much, &notice()).await.unwrap_err().to_string();
        assert!(error.len() < KEPT + 200, "{}", error.len());
        let error = run(&["/nowhere/page".to_owned()], &notice()).await.unwrap_err();
        assert!(matches!(error, AlertCommandError::Start { .. }), "{error}");
    }

    #[tokio::test]
    async fn one_that_hangs_is_ended_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let command = script(&folder, "sleep 1000 & echo $! >\"$1\"; echo waiting >&2; wait");
        let error = run_within(&command, &notice(), Duration::from_secs(2)).await.unwrap_err();
        assert!(matches!(&error, AlertCommandError::TimedOut { said, .. } if said == ": waiting"), "{error}");
        let id = std::fs::read_to_string(&command[1]).unwrap();
        let state = || std::fs::read_to_string(format!("/proc/{}/stat", id.trim())).unwrap_or_default();
        // What nobody waits for may stay as a zombie for a moment.
        let is_gone =
            || state().rsplit(')').next().is_none_or(|rest| rest.is_empty() || rest.starts_with(" Z"));
        for _ in 0..1000 {
            if is_gone() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it still runs: {}", state());
    }
}
