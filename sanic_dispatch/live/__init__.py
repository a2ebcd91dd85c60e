"""Projections of committed events for people, and the live channel that pushes them."""
