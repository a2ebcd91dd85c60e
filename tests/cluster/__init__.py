"""Dispatchers that take turns in owning their queues in Redis: rules C1 to C6 over all of them,
also when one of them, the network or Redis fails."""
