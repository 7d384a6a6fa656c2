//! What a message waits for: `queue show` tells whose affair it is, what happens next, when, and what a person can do.

use mailsluice::account::AccountView;
use mailsluice::control::view::{WaitJson, WaitSources};
use mailsluice::lane::LaneStatus;
use mailsluice::upstream::AppliesTo;

use super::*;

impl Relay {
    fn shown(&self, id: &QueueId) -> (Value, String) {
        let id = id.to_string();
        let json = self.run(&["queue", "show", &id, "--json"]).json();
        (json["waits"].clone(), self.run(&["queue", "show", &id]).out)
    }

    /// Tries the one due message; each delivery is changed before it is settled.
    fn try_once(&self, change: impl Fn(&mut Delivery)) {
        let mut settlement = self.attempt();
        settlement.deliveries.iter_mut().for_each(change);
        self.settle(settlement);
    }
}

/// Seconds from now until `time`.
fn ahead(relay: &Relay, time: &Value) -> i64 {
    let time: jiff::Timestamp = time.as_str().unwrap_or_else(|| panic!("no time: {time}")).parse().unwrap();
    (time.as_millisecond() - relay.state.timeline.wall().as_millisecond()) / 1000
}

fn facts(wait: &Value) -> [Value; 6] {
    ["applies_to", "name", "recipients", "state", "reason", "action"].map(|key| wait[key].clone())
}

#[test]
fn what_was_not_tried_waits_for_nothing() {
    let relay = Relay::start();
    let id = relay.enqueue(1, &["a@x.example"], false);
    assert_eq!(relay.shown(&id).0, json!([]));
    // While it is being sent as well.
    let settlement = relay.attempt();
    assert_eq!(relay.shown(&id).0, json!([]));
    relay.settle(settlement);
}

#[test]
fn what_rests_for_its_own_sake_is_the_messages_or_the_recipients_affair() {
    let relay = Relay::start();
    let id = relay.enqueue(1, &["a@x.example", "b@x.example"], false);
    relay.try_once(|delivery| delivery.reply = "450 4.2.0 busy".to_owned());
    let (waits, text) = relay.shown(&id);
    let both = json!(["a@x.example", "b@x.example"]);
    let retry = json!(format!("mailsluice queue retry {id}"));
    let want =
        [json!("message"), Value::Null, both, json!("deferred"), json!("450 4.2.0 busy"), retry.clone()];
    assert_eq!((waits.as_array().unwrap().len(), facts(&waits[0])), (1, want), "{waits}");
    assert!((3590..=3600).contains(&ahead(&relay, &waits[0]["next"])), "{waits}");
    assert!(
        text.contains("the message: deferred for its own sake: 450 4.2.0 busy\n    it is tried again at "),
        "{text}"
    );

    relay.run(&["queue", "retry", "--all"]);
    relay.try_once(|delivery| match delivery.index {
        0 => delivery.reply = "452 4.2.2 full".to_owned(),
        // What the upstream's trouble held up goes as soon as that is over.
        _ => delivery.again_in = None,
    });
    let (waits, text) = relay.shown(&id);
    let only = json!(["a@x.example"]);
    let want = [json!("recipient"), Value::Null, only, json!("deferred"), json!("452 4.2.2 full"), retry];
    assert_eq!((waits.as_array().unwrap().len(), facts(&waits[0])), (1, want), "{waits}");
    assert!(text.contains("\na@x.example: deferred for its own sake: 452 4.2.2 full\n"), "{text}");
}

#[test]
fn what_may_have_arrived_too_often_expires_unless_it_is_retried() {
    let relay = Relay::start();
    let id = relay.enqueue(1, &["a@x.example"], false);
    for attempt in 1..=3 {
        relay.try_once(|delivery| {
            delivery.doubtful = true;
            delivery.again_in = (attempt == 3).then_some(Duration::from_hours(48));
        });
    }
    let (waits, text) = relay.shown(&id);
    assert_eq!(waits[0]["state"], json!("in_doubt"), "{waits}");
    assert_eq!(waits[0]["then"], json!("it expires unless it is retried"));
    assert_eq!(waits[0]["action"], json!(format!("mailsluice queue retry {id}")));
    assert!((172_790..=172_800).contains(&ahead(&relay, &waits[0]["next"])), "{waits}");
    assert!(text.contains("a@x.example: may have arrived several times already: 450 4.2.0"), "{text}");
    relay.run(&["queue", "retry", &id.to_string()]);
    assert_eq!(relay.shown(&id).0, json!([]), "once more");
}

#[test]
fn what_is_held_waits_for_a_person() {
    let relay = Relay::start();
    let id = relay.enqueue(1, &["a@x.example"], true);
    let (waits, text) = relay.shown(&id);
    let action = json!(format!("mailsluice queue release {id} --to recipients"));
    let want =
        [json!("message"), Value::Null, json!(["a@x.example"]), json!("held"), json!("by a person"), action];
    assert_eq!(facts(&waits[0]), want);
    assert!(
        text.contains(
            "the message: held: by a person\n    nothing, until a person releases or deletes it\n      (mailsluice "
        ),
        "{text}"
    );
}

#[test]
fn a_stop_is_the_accounts_or_the_upstreams_affair_and_says_how_to_end_it() {
    let enable = "mailsluice upstream enable m365";
    for (account, applies_to, name) in [(Some(""), "account", Value::Null), (None, "upstream", json!("m365"))]
    {
        let relay = Relay::start();
        let id = relay.enqueue(1, &["a@x.example"], false);
        let reason = "535 5.7.3 no: check user and password";
        relay.suspend(account, SuspensionKind::Stopped, None, reason);
        let (waits, text) = relay.shown(&id);
        let want = [json!(applies_to), name, json!([]), json!("disabled"), json!(reason), json!(enable)];
        assert_eq!((waits.as_array().unwrap().len(), facts(&waits[0])), (1, want), "{waits}");
        assert_eq!(waits[0]["next"], Value::Null);
        assert!(text.contains(&format!("    nothing, until a person has seen to it ({enable})\n")), "{text}");

        let list = relay.run(&["upstream", "list", "--json"]).json();
        assert_eq!(list[0]["action"], json!(enable), "{list}");
        let switched_off = "mailsluice upstream enable off";
        assert_eq!(list[1]["action"], json!(switched_off), "{list}");
        let text = relay.run(&["upstream", "list"]).out;
        assert!(text.contains(&format!("    {reason}\n    to let it send again: {enable}\n")), "{text}");
        assert_eq!(relay.run(&["upstream", "enable", "m365", "--json"]).json()["action"], Value::Null);
        assert_eq!(relay.shown(&id).0, json!([]));
    }
}

#[test]
fn pauses_and_limits_say_whose_they_are_and_when_mail_goes_on() {
    for (account, applies_to, name) in [(Some(""), "account", Value::Null), (None, "upstream", json!("m365"))]
    {
        let relay = Relay::start();
        let id = relay.enqueue(1, &["a@x.example"], false);
        relay.suspend(account, SuspensionKind::Paused, Some(Duration::from_hours(3)), "the quota is used up");
        let waits = relay.shown(&id).0;
        let reason = json!("the quota is used up");
        let want = [json!(applies_to), name, json!([]), json!("limited"), reason, Value::Null];
        assert_eq!((waits.as_array().unwrap().len(), facts(&waits[0])), (1, want), "{waits}");
        assert!((10_790..=10_800).contains(&ahead(&relay, &waits[0]["next"])), "{waits}");
    }
    let relay = Relay::start();
    relay.fill_the_minute();
    let id = relay.enqueue(1, &["a@x.example"], false);
    let (waits, text) = relay.shown(&id);
    assert_eq!(
        (&waits[0]["applies_to"], &waits[0]["reason"]),
        (&json!("account"), &json!("limit per minute"))
    );
    assert!(text.contains("the account: limited: limit per minute\n    mail goes on at "), "{text}");
}

#[test]
fn both_are_told_when_it_rests_and_the_upstream_is_stopped() {
    let relay = Relay::start();
    let id = relay.enqueue(1, &["a@x.example"], false);
    relay.settle(relay.attempt());
    relay.suspend(None, SuspensionKind::Disabled, None, "disabled by hand");
    let waits = relay.shown(&id).0;
    let whose: Vec<_> = waits.as_array().unwrap().iter().map(|wait| wait["applies_to"].clone()).collect();
    assert_eq!(whose, [json!("recipient"), json!("upstream")]);
}

#[test]
fn an_upstream_that_is_down_says_when_it_is_probed() {
    let relay = Relay::start();
    let id = relay.enqueue(1, &["a@x.example"], false);
    let summary = relay.runtime.block_on(relay.state.store.show(id)).unwrap().unwrap();
    let soon = relay.state.timeline.now().after(Duration::from_secs(90));
    let reason = || "connect: refused".to_owned();
    let account = |name: &str, state: LaneState, applies_to| AccountView {
        account: name.to_owned(),
        sender_bound: false,
        state,
        applies_to,
        tried: true,
        connections: 0,
        most_connections: 3,
        pace: None,
    };
    let waits = |lane: Option<&LaneStatus>, accounts: &[AccountView]| -> Vec<WaitJson> {
        let (timeline, enable) = (&relay.state.timeline, "enable it");
        WaitSources { summary: &summary, lane, accounts, enable, timeline }.waits()
    };
    let down = |until| LaneState::Down { reason: reason(), until };
    for (state, then, has_time, action) in [
        (down(Some(soon)), "a probe is made", true, None),
        (down(None), "a probe is under way", false, None),
        (
            LaneState::Disabled { reason: reason(), until: Some(soon) },
            "a probe is made",
            true,
            Some("enable it"),
        ),
        (
            LaneState::Disabled { reason: reason(), until: None },
            "nothing, until a person has seen to it",
            false,
            Some("enable it"),
        ),
        (
            LaneState::SignIn {
                reason: reason(),
                until: None,
                action: Some("mailsluice connect m365".to_owned()),
            },
            "it goes as soon as somebody has signed in",
            false,
            Some("mailsluice connect m365"),
        ),
        (
            LaneState::SignIn { reason: reason(), until: Some(soon), action: None },
            "another token is asked for, and it goes with that",
            true,
            None,
        ),
    ] {
        let found = waits(None, &[account("a", state, AppliesTo::Account)]);
        assert_eq!(found.len(), 1, "{found:?}");
        let one = &found[0];
        let got = (one.applies_to.as_str(), one.name.as_deref(), one.then.as_str(), one.next.is_some());
        assert_eq!(got, ("account", Some("a"), then, has_time), "{found:?}");
        assert_eq!((one.reason.as_str(), one.action.as_deref()), ("connect: refused", action));
    }
    // What is the upstream's affair is told once, and nothing while one account can send.
    let both = ["a", "b"].map(|name| account(name, down(None), AppliesTo::Upstream));
    let found = waits(None, &both);
    assert_eq!((found.len(), found[0].name.as_deref()), (1, Some("m365")), "{found:?}");
    let one_is_up =
        [account("a", down(None), AppliesTo::Account), account("b", LaneState::Up, AppliesTo::Account)];
    assert_eq!(waits(None, &one_is_up), []);
    let lane = |state, via: Option<&str>| LaneStatus {
        lane: LaneName::of_upstream("m365"),
        state,
        via: via.map(str::to_owned),
    };
    assert_eq!(waits(Some(&lane(down(None), Some("off"))), &both), [], "it takes the fallback");
    let busy = LaneState::Busy { reason: "all connections are in use".to_owned() };
    let found = waits(Some(&lane(busy, None)), &[account("a", LaneState::Up, AppliesTo::Account)]);
    assert_eq!((found[0].applies_to.as_str(), found[0].state.as_str()), ("account", "busy"));
    let gone = waits(Some(&lane(down(Some(soon)), None)), &[]);
    assert_eq!((gone[0].applies_to.as_str(), gone[0].then.as_str()), ("upstream", "a probe is made"));
}

/// What a list says of the first message: what it waits for, and in how many seconds it is tried.
fn listed(relay: &Relay) -> (Value, Option<i64>) {
    let first = relay.run(&["queue", "list", "--json"]).json()[0].clone();
    let next = first["next_attempt"].is_string().then(|| ahead(relay, &first["next_attempt"]));
    (first["waiting_for"].clone(), next)
}

#[test]
fn the_list_tells_what_holds_mail_up_the_longest() {
    const HOUR: i64 = 3_600;
    let about = |seconds: i64| {
        move |next: Option<i64>| next.is_some_and(|next| (seconds - 10..=seconds).contains(&next))
    };
    // The lane has nothing that is due, and says nothing of its own.
    for (kind, hours, want, fits) in [
        (
            SuspensionKind::Paused,
            Some(3),
            json!("limit"),
            Box::new(about(3 * HOUR)) as Box<dyn Fn(Option<i64>) -> bool>,
        ),
        (SuspensionKind::Paused, Some(0), json!("retry"), Box::new(about(HOUR))),
        (SuspensionKind::Disabled, None, json!("disabled"), Box::new(|next| next.is_none())),
        (SuspensionKind::Stopped, None, json!("disabled"), Box::new(|next| next.is_none())),
        (SuspensionKind::Login, Some(3), json!("disabled"), Box::new(|next| next.is_none())),
    ] {
        let relay = Relay::start();
        relay.enqueue(1, &["a@x.example"], false);
        relay.settle(relay.attempt());
        assert_eq!(listed(&relay).0, json!("retry"));
        let lasts = hours.map(|hours| Duration::from_mins(hours * 60 + 1));
        relay.suspend(Some("").filter(|_| kind == SuspensionKind::Login), kind, lasts, "no more");
        let (waiting_for, next) = listed(&relay);
        let next = next.map(|next| next - if hours == Some(3) { 60 } else { 0 });
        assert!(waiting_for == want && fits(next), "{kind:?} {hours:?}: {waiting_for} {next:?}");
        let shown = relay.run(&["queue", "list"]).out;
        assert!(shown.contains("m365 is "), "{shown}");
    }
}

#[test]
fn a_retry_tells_what_keeps_the_message_from_going() {
    let relay = Relay::start();
    let id = relay.enqueue(1, &["a@x.example"], false).to_string();
    relay.settle(relay.attempt());
    assert_eq!(relay.run(&["queue", "retry", &id]).out, format!("{id} is due now\n"));
    relay.fill_the_minute();
    let retry = relay.run(&["queue", "retry", &id]);
    let want = format!(
        "{id} is due, but can't go yet:\nthe account: limited: limit per minute\n    mail goes on at "
    );
    assert!(retry.status == Some(0) && retry.out.starts_with(&want), "{retry:?}");
    let waits = relay.run(&["queue", "retry", &id, "--json"]).json()[0]["waits"].clone();
    assert_eq!((waits.as_array().unwrap().len(), &waits[0]["state"]), (1, &json!("limited")), "{waits}");
    let all = relay.run(&["queue", "retry", "--all"]).out;
    assert!(all.starts_with("1 message is due now\n"), "{all}");

    relay.suspend(None, SuspensionKind::Disabled, None, "disabled by hand");
    let retry = relay.run(&["queue", "retry", &id]).out;
    let want = format!(
        "{id} is due, but can't go yet:\nthe upstream m365: disabled: disabled by hand\n    nothing, until a person has seen to \
         it (mailsluice upstream enable m365)\n"
    );
    assert_eq!(retry, want);
    relay.run(&["queue", "hold", &id]);
    let retry = relay.run(&["queue", "retry", &id]);
    let want = format!(
        "mailsluice: {id} is held: a retry does not release it; say `mailsluice queue release {id} --to recipients`\n"
    );
    assert_eq!((retry.status, retry.err), (Some(1), want));
}

#[test]
fn what_is_down_or_refused_its_login_is_tried_at_once() {
    let relay = Relay::start();
    let id = relay.enqueue(1, &["a@x.example"], false).to_string();
    relay.suspend(Some(""), SuspensionKind::Login, Some(Duration::from_hours(1)), "535 no");
    assert_eq!(relay.run(&["queue", "retry", &id]).out, format!("{id} is due now\n"));
    let list = relay.run(&["upstream", "list"]).out;
    assert!(
        list.contains("    it is tried by itself then; to try at once: mailsluice upstream enable m365\n"),
        "{list}"
    );
    let enabled = relay.run(&["upstream", "enable", "m365"]).out;
    assert!(enabled.contains("m365 (default)  down   probing now"), "{enabled}");
}
