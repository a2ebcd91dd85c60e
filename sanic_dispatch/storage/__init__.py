"""Durable storage of a topic's records: the contract in store.py, one module per backend."""
