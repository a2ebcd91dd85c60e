"""Several processes: who owns a topic."""
