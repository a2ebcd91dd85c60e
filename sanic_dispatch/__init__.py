"""A realtime job dispatcher: the oldest job goes to the worker that has waited longest."""

__version__ = "0.2.0.dev0"
