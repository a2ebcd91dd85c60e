"""What an operator can choose, and how it is read."""
