"""Leader election between processes that share a store."""
