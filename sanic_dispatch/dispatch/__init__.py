"""What surrounds the state machine: batches, deliveries, timers, and the dispatcher's interface."""
