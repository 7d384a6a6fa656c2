//! What providers say when they refuse a login, and what the remedy for that names. The tests of the table of replies read
//! this, and those of what a person reads in `probe`, log and `status`.

use super::LoginMethod::{self, Password, Token};

/// A reply to a login as it comes over the wire, what the login was made with, and what the remedy names.
#[rustfmt::skip]
pub(crate) const REMEDIES: &[(&str, LoginMethod, &[&str])] = &[
    ("535 5.7.3 Authentication unsuccessful [AM0PR01MB1.eurprd01.prod.exchangelabs.com]", Password, &["check user and password", "OAuth", "mailsluice connect"]),
    ("535 5.7.3 Authentication unsuccessful [AM0PR01MB1.eurprd01.prod.exchangelabs.com]", Token, &["Set-CASMailbox", "-SmtpClientAuthenticationDisabled $false", "an hour", "Add-MailboxPermission", "SMTP.SendAsApp", "enterprise application"]),
    ("535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled for more information.", Token, &["Set-TransportConfig", "Set-CASMailbox"]),
    ("535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled for more information.", Password, &["Set-TransportConfig", "Set-CASMailbox"]),
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
    ("535 5.7.142 Authentication token is about to expire", Token, &["a new one is fetched", "clock"]),
    ("535 5.7.143 Authentication token has expired", Token, &["a new one is fetched"]),
    ("454 4.7.0 Temporary authentication failure [AM0PR01MB1.eurprd01.prod.exchangelabs.com]", Password, &["at present", "password need not be wrong"]),
    ("454 4.7.0 Temporary authentication failure [AM0PR01MB1.eurprd01.prod.exchangelabs.com]", Token, &["at present", "token need not be wrong"]),
    ("535-5.7.8 Username and Password not accepted. For more information, go to\r\n535 5.7.8  https://support.google.com/mail/?p=BadCredentials 4fb4d7f45d1cf-1234 - gsmtp", Password, &["app password", "OAuth"]),
    ("535-5.7.8 Username and Password not accepted. For more information, go to\r\n535 5.7.8  https://support.google.com/mail/?p=BadCredentials 4fb4d7f45d1cf-1234 - gsmtp", Token, &["https://mail.google.com/", "mailsluice connect", "delegation"]),
    ("534-5.7.9 Application-specific password required. For more information, go to\r\n534 5.7.9  https://support.google.com/mail/?p=InvalidSecondFactor 4fb4d7f45d1cf-1234 - gsmtp", Password, &["app password", "OAuth"]),
    ("534-5.7.9 Application-specific password required. For more information, go to\r\n534 5.7.9  https://support.google.com/mail/?p=InvalidSecondFactor 4fb4d7f45d1cf-1234 - gsmtp", Token, &["https://mail.google.com/"]),
    ("534-5.7.9 Please log in with your web browser and then try again. For more information, go to\r\n534 5.7.9  https://support.google.com/mail/?p=WebLoginRequired 4fb4d7f45d1cf-1234 - gsmtp", Password, &["at a browser", "app password"]),
    ("534-5.7.14 <https://accounts.google.com/signin/continue?sarp=1&scc=1> Please log in via your web browser and\r\n534-5.7.14 then try again.\r\n534-5.7.14  Learn more at\r\n534 5.7.14  https://support.google.com/mail/answer/78754 4fb4d7f45d1cf-1234 - gsmtp", Token, &["at a browser", "mailsluice connect"]),
    ("454 4.7.0 Too many login attempts, please try again later. 4fb4d7f45d1cf-1234 - gsmtp", Password, &["password need not be wrong"]),
    ("454 4.7.0 Too many login attempts, please try again later. 4fb4d7f45d1cf-1234 - gsmtp", Token, &["token need not be wrong"]),
    ("535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6", Password, &["check user and password"]),
    ("535 5.7.8 Error: authentication failed:", Token, &["scope", "mailsluice connect"]),
    ("525 5.7.13 User account disabled", Password, &["disabled at the upstream"]),
    ("525 5.7.13 User account disabled", Token, &["disabled at the upstream"]),
    ("534 5.7.9 Authentication mechanism is too weak", Password, &["stronger mechanism"]),
    ("538 5.7.11 Encryption required for requested authentication mechanism", Password, &["over TLS alone"]),
    ("530 5.7.0 Must issue a STARTTLS command first", Password, &["over TLS alone"]),
    ("550 5.7.1 this account sends no mail", Token, &["refuses the token"]),
    ("454 4.7.0 the directory does not answer", Password, &["password need not be wrong"]),
];
