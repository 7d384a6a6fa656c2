//! Running a relay: switches in its configuration file, backups, repair, and what it tells its service manager.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail by panic and writes plain files"
)]

#[path = "operate/at_rest.rs"]
mod at_rest;
#[path = "operate/backup.rs"]
mod backup;
#[path = "operate/damage.rs"]
mod damage;
#[path = "operate/documented.rs"]
mod documented;
#[path = "operate/manager.rs"]
mod manager;
#[path = "operate/manual.rs"]
mod manual;
#[path = "operate/service.rs"]
mod service;
#[path = "operate/switches.rs"]
mod switches;
