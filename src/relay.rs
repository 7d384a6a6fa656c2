//! relay (scaffold)
#![allow(missing_docs)]
use crate::config::Loaded;

#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    #[error("scaffold")]
    Scaffold,
}

pub async fn run(_loaded: Loaded) -> Result<(), RelayError> {
    Err(RelayError::Scaffold)
}
