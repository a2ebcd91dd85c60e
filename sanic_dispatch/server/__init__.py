"""The server process: life cycle, sockets, signals, TLS and the banner."""
