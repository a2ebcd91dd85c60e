"""Several dispatchers on the same queues in Redis: what must hold over all of them, and when one
of them, the network or Redis itself fails."""
