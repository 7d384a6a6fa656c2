//! dkim (scaffold)
#![allow(missing_docs)]
#[derive(Debug)]
pub struct Signer;
#[derive(Debug, thiserror::Error)]
#[error("scaffold")]
pub struct DkimError;
impl Signer {
    pub fn new(_entries: &[crate::config::DkimEntry]) -> Result<Self, DkimError> {
        Ok(Self)
    }
}
