"""How fast it is, beside its floor and beside the original: ``python -m benchmarks --help``."""
