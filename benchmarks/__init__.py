"""Benchmarks of the service: see ``python -m benchmarks --help``."""
