"""Events for operators and monitoring: log and metrics."""
