//! Contents that are not what was taken: they are held, never sent, and nobody gets a report.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use mailsluice::mail::QueueId;
use mailsluice::store::{Decisions, LaneName, MessageState};
use rusqlite::Connection;

use crate::memory::in_a_file;
use crate::paper::Paper;
use crate::support::simulation::{Simulation, secs};
use crate::support::upstream::{Act, Script, Step, Upstream};
use crate::{ONE, taken};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    InlineCut,
    InlineEmpty,
    InlineGone,
    FileCut,
    FileEmpty,
    FileGone,
    /// As long as it was, with an octet that is another.
    InlineFlipped,
    /// The same of a file.
    FileFlipped,
    /// Nothing is known to be damaged: the disk does not give it out.
    FileUnreadable,
}

impl Damage {
    fn is_inline(self) -> bool {
        matches!(self, Self::InlineCut | Self::InlineEmpty | Self::InlineGone | Self::InlineFlipped)
    }

    fn file(sim: &Simulation, id: &QueueId) -> PathBuf {
        sim.config.data_dir.join("content").join(id.to_string())
    }

    fn befalls(self, sim: &Simulation, id: &QueueId) {
        let row = |sql: &str| {
            let db = Connection::open(sim.config.data_dir.join("queue.db")).unwrap();
            assert_eq!(db.execute(sql, []).unwrap(), 1);
        };
        let path = Self::file(sim, id);
        let cut = |len| File::options().write(true).open(&path).unwrap().set_len(len).unwrap();
        match self {
            Self::InlineCut => row("UPDATE content SET data = substr(data, 1, 20)"),
            Self::InlineEmpty => row("UPDATE content SET data = x''"),
            Self::InlineGone => row("DELETE FROM content"),
            Self::InlineFlipped => {
                row("UPDATE content SET data = CAST(replace(data, 'Subject', 'Subjekt') AS BLOB)");
            }
            Self::FileCut => cut(100),
            Self::FileEmpty => cut(0),
            Self::FileGone => fs::remove_file(&path).unwrap(),
            Self::FileFlipped => {
                let mut octets = fs::read(&path).unwrap();
                octets[60_000] ^= 4;
                File::create(&path).unwrap().write_all(&octets).unwrap();
            }
            Self::FileUnreadable => {
                fs::rename(&path, path.with_extension("away")).unwrap();
                fs::create_dir(&path).unwrap();
            }
        }
    }
}

/// A message that waits for its upstream, whose content comes to harm before that answers.
async fn damaged(sim: &mut Simulation, up: &Upstream, damage: Damage) -> QueueId {
    sim.start().await;
    let id = if damage.is_inline() {
        sim.submit("a@firm.example", &["x@there.example", "y@there.example"]).await
    } else {
        let message = in_a_file(sim, "x@there.example", 70_000).await;
        sim.enqueue(message).await
    };
    tokio::time::sleep(secs(5)).await;
    damage.befalls(sim, &id);
    up.set(Script::default());
    tokio::time::sleep(secs(900)).await;
    id
}

#[tokio::test(start_paused = true)]
async fn a_damaged_content_is_held_and_never_sent() {
    for damage in [
        Damage::InlineCut,
        Damage::InlineEmpty,
        Damage::InlineGone,
        Damage::FileCut,
        Damage::FileEmpty,
        Damage::FileGone,
        Damage::InlineFlipped,
        Damage::FileFlipped,
    ] {
        let (paper, _listening) = Paper::listen();
        let up = Upstream::new(Script::default().with(Step::Connect, Act::Refuse));
        let mut sim = Simulation::new(ONE, &[("up", &up)]);
        let id = damaged(&mut sim, &up, damage).await;
        let shown = sim.store().show(id.clone()).await.unwrap().unwrap();
        assert_eq!(shown.state, MessageState::Held, "{damage:?}");
        assert!(shown.recipients[0].reply.contains("damaged"), "{damage:?}: {shown:?}");
        assert!(up.commands_of("MAIL").is_empty(), "{damage:?}: nothing of it was sent");
        let totals = sim.totals().await;
        assert_eq!((totals.generated, totals.bounced, totals.queued), (0, 0, shown.recipients.len() as u64));
        let lines = paper.lines();
        let told: Vec<_> = lines.iter().filter(|line| line.starts_with("damaged")).collect();
        assert_eq!(told.len(), 1, "{damage:?}: {lines:?}");
        for part in [format!("queue_id={id}"), "reason=".into(), "action=".into(), "queue delete".into()] {
            assert!(told[0].contains(&part), "{damage:?}: {}", told[0]);
        }
        if damage == Damage::FileCut {
            let mut whole = b"Subject: large\r\n\r\n".to_vec();
            whole.resize(69_998, b'x');
            whole.extend_from_slice(b"\r\n");
            File::create(Damage::file(&sim, &id)).unwrap().write_all(&whole).unwrap();
            sim.store().release(id, Decisions::default()).await.unwrap();
            sim.core.as_ref().unwrap().context.wakeups.wake(&LaneName::of_upstream("main"));
            sim.until_empty(secs(5)).await;
            assert_eq!(taken(&up), ["x@there.example"], "who restores it releases it");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_content_that_cannot_be_read_at_present_is_tried_again() {
    let (paper, _listening) = Paper::listen();
    let up = Upstream::new(Script::default().with(Step::Connect, Act::Refuse));
    let mut sim = Simulation::new(ONE, &[("up", &up)]);
    let id = damaged(&mut sim, &up, Damage::FileUnreadable).await;
    let shown = sim.store().show(id.clone()).await.unwrap().unwrap();
    assert_eq!(shown.state, MessageState::Deferred, "{shown:?}");
    assert!(!paper.lines().iter().any(|line| line.starts_with("damaged")));
    let path = Damage::file(&sim, &id);
    fs::remove_dir(&path).unwrap();
    fs::rename(path.with_extension("away"), &path).unwrap();
    sim.until_empty(secs(3600)).await;
    assert_eq!(taken(&up), ["x@there.example"]);
}

/// What comes to harm while it is under way is broken off before the final dot.
#[tokio::test(start_paused = true)]
async fn a_content_that_is_damaged_on_its_way_is_held_and_never_ends_as_a_message() {
    for damage in [Damage::FileCut, Damage::FileEmpty, Damage::FileFlipped] {
        let (paper, _listening) = Paper::listen();
        let up = Upstream::new(Script::default().with(Step::Data, Act::Late(secs(10))));
        let mut sim = Simulation::new(ONE, &[("up", &up)]);
        sim.start().await;
        let message = in_a_file(&mut sim, "x@there.example", 700_000).await;
        let id = sim.enqueue(message).await;
        tokio::time::sleep(secs(5)).await;
        assert_eq!(up.commands_of("MAIL").len(), 1, "{damage:?}: it was whole so far");
        damage.befalls(&sim, &id);
        tokio::time::sleep(secs(900)).await;
        let shown = sim.store().show(id.clone()).await.unwrap().unwrap();
        assert_eq!(shown.state, MessageState::Held, "{damage:?}");
        assert!(up.messages().iter().all(|seen| !seen.taken), "{damage:?}");
        assert_eq!((up.commands_of("MAIL").len(), up.open_connections()), (1, 0), "{damage:?}");
        let lines = paper.lines();
        assert!(lines.iter().any(|line| line.starts_with("damaged")), "{damage:?}: {lines:?}");
        let totals = sim.totals().await;
        assert_eq!((totals.sent, totals.bounced, totals.queued), (0, 0, 1), "{damage:?}");
    }
}
