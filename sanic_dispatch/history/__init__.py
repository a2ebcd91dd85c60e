"""What is asked of the event log: pages of events, statistics, and exports."""
