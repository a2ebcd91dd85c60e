"""Ownership: which of the processes that share a store a topic belongs to."""
