"""Calls to workers: deliver a job, and probe callbacks and process instances."""
