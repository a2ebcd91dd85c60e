"""Measurements: one module for each table of docs/performance.md."""
