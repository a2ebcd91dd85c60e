"""Dispatchers that take turns in owning their queues in Redis: what must hold over all of them, and
when one of them, the network or Redis itself fails."""
