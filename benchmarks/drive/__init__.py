"""Driving of measurements: servers, load, robots, and the machine."""
