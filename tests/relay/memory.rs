//! Memory for contents that are in files.

use mailsluice::store::NewMessage;

use crate::support::simulation::{Simulation, secs};
use crate::support::upstream::{Act, Script, Step, Upstream};
use crate::{ONE, taken};

/// A message whose content is in a file of so many octets.
pub(crate) async fn in_a_file(sim: &mut Simulation, to: &str, octets: usize) -> NewMessage {
    let message = sim.message("a@firm.example", &[to]);
    let mut content = b"Subject: large\r\n\r\n".to_vec();
    content.resize(octets - 2, b'x');
    content.extend_from_slice(b"\r\n");
    let mut upload = sim.store().upload(&message.queue_id);
    upload.write(content).await.unwrap();
    NewMessage { content: upload.finish().await.unwrap(), ..message }
}

/// What waits for memory by the old configuration asks for no more than the new one has.
#[tokio::test(start_paused = true)]
async fn a_lower_budget_stops_nobody_who_waits() {
    let budget = |size: &str| format!("[session]\nmemory_budget = \"{size}\"\n{ONE}");
    let up = Upstream::new(Script::default().with(Step::Greeting, Act::Hang));
    let mut sim = Simulation::new(&budget("8MiB"), &[("up", &up)]);
    sim.start().await;
    for to in ["first@there.example", "second@there.example"] {
        let message = in_a_file(&mut sim, to, 1 << 20).await;
        sim.enqueue(message).await;
    }
    // The first has its memory and waits for a greeting; the second waits for the lane's share.
    tokio::time::sleep(secs(1)).await;
    sim.reload(&budget("1MiB")).await;
    up.set(Script::default());
    let message = in_a_file(&mut sim, "third@there.example", 1 << 20).await;
    sim.enqueue(message).await;
    sim.until_empty(secs(3600)).await;
    let mut got = taken(&up);
    got.sort_unstable();
    assert_eq!(got, ["first@there.example", "second@there.example", "third@there.example"]);
    assert_eq!(sim.core.as_ref().unwrap().context.memory.available(), 512 << 10);
}

/// What goes as it is stays in its file: a budget that is less than one content holds up none of many.
#[tokio::test(start_paused = true)]
async fn large_contents_need_no_memory_of_their_size() {
    const OCTETS: usize = 6 << 20;
    let up = Upstream::new(Script::default().with(Step::Dot, Act::Late(secs(60))));
    let toml = format!("[session]\nmemory_budget = \"8MiB\"\n{ONE}[upstream.limits]\nconnections = 4\n");
    let mut sim = Simulation::new(&toml, &[("up", &up)]);
    sim.start().await;
    for to in ["a@there.example", "b@there.example", "c@there.example", "d@there.example"] {
        let message = in_a_file(&mut sim, to, OCTETS).await;
        sim.enqueue(message).await;
    }
    tokio::time::sleep(secs(30)).await;
    assert_eq!(up.commands_of("DATA").len(), 4, "all at once");
    sim.until_empty(secs(600)).await;
    let sizes: Vec<_> = up.messages().iter().map(|seen| seen.content.len()).collect();
    assert_eq!(sizes, [OCTETS; 4]);
}
