//! When will it go?

use super::*;

fn load(messages: u64) -> Load {
    Load { messages, recipients: messages, octets: 0 }
}

#[test]
fn a_forecast_is_what_the_limits_allow() {
    let own = quotas(Window::MINUTE, Some(30), None);
    let mut books = Books::with_shared(Ceilings::default(), &[("a", own.clone()), ("b", own)]);
    for _ in 0..30 {
        assert!(books.send("a", 1, 1_000_000));
    }
    let now = Moment(1_000_000);
    let forecast = |accounts: &[&str], availability| {
        let capacity = |(scope, ceilings): (Scope, Ceilings), availability| {
            let mut counts = books.ledger.snapshot(&scope).unwrap();
            Capacity::new(&ceilings, &mut counts, availability, now, &books.timeline)
        };
        let shared = capacity(books.ceilings("a").swap_remove(1), Availability::Now);
        let accounts =
            accounts.iter().map(|name| capacity(books.ceilings(name).swap_remove(0), availability));
        Forecast::new(now, vec![shared], accounts.collect())
    };
    let when = |accounts: &[&str], n| forecast(accounts, Availability::Now).when(load(n)).unwrap().0 - now.0;
    assert_eq!(when(&["b"], 30), 0);
    let close = |got: i64, want: i64| assert!((got - want).abs() <= 1_000, "{got} {want}");
    close(when(&["a"], 1), 60_000);
    close(when(&["a"], 31), 120_000);
    close(when(&["b"], 31), 60_000);
    close(when(&["b"], 10_000), 333 * 60_000);
    close(when(&["a", "b"], 91), 120_000);
    let paused = forecast(&["b"], Availability::From(Moment(now.0 + 3_600_000)));
    close(paused.when(load(1)).unwrap().0 - now.0, 3_600_000);
    assert_eq!(forecast(&["b"], Availability::Never).when(load(1)), None);
    assert_eq!(forecast(&["a"], Availability::Now).when(load(u64::MAX)), None);
    let loads: Vec<Load> = (1..200).map(load).collect();
    let forecast = forecast(&["a"], Availability::Now);
    for (at, told) in forecast.when_all(&loads).into_iter().enumerate() {
        close(told.unwrap().0, forecast.when(loads[at]).unwrap().0);
    }
}
