"""The type of options that are numbers within a range."""

from __future__ import annotations

from math import isnan
from typing import Any

import click


class NumberRange(click.FloatRange):
    """Numbers within a range, without NaN, which click takes for one of every range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number. Raises BadParameter."""
        number = super().convert(value, param, ctx)
        if isnan(number):
            self.fail(f"'{number}' is no number.", param, ctx)
        return number
