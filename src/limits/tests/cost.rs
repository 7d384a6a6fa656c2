//! What counts cost in memory and in time.

use super::*;

/// Octets of an account after a week in which each of its messages goes as soon as it may.
fn octets_after_a_week(pause: i64) -> (u32, usize) {
    let mut own = quotas(Window::MINUTE, Some(30), None);
    own.quotas.set(Window::DAY, Quota { recipients: Some(10_000), ..Quota::default() });
    let (scope, timeline) = (Scope::Upstream("u".into()), Timeline::resume(Arc::new(SystemClock), None));
    let (mut counts, mut learned) = (Counts::default(), LearnedPace::default());
    let (mut now, mut sent) = (Moment(1_795_000_000_000), 0);
    let end = now.0 + 7 * 86_400_000;
    while now.0 < end {
        let amount = Amount::of_message(1, 20_000 + u64::from(sent % 7) * 3_000);
        let mut parts = [ScopeLimits { scope: &scope, ceilings: &own, counts: &mut counts }];
        match room(&mut parts, &amount, now, &timeline) {
            Ok(_) => {
                counts.begin(&amount, now);
                counts.end(&amount, Some(&amount), now);
                learned.delivered(Some(30), 3, now);
                sent += 1;
                now = Moment(now.0 + pause);
            }
            Err(wait) => now = wait.until.unwrap(),
        }
    }
    (sent, size_of::<Counts>() + counts.heap() + size_of::<LearnedPace>() + learned.heap())
}

#[test]
fn a_thousand_accounts_that_were_busy_for_a_week_fit_into_16_mib() {
    // In bursts, as even as the day allows, and in between.
    for pause in [10, 700, 2_000, 8_640] {
        let (sent, octets) = octets_after_a_week(pause);
        assert!(sent >= 69_000, "{sent}: it was not busy");
        // A name, and what the map wants for its entry.
        let all = 1_000 * (octets + 200);
        assert!(all < 16 << 20, "a pause of {pause} ms: {octets} octets for an account");
    }
}

/// Not a check: it measures. `cargo test --lib -- --ignored --nocapture what_a_permit_costs`
#[test]
#[ignore = "it measures"]
fn what_a_permit_costs() {
    const ACCOUNTS: usize = 100;
    const PERMITS: u32 = 20_000;
    let cpu = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let names: Vec<String> = (0..ACCOUNTS).map(|n| format!("mailer{n}@firm.example")).collect();
    for (case, per_minute, pause) in [
        ("all have room", 1_000_000, 1),
        ("all are used up at once", 30, 1),
        ("one after the other is used up", 30, 18),
    ] {
        let mut own = quotas(Window::MINUTE, Some(per_minute), None);
        own.quotas.set(Window::DAY, Quota { recipients: Some(10_000_000), ..Quota::default() });
        let accounts: Vec<_> = names.iter().map(|name| (name.as_str(), own.clone())).collect();
        let mut books = Books::with_shared(Ceilings::default(), &accounts);
        let (mut next, mut asked, mut now) = (0, 0, 1_795_000_000_000);
        let begun = cpu();
        for _ in 0..PERMITS {
            // The next in turn that can send; when there is none, the first that will.
            let mut wait = None;
            let mut tried = 0;
            let name = loop {
                let name = &names[next % ACCOUNTS];
                (next, asked, tried) = (next + 1, asked + 1, tried + 1);
                let Err(other) = books.room(name, 1, now) else { break name };
                wait = Some(sooner(wait.take(), other));
                if tried % ACCOUNTS == 0 {
                    now = wait.take().and_then(|wait| wait.until).unwrap().0;
                }
            };
            books.ledger.begin(&AccountKey::new("u", name.as_str()), &recipients(1), Moment(now));
            books.end(name, 1, now);
            now += pause;
        }
        let each = cpu().saturating_sub(begun) / PERMITS;
        let asked = f64::from(asked) / f64::from(PERMITS);
        println!("{case}: {each:?} for a permit, {asked:.1} accounts asked");
    }
}

/// The one of two waits that ends first.
fn sooner(a: Option<Wait>, b: Wait) -> Wait {
    match a {
        Some(a) if b.until.is_none() || a.until.is_some_and(|a| Some(a) <= b.until) => a,
        _ => b,
    }
}
