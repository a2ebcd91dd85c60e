"""Where a topic's records last: one contract (store.py), one file per backend."""
