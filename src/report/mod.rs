//! What the outside learns: the log, the reports to senders, the mail to administrators, and the test mail that a person sends.

pub mod alert_mail;
pub mod author;
pub mod dsn;
pub mod log;
mod own_text;
pub mod test_mail;
