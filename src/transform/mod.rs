//! transform (scaffold)
pub mod dkim;
