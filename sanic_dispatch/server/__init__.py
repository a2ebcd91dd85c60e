"""The process: its sockets, signals and TLS, and the life of the server in it."""
