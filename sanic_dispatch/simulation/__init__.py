"""A simulated CPEE engine and its robots, for the demo and for tests."""

from __future__ import annotations

from sanic_dispatch.simulation.caller import CallFailed
from sanic_dispatch.simulation.engine import Engine
from sanic_dispatch.simulation.evaluator import Evaluator
from sanic_dispatch.simulation.instance import Instance
from sanic_dispatch.simulation.put_faults import Faults
from sanic_dispatch.simulation.robot import Robot, RobotHooks, RobotModel
from sanic_dispatch.simulation.waits import InstanceEnded, Put, Result

__all__ = [
    "CallFailed",
    "Engine",
    "Evaluator",
    "Faults",
    "Instance",
    "InstanceEnded",
    "Put",
    "Result",
    "Robot",
    "RobotHooks",
    "RobotModel",
]
