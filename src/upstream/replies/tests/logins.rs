//! What is to be done about a refused login, by what it was made with.

use super::*;
use LoginMethod::{Password, Token};

/// A reply to a login, what it was made with, and what the remedy names.
#[rustfmt::skip]
const REMEDIES: &[(&str, LoginMethod, &[&str])] = &[
    ("535 5.7.3 Authentication unsuccessful [AM0PR01MB1.eurprd01.prod.exchangelabs.com]", Password, &["check user and password", "OAuth", "mailsluice connect"]),
    ("535 5.7.3 Authentication unsuccessful [AM0PR01MB1.eurprd01.prod.exchangelabs.com]", Token, &["Set-CASMailbox", "-SmtpClientAuthenticationDisabled $false", "an hour", "Add-MailboxPermission", "SMTP.SendAsApp", "enterprise application"]),
    ("535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled for more information.", Token, &["Set-TransportConfig", "Set-CASMailbox"]),
    ("535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox. Visit https://aka.ms/smtp_auth_disabled for more information.", Token, &["Set-CASMailbox", "within an hour"]),
    ("535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox. Visit https://aka.ms/smtp_auth_disabled for more information.", Password, &["Set-CASMailbox", "within an hour"]),
    ("535 5.7.139 Authentication unsuccessful, basic authentication is disabled.", Password, &["use OAuth", "authentication policy"]),
    ("535 5.7.139 Authentication unsuccessful, basic authentication is disabled.", Token, &["not by token either", "Set-CASMailbox"]),
    ("535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy. Contact your administrator.", Password, &["security defaults", "use OAuth"]),
    ("535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy. Contact your administrator.", Token, &["security defaults", "Set-CASMailbox"]),
    ("535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully. Contact your administrator.", Token, &["conditional access", "sign-in log"]),
    ("535 5.7.139 Authentication unsuccessful, the user credentials were incorrect.", Password, &["check user and password"]),
    ("535 5.7.139 Authentication unsuccessful, the user credentials were incorrect.", Token, &["the token was refused", "Set-CASMailbox"]),
    ("535 5.7.139 Authentication unsuccessful, account is locked.", Password, &["policy of the tenant", "sign-in log"]),
    ("550 5.7.30 Basic authentication is not supported for Client Submission.", Password, &["no longer takes logins by password", "OAuth"]),
    ("530 5.7.57 Client not authenticated to send mail. [AM0PR01MB1.eurprd01.prod.exchangelabs.com]", Password, &["without a login", "user and password"]),
    ("535 5.7.142 Authentication token is about to expire", Token, &["a new one is fetched"]),
    ("535 5.7.143 Authentication token has expired", Token, &["a new one is fetched"]),
    ("454 4.7.0 Temporary authentication failure [AM0PR01MB1.eurprd01.prod.exchangelabs.com]", Password, &["at present", "password need not be wrong"]),
    ("454 4.7.0 Temporary authentication failure [AM0PR01MB1.eurprd01.prod.exchangelabs.com]", Token, &["at present", "token need not be wrong"]),
    ("535 5.7.8 Username and Password not accepted. For more information, go to https://support.google.com/mail/?p=BadCredentials 4fb4d7f45d1cf-1234 - gsmtp", Password, &["app password", "OAuth"]),
    ("535 5.7.8 Username and Password not accepted. For more information, go to https://support.google.com/mail/?p=BadCredentials 4fb4d7f45d1cf-1234 - gsmtp", Token, &["https://mail.google.com/", "mailsluice connect", "delegation"]),
    ("534 5.7.9 Application-specific password required. For more information, go to https://support.google.com/mail/?p=InvalidSecondFactor 4fb4d7f45d1cf-1234 - gsmtp", Password, &["app password", "OAuth"]),
    ("534 5.7.9 Application-specific password required. For more information, go to https://support.google.com/mail/?p=InvalidSecondFactor 4fb4d7f45d1cf-1234 - gsmtp", Token, &["https://mail.google.com/"]),
    ("454 4.7.0 Too many login attempts, please try again later. 4fb4d7f45d1cf-1234 - gsmtp", Token, &["token need not be wrong"]),
    ("535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6", Password, &["check user and password"]),
    ("535 5.7.8 Error: authentication failed:", Token, &["scope", "mailsluice connect"]),
    ("550 5.7.1 this account sends no mail", Token, &["refuses the token"]),
    ("454 4.7.0 the directory does not answer", Password, &["password need not be wrong"]),
];

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
