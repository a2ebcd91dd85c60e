"""A realtime job dispatcher: the oldest job goes to the worker that has waited longest.

docs/design.md follows one order through the code ("How one order travels").
"""

__version__ = "0.2.0"
