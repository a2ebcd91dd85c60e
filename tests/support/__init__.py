"""What the tests are made with: a clock that stands still, a network that remembers, a world."""
