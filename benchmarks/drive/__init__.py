"""What drives a measurement: servers, load, robots, and the machine."""
