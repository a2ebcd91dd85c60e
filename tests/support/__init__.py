"""Helpers of the tests: a clock that stands still, a network that records, a world."""
