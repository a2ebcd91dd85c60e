"""Settings, and the files and values from outside that they refer to."""
