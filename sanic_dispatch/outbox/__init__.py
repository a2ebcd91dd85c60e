"""What the service tells others of its own accord: events, delivered to webhooks."""
