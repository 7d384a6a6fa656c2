//! The relay at a simulated Office 365, and whether that simulation counts as it should. Time is simulated.

#![allow(clippy::unwrap_used, reason = "a test may stop where its world breaks")]

mod support;

#[path = "office365/client.rs"]
mod client;
#[path = "office365/graph_pace.rs"]
mod graph_pace;
#[path = "office365/graph_service.rs"]
mod graph_service;
#[path = "office365/pace.rs"]
mod pace;
#[path = "support/paper.rs"]
mod paper;
#[path = "office365/service.rs"]
mod service;
#[path = "office365/work_around.rs"]
mod work_around;
