//! What stands, by the parts of the running relay: the one judgement of what a person must know, for `status` and for alerts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;

use super::disk::Disk;
use super::expiring;
use super::quiet::{QuietWatch, WaitingMail};
use super::trouble::{AlertCause, StandingTrouble, TroubleKey, Troubles};
use super::upstreams::UpstreamSources;
use crate::account::Accounts;
use crate::config::{Config, Upstream, UpstreamKind};
use crate::expiry::expiries;
use crate::lane::{LaneState, LaneStatuses, LimitWaits, Wakeups};
use crate::oauth::{SignInStatus, SignIns};
use crate::route::Router;
use crate::store::{LaneName, Restored, Store, StoreError, StoreOrigin};
use crate::time::{Moment, Timeline};
use crate::web::HttpClient;

/// The parts of the relay that are looked at; handed in.
#[derive(Clone)]
pub struct AlertServices {
    /// The queue, and where it is noted what was told.
    pub store: Arc<dyn Store>,
    /// What time it is.
    pub timeline: Timeline,
    /// How upstreams and accounts are.
    pub accounts: Arc<Accounts>,
    /// Where tokens come from.
    pub sign_ins: Arc<SignIns>,
    /// How the lanes are.
    pub statuses: Arc<LaneStatuses>,
    /// How long lanes have waited for limits.
    pub limit_waits: LimitWaits,
    /// Tells when troubles may have changed, and wakes lanes for mail.
    pub wakeups: Arc<Wakeups>,
    /// Posts to webhooks.
    pub http: Arc<dyn HttpClient>,
}

/// What was read of the store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreFacts {
    /// Why it accepts nothing, or can't be read.
    pub fault: Option<String>,
    /// Where it came from, when it was put in or saved.
    pub restored: Option<Restored>,
}

/// Knows what stands, and tells of it.
pub struct Alerts {
    pub(super) services: AlertServices,
    in_force: ArcSwap<InForce>,
    started: Moment,
    quiet: Mutex<QuietWatch>,
}

/// What a reload changes.
pub(super) struct InForce {
    pub(super) config: Arc<Config>,
    pub(super) router: Arc<Router>,
}

impl Alerts {
    /// For a relay that starts now, by this configuration.
    #[must_use]
    pub fn new(services: AlertServices, config: Arc<Config>, router: Arc<Router>) -> Self {
        let started = services.timeline.now();
        let in_force = ArcSwap::from_pointee(InForce { config, router });
        Self { services, in_force, started, quiet: Mutex::default() }
    }

    /// Puts another configuration in force. What was told stays told.
    pub fn follow(&self, config: Arc<Config>, router: Arc<Router>) {
        self.in_force.store(Arc::new(InForce { config, router }));
        self.services.wakeups.call_troubled();
    }

    pub(super) fn in_force(&self) -> Arc<InForce> {
        self.in_force.load_full()
    }

    /// What stands now. The file system is asked, the store is not.
    #[must_use]
    pub fn standing(&self, store: &StoreFacts) -> Troubles {
        let in_force = self.in_force();
        let config = &in_force.config;
        let now = self.services.timeline.now();
        let mut standing = Troubles::default();
        standing.troubles.extend(store.fault.as_deref().map(store_trouble));
        standing.unclear_causes.extend(store.fault.as_ref().map(|_| AlertCause::Restored));
        let sign_ins = self.services.sign_ins.status();
        let faults: Vec<StandingTrouble> = sign_ins.iter().filter_map(sign_in_trouble).collect();
        let sign_ins_at_fault: Vec<String> = faults.iter().map(|fault| fault.key.about.clone()).collect();
        let sources = UpstreamSources {
            accounts: &self.services.accounts,
            faulty_sign_ins: &sign_ins_at_fault,
            started: self.started,
            now,
        };
        for upstream in &config.upstreams {
            sources.add(upstream, &mut standing);
            self.add_quiet(upstream, config, &mut standing);
        }
        standing.troubles.extend(faults);
        standing.troubles.extend(store.restored.as_ref().and_then(restored_trouble));
        standing.troubles.extend(Disk::of(config).and_then(|disk| disk.trouble()));
        standing.troubles.extend(self.expiring(config, &sign_ins));
        if now.since(self.started) < config.queue.retry_max.saturating_mul(2) {
            // What upstreams had complained of was forgotten; what it is about has not come by since.
            standing.unclear_causes.extend([AlertCause::SenderRefused, AlertCause::StrangeReply]);
        }
        standing
    }

    fn expiring(&self, config: &Config, sign_ins: &[SignInStatus]) -> Vec<StandingTrouble> {
        let timeline = &self.services.timeline;
        let renewed = |name: &str| {
            let renewed = sign_ins.iter().find(|sign_in| sign_in.name == name).and_then(|one| one.renewed);
            renewed.map(|renewed| timeline.wall_at(renewed))
        };
        let wall = timeline.wall();
        expiries(config, renewed).iter().filter_map(|ends| expiring::trouble(ends, wall)).collect()
    }

    fn add_quiet(&self, upstream: &Upstream, config: &Config, standing: &mut Troubles) {
        let Some(long) = config.alert.nothing_sent_for else { return };
        let Some(quiet) = self.quiet().of(&upstream.name) else { return };
        let key = TroubleKey::of_upstream(AlertCause::NothingSent, &upstream.name);
        let now = self.services.timeline.now();
        let view = self.services.accounts.view_in_memory(&upstream.name);
        let is_told = view.is_some_and(|view| view.state.needs_a_person());
        if is_told || !quiet.has_lasted(long, now) {
            // What keeps it from sending is told already; or it may have lasted for longer before the start.
            standing.unclear.insert(key);
            return;
        }
        let since = self.services.timeline.wall_at(quiet.since);
        let messages = if quiet.messages == 1 { "message waits" } else { "messages wait" };
        standing.troubles.push(StandingTrouble {
            key,
            text: format!(
                "upstream {}: nothing was sent since {since:.3}, and {} {messages}",
                upstream.name, quiet.messages
            ),
            action: "see why: mailsluice status, mailsluice queue list".to_owned(),
            step: None,
        });
    }

    /// Looks at the mail that waits, where that is wanted.
    pub(super) async fn watch_quiet(&self) -> Result<(), StoreError> {
        let in_force = self.in_force();
        let config = &in_force.config;
        let is_watched = config.alert.nothing_sent_for.is_some();
        // What was deferred is tried again within that time; a rule delays mail for longer.
        let soon = config.alert.nothing_sent_for.unwrap_or_default().min(config.queue.retry_max * 2) / 2;
        let has_way = |upstream: &&Arc<Upstream>| {
            upstream.enabled && !matches!(upstream.kind, UpstreamKind::Capture(_))
        };
        let watched: Vec<&Arc<Upstream>> =
            config.upstreams.iter().filter(|_| is_watched).filter(has_way).collect();
        for upstream in &watched {
            let mail = self.waiting_mail(upstream, &in_force, soon).await?;
            if mail.messages == 0 && self.may_be_under_way(&upstream.name).await? {
                continue;
            }
            self.quiet().note(&upstream.name, mail, self.services.timeline.now());
        }
        self.quiet().keep(|name| watched.iter().any(|upstream| upstream.name == name));
        Ok(())
    }

    /// How the mail of an upstream is; what goes within `soon` counts as due.
    async fn waiting_mail(
        &self,
        upstream: &Upstream,
        in_force: &InForce,
        soon: Duration,
    ) -> Result<WaitingMail, StoreError> {
        let AlertServices { store, accounts, timeline, .. } = &self.services;
        let statuses = self.services.statuses.snapshot();
        let status = |lane: &LaneName| statuses.iter().find(|status| status.lane == *lane);
        let soon = timeline.now().after(soon);
        let mut mail =
            WaitingMail { messages: 0, is_due: false, last_sent: accounts.last_sent(&upstream.name) };
        for lane in in_force.router.lanes_of(&upstream.name) {
            let status = status(&lane);
            let waits_for_limit =
                status.is_some_and(|status| matches!(status.state, LaneState::Limited { .. }));
            let messages = store.lane_load(&lane).messages;
            if messages == 0 || waits_for_limit {
                continue;
            }
            let via = status.and_then(|status| status.via.as_deref());
            mail.last_sent = mail.last_sent.max(via.and_then(|via| accounts.last_sent(via)));
            mail.messages += messages;
            mail.is_due |= store.next_due(&lane).await?.is_some_and(|due| due <= soon);
        }
        Ok(mail)
    }

    /// Whether the mail that waited for an upstream may be in an attempt at this moment.
    async fn may_be_under_way(&self, upstream: &str) -> Result<bool, StoreError> {
        let view = self.services.accounts.view_in_memory(upstream);
        let is_connected = view.is_some_and(|view| view.accounts.iter().any(|one| one.connections > 0));
        let has_waited = self.quiet().of(upstream).is_some();
        Ok(has_waited && is_connected && self.services.store.queue_figures().await?.counts.sending > 0)
    }

    fn quiet(&self) -> MutexGuard<'_, QuietWatch> {
        self.quiet.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn store_trouble(fault: &str) -> StandingTrouble {
    StandingTrouble {
        key: TroubleKey::of_relay(AlertCause::Store),
        text: format!("store: {fault}"),
        action:
            "see what the log says of the store, and to the disk; it goes on by itself when that works again"
                .to_owned(),
        step: None,
    }
}

/// What a person must do for a sign-in, if so.
fn sign_in_trouble(sign_in: &SignInStatus) -> Option<StandingTrouble> {
    let fault = sign_in.needs_a_person()?;
    Some(StandingTrouble {
        key: TroubleKey::of_relay(AlertCause::SignIn).about(&sign_in.name),
        text: format!("sign-in {}: {}", sign_in.name, fault.reason),
        action: fault.action.clone()?,
        step: None,
    })
}

/// What is still to be done about a store that was put in or saved.
fn restored_trouble(restored: &Restored) -> Option<StandingTrouble> {
    let whence = match restored.origin {
        StoreOrigin::Backup => "the store is a backup of",
        StoreOrigin::Salvage => "the store was saved from damaged files at",
    };
    let Restored { held, messages, made_wall, .. } = restored;
    let made = Timestamp::from_millisecond(*made_wall).unwrap_or(Timestamp::MAX);
    (*held > 0).then(|| StandingTrouble {
        key: TroubleKey::of_relay(AlertCause::Restored),
        text: format!(
            "{whence} {made:.3}: {held} of its {messages} messages are held, for they may have been sent already"
        ),
        action: "mailsluice queue list --state held, then queue release or queue delete".to_owned(),
        step: None,
    })
}
