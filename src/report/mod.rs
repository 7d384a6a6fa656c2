//! What the outside learns: the log, the reports to senders, and the test mail that a person sends.

pub mod dsn;
pub mod log;
pub mod test_mail;
