"""Events for operators and monitoring: log, job history, metrics."""
