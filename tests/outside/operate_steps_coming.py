"""Steps for commands that a binary may still lack (operate_registry.COMING)."""
