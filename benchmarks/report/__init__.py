"""What reports it: figures, tables, goals, and docs/performance.md."""
