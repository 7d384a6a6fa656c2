//! What is to be done about a refused login, by what it was made with.

use super::remedies::REMEDIES;
use super::*;
use LoginMethod::Token;

#[test]
fn refused_logins_have_a_remedy() {
    for (line, method, parts) in REMEDIES {
        let advice = row_for(Auth, &parse(line)).advice_for(*method);
        for part in *parts {
            assert!(advice.contains(part), "{method:?} {line}: {advice:?} lacks {part:?}");
        }
    }
}

/// Nobody who has logged in with a token is told to look at a password.
#[test]
fn who_has_a_token_is_told_nothing_of_passwords() {
    for row in rows().filter(|row| row.stages.contains(&Auth) && row.action == Refresh) {
        let advice = row.advice_for(Token);
        assert!(!advice.contains("password"), "{row:?}");
    }
}

/// Each row of a provider about logins has a reply in the table above.
#[test]
fn each_row_of_a_login_has_its_remedy_tested() {
    for row in rows().filter(|row| *row.stages.start() == Auth && row.provider != Any) {
        let is_tested = REMEDIES.iter().any(|(line, ..)| std::ptr::eq(row_for(Auth, &parse(line)), row));
        assert!(is_tested, "{row:?}");
    }
}
