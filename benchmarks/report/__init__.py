"""Reporting: figures, tables, goals, and docs/performance.md."""
