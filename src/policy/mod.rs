//! policy (scaffold)
pub mod test_mode;
