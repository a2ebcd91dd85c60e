"""Crashes: a server that is killed, disks that fail, files that are torn; and what must hold."""
