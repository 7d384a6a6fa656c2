//! A relay that does not run, as far as its store and its configuration tell of it: to be looked at, by the same requests.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::core::{Parts, alerts, configure_accounts, restored_waits};
use super::error::RelayError;
use super::front::estimate_of;
use crate::config::Config;
use crate::control::{ApiState, ConfigRequest, SharedState};
use crate::deliver::Phase;
use crate::memory::MemoryBudget;
use crate::oauth::SignIns;
use crate::policy::kept_switches::KeptSwitches;
use crate::policy::test_mode::Switch;
use crate::policy::tokens::ApiTokens;
use crate::report::log::LogFeed;
use crate::smtp::InstanceId;
use crate::store::Store;
use crate::store::sqlite::SqliteStore;
use crate::time::SystemClock;
use crate::upstream::TcpDial;

/// What the control interface shows of a relay at rest. No lane goes, nobody is asked for a
/// token, and no connection is made. While this lives no relay can start in that folder.
///
/// # Errors
/// When there is no store, a relay has it, or it can't be read.
pub async fn at_rest(config: Config) -> Result<SharedState, RelayError> {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open_at_rest(&config.data_dir, Arc::new(SystemClock))?);
    let (kept_switches, config) = KeptSwitches::load(&*store).await?.put_before(config);
    let sign_ins: Arc<SignIns> = Arc::default();
    let (_, phase) = watch::channel(Phase::Running);
    let parts = Parts {
        config: Arc::new(config),
        store: store.clone(),
        dial: Arc::new(TcpDial::default()),
        sign_ins: sign_ins.clone(),
        instance: InstanceId::random(),
        limit_waits: restored_waits(&*store).await?,
        phase,
    };
    let context = parts.context()?;
    configure_accounts(&context);
    context.accounts.restore(&store.suspensions().await?);
    let test_mode = Arc::new(Switch::look(store.clone(), &context.config.test_mode).await?);
    // Nobody is there to take a request to change something.
    let (requests, _): (mpsc::Sender<ConfigRequest>, _) = mpsc::channel(1);
    let alerts = alerts(&context, &sign_ins);
    Ok(SharedState::new(ApiState {
        alerts,
        is_running: false,
        started: context.timeline.now(),
        version: env!("CARGO_PKG_VERSION"),
        memory: MemoryBudget::new(context.config.session.memory_in()),
        estimate: estimate_of(&context),
        memory_out: context.memory,
        metrics: context.metrics,
        tokens: Arc::new(ApiTokens::new(&context.config.api_tokens, context.timeline.clone())),
        sign_ins,
        test_mode,
        kept_switches: Arc::new(kept_switches),
        requests,
        events: LogFeed::default(),
        store,
        timeline: context.timeline,
        config: context.config,
        wakeups: context.wakeups,
        statuses: context.statuses,
        limit_waits: context.limit_waits,
        outcomes: context.outcomes,
        router: context.router,
        transformer: context.transformer,
        accounts: context.accounts,
    }))
}
