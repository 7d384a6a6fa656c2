//! What all exchanges of direct mode share.

use std::sync::Arc;

use super::routes::Routes;
use crate::deliver::context::Context;
use crate::memory::MemoryBudget;

/// What all exchanges share.
pub(super) struct DirectContext {
    pub(super) context: Arc<Context>,
    pub(super) routes: Routes,
    /// Octets of content that exchanges may hold in memory.
    pub(super) memory: MemoryBudget,
}

impl DirectContext {
    pub(super) fn new(context: Arc<Context>) -> Self {
        let memory = MemoryBudget::new((context.config.session.memory_budget.0 / 2).max(1));
        Self { routes: Routes::new(&context), memory, context }
    }
}
