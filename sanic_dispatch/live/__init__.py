"""What people see, as it happens: folds over events, and the channel that carries them."""
