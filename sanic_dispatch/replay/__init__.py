"""What would have been: a recorded evening run again, on virtual time, by the real core."""
