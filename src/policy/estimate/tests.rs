use super::*;

fn key(submitter: &str) -> SubmitterPlace {
    (LaneName::of_upstream("u"), Priority::Normal, submitter.to_owned())
}

fn load(messages: u64) -> Load {
    Load { messages, recipients: 2 * messages, octets: 0 }
}

fn place(messages: u64) -> LanePlace {
    LanePlace { ahead: load(messages), forecast: Arc::new(Forecast::new(Moment(0), Vec::new(), Vec::new())) }
}

fn places() -> Arc<Places> {
    Arc::new(Places { known: Mutex::default(), look_ups: Arc::new(Semaphore::new(LOOK_UPS)) })
}

fn look_up(places: &Arc<Places>, submitter: &str, now: Moment) -> Option<PlaceLookUp> {
    match places.begin(&key(submitter), 1, now) {
        Begun::LookUp(look_up) => Some(look_up),
        Begun::Busy => None,
        Begun::Known(place) => panic!("{place:?}"),
    }
}

fn known(places: &Arc<Places>, now: Moment) -> Option<Load> {
    match places.begin(&key("a"), 3, now) {
        Begun::Known(place) => Some(place.ahead),
        Begun::Busy | Begun::LookUp(_) => None,
    }
}

#[test]
fn a_burst_pays_for_one_look_up_however_long_that_takes() {
    let (places, begun) = (places(), Moment(1_000));
    let first = look_up(&places, "a", begun).unwrap();
    for _ in 0..100 {
        assert!(look_up(&places, "a", begun).is_none(), "others do not begin another");
    }
    // It took a second, and serves for twenty.
    let ended = begun.after(Duration::from_secs(1));
    first.found(place(10), begun, ended);
    assert_eq!(known(&places, ended), Some(Load { messages: 11, recipients: 23, octets: 0 }));
    let last = ended.after(Duration::from_secs(20));
    assert_eq!(known(&places, Moment(last.0 - 1)), Some(Load { messages: 12, recipients: 26, octets: 0 }));
    assert_eq!(known(&places, last), None, "it is looked up again");
}

#[test]
fn a_quick_one_serves_for_a_moment() {
    let (places, begun) = (places(), Moment(1_000));
    look_up(&places, "a", begun).unwrap().found(place(0), begun, begun);
    assert!(known(&places, Moment(begun.after(FRESH).0 - 1)).is_some());
    assert_eq!(known(&places, begun.after(FRESH)), None);
}

#[test]
fn few_look_up_at_a_time_and_who_gives_up_makes_way() {
    let (places, now) = (places(), Moment(1_000));
    let others: Vec<_> =
        (0..LOOK_UPS).map(|n| look_up(&places, &format!("other{n}"), now).unwrap()).collect();
    assert!(look_up(&places, "a", now).is_none());
    drop(others);
    drop(look_up(&places, "a", now).unwrap());
    assert!(look_up(&places, "a", now).is_some());
}

#[test]
fn it_forgets_when_there_are_many() {
    let (places, now) = (places(), Moment(1_000));
    let under_way = look_up(&places, "a", now).unwrap();
    for n in 0..2 * SUBMITTERS {
        look_up(&places, &n.to_string(), now).unwrap().found(place(0), now, now);
    }
    assert!(lock(&places.known).len() <= SUBMITTERS);
    assert!(look_up(&places, "a", now).is_none(), "what is under way is remembered");
    drop(under_way);
}
