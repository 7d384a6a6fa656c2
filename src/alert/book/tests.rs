use proptest::prelude::*;

use super::super::trouble::AlertCause;
use super::*;

const MINUTE: i64 = 60_000;
const HOURS: i64 = 60 * MINUTE;
const START: i64 = 1_795_000_000_000;

fn trouble(name: &str, step: Option<u64>) -> StandingTrouble {
    StandingTrouble {
        key: TroubleKey::of_upstream(AlertCause::UpstreamDisabled, name),
        text: format!("upstream {name}: 535 no"),
        action: "mend it".to_owned(),
        step,
    }
}

fn standing(names: &[&str]) -> Troubles {
    Troubles { troubles: names.iter().map(|name| trouble(name, None)).collect(), ..Troubles::default() }
}

fn unclear(name: &str) -> Troubles {
    Troubles { unclear: [trouble(name, None).key].into(), ..Troubles::default() }
}

/// What is told, in short: `a` begins, `a over` ends.
fn told(book: &mut TroubleBook, standing: &Troubles, minutes: i64) -> Vec<String> {
    let news = book.look(standing, Moment(START + minutes * MINUTE));
    let words =
        |one: TroubleNews| format!("{}{}", one.trouble.key.upstream, if one.is_over { " over" } else { "" });
    news.into_iter().map(words).collect()
}

#[test]
fn an_alert_is_told_once_and_its_end_once() {
    let mut book = TroubleBook::default();
    let none = Troubles::default();
    assert_eq!(book.next_look(), None);
    assert_eq!(told(&mut book, &standing(&["a"]), 0), ["a"]);
    assert_eq!(told(&mut book, &standing(&["a", "b"]), 1), ["b"]);
    assert_eq!(told(&mut book, &standing(&["a", "b"]), 24 * 60 - 1), [""; 0]);
    assert_eq!(told(&mut book, &standing(&["a", "b"]), 24 * 60), ["a"], "it still stands after a day");
    assert_eq!(told(&mut book, &none, 24 * 60 + 5), [""; 0], "it may come back at once");
    assert_eq!(told(&mut book, &standing(&["a"]), 24 * 60 + 5), [""; 0]);
    assert_eq!(told(&mut book, &standing(&["a"]), 24 * 60 + 6), ["b over"]);
    assert_eq!(told(&mut book, &none, 24 * 60 + 7), [""; 0]);
    assert_eq!(book.next_look(), Some(Moment(START + (24 * 60 + 8) * MINUTE)));
    assert_eq!(told(&mut book, &none, 24 * 60 + 8), ["a over"]);
    assert_eq!(told(&mut book, &none, 48 * 60), [""; 0]);
    assert_eq!(book, TroubleBook::default(), "nothing is remembered for ever");
}

#[test]
fn what_comes_back_within_the_day_waits_for_its_end() {
    let mut book = TroubleBook::default();
    let (a, none) = (standing(&["a"]), Troubles::default());
    assert_eq!(told(&mut book, &a, 0), ["a"]);
    assert_eq!(told(&mut book, &none, 10), [""; 0]);
    assert_eq!(told(&mut book, &none, 11), ["a over"]);
    assert_eq!(told(&mut book, &a, 60), [""; 0]);
    assert_eq!(told(&mut book, &none, 70), [""; 0]);
    assert_eq!(told(&mut book, &none, 80), [""; 0], "the end of what was not told");
    assert_eq!(told(&mut book, &a, 90), [""; 0]);
    let news = book.look(&a, Moment(START + 24 * HOURS));
    assert_eq!((news.len(), news[0].since), (1, Moment(START + 90 * MINUTE)), "since it came back");
}

#[test]
fn what_nobody_knows_neither_begins_nor_ends() {
    let mut book = TroubleBook::default();
    assert_eq!(told(&mut book, &unclear("a"), 0), [""; 0]);
    assert_eq!(told(&mut book, &standing(&["a"]), 0), ["a"]);
    for minutes in 1..100 {
        assert_eq!(told(&mut book, &unclear("a"), minutes), [""; 0]);
    }
    let kind = Troubles { unclear_causes: [AlertCause::UpstreamDisabled].into(), ..Troubles::default() };
    assert_eq!(told(&mut book, &kind, 200), [""; 0]);
    assert_eq!(told(&mut book, &Troubles::default(), 201), [""; 0]);
    assert_eq!(told(&mut book, &Troubles::default(), 202), ["a over"]);
}

#[test]
fn what_has_yet_to_come_is_told_again_when_it_is_nearer() {
    let mut book = TroubleBook::default();
    let mut days = Vec::new();
    for left in (0..=30).rev() {
        let step = [0, 1, 3, 14, 30].into_iter().find(|&step| left <= step as i64);
        let standing = Troubles { troubles: vec![trouble("a", step)], ..Troubles::default() };
        if !told(&mut book, &standing, (30 - left) * 24 * 60).is_empty() {
            days.push(left);
        }
    }
    assert_eq!(days, [30, 14, 3, 1, 0]);
}

#[test]
fn many_at_once_wait_for_their_turn() {
    let names: Vec<String> = (0..MOST_IN_AN_HOUR + 5).map(|number| format!("{number:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut book = TroubleBook::default();
    assert_eq!(told(&mut book, &standing(&names), 0).len(), MOST_IN_AN_HOUR);
    assert_eq!(told(&mut book, &standing(&names), 59).len(), 0);
    assert_eq!(told(&mut book, &standing(&names), 60), ["20", "21", "22", "23", "24"]);
}

#[test]
fn what_is_remembered_is_bounded() {
    let names: Vec<String> = (0..MOST + 5).map(|number| format!("{number:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut book = TroubleBook::default();
    let _ = told(&mut book, &standing(&names), 0);
    assert_eq!(book.0.len(), MOST);
}

#[test]
fn a_book_that_can_not_be_read_is_empty() {
    for text in ["", "{", "[{}]", "null"] {
        assert_eq!(TroubleBook::from_text(text), TroubleBook::default());
    }
}

#[derive(Debug, Clone)]
enum Step {
    Stands(Vec<u8>),
    Unclear(u8),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => proptest::collection::vec(0_u8..4, 0..4).prop_map(Step::Stands),
        1 => (0_u8..4).prop_map(Step::Unclear),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    /// Whatever comes and goes, in whatever order, with restarts between: of each trouble one alert a day at most, no end
    /// without an alert, and never two ends in a row.
    #[test]
    fn never_a_flood(steps in proptest::collection::vec((0_i64..900, step()), 1..200)) {
        let mut book = TroubleBook::default();
        let mut minutes = 0;
        let mut last: BTreeMap<String, (i64, bool)> = BTreeMap::new();
        for (pass, step) in steps {
            minutes += pass;
            let standing = match step {
                Step::Stands(names) => {
                    let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
                    names.dedup();
                    standing(&names.iter().map(String::as_str).collect::<Vec<_>>())
                }
                Step::Unclear(name) => unclear(&name.to_string()),
                Step::Restart => {
                    book = TroubleBook::from_text(&book.to_text());
                    continue;
                }
            };
            let stands: Vec<String> =
                standing.troubles.iter().map(|one| one.key.upstream.clone()).collect();
            for one in told(&mut book, &standing, minutes) {
                match one.strip_suffix(" over") {
                    Some(name) => {
                        prop_assert!(!stands.contains(&name.to_owned()), "{name} stands");
                        let (_, is_open) = last.get_mut(name).expect("an alert before its end");
                        prop_assert!(std::mem::take(is_open), "two ends of {name}");
                    }
                    None => {
                        if let Some((at, _)) = last.insert(one.clone(), (minutes, true)) {
                            prop_assert!(minutes - at >= 24 * 60, "{one} after {}", minutes - at);
                        }
                    }
                }
            }
        }
    }

    /// What stands for long enough is told, and what is gone for long enough is over.
    #[test]
    fn nothing_is_kept_back(before in proptest::collection::vec((0_i64..900, any::<bool>()), 0..40)) {
        let mut book = TroubleBook::default();
        let (mut minutes, mut is_open) = (0, false);
        let mut look = |stands: bool, minutes: i64| {
            let standing = if stands { standing(&["a"]) } else { Troubles::default() };
            for one in told(&mut book, &standing, minutes) {
                is_open = one == "a";
            }
            is_open
        };
        for (pass, stands) in before {
            minutes += pass;
            let _ = look(stands, minutes);
        }
        prop_assert!(look(true, minutes + 24 * 60));
        let _ = look(false, minutes + 24 * 60 + 1);
        prop_assert!(!look(false, minutes + 24 * 60 + 2));
    }
}
