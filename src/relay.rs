//! The relay itself: wires the rooms together, keeps house, and goes down in good order.
//!
//! Nothing else knows all parts; each gets handed in what it needs.

mod core;
mod error;
mod front;
mod housekeeping;

use std::path::Path;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

pub use self::core::Core;
pub use error::RelayError;

use self::core::STORE_GRACE;
use self::front::Front;
use crate::config::{Faults, LoadedConfig};
use crate::control::{ControlSocket, socket};
use crate::policy::test_mode::action_name;
use crate::report::log;
use crate::store::sqlite::{SqliteStore, Threading};
use crate::time::SystemClock;
use crate::upstream::TcpDial;

/// Reads the configuration again.
pub type Reread = Box<dyn Fn() -> Result<LoadedConfig, Faults> + Send + Sync>;

/// Runs the relay until SIGTERM or SIGINT. SIGHUP, or a request over the control interface, reads the configuration
/// again with `reread`; `log` then changes the log's settings.
///
/// # Errors
/// When it can't start, or a part of it fails in a way that only a restart can mend.
pub async fn run(loaded: LoadedConfig, reread: Reread, log: log::Control) -> Result<(), RelayError> {
    let config = Arc::new(loaded.config);
    let hear = |kind| signal(kind).map_err(RelayError::Signals);
    let (mut terminate, mut interrupt) = (hear(SignalKind::terminate())?, hear(SignalKind::interrupt())?);
    let mut hang_up = hear(SignalKind::hangup())?;
    let clock = Arc::new(SystemClock);
    let store = SqliteStore::open(&config.data_dir, config.queue.max_messages, Threading::Writer, clock)?;
    // Whoever finds a listener finds the control socket, too.
    let control = ControlSocket::bind(&config.data_dir, config.control_group.as_ref())?;
    let sockets = Front::bind(&config).await?;
    let mut core = Core::start(config.clone(), Arc::new(store), Arc::new(TcpDial)).await?;
    let (stop, stopping) = watch::channel(false);
    let (reloads, mut asked) = mpsc::channel(1);
    let mut front = Front::serve(&core, sockets, control, reloads, &stopping);
    log_started(&core, loaded.path.as_deref());
    let reread = Arc::new(reread);
    let end = loop {
        tokio::select! {
            name = either(&mut terminate, &mut interrupt) => break Ok(name),
            _ = hang_up.recv() => {
                // Whoever sent the signal reads the log.
                let _ = reload(&mut core, &front, &reread, &log).await;
            }
            Some(answer) = asked.recv() => {
                let _ = answer.send(reload(&mut core, &front, &reread, &log).await);
            }
            fault = core.failed() => break Err(fault),
            ended = front.tasks.join_next() => break Err(format!("a listener has ended: {ended:?}")),
        }
    };
    match &end {
        Ok(name) => tracing::info!(event = "stopping", reason = name),
        Err(fault) => tracing::error!(event = "stopping", reason = fault),
    }
    let _ = stop.send(true);
    let store = core.context.store.clone();
    let grace = core.context.config.shutdown_grace.saturating_sub(STORE_GRACE);
    let sessions = async {
        let all = async { while front.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(grace, all).await;
        front.tasks.shutdown().await;
    };
    tokio::select! {
        ((), ()) = async { tokio::join!(sessions, core.stop(grace)) } => {}
        name = either(&mut terminate, &mut interrupt) => {
            tracing::warn!(event = "stopped", queued = store.queue_length(), reason = format!("a second {name}"));
            return Err(RelayError::StoppedAtOnce(name));
        }
    }
    tracing::info!(event = "stopped", queued = store.queue_length());
    end.map(|_| ()).map_err(RelayError::Fault)
}

/// Waits for either signal, and names it.
async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// Puts a configuration that was read again in force, all of it or nothing. Returns what only a restart can change, or
/// all faults.
async fn reload(
    core: &mut Core,
    front: &Front,
    reread: &Arc<Reread>,
    log: &log::Control,
) -> Result<Vec<String>, String> {
    let done = try_reload(core, front, reread, log).await;
    match &done {
        Ok(left) => {
            let next = (!left.is_empty()).then(|| format!("after a restart: {}", left.join("; ")));
            tracing::info!(event = "config_reloaded", next);
        }
        Err(faults) => faults.lines().for_each(|fault| {
            tracing::error!(
                event = "config_not_reloaded",
                reason = fault,
                next = "the old one stays in force"
            );
        }),
    }
    done
}

async fn try_reload(
    core: &mut Core,
    front: &Front,
    reread: &Arc<Reread>,
    log: &log::Control,
) -> Result<Vec<String>, String> {
    let before = core.context.config.clone();
    let reread = reread.clone();
    let loaded = tokio::task::spawn_blocking(move || reread()).await.map_err(|error| error.to_string())?;
    let loaded = loaded.map_err(|faults| faults.to_string())?;
    if loaded.config.data_dir != before.data_dir {
        return Err("data_dir: it can't change while the relay runs: restart it".to_owned());
    }
    for warning in &loaded.warnings {
        tracing::warn!(event = "config", reason = %warning);
    }
    if loaded.config.control_group != before.control_group {
        let group = loaded.config.control_group.as_ref();
        socket::admit(&before.data_dir, group).map_err(|error| error.to_string())?;
    }
    let settings = loaded.config.log;
    core.reload(Arc::new(loaded.config)).await.map_err(|error| error.to_string())?;
    log.set(settings);
    Ok(front.follow(core, &before))
}

/// Says what is in force, and by which file and folder; a person who looks into another one finds out here.
fn log_started(core: &Core, file: Option<&Path>) {
    let config = &core.context.config;
    let listeners: Vec<_> = config.listeners.iter().map(|l| l.address.to_string()).collect();
    let upstreams: Vec<_> = config.upstreams.iter().map(|u| u.name.as_str()).collect();
    let test = core.test_mode.state();
    tracing::info!(
        event = "started",
        version = env!("CARGO_PKG_VERSION"),
        config = file.map_or_else(|| "environment".to_owned(), |file| file.display().to_string()),
        data_dir = %config.data_dir.display(),
        listener = listeners.join(","),
        upstream = upstreams.join(","),
        queued = core.context.store.queue_length(),
        test_mode = test.enabled.then(|| action_name(test.action)),
        origin = test.origin,
    );
    for stop in core.context.accounts.stops(&upstreams) {
        let (upstream, action) = (&stop.upstream, stop.action());
        let next = stop.until.map(|until| format!("{:.3}", core.context.timeline.wall_at(until)));
        tracing::warn!(
            event = "stop_in_force",
            upstream,
            account = stop.account,
            reason = stop.reason,
            next,
            action
        );
    }
    if test.enabled {
        let address = test.address.map(|address| address.to_string());
        tracing::warn!(event = "test_mode", enabled = true, action = action_name(test.action), to = address);
    }
}
