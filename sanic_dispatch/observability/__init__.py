"""What happened, for people and programs that look on: log, history, metrics."""
