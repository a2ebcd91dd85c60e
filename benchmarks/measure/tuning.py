"""What other parameters of the estimator do to simulated evenings.

The bars are those of ``eta.py``. The score is the interval score of ``sanic-dispatch estimates``,
as a multiple of that of the shipped parameters: the geometric mean over the bars. Smaller is
better.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log
from statistics import fmean

from benchmarks.drive.plan import Plan
from benchmarks.drive.servers import Side
from benchmarks.measure import eta
from benchmarks.report.tables import Report, Table
from sanic_dispatch.live.estimator import SHIPPED, EstimatorParameters
from sanic_dispatch.replay.judgement import PromiseOutcome, Verdict, parameters_of

TRIED: dict[str, Sequence[float]] = {
    "service_samples": (10, 20, 40, 80, 160),
    "min_service_samples": (3, 5, 10),
    "overdue_share": (0.1, 0.3, 1.0),
    "ratio_samples": (30, 60, 120, 240),
    "min_ratio_samples": (10, 20, 40),
    "learning_rate": (0.0, 0.005, 0.02, 0.05, 0.1),
}
SEED = 2
"""Another one than that of ``eta.py``, whose bars the shipped parameters were first tried on."""


def verdicts(orders: int, parameters: EstimatorParameters) -> list[Verdict]:
    """Return the verdict on each bar."""
    bars = (eta.SimulatedBar(each, SEED, parameters) for each in eta.scenarios(orders))
    return [
        Verdict.on([PromiseOutcome(each.promise, each.actual_s, None, 0) for each in bar.run()])
        for bar in bars
    ]


async def measure(plan: Plan, _: Sequence[Side]) -> Report:
    """Return how often promises were kept, and the score, for values of each parameter."""
    shipped = verdicts(plan.orders, SHIPPED)
    rows, data = [], {}
    for name, values in TRIED.items():
        for value in values:
            is_shipped = value == getattr(SHIPPED, name)
            tried = parameters_of([f"{name}={value}"])
            found = shipped if is_shipped else verdicts(plan.orders, tried)
            kept = [each.kept or 0.0 for each in found]
            ratio = exp(
                fmean(
                    log((each.score_s or 1.0) / (other.score_s or 1.0))
                    for each, other in zip(found, shipped, strict=True)
                )
            )
            shown = f"**{value:g}**" if is_shipped else f"{value:g}"
            rows.append([name, shown, f"{fmean(kept):.1%}", f"{min(kept):.1%}", f"{ratio:.3f}"])
            data[f"{name}={value:g}"] = {"kept": fmean(kept), "score": ratio}
    heads = ["parameter", "value", "kept, mean of bars", "kept, worst bar", "score ÷ shipped"]
    title = "Other parameters of the estimator; the shipped ones are bold"
    return Report("tuning", title, [Table(heads, rows)], data)
