//! load (scaffold)
#![allow(missing_docs)]
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Config;

#[derive(Debug, Clone)]
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<String>,
    pub path: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
#[error("scaffold")]
pub struct Faults;

impl Config {
    pub fn load(_path: Option<&Path>, _env: &BTreeMap<String, String>) -> Result<Loaded, Faults> {
        Err(Faults)
    }
}
