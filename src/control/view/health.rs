//! Whether the relay lives, and is ready.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// That the process is alive, or the relay ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `alive` or `ready`
    pub status: String,
}
